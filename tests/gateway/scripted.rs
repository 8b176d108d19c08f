//! The scripted servers themselves, without a gateway: what fails here is no fault of ours.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::upstream::{HttpUpstream, Mode, Script};
use crate::harness::{Client, modern, request};

fn legacy(upstream: &HttpUpstream) -> (Client, String) {
    let mut client = Client::connect(upstream.address);
    let session = client.initialize_with("2025-11-25", &json!({"elicitation": {}}));
    let headers = format!("Mcp-Session-Id: {session}\r\nMCP-Protocol-Version: 2025-11-25\r\n");
    (client, headers)
}

fn call(id: u64, tool: &str, arguments: Value) -> String {
    let params = json!({"name": tool, "arguments": arguments, "_meta": {"progressToken": "t"}});
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}).to_string()
}

#[test]
fn a_legacy_server_has_sessions_and_streams() {
    let upstream = Script::legacy("up").http();
    let mut stranger = Client::connect(upstream.address);
    assert_eq!(stranger.post(&call(1, "who", json!({})), "").status, 400);
    let unknown = "Mcp-Session-Id: none\r\nMCP-Protocol-Version: 2025-11-25\r\n";
    assert_eq!(
        stranger.post(&call(1, "who", json!({})), unknown).status,
        404
    );
    let (mut client, headers) = legacy(&upstream);
    let answer = client
        .post(&call(2, "repeat", json!({"text": "x"})), &headers)
        .json();
    assert_eq!(answer["result"]["content"][0]["text"], "x");
    client.send(request(&call(3, "progress", json!({"count": 2})), &headers));
    assert!(client.head().contains("text/event-stream"));
    upstream.set(Mode::Status(503));
    assert_eq!(Client::connect(upstream.address).post("{}", "").status, 503);
}

#[test]
fn a_modern_server_minds_its_headers() {
    let upstream = Script::modern("up").http();
    let mut client = Client::connect(upstream.address);
    assert_eq!(
        client.call("repeat", json!({"text": "x"}))["content"][0]["text"],
        "x"
    );
    let (body, headers) = modern(1, "tools/call", json!({"name": "who"}));
    let wrong = client.post(&body, &headers.replace("Mcp-Name: who", "Mcp-Name: repeat"));
    assert_eq!(
        (wrong.status, &wrong.json()["error"]["code"]),
        (400, &json!(-32020))
    );
    let old = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#;
    assert_eq!(client.post(old, "").json()["error"]["code"], -32022);
}

#[test]
fn a_fault_is_what_its_name_says() {
    let upstream = Script::legacy("up").http();
    let (mut client, headers) = legacy(&upstream);
    let mut wrong = |kind: &str, at: u64| {
        client.post(&call(1, "fault", json!({"kind": kind, "at": at})), &headers)
    };
    assert_eq!(wrong("status", 418).status, 418);
    assert_eq!(wrong("wrong_id", 0).json()["id"], 987_654_321);
    assert!(wrong("redirect", 0).header("location").is_some());
    client.send(request(
        &call(1, "fault", json!({"kind": "close", "at": 20})),
        &headers,
    ));
    assert_eq!(client.rest().len(), 20);
}

#[test]
fn a_child_talks_on_its_pipe() {
    let child = Script::legacy("up").child();
    let [program, arguments @ ..] = child.command();
    let mut process = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut input, output) = (
        process.stdin.take().unwrap(),
        process.stdout.take().unwrap(),
    );
    let initialize =
        json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"capabilities": {}}});
    writeln!(
        input,
        "{initialize}\n{}",
        call(1, "progress", json!({"count": 1}))
    )
    .unwrap();
    let mut lines = BufReader::new(output).lines().map(|line| {
        let line = line.unwrap();
        serde_json::from_str::<Value>(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    });
    let mut heard: Vec<Value> = lines.by_ref().take(3).collect();
    heard.sort_by_key(|message| message["id"].to_string());
    assert_eq!(
        heard[0]["result"]["protocolVersion"], "2025-11-25",
        "{heard:?}"
    );
    assert_eq!(
        heard[1]["result"]["content"][0]["text"], "done",
        "{heard:?}"
    );
    assert_eq!(heard[2]["params"]["progressToken"], "t", "{heard:?}");
    assert_eq!(child.living().len(), 1);
    drop(input);
    assert!(lines.next().is_none(), "it writes nothing else");
    assert!(process.wait().unwrap().success());
    assert_eq!(child.messages("tools/call").len(), 1);
}
