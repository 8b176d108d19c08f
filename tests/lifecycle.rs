//! Starting, changing while serving, and stopping.

use std::process::Command;

use serde_json::json;

use crate::harness::{Appliance, Client, binary, modern, request};

const HOSTILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/components/hostile.wat");

#[test]
fn a_drain_finishes_what_is_in_flight_and_ends_with_zero() {
    let mut appliance = Appliance::with(&[HOSTILE], "limits:\n  call_deadline: 1s\n");
    let mut idle = appliance.connect();
    assert_eq!(
        idle.call("seven", json!({}))["structuredContent"]["result"],
        7
    );
    let (body, headers) = modern(1, "tools/call", json!({"name": "spin", "arguments": {}}));
    let mut busy = appliance.connect();
    busy.send(request(&body, &headers));
    appliance.eventually("the call is running", || {
        appliance.metric("margay_requests_in_flight", "") == 1.0
    });
    appliance.signal("TERM");
    let answer = busy.answer();
    assert_eq!(
        answer.json()["result"]["isError"],
        true,
        "the call in flight is answered"
    );
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(idle.rest().is_empty());
    assert_eq!(appliance.wait(), Some(0));
}

#[test]
fn a_component_comes_and_goes_while_serving() {
    let appliance = Appliance::start();
    let (body, headers) = modern(
        1,
        "subscriptions/listen",
        json!({"notifications": {"toolsListChanged": true}}),
    );
    let mut listener = appliance.connect();
    listener.send(request(&body, &headers));
    listener.head();
    listener.event();
    let mut client = appliance.connect();
    let session = client.initialize("2025-11-25");
    let mut stream = appliance.connect();
    stream.send(format!(
        "GET /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nMcp-Session-Id: {session}\r\n\r\n"
    ));
    stream.head();

    let component = |arguments: &[&str]| {
        let output = Command::new(binary())
            .arg("component")
            .args(arguments)
            .env("XDG_DATA_HOME", appliance.folder.join("data"))
            .env("XDG_CACHE_HOME", crate::harness::cache())
            .env("XDG_STATE_HOME", appliance.folder.join("state"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    component(&["load", HOSTILE]);
    for stream in [&mut listener, &mut stream] {
        assert_eq!(stream.event()["method"], "notifications/tools/list_changed");
    }
    assert_eq!(
        client.call("seven", json!({}))["structuredContent"]["result"],
        7
    );
    assert!(component(&["list"]).contains("hostile"));
    component(&["remove", "hostile"]);
    assert_eq!(
        listener.event()["method"],
        "notifications/tools/list_changed"
    );
    let answer = client.modern("tools/call", json!({"name": "seven", "arguments": {}}));
    assert_eq!(answer.json()["error"]["code"], -32602);
}

#[test]
fn the_admin_listener_says_how_it_is() {
    let appliance = Appliance::start();
    let mut admin = Client::connect(appliance.admin);
    assert_eq!(admin.get("/healthz").status, 200);
    assert_eq!(admin.get("/readyz").status, 200);
    let before = appliance.metric("margay_tool_calls_total", "\"ok\"");
    for _ in 0..3 {
        appliance.connect().call("echo", json!({"text": "x"}));
    }
    assert_eq!(
        appliance.metric("margay_tool_calls_total", "\"ok\"") - before,
        3.0
    );
    assert!(appliance.metric("margay_request_phase_seconds_count", "execute") >= 3.0);
    let mut evil = Client::connect(appliance.admin);
    evil.send("GET /metrics HTTP/1.1\r\nHost: evil.example.com\r\n\r\n");
    assert_eq!(evil.answer().status, 403);
}

#[test]
fn the_access_log_has_a_line_for_each_request() {
    let folder = crate::harness::scratch("access-log");
    let path = folder.join("access.jsonl");
    let mut appliance = Appliance::with(&[], &format!("access_log: {}\n", path.display()));
    for _ in 0..5 {
        appliance.connect().call("echo", json!({"text": "x"}));
    }
    appliance.signal("TERM");
    assert_eq!(appliance.wait(), Some(0));
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let calls = lines
        .iter()
        .filter(|line| line["method"] == "tools/call" && line["tool"] == "echo");
    assert_eq!(calls.count(), 5, "{text}");
}

#[test]
fn epoll_serves_the_same() {
    let appliance = Appliance::with(&["--io", "epoll"], "");
    let mut client = appliance.connect();
    for number in 0..50 {
        let text = format!("{number}");
        assert_eq!(
            client.call("echo", json!({"text": text}))["structuredContent"]["result"],
            text.as_str()
        );
    }
}
