use super::*;
use crate::mcp::headers::Accept;
use crate::mcp::scan;
use crate::mcp::sessions::{NewSession, Principal, Sessions};

const MODERN_META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

/// One endpoint under test.
struct Server {
    sessions: Sessions,
}

/// What came of a message: status, JSON-RPC code (0: none) and the route's debug text or the refusal's.
#[derive(Debug)]
struct Told {
    status: u16,
    code: i32,
    id: Option<String>,
    text: String,
}

fn facts<'a>(fields: &[(&str, &'a str)]) -> HttpFacts<'a> {
    let mut facts = HttpFacts {
        content_type: Some(b"application/json"),
        ..HttpFacts::default()
    };
    for (name, value) in fields {
        let slot = match name.to_ascii_lowercase().as_str() {
            "mcp-protocol-version" => &mut facts.protocol_version,
            "mcp-session-id" => &mut facts.session_id,
            "mcp-method" => &mut facts.mcp_method,
            "mcp-name" => &mut facts.mcp_name,
            "accept" => &mut facts.accept,
            "content-type" => &mut facts.content_type,
            "last-event-id" => &mut facts.last_event_id,
            other => panic!("{other}"),
        };
        *slot = Some(value.as_bytes());
    }
    facts
}

fn told(result: Result<Route<'_>, Refusal<'_>>) -> Told {
    match result {
        Ok(route) => {
            let (status, id) = match &route {
                Route::Invoke(invocation) => (200, Some(&invocation.id)),
                Route::Notice(_) | Route::Response(_) => (202, None),
            };
            Told {
                status,
                code: 0,
                id: id.map(text),
                text: format!("{route:?}"),
            }
        }
        Err(refusal) => Told {
            status: refusal.http_status,
            code: refusal.code,
            id: refusal.id.as_ref().map(text),
            text: refusal.reason.to_string(),
        },
    }
}

fn text(id: &RawId<'_>) -> String {
    let mut out = Vec::new();
    id.write(&mut out);
    String::from_utf8(out).unwrap()
}

impl Server {
    fn new() -> Self {
        Self {
            sessions: Sessions::new(100, 1000),
        }
    }

    fn session(&self, revision: Revision) -> String {
        let id = self.sessions.create(NewSession {
            random: [self.sessions.counts().created as u8 + 1; 16],
            principal: Principal::ANONYMOUS,
            revision,
            capabilities: ClientCapabilities::SAMPLING,
            client_info: None,
            now_ms: 0,
        });
        String::from_utf8(id.unwrap().text().to_vec()).unwrap()
    }

    fn post(&self, fields: &[(&str, &str)], body: &str) -> Told {
        let facts = facts(fields);
        let accept = match admit_post(&facts) {
            Ok(accept) => accept,
            Err(refusal) => return told(Err(refusal)),
        };
        let route = scan(body.as_bytes(), 64).and_then(|message| {
            post(
                &facts,
                accept,
                &message,
                &self.sessions,
                Principal::ANONYMOUS,
                1,
            )
        });
        told(route)
    }

    /// A modern request with the headers that it should have, but for those given.
    fn modern(&self, method: &str, params: &str, change: &[(&str, &str)]) -> Told {
        let comma = if params.is_empty() { "" } else { "," };
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":41,"method":"{method}","params":{{{params}{comma}{MODERN_META}}}}}"#
        );
        let mut fields = vec![
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", method),
        ];
        fields.retain(|(name, _)| {
            !change
                .iter()
                .any(|(changed, _)| changed.eq_ignore_ascii_case(name))
        });
        fields.extend(change.iter().filter(|(_, value)| *value != "(none)"));
        self.post(&fields, &body)
    }
}

fn request(method: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":"q","method":"{method}","params":{{}}}}"#)
}

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18",
    "capabilities":{"elicitation":{}},"clientInfo":{"name":"t","version":"1"}}}"#;

mod batch;
mod legacy;
mod modern;
mod operations;
mod sse;
mod stdio;

#[test]
fn media_types_are_settled_before_the_body() {
    let server = Server::new();
    let list = request("tools/list");
    for bad in ["text/plain", "", "application/x-www-form-urlencoded"] {
        assert_eq!(
            server
                .post(&[("content-type", bad)], "not even JSON")
                .status,
            415,
            "{bad}"
        );
    }
    assert_eq!(server.post(&[("accept", "text/html")], &list).status, 406);
    for good in [
        "*/*",
        "application/json",
        "text/event-stream",
        "application/json, text/event-stream",
    ] {
        assert_eq!(
            server.modern("tools/list", "", &[("accept", good)]).status,
            200,
            "{good}"
        );
    }
    let only_events = server.modern("tools/list", "", &[("accept", "text/event-stream")]);
    assert!(
        only_events.text.contains("respond: Events"),
        "{only_events:?}"
    );
    let listen = |accept| {
        server.modern(
            "subscriptions/listen",
            r#""notifications":{}"#,
            &[("accept", accept)],
        )
    };
    assert_eq!(listen("application/json").status, 406);
    assert!(
        listen("application/json, text/event-stream")
            .text
            .contains("respond: Events")
    );
}

#[test]
fn both_eras_are_served_on_one_endpoint_at_once() {
    let server = Server::new();
    let session = server.session(Revision::V2025_03_26);
    for _ in 0..3 {
        assert!(
            server
                .modern("tools/list", "", &[])
                .text
                .contains("V2026_07_28")
        );
        let told = server.post(&[("mcp-session-id", &session)], &request("tools/list"));
        assert!(told.text.contains("V2025_03_26"));
    }
}

/// Random edits of good messages, through the checks that fuzzing runs: nothing panics, and head and body always agree.
#[test]
fn mutated_messages_keep_every_promise() {
    let seeds = [
        format!(
            "2026-07-28\n\ntools/call\necho\n{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{{\"name\":\"echo\",\"arguments\":{{\"a\":[1,2]}},{MODERN_META}}}}}"
        ),
        format!(
            "2026-07-28\n\nserver/discover\n\n{{\"jsonrpc\":\"2.0\",\"id\":\"a\\u0041\",\"method\":\"server/discover\",\"params\":{{{MODERN_META}}}}}"
        ),
        format!(
            "2026-07-28\n\ntools/call\necho\n{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{{\"name\":\"echo\",\"inputResponses\":{{\"a\":{{}},\"b\":{{\"c\":1}}}},\"requestState\":\"s\",{MODERN_META}}}}}"
        ),
        format!(
            "2026-07-28\n\nprompts/get\np\n{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"prompts/get\",\"params\":{{\"name\":\"p\",\"arguments\":{{\"a\":\"b\",\"c\":\"\"}},{MODERN_META}}}}}"
        ),
        format!(
            "2026-07-28\n\nsubscriptions/listen\n\n{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"subscriptions/listen\",\"params\":{{\"notifications\":{{\"toolsListChanged\":true,\"resourceSubscriptions\":[\"a:b\",\"c:d\"]}},{MODERN_META}}}}}"
        ),
        format!(
            "2026-07-28\n\ncompletion/complete\n\n{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"completion/complete\",\"params\":{{\"ref\":{{\"type\":\"ref/prompt\",\"name\":\"p\"}},\"argument\":{{\"name\":\"a\",\"value\":\"v\"}},\"context\":{{\"arguments\":{{\"x\":\"y\"}}}},{MODERN_META}}}}}"
        ),
        format!(
            "\n\n\n\n[{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}},[],{}]",
            INITIALIZE.replace('\n', " ")
        ),
        "\n\n\n\n{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"x\",\"task\":{\"ttl\":60000}}}".to_owned(),
        format!("\n\n\n\n{}", INITIALIZE.replace('\n', " ")),
        "2025-11-25\n00112233445566778899aabbccddeeff\n\n\n{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}".to_owned(),
    ];
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound as u64) as usize
    };
    for round in 0..20_000 {
        let mut data = seeds[round % seeds.len()].clone().into_bytes();
        for _ in 0..next(4) {
            let at = next(data.len());
            match next(4) {
                0 => data[at] = b"\"\\{}[],:nu0 \n"[next(13)],
                1 => {
                    data.remove(at);
                }
                2 => {
                    let length = next(24).min(data.len() - at);
                    let copy = data[at..at + length].to_vec();
                    let to = next(data.len());
                    data.splice(to..to, copy);
                }
                _ => data[at] = next(256) as u8,
            }
        }
        crate::mcp::check::head_and_body(&data);
        let body = data.splitn(5, |byte| *byte == b'\n').last().unwrap();
        crate::mcp::check::message(body);
    }
}
