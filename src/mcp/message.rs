//! One JSON-RPC message, read in a single pass over its bytes.
//!
//! The pass validates the whole text (grammar, UTF-8, depth) and notes where the members that MCP gives a meaning to
//! stand; nothing is copied and nothing is allocated. Of a member that is read there is exactly one: a second one, also
//! one spelt with escapes, is refused, since two readers could each take another. Members without a meaning here are
//! checked as JSON and passed over.
//!
//! A message that is JSON but wrong is read to its end all the same, so that the answer can carry its id.

mod scanner;

pub use scanner::scan;

use super::id::RawId;
use crate::wire::json::{JsonError, Kind, Num, Reader, Str};

/// `_meta` key of the protocol version.
pub const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// `_meta` key of the client's capabilities.
pub const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// `_meta` key of the log level.
pub const META_LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
/// `_meta` key of the client's name and version.
pub const META_CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";

/// The value of a member that is read: scalars as such, containers as their exact text.
#[derive(Clone, Copy, Debug, Default)]
pub enum Value<'b> {
    /// There is no such member.
    #[default]
    Absent,
    /// `null`.
    Null,
    /// A boolean.
    Boolean(bool),
    /// A number.
    Number(Num<'b>),
    /// A string.
    Text(Str<'b>),
    /// An object, braces included.
    Object(&'b [u8]),
    /// An array, brackets included.
    Array(&'b [u8]),
}

impl<'b> Value<'b> {
    /// Whether the member is missing, or `null`, which optional members may also be.
    pub fn is_nothing(&self) -> bool {
        matches!(self, Self::Absent | Self::Null)
    }

    /// The string, if it is one.
    pub fn text(&self) -> Option<Str<'b>> {
        match self {
            Self::Text(text) => Some(*text),
            _ => None,
        }
    }

    /// The object's text, if it is one.
    pub fn object(&self) -> Option<&'b [u8]> {
        match self {
            Self::Object(text) => Some(text),
            _ => None,
        }
    }

    /// The value as an id or a progress token, if it can be one.
    pub fn id(&self) -> Option<RawId<'b>> {
        match self {
            Self::Text(text) => Some(RawId::Text(*text)),
            Self::Number(number) => RawId::integer(*number),
            _ => None,
        }
    }

    /// Reads the value that comes next.
    #[inline]
    pub(crate) fn read(reader: &mut Reader<'b>) -> Result<Self, JsonError> {
        Ok(match reader.peek()? {
            Kind::String => Self::Text(reader.string()?),
            Kind::Object => Self::Object(reader.skip()?),
            Kind::Number => Self::Number(reader.number()?),
            Kind::Array => Self::Array(reader.skip()?),
            Kind::True | Kind::False => Self::Boolean(reader.boolean()?),
            Kind::Null => {
                reader.null()?;
                Self::Null
            }
        })
    }
}

/// What kind of message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A method and an id: it wants an answer.
    Request,
    /// A method and no id: it gets none.
    Notification,
    /// A result or an error: it answers a request of ours.
    Response,
}

/// The members of `params._meta` that are read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meta<'b> {
    /// `io.modelcontextprotocol/protocolVersion`.
    pub protocol_version: Value<'b>,
    /// `io.modelcontextprotocol/clientCapabilities`.
    pub client_capabilities: Value<'b>,
    /// `io.modelcontextprotocol/logLevel`.
    pub log_level: Value<'b>,
    /// `progressToken`.
    pub progress_token: Value<'b>,
    /// `traceparent`.
    pub traceparent: Value<'b>,
    /// `tracestate`.
    pub tracestate: Value<'b>,
    /// `baggage`.
    pub baggage: Value<'b>,
    /// `io.modelcontextprotocol/clientInfo`.
    pub client_info: Value<'b>,
    /// The whole object, where there is one: keys that are not read here can still be passed on.
    pub text: Option<&'b [u8]>,
}

/// The members of `params` that are read, whatever the method: the method may stand after them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Params<'b> {
    /// `name` of a tool or prompt.
    pub name: Value<'b>,
    /// `uri` of a resource.
    pub uri: Value<'b>,
    /// `taskId`.
    pub task_id: Value<'b>,
    /// `arguments`.
    pub arguments: Value<'b>,
    /// `cursor`.
    pub cursor: Value<'b>,
    /// `protocolVersion` of an `initialize`.
    pub protocol_version: Value<'b>,
    /// `capabilities` of an `initialize`.
    pub capabilities: Value<'b>,
    /// `level` of a `logging/setLevel`.
    pub level: Value<'b>,
    /// `requestId` of a `notifications/cancelled`.
    pub request_id: Value<'b>,
    /// `notifications` of a `subscriptions/listen`.
    pub notifications: Value<'b>,
    /// `inputResponses` of a retry.
    pub input_responses: Value<'b>,
    /// `requestState` of a retry.
    pub request_state: Value<'b>,
    /// `task` of a request that is to run as one.
    pub task: Value<'b>,
    /// `ref` of a `completion/complete`.
    pub reference: Value<'b>,
    /// `argument` of a `completion/complete`.
    pub argument: Value<'b>,
    /// `context` of a `completion/complete`.
    pub context: Value<'b>,
    /// `clientInfo` of an `initialize`.
    pub client_info: Value<'b>,
    /// `progressToken` of a `notifications/progress`.
    pub progress_token: Value<'b>,
    /// `_meta`.
    pub meta: Meta<'b>,
    /// The whole object, where there is one.
    pub text: Option<&'b [u8]>,
}

/// One message, as places in its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Message<'b> {
    /// What kind of message it is.
    pub shape: Shape,
    /// The id: there for a request, and for a response that names its request.
    pub id: Option<RawId<'b>>,
    /// The method: there for requests and notifications.
    pub method: Option<Str<'b>>,
    /// The parameters.
    pub params: Params<'b>,
    /// A response's `result`.
    pub result: Value<'b>,
    /// A response's `error`.
    pub error: Value<'b>,
}

impl Message<'_> {
    /// What a scan starts from.
    const EMPTY: Self = Self {
        shape: Shape::Notification,
        id: None,
        method: None,
        params: Params::EMPTY,
        result: Value::Absent,
        error: Value::Absent,
    };
}

impl Params<'_> {
    const EMPTY: Self = Self {
        name: Value::Absent,
        uri: Value::Absent,
        task_id: Value::Absent,
        arguments: Value::Absent,
        cursor: Value::Absent,
        protocol_version: Value::Absent,
        capabilities: Value::Absent,
        level: Value::Absent,
        request_id: Value::Absent,
        notifications: Value::Absent,
        input_responses: Value::Absent,
        request_state: Value::Absent,
        task: Value::Absent,
        reference: Value::Absent,
        argument: Value::Absent,
        context: Value::Absent,
        client_info: Value::Absent,
        progress_token: Value::Absent,
        meta: Meta {
            protocol_version: Value::Absent,
            client_capabilities: Value::Absent,
            log_level: Value::Absent,
            progress_token: Value::Absent,
            traceparent: Value::Absent,
            tracestate: Value::Absent,
            baggage: Value::Absent,
            client_info: Value::Absent,
            text: None,
        },
        text: None,
    };
}

#[cfg(test)]
mod tests;
