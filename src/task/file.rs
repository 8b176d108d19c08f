//! A task's file: what it says, and how strictly it is read.
//!
//! ```text
//! {"margay_task":1,"sha256":"…"}      the form's number, and the digest of all that follows
//! {"id":"…","principal":"…",…}        the record
//! ```
//!
//! What a file says is believed whole or not at all: a digest that differs, a member that is missing, unknown or doubled, a value of the
//! wrong kind. JSON of clients and components stands in it as it came.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::component::Recorded;
use crate::mcp::{ClientCapabilities, Principal, Revision};
use crate::wire::json::{self, DEPTH_CAP, JsonError, Reader, Str};

use super::id::{Owner, TaskId, parse_hex};
use super::record::{Order, Record, State, Work, questions};

/// The form's number. Another form gets another number; nothing of an old one is ever read as a new one.
const FORM: u64 = 1;

/// Why a file is no task.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unreadable {
    /// Its text is not what a whole file has.
    #[error("is damaged: {0}")]
    Damaged(String),
    /// Another version of margay wrote it.
    #[error("has form {0}, and this version of margay reads form {FORM}")]
    Form(u64),
}

impl From<JsonError> for Unreadable {
    fn from(error: JsonError) -> Self {
        Self::Damaged(error.to_string())
    }
}

fn damaged(what: impl Into<String>) -> Unreadable {
    Unreadable::Damaged(what.into())
}

/// The text of a task's file.
pub fn write(record: &Record) -> Vec<u8> {
    sealed(&write_record(record))
}

/// The file of a record's text.
fn sealed(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 128);
    out.extend_from_slice(b"{\"margay_task\":");
    json::write_u64(&mut out, FORM);
    out.extend_from_slice(b",\"sha256\":\"");
    out.extend_from_slice(digest(body).as_bytes());
    out.extend_from_slice(b"\"}\n");
    out.extend_from_slice(body);
    out
}

/// Reads a task's file.
///
/// Errors: anything but what [`write()`] writes.
pub fn read(text: &[u8]) -> Result<Record, Unreadable> {
    let end = memchr::memchr(b'\n', text).ok_or_else(|| damaged("it has no first line"))?;
    let (head, body) = (&text[..end], &text[end + 1..]);
    let mut members = Members::read(head)?;
    let form = members.number("margay_task")?;
    if form != FORM {
        return Err(Unreadable::Form(form));
    }
    let told = members.string("sha256")?;
    members.end()?;
    if *told != *digest(body) {
        return Err(damaged("its digest is another one"));
    }
    read_record(body)
}

/// What has to hold for any bytes, for fuzzing: a record that is read is written and read again as it is.
#[doc(hidden)]
pub fn check(data: &[u8]) {
    let _ = read(data);
    // As a whole file: a digest is nothing that can be guessed.
    if let Ok(record) = read(&sealed(data)) {
        let again = read(&write(&record));
        assert_eq!(again, Ok(record), "a file does not read back");
    }
}

fn digest(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn write_record(record: &Record) -> Vec<u8> {
    let mut out = Writer::new(record.kept_bytes());
    out.string("id", &record.id.text());
    out.string("principal", &format!("{:032x}", record.owner.principal.0));
    out.string("tool", &record.tool);
    out.number("created_ms", record.created_ms);
    out.number("updated_ms", record.updated_ms);
    out.number("ttl_ms", record.ttl_ms);
    let state = match &record.state {
        State::Working(_) => "working",
        State::InputRequired { .. } => "input_required",
        State::Completed { .. } => "completed",
        State::Failed { .. } => "failed",
        State::Cancelled => "cancelled",
    };
    out.string("state", state);
    match &record.state {
        State::Working(work) => write_work(&mut out, work),
        State::InputRequired { work, open } => {
            write_work(&mut out, work);
            let open = open
                .iter()
                .map(|question| (&*question.key, &*question.request));
            out.map("questions", open);
        }
        State::Completed {
            members,
            meta,
            is_error,
        } => {
            out.raw("is_error", if *is_error { b"true" } else { b"false" });
            out.object("result", members);
            if !meta.is_empty() {
                out.object("result_meta", meta);
            }
        }
        State::Failed { members } => out.object("error", members),
        State::Cancelled => {}
    }
    out.end()
}

fn write_work(out: &mut Writer, work: &Work) {
    let Work { order, recorded } = work;
    out.raw("arguments", &order.arguments);
    out.string("component", &order.component);
    out.string("digest", &order.digest);
    out.string("revision", order.revision.as_str());
    out.number("capabilities", u64::from(order.capabilities.bits()));
    out.optional("client_info", order.client_info.as_deref());
    out.optional("meta", order.meta.as_deref());
    if let Some(principal) = &order.principal {
        out.string("principal_name", principal);
    }
    out.optional("who", order.who.as_deref());
    let answers = recorded.answers.iter();
    out.map(
        "answers",
        answers.map(|(key, text)| (key.as_str(), text.as_slice())),
    );
    if let Some(state) = &recorded.state {
        out.string("guest_state", &STANDARD.encode(state));
    }
    out.number("round", u64::from(recorded.round));
}

/// An object in the making.
struct Writer(Vec<u8>);

impl Writer {
    fn new(bytes: usize) -> Self {
        let mut out = Vec::with_capacity(bytes + 512);
        out.push(b'{');
        Self(out)
    }

    fn key(&mut self, key: &str) {
        if self.0.last() != Some(&b'{') {
            self.0.push(b',');
        }
        json::write_str(&mut self.0, key);
        self.0.push(b':');
    }

    fn string(&mut self, key: &str, value: &str) {
        self.key(key);
        json::write_str(&mut self.0, value);
    }

    fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        json::write_u64(&mut self.0, value);
    }

    fn raw(&mut self, key: &str, text: &[u8]) {
        self.key(key);
        self.0.extend_from_slice(text);
    }

    fn optional(&mut self, key: &str, text: Option<&[u8]>) {
        if let Some(text) = text {
            self.raw(key, text);
        }
    }

    fn object(&mut self, key: &str, members: &[u8]) {
        self.key(key);
        self.0.push(b'{');
        self.0.extend_from_slice(members);
        self.0.push(b'}');
    }

    fn map<'m>(&mut self, key: &str, entries: impl Iterator<Item = (&'m str, &'m [u8])>) {
        self.key(key);
        self.0.push(b'{');
        for (name, text) in entries {
            self.raw(name, text);
        }
        self.0.push(b'}');
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(b"}\n");
        self.0
    }
}

fn read_record(body: &[u8]) -> Result<Record, Unreadable> {
    let mut members = Members::read(body)?;
    let id = members.string("id")?;
    let id = TaskId::parse(&id).ok_or_else(|| damaged("its id is none"))?;
    let principal = members.string("principal")?;
    let principal = parse_hex(&principal).ok_or_else(|| damaged("its principal is none"))?;
    let tool = members.string("tool")?;
    let created_ms = members.number("created_ms")?;
    let updated_ms = members.number("updated_ms")?;
    let ttl_ms = members.number("ttl_ms")?;
    let state = match &*members.string("state")? {
        "working" => State::Working(Arc::new(read_work(&mut members)?)),
        "input_required" => {
            let work = Arc::new(read_work(&mut members)?);
            let open = questions(members.raw("questions")?)?;
            if open.is_empty() {
                return Err(damaged("it waits and has no open question"));
            }
            State::InputRequired {
                work,
                open: open.into(),
            }
        }
        "completed" => State::Completed {
            is_error: members.boolean("is_error")?,
            members: members.object("result")?,
            meta: members.optional_object("result_meta")?,
        },
        "failed" => State::Failed {
            members: members.object("error")?,
        },
        "cancelled" => State::Cancelled,
        other => return Err(damaged(format!("its state is `{other}`"))),
    };
    members.end()?;
    Ok(Record {
        id,
        owner: Owner {
            principal: Principal(principal),
            session: None,
        },
        tool: tool.into(),
        created_ms,
        updated_ms,
        ttl_ms,
        state,
    })
}

fn read_work(members: &mut Members<'_>) -> Result<Work, Unreadable> {
    let revision = members.string("revision")?;
    let principal = members.optional_string("principal_name")?;
    let bits = members.number("capabilities")?;
    let order = Order {
        arguments: members.raw("arguments")?.to_vec(),
        component: members.string("component")?.into(),
        digest: members.string("digest")?.into(),
        revision: Revision::parse(revision.as_bytes())
            .ok_or_else(|| damaged(format!("its revision is `{revision}`")))?,
        capabilities: u32::try_from(bits)
            .map(ClientCapabilities::from_bits)
            .map_err(|_| damaged("its capabilities are none"))?,
        client_info: members.take("client_info").map(Box::from),
        meta: members.take("meta").map(Box::from),
        principal: principal.map(Box::from),
        who: members.take("who").map(Box::from),
    };
    let mut answers = BTreeMap::new();
    for question in questions(members.raw("answers")?)? {
        if answers
            .insert(question.key.into(), question.request.into())
            .is_some()
        {
            return Err(damaged("an answer stands twice"));
        }
    }
    let state = members.optional_string("guest_state")?;
    let state = state.map(|text| STANDARD.decode(&*text));
    let round = members.number("round")?;
    let recorded = Recorded {
        answers,
        state: state
            .transpose()
            .map_err(|_| damaged("the guest's state is not base64"))?,
        round: u32::try_from(round).map_err(|_| damaged("its round is none"))?,
    };
    Ok(Work {
        order: Arc::new(order),
        recorded,
    })
}

/// The members of an object, each to be taken once.
struct Members<'b>(Vec<(Str<'b>, &'b [u8])>);

impl<'b> Members<'b> {
    /// Errors: not an object, or one with a member that stands twice.
    fn read(text: &'b [u8]) -> Result<Self, Unreadable> {
        let mut found: Vec<(Str<'b>, &'b [u8])> = Vec::new();
        let mut reader = Reader::new(text, DEPTH_CAP);
        reader.begin_object()?;
        while let Some(key) = reader.key()? {
            let name = key.to_cow();
            if found.iter().any(|(known, _)| known.eq_str(&name)) {
                return Err(damaged(format!("member {name} stands twice")));
            }
            found.push((key, reader.skip()?));
        }
        reader.end()?;
        Ok(Self(found))
    }

    fn take(&mut self, name: &str) -> Option<&'b [u8]> {
        let at = self.0.iter().position(|(known, _)| known.eq_str(name))?;
        Some(self.0.swap_remove(at).1)
    }

    fn raw(&mut self, name: &str) -> Result<&'b [u8], Unreadable> {
        self.take(name)
            .ok_or_else(|| damaged(format!("member {name} is missing")))
    }

    fn number(&mut self, name: &str) -> Result<u64, Unreadable> {
        let number = Reader::new(self.raw(name)?, 0).number()?;
        number
            .as_u64()
            .ok_or_else(|| damaged(format!("member {name} is no natural number")))
    }

    fn boolean(&mut self, name: &str) -> Result<bool, Unreadable> {
        Ok(Reader::new(self.raw(name)?, 0).boolean()?)
    }

    fn string(&mut self, name: &str) -> Result<String, Unreadable> {
        let text = Reader::new(self.raw(name)?, 0).string()?;
        Ok(text.to_cow().into_owned())
    }

    fn optional_string(&mut self, name: &str) -> Result<Option<String>, Unreadable> {
        let Some(text) = self.take(name) else {
            return Ok(None);
        };
        Ok(Some(Reader::new(text, 0).string()?.to_cow().into_owned()))
    }

    /// An object's members, without its braces.
    fn object(&mut self, name: &str) -> Result<Arc<[u8]>, Unreadable> {
        let text = self.raw(name)?;
        text.strip_prefix(b"{")
            .and_then(|text| text.strip_suffix(b"}"))
            .map(Arc::from)
            .ok_or_else(|| damaged(format!("member {name} is no object")))
    }

    /// The same of an object that may be missing.
    fn optional_object(&mut self, name: &str) -> Result<Arc<[u8]>, Unreadable> {
        match self.0.iter().any(|(known, _)| known.eq_str(name)) {
            true => self.object(name),
            false => Ok([].into()),
        }
    }

    /// Errors: a member that nobody took.
    fn end(self) -> Result<(), Unreadable> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(damaged(format!("member {} is unknown", name.to_cow()))),
        }
    }
}

#[cfg(test)]
mod tests;
