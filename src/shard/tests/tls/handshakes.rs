//! How connections begin: cut, slow, wrong, too many at once.

use super::*;
use crate::mem::BufferPool;
use crate::shard::tls::{Tls, TlsFault};

/// What a client sends first.
fn hello(secure: &Secure) -> Vec<u8> {
    let mut bytes = Vec::new();
    client(secure.authority.client())
        .write_tls(&mut bytes)
        .unwrap();
    bytes
}

#[test]
fn a_handshake_may_be_cut_anywhere() {
    let mut secure = Secure::calm();
    let length = hello(&secure).len();
    for at in 1..length {
        let mut client = secure.connect();
        let hello = client.hear();
        let at = at.min(hello.len() - 1);
        client.socket.write(&hello[..at]);
        secure.world.turns(3);
        client.socket.write(&hello[at..]);
        let got = client.ask(&mut secure.world, &call(1, "cut"));
        assert_eq!(
            answers(got.as_bytes()),
            [(1, "cut".to_owned())],
            "cut at {at}"
        );
        client.socket.close();
        secure.world.turns(4);
    }
    comes_to_rest(&mut secure.world, 1);
}

#[test]
fn garbage_is_refused_and_gives_everything_back() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let mut secure = Secure::new(seed, Faults::survivable(seed), Limits::default());
        let socket = secure.world.connect();
        let mut bytes = hello(&secure);
        match seed % 4 {
            // Not TLS at all, and no HTTP either.
            0 => bytes = vec![0x80; 300],
            // A handshake's first byte, and nothing of it behind.
            1 => bytes = (0..600).map(|_| random.below(256) as u8).collect(),
            // A hello with a few bits turned.
            2 => {
                for _ in 0..4 {
                    let at = random.below(bytes.len() as u64) as usize;
                    bytes[at] ^= 1 << random.below(8);
                }
            }
            // A hello, then something that it cannot be followed by.
            _ => bytes.extend((0..600).map(|_| random.below(256) as u8)),
        }
        if seed % 4 == 1 {
            bytes[..3].copy_from_slice(&[22, 3, 1]);
        }
        for piece in bytes.chunks(1 + random.below(300) as usize) {
            socket.write(piece);
            secure.world.turns(3);
        }
        secure.world.turns(20);
        socket.close();
        comes_to_rest(&mut secure.world, seed);
        assert_eq!(secure.counted(Counter::Requests), 0, "seed {seed}");
    }
}

/// What a client of this configuration says to a server, flight by flight, until it has asked for something.
fn flights(listener: &TlsListener, config: &Arc<ClientConfig>) -> Vec<Vec<u8>> {
    let pool = BufferPool::with_limit(16 << 20);
    let mut tls = Tls::new(listener.setup()).unwrap();
    let mut client = client(Arc::clone(config));
    client
        .writer()
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .unwrap();
    let mut flights = Vec::new();
    while client.wants_write() {
        let mut flight = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut flight).unwrap();
        }
        let mut out = None;
        tls.take(&flight, &pool, &mut out, |_| Ok(())).unwrap();
        let mut answer = out.as_deref().map_or(&[][..], |out| out.as_slice());
        while !answer.is_empty() {
            client.read_tls(&mut answer).unwrap();
            client.process_new_packets().unwrap();
        }
        flights.push(flight);
    }
    flights
}

#[test]
fn no_bytes_make_it_panic_and_none_are_kept_that_cannot_be_a_message() {
    let authority = Authority::new();
    let (people, pool) = (Authority::new(), BufferPool::with_limit(16 << 20));
    let someone = people.sign("someone");
    let listener = TlsListener::new(setup(&authority, Some((&people, false))));
    let mut random = Random::new(7);
    for version in rustls::ALL_VERSIONS {
        for fragment in [None, Some(64)] {
            let config = authority.client_with(&[version], &[], Some(&someone));
            let mut config = Arc::into_inner(config).unwrap();
            config.max_fragment_size = fragment;
            let config = Arc::new(config);
            for round in 0..400 {
                let mut said: Vec<u8> = flights(&listener, &config).concat();
                for _ in 0..1 + round % 4 {
                    let at = random.below(said.len() as u64) as usize;
                    match random.below(4) {
                        0 => said[at] ^= 1 << random.below(8),
                        1 => said[at] = random.below(256) as u8,
                        2 => said.truncate(at.max(1)),
                        _ => drop(said.drain(at.max(1)..(at + 9).min(said.len()).max(at.max(1)))),
                    }
                }
                // It begins as TLS begins.
                said[0] = 22;
                let mut tls = Tls::new(listener.setup()).unwrap();
                let mut out = None;
                let piece_bytes = 1 + random.below(2_000) as usize;
                for piece in said.chunks(piece_bytes) {
                    if tls.take(piece, &pool, &mut out, |_| Ok(())).is_err() {
                        break;
                    }
                    let _ = tls.encrypt(b"answer", &pool);
                }
                let _ = tls.encrypt(b"answer", &pool);
                let _ = tls.say_goodbye(&pool);
            }
        }
    }
    assert_eq!(pool.stats().checked_out, 0);
}

#[test]
fn a_handshake_message_in_a_thousand_records_is_put_together_and_an_endless_one_is_refused() {
    let authority = Authority::new();
    let mut secure = Secure::calm();
    let config = secure.authority.client();
    let mut config = Arc::into_inner(config).unwrap();
    config.max_fragment_size = Some(32);
    let mut client = secure.connect_as(Arc::new(config));
    let got = client.ask(&mut secure.world, &call(1, "cut small"));
    assert_eq!(answers(got.as_bytes()), [(1, "cut small".to_owned())]);

    let pool = BufferPool::with_limit(16 << 20);
    let listener = TlsListener::new(setup(&authority, None));
    let mut tls = Tls::new(listener.setup()).unwrap();
    // A hello of 64,000 bytes, a byte in each record.
    let mut record = vec![22, 3, 3, 0, 4, 1, 0, 0xfa, 0];
    let mut sent = 0;
    let fault = loop {
        sent += record.len();
        if let Err(fault) = tls.take(&record, &pool, &mut None, |_| Ok(())) {
            break fault;
        }
        record = vec![22, 3, 3, 0, 1, 3];
        assert!(sent < 1 << 20, "it is taken without end");
    };
    assert!(
        matches!(fault, TlsFault::TooLong | TlsFault::Protocol(_)),
        "{fault}"
    );
    drop(tls);
    assert_eq!(pool.stats().checked_out, 0);
}

#[test]
fn who_breaks_the_protocol_is_told_so() {
    let mut secure = Secure::calm();
    let socket = secure.world.connect();
    socket.write(&[22, 3, 1, 0, 4, 2, 0, 0, 0]);
    secure.world.turns(20);
    let told = socket.received();
    // An alert record, of which the first byte says that it is fatal.
    assert_eq!((told[0], told[5]), (21, 2), "{told:?}");
    assert!(socket.is_finished());
    assert_eq!(secure.counted(Counter::TlsFailures), 1);
    socket.close();
    comes_to_rest(&mut secure.world, 1);
}

#[test]
fn a_slow_handshake_is_closed_at_its_deadline() {
    let limits = Limits {
        handshake_deadline: Duration::from_secs(3),
        ..Limits::default()
    };
    for sends in [false, true] {
        let mut secure = Secure::new(1, Faults::none(), limits.clone());
        let socket = secure.world.connect();
        let bytes = hello(&secure);
        for byte in &bytes[..28] {
            if sends {
                socket.write(&[*byte]);
            }
            secure.world.pass(100);
            assert!(!socket.is_closed());
        }
        secure.world.pass(600);
        assert!(socket.is_closed(), "a byte each 100 ms: {sends}");
        assert!(socket.received().is_empty());
        assert_eq!(secure.counted(Counter::DeadlineHandshake), 1);
        socket.close();
        comes_to_rest(&mut secure.world, 1);
    }
}

#[test]
fn plain_http_is_answered_in_plain_words() {
    for first in [
        &b"POST /mcp HTTP/1.1\r\n"[..],
        b"G",
        b"get / HTTP/1.0\r\n\r\n",
    ] {
        let mut secure = Secure::calm();
        let socket = secure.world.connect();
        socket.write(first);
        secure.world.turns(20);
        let told = String::from_utf8(socket.received()).unwrap();
        assert!(told.starts_with("HTTP/1.1 400 "), "{told}");
        let (head, body) = told.split_once("\r\n\r\n").unwrap();
        assert!(body.contains("https://"), "{told}");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
        assert!(socket.is_finished());
        socket.close();
        comes_to_rest(&mut secure.world, 1);
    }
}

#[test]
fn http_2_is_not_spoken_and_http_1_1_is_chosen_if_it_is_offered() {
    for version in rustls::ALL_VERSIONS {
        let mut secure = Secure::calm();
        let authority = &secure.authority;
        let [only_h2, both, none] = [&["h2"][..], &["h2", "http/1.1"], &[]]
            .map(|protocols| authority.client_with(&[version], protocols, None));
        let mut client = secure.connect_as(only_h2);
        client.talk(&mut secure.world);
        let refused = Some(AlertDescription::NoApplicationProtocol);
        assert_eq!(client.alert(), refused, "{:?}", client.failed);
        assert!(client.socket.is_finished());
        for (config, chosen) in [(both, Some(&b"http/1.1"[..])), (none, None)] {
            let mut client = secure.connect_as(config);
            let got = client.ask(&mut secure.world, &call(1, "x"));
            assert_eq!(answers(got.as_bytes()).len(), 1);
            assert_eq!(client.tls.alpn_protocol(), chosen);
        }
    }
}

#[test]
fn many_handshakes_at_once_do_not_make_a_turn_long() {
    let mut secure = Secure::calm();
    let shared = Arc::clone(&secure.world.shard.service().shared);
    secure.world = World::on(0, 1, Faults::none(), shared, RingOptions::default());
    let mut busy = secure.connected();
    let mut clients: Vec<Client> = (0..100).map(|_| secure.connect()).collect();
    secure.world.turns(300);
    for client in &mut clients {
        let hello = client.hear();
        client.socket.write(&hello);
    }
    let mut waited = 0;
    busy.say(&call(1, "meanwhile"));
    let bytes = busy.hear();
    busy.socket.write(&bytes);
    for _ in 0..300 {
        secure.world.turn();
        waited += usize::from(secure.world.shard.has_handshakes());
    }
    assert!(waited >= 3, "they were all of one turn: {waited}");
    busy.talk(&mut secure.world);
    assert_eq!(answers(&busy.got).len(), 1);
    for client in &mut clients {
        let got = client.ask(&mut secure.world, &call(1, "x"));
        assert_eq!(answers(got.as_bytes()).len(), 1);
    }
}

#[test]
fn a_connection_over_the_limit_is_closed_before_its_handshake() {
    let limits = Limits {
        connection_count_max: 1,
        ..Limits::default()
    };
    let mut secure = Secure::new(1, Faults::none(), limits);
    let client = secure.connected();
    let refused = secure.world.connect();
    secure.world.turns(20);
    assert!(refused.is_closed() && refused.received().is_empty());
    assert_eq!(secure.counted(Counter::ConnectionsRefused), 1);
    client.socket.close();
    refused.close();
    comes_to_rest(&mut secure.world, 1);
}
