//! Sessions: nobody guesses an id, and nobody takes a stream from its owner.

use std::collections::HashSet;
use std::time::Duration;

use crate::harness::Appliance;
use crate::harness::key::Key;
use crate::harness::sse::Session;

#[test]
fn ids_are_128_random_bits_and_never_the_same() {
    let appliance = Appliance::start();
    let mut seen = HashSet::new();
    let mut ones = [0_u32; 128];
    for _ in 0..256 {
        let id = appliance.connect().initialize("2025-11-25");
        assert_eq!(id.len(), 32, "{id}");
        let number = u128::from_str_radix(&id, 16).unwrap();
        for (bit, count) in ones.iter_mut().enumerate() {
            *count += u32::from(number >> bit & 1 == 1);
        }
        assert!(seen.insert(number), "{id} twice");
    }
    // Of 256 fair coins fewer than 72 or more than 184 heads are seen once in 10^11 times.
    assert!(
        ones.iter().all(|count| (72..=184).contains(count)),
        "{ones:?}"
    );
}

#[test]
fn a_second_stream_takes_nothing_from_the_first() {
    let appliance = Appliance::start();
    let session = Session::open(&appliance, "2025-11-25");
    let mut first = session.stream(None);
    assert!(!first.event_id().is_empty(), "it has begun");
    let second = session.get(None).answer();
    assert_eq!(second.status, 409);
    // The first goes on to hear: here, that the session ends.
    first
        .stream
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    first.rest();
    assert!(!first.is_closed(), "the second has not ended it");
    session.delete();
    first
        .stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    first.rest();
    assert!(first.is_closed(), "it ends with its session");
}

/// CVE-2026-33946: whoever knew an event's id took the stream that it belonged to.
#[test]
fn a_stream_is_resumed_by_its_owner_alone_and_of_its_own_session() {
    let (ann, bob) = (Key::new("ann"), Key::new("bob"));
    let config = format!(
        "auth: {{api_keys: [{}, {}]}}\n",
        ann.entry(""),
        bob.entry("")
    );
    let appliance = Appliance::with(&[], &config);
    let begin = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;
    let open = |key: &Key| {
        let answer = appliance.connect().post(begin, &key.header());
        answer.header("mcp-session-id").unwrap().to_owned()
    };
    let (of_ann, of_bob) = (open(&ann), open(&bob));
    let get = |key: &Key, session: &str, last: &str| {
        let mut client = appliance.connect();
        client.send(format!(
            "GET /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{}MCP-Protocol-Version: 2025-11-25\r\nMcp-Session-Id: {session}\r\n{last}\r\n",
            key.header()
        ));
        client
    };
    let mut stream = get(&ann, &of_ann, "");
    assert!(stream.head().starts_with("HTTP/1.1 200"));
    let id = stream.event_id();
    let last = format!("Last-Event-ID: {id}\r\n");
    for (key, session) in [(&bob, &of_ann), (&bob, &of_bob), (&ann, &of_bob)] {
        let answer = get(key, session, &last).answer();
        assert!((404..=410).contains(&answer.status), "{}", answer.head);
    }
    stream
        .stream
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    stream.rest();
    assert!(!stream.is_closed(), "nobody has taken it");
    let mut again = get(&ann, &of_ann, &last);
    assert!(again.head().starts_with("HTTP/1.1 200"), "its owner may");
}

#[test]
fn an_id_that_is_not_known_is_not_found_whatever_it_looks_like() {
    let appliance = Appliance::start();
    let session = Session::open(&appliance, "2025-11-25");
    let upper = session.id.to_uppercase();
    let other = format!(
        "{:032x}",
        u128::from_str_radix(&session.id, 16).unwrap() ^ 1
    );
    for id in [other.as_str(), &upper, "0", "../../etc", &"f".repeat(400)] {
        if id == session.id {
            continue;
        }
        let headers = format!("MCP-Protocol-Version: 2025-11-25\r\nMcp-Session-Id: {id}\r\n");
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
        let answer = appliance.connect().post(body, &headers);
        assert_eq!(answer.status, 404, "{id}");
    }
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let path = format!(
        "/mcp?Mcp-Session-Id={}&sessionId={}",
        session.id, session.id
    );
    let mut client = appliance.connect();
    client.send(format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2025-11-25\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert_eq!(client.answer().status, 400, "an id in the address is none");
}
