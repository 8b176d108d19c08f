//! What we say to upstreams on our own account: handshakes, discoveries, pings, lists, and answers to what nobody can answer.

use super::multiplex::CallNumber;
use crate::mcp::Revision;
use crate::mcp::message::{META_CAPABILITIES, META_VERSION};
use crate::wire::json::{write_i64, write_str};

/// Appends an `initialize`.
///
/// Shape: `capabilities` is what whoever is behind us can do, as JSON text of an object.
pub fn initialize(out: &mut Vec<u8>, number: CallNumber, revision: Revision, capabilities: &[u8]) {
    begin(out, number, "initialize");
    out.extend_from_slice(br#""protocolVersion":"#);
    write_str(out, revision.as_str());
    out.extend_from_slice(br#","capabilities":"#);
    out.extend_from_slice(capabilities);
    out.extend_from_slice(br#","clientInfo":"#);
    us(out);
    out.extend_from_slice(b"}}");
}

/// Appends the notification that ends the handshake.
pub fn initialized(out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
}

/// Appends a modern `server/discover`.
pub fn discover(out: &mut Vec<u8>, number: CallNumber, capabilities: &[u8]) {
    begin(out, number, "server/discover");
    modern_meta(out, capabilities);
    out.extend_from_slice(b"}}");
}

/// Appends the member `_meta` that every modern request has to have, without a comma around it.
pub fn modern_meta(out: &mut Vec<u8>, capabilities: &[u8]) {
    out.extend_from_slice(br#""_meta":{"#);
    write_str(out, META_VERSION);
    out.push(b':');
    write_str(out, Revision::MODERN.as_str());
    out.push(b',');
    write_str(out, META_CAPABILITIES);
    out.push(b':');
    out.extend_from_slice(capabilities);
    out.extend_from_slice(br#","io.modelcontextprotocol/clientInfo":"#);
    us(out);
    out.push(b'}');
}

/// Appends a legacy `ping`.
pub fn ping(out: &mut Vec<u8>, number: CallNumber) {
    begin(out, number, "ping");
    out.extend_from_slice(b"}}");
}

/// Appends a list request: `tools/list`, `resources/list` and the like.
///
/// Shape: `modern` is the caller's capabilities, where the upstream is modern.
pub fn list(
    out: &mut Vec<u8>,
    number: CallNumber,
    method: &str,
    cursor: Option<&str>,
    modern: Option<&[u8]>,
) {
    begin(out, number, method);
    if let Some(cursor) = cursor {
        out.extend_from_slice(br#""cursor":"#);
        write_str(out, cursor);
    }
    if let Some(capabilities) = modern {
        if cursor.is_some() {
            out.push(b',');
        }
        modern_meta(out, capabilities);
    }
    out.extend_from_slice(b"}}");
}

/// Appends a modern `subscriptions/listen`: to the lists, if wanted, and to these resources.
pub fn listen(
    out: &mut Vec<u8>,
    number: CallNumber,
    lists: bool,
    uris: &[String],
    capabilities: &[u8],
) {
    begin(out, number, "subscriptions/listen");
    out.extend_from_slice(br#""notifications":{"#);
    if lists {
        out.extend_from_slice(
            br#""toolsListChanged":true,"promptsListChanged":true,"resourcesListChanged":true"#,
        );
    }
    if !uris.is_empty() {
        if lists {
            out.push(b',');
        }
        out.extend_from_slice(br#""resourceSubscriptions":["#);
        for (index, uri) in uris.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_str(out, uri);
        }
        out.push(b']');
    }
    out.extend_from_slice(b"},");
    modern_meta(out, capabilities);
    out.extend_from_slice(b"}}");
}

/// Appends a legacy `logging/setLevel`.
pub fn set_level(out: &mut Vec<u8>, number: CallNumber, level: &str) {
    begin(out, number, "logging/setLevel");
    out.extend_from_slice(br#""level":"#);
    write_str(out, level);
    out.extend_from_slice(b"}}");
}

/// Appends a legacy `resources/subscribe`, or its opposite.
pub fn subscribe(out: &mut Vec<u8>, number: CallNumber, uri: &str, wanted: bool) {
    begin(
        out,
        number,
        if wanted {
            "resources/subscribe"
        } else {
            "resources/unsubscribe"
        },
    );
    out.extend_from_slice(br#""uri":"#);
    write_str(out, uri);
    out.extend_from_slice(b"}}");
}

/// Appends an error for a request of the upstream; `id` is the JSON text of its id.
pub fn refuse(out: &mut Vec<u8>, id: &[u8], code: i32, message: &str) {
    out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    out.extend_from_slice(id);
    out.extend_from_slice(br#","error":{"code":"#);
    write_i64(out, i64::from(code));
    out.extend_from_slice(br#","message":"#);
    write_str(out, message);
    out.extend_from_slice(b"}}");
}

/// Appends an empty result for a request of the upstream: the answer to its ping.
pub fn acknowledge(out: &mut Vec<u8>, id: &[u8]) {
    out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    out.extend_from_slice(id);
    out.extend_from_slice(br#","result":{}}"#);
}

fn begin(out: &mut Vec<u8>, number: CallNumber, method: &str) {
    out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    number.write(out);
    out.extend_from_slice(br#","method":"#);
    write_str(out, method);
    out.extend_from_slice(br#","params":{"#);
}

/// Appends our own `clientInfo`.
pub(super) fn us(out: &mut Vec<u8>) {
    out.extend_from_slice(
        concat!(
            r#"{"name":"margay","version":""#,
            env!("CARGO_PKG_VERSION"),
            r#""}"#
        )
        .as_bytes(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::Shape;
    use crate::upstream::envelope::Envelope;
    use crate::upstream::multiplex::{IdText, MultiplexRules, Multiplexer};
    use serde_json::{Value, json};

    fn number() -> CallNumber {
        let rules = MultiplexRules {
            call_count_max: 1,
            ask_count_max: 1,
            first: 5,
            step: 7,
            depth_max: 8,
        };
        let mut multiplexer = Multiplexer::new(rules);
        multiplexer
            .number((), IdText::new(b"0").unwrap(), None)
            .unwrap()
    }

    fn said(write: impl FnOnce(&mut Vec<u8>)) -> (Shape, Value) {
        let mut out = Vec::new();
        write(&mut out);
        let shape = Envelope::read(&out, 16).unwrap().shape;
        (shape, serde_json::from_slice(&out).unwrap())
    }

    #[test]
    fn every_message_says_what_it_should() {
        let us = json!({"name": "margay", "version": env!("CARGO_PKG_VERSION")});
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {"roots": {}},
            "io.modelcontextprotocol/clientInfo": us,
        });
        let request = |method: &str, params: Value| {
            (
                Shape::Request,
                json!({"jsonrpc": "2.0", "id": 5, "method": method, "params": params}),
            )
        };
        let capabilities = br#"{"roots":{}}"#;
        assert_eq!(
            said(|out| initialize(out, number(), Revision::V2025_11_25, capabilities)),
            request(
                "initialize",
                json!({"protocolVersion": "2025-11-25", "capabilities": {"roots": {}}, "clientInfo": us})
            )
        );
        assert_eq!(
            said(|out| discover(out, number(), capabilities)),
            request("server/discover", json!({"_meta": meta}))
        );
        assert_eq!(said(|out| ping(out, number())), request("ping", json!({})));
        assert_eq!(
            said(|out| list(out, number(), "tools/list", None, None)),
            request("tools/list", json!({}))
        );
        assert_eq!(
            said(|out| list(out, number(), "tools/list", Some("c\""), Some(capabilities))),
            request("tools/list", json!({"cursor": "c\"", "_meta": meta}))
        );
        assert_eq!(
            said(|out| set_level(out, number(), "debug")),
            request("logging/setLevel", json!({"level": "debug"}))
        );
        assert_eq!(
            said(|out| subscribe(out, number(), "u:1", true)),
            request("resources/subscribe", json!({"uri": "u:1"}))
        );
        assert_eq!(
            said(|out| subscribe(out, number(), "u:1", false)),
            request("resources/unsubscribe", json!({"uri": "u:1"}))
        );
        assert_eq!(said(initialized).0, Shape::Notification);
        assert_eq!(
            said(|out| refuse(out, b"\"x\"", -32601, "no \"way\"")),
            (
                Shape::Response,
                json!({"jsonrpc": "2.0", "id": "x", "error": {"code": -32601, "message": "no \"way\""}})
            )
        );
        assert_eq!(
            said(|out| acknowledge(out, b"7")),
            (
                Shape::Response,
                json!({"jsonrpc": "2.0", "id": 7, "result": {}})
            )
        );
    }
}
