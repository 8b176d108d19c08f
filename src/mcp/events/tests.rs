use super::ring::EVENT_BYTES;
use super::*;
use crate::mcp::list::List;

const LIMITS: EventLimits = EventLimits {
    count_max: 8,
    bytes_max: 8 * (EVENT_BYTES + 10),
    keep_ms: 1_000,
    subscription_count_max: 2,
};

const ALL: usize = usize::MAX;

struct Kept {
    events: SessionEvents,
    changes: Arc<Changes>,
    budget: Arc<ByteBudget>,
}

fn kept(limits: EventLimits, budget_bytes: usize) -> Kept {
    let (changes, budget) = (Arc::new(Changes::default()), ByteBudget::new(budget_bytes));
    let told = changes.now();
    Kept {
        events: SessionEvents::new(limits, Arc::clone(&changes), Arc::clone(&budget), told),
        changes,
        budget,
    }
}

fn few() -> Kept {
    kept(LIMITS, 1 << 20)
}

fn append(events: &SessionEvents, stream: StreamId, text: &str) -> Appended {
    events.append(stream, text.as_bytes(), 0).unwrap()
}

/// The texts after an event, and how many are gone.
fn read(events: &SessionEvents, stream: StreamId, seq: u64) -> (Vec<String>, u64) {
    let replay = events.read_after(stream, seq, ALL).unwrap();
    let texts = replay
        .events
        .iter()
        .map(|event| String::from_utf8(event.message.to_vec()).unwrap())
        .collect();
    (texts, replay.gone)
}

#[test]
fn an_event_id_reads_back_exactly_and_nothing_else_does() {
    for (stream, seq) in [(0, 0), (1, 1), (u32::MAX, u64::MAX), (10, 200)] {
        let id = EventId {
            stream: StreamId(stream),
            seq,
        };
        assert_eq!(EventId::parse(id.to_string().as_bytes()), Some(id));
    }
    for other in [
        "",
        "-",
        "1",
        "1-",
        "-1",
        "01-1",
        "1-01",
        "1-1 ",
        " 1-1",
        "+1-1",
        "1-+1",
        "1--1",
        "1-1-1",
        "4294967296-1",
        "1-18446744073709551616",
        "1\u{2212}1",
        "a-1",
    ] {
        assert_eq!(EventId::parse(other.as_bytes()), None, "{other}");
    }
    assert_eq!(EventId::parse(b"1-\xff"), None);
}

#[test]
fn a_client_that_comes_back_gets_what_it_missed_of_its_stream_and_nothing_else() {
    let Kept { events, .. } = few();
    let (one, other) = (events.open(7).unwrap(), events.open(8).unwrap());
    assert_ne!(one, other);
    for index in 1..=3 {
        append(&events, one, &format!("a{index}"));
        append(&events, other, &format!("b{index}"));
    }
    append(&events, StreamId::SESSION, "s1");
    assert_eq!(read(&events, one, 0).0, ["a1", "a2", "a3"]);
    assert_eq!(read(&events, one, 2), (vec!["a3".to_owned()], 0));
    assert_eq!(read(&events, one, 3), (vec![], 0));
    assert_eq!(read(&events, other, 1).0, ["b2", "b3"]);
    assert_eq!(read(&events, StreamId::SESSION, 0).0, ["s1"]);
    // A number that the stream has not come to was never sent.
    assert_eq!(events.read_after(one, 4, ALL), Err(UnknownStream));
    assert_eq!(events.read_after(StreamId(99), 0, ALL), Err(UnknownStream));
}

#[test]
fn beyond_the_count_the_oldest_go_and_the_gap_is_counted() {
    let Kept { events, budget, .. } = few();
    let stream = events.open(7).unwrap();
    for index in 1..=20 {
        append(&events, stream, &format!("{index}"));
    }
    let (texts, gone) = read(&events, stream, 5);
    assert_eq!(texts, ["13", "14", "15", "16", "17", "18", "19", "20"]);
    assert_eq!(gone, 7, "6 to 12");
    assert_eq!(read(&events, stream, 12).1, 0);
    assert!(budget.used() <= LIMITS.bytes_max);
}

#[test]
fn beyond_the_bytes_the_oldest_go_and_one_that_is_too_large_goes_alone() {
    let Kept { events, budget, .. } = few();
    let stream = events.open(7).unwrap();
    for _ in 0..4 {
        append(&events, stream, "0123456789");
    }
    let large = "x".repeat(LIMITS.bytes_max);
    let appended = append(&events, stream, &large);
    assert!(!appended.kept, "it cannot be kept");
    assert_eq!(appended.id.seq, 5, "it has its number all the same");
    assert_eq!(read(&events, stream, 0).0.len(), 4, "and displaces nothing");
    append(&events, stream, "after");
    let replay = events.read_after(stream, 0, ALL).unwrap();
    assert_eq!((replay.events.len(), replay.gone, replay.last), (5, 1, 6));
    let fits = "x".repeat(LIMITS.bytes_max - EVENT_BYTES);
    assert!(append(&events, stream, &fits).kept);
    assert_eq!(read(&events, stream, 0), (vec![fits], 6));
    assert_eq!(budget.used(), LIMITS.bytes_max);
}

#[test]
fn beyond_the_processs_budget_a_session_displaces_only_itself() {
    let cost = EVENT_BYTES + 2;
    let Kept {
        events,
        changes,
        budget,
    } = kept(LIMITS, 3 * cost);
    let told = changes.now();
    let other = SessionEvents::new(LIMITS, Arc::clone(&changes), Arc::clone(&budget), told);
    let (mine, theirs) = (events.open(7).unwrap(), other.open(8).unwrap());
    append(&events, mine, "a1");
    for index in 1..=4 {
        append(&other, theirs, &format!("b{index}"));
    }
    assert_eq!(read(&events, mine, 0).0, ["a1"]);
    assert_eq!(
        read(&other, theirs, 0),
        (vec!["b3".to_owned(), "b4".to_owned()], 2)
    );
    drop(other);
    assert_eq!(budget.used(), cost);
    events.close();
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_long_replay_comes_in_parts_and_each_gap_is_told_once() {
    let Kept { events, .. } = few();
    let stream = events.open(7).unwrap();
    for index in 1..=12 {
        append(&events, stream, &format!("{index:02}"));
    }
    let (mut seq, mut texts, mut gone, mut parts) = (0, 0, 0, 0);
    loop {
        let replay = events
            .read_after(stream, seq, 3 * (EVENT_BYTES + 2))
            .unwrap();
        assert!(replay.events.len() <= 3);
        texts += replay.events.len();
        gone += replay.gone;
        parts += 1;
        seq = replay.last;
        if !replay.more {
            break;
        }
    }
    assert_eq!((seq, texts, gone, parts), (12, 8, 4, 3));
    let one = events.read_after(stream, 0, 0).unwrap();
    assert_eq!(one.events.len(), 1, "one event goes however large it is");
}

#[test]
fn a_stream_knows_who_carries_it() {
    let Kept { events, .. } = few();
    let stream = events.open(7).unwrap();
    assert_eq!(append(&events, stream, "a").owner, 7);
    let attached = events.attach(stream, 9).unwrap();
    assert_eq!((attached.displaced, attached.completed), (7, false));
    assert!(!events.detach(stream, 7), "it is another's now");
    assert_eq!(append(&events, stream, "b").owner, 9);
    assert!(events.is_attached());
    assert!(events.detach(stream, 9));
    assert!(!events.is_attached());
    assert_eq!(append(&events, stream, "c").owner, 0);
    assert!(!events.detach(stream, 0), "nobody has nothing");
    assert_eq!(events.finish(stream), 0);
    let attached = events.attach(stream, 11).unwrap();
    assert_eq!((attached.displaced, attached.completed), (0, true));
    assert!(events.read_after(stream, 0, ALL).unwrap().completed);
    assert_eq!(events.finish(stream), 11);
    assert_eq!(events.attach(StreamId(99), 1), Err(UnknownStream));
}

#[test]
fn a_finished_stream_is_forgotten_with_its_last_event() {
    let Kept { events, .. } = few();
    let stream = events.open(7).unwrap();
    append(&events, stream, "a");
    events.finish(stream);
    assert!(events.detach(stream, 7));
    assert!(events.read_after(stream, 0, ALL).is_ok());
    for _ in 0..LIMITS.count_max {
        append(&events, StreamId::SESSION, "s");
    }
    assert_eq!(events.read_after(stream, 0, ALL), Err(UnknownStream));
    assert_eq!(events.append(stream, b"late", 0), Err(UnknownStream));
    assert_eq!(events.attach(stream, 9), Err(UnknownStream));
    // The session's own stream stays, with nothing kept and nobody there.
    events.forget_through(StreamId::SESSION, 99);
    assert_eq!(read(&events, StreamId::SESSION, 8), (vec![], 0));
    // A stream without a single event is gone as soon as it is over.
    let empty = events.open(7).unwrap();
    events.detach(empty, 7);
    assert!(events.read_after(empty, 0, ALL).is_ok(), "its call goes on");
    events.finish(empty);
    assert_eq!(events.read_after(empty, 0, ALL), Err(UnknownStream));
}

#[test]
fn events_that_are_too_old_are_gone() {
    let Kept { events, budget, .. } = few();
    let stream = events.open(7).unwrap();
    events.append(stream, b"old", 0).unwrap();
    events.append(stream, b"new", 900).unwrap();
    events.expire(1_000);
    assert_eq!(read(&events, stream, 0).0.len(), 2);
    events.append(stream, b"now", 1_001).unwrap();
    assert_eq!(
        read(&events, stream, 0),
        (vec!["new".to_owned(), "now".to_owned()], 1)
    );
    events.expire(9_000);
    assert_eq!(read(&events, stream, 0), (vec![], 3));
    assert_eq!(budget.used(), 0);
}

#[test]
fn what_is_delivered_for_good_can_be_freed() {
    let Kept { events, budget, .. } = few();
    let stream = events.open(7).unwrap();
    for text in ["a", "b", "c"] {
        append(&events, stream, text);
    }
    append(&events, StreamId::SESSION, "s");
    events.forget_through(stream, 2);
    assert_eq!(read(&events, stream, 2).0, ["c"]);
    assert_eq!(read(&events, StreamId::SESSION, 0).0, ["s"]);
    assert_eq!(budget.used(), 2 * (EVENT_BYTES + 1));
}

#[test]
fn changes_are_announced_once_on_the_sessions_own_stream() {
    let Kept {
        events, changes, ..
    } = few();
    events.subscribe("a:1").unwrap();
    events.subscribe("a:2").unwrap();
    assert!(events.subscribe("a:3").is_err(), "two are the bound");
    assert_eq!(events.announce(0, |_| true), Announced::default());
    for _ in 0..3 {
        changes.list_changed(List::Tools);
        changes.list_changed(List::Prompts);
        changes.resource_updated("a:1");
    }
    assert_eq!(events.announce(0, |_| true).count, 3);
    assert_eq!(events.announce(0, |_| true).count, 0);
    let (texts, gone) = read(&events, StreamId::SESSION, 0);
    let methods: Vec<_> = texts
        .iter()
        .map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap()["method"].clone())
        .collect();
    assert_eq!(
        methods,
        [
            "notifications/tools/list_changed",
            "notifications/prompts/list_changed",
            "notifications/resources/updated"
        ]
    );
    assert_eq!(gone, 0);
    assert!(events.unsubscribe("a:1") && !events.unsubscribe("a:1"));
    changes.resource_updated("a:1");
    assert_eq!(events.announce(0, |_| true), Announced::default());
}

#[test]
fn what_a_client_may_not_hear_of_is_not_announced_nor_is_it_later() {
    let Kept {
        events, changes, ..
    } = few();
    events.subscribe("a:1").unwrap();
    events.subscribe("a:2").unwrap();
    changes.list_changed(List::Tools);
    changes.list_changed(List::Prompts);
    for uri in ["a:1", "a:2"] {
        changes.resource_updated(uri);
    }
    let hears = |news: News<'_>| matches!(news, News::List(List::Prompts) | News::Resource("a:2"));
    assert_eq!(events.announce(0, hears).count, 2);
    let texts = read(&events, StreamId::SESSION, 0).0.join(" ");
    assert!(
        texts.contains("prompts/list_changed") && texts.contains("a:2"),
        "{texts}"
    );
    assert!(
        !texts.contains("tools/") && !texts.contains("a:1"),
        "{texts}"
    );
    assert_eq!(events.announce(0, |_| true), Announced::default());
}

#[test]
fn what_the_process_has_no_room_for_is_announced_later() {
    let Kept {
        events,
        changes,
        budget,
    } = kept(LIMITS, 200);
    assert!(budget.try_charge(150), "somebody else's");
    changes.list_changed(List::Tools);
    let none = Announced {
        count: 0,
        pending: true,
    };
    assert_eq!(events.announce(0, |_| true), none);
    budget.refund(150);
    let told = Announced {
        count: 1,
        pending: false,
    };
    assert_eq!(events.announce(0, |_| true), told);
}

/// A random course of everything, beside a model that keeps all: what is read is always the model's, but for what is
/// counted as gone.
#[test]
fn any_course_of_events_keeps_the_promises() {
    for seed in 0..200 {
        crate::mcp::check::events(&course(seed));
    }
}

fn course(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..400)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as u8
        })
        .collect()
}
