//! Two shards, one of which does not get to its mail: what must not be lost is not.

use super::streams::{answer, legacy_call, messages, raw_post};
use super::*;

/// Words that mean nothing, until a shard's mail takes no more; how many it took.
fn fill(shared: &Shared, index: usize) -> usize {
    let nothing = || Message::Carrier {
        owner: 0,
        word: Word::Look,
    };
    let sent =
        std::iter::repeat_with(nothing).map_while(|message| shared.ports[index].send(message).ok());
    sent.count()
}

struct Pair {
    busy: World,
    other: World,
    shared: Arc<Shared>,
}

fn pair(seed: u64) -> Pair {
    let shared = World::shared(Limits::default(), 2);
    Pair {
        busy: World::of(0, seed, Faults::none(), Arc::clone(&shared)),
        other: World::of(1, seed, Faults::none(), Arc::clone(&shared)),
        shared,
    }
}

fn cancel_of(session: &str, bodies: &str) -> Vec<u8> {
    raw_post(&format!("Mcp-Session-Id: {session}\r\n"), bodies)
}

fn cancelled(id: u64) -> String {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{{\"requestId\":{id}}}}}"
    )
}

fn is_accepted(client: &SimClient) -> bool {
    String::from_utf8_lossy(&client.received()).starts_with("HTTP/1.1 202 ")
}

#[test]
fn a_drain_is_not_lost_where_the_mail_is_full() {
    let mut world = World::new(1, Faults::none(), Limits::default());
    let idle = world.connect();
    world.turns(10);
    let shared = Arc::clone(&world.shard.service().shared);
    assert!(fill(&shared, 0) > 0);
    shared.drain();
    assert!(world.shard.sees_news(), "before it sleeps, it looks");
    world.turns(10);
    assert!(idle.is_closed());
    idle.close();
    assert!((0..100).any(|_| world.turn() == Turn::Drained));
}

#[test]
fn a_cancel_is_not_lost_where_the_mail_is_full() {
    let mut pair = pair(2);
    let session = pair.busy.session("2025-11-25");
    let call = pair.busy.ask(&legacy_call(&session, "ask", 1, ""));
    pair.busy
        .until("the question is there", |_| messages(&call).len() == 1);
    assert!(fill(&pair.shared, 0) > 0);
    // Twice, since the second one must find nothing.
    for _ in 0..2 {
        let client = pair.other.ask(&cancel_of(&session, &cancelled(1)));
        pair.other.until("it is taken", |_| is_accepted(&client));
    }
    assert!(pair.busy.shard.service().has_finished(), "it is woken");
    pair.busy.until("the call ends", |world| world.calls() == 0);
    pair.busy.until("its client is told", |_| {
        answer(&call).unwrap().contains("the call was cancelled")
    });
}

#[test]
fn cancels_of_nothing_leave_room_in_the_mail() {
    let mut pair = pair(3);
    let session = pair.other.session("2025-03-26");
    let batch: Vec<String> = (0..100).map(cancelled).collect();
    let batch = format!("[{}]", batch.join(","));
    for _ in 0..6 {
        let client = pair.other.ask(&cancel_of(&session, &batch));
        pair.other.until("they are taken", |_| is_accepted(&client));
    }
    assert!(fill(&pair.shared, 0) >= 128, "half of it");
    pair.busy.turns(2);
}

#[test]
fn the_end_of_a_session_is_not_lost_where_the_mail_is_full() {
    let mut pair = pair(4);
    let session = pair.busy.session("2025-11-25");
    let call = pair.busy.ask(&legacy_call(&session, "ask", 1, ""));
    pair.busy
        .until("the question is there", |_| messages(&call).len() == 1);
    assert!(fill(&pair.shared, 0) > 0);
    let delete =
        format!("DELETE /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Session-Id: {session}\r\n\r\n");
    let client = pair.other.ask(delete.as_bytes());
    pair.other
        .until("it is ended", |_| !client.received().is_empty());
    assert!(pair.busy.shard.sees_news(), "before it sleeps, it looks");
    pair.busy.until("the call ends", |world| world.calls() == 0);
    pair.busy.pass(3_000);
    assert!(call.is_closed(), "its stream ends");
    assert_eq!(pair.shared.streams.taken(), 0);
}

#[test]
fn a_session_that_ends_without_a_word_takes_its_calls_along() {
    let mut world = World::new(5, Faults::none(), Limits::default());
    let session = world.session("2025-11-25");
    let call = world.ask(&legacy_call(&session, "ask", 1, ""));
    world.until("the question is there", |_| messages(&call).len() == 1);
    call.close();
    world.turns(20);
    let shared = Arc::clone(&world.shard.service().shared);
    let hour_ms = world.now_ms + 24 * 3_600_000;
    assert_eq!(shared.sessions.sweep(hour_ms, 100).expired, 0);
    assert_eq!(world.calls(), 1, "a call that goes on keeps its session");
    let id = SessionId::parse(session.as_bytes()).unwrap();
    shared.sessions.remove(id, Principal::ANONYMOUS).unwrap();
    world.until("the call ends", |world| world.calls() == 0);
    // A session with nothing left does expire.
    let next = world.session("2025-11-25");
    assert_eq!(shared.sessions.sweep(hour_ms, 100).expired, 1, "{next}");
}
