//! Messages of ours, appended to a caller's buffer: results, errors and notifications.
//!
//! Everything that does not change is one constant, so an answer is a few copies. Bodies only: framing them as HTTP,
//! as an event or as a line is the transport's. No message contains a line break, so each of them is also a stdio line.

mod notification;
mod offer;
mod request;

pub use notification::{
    Honoured, acknowledged, cancelled, list_changed, log_message, progress, resource_updated,
    task_status,
};
pub use offer::Offer;
pub use request::{Asked, input_request, request};

use super::id::WriteId;
use super::list::List;
use super::revision::{Era, Revision, SUPPORTED_JSON};
use crate::wire::json;

/// The server's name in `serverInfo`.
pub const SERVER_NAME: &str = "margay";
/// The server's version in `serverInfo`.
pub const SERVER_VERSION: &str = env!("CARGO_PKG_VERSION");

/// `serverInfo` as JSON.
macro_rules! server_info {
    () => {
        concat!(
            "{\"name\":\"margay\",\"title\":\"Margay\",\"version\":\"",
            env!("CARGO_PKG_VERSION"),
            "\"}"
        )
    };
}

/// `serverInfo` as the text of a JSON object.
pub const SERVER_INFO: &str = server_info!();

/// The `_meta` of every modern result.
const RESULT_META: &str = concat!(
    "\"_meta\":{\"io.modelcontextprotocol/serverInfo\":",
    server_info!(),
    "}"
);

/// Whether caches that serve several users may keep a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheScope {
    /// The result is the same for everybody.
    Public,
    /// The result depends on who asked.
    Private,
}

impl CacheScope {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
        }
    }
}

/// How long, and for whom, a modern client may keep a result. Legacy ones are not told.
///
/// A result that answers a retry may not be kept at all: [`Hints::NONE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hints {
    /// Milliseconds for which it stays fresh.
    pub ttl_ms: u64,
    /// For whom.
    pub scope: CacheScope,
}

impl Hints {
    /// Not to be kept.
    pub const NONE: Self = Self {
        ttl_ms: 0,
        scope: CacheScope::Private,
    };
}

/// One page of a list.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// Which list.
    pub list: List,
    /// The text of a JSON array.
    pub entries: &'a [u8],
    /// What the next page is asked for with, if there is one; [`super::cursor`] makes it.
    pub next_cursor: Option<&'a str>,
}

/// Appends the beginning of a result up to its first member, `resultType` of modern ones included.
pub fn result_open(out: &mut Vec<u8>, id: &impl WriteId, era: Era) {
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    id.write_id(out);
    out.extend_from_slice(match era {
        Era::Legacy => b",\"result\":{".as_slice(),
        Era::Modern => b",\"result\":{\"resultType\":\"complete\",".as_slice(),
    });
}

/// Appends the beginning of a modern result of another type than `complete`, without a comma.
fn typed_open(out: &mut Vec<u8>, id: &impl WriteId, result_type: &str) {
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    id.write_id(out);
    out.extend_from_slice(b",\"result\":{\"resultType\":\"");
    out.extend_from_slice(result_type.as_bytes());
    out.push(b'"');
}

/// Appends the end of a result that has at least one member beside those of [`result_open`].
pub fn result_close(out: &mut Vec<u8>, era: Era) {
    if era == Era::Modern {
        out.push(b',');
        out.extend_from_slice(RESULT_META.as_bytes());
    }
    out.extend_from_slice(b"}}");
}

/// The same for a result that brings a `_meta` of its own.
///
/// Shape: `meta` is the text of that object's members, none of them of the protocol's own prefix.
pub fn result_close_with(out: &mut Vec<u8>, era: Era, meta: &[u8]) {
    if meta.is_empty() {
        return result_close(out, era);
    }
    out.extend_from_slice(b",\"_meta\":{");
    if era == Era::Modern {
        out.extend_from_slice(
            concat!(
                "\"io.modelcontextprotocol/serverInfo\":",
                server_info!(),
                ","
            )
            .as_bytes(),
        );
    }
    out.extend_from_slice(meta);
    out.extend_from_slice(b"}}}");
}

/// Appends an empty result, such as the answer to `ping`.
pub fn empty_result(out: &mut Vec<u8>, id: &impl WriteId, era: Era) {
    result_open(out, id, era);
    if era == Era::Modern {
        out.extend_from_slice(RESULT_META.as_bytes());
    }
    out.extend_from_slice(b"}}");
}

/// Appends a result from its members.
///
/// Shape: `members` is JSON object text without its braces, at least one member, without `_meta` and `resultType`.
pub fn call_result(out: &mut Vec<u8>, id: &impl WriteId, era: Era, members: &[u8]) {
    result_open(out, id, era);
    out.extend_from_slice(members);
    result_close(out, era);
}

/// Appends a result with cache hints, such as the answer to `resources/read`, from its members.
///
/// Shape: as for [`call_result`].
pub fn cached_result(out: &mut Vec<u8>, id: &impl WriteId, era: Era, members: &[u8], hints: Hints) {
    result_open(out, id, era);
    out.extend_from_slice(members);
    if era == Era::Modern {
        write_hints(out, hints);
    }
    result_close(out, era);
}

/// Appends the result of a request that cannot be answered without the client's answers (modern).
///
/// Shape: `requests` is the text of the object that [`input_request`] writes the members of; `state` is opaque text. At
/// least one of both is there.
/// Source: 2026-07-28 basic/patterns/mrtr.
pub fn input_required(
    out: &mut Vec<u8>,
    id: &impl WriteId,
    requests: Option<&[u8]>,
    state: Option<&str>,
) {
    debug_assert!(requests.is_some() || state.is_some(), "nothing is asked");
    typed_open(out, id, "input_required");
    if let Some(requests) = requests {
        out.extend_from_slice(b",\"inputRequests\":");
        out.extend_from_slice(requests);
    }
    if let Some(state) = state {
        out.extend_from_slice(b",\"requestState\":");
        json::write_str(out, state);
    }
    result_close(out, Era::Modern);
}

/// Appends the result of a request that goes on as a task.
///
/// Shape: `task` is the text of the task's members, without braces.
/// Source: SEP-2663, "Task Creation"; 2025-11-25 basic/utilities/tasks.
pub fn task_result(out: &mut Vec<u8>, id: &impl WriteId, era: Era, task: &[u8]) {
    match era {
        Era::Modern => {
            typed_open(out, id, "task");
            out.push(b',');
            out.extend_from_slice(task);
            result_close(out, era);
        }
        Era::Legacy => {
            result_open(out, id, era);
            out.extend_from_slice(b"\"task\":{");
            out.extend_from_slice(task);
            out.extend_from_slice(b"}}}");
        }
    }
}

/// Appends the answer to `tasks/result` (2025-11-25): what the task's request would have been answered with.
///
/// Shape: `members` as for [`call_result`]; where it brings a `_meta` of its own, `meta` is the text of that object's
/// members.
pub fn related_task_result(
    out: &mut Vec<u8>,
    id: &impl WriteId,
    members: &[u8],
    meta: Option<&[u8]>,
    task_id: &str,
) {
    result_open(out, id, Era::Legacy);
    out.extend_from_slice(members);
    out.extend_from_slice(b",\"_meta\":{\"io.modelcontextprotocol/related-task\":{\"taskId\":");
    json::write_str(out, task_id);
    out.push(b'}');
    if let Some(meta) = meta.filter(|meta| !meta.is_empty()) {
        out.push(b',');
        out.extend_from_slice(meta);
    }
    out.extend_from_slice(b"}}}");
}

/// Appends the answer to `initialize`.
///
/// Shape: `capabilities` is the text that [`Offer::write`] writes for the revision.
pub fn initialize_result(
    out: &mut Vec<u8>,
    id: &impl WriteId,
    revision: Revision,
    capabilities: &[u8],
    instructions: Option<&str>,
) {
    result_open(out, id, Era::Legacy);
    out.extend_from_slice(b"\"protocolVersion\":\"");
    out.extend_from_slice(revision.as_str().as_bytes());
    out.extend_from_slice(b"\",\"capabilities\":");
    out.extend_from_slice(capabilities);
    out.extend_from_slice(concat!(",\"serverInfo\":", server_info!()).as_bytes());
    write_instructions(out, instructions);
    result_close(out, Era::Legacy);
}

/// Appends the answer to `server/discover`.
///
/// Shape: `capabilities` is the text that [`Offer::write`] writes for the modern revision.
pub fn discover_result(
    out: &mut Vec<u8>,
    id: &impl WriteId,
    capabilities: &[u8],
    instructions: Option<&str>,
    hints: Hints,
) {
    result_open(out, id, Era::Modern);
    out.extend_from_slice(b"\"supportedVersions\":");
    out.extend_from_slice(SUPPORTED_JSON.as_bytes());
    out.extend_from_slice(b",\"capabilities\":");
    out.extend_from_slice(capabilities);
    write_instructions(out, instructions);
    write_hints(out, hints);
    result_close(out, Era::Modern);
}

/// Appends one page of a list.
pub fn list_result(out: &mut Vec<u8>, id: &impl WriteId, era: Era, page: &Page<'_>, hints: Hints) {
    result_open(out, id, era);
    out.push(b'"');
    out.extend_from_slice(page.list.key().as_bytes());
    out.extend_from_slice(b"\":");
    out.extend_from_slice(page.entries);
    if let Some(cursor) = page.next_cursor {
        out.extend_from_slice(b",\"nextCursor\":");
        json::write_str(out, cursor);
    }
    if era == Era::Modern {
        write_hints(out, hints);
    }
    result_close(out, era);
}

/// Appends the result that ends a `subscriptions/listen`, once the server ends it.
pub fn listen_result(out: &mut Vec<u8>, id: &impl WriteId) {
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    id.write_id(out);
    out.extend_from_slice(
        concat!(
            ",\"result\":{\"resultType\":\"complete\",\"_meta\":{\"io.modelcontextprotocol/serverInfo\":",
            server_info!(),
            ",\"io.modelcontextprotocol/subscriptionId\":"
        )
        .as_bytes(),
    );
    id.write_id(out);
    out.extend_from_slice(b"}}}");
}

/// Appends an error.
///
/// Shape: without an id where the request's could not be read; `data_json` is the text of a JSON value.
pub fn error(
    out: &mut Vec<u8>,
    id: Option<&impl WriteId>,
    code: i32,
    message: &str,
    data_json: Option<&[u8]>,
) {
    error_open(out, id, code);
    json::write_escaped(out, message);
    out.push(b'"');
    if let Some(data) = data_json {
        out.extend_from_slice(b",\"data\":");
        out.extend_from_slice(data);
    }
    error_close(out);
}

/// Appends an error from its members.
///
/// Shape: `members` is the text of an error object without its braces: `"code":…,"message":…`, perhaps `"data":…`.
pub fn error_from(out: &mut Vec<u8>, id: Option<&impl WriteId>, members: &[u8]) {
    envelope_open(out, id);
    out.extend_from_slice(b"\"error\":{");
    out.extend_from_slice(members);
    error_close(out);
}

/// Appends an error up to and with the opening quote of its message.
pub(crate) fn error_open(out: &mut Vec<u8>, id: Option<&impl WriteId>, code: i32) {
    envelope_open(out, id);
    out.extend_from_slice(b"\"error\":{\"code\":");
    json::write_i64(out, i64::from(code));
    out.extend_from_slice(b",\"message\":\"");
}

/// Appends what every error starts with, up to its `error`.
fn envelope_open(out: &mut Vec<u8>, id: Option<&impl WriteId>) {
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",");
    // An unreadable id is left out: MCP's schema has no null id.
    if let Some(id) = id {
        out.extend_from_slice(b"\"id\":");
        id.write_id(out);
        out.push(b',');
    }
}

/// Appends the end of an error, after its message and data.
pub(crate) fn error_close(out: &mut Vec<u8>) {
    out.extend_from_slice(b"}}");
}

fn write_instructions(out: &mut Vec<u8>, instructions: Option<&str>) {
    if let Some(text) = instructions {
        out.extend_from_slice(b",\"instructions\":");
        json::write_str(out, text);
    }
}

fn write_hints(out: &mut Vec<u8>, hints: Hints) {
    out.extend_from_slice(b",\"ttlMs\":");
    json::write_u64(out, hints.ttl_ms);
    out.extend_from_slice(b",\"cacheScope\":\"");
    out.extend_from_slice(hints.scope.as_str().as_bytes());
    out.push(b'"');
}

#[cfg(test)]
mod tests;
