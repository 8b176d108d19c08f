//! Messages over HTTP+SSE, the transport of 2024-11-05: a GET opens the one stream, its first event names an address with the
//! session's id, and each message is posted there. Everything is answered on the stream; a POST gets 202.
//!
//! It carries whatever legacy revision its client asks for, as stdio does: clients of later revisions fall back to it.
//!
//! Source: MCP 2024-11-05 basic/transports, "HTTP with SSE"; 2025-11-25 basic/transports, "Backwards Compatibility".

use super::{HttpFacts, Notice, Route, Setting, begin, invoke, level_set, notice, response};
use crate::mcp::headers;
use crate::mcp::message::{META_VERSION, Message, Shape, Value};
use crate::mcp::method::Method;
use crate::mcp::refusal::{Reason, Refusal, Requested};
use crate::mcp::revision::Revision;
use crate::mcp::sessions::{Principal, SessionFacts, SessionId, Sessions, Transport};

/// Decides over the GET that opens the stream. Its session is then made with [`Sessions::create_sse`].
pub fn admit_sse<'b>(facts: &HttpFacts<'b>) -> Result<(), Refusal<'b>> {
    // The revision asks for no Accept, and not all its clients send one.
    if facts.accept.is_none() || headers::accept(facts.accept).events {
        return Ok(());
    }
    let value = facts.accept.unwrap_or_default();
    let needs = super::NEEDS_EVENTS;
    Err(Refusal::new(Reason::NotAcceptable { value, needs }, None))
}

/// Finds the session that a POST's `sessionId` names. A refusal here is the POST's own answer.
pub fn sse_session<'b>(
    session_id: Option<&'b [u8]>,
    sessions: &Sessions,
    principal: Principal,
    now_ms: u64,
) -> Result<(SessionId, SessionFacts), Refusal<'b>> {
    let find = || {
        let text = session_id.ok_or(Reason::NoSseSession)?;
        let id = SessionId::parse(text).ok_or(Reason::UnknownSession)?;
        sessions
            .touch(id, principal, now_ms)
            .filter(|facts| facts.transport == Transport::Sse)
            .map(|facts| (id, facts))
            .ok_or(Reason::UnknownSession)
    };
    find().map_err(|reason| Refusal::new(reason, None))
}

/// Decides over a posted message that was scanned. A refusal here is sent on the stream, as answers are.
///
/// An `initialize` that is not refused settles the session.
pub fn sse_message<'b>(
    id: SessionId,
    facts: &SessionFacts,
    message: &Message<'b>,
    sessions: &Sessions,
    principal: Principal,
) -> Result<Route<'b>, Refusal<'b>> {
    let refuse = |reason| Refusal::new(reason, message.id);
    match message.shape {
        Shape::Response => return Ok(response(Some(id), message)),
        Shape::Notification => {
            let notice = notice(Some(id), message);
            if matches!(notice, Notice::Initialized) {
                sessions.mark_initialized(id, principal);
            }
            return Ok(Route::Notice(notice));
        }
        Shape::Request => {}
    }
    legacy_only(message).map_err(refuse)?;
    let setting = Setting {
        revision: facts.revision,
        session: Some(id),
        capabilities: facts.capabilities,
        log_level: facts.log_level,
        accept: None,
    };
    match message.method.and_then(Method::parse) {
        Some(Method::Initialize) if facts.settled => Err(refuse(Reason::AlreadyInitialized)),
        Some(Method::Initialize) => {
            let route = begin(setting, message)?;
            if let Route::Invoke(invocation) = &route
                && !sessions.settle(id, principal, invocation.revision, invocation.capabilities)
            {
                return Err(refuse(Reason::AlreadyInitialized));
            }
            Ok(route)
        }
        Some(Method::Ping) => invoke(setting, message),
        _ if !facts.settled => Err(refuse(Reason::NotInitialized)),
        _ => {
            let route = invoke(setting, message)?;
            if let Some(level) = level_set(&route) {
                sessions.set_log_level(id, principal, level);
            }
            Ok(route)
        }
    }
}

/// The modern era is not spoken over this transport.
fn legacy_only<'b>(message: &Message<'b>) -> Result<(), Reason<'b>> {
    match message.params.meta.protocol_version {
        Value::Absent => Ok(()),
        Value::Text(body) => {
            let legacy = body
                .as_plain()
                .and_then(|name| Revision::parse(name.as_bytes()))
                .is_some_and(|revision| revision != Revision::MODERN);
            let requested = Requested::Body(body);
            legacy.then_some(()).ok_or(Reason::Version { requested })
        }
        _ => Err(Reason::Meta {
            key: META_VERSION,
            expected: "a string",
        }),
    }
}
