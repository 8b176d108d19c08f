//! What has to hold for any bytes, as a function that panics where it does not: for fuzzing and for property tests.

use super::capability::ClientCapabilities;
use super::headers::Accept;
use super::id::WriteId;
use super::message::{Message, Shape, scan};
use super::refusal::Refusal;
use super::reply::{Hints, Honoured};
use super::revision::{Era, Revision};
use super::route::{
    Batch, HttpFacts, Invocation, ListenFilter, Members, Operation, Process, Route, get, is_batch,
    post, route_stdio, sse_message, sse_session,
};
use super::sessions::{Principal, Sessions};
use super::{InlineId, RawId, reply};
use crate::limits::{ID_BYTES_MAX, URI_BYTES_MAX};
use crate::wire::json::{self, Str};

/// Nesting that the checks allow; small, so that short inputs reach it.
const DEPTH_MAX: usize = 32;

/// Messages that the checks let into a batch.
const BATCH_COUNT_MAX: usize = 8;

/// Checks a body alone, over each transport.
///
/// Shape: any bytes, taken as a body with the headers that it would need to be served.
pub fn message(body: &[u8]) {
    batch(body);
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
    over_sse(&message, &sessions);
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

/// Checks that a batch is the messages that it holds, and that nothing else is one.
fn batch(body: &[u8]) {
    let batch = match Batch::read(body, DEPTH_MAX, BATCH_COUNT_MAX) {
        Ok(batch) => batch,
        Err(refusal) => return refused(&refusal),
    };
    assert!(is_batch(body), "whoever looks finds it");
    assert!(json::validate(body, DEPTH_MAX).is_ok());
    assert!((1..=BATCH_COUNT_MAX).contains(&batch.len()));
    let mut count = 0;
    let mut process = Process::default();
    for message in batch.messages() {
        count += 1;
        match &message {
            Ok(message) => routed(route_stdio(&mut process, message).as_ref()),
            Err(refusal) => refused(refusal),
        }
    }
    assert_eq!(count, batch.len(), "none is left out");
    assert!(process.revision().is_none(), "no batch shakes hands");
}

/// Checks a message in a session of HTTP+SSE that may be settled already.
fn over_sse(message: &Message<'_>, sessions: &Sessions) {
    let principal = Principal(9);
    for (seed, settled) in [(1, None), (2, Some(Revision::V2025_11_25))] {
        let id = sessions.create_sse([seed; 16], principal, 0);
        let id = id.expect("there is room for it");
        if let Some(revision) = settled {
            let capabilities = ClientCapabilities::NONE;
            assert!(sessions.settle(id, principal, revision, capabilities));
        }
        let text = id.text();
        let found = sse_session(Some(&text), sessions, principal, 0);
        let (id, facts) = found.expect("it was made just now");
        let route = sse_message(id, &facts, message, sessions, principal);
        if let Ok(Route::Invoke(invocation)) = &route {
            assert_eq!(
                invocation.era(),
                Era::Legacy,
                "the modern era is not spoken here"
            );
        }
        routed(route.as_ref());
        sessions.remove(id, principal);
    }
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
        if let Some(named) = named(&invocation.operation) {
            agrees(facts.mcp_name, &named.to_cow(), true);
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

/// What `Mcp-Name` has to repeat.
fn named<'b>(operation: &Operation<'b>) -> Option<Str<'b>> {
    match *operation {
        Operation::CallTool { name, .. } | Operation::GetPrompt { name, .. } => Some(name),
        Operation::ReadResource { uri, .. } => Some(uri),
        Operation::GetTask { task_id }
        | Operation::UpdateTask { task_id, .. }
        | Operation::CancelTask { task_id } => Some(task_id),
        _ => None,
    }
}

fn routed(route: Result<&Route<'_>, &Refusal<'_>>) {
    match route {
        Ok(Route::Invoke(invocation)) => invoked(invocation),
        Ok(Route::Notice(_) | Route::Response(_)) => {}
        Err(refusal) => refused(refusal),
    }
}

/// Checks that a request asks for nothing that its revision does not have, in the form that its operation promises, and that
/// it can be answered.
fn invoked(invocation: &Invocation<'_>) {
    let method = invocation.method();
    let served = invocation.revision;
    assert!(
        method.is_request() && method.is_in(served),
        "{method:?} in {served:?}"
    );
    let modern = invocation.era() == Era::Modern;
    match invocation.operation {
        Operation::CallTool { retry, task, .. } => {
            assert!(modern || retry.is_none(), "only the modern era has retries");
            assert!(task.is_none() || served == Revision::V2025_11_25);
            if let Some(object) = retry.and_then(|retry| retry.input_responses) {
                objects(object);
            }
        }
        Operation::ReadResource { uri, .. } | Operation::Subscribe { uri } => {
            assert!(uri.raw().len() <= URI_BYTES_MAX);
        }
        Operation::GetPrompt { arguments, .. } => strings(arguments),
        Operation::Complete { context, .. } => strings(context),
        Operation::UpdateTask { responses, .. } => objects(responses),
        Operation::Listen { filter } => acknowledged(&invocation.id, &filter),
        _ => {}
    }
    if let Some(token) = invocation.progress_token {
        written(|out| assert!(reply::progress(out, &token, 0.5, None, Some("\n"))));
    }
    let (id, era) = (&invocation.id, invocation.era());
    written(|out| reply::call_result(out, id, era, b"\"content\":[]"));
    written(|out| reply::cached_result(out, id, era, b"\"contents\":[]", Hints::NONE));
    written(|out| reply::task_result(out, id, era, b"\"taskId\":\"\""));
    if modern {
        written(|out| reply::input_required(out, id, Some(b"{}"), Some("\"")));
    }
}

fn acknowledged(id: &impl WriteId, filter: &ListenFilter<'_>) {
    let boxed = |strings: super::Strings<'_>| -> Vec<Box<str>> {
        strings.map(|string| string.to_cow().into()).collect()
    };
    let uris = boxed(filter.resource_subscriptions());
    assert!(uris.iter().all(|uri| uri.len() <= URI_BYTES_MAX));
    let honoured = Honoured {
        tools: filter.tools,
        resource_subscriptions: &uris,
        task_ids: &boxed(filter.task_ids()),
        ..Honoured::default()
    };
    written(|out| reply::acknowledged(out, id, &honoured));
    for uri in &uris {
        written(|out| reply::resource_updated(out, uri, Some(id)));
    }
}

/// Every value is an object.
fn objects(text: &[u8]) {
    assert!(Members::new(text).all(|(_, value)| value.starts_with(b"{")));
}

/// Every value is a string.
fn strings(text: Option<&[u8]>) {
    let text = text.unwrap_or(b"{}");
    assert!(Members::new(text).all(|(_, value)| value.starts_with(b"\"")));
}

fn written(write: impl FnOnce(&mut Vec<u8>)) {
    let mut out = Vec::new();
    write(&mut out);
    assert!(
        json::validate(&out, DEPTH_MAX).is_ok(),
        "a message is JSON: {}",
        String::from_utf8_lossy(&out)
    );
    assert!(!out.contains(&b'\n'), "a message is one line");
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
