//! What components may not do, and that nobody else notices when they try.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Appliance, modern, request};

const HOSTILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/components/hostile.wat");
const CONFIG: &str = "limits:\n  call_deadline: 500ms\n  memory_bytes_max: 16MiB\n";

fn text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap_or_default()
}

#[test]
fn whatever_a_component_does_its_caller_is_told_and_the_next_is_served() {
    let appliance = Appliance::with(&[HOSTILE], CONFIG);
    let mut client = appliance.connect();
    for (tool, needle) in [
        ("spin", "deadline"),
        ("recurse", "stack"),
        ("hoard", "memory"),
        ("trap", "unreachable"),
        ("lie", ""),
    ] {
        let result = client.call(tool, json!({}));
        assert_eq!(result["isError"], true, "{tool}: {result}");
        assert!(text(&result).contains(needle), "{tool}: {result}");
        assert_eq!(
            client.call("seven", json!({}))["structuredContent"]["result"],
            7,
            "after {tool}"
        );
    }
}

#[test]
fn a_neighbour_is_answered_while_a_component_spins() {
    let appliance = Appliance::with(
        &[HOSTILE, "--shards", "1"],
        "limits:\n  call_deadline: 2s\n",
    );
    let mut spinners: Vec<_> = (0..4).map(|_| appliance.connect()).collect();
    let (body, headers) = modern(1, "tools/call", json!({"name": "spin", "arguments": {}}));
    for spinner in &mut spinners {
        spinner.send(request(&body, &headers));
    }
    let mut neighbour = appliance.connect();
    let began = Instant::now();
    let mut answered = 0;
    while began.elapsed() < Duration::from_secs(1) {
        assert_eq!(
            neighbour.call("seven", json!({}))["structuredContent"]["result"],
            7
        );
        answered += 1;
    }
    // One shard and four spinners of two seconds: served in turn, hardly any call would have been answered.
    assert!(answered > 20, "{answered} answers in a second");
    for spinner in &mut spinners {
        assert_eq!(spinner.answer().json()["result"]["isError"], true);
    }
}

#[test]
fn a_guest_stops_when_its_client_is_gone() {
    let appliance = Appliance::with(&[HOSTILE], "limits:\n  call_deadline: 600s\n");
    let (body, headers) = modern(1, "tools/call", json!({"name": "spin", "arguments": {}}));
    let mut client = appliance.connect();
    client.send(request(&body, &headers));
    appliance.eventually("the call is running", || {
        appliance.metric("margay_requests_in_flight", "") == 1.0
    });
    drop(client);
    appliance.eventually("the call is stopped", || {
        appliance.metric("margay_tool_calls_total", "cancelled") == 1.0
            && appliance.metric("margay_requests_in_flight", "") == 0.0
            && appliance.metric("margay_calls_away", "") == 0.0
    });
}

#[test]
fn a_legacy_client_can_cancel_its_call() {
    let appliance = Appliance::with(&[HOSTILE], "limits:\n  call_deadline: 600s\n");
    let mut client = appliance.connect();
    let session = client.initialize("2025-11-25");
    let headers = format!("Mcp-Session-Id: {session}\r\n");
    let call =
        json!({"jsonrpc": "2.0", "id": "slow", "method": "tools/call", "params": {"name": "spin"}})
            .to_string();
    client.send(request(&call, &headers));
    appliance.eventually("the call is running", || {
        appliance.metric("margay_requests_in_flight", "") == 1.0
    });
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "slow"}}).to_string();
    assert_eq!(appliance.connect().post(&cancel, &headers).status, 202);
    let answer = client.answer().json();
    assert_eq!(
        (&answer["id"], &answer["result"]["isError"]),
        (&json!("slow"), &json!(true))
    );
}

#[test]
fn calls_do_not_see_each_other() {
    let appliance = Appliance::start();
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let mut client = appliance.connect();
            std::thread::spawn(move || {
                for number in 0..200 {
                    let canary = format!("canary {thread} {number}");
                    assert_eq!(
                        client.call("echo", json!({"text": canary}))["structuredContent"]["result"],
                        canary
                    );
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}
