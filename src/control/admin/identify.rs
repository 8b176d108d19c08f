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
use crate::policy::{Shows, Stranger};

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
    let address = peer.as_ref().map(|peer| peer.0.address.ip());
    let shows = Shows {
        authorization: authorization(request.headers()),
        certificate,
        address,
        now_unix_s: now_unix_s(),
        now_ns: admin.now_ns(),
    };
    let stranger = match shows.identify(&admin.authenticator, &admin.limiter) {
        Ok(identity) => {
            request.extensions_mut().insert(identity);
            return next.run(request).await;
        }
        Err(stranger) => stranger,
    };
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let shows_nothing = stranger == Stranger::Unknown(Fault::Missing);
    if shows_nothing && is_read && OPEN.contains(&request.uri().path()) {
        return without_details(next.run(request).await.status());
    }
    let (target, method) = (request.uri().path(), request.method().as_str());
    let (kind, rule, detail) = match &stranger {
        Stranger::Unknown(fault) => (Kind::AuthenticationAttempt, "", fault.detail()),
        Stranger::TooMany { limit, .. } => (Kind::RateLimitExceeded, limit.as_str(), ""),
    };
    tracing::info!(
        target,
        why = detail,
        limit = rule,
        "refused a call of the admin listener"
    );
    admin.audit.record(&Event {
        source: address,
        method,
        target,
        rule,
        detail,
        ..Event::new(kind, Outcome::Denied)
    });
    match stranger {
        Stranger::Unknown(fault) => refuse(&fault),
        Stranger::TooMany {
            limit,
            retry_after_s,
            ..
        } => refuse_for_now(limit.as_str(), retry_after_s),
    }
}

fn refuse_for_now(limit: &str, retry_after_s: u64) -> Response {
    let message = format!(
        "too many have come from there who are not known: the limit {limit} is reached; try again in {retry_after_s} s"
    );
    let mut response = problem(StatusCode::TOO_MANY_REQUESTS, &message);
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after_s));
    response
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
