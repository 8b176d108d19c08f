//! Pausing loses nothing and changes no order.

use super::*;
use crate::ring::sim::Random;

/// A stream of numbered events in pieces, with pauses between them; what is told is what was sent.
fn numbered(seed: u64, is_tls_like_chunked: bool) {
    let mut thread = Thread::with(seed, Faults::survivable(seed));
    let mut random = Random::new(seed);
    let server = thread.network.serve(address(80));
    let remote = remote(0, &[80], PoolRules::default(), None);
    thread.begin(post(1, &remote, "{}"));
    if random.chance(64) {
        thread.transport.pause(&mut thread.ring, ExchangeKey(1));
    }
    thread.settle();
    let peer = server.accept().unwrap();
    let count = 40;
    let mut bytes = Vec::new();
    if is_tls_like_chunked {
        bytes.extend_from_slice(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
        for number in 0..count {
            let event = format!("data: {number}\n\n");
            bytes.extend_from_slice(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes());
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
    } else {
        bytes.extend_from_slice(EVENTS.as_bytes());
        (0..count).for_each(|number| {
            bytes.extend_from_slice(format!("data: {number}\n\n").as_bytes());
        });
    }
    let mut left = bytes.as_slice();
    let mut is_paused = false;
    while !left.is_empty() {
        let count = (1 + random.below(60) as usize).min(left.len());
        let (piece, rest) = left.split_at(count);
        left = rest;
        peer.write(piece);
        match random.below(4) {
            0 => {
                thread.transport.pause(&mut thread.ring, ExchangeKey(1));
                is_paused = true;
            }
            1 => {
                thread
                    .transport
                    .resume(&mut thread.ring, ExchangeKey(1), thread.now_ms);
                is_paused = false;
            }
            2 => thread.step(),
            _ => thread.settle(),
        }
    }
    if !is_tls_like_chunked {
        peer.finish();
    }
    let before = thread.take();
    if is_paused {
        assert!(!before.iter().any(|told| matches!(told, Told::End(..))));
    }
    thread
        .transport
        .resume(&mut thread.ring, ExchangeKey(1), thread.now_ms);
    let mut told = before;
    told.extend(thread.take());
    let mut expected = vec![Told::Head(1, 200)];
    expected.extend((0..count).map(|number| Told::Message(1, number.to_string())));
    expected.push(Told::End(1, String::new(), None));
    assert_eq!(told, expected, "seed {seed}");
    thread.is_gone();
}

#[test]
fn pauses_lose_nothing_and_keep_the_order() {
    for seed in 0..300 {
        numbered(seed, seed % 2 == 0);
    }
}

#[test]
fn nothing_is_told_of_a_paused_exchange_and_no_more_is_received() {
    let mut thread = Thread::new();
    let server = thread.network.serve(address(80));
    let remote = remote(0, &[80], PoolRules::default(), None);
    thread.begin(post(1, &remote, "{}"));
    thread.settle();
    let peer = server.accept().unwrap();
    peer.write(EVENTS.as_bytes());
    assert_eq!(thread.take().len(), 1);
    thread.transport.pause(&mut thread.ring, ExchangeKey(1));
    thread.settle();
    peer.write(&b"data: 1\n\n".repeat(100_000));
    assert!(thread.take().is_empty());
    assert_eq!(peer.unread(), 900_000, "it stays with the upstream");
    thread
        .transport
        .resume(&mut thread.ring, ExchangeKey(1), thread.now_ms);
    assert_eq!(thread.take().len(), 100_000);
    thread
        .transport
        .abandon(&mut thread.ring, ExchangeKey(1), thread.now_ms);
    thread.is_gone();
}

#[test]
fn a_paused_stream_is_not_silent_but_its_call_has_an_end() {
    let mut thread = Thread::new();
    let server = thread.network.serve(address(80));
    let remote = remote(0, &[80], PoolRules::default(), None);
    thread.begin(Request {
        call_ms: 1_000_000,
        ..post(1, &remote, "{}")
    });
    thread.settle();
    let peer = server.accept().unwrap();
    peer.write(EVENTS.as_bytes());
    assert_eq!(thread.take().len(), 1);
    thread.transport.pause(&mut thread.ring, ExchangeKey(1));
    thread.wait(900_000);
    assert!(thread.take().is_empty());
    thread
        .transport
        .resume(&mut thread.ring, ExchangeKey(1), thread.now_ms);
    thread.wait(50_000);
    assert!(thread.take().is_empty());
    thread.transport.pause(&mut thread.ring, ExchangeKey(1));
    thread.wait(50_000);
    assert!(matches!(
        thread.take().as_slice(),
        [Told::Failed(1, Reached::Answering, Failed::Deadline, _)]
    ));
    thread.is_gone();
}

#[test]
fn an_exchange_that_is_paused_before_it_leaves_is_sent_and_not_heard() {
    let mut thread = Thread::new();
    let server = thread.network.serve(address(80));
    let remote = remote(0, &[80], PoolRules::default(), None);
    thread.begin(post(1, &remote, "{}"));
    thread.transport.pause(&mut thread.ring, ExchangeKey(1));
    thread.settle();
    let peer = server.accept().unwrap();
    assert!(text(&peer.take()).ends_with("{}"));
    let answer = json(&"1".repeat(100_000));
    peer.write(answer.as_bytes());
    thread.settle();
    assert_eq!(peer.unread(), answer.len());
    assert!(thread.take().is_empty());
    thread
        .transport
        .resume(&mut thread.ring, ExchangeKey(1), thread.now_ms);
    assert_eq!(thread.take().len(), 3);
    thread.is_gone();
}

#[test]
fn a_connection_that_a_held_answer_sets_free_is_used_in_the_same_turn() {
    let rules = PoolRules {
        max_active: 1,
        ..PoolRules::default()
    };
    let mut thread = Thread::new();
    let server = thread.network.serve(address(80));
    let remote = remote(0, &[80], rules, None);
    thread.begin(post(1, &remote, "{}"));
    thread.begin(post(2, &remote, "{}"));
    thread.settle();
    // It is with us already when nobody wants it any more.
    server.accept().unwrap().write(json("1").as_bytes());
    let mut completions = Vec::new();
    while !completions
        .iter()
        .any(|completion| matches!(completion, Completion::Received { .. }))
    {
        thread.ring.turn(&mut completions).unwrap();
    }
    thread.transport.pause(&mut thread.ring, ExchangeKey(1));
    for completion in completions {
        thread
            .transport
            .complete(&mut thread.ring, completion, thread.now_ms, &mut |event| {
                panic!("{event:?}");
            });
    }
    assert!(thread.take().is_empty());
    thread
        .transport
        .resume(&mut thread.ring, ExchangeKey(1), thread.now_ms);
    assert_eq!(thread.transport.stats().waiting, 1);
    thread.step();
    assert_eq!(thread.told.len(), 3);
    assert_eq!(thread.transport.stats().waiting, 0);
    thread
        .transport
        .abandon(&mut thread.ring, ExchangeKey(2), thread.now_ms);
    thread.is_gone();
}
