//! Deadlines: each names the limit that passed.

use super::*;

/// A call, its peer, and what is told after each wait.
fn begun(request: impl Fn(u64, &Arc<Remote>) -> Request) -> (Thread, SimServer, SimClient) {
    let mut thread = Thread::new();
    let server = thread.network.serve(address(80));
    let remote = remote(0, &[80], PoolRules::default(), None);
    thread.begin(request(1, &remote));
    thread.settle();
    let peer = server.accept().unwrap();
    (thread, server, peer)
}

fn call(key: u64, remote: &Arc<Remote>) -> Request {
    post(key, remote, "{}")
}

fn assert_late(thread: &mut Thread, reached: Reached, key: &str) {
    let told = thread.take();
    let Some(Told::Failed(1, at, Failed::Deadline, why)) = told.last() else {
        panic!("{told:?}");
    };
    assert_eq!(*at, reached);
    let full = format!("upstreams.weather.timeouts.{key}");
    assert!(why.contains(&full), "{why}");
    thread.is_gone();
}

#[test]
fn a_head_that_does_not_come_is_late() {
    let (mut thread, _server, peer) = begun(call);
    thread.wait(29_999);
    assert!(thread.take().is_empty());
    thread.wait(1);
    assert!(peer.is_closed());
    assert_late(&mut thread, Reached::Sent, "head");
}

#[test]
fn a_head_that_comes_byte_by_byte_is_late_too() {
    let (mut thread, _server, peer) = begun(call);
    peer.write(b"HTTP/1.1 2");
    thread.wait(20_000);
    peer.write(b"00 OK");
    thread.wait(10_000);
    assert_late(&mut thread, Reached::Answering, "head");
}

#[test]
fn a_body_that_does_not_end_is_late_at_the_call_s_deadline() {
    let (mut thread, _server, peer) = begun(call);
    peer.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n1234",
    );
    thread.wait(59_999);
    assert_eq!(thread.take(), [Told::Head(1, 200)]);
    thread.wait(1);
    assert_late(&mut thread, Reached::Answering, "call");
}

#[test]
fn a_stream_that_falls_silent_is_late_and_one_that_lives_is_not() {
    let (mut thread, _server, peer) = begun(|key, remote| Request {
        call_ms: 3_600_000,
        ..call(key, remote)
    });
    peer.write(EVENTS.as_bytes());
    thread.settle();
    for _ in 0..5 {
        thread.wait(299_000);
        peer.write(b": alive\n");
        thread.settle();
    }
    assert_eq!(thread.take(), [Told::Head(1, 200)]);
    thread.wait(300_000);
    assert_late(&mut thread, Reached::Answering, "silence");
}

#[test]
fn who_listens_may_hear_nothing_for_long_once_the_answer_began() {
    let (mut thread, _server, peer) = begun(listen);
    peer.write(EVENTS.as_bytes());
    thread.settle();
    for _ in 0..10 {
        thread.wait(1_000_000);
    }
    peer.write(b"data: 1\n\n");
    assert_eq!(
        thread.take(),
        [Told::Head(1, 200), Told::Message(1, "1".to_owned())]
    );
    peer.finish();
    assert_eq!(thread.take(), [Told::End(1, String::new(), None)]);
    thread.is_gone();
    let (mut thread, _server, _peer) = begun(listen);
    thread.wait(30_000);
    assert_late(&mut thread, Reached::Sent, "head");
}

#[test]
fn a_connection_that_nobody_answers_is_late_and_each_address_has_its_share() {
    let mut thread = Thread::new();
    let silent = [
        thread.network.serve(address(80)),
        thread.network.serve(address(81)),
    ];
    silent
        .iter()
        .for_each(|server| server.set_answer(Answer::Silence));
    let remote = remote(0, &[80, 81], PoolRules::default(), None);
    thread.begin(call(1, &remote));
    thread.settle();
    thread.wait(2_499);
    assert_eq!(thread.transport.stats().connects, 1);
    thread.wait(1);
    assert_eq!(thread.transport.stats().connects, 2);
    thread.wait(2_499);
    assert!(thread.take().is_empty());
    thread.wait(1);
    assert_late(&mut thread, Reached::Nothing, "connect");
}

#[test]
fn a_silent_address_gives_way_to_one_that_answers() {
    let mut thread = Thread::new();
    let silent = thread.network.serve(address(80));
    silent.set_answer(Answer::Silence);
    let server = thread.network.serve(address(81));
    let remote = remote(0, &[80, 81], PoolRules::default(), None);
    thread.begin(call(1, &remote));
    thread.settle();
    thread.wait(2_500);
    let peer = server.accept().unwrap();
    peer.write(json("1").as_bytes());
    assert_eq!(thread.take().len(), 3);
    thread.is_gone();
}
