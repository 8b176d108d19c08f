use super::*;
use crate::limits::CLIENT_INFO_BYTES_MAX;
use crate::mcp::events::StreamId;
use crate::mcp::list::List;

const CAPS: ClientCapabilities = ClientCapabilities::SAMPLING;

fn new(seed: u64, now_ms: u64) -> NewSession<'static> {
    owned(seed, now_ms, Principal::ANONYMOUS)
}

fn owned(seed: u64, now_ms: u64, principal: Principal) -> NewSession<'static> {
    // Spread like random bytes: what they are does not matter, that they differ does.
    let high = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let low = (seed ^ 0x5851_f42d).wrapping_mul(0xd6e8_feb8_6659_fd93);
    NewSession {
        random: (u128::from(high) << 64 | u128::from(low)).to_be_bytes(),
        principal,
        revision: Revision::V2025_06_18,
        capabilities: CAPS,
        client_info: None,
        now_ms,
    }
}

const NOBODY: Principal = Principal::ANONYMOUS;

#[test]
fn an_id_reads_back_exactly_and_nothing_else_does() {
    let id = SessionId::new(*b"\x00\x01\xfe\xff0123456789ab");
    let text = id.text();
    assert_eq!(SessionId::parse(&text), Some(id));
    assert!(text.iter().all(|byte| (0x21..=0x7e).contains(byte)));
    let upper = text.to_ascii_uppercase();
    for other in [
        &upper[..],
        &text[..31],
        b"",
        b"0000000000000000000000000000000g",
    ] {
        assert_eq!(SessionId::parse(other), None);
    }
    assert!(!format!("{id:?}").contains(std::str::from_utf8(&text[8..]).unwrap()));
}

#[test]
fn a_session_belongs_to_its_principal_alone() {
    let sessions = Sessions::new(10, 1000);
    let (alice, mallory) = (Principal(1), Principal(2));
    let id = sessions.create(owned(1, 0, alice)).unwrap();
    assert_eq!(sessions.touch(id, mallory, 0), None);
    assert_eq!(sessions.get(id, NOBODY), None);
    assert_eq!(sessions.claim_stream(id, mallory, 7), StreamClaim::Unknown);
    assert_eq!(sessions.remove(id, mallory), None);
    sessions.mark_initialized(id, mallory);
    let facts = sessions.touch(id, alice, 0).unwrap();
    assert_eq!(facts.revision, Revision::V2025_06_18);
    assert_eq!(facts.capabilities, CAPS);
    assert!(!facts.initialized);
}

#[test]
fn an_ended_session_is_unknown_at_once() {
    let sessions = Sessions::new(10, 1000);
    let id = sessions.create(new(1, 0)).unwrap();
    assert_eq!(sessions.remove(id, NOBODY), Some(0));
    assert_eq!(sessions.remove(id, NOBODY), None);
    assert_eq!(sessions.touch(id, NOBODY, 0), None);
    assert_eq!(sessions.counts().live, 0);
    assert_eq!(sessions.counts().ended, 1);
}

#[test]
fn an_idle_session_expires_and_a_used_one_does_not() {
    let sessions = Sessions::new(10, 1000);
    let idle = sessions.create(new(1, 0)).unwrap();
    let used = sessions.create(new(2, 0)).unwrap();
    assert!(sessions.touch(used, NOBODY, 900).is_some());
    assert_eq!(sessions.sweep(1000, 100).expired, 0);
    assert_eq!(
        sessions.touch(idle, NOBODY, 1001),
        None,
        "expired before it was swept"
    );
    assert_eq!(
        sessions.sweep(1001, 100),
        Sweep {
            visited: 2,
            expired: 1
        }
    );
    assert!(sessions.touch(used, NOBODY, 1900).is_some());
    assert_eq!(sessions.sweep(3000, 100).expired, 1);
    assert_eq!(sessions.counts().live, 0);
    assert_eq!(
        sessions.sweep(3000, 100).visited,
        0,
        "nothing stays in the ring"
    );
}

#[test]
fn a_sweep_does_no_more_than_its_budget() {
    let sessions = Sessions::new(100, 10);
    for seed in 0..100 {
        sessions.create(new(seed, 0)).unwrap();
    }
    assert_eq!(
        sessions.sweep(100, 30),
        Sweep {
            visited: 30,
            expired: 30
        }
    );
    assert_eq!(sessions.counts().live, 70);
}

#[test]
fn at_the_cap_the_unused_session_gives_way_to_the_new_one() {
    let sessions = Sessions::new(3, 1_000_000);
    let ids: Vec<_> = (0..3)
        .map(|seed| sessions.create(new(seed, 0)).unwrap())
        .collect();
    sessions.touch(ids[0], NOBODY, 5).unwrap();
    sessions.touch(ids[2], NOBODY, 6).unwrap();
    sessions.create(new(9, 7)).unwrap();
    assert!(sessions.get(ids[1], NOBODY).is_none());
    assert!(sessions.get(ids[0], NOBODY).is_some());
    assert!(sessions.get(ids[2], NOBODY).is_some());
    assert_eq!(sessions.counts().live, 3);
    assert_eq!(sessions.counts().evicted, 1);
}

#[test]
fn a_flood_of_sessions_does_not_displace_the_one_that_works() {
    let sessions = Sessions::new(100, 1_000_000);
    let works = sessions.create(new(0, 0)).unwrap();
    for seed in 1..10_000 {
        sessions.create(new(seed, seed)).unwrap();
        if seed % 50 == 0 {
            assert!(
                sessions.touch(works, NOBODY, seed).is_some(),
                "displaced after {seed}"
            );
        }
    }
    assert_eq!(sessions.counts().live, 100);
}

/// A busy server makes and uses many sessions in one millisecond.
#[test]
fn within_one_millisecond_the_session_that_works_is_kept() {
    let sessions = Sessions::new(10, 1_000_000);
    let works = sessions.create(new(0, 7)).unwrap();
    for seed in 1..1_000 {
        let now_ms = 7 + seed / 50;
        let other = sessions.create(new(seed, now_ms)).unwrap();
        sessions.touch(other, NOBODY, now_ms).unwrap();
        assert!(
            sessions.touch(works, NOBODY, now_ms).is_some(),
            "displaced after {seed}"
        );
    }
}

#[test]
fn when_all_are_used_the_one_unused_for_longest_goes() {
    let sessions = Sessions::new(4, 1_000_000);
    let ids: Vec<_> = (0..4)
        .map(|seed| sessions.create(new(seed, 0)).unwrap())
        .collect();
    for (id, at) in ids.iter().zip([40, 10, 30, 20]) {
        sessions.touch(*id, NOBODY, at).unwrap();
    }
    // The first round clears the bits, in the ring's order; the second finds the first one unused.
    sessions.create(new(9, 50)).unwrap();
    assert_eq!(
        ids.iter()
            .filter(|id| sessions.get(**id, NOBODY).is_none())
            .count(),
        1
    );
}

#[test]
fn a_session_with_a_stream_neither_expires_nor_gives_way() {
    let sessions = Sessions::new(2, 1000);
    let streaming = sessions.create(new(1, 0)).unwrap();
    let other = sessions.create(new(2, 0)).unwrap();
    assert_eq!(
        sessions.claim_stream(streaming, NOBODY, 7),
        StreamClaim::Claimed
    );
    assert_eq!(
        sessions.claim_stream(streaming, NOBODY, 8),
        StreamClaim::Taken
    );
    sessions.create(new(3, 1)).unwrap();
    assert!(sessions.get(other, NOBODY).is_none());
    assert_eq!(sessions.sweep(10_000, 10).expired, 1);
    assert!(sessions.touch(streaming, NOBODY, 10_000).is_some());
    sessions.release_stream(streaming, NOBODY, 8, 10_000);
    assert_eq!(
        sessions.claim_stream(streaming, NOBODY, 8),
        StreamClaim::Taken,
        "only its owner releases it"
    );
    sessions.release_stream(streaming, NOBODY, 7, 10_000);
    assert_eq!(
        sessions.claim_stream(streaming, NOBODY, 8),
        StreamClaim::Claimed
    );
    assert_eq!(
        sessions.remove(streaming, NOBODY),
        Some(8),
        "whoever ends it can close its stream"
    );
}

#[test]
fn a_session_with_a_call_that_goes_on_neither_expires_nor_gives_way() {
    let sessions = Sessions::new(1, 100);
    let id = sessions.create(new(1, 0)).unwrap();
    sessions.call_left(id);
    sessions.set_log_level(id, NOBODY, LogLevel::Error);
    assert_eq!(sessions.sweep(10_000, 10).expired, 0);
    assert_eq!(sessions.create(new(2, 10_000)), Err(SessionsFull));
    assert_eq!(
        sessions.bereaved(),
        0,
        "nothing has ended while it was in use"
    );
    sessions.call_ended(id, 10_000);
    assert_eq!(
        sessions.sweep(10_050, 10).expired,
        0,
        "it was used until then"
    );
    assert_eq!(sessions.sweep(10_200, 10).expired, 1);
    assert_eq!(sessions.bereaved(), 0);
    sessions.call_left(id);
    assert_eq!(
        sessions.bereaved(),
        1,
        "a call of a session that is no more"
    );
    sessions.call_ended(id, 10_300);
    let id = sessions.create(new(3, 0)).unwrap();
    sessions.call_left(id);
    assert!(sessions.contains(id));
    assert_eq!(sessions.remove(id, NOBODY), Some(0));
    assert!(!sessions.contains(id));
    assert_eq!(sessions.bereaved(), 2);
}

#[test]
fn a_table_full_of_streams_refuses_and_stays_within_its_cap() {
    let sessions = Sessions::new(2, 1000);
    for seed in 0..2 {
        let id = sessions.create(new(seed, 0)).unwrap();
        assert_eq!(
            sessions.claim_stream(id, NOBODY, seed + 1),
            StreamClaim::Claimed
        );
    }
    assert_eq!(sessions.create(new(9, 0)), Err(SessionsFull));
    assert_eq!(sessions.counts().live, 2);
}

#[test]
fn the_same_random_bytes_never_hand_over_a_session() {
    let sessions = Sessions::new(10, 1000);
    let first = sessions.create(owned(1, 0, Principal(1))).unwrap();
    assert_eq!(
        sessions.create(owned(1, 0, Principal(2))),
        Err(SessionsFull)
    );
    assert!(sessions.get(first, Principal(1)).is_some());
    assert_eq!(sessions.counts().live, 1);
}

#[test]
fn sessions_made_and_ended_at_once_leave_nothing_behind() {
    let sessions = Sessions::new(1000, 1_000_000);
    for seed in 0..50_000 {
        let id = sessions.create(new(seed, 0)).unwrap();
        sessions.remove(id, NOBODY).unwrap();
    }
    assert_eq!(sessions.counts().live, 0);
    assert!(
        sessions.ring.len() <= STALE_SLACK + 1,
        "{} ids left",
        sessions.ring.len()
    );
}

#[test]
fn level_and_initialization_are_kept() {
    let sessions = Sessions::new(10, 1000);
    let id = sessions.create(new(1, 0)).unwrap();
    for level in LogLevel::ALL {
        sessions.set_log_level(id, NOBODY, level);
        assert_eq!(sessions.get(id, NOBODY).unwrap().log_level, Some(level));
    }
    sessions.mark_initialized(id, NOBODY);
    assert!(sessions.get(id, NOBODY).unwrap().initialized);
}

#[test]
fn what_a_client_says_of_itself_is_kept_if_it_is_short() {
    let sessions = Sessions::new(10, 1000);
    let with = |seed, info| NewSession {
        client_info: info,
        ..new(seed, 0)
    };
    let long = vec![b'x'; CLIENT_INFO_BYTES_MAX + 1];
    let short = sessions.create(with(1, Some(b"{\"name\":\"c\"}"))).unwrap();
    let long = sessions.create(with(2, Some(&long))).unwrap();
    let info = |id, principal| sessions.client_info(id, principal);
    assert_eq!(
        info(short, NOBODY).as_deref(),
        Some(b"{\"name\":\"c\"}".as_slice())
    );
    assert_eq!(info(short, Principal(1)), None);
    assert_eq!(info(long, NOBODY), None);
}

#[test]
fn an_sse_session_is_settled_once_and_by_its_principal() {
    let sessions = Sessions::new(10, 1000);
    let alice = Principal(1);
    let id = sessions.create_sse([1; 16], alice, 0).unwrap();
    let facts = sessions.get(id, alice).unwrap();
    assert_eq!(facts.transport, Transport::Sse);
    assert_eq!(facts.revision, Revision::V2024_11_05);
    assert!(!facts.settled);
    let info = Some(b"{}".as_slice());
    let settle = |principal, revision| sessions.settle(id, principal, revision, CAPS, info);
    assert_eq!(sessions.client_info(id, alice), None);
    assert!(!settle(NOBODY, Revision::V2024_11_05));
    assert!(settle(alice, Revision::V2025_03_26));
    assert!(!settle(alice, Revision::V2024_11_05));
    sessions.mark_initialized(id, alice);
    sessions.set_log_level(id, alice, LogLevel::Emergency);
    let facts = sessions.get(id, alice).unwrap();
    assert_eq!(
        (facts.revision, facts.capabilities, facts.log_level),
        (Revision::V2025_03_26, CAPS, Some(LogLevel::Emergency))
    );
    assert!(facts.settled && facts.initialized);
    assert_eq!(facts.transport, Transport::Sse);
    let other = sessions.create(new(2, 0)).unwrap();
    assert!(!sessions.settle(other, NOBODY, Revision::V2025_03_26, CAPS, None));
    assert_eq!(sessions.client_info(id, alice).as_deref(), info);
}

#[test]
fn what_a_session_keeps_is_its_own_and_made_on_first_use() {
    let sessions = Sessions::new(10, 1000);
    let alice = Principal(1);
    let id = sessions.create(owned(1, 0, alice)).unwrap();
    assert!(sessions.events_if_any(id, alice).is_none());
    assert!(sessions.events(id, NOBODY).is_none());
    let events = sessions.events(id, alice).unwrap();
    let again = sessions.events_if_any(id, alice).unwrap();
    assert!(Arc::ptr_eq(&events, &again));
}

/// Whatever ends a session, what it keeps is freed at once, also while somebody still holds it.
#[test]
fn the_end_of_a_session_gives_back_all_that_it_keeps() {
    let sessions = Sessions::new(2, 1000);
    let keep = |id| {
        let events = sessions.events(id, NOBODY).unwrap();
        events.subscribe("a:1").unwrap();
        events.append(StreamId::SESSION, b"{}", 0).unwrap();
        events
    };
    let ends: [fn(&Sessions, SessionId); 3] = [
        |sessions, id| assert!(sessions.remove(id, NOBODY).is_some()),
        |sessions, _| assert_eq!(sessions.sweep(5_000, 10).expired, 1),
        |sessions, _| {
            for seed in 100..102 {
                sessions.create(new(seed, 1)).unwrap();
            }
        },
    ];
    for (seed, end) in ends.into_iter().enumerate() {
        let id = sessions.create(new(seed as u64, 0)).unwrap();
        let events = keep(id);
        assert!(sessions.kept_bytes().used() > 0);
        assert_eq!(sessions.changes().watched_count(), 1);
        end(&sessions, id);
        assert!(sessions.get(id, NOBODY).is_none() && events.is_closed());
        assert_eq!(sessions.kept_bytes().used(), 0, "{seed}");
        assert_eq!(sessions.changes().watched_count(), 0, "{seed}");
        assert!(events.append(StreamId::SESSION, b"{}", 0).is_err());
        assert_eq!(events.open(7), None);
        events.subscribe("a:1").unwrap();
        assert_eq!(sessions.kept_bytes().used(), 0, "nothing is taken any more");
    }
}

#[test]
fn a_session_with_a_call_on_a_stream_is_in_use() {
    let sessions = Sessions::new(10, 1000);
    let id = sessions.create(new(1, 0)).unwrap();
    let events = sessions.events(id, NOBODY).unwrap();
    let stream = events.open(7).unwrap();
    assert_eq!(sessions.sweep(5_000, 10).expired, 0);
    assert!(sessions.touch(id, NOBODY, 5_000).is_some());
    assert!(events.detach(stream, 7));
    assert_eq!(sessions.sweep(5_000, 10).expired, 0, "used at 5000");
    assert_eq!(sessions.sweep(7_000, 10).expired, 1);
}

#[test]
fn a_sweep_frees_the_events_that_are_too_old() {
    let limits = Limits {
        session_event_deadline: std::time::Duration::from_millis(100),
        ..Limits::default()
    };
    let sessions = Sessions::of(&limits);
    let id = sessions.create(new(1, 0)).unwrap();
    let events = sessions.events(id, NOBODY).unwrap();
    events.append(StreamId::SESSION, b"{}", 50).unwrap();
    sessions.sweep(150, 10);
    assert!(sessions.kept_bytes().used() > 0);
    sessions.sweep(151, 10);
    assert_eq!(sessions.kept_bytes().used(), 0);
}

#[test]
fn a_list_that_changed_before_the_first_stream_is_news_to_the_session() {
    let sessions = Sessions::new(10, 1000);
    let early = sessions.create(new(1, 0)).unwrap();
    sessions.changes().list_changed(List::Tools);
    let late = sessions.create(new(2, 0)).unwrap();
    let told = |id| {
        sessions
            .events(id, NOBODY)
            .unwrap()
            .announce(0, |_| true)
            .count
    };
    assert_eq!((told(early), told(late)), (1, 0));
}

#[test]
fn an_idle_session_is_small() {
    assert!(
        size_of::<Session>() <= 80,
        "{} bytes, and there may be a hundred thousand",
        size_of::<Session>()
    );
}

#[test]
fn threads_that_do_everything_at_once_keep_cap_and_count() {
    const CAP: usize = 200;
    let sessions = Sessions::new(CAP, 50);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let sessions = &sessions;
            scope.spawn(move || {
                let principal = Principal(u128::from(thread));
                let mut mine = Vec::new();
                for step in 0..20_000_u64 {
                    let now_ms = step / 100;
                    match step % 7 {
                        0 | 1 => {
                            if let Ok(id) =
                                sessions.create(owned(thread << 32 | step, now_ms, principal))
                            {
                                mine.push(id);
                            }
                        }
                        2 if !mine.is_empty() => {
                            let id = mine.swap_remove(step as usize % mine.len());
                            sessions.remove(id, principal);
                            assert_eq!(sessions.get(id, principal), None);
                        }
                        3 => {
                            sessions.sweep(now_ms, 8);
                        }
                        _ if !mine.is_empty() => {
                            let id = mine[step as usize % mine.len()];
                            sessions.touch(id, principal, now_ms);
                            assert_eq!(sessions.get(id, Principal(99)), None);
                        }
                        _ => {}
                    }
                    assert!(sessions.counts().live <= CAP + 4);
                }
            });
        }
    });
    let counts = sessions.counts();
    assert_eq!(
        counts.created - counts.ended - counts.expired - counts.evicted,
        counts.live as u64
    );
    assert_eq!(sessions.map.len(), counts.live);
    let mut found = 0;
    while let Some(id) = sessions.ring.pop() {
        found += usize::from(sessions.map.pin().contains_key(&id));
    }
    assert_eq!(found, counts.live, "every live id stands in the ring once");
}
