//! The access log's line: one JSON object for each answered request.

use crate::wire::json;

/// An answer as the log has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer<'a> {
    /// The MCP method, or the HTTP method where there was no MCP message.
    pub(super) method: &'a str,
    /// What it is about: the tool of a `tools/call`, else a prompt's name or a resource's address.
    pub(super) target: &'a str,
    pub(super) status: u16,
    /// `ok`, `tool_error`, or the reason of a refusal.
    pub(super) outcome: &'a str,
    pub(super) bytes: usize,
}

/// An answered request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    /// Milliseconds since 1970-01-01 UTC.
    pub(super) time_ms: u64,
    pub(super) shard: usize,
    pub(super) duration_us: u64,
    pub(super) request_bytes: usize,
    pub(super) answer: Answer<'a>,
}

impl Entry<'_> {
    /// Appends the line with its newline.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let answer = &self.answer;
        out.extend_from_slice(b"{\"time_ms\":");
        json::write_u64(out, self.time_ms);
        member(out, b"shard", self.shard as u64);
        text(out, b"method", answer.method);
        if !answer.target.is_empty() {
            let is_call = answer.method == "tools/call";
            let key: &[u8] = if is_call { b"tool" } else { b"target" };
            text(out, key, answer.target);
        }
        member(out, b"status", u64::from(answer.status));
        text(out, b"outcome", answer.outcome);
        member(out, b"duration_us", self.duration_us);
        member(out, b"request_bytes", self.request_bytes as u64);
        member(out, b"response_bytes", answer.bytes as u64);
        out.extend_from_slice(b"}\n");
    }
}

fn member(out: &mut Vec<u8>, name: &[u8], value: u64) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name);
    out.extend_from_slice(b"\":");
    json::write_u64(out, value);
}

fn text(out: &mut Vec<u8>, name: &[u8], value: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name);
    out.extend_from_slice(b"\":");
    json::write_str(out, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_one_line_of_json() {
        let answer = Answer {
            method: "tools/call",
            target: "a\"b\n",
            status: 200,
            outcome: "ok",
            bytes: 4,
        };
        let mut entry = Entry {
            time_ms: 1_700_000_000_000,
            shard: 1,
            duration_us: 12,
            request_bytes: 3,
            answer,
        };
        let mut out = Vec::new();
        entry.write(&mut out);
        assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["tool"], "a\"b\n");
        assert_eq!(value["status"], 200);
        entry.answer.method = "resources/read";
        out.clear();
        entry.write(&mut out);
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["target"], "a\"b\n");
    }
}
