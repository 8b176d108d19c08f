//! Messages over Streamable HTTP.
//!
//! The order of the checks, which decides what a request with several faults is told: host and origin, method, media types
//! (all three before the body is read); the message itself; its era; then the era's own rules.
//!
//! Source: MCP 2026-07-28 basic/transports/streamable-http; 2025-11-25 basic/transports.

use super::{Notice, Route, Setting, invoke, level_set, notice, response};
use crate::mcp::capability::ClientCapabilities;
use crate::mcp::headers::{self, Accept};
use crate::mcp::message::{META_VERSION, Message, Shape, Value};
use crate::mcp::method::Method;
use crate::mcp::refusal::{Reason, Refusal, Requested};
use crate::mcp::revision::{Era, Revision};
use crate::mcp::sessions::{Principal, SessionFacts, SessionId, Sessions, Transport};
use crate::wire::json::Str;

/// The header fields that MCP gives a meaning to, each at most once in the head.
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpFacts<'b> {
    /// `Content-Type`.
    pub content_type: Option<&'b [u8]>,
    /// `Accept`.
    pub accept: Option<&'b [u8]>,
    /// `MCP-Protocol-Version`.
    pub protocol_version: Option<&'b [u8]>,
    /// `Mcp-Session-Id`.
    pub session_id: Option<&'b [u8]>,
    /// `Mcp-Method`.
    pub mcp_method: Option<&'b [u8]>,
    /// `Mcp-Name`.
    pub mcp_name: Option<&'b [u8]>,
    /// `Last-Event-ID`.
    pub last_event_id: Option<&'b [u8]>,
}

/// A legacy client's stream for what belongs to no request.
#[derive(Clone, Copy, Debug)]
pub struct OpenStream<'b> {
    /// Its session.
    pub session: SessionId,
    /// The session's revision.
    pub revision: Revision,
    /// Where the client wants to go on, if it does.
    pub last_event_id: Option<&'b [u8]>,
}

/// Decides over a POST's head: whether its body is worth reading.
pub fn admit_post<'b>(facts: &HttpFacts<'b>) -> Result<Accept, Refusal<'b>> {
    if !headers::is_json(facts.content_type) {
        return Err(Refusal::new(
            Reason::ContentType {
                value: facts.content_type,
            },
            None,
        ));
    }
    let accept = headers::accept(facts.accept);
    if !accept.json && !accept.events {
        let value = facts.accept.unwrap_or_default();
        return Err(Refusal::new(
            Reason::NotAcceptable {
                value,
                needs: "application/json, text/event-stream",
            },
            None,
        ));
    }
    Ok(accept)
}

/// Decides over a POST whose body was scanned.
pub fn post<'b>(
    facts: &HttpFacts<'b>,
    accept: Accept,
    message: &Message<'b>,
    sessions: &Sessions,
    principal: Principal,
    now_ms: u64,
) -> Result<Route<'b>, Refusal<'b>> {
    let request = Post {
        facts,
        accept,
        message,
        sessions,
        principal,
        now_ms,
    };
    let route = match request.era() {
        Ok(Era::Modern) => request.modern(),
        Ok(Era::Legacy) => request.legacy(),
        Err(reason) => Err(Refusal::new(reason, message.id)),
    };
    // An answer that arrives here carries our id: it is no id to answer with.
    route.map_err(|refusal| match message.shape {
        Shape::Response => refusal.with_id(None),
        _ => refusal,
    })
}

struct Post<'a, 'b> {
    facts: &'a HttpFacts<'b>,
    accept: Accept,
    message: &'a Message<'b>,
    sessions: &'a Sessions,
    principal: Principal,
    now_ms: u64,
}

impl<'b> Post<'_, 'b> {
    fn header_version(&self) -> Option<&'b [u8]> {
        self.facts.protocol_version.map(headers::trim)
    }

    /// Settles the era. The version in the body, if there is one, has to be the header's.
    fn era(&self) -> Result<Era, Reason<'b>> {
        let header = self.header_version();
        match self.message.params.meta.protocol_version {
            Value::Text(body) => agreed_version(header, body).map(Revision::era),
            Value::Absent => match header {
                None => Ok(Era::Legacy),
                Some(value) => match Revision::parse(value) {
                    Some(revision) if revision.over_http() => Ok(revision.era()),
                    _ => Err(Reason::Version {
                        requested: Requested::Header(value),
                    }),
                },
            },
            _ => Err(Reason::Meta {
                key: META_VERSION,
                expected: "a string",
            }),
        }
    }

    fn modern(&self) -> Result<Route<'b>, Refusal<'b>> {
        let message = self.message;
        let refuse = |reason| Refusal::new(reason, message.id);
        let Some(method) = message.method else {
            return Err(refuse(Reason::UnexpectedResponse));
        };
        if message.shape == Shape::Notification {
            // No header is defined for notifications; one that is there has to be right all the same.
            if self.facts.mcp_method.is_some() {
                headers::check_method(self.facts.mcp_method, method).map_err(refuse)?;
            }
            return Ok(Route::Notice(match notice(None, message) {
                // Over HTTP a modern client cancels by disconnecting: an id alone names nobody's request. And it has no
                // session whose handshake, roots or questions the others could be about.
                Notice::Cancelled { .. }
                | Notice::Initialized
                | Notice::RootsChanged { .. }
                | Notice::Progress { .. }
                | Notice::Other => Notice::Other,
            }));
        }
        let meta = &message.params.meta;
        if matches!(meta.protocol_version, Value::Absent) {
            return Err(refuse(Reason::Meta {
                key: META_VERSION,
                expected: "a string",
            }));
        }
        // Before the header checks: a request without its keys is told of these first, in whatever era its sender thought to be.
        let accept = Some((self.accept, self.facts.accept.unwrap_or_default()));
        let setting = Setting::modern(message, accept).map_err(refuse)?;
        headers::check_method(self.facts.mcp_method, method).map_err(refuse)?;
        if let Some(member) = Method::parse(method).and_then(Method::named_member) {
            let params = &message.params;
            let body = match member {
                "params.name" => params.name,
                "params.uri" => params.uri,
                _ => params.task_id,
            };
            headers::check_name(self.facts.mcp_name, body, member).map_err(refuse)?;
        }
        invoke(setting, message)
    }

    fn legacy(&self) -> Result<Route<'b>, Refusal<'b>> {
        let message = self.message;
        let refuse = |reason| Refusal::new(reason, message.id);
        let is_initialize = message.shape == Shape::Request
            && message.method.and_then(Method::parse) == Some(Method::Initialize);
        let session = self.session().map_err(refuse)?;
        if is_initialize {
            if session.is_some() {
                return Err(refuse(Reason::AlreadyInitialized));
            }
            return self.initialize();
        }
        let Some((id, facts)) = session else {
            let no_era = self.facts.protocol_version.is_none();
            return Err(refuse(if no_era {
                Reason::NoEra
            } else {
                Reason::NoSession
            }));
        };
        match message.shape {
            Shape::Response => Ok(response(Some(id), message)),
            Shape::Notification => {
                let notice = notice(Some(id), message);
                if matches!(notice, Notice::Initialized) {
                    self.sessions.mark_initialized(id, self.principal);
                }
                Ok(Route::Notice(notice))
            }
            Shape::Request => {
                let route = invoke(self.setting(Some(id), &facts), message)?;
                if let Some(level) = level_set(&route) {
                    self.sessions.set_log_level(id, self.principal, level);
                }
                Ok(route)
            }
        }
    }

    fn initialize(&self) -> Result<Route<'b>, Refusal<'b>> {
        let facts = SessionFacts {
            revision: Revision::LEGACY_ASSUMED,
            capabilities: ClientCapabilities::NONE,
            log_level: None,
            initialized: false,
            settled: false,
            transport: Transport::Streamable,
        };
        super::begin(self.setting(None, &facts), self.message)
    }

    fn setting(&self, session: Option<SessionId>, facts: &SessionFacts) -> Setting<'b> {
        Setting {
            revision: facts.revision,
            session,
            capabilities: facts.capabilities,
            log_level: facts.log_level,
            accept: Some((self.accept, self.facts.accept.unwrap_or_default())),
        }
    }

    /// The session that the header names; none without the header.
    fn session(&self) -> Result<Option<(SessionId, SessionFacts)>, Reason<'b>> {
        find(
            self.facts.session_id,
            self.sessions,
            self.principal,
            self.now_ms,
        )
    }
}

/// The revision that header and body name, if it is one and the same and we speak it.
fn agreed_version<'b>(header: Option<&'b [u8]>, body: Str<'b>) -> Result<Revision, Reason<'b>> {
    const HEADER: &str = headers::PROTOCOL_VERSION;
    let Some(value) = header else {
        return Err(Reason::HeaderMissing {
            header: HEADER,
            member: META_VERSION,
        });
    };
    if !std::str::from_utf8(value).is_ok_and(|value| body.eq_str(value)) {
        return Err(Reason::HeaderDiffers {
            header: HEADER,
            value,
            member: META_VERSION,
            body: Some(body),
        });
    }
    Revision::parse(value)
        .filter(|revision| revision.over_http())
        .ok_or(Reason::Version {
            requested: Requested::Body(body),
        })
}

pub(super) fn find<'b>(
    header: Option<&'b [u8]>,
    sessions: &Sessions,
    principal: Principal,
    now_ms: u64,
) -> Result<Option<(SessionId, SessionFacts)>, Reason<'b>> {
    let Some(value) = header else {
        return Ok(None);
    };
    let id = SessionId::parse(headers::trim(value)).ok_or(Reason::UnknownSession)?;
    let facts = sessions
        .touch(id, principal, now_ms)
        .filter(|facts| facts.transport == Transport::Streamable)
        .ok_or(Reason::UnknownSession)?;
    Ok(Some((id, facts)))
}

/// The session of a GET or DELETE, which the modern era does not have.
fn legacy_session<'b>(
    facts: &HttpFacts<'b>,
    sessions: &Sessions,
    principal: Principal,
    now_ms: u64,
) -> Result<(SessionId, SessionFacts), Reason<'b>> {
    if let Some(value) = facts.protocol_version.map(headers::trim) {
        match Revision::parse(value) {
            Some(revision) if revision.era() == Era::Modern => {
                return Err(Reason::HttpMethod {
                    why: "this protocol version has no GET and no DELETE; send POST",
                });
            }
            Some(revision) if revision.over_http() => {}
            _ => {
                return Err(Reason::Version {
                    requested: Requested::Header(value),
                });
            }
        }
    }
    find(facts.session_id, sessions, principal, now_ms)?.ok_or(Reason::NoSession)
}

/// Decides over a GET: a legacy client opens its session's stream.
///
/// The stream still has to be claimed with [`Sessions::claim_stream`]; a second one is [`Reason::StreamTaken`].
pub fn get<'b>(
    facts: &HttpFacts<'b>,
    sessions: &Sessions,
    principal: Principal,
    now_ms: u64,
) -> Result<OpenStream<'b>, Refusal<'b>> {
    let decide = || {
        let (session, found) = legacy_session(facts, sessions, principal, now_ms)?;
        if !headers::accept(facts.accept).events {
            let value = facts.accept.unwrap_or_default();
            return Err(Reason::NotAcceptable {
                value,
                needs: super::NEEDS_EVENTS,
            });
        }
        let last_event_id = facts.last_event_id.map(headers::trim);
        Ok(OpenStream {
            session,
            revision: found.revision,
            last_event_id,
        })
    };
    decide().map_err(|reason| Refusal::new(reason, None))
}

/// Decides over a DELETE, and ends the session.
///
/// Shape: the ended session and the owner of its open stream, 0 if it had none. Answer with 204.
pub fn delete<'b>(
    facts: &HttpFacts<'b>,
    sessions: &Sessions,
    principal: Principal,
    now_ms: u64,
) -> Result<(SessionId, u64), Refusal<'b>> {
    let decide = || {
        let (session, _) = legacy_session(facts, sessions, principal, now_ms)?;
        let owner = sessions
            .remove(session, principal)
            .ok_or(Reason::UnknownSession)?;
        Ok((session, owner))
    };
    decide().map_err(|reason| Refusal::new(reason, None))
}
