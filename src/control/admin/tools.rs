//! The management tools at `/mcp` of the admin listener.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Extensions, HeaderMap, StatusCode, header};
use axum::response::Response;

use super::{Admin, JSON, problem};
use crate::control::management::{Answer, Endpoint};
use crate::mcp::{HttpFacts, Principal};
use crate::policy::Identity;

/// A POST: one message.
pub(super) async fn call(State(admin): State<Admin>, request: Request) -> Response {
    let Some(endpoint) = admin.management else {
        return problem(StatusCode::NOT_FOUND, "the management tools are off");
    };
    let (parts, body) = request.into_parts();
    let principal = principal_of(&parts.extensions);
    let Ok(body) = to_bytes(body, endpoint.body_bytes_max()).await else {
        let text = format!(
            "the body is longer than limits.body_bytes_max ({} bytes), or did not come whole",
            endpoint.body_bytes_max()
        );
        return problem(StatusCode::PAYLOAD_TOO_LARGE, &text);
    };
    answer(endpoint, parts.headers, move |endpoint, facts| {
        endpoint.post(facts, principal, &body)
    })
    .await
}

/// A DELETE: the session ends.
pub(super) async fn end(State(admin): State<Admin>, request: Request) -> Response {
    let Some(endpoint) = admin.management else {
        return problem(StatusCode::NOT_FOUND, "the management tools are off");
    };
    let parts = request.into_parts().0;
    let principal = principal_of(&parts.extensions);
    answer(endpoint, parts.headers, move |endpoint, facts| {
        endpoint.delete(facts, principal)
    })
    .await
}

/// Whom the listener knows the caller as.
fn principal_of(extensions: &Extensions) -> Principal {
    let identity = extensions.get::<Arc<Identity>>();
    identity.map_or(Principal::ANONYMOUS, |identity| identity.principal)
}

/// On a thread that may block: to load a component is to compile it.
async fn answer(
    endpoint: Endpoint,
    headers: HeaderMap,
    work: impl FnOnce(&Endpoint, &HttpFacts<'_>) -> Answer + Send + 'static,
) -> Response {
    let done = tokio::task::spawn_blocking(move || match facts(&headers) {
        Ok(facts) => Ok(work(&endpoint, &facts)),
        Err(name) => Err(name),
    });
    match done.await {
        Ok(Ok(answer)) => respond(answer),
        Ok(Err(name)) => {
            let text = format!("the header {name} stands twice; send it once");
            problem(StatusCode::BAD_REQUEST, &text)
        }
        Err(error) => {
            tracing::error!(%error, "a management tool broke; this is a defect of margay");
            problem(StatusCode::INTERNAL_SERVER_ERROR, "the tool broke")
        }
    }
}

/// Errors: the header that stands twice.
fn facts(headers: &HeaderMap) -> Result<HttpFacts<'_>, &'static str> {
    let one = |name: &'static str| {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(name),
            (value, None) => Ok(value.map(axum::http::HeaderValue::as_bytes)),
        }
    };
    Ok(HttpFacts {
        content_type: one("content-type")?,
        accept: one("accept")?,
        protocol_version: one("mcp-protocol-version")?,
        session_id: one("mcp-session-id")?,
        mcp_method: one("mcp-method")?,
        mcp_name: one("mcp-name")?,
        last_event_id: one("last-event-id")?,
    })
}

fn respond(answer: Answer) -> Response {
    let content_type = match answer.is_event {
        true => "text/event-stream",
        false => JSON,
    };
    let mut response = Response::builder()
        .status(answer.status)
        .header(header::CACHE_CONTROL, "no-store");
    if !answer.body.is_empty() {
        response = response.header(header::CONTENT_TYPE, content_type);
    }
    if let Some(session) = answer.session {
        response = response.header("Mcp-Session-Id", session);
    }
    response
        .body(Body::from(answer.body))
        .expect("invariant: a session id and constants are valid header values")
}
