//! The pass over a message's bytes: what it reads, in which object, and what is wrong with it.

use super::{
    META_CAPABILITIES, META_CLIENT_INFO, META_LOG_LEVEL, META_VERSION, Message, Shape, Value,
};
use crate::limits::ID_BYTES_MAX;
use crate::mcp::id::RawId;
use crate::mcp::refusal::{Reason, Refusal};
use crate::wire::json::{JsonError, Kind, Reader, Str};

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
const PARAMS: [&str; 19] = [
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
    "task",
    "ref",
    "argument",
    "context",
    "clientInfo",
    "progressToken",
];
const META: [&str; 8] = [
    META_VERSION,
    META_CAPABILITIES,
    META_LOG_LEVEL,
    META_CLIENT_INFO,
    "progressToken",
    "traceparent",
    "tracestate",
    "baggage",
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
                "_meta" => {
                    self.meta()?;
                    continue;
                }
                "uri" => (&mut params.uri, "params.uri"),
                "taskId" => (&mut params.task_id, "params.taskId"),
                other => {
                    self.rare(other, key)?;
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

    /// A member of `params` that only few methods have, or one without a meaning.
    fn rare(&mut self, name: &str, key: Str<'_>) -> Result<(), JsonError> {
        let params = &mut self.message.params;
        let (slot, member) = match name {
            "cursor" => (&mut params.cursor, "params.cursor"),
            "protocolVersion" => (&mut params.protocol_version, "params.protocolVersion"),
            "capabilities" => (&mut params.capabilities, "params.capabilities"),
            "clientInfo" => (&mut params.client_info, "params.clientInfo"),
            "level" => (&mut params.level, "params.level"),
            "requestId" => (&mut params.request_id, "params.requestId"),
            "progressToken" => (&mut params.progress_token, "params.progressToken"),
            "notifications" => (&mut params.notifications, "params.notifications"),
            "inputResponses" => (&mut params.input_responses, "params.inputResponses"),
            "requestState" => (&mut params.request_state, "params.requestState"),
            "task" => (&mut params.task, "params.task"),
            "ref" => (&mut params.reference, "params.ref"),
            "argument" => (&mut params.argument, "params.argument"),
            "context" => (&mut params.context, "params.context"),
            _ => {
                // Parameters are handed on as they are, and what reads them then may not tell upper from lower case.
                let meant = PARAMS.iter().find(|name| key.is_variant_of(name));
                if let Some(&member) = meant {
                    self.found.problem.get_or_insert(Reason::Variant { member });
                }
                return self.reader.skip().map(drop);
            }
        };
        let text = self.reader.skip_text()?;
        if !slot.note(text) {
            self.found.problem.get_or_insert(Reason::Doubled { member });
        }
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
                "progressToken" => (&mut meta.progress_token, "params._meta.progressToken"),
                other => {
                    self.rare_meta(other)?;
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

    /// A key of `_meta` that is only handed on, or one without a meaning.
    fn rare_meta(&mut self, name: &str) -> Result<(), JsonError> {
        let meta = &mut self.message.params.meta;
        let (slot, member) = match name {
            META_CLIENT_INFO => (&mut meta.client_info, META_CLIENT_INFO),
            META_LOG_LEVEL => (&mut meta.log_level, META_LOG_LEVEL),
            "traceparent" => (&mut meta.traceparent, "params._meta.traceparent"),
            "tracestate" => (&mut meta.tracestate, "params._meta.tracestate"),
            "baggage" => (&mut meta.baggage, "params._meta.baggage"),
            _ => return self.reader.skip().map(drop),
        };
        let text = self.reader.skip_text()?;
        if !slot.note(text) {
            self.found.problem.get_or_insert(Reason::Doubled { member });
        }
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
