//! Tasks: their ids, wherever one stands, and their two forms.

use std::borrow::Cow;

use super::object::{Fate, Member, Object, Writer};
use crate::wire::json::{DEPTH_CAP, JsonError, Kind, Reader, Str, write_str};

/// `_meta` key that names the task which a message belongs to (2025-11-25).
pub(super) const META_RELATED_TASK: &str = "io.modelcontextprotocol/related-task";

/// A text with every task's id in it renamed.
///
/// Shape: the result of `tools/call` (a task of both forms) or of a `tasks/…` request, the parameters of a
/// `notifications/tasks…`, or those of any message that belongs to a task. An id for which `rename` has no other stays.
pub fn rename_tasks<'a>(
    text: &'a [u8],
    rename: &mut dyn FnMut(&str) -> Option<String>,
) -> Cow<'a, [u8]> {
    let mut renamer = Renamer {
        text,
        reader: Reader::new(text, DEPTH_CAP),
        rename,
        out: Vec::new(),
        at: 0,
    };
    match renamer.all() {
        Ok(()) if renamer.at > 0 => {
            renamer.out.extend_from_slice(&text[renamer.at..]);
            Cow::Owned(renamer.out)
        }
        _ => Cow::Borrowed(text),
    }
}

/// Where in a text the reader stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    /// The result, or the parameters.
    Top,
    /// A task, or something that names one.
    Task,
    /// A list of tasks.
    Tasks,
    /// A `_meta`.
    Meta,
    /// The result in a task.
    Inlined,
    /// The questions of a task.
    Requests,
    /// One of them.
    Request,
}

impl Level {
    /// What the value of this key is.
    fn inside(self, key: Str<'_>) -> Option<Self> {
        let is = |name: &str| key.eq_str(name);
        match self {
            Self::Top if is("task") => Some(Self::Task),
            Self::Top if is("tasks") => Some(Self::Tasks),
            Self::Top if is("result") => Some(Self::Inlined),
            Self::Top if is("inputRequests") => Some(Self::Requests),
            Self::Top | Self::Inlined if is("_meta") => Some(Self::Meta),
            Self::Meta if is(META_RELATED_TASK) => Some(Self::Task),
            Self::Requests => Some(Self::Request),
            Self::Request if is("params") => Some(Self::Inlined),
            _ => None,
        }
    }
}

struct Renamer<'b, 'r> {
    text: &'b [u8],
    reader: Reader<'b>,
    rename: &'r mut dyn FnMut(&str) -> Option<String>,
    /// The text up to `at`, with other ids.
    out: Vec<u8>,
    at: usize,
}

impl Renamer<'_, '_> {
    fn all(&mut self) -> Result<(), JsonError> {
        self.walk(Level::Top)?;
        self.reader.end()
    }

    /// As deep as levels go into each other, which is not deep.
    fn walk(&mut self, level: Level) -> Result<(), JsonError> {
        match (self.reader.peek()?, level) {
            (Kind::Array, Level::Tasks) => {
                self.reader.begin_array()?;
                while self.reader.element()? {
                    self.walk(Level::Task)?;
                }
            }
            (Kind::Object, Level::Tasks) => {
                self.reader.skip()?;
            }
            (Kind::Object, _) => {
                self.reader.begin_object()?;
                while let Some(key) = self.reader.key()? {
                    if matches!(level, Level::Top | Level::Task) && key.eq_str("taskId") {
                        self.id()?;
                    } else if let Some(inside) = level.inside(key) {
                        self.walk(inside)?;
                    } else {
                        self.reader.skip()?;
                    }
                }
            }
            _ => {
                self.reader.skip()?;
            }
        }
        Ok(())
    }

    fn id(&mut self) -> Result<(), JsonError> {
        if self.reader.peek()? != Kind::String {
            self.reader.skip()?;
            return Ok(());
        }
        let start = self.reader.position();
        let id = self.reader.string()?;
        if let Some(new) = (self.rename)(&id.to_cow()) {
            self.out.extend_from_slice(&self.text[self.at..start]);
            write_str(&mut self.out, &new);
            self.at = self.reader.position();
        }
        Ok(())
    }
}

/// The task that a legacy call has become, if it has, in the form of the extension.
pub(super) fn created_to_modern(result: &Object<'_>) -> Option<Vec<u8>> {
    if result.has("content") {
        return None;
    }
    let task = to_modern(&result.find("task")?.object()?);
    let meta = result.find("_meta").map(|meta| ("_meta", meta.value));
    let object = Object::read(&task)?;
    let meta = meta.filter(|_| !object.has("_meta"));
    Some(
        object
            .changed(&[], |_| Fate::Keep, meta.as_slice())
            .into_owned(),
    )
}

/// The task that a modern call has become, in the legacy form: an object in the result.
pub(super) fn created_to_legacy(result: &Object<'_>) -> Vec<u8> {
    let facts = to_legacy(result);
    let mut out = Writer::new(facts.len() + 16);
    match Object::read(&facts) {
        Some(task) if task.has("_meta") => {
            let fate = |member: &Member<'_>| match member.is("_meta") {
                true => Fate::Drop,
                false => Fate::Keep,
            };
            out.member("task", &task.changed(&[], fate, &[]));
        }
        _ => out.member("task", &facts),
    }
    if let Some(meta) = result.find("_meta") {
        out.member("_meta", meta.value);
    }
    out.end()
}

/// The members of a legacy task in the form of the extension.
pub(super) fn to_modern(task: &Object<'_>) -> Vec<u8> {
    let fate = |member: &Member<'_>| match member {
        _ if member.is("ttl") => Fate::Named("ttlMs"),
        _ if member.is("pollInterval") => Fate::Named("pollIntervalMs"),
        _ => Fate::Keep,
    };
    task.changed(&[], fate, &[]).into_owned()
}

/// A task of the extension in the legacy form, which has neither its result nor its questions in it.
pub(super) fn to_legacy(task: &Object<'_>) -> Vec<u8> {
    let fate = |member: &Member<'_>| match member {
        _ if member.is("ttlMs") => Fate::Named("ttl"),
        _ if member.is("pollIntervalMs") => Fate::Named("pollInterval"),
        _ if member.is_one_of(&["resultType", "result", "error", "inputRequests"]) => Fate::Drop,
        _ => Fate::Keep,
    };
    task.changed(&[], fate, &[]).into_owned()
}

/// The result that says that a task's end was asked for: in the modern form it says nothing of the task.
pub(super) fn acknowledged(task: &Object<'_>) -> Vec<u8> {
    let fate = |member: &Member<'_>| match member.is_one_of(&["_meta", "resultType"]) {
        true => Fate::Keep,
        false => Fate::Drop,
    };
    task.changed(&[], fate, &[]).into_owned()
}

#[cfg(test)]
#[path = "tests/task.rs"]
mod tests;
