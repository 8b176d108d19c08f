//! Sessions: nobody guesses an id, and nobody takes a stream from its owner.

use std::collections::HashSet;

use crate::harness::Appliance;
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
    let second = session.get(None).answer();
    assert_eq!(second.status, 409);
    session
        .tell(serde_json::json!({"jsonrpc": "2.0", "method": "notifications/roots/list_changed"}));
    session.delete();
    assert!(
        first.rest().is_empty() || !appliance.stderr().contains("panic"),
        "it ends in good order"
    );
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
