//! What has to hold for any bytes, as a function that panics where it does not: for fuzzing and for property tests.

use super::headers::Accept;
use super::message::{Shape, scan};
use super::refusal::Refusal;
use super::revision::Era;
use super::route::{HttpFacts, Operation, Process, Route, get, post, route_stdio};
use super::sessions::{Principal, Sessions};
use super::{InlineId, RawId, reply};
use crate::limits::ID_BYTES_MAX;
use crate::wire::json;

/// Nesting that the checks allow; small, so that short inputs reach it.
const DEPTH_MAX: usize = 32;

/// Checks a body alone, over stdio and over HTTP.
///
/// Shape: any bytes, taken as a body with the headers that it would need to be served.
pub fn message(body: &[u8]) {
    let message = match scan(body, DEPTH_MAX) {
        Ok(message) => message,
        Err(refusal) => return refused(&refusal),
    };
    assert!(
        json::validate(body, DEPTH_MAX).is_ok(),
        "a message is JSON as a whole"
    );
    assert_eq!(message.shape == Shape::Response, message.method.is_none());
    if let Some(id) = message.id {
        same_id_again(&id);
    }
    let mut process = Process::default();
    routed(route_stdio(&mut process, &message).as_ref());
    let sessions = Sessions::new(4, 1000);
    let facts = HttpFacts::default();
    let route = post(
        &facts,
        Accept::ALL,
        &message,
        &sessions,
        Principal::ANONYMOUS,
        0,
    );
    if let Ok(Route::Invoke(invocation)) = &route {
        assert!(
            matches!(invocation.operation, Operation::Initialize { .. }),
            "without headers and session nothing but initialize is served"
        );
    }
    routed(route.as_ref());
}

/// Checks that a name comes back from its cursor, and that nothing else is a cursor.
pub fn cursor(data: &[u8]) {
    super::cursor::check(data);
}

/// Checks that only what is sealed is opened, and comes back whole.
pub fn request_state(data: &[u8]) {
    super::request_state::check(data);
}

/// Checks what a session keeps for its client, over any course of events.
///
/// Shape: any bytes; see [`super::events`].
pub fn events(course: &[u8]) {
    super::events::check::check(course);
}

/// Checks that head and body never say different things to different readers.
///
/// Shape: four header values and a body, separated by line feeds: version, session id, method, name. An empty value is a
/// header that is not there.
pub fn head_and_body(data: &[u8]) {
    let mut parts = data.splitn(5, |byte| *byte == b'\n');
    let mut value = || parts.next().filter(|value| !value.is_empty());
    let facts = HttpFacts {
        protocol_version: value(),
        session_id: value(),
        mcp_method: value(),
        mcp_name: value(),
        ..HttpFacts::default()
    };
    let body = value().unwrap_or_default();
    let sessions = Sessions::new(4, 1000);
    if let Err(refusal) = get(&facts, &sessions, Principal::ANONYMOUS, 0) {
        refused(&refusal);
    }
    let message = match scan(body, DEPTH_MAX) {
        Ok(message) => message,
        Err(refusal) => return refused(&refusal),
    };
    let route = post(
        &facts,
        Accept::ALL,
        &message,
        &sessions,
        Principal::ANONYMOUS,
        0,
    );
    if let Ok(Route::Invoke(invocation)) = &route
        && invocation.era() == Era::Modern
    {
        let method = message.method.expect("an invocation has a method");
        agrees(facts.mcp_method, &method.to_cow(), false);
        agrees(facts.protocol_version, invocation.revision.as_str(), false);
        if let Operation::CallTool { name, .. } = invocation.operation {
            agrees(facts.mcp_name, &name.to_cow(), true);
        }
    }
    routed(route.as_ref());
}

/// Decodes the header in a second, slower way and compares.
fn agrees(header: Option<&[u8]>, body: &str, encoded: bool) {
    use base64::Engine;
    let header = header.expect("a modern request carries the header");
    let header = std::str::from_utf8(header).expect("a header that is served is ASCII");
    let header = header.trim_matches([' ', '\t']);
    let inner = header
        .strip_prefix("=?base64?")
        .and_then(|rest| rest.strip_suffix("?="));
    match inner.filter(|_| encoded) {
        None => assert_eq!(header, body),
        Some(inner) => {
            let decoded = base64::engine::general_purpose::STANDARD.decode(inner);
            assert_eq!(
                decoded.expect("a value that is served decodes"),
                body.as_bytes()
            );
        }
    }
}

fn routed(route: Result<&Route<'_>, &Refusal<'_>>) {
    let mut out = Vec::new();
    match route {
        Ok(Route::Invoke(invocation)) => {
            reply::call_result(
                &mut out,
                &invocation.id,
                invocation.era(),
                b"\"content\":[]",
            );
            assert!(json::validate(&out, DEPTH_MAX).is_ok(), "an answer is JSON");
            assert!(!out.contains(&b'\n'), "an answer is one line");
        }
        Ok(Route::Notice(_) | Route::Response(_)) => {}
        Err(refusal) => refused(refusal),
    }
}

fn refused(refusal: &Refusal<'_>) {
    let mut out = Vec::new();
    refusal.write(&mut out);
    assert!(
        json::validate(&out, DEPTH_MAX).is_ok(),
        "an error is JSON: {}",
        String::from_utf8_lossy(&out)
    );
    assert!(!out.contains(&b'\n'), "an error is one line");
    assert!(
        out.len() < 4 * ID_BYTES_MAX + 2048,
        "an error does not grow with what it refuses: {}",
        out.len()
    );
    assert!(
        matches!(refusal.http_status, 200 | 400..=499),
        "no refusal of bytes is our own fault"
    );
}

fn same_id_again(id: &RawId<'_>) {
    let mut out = Vec::new();
    id.write(&mut out);
    assert_eq!(out.len(), id.written_len());
    assert!(out.len() <= ID_BYTES_MAX);
    assert_eq!(out, InlineId::new(id).as_bytes());
    assert!(id.same(id));
}
