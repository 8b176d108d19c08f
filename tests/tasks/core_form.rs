//! Tasks in the core form of 2025-11-25, over HTTP and over standard input.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{result, serve};
use crate::harness::{Answer, Client, binary, cache, jobs, request, scratch};

/// A legacy request in a session.
fn legacy(client: &mut Client, session: &str, method: &str, params: Value) -> Answer {
    let body = json!({"jsonrpc": "2.0", "id": 9, "method": method, "params": params});
    client.post(&body.to_string(), &legacy_headers(session))
}

fn legacy_headers(session: &str) -> String {
    format!("Mcp-Session-Id: {session}\r\nMCP-Protocol-Version: 2025-11-25\r\n")
}

fn initialize(client: &mut Client) -> (String, Value) {
    let body = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {"elicitation": {}},
        "clientInfo": {"name": "test", "version": "1"}}});
    let answer = client.post(&body.to_string(), "");
    let session = answer.header("mcp-session-id").unwrap().to_owned();
    let done = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    client.post(done, &legacy_headers(&session));
    (session, result(&answer))
}

fn make_legacy(client: &mut Client, session: &str, tool: &str) -> String {
    let params = json!({"name": tool, "arguments": {}, "task": {"ttl": 60_000}});
    let made = result(&legacy(client, session, "tools/call", params));
    assert_eq!(made["task"]["status"], "working", "{made}");
    assert_eq!(made["task"]["ttl"], 60_000);
    made["task"]["taskId"].as_str().unwrap().to_owned()
}

#[test]
fn the_core_form_of_2025_11_25_is_served_beside_the_extension() {
    let appliance = serve(&scratch("state"), "");
    let mut client = appliance.connect();
    let (session, initialized) = initialize(&mut client);
    let offered = &initialized["capabilities"]["tasks"];
    assert_eq!(
        *offered,
        json!({"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}})
    );
    let listed = result(&legacy(&mut client, &session, "tools/list", json!({})));
    let support = |name: &str| {
        let tools = listed["tools"].as_array().unwrap();
        let tool = tools.iter().find(|tool| tool["name"] == name).unwrap();
        tool["execution"]["taskSupport"].clone()
    };
    assert_eq!(support("quick"), "optional");
    assert_eq!(support("must"), "required");
    assert_eq!(support("defer"), "optional");
    assert_eq!(support("never"), Value::Null);

    let call = |client: &mut Client, params| legacy(client, &session, "tools/call", params).json();
    let forbidden = call(&mut client, json!({"name": "never", "task": {}}));
    assert_eq!(forbidden["error"]["code"], -32601);
    let required = call(&mut client, json!({"name": "must"}));
    assert_eq!(required["error"]["code"], -32601);
    let plain = call(&mut client, json!({"name": "quick"}));
    assert_eq!(plain["result"]["content"][0]["text"], "done");

    let quick = make_legacy(&mut client, &session, "quick");
    let related = json!({"taskId": quick});
    let told = legacy(
        &mut client,
        &session,
        "tasks/result",
        json!({"taskId": quick}),
    );
    let told = result(&told);
    assert_eq!(told["content"][0]["text"], "done");
    assert_eq!(
        told["_meta"]["io.modelcontextprotocol/related-task"],
        related
    );
    let got = result(&legacy(
        &mut client,
        &session,
        "tasks/get",
        json!({"taskId": quick}),
    ));
    assert_eq!(got["status"], "completed");
    assert!(got.get("result").is_none() && got.get("resultType").is_none());
    let late = legacy(
        &mut client,
        &session,
        "tasks/cancel",
        json!({"taskId": quick}),
    );
    assert_eq!(late.json()["error"]["code"], -32602);

    let failing = make_legacy(&mut client, &session, "fail");
    let told = legacy(
        &mut client,
        &session,
        "tasks/result",
        json!({"taskId": failing}),
    );
    assert!(
        told.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("it is broken")
    );

    let spinning = make_legacy(&mut client, &session, "spin");
    let cancelled = legacy(
        &mut client,
        &session,
        "tasks/cancel",
        json!({"taskId": spinning}),
    );
    assert_eq!(result(&cancelled)["status"], "cancelled");

    let listed = result(&legacy(&mut client, &session, "tasks/list", json!({})));
    let ids: Vec<&str> = listed["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["taskId"].as_str().unwrap())
        .collect();
    assert_eq!(ids, [&*quick, &*failing, &*spinning]);
    let (other, _) = initialize(&mut client);
    let listed = result(&legacy(&mut client, &other, "tasks/list", json!({})));
    assert_eq!(
        listed["tasks"],
        json!([]),
        "a list names a session's own tasks"
    );
}

#[test]
fn whoever_waits_for_a_legacy_task_is_asked_its_questions() {
    let appliance = serve(&scratch("state"), "");
    let mut client = appliance.connect();
    let (session, _) = initialize(&mut client);
    let id = make_legacy(&mut client, &session, "ask_two");
    let mut waiting = appliance.connect();
    let body =
        json!({"jsonrpc": "2.0", "id": "w", "method": "tasks/result", "params": {"taskId": id}});
    waiting.send(request(&body.to_string(), &legacy_headers(&session)));
    assert!(waiting.head().contains("text/event-stream"));
    let mut asked = Vec::new();
    let ended = loop {
        let event = waiting.event();
        if event["method"] != "elicitation/create" {
            break event;
        }
        let related = &event["params"]["_meta"]["io.modelcontextprotocol/related-task"];
        assert_eq!(related["taskId"], json!(id));
        asked.push(event["params"]["message"].clone());
        let answer = json!({"jsonrpc": "2.0", "id": event["id"], "result": {"action": "accept", "content": {}}});
        let taken = client.post(&answer.to_string(), &legacy_headers(&session));
        assert_eq!(taken.status, 202);
    };
    assert_eq!(asked, ["What is first?", "What is second?"]);
    assert_eq!(
        (&ended["id"], &ended["result"]["content"][0]["text"]),
        (&json!("w"), &json!("answered"))
    );
}

#[test]
fn a_session_hears_of_its_tasks_on_its_own_stream() {
    let appliance = serve(&scratch("state"), "");
    let mut client = appliance.connect();
    let (session, _) = initialize(&mut client);
    let mut stream = appliance.connect();
    let headers = legacy_headers(&session);
    stream.send(format!(
        "GET /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{headers}\r\n"
    ));
    assert!(stream.head().contains("200"));
    let id = make_legacy(&mut client, &session, "quick");
    let mut heard = Vec::new();
    while heard.last() != Some(&json!("completed")) {
        let event = stream.event();
        assert_eq!(event["method"], "notifications/tasks/status");
        assert_eq!(event["params"]["taskId"], json!(id));
        heard.push(event["params"]["status"].clone());
    }
}

#[test]
fn tasks_over_standard_input_are_answered_also_after_its_end() {
    let state = scratch("state");
    let mut child = Command::new(binary())
        .arg("stdio")
        .arg(jobs())
        .args(["--state-dir", state.to_str().unwrap()])
        .env("XDG_CACHE_HOME", cache())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = || {
        let mut text = String::new();
        std::io::BufRead::read_line(&mut output, &mut text).unwrap();
        serde_json::from_str::<Value>(&text).unwrap_or(Value::Null)
    };
    let mut say = |message: Value| writeln!(input, "{message}").unwrap();
    say(
        json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}}),
    );
    say(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    assert!(line()["result"]["capabilities"]["tasks"].is_object());
    say(
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "quick", "task": {}}}),
    );
    let made = line();
    let id = made["result"]["task"]["taskId"].clone();
    assert!(id.is_string(), "{made}");
    say(json!({"jsonrpc": "2.0", "id": 2, "method": "tasks/result", "params": {"taskId": id}}));
    drop(input);
    let mut heard = Vec::new();
    loop {
        let message = line();
        if message["id"] == 2 {
            assert_eq!(message["result"]["content"][0]["text"], "done");
            break;
        }
        assert_eq!(message["method"], "notifications/tasks/status", "{message}");
        heard.push(message["params"]["status"].clone());
    }
    assert!(child.wait().unwrap().success());
}

#[test]
fn who_goes_away_from_a_task_that_has_asked_waits_for_it_no_longer() {
    let appliance = serve(&scratch("state"), "limits:\n  request_count_max: 4\n");
    let mut client = appliance.connect();
    let (session, _) = initialize(&mut client);
    let id = make_legacy(&mut client, &session, "ask_two");
    for round in 0..6 {
        let body = json!({"jsonrpc": "2.0", "id": round, "method": "tasks/result", "params": {"taskId": id}});
        appliance.eventually("there is a place for one more", || {
            let mut waiting = appliance.connect();
            waiting.send(request(&body.to_string(), &legacy_headers(&session)));
            let is_asked = waiting.head().contains("text/event-stream");
            is_asked && waiting.event()["method"] == "elicitation/create"
        });
    }
}
