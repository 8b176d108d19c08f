//! The same over TLS: what arrives is what was said, and who is not who it says is told nothing.

use std::io::{Read, Write};

use rustls::ServerConnection;

use super::*;
use crate::ring::sim::Random;
use crate::upstream::tls::tests::{Authority, Files, server as tls_server};

/// What both sides have in common.
struct Secure {
    authority: Authority,
    files: Files,
}

impl Secure {
    fn new() -> Self {
        Self {
            authority: Authority::new(),
            files: Files::new(),
        }
    }

    fn trusting(&self, authority: &Authority) -> TlsClient {
        TlsClient::new(&TlsOptions {
            ca: Some(self.files.write("ca.pem", &authority.pem)),
            identity: None,
        })
        .unwrap()
    }

    fn client(&self) -> TlsClient {
        self.trusting(&self.authority)
    }

    fn peer(&self, socket: SimClient) -> Peer {
        Peer {
            socket,
            tls: tls_server(&self.authority, None),
            asked: Vec::new(),
            piece_bytes: usize::MAX,
            writes: Vec::new(),
        }
    }
}

/// The upstream's side of one connection.
struct Peer {
    socket: SimClient,
    tls: ServerConnection,
    asked: Vec<u8>,
    piece_bytes: usize,
    /// Bytes of each write that arrived.
    writes: Vec<usize>,
}

impl Peer {
    /// Moves bytes both ways until nothing moves.
    fn talk(&mut self, thread: &mut Thread) {
        loop {
            thread.settle();
            let came = self.socket.take();
            if !came.is_empty() {
                self.writes.push(came.len());
            }
            let mut input = came.as_slice();
            while !input.is_empty() {
                self.tls.read_tls(&mut input).unwrap();
                if self.tls.process_new_packets().is_err() {
                    break;
                }
                let _ = self.tls.reader().read_to_end(&mut self.asked);
            }
            let mut out = Vec::new();
            while self.tls.wants_write() {
                self.tls.write_tls(&mut out).unwrap();
            }
            if came.is_empty() && out.is_empty() {
                return;
            }
            for piece in out.chunks(self.piece_bytes) {
                self.socket.write(piece);
                thread.step();
            }
        }
    }

    fn say(&mut self, thread: &mut Thread, text: &str) {
        self.tls.set_buffer_limit(None);
        self.tls.writer().write_all(text.as_bytes()).unwrap();
        self.talk(thread);
    }
}

#[test]
fn a_call_over_tls_leaves_with_the_end_of_the_handshake() {
    let secure = Secure::new();
    for piece_bytes in [1, 5, 1_000, usize::MAX] {
        let mut thread = Thread::new();
        let server = thread.network.serve(address(443));
        let remote = remote(0, &[443], PoolRules::default(), Some(secure.client()));
        thread.begin(post(1, &remote, "{\"id\":1}"));
        thread.settle();
        let mut peer = secure.peer(server.accept().unwrap());
        peer.piece_bytes = piece_bytes;
        peer.talk(&mut thread);
        assert!(text(&peer.asked).ends_with("\r\n\r\n{\"id\":1}"));
        assert_eq!(peer.writes.len(), 2, "a hello, and all the rest");
        assert!(thread.take().is_empty());
        peer.say(&mut thread, &json("{}"));
        let expected = [
            Told::Head(1, 200),
            Told::Message(1, "{}".to_owned()),
            Told::End(1, String::new(), None),
        ];
        assert_eq!(thread.take(), expected, "pieces of {piece_bytes}");
        assert_eq!(thread.transport.stats().idle, 1);
        for key in 2..5 {
            thread.begin(post(key, &remote, &"x".repeat(100_000)));
            peer.talk(&mut thread);
            assert!(peer.asked.ends_with(&[b'x'; 100_000]));
            peer.say(&mut thread, &json(&"1".repeat(50_000)));
            assert_eq!(thread.take().len(), 3);
        }
        let stats = thread.transport.stats();
        assert_eq!((stats.connects, stats.reused), (1, 3));
        thread.is_gone();
        peer.talk(&mut thread);
        let mut rest = Vec::new();
        assert_eq!(
            peer.tls.reader().read_to_end(&mut rest).unwrap(),
            0,
            "it said goodbye"
        );
    }
}

#[test]
fn who_cannot_prove_its_name_is_told_nothing_and_tried_once() {
    let secure = Secure::new();
    let mut thread = Thread::new();
    let servers = [
        thread.network.serve(address(443)),
        thread.network.serve(address(444)),
    ];
    let stranger = secure.trusting(&Authority::new());
    let remote = remote(0, &[443, 444], PoolRules::default(), Some(stranger));
    thread.begin(post(1, &remote, "secret"));
    thread.settle();
    let mut peer = secure.peer(servers[0].accept().unwrap());
    peer.talk(&mut thread);
    let told = thread.take();
    let [Told::Failed(1, Reached::Nothing, Failed::Connection, why)] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert!(
        why.starts_with("upstream weather: 127.0.0.1:443: TLS: invalid peer certificate")
            && why.ends_with("; upstreams.weather.tls.ca names the roots to trust"),
        "{why}"
    );
    assert!(peer.asked.is_empty());
    assert_eq!(peer.writes.len(), 2, "a hello, and why not");
    assert!(servers[1].accept().is_none());
    thread.is_gone();
}

#[test]
fn an_answer_that_is_cut_is_not_taken_for_a_whole_one() {
    let secure = Secure::new();
    for says_goodbye in [true, false] {
        let mut thread = Thread::new();
        let server = thread.network.serve(address(443));
        let remote = remote(0, &[443], PoolRules::default(), Some(secure.client()));
        thread.begin(post(1, &remote, "{}"));
        thread.settle();
        let mut peer = secure.peer(server.accept().unwrap());
        peer.talk(&mut thread);
        peer.say(&mut thread, &format!("{EVENTS}id: 1\ndata: 1\n\n"));
        if says_goodbye {
            peer.tls.send_close_notify();
            peer.talk(&mut thread);
        } else {
            peer.socket.finish();
        }
        let told = thread.take();
        assert_eq!(
            told[..2],
            [Told::Head(1, 200), Told::Message(1, "1".to_owned())]
        );
        match (&told[2], says_goodbye) {
            (Told::End(1, id, None), true) => assert_eq!(id, "1"),
            (Told::Failed(1, Reached::Answering, Failed::Connection, why), false) => {
                assert_eq!(why, "upstream weather: the connection was cut off");
            }
            other => panic!("{other:?}"),
        }
        thread.is_gone();
    }
}

#[test]
fn a_handshake_that_breaks_or_stalls_is_a_connection_that_was_not_made() {
    let secure = Secure::new();
    for how in 0..4 {
        let mut thread = Thread::new();
        let server = thread.network.serve(address(443));
        let remote = remote(0, &[443], PoolRules::default(), Some(secure.client()));
        thread.begin(post(1, &remote, "{}"));
        thread.settle();
        let peer = server.accept().unwrap();
        match how {
            0 => peer.reset(),
            1 => peer.finish(),
            2 => peer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            _ => thread.wait(5_000),
        }
        let told = thread.take();
        let [Told::Failed(1, Reached::Nothing, failed, why)] = told.as_slice() else {
            panic!("{how}: {told:?}");
        };
        match how {
            3 => assert!(
                *failed == Failed::Deadline && why.contains("timeouts.connect"),
                "{why}"
            ),
            _ => assert_eq!(*failed, Failed::Connection, "{why}"),
        }
        thread.is_gone();
    }
}

#[test]
fn connections_with_tls_are_made_ahead_of_need() {
    let secure = Secure::new();
    let mut thread = Thread::new();
    let server = thread.network.serve(address(443));
    let rules = PoolRules {
        min_idle: 1,
        idle_timeout_ms: 10_000,
        ..PoolRules::default()
    };
    let remote = remote(0, &[443], rules, Some(secure.client()));
    thread.transport.expect(&remote);
    thread.wait(50);
    let mut peer = secure.peer(server.accept().unwrap());
    assert_eq!(thread.transport.stats().idle, 0, "hands are not shaken yet");
    peer.talk(&mut thread);
    assert_eq!(thread.transport.stats().idle, 1);
    thread.begin(post(1, &remote, "{}"));
    peer.talk(&mut thread);
    peer.say(&mut thread, &json("{}"));
    assert_eq!(
        (thread.take().len(), thread.transport.stats().reused),
        (3, 1)
    );
    thread.wait(10_000);
    assert!(peer.socket.is_closed(), "once its goodbye is sent");
    thread.is_gone();
}

#[test]
fn pauses_lose_nothing_over_tls_and_every_call_ends_once() {
    let secure = Secure::new();
    for seed in 0..60 {
        let mut thread = Thread::with(seed, Faults::survivable(seed));
        let mut random = Random::new(seed);
        let server = thread.network.serve(address(443));
        let remote = remote(0, &[443], PoolRules::default(), Some(secure.client()));
        thread.begin(post(1, &remote, &"x".repeat(random.below(40_000) as usize)));
        thread.settle();
        let mut peer = secure.peer(server.accept().unwrap());
        peer.piece_bytes = 1 + random.below(3_000) as usize;
        peer.talk(&mut thread);
        peer.say(&mut thread, EVENTS);
        for number in 0..30 {
            match random.below(3) {
                0 => thread.transport.pause(&mut thread.ring, ExchangeKey(1)),
                1 => thread
                    .transport
                    .resume(&mut thread.ring, ExchangeKey(1), thread.now_ms),
                _ => {}
            }
            let data = "1".repeat(1 + random.below(2_000) as usize);
            peer.say(&mut thread, &format!("data: {number}{data}\n\n"));
        }
        peer.tls.send_close_notify();
        peer.talk(&mut thread);
        thread
            .transport
            .resume(&mut thread.ring, ExchangeKey(1), thread.now_ms);
        let told = thread.take();
        assert_eq!(told.len(), 32, "seed {seed}: {told:?}");
        for (number, told) in told[1..31].iter().enumerate() {
            let Told::Message(1, text) = told else {
                panic!("{told:?}");
            };
            assert!(text.starts_with(&number.to_string()), "{text}");
        }
        thread.is_gone();
    }
}

#[test]
fn a_break_at_any_step_of_a_call_over_tls_ends_it_once() {
    let secure = Secure::new();
    let mut broke = 0;
    for step in 1..40 {
        let faults = Faults {
            break_step: step,
            ..Faults::none()
        };
        let mut thread = Thread::with(u64::from(step), faults);
        let server = thread.network.serve(address(443));
        let remote = remote(0, &[443], PoolRules::default(), Some(secure.client()));
        thread.begin(post(1, &remote, "{}"));
        thread.settle();
        if let Some(socket) = server.accept() {
            let mut peer = secure.peer(socket);
            peer.talk(&mut thread);
            if !peer.asked.is_empty() {
                peer.say(&mut thread, &json("{}"));
            }
        }
        let told = thread.take();
        let ends = told
            .iter()
            .filter(|told| matches!(told, Told::End(..) | Told::Failed(..)))
            .count();
        assert_eq!(ends, 1, "step {step}: {told:?}");
        broke += usize::from(matches!(told.last(), Some(Told::Failed(..))));
        thread.is_gone();
    }
    assert!(broke > 3, "{broke}");
}

#[test]
fn a_goodbye_that_nobody_reads_is_not_waited_for_long() {
    let secure = Secure::new();
    let mut thread = Thread::new();
    let server = thread.network.serve(address(443));
    let remote = remote(0, &[443], PoolRules::default(), Some(secure.client()));
    thread.begin(post(1, &remote, "{}"));
    thread.settle();
    let mut peer = secure.peer(server.accept().unwrap());
    peer.talk(&mut thread);
    peer.say(&mut thread, &json("{}"));
    assert_eq!(thread.take().len(), 3);
    peer.socket.set_window(Some(0));
    thread.transport.drain(&mut thread.ring, thread.now_ms);
    thread.settle();
    assert!(!peer.socket.is_closed());
    thread.wait(1_000);
    assert!(peer.socket.is_closed());
    thread.is_gone();
}
