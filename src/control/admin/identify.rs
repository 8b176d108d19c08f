//! Who calls the admin listener.

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use serde_json::json;

use super::{Admin, JSON, Peer, problem, respond};
use crate::audit::{Event, Kind, Outcome};
use crate::control::auth::now_unix_s;
use crate::policy::auth::{Fault, challenge};

/// What says no more than whether the server is well may be asked by whoever reaches it: probes carry no tokens.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];

/// Lets those through who are known, with their identity beside the request.
pub(super) async fn check(
    State(admin): State<Admin>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<ConnectInfo<Peer>>().cloned();
    let certificate = peer.as_ref().and_then(|peer| peer.0.certificate());
    let found = authorization(request.headers()).and_then(|authorization| {
        admin
            .authenticator
            .identify(authorization, certificate, now_unix_s())
    });
    let fault = match found {
        Ok(identity) => {
            request.extensions_mut().insert(identity);
            return next.run(request).await;
        }
        Err(fault) => fault,
    };
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    if fault == Fault::Missing && is_read && OPEN.contains(&request.uri().path()) {
        return without_details(next.run(request).await.status());
    }
    let target = request.uri().path();
    tracing::info!(
        target,
        why = fault.detail(),
        "refused a call of the admin listener"
    );
    admin.audit.record(&Event {
        source: peer.as_ref().map(|peer| peer.0.address.ip()),
        method: request.method().as_str(),
        target,
        detail: fault.detail(),
        ..Event::new(Kind::AuthenticationAttempt, Outcome::Denied)
    });
    refuse(&fault)
}

/// The one header; two of them would be read differently by different readers.
fn authorization(headers: &HeaderMap) -> Result<Option<&[u8]>, Fault> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    match (all.next(), all.next()) {
        (_, Some(_)) => Err(Fault::Malformed(
            "the Authorization header stands twice; send it once",
        )),
        (value, None) => Ok(value.map(HeaderValue::as_bytes)),
    }
}

fn without_details(status: StatusCode) -> Response {
    let word = if status.is_success() { "ok" } else { "failing" };
    respond(status, JSON, json!({"status": word}).to_string())
}

fn refuse(fault: &Fault) -> Response {
    let status = StatusCode::from_u16(fault.status()).unwrap_or(StatusCode::UNAUTHORIZED);
    let mut response = problem(status, fault.told());
    if let Ok(value) = HeaderValue::from_str(&challenge(None, fault, &[])) {
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, value);
    }
    response
}
