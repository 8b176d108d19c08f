//! Results.

use std::borrow::Cow;

use super::object::{Fate, Member, Object, Writer};
use super::task;
use crate::mcp::Method;
use crate::mcp::reply::SERVER_INFO;
use crate::wire::json::{DEPTH_CAP, Kind, Reader};

/// `_meta` key of the server's name and version.
const META_SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

/// The type of a result that is the answer.
const COMPLETE: &str = "\"complete\"";

/// What a result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultKind {
    /// The answer.
    Complete,
    /// Questions that have to be answered first.
    InputRequired,
    /// A task that goes on.
    Task,
}

/// What the text of a modern result object is. A type that is unknown is left for the client to make sense of.
pub fn result_kind(result: &[u8]) -> ResultKind {
    let mut reader = Reader::new(result, DEPTH_CAP);
    let mut read = || -> Option<ResultKind> {
        reader.begin_object().ok()?;
        while let Some(key) = reader.key().ok()? {
            if !key.eq_str("resultType") {
                reader.skip().ok()?;
                continue;
            }
            let name = reader.string().ok()?;
            return match name {
                _ if name.eq_str("input_required") => Some(ResultKind::InputRequired),
                _ if name.eq_str("task") => Some(ResultKind::Task),
                _ => None,
            };
        }
        None
    };
    read().unwrap_or(ResultKind::Complete)
}

/// Whether modern results of this method say how long they may be kept.
const fn has_hints(method: Method) -> bool {
    matches!(
        method,
        Method::Discover
            | Method::ListTools
            | Method::ListPrompts
            | Method::ListResources
            | Method::ListTemplates
            | Method::ReadResource
    )
}

/// The result of a legacy upstream for a modern client: it says what it is, that it may not be kept, and which server this is.
///
/// Shape: a call that has become a task gets the form of the tasks extension. What a modern result has to say and this one says
/// already, stays.
pub fn result_to_modern(method: Method, result: &[u8]) -> Cow<'_, [u8]> {
    let Some(object) = Object::read(result) else {
        return Cow::Borrowed(result);
    };
    let (facts, result_type) = match method {
        Method::CallTool => match task::created_to_modern(&object) {
            Some(task) => (task, "\"task\""),
            None => return completed(method, &object, COMPLETE),
        },
        Method::GetTask => (task::to_modern(&object), COMPLETE),
        Method::CancelTask => (task::acknowledged(&object), COMPLETE),
        _ => return completed(method, &object, COMPLETE),
    };
    match Object::read(&facts) {
        Some(object) => Cow::Owned(completed(method, &object, result_type).into_owned()),
        None => Cow::Borrowed(result),
    }
}

/// A result with what a modern one needs.
fn completed<'b>(method: Method, object: &Object<'b>, result_type: &str) -> Cow<'b, [u8]> {
    let mut before: Vec<(&str, &[u8])> = Vec::new();
    let mut after: Vec<(&str, &[u8])> = Vec::new();
    if !object.has("resultType") {
        before.push(("resultType", result_type.as_bytes()));
    }
    if has_hints(method) {
        if !object.has("ttlMs") {
            after.push(("ttlMs", b"0"));
        }
        if !object.has("cacheScope") {
            after.push(("cacheScope", b"\"private\""));
        }
    }
    let mut meta = Writer::new(128);
    meta.member(META_SERVER_INFO, SERVER_INFO.as_bytes());
    let meta = meta.end();
    if !object.has("_meta") {
        after.push(("_meta", &meta));
    }
    object.changed(
        &before,
        |member| match member.is("_meta") {
            true => with_server_info(member),
            false => Fate::Keep,
        },
        &after,
    )
}

fn with_server_info<'b>(member: &Member<'b>) -> Fate<'b> {
    match member.object() {
        Some(meta) if !meta.has(META_SERVER_INFO) => {
            let info = [(META_SERVER_INFO, SERVER_INFO.as_bytes())];
            Fate::Is(meta.changed(&info, |_| Fate::Keep, &[]))
        }
        _ => Fate::Keep,
    }
}

/// The result of a modern upstream for a legacy client: without what only the modern era says.
///
/// Shape: `structuredContent` that is no object goes, which no legacy client takes; its text stands in `content`. Which server
/// the upstream is stays: no legacy schema minds.
pub fn result_to_legacy(method: Method, result: &[u8]) -> Cow<'_, [u8]> {
    let Some(object) = Object::read(result) else {
        return Cow::Borrowed(result);
    };
    if method == Method::CallTool && result_kind(result) == ResultKind::Task {
        return Cow::Owned(task::created_to_legacy(&object));
    }
    if method == Method::GetTask {
        return Cow::Owned(task::to_legacy(&object));
    }
    let fate = |member: &Member<'_>| {
        let goes = member.is("resultType")
            || (has_hints(method) && member.is_one_of(&["ttlMs", "cacheScope"]))
            || (method == Method::CallTool
                && member.is("structuredContent")
                && member.kind != Kind::Object);
        match goes {
            true => Fate::Drop,
            false => Fate::Keep,
        }
    };
    object.changed(&[], fate, &[])
}

#[cfg(test)]
#[path = "tests/result.rs"]
mod tests;
