//! Messages of ours, appended to a caller's buffer: results, errors and notifications.
//!
//! Everything that does not change is one constant, so an answer is a few copies. Bodies only: framing them as HTTP,
//! as an event or as a line is the transport's. No message contains a line break, so each of them is also a stdio line.

use super::id::WriteId;
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

/// The capabilities that we declare, as JSON.
const CAPABILITIES: &str = "{\"tools\":{\"listChanged\":true}}";

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

/// Appends the beginning of a result up to its first member, `resultType` of modern ones included.
pub fn result_open(out: &mut Vec<u8>, id: &impl WriteId, era: Era) {
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    id.write_id(out);
    out.extend_from_slice(match era {
        Era::Legacy => b",\"result\":{".as_slice(),
        Era::Modern => b",\"result\":{\"resultType\":\"complete\",".as_slice(),
    });
}

/// Appends the end of a result that has at least one member beside those of [`result_open`].
pub fn result_close(out: &mut Vec<u8>, era: Era) {
    if era == Era::Modern {
        out.push(b',');
        out.extend_from_slice(RESULT_META.as_bytes());
    }
    out.extend_from_slice(b"}}");
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

/// Appends the answer to `initialize`.
pub fn initialize_result(
    out: &mut Vec<u8>,
    id: &impl WriteId,
    revision: Revision,
    instructions: Option<&str>,
) {
    result_open(out, id, Era::Legacy);
    out.extend_from_slice(b"\"protocolVersion\":\"");
    out.extend_from_slice(revision.as_str().as_bytes());
    out.extend_from_slice(b"\",\"capabilities\":");
    out.extend_from_slice(CAPABILITIES.as_bytes());
    out.extend_from_slice(concat!(",\"serverInfo\":", server_info!()).as_bytes());
    write_instructions(out, instructions);
    result_close(out, Era::Legacy);
}

/// Appends the answer to `server/discover`.
///
/// Units: `ttl_ms` milliseconds for which a client may keep it.
pub fn discover_result(
    out: &mut Vec<u8>,
    id: &impl WriteId,
    instructions: Option<&str>,
    ttl_ms: u64,
    scope: CacheScope,
) {
    result_open(out, id, Era::Modern);
    out.extend_from_slice(b"\"supportedVersions\":");
    out.extend_from_slice(SUPPORTED_JSON.as_bytes());
    out.extend_from_slice(b",\"capabilities\":");
    out.extend_from_slice(CAPABILITIES.as_bytes());
    write_instructions(out, instructions);
    write_cache_hints(out, ttl_ms, scope);
    result_close(out, Era::Modern);
}

/// Appends the answer to `tools/list`.
///
/// Shape: `tools_json` is the text of a JSON array; `next_cursor` is opaque text.
/// Units: `ttl_ms` milliseconds for which a modern client may keep it; legacy ones are not told.
pub fn list_tools_result(
    out: &mut Vec<u8>,
    id: &impl WriteId,
    era: Era,
    tools_json: &[u8],
    next_cursor: Option<&str>,
    ttl_ms: u64,
    scope: CacheScope,
) {
    result_open(out, id, era);
    out.extend_from_slice(b"\"tools\":");
    out.extend_from_slice(tools_json);
    if let Some(cursor) = next_cursor {
        out.extend_from_slice(b",\"nextCursor\":");
        json::write_str(out, cursor);
    }
    if era == Era::Modern {
        write_cache_hints(out, ttl_ms, scope);
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

/// Appends the first message on a `subscriptions/listen` stream: what of the filter is honoured.
pub fn acknowledged(out: &mut Vec<u8>, listen: &impl WriteId, tools: bool) {
    notification_open(
        out,
        "notifications/subscriptions/acknowledged",
        Some(listen),
    );
    out.extend_from_slice(if tools {
        b",\"notifications\":{\"toolsListChanged\":true}}}".as_slice()
    } else {
        b",\"notifications\":{}}}".as_slice()
    });
}

/// Appends `notifications/tools/list_changed`, tagged with its subscription where there is one.
pub fn tools_list_changed<I: WriteId>(out: &mut Vec<u8>, subscription: Option<&I>) {
    notification_open(out, "notifications/tools/list_changed", subscription);
    out.extend_from_slice(if subscription.is_some() {
        b"}}".as_slice()
    } else {
        b"}".as_slice()
    });
}

/// Appends `notifications/cancelled` for a request of the other side that this side gives up.
pub fn cancelled(out: &mut Vec<u8>, request: &impl WriteId, reason: &str) {
    out.extend_from_slice(
        b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":",
    );
    request.write_id(out);
    out.extend_from_slice(b",\"reason\":");
    json::write_str(out, reason);
    out.extend_from_slice(b"}}");
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

/// Appends an error up to and with the opening quote of its message.
pub(crate) fn error_open(out: &mut Vec<u8>, id: Option<&impl WriteId>, code: i32) {
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",");
    // An unreadable id is left out: MCP's schema has no null id.
    if let Some(id) = id {
        out.extend_from_slice(b"\"id\":");
        id.write_id(out);
        out.push(b',');
    }
    out.extend_from_slice(b"\"error\":{\"code\":");
    json::write_i64(out, i64::from(code));
    out.extend_from_slice(b",\"message\":\"");
}

/// Appends the end of an error, after its message and data.
pub(crate) fn error_close(out: &mut Vec<u8>) {
    out.extend_from_slice(b"}}");
}

/// Appends a notification up to its `_meta`; without a subscription, up to its method.
fn notification_open<I: WriteId>(out: &mut Vec<u8>, method: &str, subscription: Option<&I>) {
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"method\":\"");
    out.extend_from_slice(method.as_bytes());
    out.push(b'"');
    if let Some(id) = subscription {
        out.extend_from_slice(
            b",\"params\":{\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":",
        );
        id.write_id(out);
        out.push(b'}');
    }
}

fn write_instructions(out: &mut Vec<u8>, instructions: Option<&str>) {
    if let Some(text) = instructions {
        out.extend_from_slice(b",\"instructions\":");
        json::write_str(out, text);
    }
}

fn write_cache_hints(out: &mut Vec<u8>, ttl_ms: u64, scope: CacheScope) {
    out.extend_from_slice(b",\"ttlMs\":");
    json::write_u64(out, ttl_ms);
    out.extend_from_slice(b",\"cacheScope\":\"");
    out.extend_from_slice(scope.as_str().as_bytes());
    out.push(b'"');
}

#[cfg(test)]
mod tests;
