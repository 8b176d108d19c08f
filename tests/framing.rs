//! HTTP/1.1 on the wire: what is a request, what is not, and what becomes of the connection.

use std::io::Read;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Appliance, Client, modern, request};

fn echo(text: &str) -> String {
    let (body, headers) = modern(
        1,
        "tools/call",
        json!({"name": "echo", "arguments": {"text": text}}),
    );
    request(&body, &headers)
}

#[test]
fn a_request_means_the_same_however_it_is_cut() {
    let appliance = Appliance::start();
    let bytes = echo("cut").into_bytes();
    let whole = {
        let mut client = appliance.connect();
        client.send(&bytes);
        client.answer().json()
    };
    let mut client = appliance.connect();
    for byte in &bytes {
        client.send([*byte]);
    }
    assert_eq!(client.answer().json(), whole);
    for cut in (1..bytes.len()).step_by(7) {
        client.send(&bytes[..cut]);
        std::thread::sleep(Duration::from_millis(1));
        client.send(&bytes[cut..]);
        assert_eq!(client.answer().json(), whole, "cut at {cut}");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let appliance = Appliance::start();
    let mut client = appliance.connect();
    let texts: Vec<String> = (0..100).map(|number| format!("text {number}")).collect();
    client.send(texts.iter().map(|text| echo(text)).collect::<String>());
    for text in &texts {
        assert_eq!(
            client.answer().json()["result"]["structuredContent"]["result"],
            text.as_str()
        );
    }
}

#[test]
fn a_doubtful_request_is_refused_and_its_connection_closed() {
    let appliance = Appliance::start();
    let cases: &[(&str, u16)] = &[
        (
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
            400,
        ),
        (
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: +2\r\n\r\n{}",
            400,
        ),
        (
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
            400,
        ),
        (
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n",
            400,
        ),
        (
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nX : a\r\n\r\n",
            400,
        ),
        ("POST /mcp HTTP/1.1\r\n\r\n", 400),
        ("POST /mcp HTTP/1.1\nHost: localhost\n\n", 400),
        (
            "POST /mcp HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n",
            400,
        ),
        ("POST /mcp HTTP/2.0\r\nHost: localhost\r\n\r\n", 505),
        ("nonsense\r\n\r\n", 400),
    ];
    for (bytes, status) in cases {
        let mut client = appliance.connect();
        client.send(bytes);
        let answer = client.answer();
        assert_eq!(answer.status, *status, "{bytes:?} -> {answer:?}");
        assert_eq!(answer.header("connection"), Some("close"), "{bytes:?}");
        assert!(
            client.rest().is_empty(),
            "{bytes:?}: something after the refusal"
        );
    }
    assert_eq!(
        appliance.connect().call("echo", json!({"text": "alive"}))["structuredContent"]["result"],
        "alive"
    );
}

#[test]
fn a_chunked_body_is_a_body() {
    let appliance = Appliance::start();
    let (body, headers) = modern(
        1,
        "tools/call",
        json!({"name": "echo", "arguments": {"text": "chunks"}}),
    );
    let (left, right) = body.split_at(body.len() / 2);
    let mut client = appliance.connect();
    for _ in 0..2 {
        client.send(format!(
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{headers}Transfer-Encoding: chunked\r\n\r\n\
             {:x}\r\n{left}\r\n{:X}\r\n{right}\r\n0\r\n\r\n",
            left.len(),
            right.len()
        ));
        assert_eq!(
            client.answer().json()["result"]["structuredContent"]["result"],
            "chunks"
        );
    }
}

#[test]
fn a_body_over_the_limit_is_refused_before_it_is_sent() {
    let appliance = Appliance::with(&[], "limits:\n  body_bytes_max: 64KiB\n");
    let mut client = appliance.connect();
    client.send("POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 65537\r\n\r\n");
    let answer = client.answer();
    assert_eq!(answer.status, 413);
    assert!(
        String::from_utf8_lossy(&answer.body).contains("65536"),
        "{answer:?}"
    );
    let mut client = appliance.connect();
    client.send("POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..20 {
        client.send(format!("1000\r\n{}\r\n", "x".repeat(4096)));
    }
    assert_eq!(client.answer().status, 413);
}

#[test]
fn a_client_that_expects_to_continue_is_told_to() {
    let appliance = Appliance::start();
    let (body, headers) = modern(1, "ping", json!({}));
    let mut client = appliance.connect();
    let head = request(&body, &format!("{headers}Expect: 100-continue\r\n"));
    let head = head.strip_suffix(body.as_str()).unwrap();
    client.send(head);
    assert!(client.head().starts_with("HTTP/1.1 100 "));
    client.send(&body);
    assert_eq!(client.answer().status, 404, "ping is not modern");

    let mut client = appliance.connect();
    client.send("POST /nowhere HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n");
    assert_eq!(
        client.answer().status,
        404,
        "nobody is told to send what will not be read"
    );
}

#[test]
fn paths_and_methods_have_their_answers() {
    let appliance = Appliance::start();
    let mut client = appliance.connect();
    assert_eq!(client.get("/").status, 200);
    assert_eq!(client.get("/nowhere").status, 404);
    client.send("PUT /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let answer = client.answer();
    assert_eq!(
        (answer.status, answer.header("allow")),
        (405, Some("POST, GET, DELETE, OPTIONS"))
    );
    client
        .send("OPTIONS /mcp HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost:6274\r\n\r\n");
    let answer = client.answer();
    assert_eq!(answer.status, 204);
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("http://localhost:6274")
    );
    client.send("HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 200 "));
    assert!(client.rest().is_empty(), "a HEAD has no body");
}

#[test]
fn a_page_of_another_site_is_refused() {
    let appliance = Appliance::start();
    for headers in [
        "Host: evil.example.com\r\n",
        "Host: localhost\r\nOrigin: http://evil.example.com\r\n",
    ] {
        let mut client = appliance.connect();
        client.send(format!("POST /mcp HTTP/1.1\r\n{headers}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"));
        assert_eq!(client.answer().status, 403, "{headers}");
    }
}

#[test]
fn a_slow_client_is_closed_at_its_deadline() {
    let appliance = Appliance::with(
        &[],
        "limits:\n  head_deadline: 1s\n  body_deadline: 1s\n  idle_deadline: 2s\n",
    );
    let slow = |bytes: &str, status: Option<u16>| {
        let mut client = Client::connect(appliance.address);
        client.send(bytes);
        let began = Instant::now();
        match status {
            Some(status) => assert_eq!(client.answer().status, status, "{bytes:?}"),
            None => assert!(client.rest().is_empty()),
        }
        assert!(client.rest().is_empty());
        assert!(
            began.elapsed() >= Duration::from_millis(700),
            "{bytes:?} was closed too early"
        );
    };
    slow("POST /mcp HTTP/1.1\r\nHost: lo", Some(408));
    slow(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{",
        Some(408),
    );
    slow("", None);
}

#[test]
fn a_client_that_never_reads_does_not_fill_the_memory() {
    let appliance = Appliance::with(&[], "limits:\n  write_deadline: 2s\n");
    let mut client = appliance.connect();
    let text = echo(&"x".repeat(100_000));
    client
        .stream
        .set_write_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    for _ in 0..1_000 {
        if std::io::Write::write_all(&mut client.stream, text.as_bytes()).is_err() {
            break;
        }
    }
    assert!(appliance.metric("margay_buffer_pool_bytes", "") < 64e6);
    appliance.eventually("the connection is closed", || {
        let mut bytes = Vec::new();
        let _ = client
            .stream
            .set_read_timeout(Some(Duration::from_millis(500)));
        client.stream.read_to_end(&mut bytes).is_ok()
            || appliance.metric("margay_connections_open", "") == 0.0
    });
}
