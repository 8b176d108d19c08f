//! Both eras on one endpoint at once, row by row of what changed between the revisions.

use serde_json::{Value, json};

use crate::harness::sse::Session;
use crate::harness::{Answer, Appliance, everything, modern, request};

const LEGACY: [&str; 3] = ["2025-03-26", "2025-06-18", "2025-11-25"];

fn appliance() -> Appliance {
    Appliance::with(&[everything().to_str().unwrap()], "")
}

/// Sends the same method as each revision does.
fn each(appliance: &Appliance, method: &str, params: &Value) -> Vec<(&'static str, Answer)> {
    let legacy = LEGACY.map(|revision| {
        let session = Session::open(appliance, revision);
        (revision, session.send(1, method, params.clone()).answer())
    });
    let (body, headers) = modern(1, method, params.clone());
    let mut answers = Vec::from(legacy);
    answers.push(("2026-07-28", appliance.connect().post(&body, &headers)));
    answers
}

fn is_modern(revision: &str) -> bool {
    revision == "2026-07-28"
}

#[test]
fn handshake_only_the_old_revisions_have_one() {
    let appliance = appliance();
    for revision in LEGACY {
        assert_eq!(Session::open(&appliance, revision).id.len(), 32);
    }
    let params = json!({"protocolVersion": "2026-07-28", "capabilities": {}});
    let (body, headers) = modern(1, "initialize", params);
    let answer = appliance.connect().post(&body, &headers);
    assert_eq!(
        (answer.status, &answer.json()["error"]["code"]),
        (404, &json!(-32601))
    );
    for (revision, answer) in each(&appliance, "server/discover", &json!({})) {
        let known = answer.json()["result"]["supportedVersions"].is_array();
        assert_eq!(known, is_modern(revision), "{revision}");
    }
}

#[test]
fn session_the_new_revision_ignores_and_never_gives_one() {
    let appliance = appliance();
    let session = Session::open(&appliance, "2025-11-25");
    let (body, headers) = modern(1, "tools/list", json!({}));
    for id in [session.id.as_str(), "none-of-ours"] {
        let answer = appliance
            .connect()
            .post(&body, &format!("{headers}Mcp-Session-Id: {id}\r\n"));
        assert_eq!(answer.status, 200, "{id}");
        assert_eq!(answer.header("mcp-session-id"), None);
    }
    session.delete();
    assert_eq!(session.send(1, "ping", json!({})).answer().status, 404);
}

#[test]
fn version_header_has_to_be_the_bodys_in_the_new_revision() {
    let appliance = appliance();
    let session = Session::open(&appliance, "2025-06-18");
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let bare = format!("Mcp-Session-Id: {}\r\n", session.id);
    assert_eq!(
        appliance.connect().post(ping, &bare).status,
        200,
        "absent is assumed"
    );
    let (body, headers) = modern(1, "tools/list", json!({}));
    let without = headers.replace("MCP-Protocol-Version: 2026-07-28\r\n", "");
    for wrong in [without, headers.replace("2026-07-28", "2025-11-25")] {
        let answer = appliance.connect().post(&body, &wrong);
        assert_eq!(
            (answer.status, &answer.json()["error"]["code"]),
            (400, &json!(-32020))
        );
    }
}

#[test]
fn routing_headers_are_compared_in_the_new_revision_alone() {
    let appliance = appliance();
    let (body, headers) = modern(1, "resources/read", json!({"uri": "a:b"}));
    assert_eq!(appliance.connect().post(&body, &headers).status, 200);
    let answer = appliance
        .connect()
        .post(&body, &headers.replace("Mcp-Name: a:b", "Mcp-Name: c:d"));
    assert_eq!(answer.json()["error"]["code"], -32020);
    let session = Session::open(&appliance, "2025-11-25");
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"a:b"}}"#;
    let headers = format!(
        "{}Mcp-Method: tools/call\r\nMcp-Name: c:d\r\n",
        session.headers()
    );
    assert!(appliance.connect().post(body, &headers).json()["result"].is_object());
}

#[test]
fn batches_one_revision_has_them() {
    let appliance = appliance();
    for revision in LEGACY {
        let session = Session::open(&appliance, revision);
        let batch = json!([{"jsonrpc": "2.0", "id": 1, "method": "ping"}]);
        let status = session.send_body(&batch).answer().status;
        assert_eq!(status == 200, revision == "2025-03-26", "{revision}");
    }
    let (body, headers) = modern(1, "tools/list", json!({}));
    let answer = appliance.connect().post(&format!("[{body}]"), &headers);
    assert_eq!(answer.status, 400);
}

#[test]
fn streams_are_opened_with_get_and_resumed_in_the_old_revisions_alone() {
    let appliance = appliance();
    for revision in LEGACY {
        let session = Session::open(&appliance, revision);
        session.stream(None);
        let exchange = session.call(1, "say").read_exchange();
        let first = exchange
            .events
            .iter()
            .find_map(|event| event.id.clone())
            .unwrap();
        let mut again = session.stream(Some(&first));
        let mut last = Value::Null;
        while let Some(event) = again.next_event() {
            last = event.json();
        }
        assert_eq!(last["id"], 1, "{revision}");
    }
    for method in ["GET", "DELETE"] {
        let mut client = appliance.connect();
        client.send(format!(
            "{method} /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\nLast-Event-ID: 1-1\r\n\r\n"
        ));
        assert_eq!(client.answer().status, 405);
    }
}

#[test]
fn questions_are_requests_in_the_old_revisions_and_answers_in_the_new() {
    let appliance = appliance();
    for revision in LEGACY {
        let session = Session::open(&appliance, revision);
        let mut call = session.call(1, "where");
        call.head();
        session.roots(&call.next_message().json());
        assert_eq!(call.next_message().json()["id"], 1, "{revision}");
    }
    let params = json!({"name": "ask", "arguments": {},
        "_meta": {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}});
    let (body, headers) = modern(1, "tools/call", params);
    let answer = appliance.connect().post(&body, &headers).json();
    assert_eq!(answer["result"]["resultType"], "input_required");
}

#[test]
fn changes_are_followed_by_subscribing_or_by_listening() {
    let appliance = appliance();
    for (revision, answer) in each(&appliance, "resources/subscribe", &json!({"uri": "a:b"})) {
        let answer = answer.json();
        assert_eq!(
            answer["result"].is_object(),
            !is_modern(revision),
            "{answer}"
        );
    }
    let params = json!({"notifications": {"toolsListChanged": true}});
    for revision in LEGACY {
        let session = Session::open(&appliance, revision);
        let answer = session
            .send(1, "subscriptions/listen", params.clone())
            .answer();
        assert_eq!(answer.json()["error"]["code"], -32601, "{revision}");
    }
    let (body, headers) = modern(1, "subscriptions/listen", params);
    let mut client = appliance.connect();
    client.send(request(&body, &headers));
    assert!(client.head().contains("text/event-stream"));
}

#[test]
fn logging_has_a_method_or_a_key() {
    let appliance = appliance();
    for (revision, answer) in each(&appliance, "logging/setLevel", &json!({"level": "debug"})) {
        let answer = answer.json();
        assert_eq!(
            answer["result"].is_object(),
            !is_modern(revision),
            "{answer}"
        );
    }
}

#[test]
fn ping_and_roots_are_the_old_revisions() {
    let appliance = appliance();
    for (revision, answer) in each(&appliance, "ping", &json!({})) {
        let status = if is_modern(revision) { 404 } else { 200 };
        assert_eq!(answer.status, status, "{revision}");
    }
}

#[test]
fn results_say_their_type_and_how_long_they_last_in_the_new_revision_alone() {
    let appliance = appliance();
    for method in [
        "tools/list",
        "resources/list",
        "resources/templates/list",
        "prompts/list",
    ] {
        for (revision, answer) in each(&appliance, method, &json!({})) {
            let result = &answer.json()["result"];
            let members = ["resultType", "ttlMs", "cacheScope", "_meta"];
            for member in members {
                assert_eq!(
                    result.get(member).is_some(),
                    is_modern(revision),
                    "{method} {revision} {member}"
                );
            }
        }
    }
}

#[test]
fn a_resource_that_is_not_there_has_the_code_of_its_era() {
    let appliance = appliance();
    for (revision, answer) in each(&appliance, "resources/read", &json!({"uri": "no:where"})) {
        let code = if is_modern(revision) { -32602 } else { -32002 };
        assert_eq!(answer.json()["error"]["code"], code, "{revision}");
    }
}

#[test]
fn tasks_are_not_served() {
    let appliance = appliance();
    for (revision, answer) in each(&appliance, "tasks/list", &json!({})) {
        assert_eq!(answer.json()["error"]["code"], -32601, "{revision}");
    }
}
