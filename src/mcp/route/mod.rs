//! What a message asks for: transport facts and a scanned message in, one decision out.
//!
//! Each message belongs to one era. A modern one says so itself (`params._meta`, and over HTTP also a header) and is served
//! alone; a legacy one belongs to a session (HTTP) or to the process (stdio). Both may come to one endpoint at once.
//! The decision is made from this message and, in the legacy era, its session: never from an earlier modern message.
//!
//! Nothing here allocates, waits or remembers.
#![forbid(unsafe_code)]

mod batch;
mod http;
mod members;
mod operation;
mod parameters;
mod sse;
mod stdio;

pub use batch::{Batch, batch_session, is_batch};
pub use http::{HttpFacts, OpenStream, admit_post, delete, get, post};
pub use members::{Members, Strings};
pub use operation::{ListenFilter, Operation, Reference, Retry, TaskRequest};
pub use sse::{admit_sse, sse_message, sse_session};
pub use stdio::{Process, route_stdio};

use super::capability::{ClientCapabilities, LogLevel};
use super::headers::Accept;
use super::id::RawId;
use super::message::{
    META_CAPABILITIES, META_CLIENT_INFO, META_LOG_LEVEL, Message, Raw, Shape, Value,
};
use super::method::Method;
use super::refusal::{Reason, Refusal};
use super::revision::{Era, Revision};
use super::sessions::SessionId;
use crate::limits::ID_BYTES_MAX;
use crate::wire::json::Str;
use members::DEPTH_MAX;
use parameters::Circumstances;

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
    /// `params` as it stands, for what is passed on.
    pub params: Option<&'b [u8]>,
    /// `params._meta` as it stands, for what is passed on.
    pub meta: Option<&'b [u8]>,
}

impl Invocation<'_> {
    /// The era of its revision.
    pub fn era(&self) -> Era {
        self.revision.era()
    }

    /// The method that it was sent as.
    pub fn method(&self) -> Method {
        self.operation.method()
    }
}

// Few requests are asked for these, so they are not carried along but read from `_meta` again.
impl<'b> Invocation<'b> {
    /// `clientInfo` as JSON: of a modern request's `_meta`, or of an `initialize`. Not verified, so nothing may depend on it.
    pub fn client_info(&self) -> Option<&'b [u8]> {
        if let Operation::Initialize { client_info, .. } = self.operation {
            return client_info;
        }
        let [info] = self.meta_members([META_CLIENT_INFO]);
        info.object()
    }

    /// The trace that it belongs to.
    pub fn trace(&self) -> Trace<'b> {
        let [parent, state, baggage] = self.meta_members(["traceparent", "tracestate", "baggage"]);
        Trace {
            traceparent: parent.text(),
            tracestate: state.text(),
            baggage: baggage.text(),
        }
    }

    /// Members of `_meta`. The scanner has refused those of these that stand twice.
    fn meta_members<const COUNT: usize>(&self, names: [&'static str; COUNT]) -> [Value<'b>; COUNT] {
        let meta = self.meta.unwrap_or(b"{}");
        let names = names.map(|name| (name, name));
        members::fields(meta, names).unwrap_or([Value::Absent; COUNT])
    }
}

/// W3C trace context as it came, unchecked: what is no string is left out.
///
/// Source: 2026-07-28 basic/index, "Trace Context"; W3C Trace Context and Baggage.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trace<'b> {
    /// `traceparent`.
    pub traceparent: Option<Str<'b>>,
    /// `tracestate`.
    pub tracestate: Option<Str<'b>>,
    /// `baggage`.
    pub baggage: Option<Str<'b>>,
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
    /// The client's roots are others now.
    RootsChanged {
        /// Where; over stdio the process.
        session: Option<SessionId>,
    },
    /// The client says how far it is with a request of ours.
    Progress {
        /// Where the request was made; over stdio the process.
        session: Option<SessionId>,
        /// The token that the request gave it.
        token: RawId<'b>,
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

impl ClientResponse<'_> {
    /// The number of the request that it answers, where it is one: ours all have numbers.
    pub fn number(&self) -> Option<u64> {
        match self.id {
            Some(RawId::Integer(number)) => number.as_u64(),
            _ => None,
        }
    }
}

/// What the transport knows of a request beside its message.
#[derive(Clone, Copy)]
struct Setting<'b> {
    revision: Revision,
    session: Option<SessionId>,
    /// Of the session or the process, or of the request itself.
    capabilities: ClientCapabilities,
    /// Of the session or the process.
    log_level: Option<LogLevel>,
    /// `Accept`, read and as it stood. None: stdio, where everything goes over one channel.
    accept: Option<(Accept, &'b [u8])>,
}

/// `Accept` may not say what a stream needs.
const NEEDS_EVENTS: &str = "text/event-stream";

impl Setting<'_> {
    /// Of a modern request, which brings everything itself.
    #[inline]
    fn modern<'b>(
        message: &Message<'b>,
        accept: Option<(Accept, &'b [u8])>,
    ) -> Result<Setting<'b>, Reason<'b>> {
        Ok(Setting {
            revision: Revision::MODERN,
            session: None,
            capabilities: declared(message.params.meta.client_capabilities)?,
            log_level: None,
            accept,
        })
    }
}

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
    let meta = &message.params.meta;
    let progress_token = progress_token(meta.progress_token).map_err(refuse)?;
    let log_level = match revision.era() {
        Era::Legacy => Some(setting.log_level.unwrap_or(LogLevel::LEGACY_DEFAULT)),
        Era::Modern => wanted_level(meta.log_level).map_err(refuse)?,
    };
    let respond = respond(known == Method::Listen, setting.accept).map_err(refuse)?;
    let around = Circumstances {
        revision,
        capabilities: setting.capabilities,
        over_http: setting.accept.is_some(),
    };
    let invocation = |operation| {
        Ok(Route::Invoke(Invocation {
            revision,
            session: setting.session,
            id,
            operation,
            capabilities: setting.capabilities,
            progress_token,
            log_level,
            respond,
            params: message.params.text,
            meta: meta.text,
        }))
    };
    // The frequent one apart, so that it is made in its place and not made and moved.
    if known == Method::CallTool {
        let call = parameters::call_tool(&message.params, revision).map_err(refuse)?;
        return invocation(call);
    }
    match parameters::operation(known, message, around).map_err(refuse)? {
        Some(operation) => invocation(operation),
        None => Err(refuse(unknown)),
    }
}

/// Builds the invocation of an `initialize`, whose revision and capabilities are those that it settles.
fn begin<'b>(setting: Setting<'b>, message: &Message<'b>) -> Result<Route<'b>, Refusal<'b>> {
    let route = invoke(setting, message)?;
    if let Route::Invoke(invocation) = route
        && let Operation::Initialize {
            negotiated,
            capabilities,
            ..
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

fn progress_token<'b>(value: Value<'b>) -> Result<Option<RawId<'b>>, Reason<'b>> {
    if value.is_nothing() {
        return Ok(None);
    }
    const { assert!(ID_BYTES_MAX == 256, "the text below names it") };
    // As short as an id, since every notification carries it and it is kept like one.
    let token = value
        .id()
        .filter(|token| token.written_len() <= ID_BYTES_MAX);
    token.map(Some).ok_or(Reason::Param {
        member: "params._meta.progressToken",
        expected: "a string or an integer of at most 256 bytes",
    })
}

fn wanted_level<'b>(level: Raw<'b>) -> Result<Option<LogLevel>, Reason<'b>> {
    if !level.is_there() {
        return Ok(None);
    }
    let value = level.value();
    if value.is_nothing() {
        return Ok(None);
    }
    let level = value.text().and_then(LogLevel::parse);
    level.map(Some).ok_or(Reason::Meta {
        key: META_LOG_LEVEL,
        expected: "one of debug, info, notice, warning, error, critical, alert, emergency",
    })
}

/// One JSON object unless the client takes only events, or the answer is a stream by nature.
fn respond<'b>(stream: bool, accept: Option<(Accept, &'b [u8])>) -> Result<Respond, Reason<'b>> {
    let Some((accept, value)) = accept else {
        return Ok(Respond::Json);
    };
    match (stream, accept.json, accept.events) {
        (true, _, true) | (false, false, _) => Ok(Respond::Events),
        (true, _, false) => Err(Reason::NotAcceptable {
            value,
            needs: NEEDS_EVENTS,
        }),
        (false, true, _) => Ok(Respond::Json),
    }
}

/// The level that a `logging/setLevel` sets from here on.
fn level_set(route: &Result<Route<'_>, Refusal<'_>>) -> Option<LogLevel> {
    match route {
        Ok(Route::Invoke(Invocation {
            operation: Operation::SetLevel { level },
            ..
        })) => Some(*level),
        _ => None,
    }
}

/// Reads a notification. One that makes no sense is passed over: nobody waits for an answer.
fn notice<'b>(session: Option<SessionId>, message: &Message<'b>) -> Notice<'b> {
    debug_assert_eq!(message.shape, Shape::Notification);
    match message.method.and_then(Method::parse) {
        Some(Method::Initialized) => Notice::Initialized,
        Some(Method::Cancelled) => match message.params.request_id.value().id() {
            Some(request) => Notice::Cancelled { session, request },
            None => Notice::Other,
        },
        Some(Method::RootsChanged) => Notice::RootsChanged { session },
        Some(Method::Progress) => match message.params.progress_token.value().id() {
            Some(token) => Notice::Progress { session, token },
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
