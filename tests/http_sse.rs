//! The old transport, where it is switched on: GET /sse and POST /messages.

use serde_json::{Value, json};

use crate::harness::{Appliance, Client, everything};

fn appliance() -> Appliance {
    let arguments = [
        &*everything().to_string_lossy().into_owned(),
        "--http-sse",
        "--shards",
        "2",
    ];
    Appliance::with(&arguments, "")
}

/// A client with its stream.
struct Old<'a> {
    appliance: &'a Appliance,
    stream: Client,
    address: String,
}

impl<'a> Old<'a> {
    fn connect(appliance: &'a Appliance) -> Self {
        let mut stream = appliance.connect();
        stream.send("GET /sse HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n");
        let head = stream.head();
        assert!(
            head.starts_with("HTTP/1.1 200 ") && head.contains("text/event-stream"),
            "{head}"
        );
        let event = stream.next_event().unwrap();
        assert_eq!(event.name.as_deref(), Some("endpoint"));
        Self {
            appliance,
            stream,
            address: event.data,
        }
    }

    fn initialized(appliance: &'a Appliance, revision: &str) -> Self {
        let mut old = Self::connect(appliance);
        let params = json!({"protocolVersion": revision, "capabilities": {"roots": {}},
            "clientInfo": {"name": "old", "version": "1"}});
        let result = old.request(0, "initialize", params)["result"].clone();
        assert_eq!(result["protocolVersion"], revision);
        old.tell(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        old
    }

    /// Posts on a connection of its own, which lands on either shard.
    fn post(&self, body: &str, headers: &str) -> u16 {
        let mut client = self.appliance.connect();
        client.send(format!(
            "POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        ));
        client.answer().status
    }

    fn tell(&self, body: &Value) {
        assert_eq!(self.post(&body.to_string(), ""), 202, "{body}");
    }

    fn request(&mut self, id: u64, method: &str, params: Value) -> Value {
        self.tell(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        let answer = self.next();
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    fn next(&mut self) -> Value {
        let event = self.stream.next_message();
        assert_eq!((event.id, event.name.as_deref()), (None, Some("message")));
        serde_json::from_str(&event.data).unwrap()
    }
}

#[test]
fn everything_is_answered_on_the_stream_whatever_shard_the_post_lands_on() {
    let appliance = appliance();
    let mut old = Old::initialized(&appliance, "2024-11-05");
    assert_eq!(old.request(1, "ping", json!({}))["result"], json!({}));
    for id in 2..30 {
        let answer = old.request(
            id,
            "tools/call",
            json!({"name": "header", "arguments": {"n": id}}),
        );
        assert_eq!(
            answer["result"]["content"][0]["text"],
            format!("{{\"n\":{id}}}")
        );
    }
    let answer = old.request(40, "no/such", json!({}));
    assert_eq!(answer["error"]["code"], -32601);
    let long = "x".repeat(100 << 10);
    let answer = old.request(
        41,
        "tools/call",
        json!({"name": "header", "arguments": {"long": long}}),
    );
    assert!(
        answer["result"]["content"][0]["text"]
            .as_str()
            .unwrap()
            .len()
            > 100 << 10
    );
    assert_eq!(
        appliance.metric("margay_event_bytes", ""),
        0.0,
        "nobody can come back for them"
    );
}

#[test]
fn calls_speak_and_ask_on_the_stream() {
    let appliance = appliance();
    let mut old = Old::initialized(&appliance, "2024-11-05");
    let params = json!({"name": "say", "arguments": {}, "_meta": {"progressToken": "t"}});
    old.tell(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}));
    let methods: Vec<Value> = (0..4).map(|_| old.next()["method"].clone()).collect();
    assert_eq!(methods[0], "notifications/progress");
    assert_eq!(methods[2], "notifications/message");
    assert_eq!(methods[3], Value::Null, "the answer");
    old.tell(
        &json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "where"}}),
    );
    let question = old.next();
    assert_eq!(question["method"], "roots/list");
    old.tell(&json!({"jsonrpc": "2.0", "id": question["id"], "result": {"roots": []}}));
    assert_eq!(old.next()["result"]["content"][0]["text"], "asked");
    old.request(3, "resources/subscribe", json!({"uri": "a:b"}));
    old.tell(
        &json!({"jsonrpc": "2.0", "id": 4, "method": "tools/call", "params": {"name": "change"}}),
    );
    let mut heard: Vec<String> = (0..4).map(|_| old.next()["method"].to_string()).collect();
    heard.sort();
    assert!(
        heard.iter().any(|one| one.contains("resources/updated")),
        "{heard:?}"
    );
    assert!(
        heard.iter().any(|one| one.contains("tools/list_changed")),
        "{heard:?}"
    );
}

#[test]
fn the_one_stream_is_not_closed_for_a_client_that_cannot_come_back() {
    let appliance = appliance();
    let mut old = Old::initialized(&appliance, "2025-11-25");
    let answer = old.request(1, "tools/call", json!({"name": "release", "arguments": {}}));
    assert!(answer["result"].is_object(), "{answer}");
    assert_eq!(old.request(2, "ping", json!({}))["result"], json!({}));
}

#[test]
fn a_session_is_as_long_as_its_stream() {
    let appliance = appliance();
    let mut old = Old::initialized(&appliance, "2025-06-18");
    old.tell(
        &json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "where"}}),
    );
    assert_eq!(old.next()["method"], "roots/list");
    let Old {
        stream, address, ..
    } = old;
    drop(stream);
    let gone = Old {
        appliance: &appliance,
        stream: appliance.connect(),
        address,
    };
    appliance.eventually("its session is gone", || gone.post("{}", "") == 404);
    appliance.eventually("its call too", || {
        appliance.metric("margay_calls_away", "") == 0.0
    });
}

#[test]
fn who_may_not_does_not() {
    let appliance = appliance();
    let old = Old::initialized(&appliance, "2024-11-05");
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    assert_eq!(old.post(ping, "Origin: http://evil.example.com\r\n"), 403);
    for (line, status) in [
        ("GET /sse HTTP/1.1\r\nHost: evil.example.com\r\n", 403),
        (
            "GET /sse HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example.com\r\n",
            403,
        ),
        (
            "GET /sse HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain\r\n",
            406,
        ),
        (
            "POST /sse HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n",
            405,
        ),
        ("GET /messages HTTP/1.1\r\nHost: localhost\r\n", 405),
    ] {
        let mut client = appliance.connect();
        client.send(format!("{line}\r\n"));
        assert_eq!(client.answer().status, status, "{line}");
    }
    let foreign = |address: &str| Old {
        appliance: &appliance,
        stream: appliance.connect(),
        address: address.to_owned(),
    };
    assert_eq!(foreign("/messages").post(ping, ""), 400);
    assert_eq!(foreign("/messages?sessionId=x").post(ping, ""), 404);
    // A session of the other transport is not reached by this one, and the other way round.
    let session = appliance.connect().initialize("2025-11-25");
    assert_eq!(
        foreign(&format!("/messages?sessionId={session}")).post(ping, ""),
        404
    );
    let id = old.address.split('=').nth(1).unwrap();
    let headers = format!("Mcp-Session-Id: {id}\r\n");
    assert_eq!(appliance.connect().post(ping, &headers).status, 404);
    assert_eq!(old.post("{", ""), 400);
}

#[test]
fn it_is_not_there_unless_it_is_switched_on() {
    let appliance = Appliance::start();
    assert_eq!(appliance.connect().get("/sse").status, 404);
    let on = Appliance::with(&[], "http_sse: true\n");
    Old::connect(&on);
}

#[test]
fn a_drain_lets_calls_be_answered_and_then_ends_the_stream() {
    let mut appliance = appliance();
    let mut old = Old::initialized(&appliance, "2024-11-05");
    old.tell(
        &json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "where"}}),
    );
    let question = old.next();
    // Before the listener closes: a connection to answer on.
    let mut other = appliance.connect();
    let answer =
        json!({"jsonrpc": "2.0", "id": question["id"], "result": {"roots": []}}).to_string();
    let bytes = format!(
        "POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{answer}",
        old.address,
        answer.len()
    );
    other.send(&bytes[..20]);
    appliance.eventually("it is being read", || {
        appliance.metric("margay_connections_open", "") >= 2.0
    });
    appliance.signal("TERM");
    appliance.eventually("draining", || appliance.stderr().contains("draining"));
    other.send(&bytes[20..]);
    assert_eq!(other.answer().status, 202);
    assert_eq!(old.next()["result"]["content"][0]["text"], "asked");
    assert!(old.stream.next_event().is_none());
    drop((old, other));
    assert_eq!(appliance.wait(), Some(0));
}
