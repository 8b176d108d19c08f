//! Clients that lost a stream, and come back for the rest of it.

use serde_json::{Value, json};

use crate::harness::sse::{Event, Session};
use crate::harness::{Appliance, Client, everything};

fn appliance(config: &str) -> Appliance {
    Appliance::with(&[everything().to_str().unwrap(), "--shards", "2"], config)
}

fn text(event: &Event) -> String {
    let message = event.json();
    let text = &message["result"]["content"][0]["text"];
    text.as_str()
        .unwrap_or_else(|| panic!("{message}"))
        .to_owned()
}

/// Reads a stream to its end.
fn rest(client: &mut Client) -> Vec<Event> {
    std::iter::from_fn(|| client.next_event()).collect()
}

/// Calls `ask` and reads up to its question: the connection, the question, and its event's id.
fn question(session: &Session<'_>, id: u64) -> (Client, Value, String) {
    let mut call = session.call(id, "ask");
    call.head();
    let event = call.next_message();
    let event_id = event.id.clone().unwrap();
    (call, event.json(), event_id)
}

#[test]
fn a_released_stream_is_come_back_to_on_any_shard() {
    let appliance = appliance("");
    let session = Session::open(&appliance, "2025-11-25");
    // Connections land on either shard.
    for id in 1..9 {
        let exchange = session.call(id, "release").read_exchange();
        let primed = &exchange.events[0];
        assert_eq!((primed.data.as_str(), exchange.messages().len()), ("", 0));
        assert_eq!(exchange.events.last().unwrap().retry, Some(50));
        let mut stream = session.stream(primed.id.as_deref());
        let question = stream.next_message().json();
        session.accept(&question, json!({"id": id}));
        let answer = stream.next_message();
        assert_eq!(answer.json()["id"], id);
        assert_eq!(text(&answer), format!("{{\"id\":{id}}}"));
        assert_eq!(rest(&mut stream), [], "the answer ends it");
    }
    assert_eq!(appliance.metric("margay_streams_resumed", ""), 8.0);
}

#[test]
fn a_lost_stream_goes_on_where_it_was_lost_and_only_that_one() {
    let appliance = appliance("");
    let session = Session::open(&appliance, "2025-11-25");
    let (first, asked, id) = question(&session, 1);
    let (second, other_asked, other_id) = question(&session, 2);
    drop((first, second));
    session.accept(&asked, json!({"n": 1}));
    session.accept(&other_asked, json!({"n": 2}));
    for (last, expected) in [(&id, 1), (&other_id, 2)] {
        let events = rest(&mut session.stream(Some(last)));
        assert_eq!(events.len(), 1, "{events:?}");
        assert_eq!(events[0].json()["id"], expected);
    }
    // From the beginning, as often as it is asked for.
    let begin = id.replace("-1", "-0");
    for _ in 0..2 {
        let events = rest(&mut session.stream(Some(&begin)));
        assert_eq!(events[0].json()["method"], "elicitation/create");
        assert_eq!(text(&events[1]), r#"{"n":1}"#);
    }
}

#[test]
fn several_streams_of_a_session_live_at_once() {
    let appliance = appliance("");
    let session = Session::open(&appliance, "2025-06-18");
    let mut own = session.stream(None);
    let mut calls: Vec<_> = (0..10).map(|id| question(&session, id)).collect();
    // Half of them come back.
    for (call, _, id) in calls.iter_mut().step_by(2) {
        *call = session.stream(Some(id));
    }
    for (_, asked, _) in calls.iter().rev() {
        session.accept(asked, json!({"id": asked["id"]}));
    }
    for (id, (call, asked, _)) in calls.iter_mut().enumerate() {
        let answer = call.next_message();
        assert_eq!(answer.json()["id"], id);
        assert_eq!(text(&answer), format!("{{\"id\":{}}}", asked["id"]));
    }
    session.call(99, "change").answer();
    let told = own.next_message().json();
    assert!(told["method"].as_str().unwrap().ends_with("list_changed"));
}

#[test]
fn who_comes_back_takes_the_stream_over() {
    let appliance = appliance("");
    let session = Session::open(&appliance, "2025-11-25");
    let (mut first, asked, id) = question(&session, 1);
    let mut second = session.stream(Some(&id));
    assert_eq!(rest(&mut first), [], "no message goes to two connections");
    session.accept(&asked, json!({}));
    assert_eq!(text(&second.next_message()), "{}");
    let mut own = session.stream(None);
    let primed = own.next_event().unwrap();
    assert_eq!(
        session.get(None).answer().status,
        409,
        "the first one keeps it"
    );
    let mut again = session.stream(primed.id.as_deref());
    while own.next_event().is_some() {}
    session.call(2, "change").read_exchange();
    assert!(again.next_message().json()["method"].is_string());
}

#[test]
fn what_is_not_kept_is_said_to_be_gone() {
    let appliance = appliance("limits:\n  session_event_count_max: 16\n");
    let session = Session::open(&appliance, "2025-11-25");
    let level = |level: &str| {
        let mut client = session.send(9, "logging/setLevel", json!({ "level": level }));
        assert_eq!(client.answer().status, 200);
    };
    let first = session.call(1, "say").read_exchange();
    assert_eq!(first.messages().len(), 4);
    // Five more streams, of three events each: of the first one's, the answer is left.
    level("error");
    for id in 2..7 {
        assert_eq!(session.call(id, "say").read_exchange().messages().len(), 3);
    }
    level("info");
    let begin = first.events[0].id.as_deref();
    let events = rest(&mut session.stream(begin));
    assert_eq!(events.len(), 2, "{events:?}");
    let warning = events[0].json();
    assert_eq!(events[0].id, None, "it is no event of the stream");
    assert_eq!(warning["params"]["logger"], "margay");
    assert_eq!(warning["params"]["level"], "warning");
    let words = warning["params"]["data"].as_str().unwrap();
    assert!(
        words.contains("3 events") && words.contains("limits.session_event_count_max"),
        "{words}"
    );
    assert_eq!(events[1].json()["id"], 1);
    assert_eq!(appliance.metric("margay_stream_events_lost", ""), 3.0);
    // Who does not hear warnings is not told.
    level("error");
    assert_eq!(rest(&mut session.stream(begin)).len(), 1);
}

#[test]
fn what_was_never_there_cannot_be_come_back_to() {
    let appliance = appliance("");
    let session = Session::open(&appliance, "2025-11-25");
    for gone in ["1-0", "7-3"] {
        let answer = session.get(Some(gone)).answer();
        assert_eq!(answer.status, 410, "{gone}");
        let words = answer.json()["error"]["message"].to_string();
        assert!(
            words.contains(gone) && words.contains("session_event_deadline"),
            "{words}"
        );
    }
    session.call(1, "say").read_exchange();
    assert_eq!(session.get(Some("1-99")).answer().status, 410);
    for nonsense in ["x", "1", "-1", "1-", "01-0", "1-0-0"] {
        assert_eq!(
            session.get(Some(nonsense)).answer().status,
            400,
            "{nonsense}"
        );
    }
    let other = Session::open(&appliance, "2025-11-25");
    assert_eq!(
        other.get(Some("1-0")).answer().status,
        410,
        "each session has its own"
    );
}

#[test]
fn an_answer_that_nobody_could_come_back_to_is_dropped_and_the_call_still_runs() {
    let appliance = appliance("");
    let session = Session::open(&appliance, "2025-11-25");
    // It goes away before it has a stream; its question fails, so its call ends.
    let call = session.call(1, "loop");
    appliance.eventually("it runs", || {
        appliance.metric("margay_calls_away", "") == 1.0
    });
    drop(call);
    appliance.eventually("it is detached", || {
        appliance.metric("margay_calls_detached", "") == 1.0
    });
    session.tell(
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
        "params": {"requestId": 1}}),
    );
    appliance.eventually("it ends", || {
        appliance.metric("margay_calls_away", "") == 0.0
    });
}

#[test]
fn events_are_freed_with_their_session() {
    let appliance = appliance("");
    let session = Session::open(&appliance, "2025-11-25");
    session.call(1, "say").read_exchange();
    assert!(appliance.metric("margay_event_bytes", "") > 0.0);
    session.delete();
    assert_eq!(appliance.metric("margay_event_bytes", ""), 0.0);
}

/// Sessions that all use the same ids, whose connections break at random and land on either shard: each hears what is its own.
#[test]
fn nobody_ever_hears_what_is_anothers() {
    const SESSIONS: u64 = 6;
    const CALLS: u64 = 25;
    let appliance = appliance("");
    let converse = |number: u64| {
        let session = Session::open(&appliance, "2025-11-25");
        // A generator of its own, so that a failure comes again.
        let mut state = number;
        let mut random = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % below
        };
        for id in 0..CALLS {
            let (mut call, asked, last) = question(&session, id);
            if random(2) == 0 {
                drop(call);
                call = session.stream(Some(&last));
            }
            let canary = format!("{number}-{id}");
            session.accept(&asked, json!({ "canary": canary }));
            if random(3) == 0 {
                drop(call);
                call = session.stream(Some(&last));
            }
            let answer = call.next_message();
            assert_eq!(answer.json()["id"], id);
            assert_eq!(text(&answer), format!("{{\"canary\":\"{canary}\"}}"));
            assert_eq!(rest(&mut call), []);
        }
    };
    std::thread::scope(|scope| {
        for number in 0..SESSIONS {
            let converse = &converse;
            scope.spawn(move || converse(number));
        }
    });
    assert_eq!(appliance.metric("margay_calls_away", ""), 0.0);
}
