//! Streams on the simulated kernel: whatever it does, each client hears its own calls, in order, and all is given back.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;
use crate::ring::SimClient;

/// Real time: calls that leave the shard run on real threads.
const PATIENCE: Duration = Duration::from_secs(20);

impl World {
    /// Turns until a condition holds. The shard's clock stands still meanwhile.
    pub(super) fn until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(Instant::now() < end, "never happened: {what}");
            if self.turn() == Turn::Idle {
                std::thread::sleep(Duration::from_micros(100));
            }
        }
    }

    pub(super) fn ask(&mut self, bytes: &[u8]) -> SimClient {
        let client = self.connect();
        client.write(bytes);
        client
    }

    /// Opens a legacy session; its id.
    pub(super) fn session(&mut self, revision: &str) -> String {
        let params = json!({"protocolVersion": revision, "capabilities": {"elicitation": {}},
            "clientInfo": {"name": "t", "version": "1"}});
        let client = self.ask(&post("", "initialize", 0, &params));
        self.until("a session is opened", |_| {
            answer(&client).is_some_and(|text| text.contains("serverInfo"))
        });
        let text = String::from_utf8(client.received()).unwrap();
        client.close();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("Mcp-Session-Id: "));
        line.unwrap().to_owned()
    }

    pub(super) fn calls(&self) -> usize {
        self.shard.service().shared.calls.taken()
    }
}

fn post(headers: &str, method: &str, id: u64, params: &Value) -> Vec<u8> {
    let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string();
    raw_post(headers, &body)
}

pub(super) fn raw_post(headers: &str, body: &str) -> Vec<u8> {
    format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

pub(super) fn modern_call(tool: &str, id: u64, text: &str) -> Vec<u8> {
    let params = json!({"name": tool, "arguments": {"text": text}, "_meta": {
        "progressToken": id,
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/logLevel": "info"}});
    let headers = format!(
        "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: {tool}\r\n"
    );
    post(&headers, "tools/call", id, &params)
}

pub(super) fn legacy_call(session: &str, tool: &str, id: u64, text: &str) -> Vec<u8> {
    let params = json!({"name": tool, "arguments": {"text": text}, "_meta": {"progressToken": id}});
    post(
        &format!("Mcp-Session-Id: {session}\r\n"),
        "tools/call",
        id,
        &params,
    )
}

fn get(session: &str, last: &str) -> Vec<u8> {
    format!(
        "GET /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nMcp-Session-Id: {session}\r\n\
         Last-Event-ID: {last}\r\n\r\n"
    )
    .into_bytes()
}

/// The body of an answer, once its head is there.
pub(super) fn answer(client: &SimClient) -> Option<String> {
    let text = String::from_utf8_lossy(&client.received()).into_owned();
    let (head, body) = text.split_once("\r\n\r\n")?;
    assert!(head.starts_with("HTTP/1.1 200 "), "{text}");
    Some(body.to_owned())
}

/// The whole events that a client has: their ids and their messages.
fn events(client: &SimClient) -> Vec<(Option<String>, Value)> {
    let body = answer(client).unwrap_or_default();
    let whole = body.rsplit_once("\n\n").map_or("", |(whole, _)| whole);
    let field = |event: &str, name: &str| {
        let lines = event.lines();
        lines
            .filter_map(|line| line.strip_prefix(name).map(str::to_owned))
            .next()
    };
    whole
        .split("\n\n")
        .filter_map(|event| {
            let data = field(event, "data: ").filter(|data| !data.is_empty())?;
            Some((field(event, "id: "), serde_json::from_str(&data).unwrap()))
        })
        .collect()
}

pub(super) fn messages(client: &SimClient) -> Vec<Value> {
    events(client)
        .into_iter()
        .map(|(_, message)| message)
        .collect()
}

/// Whether what was heard is what this call says, from its beginning.
fn is_heard(heard: &[Value], id: u64, text: &str) -> bool {
    let expected = [
        json!(["notifications/progress", id, 1.0]),
        json!(["notifications/progress", id, 2.0]),
        json!(["notifications/message", null, null]),
        json!([null, id, json!({ "text": text }).to_string()]),
    ];
    let heard = heard.iter().map(|message| match &message["method"] {
        Value::Null => json!([null, message["id"], message["result"]["content"][0]["text"]]),
        method => json!([
            method,
            message["params"]["progressToken"],
            message["params"]["progress"].as_f64()
        ]),
    });
    heard.zip(expected).all(|(one, other)| one == other)
}

fn gives_everything_back(world: &mut World, seed: u64) {
    world.until("the calls end", |world| world.calls() == 0);
    comes_to_rest(world, seed);
    let shared = &world.shard.service().shared;
    assert_eq!(
        shared.streams.taken(),
        0,
        "seed {seed}: a stream's place is not given back"
    );
    assert!(world.shard.service().carriers.is_empty(), "seed {seed}");
    assert!(
        world.shard.service().dispatcher.calls.is_empty(),
        "seed {seed}"
    );
}

#[test]
fn a_modern_stream_is_whole_whatever_the_kernel_does() {
    for seed in 0..40 {
        let mut world = World::new(seed, Faults::survivable(seed), Limits::default());
        let texts: Vec<String> = (0..4)
            .map(|n| format!("{seed} {n} {}", "x".repeat(n * 900)))
            .collect();
        let clients: Vec<SimClient> = texts
            .iter()
            .map(|text| world.ask(&modern_call("say", 7, text)))
            .collect();
        for (client, text) in clients.iter().zip(&texts) {
            world.until("the answer is there", |_| messages(client).len() == 4);
            assert!(
                is_heard(&messages(client), 7, text),
                "seed {seed}: {:?}",
                messages(client)
            );
            client.close();
        }
        gives_everything_back(&mut world, seed);
    }
}

#[test]
fn a_broken_stream_never_has_another_ones_events() {
    for seed in 0..60 {
        let mut world = World::new(seed, Faults::all(seed), Limits::default());
        let texts: Vec<String> = (0..5).map(|n| format!("{seed} {n}")).collect();
        let clients: Vec<SimClient> = texts
            .iter()
            .map(|text| world.ask(&modern_call("say", 7, text)))
            .collect();
        // A broken connection may never hear of it.
        for _ in 0..3_000 {
            world.turn();
        }
        world.until("the calls end", |world| world.calls() == 0);
        world.turns(500);
        for (client, text) in clients.iter().zip(&texts) {
            assert!(
                is_heard(&messages(client), 7, text),
                "seed {seed}: {:?}",
                messages(client)
            );
            client.close();
        }
        gives_everything_back(&mut world, seed);
    }
}

#[test]
fn a_legacy_stream_that_breaks_anywhere_is_come_back_to_without_loss_or_repetition() {
    let mut resumed = 0;
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let mut world = World::new(seed, Faults::none(), Limits::default());
        let session = world.session("2025-11-25");
        world.network.set_faults(Faults::survivable(seed));
        let text = format!("{seed}");
        let mut client = world.connect();
        client.set_window(Some(300 + random.below(600) as usize));
        client.write(&legacy_call(&session, "say", 3, &text));
        world.until("the stream is there", |_| {
            answer(&client).is_some_and(|body| body.contains("id: 1-0"))
        });
        let (mut heard, mut last) = (Vec::new(), "1-0".to_owned());
        for _ in 0..1_000 {
            world.turns(1 + random.below(12) as usize);
            for (id, message) in events(&client) {
                last = id.unwrap();
                heard.push(message);
            }
            client.close();
            if heard.len() == 4 {
                break;
            }
            resumed += usize::from(!heard.is_empty());
            client = world.connect();
            // It breaks after so many bytes, in the middle of whatever that is.
            client.set_window(Some(200 + random.below(700) as usize));
            client.write(&get(&session, &last));
            world.until("it is come back to", |_| {
                client.is_closed() || answer(&client).is_some()
            });
        }
        assert_eq!(heard.len(), 4, "seed {seed}: {heard:?}");
        assert!(is_heard(&heard, 3, &text), "seed {seed}: {heard:?}");
        client.close();
        gives_everything_back(&mut world, seed);
    }
    assert!(
        resumed > 10,
        "hardly any stream broke in its middle: {resumed}"
    );
}

#[test]
fn a_question_is_answered_over_another_connection_whatever_the_kernel_does() {
    for seed in 0..25 {
        let mut world = World::new(seed, Faults::none(), Limits::default());
        let session = world.session("2025-06-18");
        world.network.set_faults(Faults::survivable(seed));
        let call = world.ask(&legacy_call(&session, "ask", 5, ""));
        world.until("the question is there", |_| messages(&call).len() == 1);
        let reply = json!({"jsonrpc": "2.0", "id": messages(&call)[0]["id"],
            "result": {"action": "accept", "content": {"seed": seed}}});
        let headers = format!("Mcp-Session-Id: {session}\r\n");
        let other = world.ask(&raw_post(&headers, &reply.to_string()));
        world.until("the answer is there", |_| messages(&call).len() == 2);
        let text = json!({ "seed": seed }).to_string();
        assert_eq!(messages(&call)[1]["result"]["content"][0]["text"], text);
        world.pass(3_000);
        assert!(call.is_closed(), "seed {seed}: its answer ends a stream");
        other.close();
        call.close();
        gives_everything_back(&mut world, seed);
    }
}

#[test]
fn a_reader_that_does_not_read_is_closed_at_its_deadline_and_its_call_goes_on() {
    let mut world = World::new(6, Faults::none(), Limits::default());
    let session = world.session("2025-11-25");
    let slow = world.connect();
    slow.set_window(Some(40));
    slow.write(&legacy_call(&session, "say", 1, &"x".repeat(50_000)));
    world.until("the call ends", |world| {
        !slow.received().is_empty() && world.calls() == 0
    });
    world.pass(31_000);
    assert!(
        slow.is_closed(),
        "nothing was taken for longer than limits.write_deadline"
    );
    let again = world.ask(&get(&session, "1-0"));
    world.until("what was said is kept", |_| messages(&again).len() == 4);
    again.close();
    slow.close();
    gives_everything_back(&mut world, 6);
}

#[test]
fn a_silent_stream_is_kept_alive_by_comments() {
    let mut world = World::new(7, Faults::none(), Limits::default());
    let session = world.session("2025-11-25");
    let call = world.ask(&legacy_call(&session, "ask", 1, ""));
    world.until("the question is there", |_| messages(&call).len() == 1);
    let comments = || answer(&call).unwrap().matches(": keep-alive").count();
    assert_eq!(comments(), 0);
    world.pass(46_000);
    assert_eq!(comments(), 3, "every limits.stream_keep_alive");
    assert!(!call.is_closed());
    call.close();
    world.turns(50);
    assert_eq!(
        world.calls(),
        1,
        "a legacy client that goes away has not cancelled"
    );
    let shared = &world.shard.service().shared;
    let id = SessionId::parse(session.as_bytes()).unwrap();
    shared.sessions.remove(id, Principal::ANONYMOUS).unwrap();
    gives_everything_back(&mut world, 7);
}

#[test]
fn what_the_event_budget_cannot_keep_is_still_delivered_to_who_is_there() {
    let limits = Limits {
        // Too little for a single event.
        event_bytes_max: 1,
        ..Limits::default()
    };
    let mut world = World::new(8, Faults::none(), limits);
    let session = world.session("2025-11-25");
    let call = world.ask(&legacy_call(&session, "say", 2, "kept nowhere"));
    world.until("the answer is there", |_| messages(&call).len() == 4);
    assert!(
        is_heard(&messages(&call), 2, "kept nowhere"),
        "{:?}",
        messages(&call)
    );
    world.pass(3_000);
    assert!(call.is_closed(), "its answer ends a stream");
    call.close();
    gives_everything_back(&mut world, 8);
}

#[test]
fn a_pipelined_request_behind_a_call_that_left_waits_for_its_answer() {
    let mut world = World::new(9, Faults::none(), Limits::default());
    let session = world.session("2025-06-18");
    let client = world.connect();
    // It does not hear events, so its question fails and its answer is JSON.
    let mut bytes = legacy_call(&session, "ask", 1, "");
    let text = String::from_utf8(bytes)
        .unwrap()
        .replace(", text/event-stream", "");
    bytes = text.into_bytes();
    bytes.extend(call(2, "behind it"));
    client.write(&bytes);
    world.until("both are answered", |_| {
        String::from_utf8_lossy(&client.received())
            .matches("HTTP/1.1 200 ")
            .count()
            == 2
    });
    let text = String::from_utf8(client.received()).unwrap();
    let (first, second) = (text.find("\"id\":1"), text.find("\"id\":2"));
    assert!(first.is_some() && first < second, "{text}");
    client.close();
    gives_everything_back(&mut world, 9);
}

#[test]
fn a_call_whose_session_ends_before_it_first_speaks_is_held_by_no_question() {
    for seed in 10..30 {
        let mut world = World::new(seed, Faults::none(), Limits::default());
        let session = world.session("2025-11-25");
        let clients: Vec<SimClient> = (0..2).map(|_| world.connect()).collect();
        world.turns(20);
        // The session is ended in the very turn in which its call leaves.
        clients[0].write(&legacy_call(&session, "ask", 1, ""));
        let end =
            format!("DELETE /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Session-Id: {session}\r\n\r\n");
        clients[1].write(end.as_bytes());
        world.turns(20);
        for client in &clients {
            client.close();
        }
        gives_everything_back(&mut world, seed);
    }
}
