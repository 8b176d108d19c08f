//! Why a message is not served: the HTTP status, the JSON-RPC code, and a text that says what to change.
//!
//! A refusal borrows what it quotes from the message and is written straight into the answer's buffer: refusing costs no
//! allocation, so that a flood of bad requests is cheaper than a flood of good ones. Quoted values are cut to
//! [`EXCERPT_BYTES_MAX`].

use std::fmt::{self, Write};

mod text;
mod verdict;

use super::capability::ClientCapabilities;
use super::id::RawId;
use super::method::Method;
use super::reply;
use super::revision::{Era, Revision};
use crate::wire::json::{self, JsonError, Str};

pub use text::{EXCERPT_BYTES_MAX, Excerpt};

/// A message, or a request for a stream, that is not served.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'b> {
    /// Status of the HTTP answer; over stdio it has no meaning.
    pub http_status: u16,
    /// JSON-RPC error code.
    pub code: i32,
    /// What is wrong.
    pub reason: Reason<'b>,
    /// The id to answer with, where it could be read.
    pub id: Option<RawId<'b>>,
}

/// What is wrong with a message. `Display` is the text that the caller gets.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Reason<'b> {
    /// The body is not JSON.
    Json(JsonError),
    /// The body is an array, where none may be.
    Batch,
    /// A batch has no message in it.
    BatchEmpty,
    /// A batch has more messages than a bound allows.
    BatchTooLong {
        /// The bound, `limits.batch_count_max`.
        count_max: usize,
    },
    /// A batch stands in a batch.
    BatchNested,
    /// `initialize` stands in a batch.
    BatchInitialize,
    /// The body is neither object nor array.
    NotAnObject,
    /// A member that is read stands twice.
    Doubled {
        /// Which one.
        member: &'static str,
    },
    /// A member is spelt as one that is read, but for upper and lower case: another reader would take it for that.
    Variant {
        /// That one.
        member: &'static str,
    },
    /// A member has the wrong type.
    WrongType {
        /// Which one.
        member: &'static str,
        /// What it has to be.
        expected: &'static str,
    },
    /// `jsonrpc` is not `"2.0"`.
    JsonRpcVersion,
    /// The id is neither string nor integer.
    IdType,
    /// The id is longer than we keep.
    IdTooLong {
        /// Its length.
        bytes: usize,
    },
    /// Neither request, notification nor response.
    NoShape,
    /// A response where none is expected.
    UnexpectedResponse,
    /// The body's media type is not JSON.
    ContentType {
        /// The header's value.
        value: Option<&'b [u8]>,
    },
    /// None of our media types is acceptable.
    NotAcceptable {
        /// The header's value.
        value: &'b [u8],
        /// What has to be in it.
        needs: &'static str,
    },
    /// The HTTP method has no meaning here.
    HttpMethod {
        /// Why not.
        why: &'static str,
    },
    /// `Host` names another host.
    Host {
        /// The header's value.
        value: Option<&'b [u8]>,
    },
    /// `Origin` names another origin.
    Origin {
        /// The header's value.
        value: &'b [u8],
    },
    /// A header that has to be there is not.
    HeaderMissing {
        /// The header.
        header: &'static str,
        /// The member of the body that it repeats.
        member: &'static str,
    },
    /// A header's value cannot be read.
    HeaderMalformed {
        /// The header.
        header: &'static str,
        /// Its value.
        value: &'b [u8],
    },
    /// A header's value is not the body's.
    HeaderDiffers {
        /// The header.
        header: &'static str,
        /// Its value.
        value: &'b [u8],
        /// The member of the body that it repeats.
        member: &'static str,
        /// The body's value, where it is a string.
        body: Option<Str<'b>>,
    },
    /// An `Mcp-Param-*` header does not agree with the tool's argument.
    ParamHeader {
        /// What is wrong with it.
        fault: ParamFault,
        /// The header's name after `Mcp-Param-`. It comes from the tool's schema, so it is not the caller's text.
        argument: &'b str,
        /// Its value.
        value: &'b [u8],
    },
    /// A modern request lacks a `_meta` key, or it has the wrong type.
    Meta {
        /// The key.
        key: &'static str,
        /// What it has to be.
        expected: &'static str,
    },
    /// The protocol version is not one that we speak here.
    Version {
        /// The version asked for.
        requested: Requested<'b>,
    },
    /// The method is not one of this revision, or not served.
    Method {
        /// The method.
        method: Str<'b>,
        /// The revision of the request.
        revision: Revision,
    },
    /// The method is one of this revision, and what it is for is not offered here.
    NotOffered {
        /// The method.
        method: Method,
        /// The revision of the request.
        revision: Revision,
    },
    /// A parameter is missing or has the wrong type.
    Param {
        /// Which one.
        member: &'static str,
        /// What it has to be.
        expected: &'static str,
    },
    /// There is no tool of this name.
    UnknownTool {
        /// The name asked for.
        name: Str<'b>,
    },
    /// There is no prompt of this name.
    UnknownPrompt {
        /// The name asked for.
        name: Str<'b>,
    },
    /// There is no resource at this address.
    UnknownResource {
        /// The address asked for.
        uri: Str<'b>,
        /// Each era has its own code for it.
        era: Era,
    },
    /// There is no resource template of this text.
    UnknownTemplate {
        /// The text asked for.
        template: Str<'b>,
    },
    /// There is no task of this id, or none of this principal's.
    UnknownTask {
        /// The id asked for.
        task: Str<'b>,
    },
    /// The task has ended, so that it cannot be cancelled (legacy).
    TaskEnded {
        /// How it ended.
        status: &'static str,
    },
    /// The tool runs only as a task, or never as one (legacy).
    TaskSupport {
        /// The tool.
        name: Str<'b>,
        /// Whether it has to run as a task.
        required: bool,
    },
    /// There is no log level of this name.
    UnknownLevel {
        /// The name.
        level: Str<'b>,
    },
    /// The request's `requestState` is not taken.
    State {
        /// Why not.
        fault: StateFault,
    },
    /// `Last-Event-ID` is not an id of ours.
    EventId {
        /// The header's value.
        value: &'b [u8],
    },
    /// The stream that `Last-Event-ID` names is not kept any longer, or never was.
    EventsGone {
        /// The header's value.
        value: &'b [u8],
    },
    /// A list is not served without an upstream that is down.
    ListIncomplete {
        /// The upstream.
        upstream: ShortName,
    },
    /// The cursor is not one of ours.
    UnknownCursor {
        /// The cursor.
        cursor: Str<'b>,
    },
    /// The request needs a capability that it does not declare.
    Capability {
        /// Those that it needs.
        required: ClientCapabilities,
    },
    /// Neither modern `_meta`, nor `initialize`, nor a session.
    NoEra,
    /// The session is unknown, ended, expired or somebody else's.
    UnknownSession,
    /// The request needs a session.
    NoSession,
    /// A message posted to HTTP+SSE names no session.
    NoSseSession,
    /// `initialize` inside a session or an initialized process.
    AlreadyInitialized,
    /// A request over stdio before `initialize`.
    NotInitialized,
    /// The session has its stream already.
    StreamTaken,
    /// The caller has not shown who it is, or not so that it is believed.
    Unauthenticated {
        /// What is wrong, without a word about what was shown.
        fault: &'static str,
        /// 401, or 400 for what is no credential at all.
        status: u16,
    },
    /// A rule denies this to the caller, or none allows it.
    Forbidden {
        /// The method.
        method: Method,
        /// The rule that denies it.
        rule: Option<ShortName>,
    },
    /// The caller's token lacks scopes that a rule wants.
    NeedsScopes {
        /// The rule.
        rule: ShortName,
    },
    /// The caller does this too often.
    RateLimited {
        /// The limit, as the configuration names it.
        limit: ShortName,
        /// When it may come again.
        retry_after_ms: u64,
    },
    /// What the tool says of itself has changed since an operator approved it.
    ToolChanged {
        /// The tool.
        name: Str<'b>,
    },
    /// A bound is reached.
    Overloaded {
        /// Which one.
        limit: &'static str,
        /// Its value.
        value: usize,
    },
    /// The message is longer than a bound.
    TooLong {
        /// Which one.
        limit: &'static str,
        /// Its value, in bytes.
        value: usize,
    },
    /// A defect of ours.
    Internal,
}

/// A version as it was asked for: in a header, or in the body.
#[derive(Clone, Copy, Debug)]
pub enum Requested<'b> {
    /// A header's bytes.
    Header(&'b [u8]),
    /// A string of the body.
    Body(Str<'b>),
}

/// A name of the operator's, short enough to be carried along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortName {
    bytes: [u8; Self::BYTES_MAX],
    length: u8,
}

impl ShortName {
    /// The longest; what is longer is cut.
    pub const BYTES_MAX: usize = 32;

    /// A copy of a name.
    pub fn new(name: &str) -> Self {
        let length = name.floor_char_boundary(Self::BYTES_MAX);
        let mut bytes = [0; Self::BYTES_MAX];
        bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
        Self {
            bytes,
            length: length as u8,
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or_default()
    }
}

/// What is wrong with a `requestState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateFault {
    /// It was not made here, or not for this principal, or it was changed.
    Forged,
    /// Its time is over.
    Expired,
    /// It belongs to a request with another method or other parameters.
    OtherRequest,
}

/// What is wrong with an `Mcp-Param-*` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamFault {
    /// The argument is there, the header is not.
    Missing,
    /// The header is there, the argument is not.
    Unasked,
    /// The header stands twice.
    Doubled,
    /// The value cannot be decoded.
    Malformed,
    /// Header and argument have different values.
    Differs,
}

impl<'b> Refusal<'b> {
    /// A refusal with its usual code and status.
    pub fn new(reason: Reason<'b>, id: Option<RawId<'b>>) -> Self {
        let (http_status, code) = reason.verdict();
        Self {
            http_status,
            code,
            reason,
            id,
        }
    }

    /// The same refusal for a request with this id.
    #[must_use]
    pub fn with_id(mut self, id: Option<RawId<'b>>) -> Self {
        self.id = id;
        self
    }

    /// Appends the JSON-RPC error message.
    pub fn write(&self, out: &mut Vec<u8>) {
        reply::error_open(out, self.id.as_ref(), self.code);
        let mut escaped = Escaped(out);
        // Writing to a `Vec` cannot fail.
        let _ = write!(escaped, "{}", self.reason);
        let out = escaped.0;
        out.push(b'"');
        self.reason.write_data(out);
        reply::error_close(out);
    }
}

/// Writes text as the inside of a JSON string.
struct Escaped<'a>(&'a mut Vec<u8>);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        json::write_escaped(self.0, text);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
