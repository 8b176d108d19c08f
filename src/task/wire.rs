//! Tasks as JSON, in the protocol's two forms: the extension of the modern era, and the core of 2025-11-25.
//!
//! Whole messages, appended to a caller's buffer, as those of [`crate::mcp::reply`].
//!
//! Source: io.modelcontextprotocol/tasks of 2026-07-28 (SEP-2663); 2025-11-25 basic/utilities/tasks.

use std::fmt::Write;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::mcp::reply::{self, Hints, Page};
use crate::mcp::{Era, InlineId, List, Reason, WriteId, cursor};
use crate::wire::json::{self, DEPTH_CAP, Reader, Str};

use super::id::TaskId;
use super::record::{Question, Record, State};
use super::table::TaskPage;
use super::time::write_iso;

/// How long a client is asked to wait between two looks at a task.
///
/// Units: milliseconds.
pub const POLL_INTERVAL_MS: u64 = 1_000;

/// What a task takes without its result, roughly.
const TASK_BYTES: usize = 512;

/// Appends the answer to a call that has become a task.
pub fn created(out: &mut Vec<u8>, id: &impl WriteId, era: Era, record: &Record) {
    let mut task = Vec::with_capacity(TASK_BYTES);
    write_facts(&mut task, era, record);
    reply::task_result(out, id, era, &task);
}

/// Appends the answer to `tasks/get`, and in the legacy form that to `tasks/cancel`.
pub fn got(out: &mut Vec<u8>, id: &impl WriteId, era: Era, record: &Record) {
    reply::result_open(out, id, era);
    write_task(out, era, record);
    reply::result_close(out, era);
}

/// Appends the answer to the modern `tasks/update` or `tasks/cancel`: that it was taken, and nothing of the task.
pub fn acknowledged(out: &mut Vec<u8>, id: &impl WriteId) {
    reply::empty_result(out, id, Era::Modern);
}

/// Appends the answer to `tasks/list` (2025-11-25).
pub fn listed(out: &mut Vec<u8>, id: &impl WriteId, page: &TaskPage) {
    let mut entries = Vec::with_capacity(2 + page.records.len() * TASK_BYTES);
    entries.push(b'[');
    for (index, record) in page.records.iter().enumerate() {
        entries.extend_from_slice(if index > 0 { b",{" } else { b"{" });
        write_facts(&mut entries, Era::Legacy, record);
        entries.push(b'}');
    }
    entries.push(b']');
    let next = page.next.map(write_place);
    let next = next.map(|place| cursor::write(List::Tasks, &place));
    let page = Page {
        list: List::Tasks,
        entries: &entries,
        next_cursor: next.as_deref(),
    };
    reply::list_result(out, id, Era::Legacy, &page, Hints::NONE);
}

/// A task's place in lists as the name that a cursor carries.
fn write_place((created_ms, id): (u64, TaskId)) -> String {
    format!("{created_ms:x}.{}", id.text())
}

/// Where a list goes on, by its cursor.
///
/// Errors: it is no cursor of ours.
pub fn read_place<'b>(text: Str<'b>) -> Result<(u64, TaskId), Reason<'b>> {
    let name = cursor::read(List::Tasks, text)?;
    let place = name.split_once('.').and_then(|(created, id)| {
        Some((u64::from_str_radix(created, 16).ok()?, TaskId::parse(id)?))
    });
    place.ok_or(Reason::UnknownCursor { cursor: text })
}

/// Appends the answer to `tasks/result` (2025-11-25): what the call itself would have answered.
///
/// Shape: false, and nothing appended, while the task has not ended.
#[must_use]
pub fn result(out: &mut Vec<u8>, id: &impl WriteId, record: &Record) -> bool {
    match &record.state {
        State::Working(_) | State::InputRequired { .. } => return false,
        State::Completed { members, meta, .. } => {
            reply::related_task_result(out, id, members, Some(meta), &record.id.text());
        }
        State::Failed { members } => {
            error_open(out, id);
            out.extend_from_slice(members);
            out.extend_from_slice(b"}}");
        }
        State::Cancelled => {
            error_open(out, id);
            out.extend_from_slice(b"\"code\":-32603,\"message\":\"the task was cancelled\"}}");
        }
    }
    true
}

fn error_open(out: &mut Vec<u8>, id: &impl WriteId) {
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    id.write_id(out);
    out.extend_from_slice(b",\"error\":{");
}

/// Appends `notifications/tasks` for a `subscriptions/listen`.
pub fn changed(out: &mut Vec<u8>, subscription: &impl WriteId, record: &Record) {
    let mut task = Vec::with_capacity(TASK_BYTES);
    write_task(&mut task, Era::Modern, record);
    reply::task_status(out, &task, Some(subscription));
}

/// Appends `notifications/tasks/status` (2025-11-25).
pub fn status_changed(out: &mut Vec<u8>, record: &Record) {
    let mut task = Vec::with_capacity(TASK_BYTES);
    write_facts(&mut task, Era::Legacy, record);
    reply::task_status(out, &task, None::<&InlineId>);
}

/// Appends a question as a request (2025-11-25), to go out while `tasks/result` is waited for.
///
/// Shape: false, and nothing appended, where its request is not an object with a method.
#[must_use]
pub fn ask(out: &mut Vec<u8>, record: &Record, question: &Question) -> bool {
    let Some((method, params)) = method_and_params(&question.request) else {
        return false;
    };
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    json::write_str(out, &question_id(record.id, &question.key));
    out.extend_from_slice(b",\"method\":");
    out.extend_from_slice(method);
    out.extend_from_slice(b",\"params\":");
    write_related_params(out, params.unwrap_or(b"{}"), record.id);
    out.push(b'}');
    true
}

/// Appends parameters with the task's id in their `_meta`.
fn write_related_params(out: &mut Vec<u8>, params: &[u8], id: TaskId) {
    // Behind the opening brace of `_meta`, else behind that of the parameters.
    let (at, has_meta) = meta_place(params).map_or((1, false), |at| (at, true));
    out.extend_from_slice(&params[..at.min(params.len())]);
    if !has_meta {
        out.extend_from_slice(b"\"_meta\":{");
    }
    out.extend_from_slice(b"\"io.modelcontextprotocol/related-task\":{\"taskId\":\"");
    out.extend_from_slice(id.text().as_bytes());
    out.extend_from_slice(if has_meta { b"\"}" } else { b"\"}}" });
    let rest = &params[at.min(params.len())..];
    // What is empty has nothing to be parted from.
    if !rest.trim_ascii_start().starts_with(b"}") {
        out.push(b',');
    }
    out.extend_from_slice(rest);
}

/// Where the inside of an object's `_meta` begins.
fn meta_place(object: &[u8]) -> Option<usize> {
    let mut reader = Reader::new(object, DEPTH_CAP);
    reader.begin_object().ok()?;
    while let Some(key) = reader.key().ok()? {
        if key.eq_str("_meta") {
            reader.begin_object().ok()?;
            return Some(reader.position());
        }
        reader.skip().ok()?;
    }
    None
}

/// The texts of a request's `method` and `params`.
fn method_and_params(request: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let (mut method, mut params) = (None, None);
    let mut reader = Reader::new(request, DEPTH_CAP);
    reader.begin_object().ok()?;
    while let Some(key) = reader.key().ok()? {
        let text = reader.skip().ok()?;
        if key.eq_str("method") {
            method = Some(text);
        } else if key.eq_str("params") {
            params = Some(text);
        }
    }
    Some((method?, params))
}

/// The id of a question's request: from it the answer finds back. Keys may be longer than an id, so a digest stands for one.
fn question_id(id: TaskId, key: &str) -> String {
    format!("{}/{}", id.text(), key_mark(key))
}

fn key_mark(key: &str) -> String {
    let digest = Sha256::digest(key.as_bytes());
    let mut mark = String::with_capacity(16);
    for byte in &digest[..8] {
        // Writing to a `String` cannot fail.
        let _ = write!(mark, "{byte:02x}");
    }
    mark
}

/// The task that an answer's id names, and the mark of its question, if the id is one of [`ask`].
pub fn read_question_id(text: &str) -> Option<(&str, &str)> {
    let (id, mark) = text.split_once('/')?;
    TaskId::parse(id)?;
    Some((id, mark))
}

/// The key of the open question that a mark stands for.
pub fn marked_key<'r>(record: &'r Record, mark: &str) -> Option<&'r str> {
    let State::InputRequired { open, .. } = &record.state else {
        return None;
    };
    let question = open
        .iter()
        .find(|question| key_mark(&question.key) == mark)?;
    Some(&question.key)
}

/// Appends a task's members with what belongs to its state.
fn write_task(out: &mut Vec<u8>, era: Era, record: &Record) {
    write_facts(out, era, record);
    if era == Era::Legacy {
        return;
    }
    match &record.state {
        State::Working(_) | State::Cancelled => {}
        State::InputRequired { open, .. } => {
            out.extend_from_slice(b",\"inputRequests\":");
            write_questions(out, open);
        }
        State::Completed { members, meta, .. } => {
            out.extend_from_slice(b",\"result\":{");
            out.extend_from_slice(members);
            if !meta.is_empty() {
                out.extend_from_slice(b",\"_meta\":{");
                out.extend_from_slice(meta);
                out.push(b'}');
            }
            out.push(b'}');
        }
        State::Failed { members } => {
            out.extend_from_slice(b",\"error\":{");
            out.extend_from_slice(members);
            out.push(b'}');
        }
    }
}

fn write_questions(out: &mut Vec<u8>, open: &Arc<[Question]>) {
    out.push(b'{');
    for (index, question) in open.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        json::write_str(out, &question.key);
        out.push(b':');
        out.extend_from_slice(&question.request);
    }
    out.push(b'}');
}

/// Appends the members that a task has in every state.
fn write_facts(out: &mut Vec<u8>, era: Era, record: &Record) {
    out.extend_from_slice(b"\"taskId\":\"");
    out.extend_from_slice(record.id.text().as_bytes());
    out.extend_from_slice(b"\",\"status\":\"");
    out.extend_from_slice(status(era, &record.state).as_bytes());
    out.extend_from_slice(b"\",");
    if let Some(message) = status_message(&record.state) {
        out.extend_from_slice(b"\"statusMessage\":");
        json::write_str(out, &message);
        out.push(b',');
    }
    out.extend_from_slice(b"\"createdAt\":\"");
    write_iso(out, record.created_ms);
    out.extend_from_slice(b"\",\"lastUpdatedAt\":\"");
    write_iso(out, record.updated_ms);
    let (ttl, poll) = match era {
        Era::Modern => ("\",\"ttlMs\":", ",\"pollIntervalMs\":"),
        Era::Legacy => ("\",\"ttl\":", ",\"pollInterval\":"),
    };
    out.extend_from_slice(ttl.as_bytes());
    json::write_u64(out, record.ttl_ms);
    out.extend_from_slice(poll.as_bytes());
    json::write_u64(out, POLL_INTERVAL_MS);
}

/// The status's name. A tool that says itself that it failed has a result all the same: the modern form calls that completed, the
/// legacy one failed.
pub fn status(era: Era, state: &State) -> &'static str {
    match state {
        State::Working(_) => "working",
        State::InputRequired { .. } => "input_required",
        State::Completed { is_error: true, .. } if era == Era::Legacy => "failed",
        State::Completed { .. } => "completed",
        State::Failed { .. } => "failed",
        State::Cancelled => "cancelled",
    }
}

/// What a person is told of the status.
fn status_message(state: &State) -> Option<String> {
    match state {
        State::Working(_) | State::Completed { .. } | State::Cancelled => None,
        State::InputRequired { open, .. } => Some(match open.len() {
            1 => "waits for an answer".to_owned(),
            count => format!("waits for {count} answers"),
        }),
        State::Failed { members } => {
            let text = [b"{", &**members, b"}"].concat();
            let mut reader = Reader::new(&text, DEPTH_CAP);
            reader.begin_object().ok()?;
            while let Some(key) = reader.key().ok()? {
                if key.eq_str("message") {
                    return Some(reader.string().ok()?.to_cow().into_owned());
                }
                reader.skip().ok()?;
            }
            None
        }
    }
}

#[cfg(test)]
mod tests;
