//! Whatever breaks, every exchange ends once and nothing is left.

use std::collections::BTreeMap;

use super::*;
use crate::ring::sim::Random;

/// How often each exchange and stream ended.
fn ends(told: &[Told]) -> BTreeMap<u64, usize> {
    let mut ends = BTreeMap::new();
    for told in told {
        if let Told::End(key, ..) | Told::Failed(key, ..) = told {
            *ends.entry(*key).or_default() += 1;
        }
    }
    ends
}

/// An upstream that answers whatever it is asked, in pieces, and misbehaves now and then.
struct Peers {
    server: SimServer,
    peers: Vec<(SimClient, Vec<u8>)>,
    random: Random,
    bad: u8,
}

impl Peers {
    fn play(&mut self) {
        while let Some(peer) = self.server.accept() {
            self.peers.push((peer, Vec::new()));
        }
        for (peer, unsaid) in &mut self.peers {
            let asked = peer.take();
            if !asked.is_empty() {
                let answer = match self.random.below(4) {
                    0 => format!("{EVENTS}data: 1\n\n"),
                    1 => "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n".to_owned(),
                    _ => json(&"1".repeat(1 + self.random.below(9_000) as usize)),
                };
                unsaid.extend_from_slice(answer.as_bytes());
            }
            let count = (self.random.below(3_000) as usize).min(unsaid.len());
            let piece: Vec<u8> = unsaid.drain(..count).collect();
            peer.write(&piece);
            if piece.starts_with(b"HTTP/1.1 200 OK\r\nContent-Type: text/e") && unsaid.is_empty() {
                peer.finish();
            }
            if self.random.chance(self.bad) {
                match self.random.below(4) {
                    0 => peer.reset(),
                    1 => peer.close(),
                    2 => peer.finish(),
                    _ => peer.write(b"garbage"),
                }
            }
        }
    }
}

/// Many calls under faults: each ends exactly once, whatever happens, and nothing is left.
fn storm(seed: u64, faults: Faults, bad: u8) {
    let mut thread = Thread::with(seed, faults);
    let mut random = Random::new(seed ^ 0x5707);
    let mut peers = Peers {
        server: thread.network.serve(address(80)),
        peers: Vec::new(),
        random: Random::new(seed),
        bad,
    };
    let rules = PoolRules {
        min_idle: random.below(3) as usize,
        max_active: 1 + random.below(6) as usize,
        ..PoolRules::default()
    };
    let remote = remote(0, &[80], rules, None);
    let mut abandoned = Vec::new();
    let count = 40;
    for key in 0..count {
        let body = "x".repeat(random.below(20_000) as usize);
        let mut request = post(key, &remote, &body);
        request.is_long = random.chance(30);
        thread.begin(request);
        for _ in 0..random.below(6) {
            thread.step();
            peers.play();
        }
        let some = ExchangeKey(random.below(key + 1));
        match random.below(8) {
            0 => {
                thread
                    .transport
                    .abandon(&mut thread.ring, some, thread.now_ms);
                abandoned.push(some.0);
            }
            1 => thread.transport.pause(&mut thread.ring, some),
            2 => thread
                .transport
                .resume(&mut thread.ring, some, thread.now_ms),
            3 => {
                let told_here = &mut thread.told;
                thread.now_ms += random.below(2_000);
                thread
                    .transport
                    .sweep(&mut thread.ring, thread.now_ms, &mut |event| {
                        told_here.push(told(event));
                    });
            }
            _ => {}
        }
    }
    for key in 0..count {
        thread
            .transport
            .resume(&mut thread.ring, ExchangeKey(key), thread.now_ms);
    }
    for _ in 0..400 {
        thread.step();
        peers.play();
    }
    thread.network.set_faults(Faults::none());
    // What is still waiting for an answer is late now; those that listen, for ever.
    for _ in 0..40 {
        thread.wait(10_000);
        peers.play();
    }
    let ended = ends(&thread.told);
    for key in 0..count {
        let times = ended.get(&key).copied().unwrap_or(0);
        if times == 0 && !abandoned.contains(&key) {
            thread
                .transport
                .abandon(&mut thread.ring, ExchangeKey(key), thread.now_ms);
            abandoned.push(key);
            assert!(
                thread.told.contains(&Told::Head(key, 200)),
                "seed {seed}: {key} got lost"
            );
        }
        assert!(times <= 1, "seed {seed}: {key} ended {times} times");
    }
    drop(peers);
    thread.is_gone();
}

#[test]
fn every_exchange_ends_once_on_a_kind_network() {
    (0..60).for_each(|seed| storm(seed, Faults::survivable(seed), 0));
}

#[test]
fn every_exchange_ends_once_with_bad_upstreams() {
    (0..100).for_each(|seed| storm(seed, Faults::survivable(seed), 12));
}

#[test]
fn every_exchange_ends_once_on_a_hostile_network() {
    (0..150).for_each(|seed| storm(seed, Faults::all(seed), 4));
}

#[test]
fn a_break_at_any_step_ends_the_call_once() {
    let mut broke = 0;
    for step in 1..60 {
        let faults = Faults {
            break_step: step,
            ..Faults::none()
        };
        let mut thread = Thread::with(u64::from(step), faults);
        let server = thread.network.serve(address(80));
        let remote = remote(0, &[80], PoolRules::default(), None);
        thread.begin(post(1, &remote, "{}"));
        thread.settle();
        if let Some(peer) = server.accept() {
            for byte in json("{}").bytes() {
                peer.write(&[byte]);
                thread.step();
            }
        }
        let told = thread.take();
        assert_eq!(ends(&told).get(&1), Some(&1), "step {step}: {told:?}");
        broke += usize::from(matches!(told.last(), Some(Told::Failed(..))));
        thread.is_gone();
    }
    assert!(broke > 3, "{broke}");
}

#[test]
fn a_reset_at_any_byte_of_an_answer_ends_the_call_once() {
    let answer = json("{\"id\":1}");
    for at in 0..answer.len() {
        let mut thread = Thread::new();
        let server = thread.network.serve(address(80));
        let remote = remote(0, &[80], PoolRules::default(), None);
        thread.begin(post(1, &remote, "{}"));
        thread.settle();
        let peer = server.accept().unwrap();
        peer.write(&answer.as_bytes()[..at]);
        thread.settle();
        peer.reset();
        let told = thread.take();
        let reached = match at {
            0 => Reached::Sent,
            _ => Reached::Answering,
        };
        let Some(Told::Failed(1, found, Failed::Connection, _)) = told.last() else {
            panic!("at {at}: {told:?}");
        };
        assert_eq!(*found, reached, "at {at}");
        thread.is_gone();
    }
}

#[test]
fn as_many_connections_as_the_ring_has_room_for_are_made_and_the_rest_is_refused() {
    let mut thread = Thread::new();
    let options = crate::ring::RingOptions {
        connect_count_max: 3,
        ..crate::ring::RingOptions::default()
    };
    thread.ring = SimRing::with_options(1, Faults::none(), options);
    thread.network = thread.ring.network();
    let _server = thread.network.serve(address(80));
    let remote = remote(0, &[80], PoolRules::default(), None);
    (0..5).for_each(|key| thread.begin(post(key, &remote, "{}")));
    let told = thread.take();
    assert_eq!(told.len(), 2, "{told:?}");
    for told in told {
        assert!(matches!(
            told,
            Told::Failed(_, Reached::Nothing, Failed::Refused, _)
        ));
    }
    for key in 0..3 {
        thread
            .transport
            .abandon(&mut thread.ring, ExchangeKey(key), thread.now_ms);
    }
    thread.is_gone();
}

#[test]
fn idle_connections_make_room_for_those_that_are_needed() {
    let mut thread = Thread::new();
    let options = crate::ring::RingOptions {
        connect_count_max: 3,
        ..crate::ring::RingOptions::default()
    };
    thread.ring = SimRing::with_options(1, Faults::none(), options);
    thread.network = thread.ring.network();
    let servers = [
        thread.network.serve(address(80)),
        thread.network.serve(address(81)),
    ];
    let remotes = [
        remote(0, &[80], PoolRules::default(), None),
        remote(1, &[81], PoolRules::default(), None),
    ];
    for (server, remote) in servers.iter().zip(&remotes) {
        let keys = remote.index as u64 * 3;
        (keys..keys + 3).for_each(|key| thread.begin(post(key, remote, "{}")));
        thread.settle();
        let peers: Vec<SimClient> = std::iter::from_fn(|| server.accept()).collect();
        assert_eq!(peers.len(), 3);
        peers
            .iter()
            .for_each(|peer| peer.write(json("1").as_bytes()));
        assert_eq!(thread.take().len(), 9, "all are answered");
        assert_eq!(thread.transport.stats().idle, 3);
    }
    thread.is_gone();
}

/// Damages an answer: whatever comes of it, the call ends once and nothing is left.
fn damaged(answer: &str, at: usize, with: &[u8], piece_bytes: usize) {
    let mut thread = Thread::new();
    let server = thread.network.serve(address(80));
    let remote = remote(0, &[80], PoolRules::default(), None);
    thread.begin(post(1, &remote, "{}"));
    thread.settle();
    let peer = server.accept().unwrap();
    let mut bytes = answer.as_bytes().to_vec();
    let at = at % bytes.len();
    let end = (at + with.len()).min(bytes.len());
    bytes.splice(at..end, with.iter().copied());
    for piece in bytes.chunks(piece_bytes) {
        peer.write(piece);
        thread.step();
    }
    thread.settle();
    peer.finish();
    let told = thread.take();
    assert_eq!(ends(&told).get(&1), Some(&1), "{}", bytes.escape_ascii());
    thread.is_gone();
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_damaged_answer_ends_its_call_once(
        which in 0usize..3,
        at in 0usize..500,
        with in proptest::collection::vec(proptest::num::u8::ANY, 0..8),
        piece_bytes in 1usize..64,
    ) {
        let answers = [
            json("{\"id\":1}"),
            format!("{EVENTS}id: 1\ndata: 1\n\ndata: 2\n\n"),
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n\
             3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n".to_owned(),
        ];
        damaged(&answers[which], at, &with, piece_bytes);
    }
}
