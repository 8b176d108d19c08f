//! What once went wrong, or nearly did: one promise for each.

use std::io::Write;
use std::net::Shutdown;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Appliance, Client, binary, cache, modern, request, scratch};

fn echo(id: u64, text: &str) -> String {
    let (body, headers) = modern(
        id,
        "tools/call",
        json!({"name": "echo", "arguments": {"text": text}}),
    );
    request(&body, &headers)
}

fn listen(client: &mut Client, headers: &str) {
    let (body, more) = modern(
        1,
        "subscriptions/listen",
        json!({"notifications": {"toolsListChanged": true}}),
    );
    client.send(request(&body, &format!("{more}{headers}")));
}

/// Room for an answer that no kernel keeps for a client that does not read.
const LARGE: &str = "limits:\n  output_bytes_max: 64MiB\n  body_bytes_max: 16MiB\n  drain_deadline: 25s\n  idle_deadline: 300ms\n";
const LARGE_TEXT_BYTES: usize = 6 << 20;

#[test]
fn streams_whose_clients_keep_talking_starve_nobody() {
    let appliance = Appliance::with(&["--shards", "1"], "");
    // More than the receive buffers of a shard.
    let mut streams: Vec<Client> = (0..600).map(|_| appliance.connect()).collect();
    for stream in &mut streams {
        listen(stream, "");
        stream.head();
        stream.send("x");
    }
    let result = appliance.connect().call("echo", json!({"text": "alive"}));
    assert_eq!(result["structuredContent"]["result"], "alive");
}

#[test]
fn a_body_that_is_only_promised_takes_no_memory() {
    let appliance = Appliance::start();
    let promise = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10485760\r\n\r\n{";
    let mut waiting: Vec<Client> = (0..50).map(|_| appliance.connect()).collect();
    for client in &mut waiting {
        client.send(promise);
    }
    let result = appliance.connect().call("echo", json!({"text": "alive"}));
    assert_eq!(result["structuredContent"]["result"], "alive");
    assert!(appliance.metric("margay_buffer_pool_bytes", "") < 32e6);
}

#[test]
fn a_body_in_many_pieces_arrives_whole() {
    let appliance = Appliance::with(&[], "limits:\n  body_bytes_max: 1MiB\n");
    let text = "0123456789".repeat(40_000);
    let bytes = echo(1, &text).into_bytes();
    let mut client = appliance.connect();
    for piece in bytes.chunks(50_001) {
        client.send(piece);
        std::thread::sleep(Duration::from_millis(2));
    }
    let answer = client.answer().json();
    assert_eq!(
        answer["result"]["structuredContent"]["result"],
        text.as_str()
    );
}

#[test]
fn a_busy_pipeline_is_no_slow_client() {
    let config = "limits:\n  head_deadline: 1s\n  body_deadline: 1s\n";
    let appliance = Appliance::with(&[], config);
    let bytes = echo(1, "busy");
    let head_bytes = bytes.find("\r\n\r\n").unwrap() + 4;
    // At the end of each piece a head is unfinished, or a body; each one itself is quick.
    for cut in [40, head_bytes + 3] {
        let mut client = appliance.connect();
        client.send(&bytes[..cut]);
        for number in 0..12 {
            std::thread::sleep(Duration::from_millis(200));
            client.send(format!("{}{}", &bytes[cut..], &bytes[..cut]));
            assert_eq!(
                client.answer().status,
                200,
                "request {number}, cut at {cut}"
            );
        }
    }
}

#[test]
fn whoever_asks_and_then_closes_its_side_gets_every_answer() {
    let appliance = Appliance::start();
    let mut client = appliance.connect();
    // Not calls: one that a busy host makes leave its shard is given up with its client.
    let padding = "x".repeat(1_000);
    let ask = |id| {
        let (body, headers) = modern(id, "server/discover", json!({"padding": padding}));
        request(&body, &headers)
    };
    client.send((0..300).map(ask).collect::<String>());
    client.stream.shutdown(Shutdown::Write).unwrap();
    for id in 0..300 {
        assert_eq!(client.answer().json()["id"], id);
    }
    assert!(client.rest().is_empty());
}

#[test]
fn an_answer_that_is_being_taken_is_not_idle() {
    let appliance = Appliance::with(&[], LARGE);
    let mut client = appliance.connect();
    client.send(echo(1, &"x".repeat(LARGE_TEXT_BYTES)));
    std::thread::sleep(Duration::from_millis(1_500));
    let answer = client.answer();
    assert_eq!(answer.status, 200);
    assert!(answer.body.len() > 2 * LARGE_TEXT_BYTES);
}

#[test]
fn a_drain_does_not_wait_for_a_connection_whose_last_answer_is_taken() {
    let mut appliance = Appliance::with(&[], LARGE);
    let mut client = appliance.connect();
    client.send(echo(1, &"x".repeat(LARGE_TEXT_BYTES)));
    client.head();
    appliance.signal("TERM");
    let began = Instant::now();
    std::thread::sleep(Duration::from_millis(200));
    client.rest();
    assert_eq!(appliance.wait(), Some(0));
    // The drain's deadline is 25 s.
    assert!(began.elapsed() < Duration::from_secs(15));
}

#[test]
fn a_limit_on_the_wire_is_named_with_its_value() {
    let config = "limits:\n  body_bytes_max: 64KiB\n  head_bytes_max: 2KiB\n";
    let appliance = Appliance::with(&[], config);
    let head = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let chunks = format!("10000\r\n{}\r\n10\r\n{0:.16}\r\n", "x".repeat(65_536));
    let cases = [
        (
            format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}"),
            413,
            "65536",
        ),
        (
            format!("{head}X: {}\r\n\r\n", "x".repeat(2_048)),
            431,
            "2048",
        ),
        (
            format!("GET /{} HTTP/1.1\r\n", "x".repeat(2_048)),
            414,
            "2048",
        ),
    ];
    for (bytes, status, value) in cases {
        let mut client = appliance.connect();
        client.send(bytes);
        let answer = client.answer();
        assert_eq!(answer.status, status);
        let text = String::from_utf8(answer.body).unwrap();
        assert!(text.contains(value) && text.contains("limits."), "{text}");
    }
}

#[test]
fn accept_lines_are_one_list() {
    let appliance = Appliance::start();
    let send = |method: &str, params: Value, accept: &str| {
        let (body, headers) = modern(1, method, params);
        let mut client = appliance.connect();
        client.send(format!(
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{accept}{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        client
    };
    let both = "Accept: application/json\r\nAccept: text/event-stream\r\n";
    let filter = json!({"notifications": {"toolsListChanged": true}});
    let mut client = send("subscriptions/listen", filter.clone(), both);
    assert!(client.head().contains("text/event-stream"));
    let json_only = "Accept: application/json\r\nAccept: text/html\r\n";
    let mut client = send("subscriptions/listen", filter, json_only);
    assert_eq!(client.answer().status, 406);
    let events_only = "Accept: text/html\r\nAccept: text/event-stream\r\n";
    let mut client = send("server/discover", json!({}), events_only);
    assert!(
        client
            .answer()
            .header("content-type")
            .is_some_and(|value| value.starts_with("text/event-stream"))
    );
    let neither = "Accept: text/html\r\nAccept: text/plain\r\n";
    let mut client = send("server/discover", json!({}), neither);
    assert_eq!(client.answer().status, 406);
}

#[test]
fn a_head_request_has_no_body_even_when_it_is_refused() {
    let appliance = Appliance::start();
    for (target, host) in [
        ("/", "evil.example.com"),
        ("/mcp", "localhost"),
        ("/nowhere", "localhost"),
    ] {
        let mut client = appliance.connect();
        client.send(format!(
            "HEAD {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        ));
        client.head();
        assert!(client.rest().is_empty(), "{target} at {host}");
    }
}

#[test]
fn the_query_of_an_absolute_target_is_no_path() {
    let appliance = Appliance::start();
    let mut client = appliance.connect();
    client.send("DELETE http://localhost?/mcp HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.answer().status, 405, "the path is /");
}

/// Feeds lines to `margay stdio`; the messages it writes.
fn stdio(config: &str, lines: &[String]) -> Vec<Value> {
    let folder = scratch("stdio");
    let path = folder.join("margay.yaml");
    std::fs::write(&path, config).unwrap();
    let mut child = Command::new(binary())
        .args(["stdio", "--config"])
        .arg(&path)
        .env("XDG_DATA_HOME", folder.join("data"))
        .env("XDG_STATE_HOME", folder.join("state"))
        .env("XDG_CACHE_HOME", cache())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    // On a thread: a client that only writes would fill both pipes.
    let lines = lines.to_vec();
    let writer = std::thread::spawn(move || {
        for line in lines {
            writeln!(input, "{line}").unwrap();
        }
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn stdio_refuses_a_listener_over_the_limit() {
    let listen = |id| {
        let params = json!({"notifications": {"toolsListChanged": true}});
        modern(id, "subscriptions/listen", params).0
    };
    let answers = stdio("limits:\n  stream_count_max: 1\n", &[listen(1), listen(2)]);
    assert_eq!(
        answers[0]["method"],
        "notifications/subscriptions/acknowledged"
    );
    assert_eq!(answers[1]["id"], 2);
    let text = answers[1]["error"]["message"].as_str().unwrap();
    assert!(text.contains("limits.stream_count_max"), "{text}");
}

#[test]
fn stdio_says_how_long_a_line_may_be_and_goes_on() {
    let answers = stdio(
        "limits:\n  body_bytes_max: 4KiB\n",
        &[
            "x".repeat(5_000),
            "\u{0}garbage".to_owned(),
            modern(7, "server/discover", json!({})).0,
        ],
    );
    let text = answers[0]["error"]["message"].as_str().unwrap();
    assert!(
        text.contains("limits.body_bytes_max") && text.contains("4096"),
        "{text}"
    );
    assert_eq!(answers[1]["error"]["code"], -32700);
    assert_eq!(answers[2]["id"], 7);
    assert_eq!(answers.len(), 3);
}

#[test]
fn calls_in_flight_are_bounded_over_all_shards() {
    const HOSTILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/components/hostile.wat");
    let config = "limits:\n  request_count_max: 2\n  call_deadline: 2s\n";
    let appliance = Appliance::with(&["--shards", "2", HOSTILE], config);
    let (body, headers) = modern(1, "tools/call", json!({"name": "spin", "arguments": {}}));
    let mut clients: Vec<Client> = (0..10).map(|_| appliance.connect()).collect();
    for client in &mut clients {
        client.send(request(&body, &headers));
    }
    let answers: Vec<_> = clients.iter_mut().map(Client::answer).collect();
    let refused = answers.iter().filter(|answer| answer.status == 503);
    assert_eq!(refused.count(), 8);
    // The places are given back.
    let mut client = appliance.connect();
    assert_eq!(
        client.call("seven", json!({}))["structuredContent"]["result"],
        7
    );
    client.send(request(&body, &headers));
    assert_eq!(client.answer().status, 200);
}

#[test]
fn an_encoded_body_is_refused() {
    let appliance = Appliance::start();
    let (body, headers) = modern(1, "server/discover", json!({}));
    for (coding, status) in [("gzip", 415), ("identity", 200)] {
        let headers = format!("{headers}Content-Encoding: {coding}\r\n");
        let answer = appliance.connect().post(&body, &headers);
        assert_eq!(answer.status, status, "{coding}");
    }
}
