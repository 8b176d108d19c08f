//! MCP 2025-03-26 to 2025-11-25 over HTTP: handshake, sessions, streams.

use serde_json::json;

use crate::harness::{Appliance, Client};

const REVISIONS: [&str; 3] = ["2025-03-26", "2025-06-18", "2025-11-25"];

fn session_headers(session: &str, revision: &str) -> String {
    format!("Mcp-Session-Id: {session}\r\nMCP-Protocol-Version: {revision}\r\n")
}

fn legacy(
    client: &mut Client,
    headers: &str,
    method: &str,
    params: serde_json::Value,
) -> crate::harness::Answer {
    client.post(
        &json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string(),
        headers,
    )
}

#[test]
fn each_revision_opens_a_session_and_calls() {
    let appliance = Appliance::start();
    for revision in REVISIONS {
        let mut client = appliance.connect();
        let session = client.initialize(revision);
        assert!(
            session.len() >= 32 && session.bytes().all(|byte| byte.is_ascii_graphic()),
            "{session}"
        );
        let headers = session_headers(&session, revision);
        assert_eq!(
            legacy(&mut client, &headers, "ping", json!({})).json()["result"],
            json!({})
        );
        let tools =
            legacy(&mut client, &headers, "tools/list", json!({})).json()["result"]["tools"]
                .clone();
        assert!(tools.as_array().unwrap().len() >= 3);
        let result = legacy(
            &mut client,
            &headers,
            "tools/call",
            json!({"name": "echo", "arguments": {"text": "old"}}),
        );
        assert_eq!(result.json()["result"]["content"][0]["text"], "old");
        assert!(result.json()["result"].get("resultType").is_none());
    }
}

#[test]
fn an_unknown_revision_is_answered_with_one_we_speak() {
    let appliance = Appliance::start();
    let body = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "1999-01-01", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}});
    let answer = appliance.connect().post(&body.to_string(), "");
    assert_eq!(answer.json()["result"]["protocolVersion"], "2025-11-25");
}

#[test]
fn a_session_ends_when_it_is_deleted() {
    let appliance = Appliance::start();
    let mut client = appliance.connect();
    let session = client.initialize("2025-11-25");
    let headers = session_headers(&session, "2025-11-25");
    client.send(format!(
        "DELETE /mcp HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"
    ));
    assert_eq!(client.answer().status, 204);
    assert_eq!(
        legacy(&mut client, &headers, "tools/list", json!({})).status,
        404
    );
    client.send(format!(
        "DELETE /mcp HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"
    ));
    assert_eq!(client.answer().status, 404);
}

#[test]
fn without_its_session_a_request_is_refused() {
    let appliance = Appliance::start();
    let mut client = appliance.connect();
    client.initialize("2025-11-25");
    assert_eq!(legacy(&mut client, "", "tools/list", json!({})).status, 400);
    let foreign = session_headers(&"0".repeat(32), "2025-11-25");
    assert_eq!(
        legacy(&mut client, &foreign, "tools/list", json!({})).status,
        404
    );
    let session = client.initialize("2025-11-25");
    let wrong = session_headers(&session, "1999-01-01");
    assert_eq!(
        legacy(&mut client, &wrong, "tools/list", json!({})).status,
        400
    );
}

#[test]
fn a_session_that_is_not_used_expires() {
    let appliance = Appliance::with(&[], "limits:\n  session_idle_deadline: 1s\n");
    let mut client = appliance.connect();
    let session = client.initialize("2025-11-25");
    let headers = session_headers(&session, "2025-11-25");
    appliance.eventually("the session expires", || {
        std::thread::sleep(std::time::Duration::from_millis(1_500));
        legacy(&mut client, &headers, "ping", json!({})).status == 404
    });
}

#[test]
fn at_the_cap_the_unused_session_gives_way() {
    let appliance = Appliance::with(&[], "limits:\n  session_count_max: 10\n");
    let mut client = appliance.connect();
    let used = client.initialize("2025-11-25");
    let headers = session_headers(&used, "2025-11-25");
    for _ in 0..100 {
        client.initialize("2025-11-25");
        // Use is told apart by the millisecond.
        std::thread::sleep(std::time::Duration::from_millis(2));
        assert_eq!(
            legacy(&mut client, &headers, "ping", json!({})).status,
            200,
            "the session in use is kept"
        );
    }
}

#[test]
fn a_session_has_one_stream_and_the_first_one_keeps_it() {
    let appliance = Appliance::start();
    let mut client = appliance.connect();
    let session = client.initialize("2025-11-25");
    let headers = session_headers(&session, "2025-11-25");
    let get = format!(
        "GET /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{headers}\r\n"
    );
    let mut stream = appliance.connect();
    stream.send(&get);
    assert!(stream.head().starts_with("HTTP/1.1 200 "));
    let mut second = appliance.connect();
    second.send(&get);
    assert_eq!(second.answer().status, 409);
    drop(stream);
    appliance.eventually("the stream is free again", || {
        let mut third = appliance.connect();
        third.send(&get);
        third.head().starts_with("HTTP/1.1 200 ")
    });
    let mut without = appliance.connect();
    without.send("GET /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n");
    assert_eq!(without.answer().status, 400);
}

#[test]
fn deleting_a_session_ends_its_stream() {
    let appliance = Appliance::start();
    let mut client = appliance.connect();
    let session = client.initialize("2025-11-25");
    let headers = session_headers(&session, "2025-11-25");
    let mut stream = appliance.connect();
    stream.send(format!(
        "GET /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{headers}\r\n"
    ));
    assert!(stream.head().starts_with("HTTP/1.1 200 "));
    client.send(format!(
        "DELETE /mcp HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"
    ));
    assert_eq!(client.answer().status, 204);
    stream.rest();
}

#[test]
fn a_client_that_takes_only_events_gets_one() {
    let appliance = Appliance::start();
    let mut client = appliance.connect();
    let session = client.initialize("2025-06-18");
    let body = json!({"jsonrpc": "2.0", "id": "x", "method": "tools/call", "params": {"name": "echo", "arguments": {"text": "e"}}}).to_string();
    client.send(format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: text/event-stream\r\n\
         Mcp-Session-Id: {session}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    let answer = client.answer();
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert_eq!(answer.events()[0]["result"]["content"][0]["text"], "e");
}

#[test]
fn a_batch_is_refused_by_name() {
    let appliance = Appliance::start();
    let answer = appliance
        .connect()
        .post(r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, "");
    assert_eq!(answer.status, 400);
    assert!(
        answer.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("batch")
    );
}
