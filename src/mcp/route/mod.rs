//! What a message asks for: transport facts and a scanned message in, one decision out.
//!
//! Each message belongs to one era. A modern one says so itself (`params._meta`, and over HTTP also a header) and is served
//! alone; a legacy one belongs to a session (HTTP) or to the process (stdio). Both may come to one endpoint at once.
//! The decision is made from this message and, in the legacy era, its session: never from an earlier modern message.
//!
//! Nothing here allocates, waits or remembers.
#![forbid(unsafe_code)]

mod http;
mod stdio;

pub use http::{HttpFacts, OpenStream, admit_post, delete, get, post};
pub use stdio::{Process, route_stdio};

use super::capability::{ClientCapabilities, LogLevel};
use super::headers::Accept;
use super::id::RawId;
use super::message::{META_CAPABILITIES, META_LOG_LEVEL, Message, Shape, Value};
use super::method::Method;
use super::refusal::{Reason, Refusal};
use super::revision::{Era, Revision};
use super::sessions::SessionId;
use crate::wire::json::{JsonError, Kind, Reader, Str};

/// What to do with a message that is not refused.
#[derive(Clone, Copy, Debug)]
pub enum Route<'b> {
    /// A request: answer it.
    Invoke(Invocation<'b>),
    /// A notification: HTTP 202, and no answer.
    Notice(Notice<'b>),
    /// An answer to a request of ours: HTTP 202.
    Response(ClientResponse<'b>),
}

/// A request that is to be answered.
#[derive(Clone, Copy, Debug)]
pub struct Invocation<'b> {
    /// The revision whose rules hold for it.
    pub revision: Revision,
    /// Its session, if it has one.
    pub session: Option<SessionId>,
    /// Its id, to be given back as it is.
    pub id: RawId<'b>,
    /// What it asks for.
    pub operation: Operation<'b>,
    /// What the client can do: of this request (modern), or of its session.
    pub capabilities: ClientCapabilities,
    /// The token for progress notifications, if it wants some.
    pub progress_token: Option<RawId<'b>>,
    /// The level of log messages that it wants, if any.
    pub log_level: Option<LogLevel>,
    /// How to answer; over stdio always [`Respond::Json`].
    pub respond: Respond,
    /// `params._meta` as it stands, for what is passed on (trace context).
    pub meta: Option<&'b [u8]>,
}

impl Invocation<'_> {
    /// The era of its revision.
    pub fn era(&self) -> Era {
        self.revision.era()
    }
}

/// What a request asks for.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Operation<'b> {
    /// Start a legacy session (HTTP) or process (stdio) with this revision and these capabilities.
    Initialize {
        /// The revision to answer with and to keep.
        negotiated: Revision,
        /// What the client declares.
        capabilities: ClientCapabilities,
    },
    /// Answer with an empty result.
    Ping,
    /// Say which revisions and capabilities there are.
    Discover,
    /// List the tools.
    ListTools {
        /// Where to go on, if not at the beginning.
        cursor: Option<Str<'b>>,
    },
    /// Call a tool.
    CallTool {
        /// Which one.
        name: Str<'b>,
        /// The text of the `arguments` object, if there is one.
        arguments: Option<&'b [u8]>,
    },
    /// Open a stream of change notifications.
    Listen {
        /// What the client wants on it.
        filter: ListenFilter,
    },
}

/// What a `subscriptions/listen` wants to hear of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListenFilter {
    /// `toolsListChanged`.
    pub tools: bool,
    /// `promptsListChanged`.
    pub prompts: bool,
    /// `resourcesListChanged`.
    pub resources: bool,
}

/// How a request's answer is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Respond {
    /// One JSON object.
    Json,
    /// A stream of events that ends with the result.
    Events,
}

/// A notification.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Notice<'b> {
    /// The client is done with its handshake.
    Initialized,
    /// The client gives a request up. Its session, or its process, is the only place to look for it.
    Cancelled {
        /// Where the request was made.
        session: Option<SessionId>,
        /// Which one.
        request: RawId<'b>,
    },
    /// Any other: taken and passed over.
    Other,
}

/// An answer to a request of ours.
#[derive(Clone, Copy, Debug)]
pub struct ClientResponse<'b> {
    /// Its session.
    pub session: Option<SessionId>,
    /// The request that it answers, where it names one.
    pub id: Option<RawId<'b>>,
    /// Its result.
    pub result: Value<'b>,
    /// Its error.
    pub error: Value<'b>,
}

/// What the transport knows of a request beside its message.
#[derive(Clone, Copy)]
struct Setting<'b> {
    revision: Revision,
    session: Option<SessionId>,
    /// Of the session or the process; a modern request declares its own.
    capabilities: ClientCapabilities,
    log_level: Option<LogLevel>,
    /// `Accept`, read and as it stood. None: stdio, where everything goes over one channel.
    accept: Option<(Accept, &'b [u8])>,
}

/// `Accept` may not say what a stream needs.
const NEEDS_EVENTS: &str = "text/event-stream";

/// Nesting of the small objects read a second time; their message bounded it already.
const DEPTH_MAX: usize = usize::MAX;

/// Builds the invocation of a request whose era is settled.
fn invoke<'b>(setting: Setting<'b>, message: &Message<'b>) -> Result<Route<'b>, Refusal<'b>> {
    let refuse = |reason| Refusal::new(reason, message.id);
    let (Some(method), Some(id)) = (message.method, message.id) else {
        return Err(refuse(Reason::NoShape));
    };
    let revision = setting.revision;
    let unknown = Reason::Method { method, revision };
    let known = Method::parse(method).filter(|known| known.is_in(revision));
    let Some(known) = known else {
        return Err(refuse(unknown));
    };
    let operation = operation(known, message, unknown, setting.accept.is_some()).map_err(refuse)?;
    let meta = &message.params.meta;
    let progress_token = match meta.progress_token {
        value if value.is_nothing() => None,
        value => Some(
            value
                .id()
                .ok_or(Reason::Param {
                    member: "params._meta.progressToken",
                    expected: "a string or an integer",
                })
                .map_err(refuse)?,
        ),
    };
    let (capabilities, log_level) = match revision.era() {
        Era::Legacy => (setting.capabilities, setting.log_level),
        Era::Modern => (
            declared(meta.client_capabilities).map_err(refuse)?,
            wanted_level(meta.log_level).map_err(refuse)?,
        ),
    };
    let respond = respond(&operation, setting.accept).map_err(refuse)?;
    Ok(Route::Invoke(Invocation {
        revision,
        session: setting.session,
        id,
        operation,
        capabilities,
        progress_token,
        log_level,
        respond,
        meta: meta.text,
    }))
}

/// Builds the invocation of an `initialize`, whose revision and capabilities are those that it settles.
fn begin<'b>(setting: Setting<'b>, message: &Message<'b>) -> Result<Route<'b>, Refusal<'b>> {
    let route = invoke(setting, message)?;
    if let Route::Invoke(invocation) = route
        && let Operation::Initialize {
            negotiated,
            capabilities,
        } = invocation.operation
    {
        return Ok(Route::Invoke(Invocation {
            revision: negotiated,
            capabilities,
            ..invocation
        }));
    }
    Ok(route)
}

fn operation<'b>(
    method: Method,
    message: &Message<'b>,
    unknown: Reason<'b>,
    over_http: bool,
) -> Result<Operation<'b>, Reason<'b>> {
    let params = &message.params;
    Ok(match method {
        Method::Ping => Operation::Ping,
        Method::Discover => Operation::Discover,
        Method::Initialize => initialize(message, over_http)?,
        Method::ListTools => Operation::ListTools {
            cursor: match params.cursor {
                value if value.is_nothing() => None,
                Value::Text(cursor) => Some(cursor),
                _ => {
                    return Err(Reason::Param {
                        member: "params.cursor",
                        expected: "a string",
                    });
                }
            },
        },
        Method::CallTool => Operation::CallTool {
            name: params.name.text().ok_or(Reason::Param {
                member: "params.name",
                expected: "a string",
            })?,
            arguments: match params.arguments {
                value if value.is_nothing() => None,
                Value::Object(text) => Some(text),
                _ => {
                    return Err(Reason::Param {
                        member: "params.arguments",
                        expected: "an object",
                    });
                }
            },
        },
        Method::Listen => {
            let object = params.notifications.object();
            let object = object.ok_or(Reason::Param {
                member: "params.notifications",
                expected: "an object",
            })?;
            Operation::Listen {
                filter: listen_filter(object)?,
            }
        }
        // Notifications sent with an id.
        Method::Initialized | Method::Cancelled => return Err(unknown),
    })
}

fn initialize<'b>(message: &Message<'b>, over_http: bool) -> Result<Operation<'b>, Reason<'b>> {
    let params = &message.params;
    let requested = params.protocol_version.text();
    let requested = requested.ok_or(Reason::Param {
        member: "params.protocolVersion",
        expected: "a string",
    })?;
    let requested = requested
        .as_plain()
        .and_then(|name| Revision::parse(name.as_bytes()));
    let capabilities = match params.capabilities {
        value if value.is_nothing() => ClientCapabilities::NONE,
        Value::Object(text) => ClientCapabilities::read(text, DEPTH_MAX).map_err(Reason::Json)?,
        _ => {
            return Err(Reason::Param {
                member: "params.capabilities",
                expected: "an object",
            });
        }
    };
    Ok(Operation::Initialize {
        negotiated: Revision::negotiate(requested, over_http),
        capabilities,
    })
}

fn listen_filter<'b>(object: &'b [u8]) -> Result<ListenFilter, Reason<'b>> {
    const WRONG: Reason<'static> = Reason::Param {
        member: "params.notifications",
        expected: "an object with boolean …ListChanged members",
    };
    let read = || -> Result<Option<ListenFilter>, JsonError> {
        let mut filter = ListenFilter::default();
        let mut reader = Reader::new(object, DEPTH_MAX);
        reader.begin_object()?;
        while let Some(key) = reader.key()? {
            let slot = if key.eq_str("toolsListChanged") {
                &mut filter.tools
            } else if key.eq_str("promptsListChanged") {
                &mut filter.prompts
            } else if key.eq_str("resourcesListChanged") {
                &mut filter.resources
            } else {
                reader.skip()?;
                continue;
            };
            match reader.peek()? {
                Kind::True | Kind::False => *slot = reader.boolean()?,
                _ => return Ok(None),
            }
        }
        Ok(Some(filter))
    };
    read().map_err(Reason::Json)?.ok_or(WRONG)
}

/// The capabilities that a modern request has to declare.
fn declared<'b>(value: Value<'b>) -> Result<ClientCapabilities, Reason<'b>> {
    match value {
        // What most clients send, read without reading.
        Value::Object(b"{}") => Ok(ClientCapabilities::NONE),
        Value::Object(text) => ClientCapabilities::read(text, DEPTH_MAX).map_err(Reason::Json),
        _ => Err(Reason::Meta {
            key: META_CAPABILITIES,
            expected: "an object",
        }),
    }
}

fn wanted_level<'b>(value: Value<'b>) -> Result<Option<LogLevel>, Reason<'b>> {
    if value.is_nothing() {
        return Ok(None);
    }
    let level = value.text().and_then(|name| {
        LogLevel::ALL
            .into_iter()
            .find(|level| name.eq_str(level.as_str()))
    });
    level.map(Some).ok_or(Reason::Meta {
        key: META_LOG_LEVEL,
        expected: "one of debug, info, notice, warning, error, critical, alert, emergency",
    })
}

/// One JSON object unless the client takes only events, or the answer is a stream by nature.
fn respond<'b>(
    operation: &Operation<'b>,
    accept: Option<(Accept, &'b [u8])>,
) -> Result<Respond, Reason<'b>> {
    let Some((accept, value)) = accept else {
        return Ok(Respond::Json);
    };
    let stream = matches!(operation, Operation::Listen { .. });
    match (stream, accept.json, accept.events) {
        (true, _, true) | (false, false, _) => Ok(Respond::Events),
        (true, _, false) => Err(Reason::NotAcceptable {
            value,
            needs: NEEDS_EVENTS,
        }),
        (false, true, _) => Ok(Respond::Json),
    }
}

/// Reads a notification. One that makes no sense is passed over: nobody waits for an answer.
fn notice<'b>(session: Option<SessionId>, message: &Message<'b>) -> Notice<'b> {
    debug_assert_eq!(message.shape, Shape::Notification);
    match message.method.and_then(Method::parse) {
        Some(Method::Initialized) => Notice::Initialized,
        Some(Method::Cancelled) => match message.params.request_id.id() {
            Some(request) => Notice::Cancelled { session, request },
            None => Notice::Other,
        },
        _ => Notice::Other,
    }
}

fn response<'b>(session: Option<SessionId>, message: &Message<'b>) -> Route<'b> {
    Route::Response(ClientResponse {
        session,
        id: message.id,
        result: message.result,
        error: message.error,
    })
}

#[cfg(test)]
mod tests;
