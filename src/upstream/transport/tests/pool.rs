//! Connections: reused, waited for, made ahead, lost.

use super::*;

fn answer(thread: &mut Thread, peer: &SimClient) {
    assert!(!peer.take().is_empty(), "it was asked");
    peer.write(json("1").as_bytes());
    thread.settle();
}

#[test]
fn a_connection_serves_one_call_after_the_other() {
    let mut thread = Thread::new();
    let server = thread.network.serve(address(80));
    let remote = remote(0, &[80], PoolRules::default(), None);
    let mut peer = None;
    for key in 0..10 {
        thread.begin(post(key, &remote, "{}"));
        thread.settle();
        let peer = peer.get_or_insert_with(|| server.accept().unwrap());
        answer(&mut thread, peer);
        assert_eq!(thread.take().len(), 3);
    }
    assert!(server.accept().is_none());
    let stats = thread.transport.stats();
    assert_eq!((stats.connects, stats.requests, stats.reused), (1, 10, 9));
    thread.is_gone();
}

#[test]
fn calls_of_one_turn_go_out_together_on_connections_of_their_own() {
    let mut thread = Thread::new();
    let server = thread.network.serve(address(80));
    let remote = remote(0, &[80], PoolRules::default(), None);
    (0..5).for_each(|key| thread.begin(post(key, &remote, &format!("{key}"))));
    thread.settle();
    let peers: Vec<SimClient> = std::iter::from_fn(|| server.accept()).collect();
    let mut asked: Vec<u8> = peers
        .iter()
        .map(|peer| *peer.take().last().unwrap())
        .collect();
    asked.sort_unstable();
    assert_eq!(asked, b"01234");
    thread.is_gone_after(&[0, 1, 2, 3, 4]);
}

#[test]
fn those_beyond_max_active_wait_in_order() {
    let rules = PoolRules {
        max_active: 2,
        ..PoolRules::default()
    };
    let mut thread = Thread::new();
    let server = thread.network.serve(address(80));
    let remote = remote(0, &[80], rules, None);
    (0..6).for_each(|key| thread.begin(post(key, &remote, &format!("{key}"))));
    thread.settle();
    let peers = [server.accept().unwrap(), server.accept().unwrap()];
    assert!(server.accept().is_none());
    assert_eq!(thread.transport.stats().waiting, 4);
    let mut served = Vec::new();
    while served.len() < 6 {
        for peer in &peers {
            if let Some(last) = peer.take().last() {
                served.push(*last);
                peer.write(json("1").as_bytes());
                thread.settle();
            }
        }
    }
    assert_eq!(served[2..], *b"2345", "first come, first served");
    assert_eq!(thread.take().len(), 18);
    assert_eq!(thread.transport.stats().connects, 2);
    thread.is_gone();
}

#[test]
fn who_waits_in_vain_is_told_which_limit_it_was() {
    let rules = PoolRules {
        max_active: 1,
        ..PoolRules::default()
    };
    let mut thread = Thread::new();
    let _server = thread.network.serve(address(80));
    let remote = remote(0, &[80], rules, None);
    thread.begin(post(1, &remote, "{}"));
    thread.settle();
    thread.begin(Request {
        call_ms: 100,
        ..post(2, &remote, "{}")
    });
    thread.wait(99);
    assert!(thread.take().is_empty());
    thread.wait(1);
    let told = thread.take();
    let [Told::Failed(2, Reached::Nothing, Failed::Refused, why)] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert!(
        why.contains("upstreams.weather.connection_pool.max_active is 1"),
        "{why}"
    );
    thread.is_gone_after(&[1]);
}

#[test]
fn the_queue_for_connections_is_bounded() {
    let rules = PoolRules {
        max_active: 1,
        ..PoolRules::default()
    };
    let mut thread = Thread::new();
    thread.transport.options.waiting_count_max = 3;
    let _server = thread.network.serve(address(80));
    let remote = remote(0, &[80], rules, None);
    (0..5).for_each(|key| thread.begin(post(key, &remote, "{}")));
    let told = thread.take();
    assert_eq!(told.len(), 2, "{told:?}");
    for told in told {
        let Told::Failed(3 | 4, Reached::Nothing, Failed::Refused, why) = told else {
            panic!("{told:?}");
        };
        assert!(why.contains("max_active"), "{why}");
    }
    thread.is_gone_after(&[0, 1, 2]);
}

#[test]
fn an_idle_connection_that_the_upstream_closes_is_dropped_without_a_word() {
    for how in 0..4 {
        let mut thread = Thread::new();
        let server = thread.network.serve(address(80));
        let remote = remote(0, &[80], PoolRules::default(), None);
        thread.begin(post(1, &remote, "{}"));
        thread.settle();
        let peer = server.accept().unwrap();
        answer(&mut thread, &peer);
        assert_eq!(thread.take().len(), 3);
        match how {
            0 => peer.finish(),
            1 => peer.close(),
            2 => peer.reset(),
            _ => peer.write(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"),
        }
        assert!(thread.take().is_empty(), "{how}");
        assert_eq!(thread.transport.stats().idle, 0, "{how}");
        thread.begin(post(2, &remote, "{}"));
        thread.settle();
        answer(&mut thread, &server.accept().unwrap());
        assert_eq!(thread.take().len(), 3, "{how}");
        thread.is_gone();
    }
}

#[test]
fn a_call_begun_in_the_turn_in_which_its_connection_ends_goes_out_on_another() {
    let mut thread = Thread::new();
    let server = thread.network.serve(address(80));
    let remote = remote(0, &[80], PoolRules::default(), None);
    thread.begin(post(1, &remote, "{}"));
    thread.settle();
    let peer = server.accept().unwrap();
    answer(&mut thread, &peer);
    thread.take();
    thread.begin(post(2, &remote, "{}"));
    peer.finish();
    // The turn brings the end of the idle connection; only after that the call leaves.
    thread.step();
    thread.settle();
    assert!(thread.take().is_empty());
    assert_eq!(thread.transport.stats().connects, 2);
    answer(&mut thread, &server.accept().unwrap());
    assert_eq!(thread.take().len(), 3);
    thread.is_gone();
}

#[test]
fn a_reused_connection_that_ends_under_a_call_is_told_as_sent() {
    let mut thread = Thread::new();
    let server = thread.network.serve(address(80));
    let remote = remote(0, &[80], PoolRules::default(), None);
    thread.begin(post(1, &remote, "{}"));
    thread.settle();
    let peer = server.accept().unwrap();
    answer(&mut thread, &peer);
    thread.take();
    thread.begin(post(2, &remote, "{}"));
    thread.settle();
    peer.close();
    let told = thread.take();
    assert!(
        matches!(
            told.as_slice(),
            [Told::Failed(2, Reached::Sent, Failed::Connection, _)]
        ),
        "{told:?}"
    );
    thread.is_gone();
}

#[test]
fn an_answer_that_says_close_is_believed() {
    let mut thread = Thread::new();
    let server = thread.network.serve(address(80));
    let remote = remote(0, &[80], PoolRules::default(), None);
    thread.begin(post(1, &remote, "{}"));
    thread.settle();
    let peer = server.accept().unwrap();
    peer.take();
    peer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(thread.take().len(), 2);
    assert!(peer.is_closed());
    thread.is_gone();
}

#[test]
fn idle_connections_go_at_their_time_and_none_is_used_after_it() {
    let mut thread = Thread::new();
    let server = thread.network.serve(address(80));
    let rules = PoolRules {
        idle_timeout_ms: 1_000,
        ..PoolRules::default()
    };
    let remote = remote(0, &[80], rules, None);
    thread.begin(post(1, &remote, "{}"));
    thread.settle();
    let peer = server.accept().unwrap();
    answer(&mut thread, &peer);
    thread.take();
    thread.wait(999);
    assert!(!peer.is_closed());
    thread.wait(1);
    assert!(peer.is_closed());
    thread.is_gone();
}

#[test]
fn connections_are_made_ahead_of_need_and_again_after_a_while() {
    let mut thread = Thread::new();
    let server = thread.network.serve(address(80));
    let rules = PoolRules {
        min_idle: 2,
        ..PoolRules::default()
    };
    let remote = remote(0, &[80], rules, None);
    thread.transport.expect(&remote);
    server.set_answer(Answer::Refuse);
    thread.wait(50);
    let failures = thread.transport.stats().connect_failures;
    assert_eq!(failures, 2);
    thread.wait(50);
    assert_eq!(
        thread.transport.stats().connect_failures,
        2,
        "not at once again"
    );
    server.set_answer(Answer::Accept);
    thread.wait(8_000);
    assert_eq!(thread.transport.stats().idle, 2);
    thread.begin(post(1, &remote, "{}"));
    thread.settle();
    assert_eq!(thread.transport.stats().reused, 1);
    thread.wait(50);
    assert_eq!(
        thread.transport.stats().idle,
        2,
        "one is made for the one that is used"
    );
    thread.is_gone_after(&[1]);
}

#[test]
fn another_address_is_tried_and_the_one_that_worked_is_the_first_next_time() {
    let mut thread = Thread::new();
    let server = thread.network.serve(address(81));
    let remote = remote(0, &[80, 81], PoolRules::default(), None);
    thread.begin(post(1, &remote, "{}"));
    thread.settle();
    answer(&mut thread, &server.accept().unwrap());
    assert_eq!(thread.take().len(), 3);
    assert_eq!(thread.transport.stats().connects, 2);
    thread.begin(post(2, &remote, "{}"));
    thread.begin(post(3, &remote, "{}"));
    thread.settle();
    assert_eq!(thread.transport.stats().connects, 3);
    thread.is_gone_after(&[2, 3]);
}

#[test]
fn who_cannot_be_reached_is_named() {
    let mut thread = Thread::new();
    let refusing = remote(0, &[80, 81], PoolRules::default(), None);
    thread.begin(post(1, &refusing, "{}"));
    let told = thread.take();
    let [Told::Failed(1, Reached::Nothing, Failed::Connection, why)] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert_eq!(
        why,
        "upstream weather: 127.0.0.1:81: connection refused (the last of 2 addresses)"
    );
    let unresolved = remote(1, &[80], PoolRules::default(), None);
    unresolved.places[0].addresses.store(Arc::new(Vec::new()));
    thread.begin(post(2, &unresolved, "{}"));
    let told = thread.take();
    assert_eq!(
        told,
        [Told::Failed(
            2,
            Reached::Nothing,
            Failed::Connection,
            "upstream weather: the host localhost does not resolve".to_owned()
        )]
    );
    thread.is_gone();
}

#[test]
fn nobody_hears_of_a_call_that_was_abandoned() {
    let rules = PoolRules {
        max_active: 1,
        ..PoolRules::default()
    };
    let mut thread = Thread::new();
    let server = thread.network.serve(address(80));
    let remote = remote(0, &[80], rules, None);
    thread.begin(post(1, &remote, "{}"));
    thread.settle();
    let peer = server.accept().unwrap();
    (2..4).for_each(|key| thread.begin(post(key, &remote, "{}")));
    thread.settle();
    let mut nowhere = post(4, &remote, "{}");
    nowhere.place = 9;
    thread.begin(nowhere);
    for key in [3, 1, 4, 1, 99] {
        thread
            .transport
            .abandon(&mut thread.ring, ExchangeKey(key), thread.now_ms);
    }
    thread.settle();
    assert!(peer.is_closed(), "which tells the upstream");
    answer(&mut thread, &server.accept().unwrap());
    let told = thread.take();
    assert_eq!(told.len(), 3, "{told:?}");
    assert_eq!(told[0], Told::Head(2, 200));
    thread.is_gone();
}

#[test]
fn a_listening_exchange_has_a_connection_of_its_own_and_they_are_bounded() {
    let rules = PoolRules {
        max_active: 1,
        ..PoolRules::default()
    };
    let mut thread = Thread::new();
    thread.transport.options.long_count_max = 2;
    let server = thread.network.serve(address(80));
    let remote = remote(0, &[80], rules, None);
    (1..4).for_each(|key| thread.begin(listen(key, &remote)));
    let told = thread.take();
    assert!(
        matches!(
            told.as_slice(),
            [Told::Failed(3, Reached::Nothing, Failed::Refused, _)]
        ),
        "{told:?}"
    );
    let peers = [server.accept().unwrap(), server.accept().unwrap()];
    assert!(text(&peers[0].take()).starts_with("GET /mcp HTTP/1.1\r\n"));
    thread.begin(post(4, &remote, "{}"));
    thread.settle();
    answer(&mut thread, &server.accept().unwrap());
    assert_eq!(thread.take().len(), 3);
    peers[0].write(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(thread.take().len(), 2);
    assert!(peers[0].is_closed());
    assert_eq!(thread.transport.stats().long, 1);
    thread.is_gone_after(&[2]);
}

impl Thread {
    /// Nothing is left once these are given up.
    fn is_gone_after(&mut self, keys: &[u64]) {
        for key in keys {
            self.transport
                .abandon(&mut self.ring, ExchangeKey(*key), self.now_ms);
        }
        self.is_gone();
    }
}
