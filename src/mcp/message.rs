//! One JSON-RPC message, read in a single pass over its bytes.
//!
//! The pass validates the whole text (grammar, UTF-8, depth) and notes where the members that MCP gives a meaning to
//! stand; nothing is copied and nothing is allocated. Of a member that is read there is exactly one: a second one, also
//! one spelt with escapes, is refused, since two readers could each take another. Members without a meaning here are
//! checked as JSON and passed over.
//!
//! A message that is JSON but wrong is read to its end all the same, so that the answer can carry its id.

use super::id::RawId;
use super::refusal::{Reason, Refusal};
use crate::limits::ID_BYTES_MAX;
use crate::wire::json::{JsonError, Kind, Num, Reader, Str};

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
    fn read(reader: &mut Reader<'b>) -> Result<Self, JsonError> {
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
        meta: Meta {
            protocol_version: Value::Absent,
            client_capabilities: Value::Absent,
            log_level: Value::Absent,
            progress_token: Value::Absent,
            traceparent: Value::Absent,
            text: None,
        },
        text: None,
    };
}

/// Reads one message.
///
/// Shape: a whole body or stdio line in, places in it out.
/// Errors: a refusal that is ready to be written: -32700 where the text is not JSON, else -32600 or -32602.
#[inline]
pub fn scan<'b>(body: &'b [u8], depth_max: usize) -> Result<Message<'b>, Refusal<'b>> {
    let mut message = Message::EMPTY;
    scan_into(body, depth_max, &mut message)?;
    Ok(message)
}

/// Reads one message into an empty one in its final place: a message is large, and moving it while its many small parts
/// are still being written costs as much as reading them.
fn scan_into<'b>(
    body: &'b [u8],
    depth_max: usize,
    message: &mut Message<'b>,
) -> Result<(), Refusal<'b>> {
    let mut scanner = Scanner {
        reader: Reader::new(body, depth_max),
        body,
        message,
        found: Found::default(),
    };
    match scanner.run() {
        Ok(()) => scanner.found.finish(scanner.message),
        Err(error) => Err(Refusal::new(Reason::Json(error), None)),
    }
}

#[derive(Default)]
struct Found<'b> {
    jsonrpc: Value<'b>,
    id: Value<'b>,
    method: Value<'b>,
    params_kind: Option<Kind>,
    /// The first thing that is wrong although the text is JSON.
    problem: Option<Reason<'b>>,
    /// A doubled id is no id to answer with.
    id_doubled: bool,
}

struct Scanner<'a, 'b> {
    reader: Reader<'b>,
    body: &'b [u8],
    message: &'a mut Message<'b>,
    found: Found<'b>,
}

/// Keys that are read, by object; an escaped spelling is found by comparing with each.
const TOP: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];
const PARAMS: [&str; 13] = [
    "name",
    "arguments",
    "_meta",
    "uri",
    "taskId",
    "cursor",
    "protocolVersion",
    "capabilities",
    "level",
    "requestId",
    "notifications",
    "inputResponses",
    "requestState",
];
/// `_meta` key of the protocol version.
pub const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// `_meta` key of the client's capabilities.
pub const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// `_meta` key of the log level.
pub const META_LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
const META: [&str; 5] = [
    META_VERSION,
    META_CAPABILITIES,
    META_LOG_LEVEL,
    "progressToken",
    "traceparent",
];

/// The key as it reads decoded: itself if it has no escapes, else the known key that it spells, else nothing known.
fn known<'a>(key: &Str<'a>, keys: &[&'static str]) -> &'a str {
    match key.as_plain() {
        Some(plain) => plain,
        None => keys
            .iter()
            .copied()
            .find(|known| key.eq_str(known))
            .unwrap_or(""),
    }
}

impl Scanner<'_, '_> {
    fn run(&mut self) -> Result<(), JsonError> {
        match self.reader.peek()? {
            Kind::Object => self.top()?,
            Kind::Array => {
                self.reader.skip()?;
                self.found.problem = Some(Reason::Batch);
            }
            _ => {
                self.reader.skip()?;
                self.found.problem = Some(Reason::NotAnObject);
            }
        }
        self.reader.end()
    }

    fn top(&mut self) -> Result<(), JsonError> {
        self.reader.begin_object()?;
        while let Some(key) = self.reader.key()? {
            let (slot, member) = match known(&key, &TOP) {
                "jsonrpc" => (&mut self.found.jsonrpc, "jsonrpc"),
                "id" => (&mut self.found.id, "id"),
                "method" => (&mut self.found.method, "method"),
                "result" => (&mut self.message.result, "result"),
                "error" => (&mut self.message.error, "error"),
                "params" => {
                    self.params()?;
                    continue;
                }
                _ => {
                    self.reader.skip()?;
                    continue;
                }
            };
            if matches!(slot, Value::Absent) {
                *slot = Value::read(&mut self.reader)?;
            } else {
                self.reader.skip()?;
                self.found.id_doubled |= member == "id";
                self.found.problem.get_or_insert(Reason::Doubled { member });
            }
        }
        Ok(())
    }

    fn params(&mut self) -> Result<(), JsonError> {
        let kind = self.reader.peek()?;
        let doubled = self.found.params_kind.replace(kind).is_some();
        if doubled {
            self.found
                .problem
                .get_or_insert(Reason::Doubled { member: "params" });
        }
        if doubled || kind != Kind::Object {
            self.reader.skip()?;
            return Ok(());
        }
        self.reader.begin_object()?;
        let start = self.reader.position() - 1;
        while let Some(key) = self.reader.key()? {
            let params = &mut self.message.params;
            let (slot, member) = match known(&key, &PARAMS) {
                "name" => (&mut params.name, "params.name"),
                "arguments" => (&mut params.arguments, "params.arguments"),
                "uri" => (&mut params.uri, "params.uri"),
                "taskId" => (&mut params.task_id, "params.taskId"),
                "cursor" => (&mut params.cursor, "params.cursor"),
                "protocolVersion" => (&mut params.protocol_version, "params.protocolVersion"),
                "capabilities" => (&mut params.capabilities, "params.capabilities"),
                "level" => (&mut params.level, "params.level"),
                "requestId" => (&mut params.request_id, "params.requestId"),
                "notifications" => (&mut params.notifications, "params.notifications"),
                "inputResponses" => (&mut params.input_responses, "params.inputResponses"),
                "requestState" => (&mut params.request_state, "params.requestState"),
                "_meta" => {
                    self.meta()?;
                    continue;
                }
                _ => {
                    self.reader.skip()?;
                    continue;
                }
            };
            if matches!(slot, Value::Absent) {
                *slot = Value::read(&mut self.reader)?;
            } else {
                self.reader.skip()?;
                self.found.problem.get_or_insert(Reason::Doubled { member });
            }
        }
        self.message.params.text = Some(&self.body[start..self.reader.position()]);
        Ok(())
    }

    fn meta(&mut self) -> Result<(), JsonError> {
        if self.message.params.meta.text.is_some() {
            self.found.problem.get_or_insert(Reason::Doubled {
                member: "params._meta",
            });
            self.reader.skip()?;
            return Ok(());
        }
        if self.reader.peek()? != Kind::Object {
            // Kept as something that is there, so that a second `_meta` counts as one.
            self.message.params.meta.text = Some(self.reader.skip()?);
            self.found.problem.get_or_insert(Reason::WrongType {
                member: "params._meta",
                expected: "an object",
            });
            return Ok(());
        }
        self.reader.begin_object()?;
        let start = self.reader.position() - 1;
        while let Some(key) = self.reader.key()? {
            let meta = &mut self.message.params.meta;
            let (slot, member) = match known(&key, &META) {
                META_VERSION => (&mut meta.protocol_version, META_VERSION),
                META_CAPABILITIES => (&mut meta.client_capabilities, META_CAPABILITIES),
                META_LOG_LEVEL => (&mut meta.log_level, META_LOG_LEVEL),
                "progressToken" => (&mut meta.progress_token, "params._meta.progressToken"),
                "traceparent" => (&mut meta.traceparent, "params._meta.traceparent"),
                _ => {
                    self.reader.skip()?;
                    continue;
                }
            };
            if matches!(slot, Value::Absent) {
                *slot = Value::read(&mut self.reader)?;
            } else {
                self.reader.skip()?;
                self.found.problem.get_or_insert(Reason::Doubled { member });
            }
        }
        self.message.params.meta.text = Some(&self.body[start..self.reader.position()]);
        Ok(())
    }
}

impl<'b> Found<'b> {
    /// Turns what was found into a message, or into what is wrong with it.
    fn finish(self, message: &mut Message<'b>) -> Result<(), Refusal<'b>> {
        let id = match self.id {
            _ if self.id_doubled => None,
            value => value.id().filter(|id| id.written_len() <= ID_BYTES_MAX),
        };
        match self.problem {
            Some(reason) => Err(Refusal::new(reason, id)),
            None => self
                .shape(id, message)
                .map_err(|reason| Refusal::new(reason, id)),
        }
    }

    fn shape(&self, id: Option<RawId<'b>>, message: &mut Message<'b>) -> Result<(), Reason<'b>> {
        if !self
            .jsonrpc
            .text()
            .is_some_and(|version| version.eq_str("2.0"))
        {
            return Err(Reason::JsonRpcVersion);
        }
        if id.is_none() && !matches!(self.id, Value::Absent) {
            return Err(match self.id.id() {
                Some(long) => Reason::IdTooLong {
                    bytes: long.written_len(),
                },
                None => Reason::IdType,
            });
        }
        let method = match self.method {
            Value::Absent => None,
            Value::Text(method) => Some(method),
            _ => {
                return Err(Reason::WrongType {
                    member: "method",
                    expected: "a string",
                });
            }
        };
        let answers = !matches!(
            (&message.result, &message.error),
            (Value::Absent, Value::Absent)
        );
        let shape = match (method, answers) {
            (Some(_), true) | (None, false) => return Err(Reason::NoShape),
            (None, true) => Shape::Response,
            (Some(_), false) if id.is_some() => Shape::Request,
            (Some(_), false) => Shape::Notification,
        };
        if let (Some(Kind::Object), _) | (None, _) | (_, Shape::Response) =
            (self.params_kind, shape)
        {
        } else {
            return Err(Reason::WrongType {
                member: "params",
                expected: "an object",
            });
        }
        message.shape = shape;
        message.id = id;
        message.method = method;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
