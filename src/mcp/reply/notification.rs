//! Notifications of ours. Those of a `subscriptions/listen` carry its id, in its type, so that one channel can have several.

use crate::mcp::capability::LogLevel;
use crate::mcp::id::WriteId;
use crate::mcp::list::List;
use crate::wire::json;

/// What of a `subscriptions/listen`'s filter is honoured.
#[derive(Clone, Copy, Debug, Default)]
pub struct Honoured<'a> {
    /// `toolsListChanged`.
    pub tools: bool,
    /// `promptsListChanged`.
    pub prompts: bool,
    /// `resourcesListChanged`.
    pub resources: bool,
    /// `resourceSubscriptions`; none where it is empty.
    pub resource_subscriptions: &'a [Box<str>],
    /// `taskIds`; none where it is empty.
    pub task_ids: &'a [Box<str>],
}

/// Appends the first message on a `subscriptions/listen` stream: what of the filter is honoured.
pub fn acknowledged(out: &mut Vec<u8>, listen: &impl WriteId, honoured: &Honoured<'_>) {
    open(out, "notifications/subscriptions/acknowledged");
    write_subscription(out, listen);
    out.extend_from_slice(b",\"notifications\":");
    let mut separator = b'{';
    let mut key = |out: &mut Vec<u8>, text: &str| {
        out.push(separator);
        out.extend_from_slice(text.as_bytes());
        separator = b',';
    };
    let flags = [
        (honoured.tools, "\"toolsListChanged\":true"),
        (honoured.prompts, "\"promptsListChanged\":true"),
        (honoured.resources, "\"resourcesListChanged\":true"),
    ];
    for (_, text) in flags.into_iter().filter(|(wanted, _)| *wanted) {
        key(out, text);
    }
    let lists = [
        (
            honoured.resource_subscriptions,
            "\"resourceSubscriptions\":",
        ),
        (honoured.task_ids, "\"taskIds\":"),
    ];
    for (strings, text) in lists.into_iter().filter(|(list, _)| !list.is_empty()) {
        key(out, text);
        for (index, string) in strings.iter().enumerate() {
            out.push(if index == 0 { b'[' } else { b',' });
            json::write_str(out, string);
        }
        out.push(b']');
    }
    if separator == b'{' {
        out.push(b'{');
    }
    out.extend_from_slice(b"}}}");
}

/// Appends the notification that a list has changed, tagged with its subscription where there is one.
///
/// Shape: nothing for a list that has none ([`List::changed`]).
pub fn list_changed<I: WriteId>(out: &mut Vec<u8>, list: List, subscription: Option<&I>) {
    let Some(method) = list.changed() else { return };
    let Some(subscription) = subscription else {
        out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"method\":\"");
        out.extend_from_slice(method.as_bytes());
        out.extend_from_slice(b"\"}");
        return;
    };
    open(out, method);
    write_subscription(out, subscription);
    out.extend_from_slice(b"}}");
}

/// Appends the notification that a resource has changed, tagged with its subscription where there is one.
pub fn resource_updated<I: WriteId>(out: &mut Vec<u8>, uri: &str, subscription: Option<&I>) {
    open(out, "notifications/resources/updated");
    if let Some(subscription) = subscription {
        write_subscription(out, subscription);
        out.push(b',');
    }
    out.extend_from_slice(b"\"uri\":");
    json::write_str(out, uri);
    out.extend_from_slice(b"}}");
}

/// Appends the notification of how a task stands: of the core's form without a subscription, else of the extension's.
///
/// Shape: `task` is the text of the task's members, without braces.
pub fn task_status<I: WriteId>(out: &mut Vec<u8>, task: &[u8], subscription: Option<&I>) {
    match subscription {
        None => open(out, "notifications/tasks/status"),
        Some(subscription) => {
            open(out, "notifications/tasks");
            write_subscription(out, subscription);
            out.push(b',');
        }
    }
    out.extend_from_slice(task);
    out.extend_from_slice(b"}}");
}

/// Appends how far a request is.
///
/// Shape: `token` is the request's own, in its type. False, and nothing written, where the progress is no number; a total
/// that is none is left out.
#[must_use]
pub fn progress(
    out: &mut Vec<u8>,
    token: &impl WriteId,
    progress: f64,
    total: Option<f64>,
    message: Option<&str>,
) -> bool {
    if !progress.is_finite() {
        return false;
    }
    open(out, "notifications/progress");
    out.extend_from_slice(b"\"progressToken\":");
    token.write_id(out);
    out.extend_from_slice(b",\"progress\":");
    let mut written = json::write_f64(out, progress);
    if let Some(total) = total.filter(|total| total.is_finite()) {
        out.extend_from_slice(b",\"total\":");
        written &= json::write_f64(out, total);
    }
    if let Some(message) = message {
        out.extend_from_slice(b",\"message\":");
        json::write_str(out, message);
    }
    out.extend_from_slice(b"}}");
    written
}

/// Appends a log message.
///
/// Shape: `data` is the text of a JSON value.
pub fn log_message(out: &mut Vec<u8>, level: LogLevel, logger: Option<&str>, data: &[u8]) {
    open(out, "notifications/message");
    out.extend_from_slice(b"\"level\":\"");
    out.extend_from_slice(level.as_str().as_bytes());
    out.push(b'"');
    if let Some(logger) = logger {
        out.extend_from_slice(b",\"logger\":");
        json::write_str(out, logger);
    }
    out.extend_from_slice(b",\"data\":");
    out.extend_from_slice(data);
    out.extend_from_slice(b"}}");
}

/// Appends `notifications/cancelled` for a request of the other side that this side gives up, or for one of ours.
pub fn cancelled(out: &mut Vec<u8>, request: &impl WriteId, reason: &str) {
    open(out, "notifications/cancelled");
    out.extend_from_slice(b"\"requestId\":");
    request.write_id(out);
    out.extend_from_slice(b",\"reason\":");
    json::write_str(out, reason);
    out.extend_from_slice(b"}}");
}

/// Appends a notification up to the first member of its parameters.
fn open(out: &mut Vec<u8>, method: &str) {
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"method\":\"");
    out.extend_from_slice(method.as_bytes());
    out.extend_from_slice(b"\",\"params\":{");
}

fn write_subscription(out: &mut Vec<u8>, subscription: &impl WriteId) {
    out.extend_from_slice(b"\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":");
    subscription.write_id(out);
    out.push(b'}');
}
