use proptest::prelude::*;

use super::super::samples::{self, NOW_MS, answers, asks, made, result};
use super::*;

type Number = u32;

fn bounds(limits: &Limits, now_ms: u64) -> Bounds<'_> {
    Bounds {
        limits,
        room: usize::MAX,
        now_ms,
    }
}

/// A life with the limits and a clock that moves with each event.
struct Told {
    life: Life<Number>,
    limits: Limits,
    now_ms: u64,
}

impl Told {
    /// A task that was made and stored; what followed from that.
    fn made() -> (Self, Vec<Action<Number>>) {
        let (life, actions) = Life::make(made(1), 0);
        assert_eq!(actions, [Action::Store(Arc::new(made(1)))]);
        let mut told = Self {
            life,
            limits: Limits::default(),
            now_ms: NOW_MS,
        };
        let actions = told.is(Event::Stored(true));
        (told, actions)
    }

    /// A task whose first run has ended so, and whose record of that was stored.
    fn after(ending: RunEnd) -> Self {
        let (mut told, _) = Self::made();
        told.is(Event::RunEnded { run: 1, ending });
        told.is(Event::Stored(true));
        told
    }

    fn is(&mut self, event: Event<Number>) -> Vec<Action<Number>> {
        self.now_ms += 1;
        self.life.handle(event, bounds(&self.limits, self.now_ms))
    }

    fn state(&self) -> &State {
        &self.life.record().state
    }
}

fn stored(actions: &[Action<Number>]) -> Option<&Arc<Record>> {
    actions.iter().find_map(|action| match action {
        Action::Store(record) => Some(record),
        _ => None,
    })
}

fn update(keys: &[&str], reply: Number) -> Event<Number> {
    Event::Update {
        answers: answers(keys),
        reply,
    }
}

#[test]
fn a_task_is_acknowledged_and_run_once_the_disk_has_it() {
    let (told, actions) = Told::made();
    let record = Arc::new(made(1));
    let State::Working(work) = told.state() else {
        panic!("{:?}", told.state());
    };
    assert_eq!(
        actions,
        [
            Action::Publish(Arc::clone(&record)),
            Action::Run {
                run: 1,
                work: Arc::clone(work)
            },
            Action::Reply(0, Word::Done(record)),
        ]
    );
}

#[test]
fn a_task_that_the_disk_does_not_take_is_refused_and_forgotten() {
    let (mut life, _) = Life::make(made(1), 5);
    let limits = Limits::default();
    let refused = Word::Refused(Refused::NotStored);
    assert_eq!(
        life.handle(Event::Stored(false), bounds(&limits, NOW_MS)),
        [Action::Reply(5, refused), Action::Forget]
    );
}

#[test]
fn a_result_is_seen_only_after_it_was_stored() {
    let (mut told, _) = Told::made();
    let actions = told.is(Event::RunEnded {
        run: 1,
        ending: result("done"),
    });
    let next = Arc::clone(stored(&actions).unwrap());
    assert_eq!(actions.len(), 1, "{actions:?}");
    assert!(matches!(told.state(), State::Working(_)));
    assert_eq!(
        told.is(Event::Stored(true)),
        [Action::Publish(Arc::clone(&next))]
    );
    assert!(matches!(
        next.state,
        State::Completed {
            is_error: false,
            ..
        }
    ));
    assert!(next.updated_ms > next.created_ms);
}

#[test]
fn what_the_disk_does_not_take_is_offered_again_and_not_seen_meanwhile() {
    let (mut told, _) = Told::made();
    let ending = result("done");
    told.is(Event::RunEnded { run: 1, ending });
    for attempts in 1..4 {
        assert_eq!(
            told.is(Event::Stored(false)),
            [Action::StoreLater { attempts }]
        );
        assert!(matches!(told.state(), State::Working(_)));
        let refused = Word::Refused(Refused::NotStored);
        assert_eq!(
            told.is(Event::Cancel { reply: 9 }),
            [Action::Reply(9, refused)]
        );
        assert!(stored(&told.is(Event::StoreDue)).is_some());
    }
    let actions = told.is(Event::Stored(true));
    assert!(matches!(&actions[..], [Action::Publish(record)] if record.is_terminal()));
}

#[test]
fn partial_answers_leave_the_other_questions_open_and_the_last_one_runs_the_call_again() {
    let mut told = Told::after(asks(&["first", "second"]));
    let actions = told.is(update(&["first", "unasked"], 1));
    let next = Arc::clone(stored(&actions).unwrap());
    let State::InputRequired { open, .. } = &next.state else {
        panic!("{next:?}");
    };
    assert_eq!(open.len(), 1);
    assert_eq!(&*open[0].key, "second");
    let actions = told.is(Event::Stored(true));
    assert_eq!(
        actions,
        [
            Action::Publish(Arc::clone(&next)),
            Action::Reply(1, Word::Done(next))
        ]
    );
    // Answered already: acknowledged, and nothing happens.
    let actions = told.is(update(&["first"], 2));
    assert!(matches!(&actions[..], [Action::Reply(2, Word::Done(_))]));
    told.is(update(&["second"], 3));
    let actions = told.is(Event::Stored(true));
    let [
        Action::Publish(_),
        Action::Run { run: 2, work },
        Action::Reply(3, Word::Done(_)),
    ] = &actions[..]
    else {
        panic!("{actions:?}");
    };
    let keys: Vec<&String> = work.recorded.answers.keys().collect();
    assert_eq!(keys, ["first", "second"]);
    assert_eq!(work.recorded.state.as_deref(), Some(&[0, 255, 7][..]));
}

#[test]
fn answers_that_the_disk_does_not_take_are_refused_and_the_questions_stay_open() {
    let mut told = Told::after(asks(&["only"]));
    told.is(update(&["only"], 1));
    let refused = Word::Refused(Refused::NotStored);
    assert_eq!(told.is(Event::Stored(false)), [Action::Reply(1, refused)]);
    assert!(matches!(told.state(), State::InputRequired { .. }));
    assert!(stored(&told.is(update(&["only"], 2))).is_some());
}

#[test]
fn a_cancelled_task_stops_at_once_and_its_runs_end_changes_nothing() {
    let (mut told, _) = Told::made();
    let actions = told.is(Event::Cancel { reply: 4 });
    assert_eq!(actions[0], Action::Stop { run: 1 });
    assert!(!told.life.wants(1));
    let run_ended = |ending| Event::RunEnded { run: 1, ending };
    assert!(told.is(run_ended(result("too late"))).is_empty());
    let actions = told.is(Event::Stored(true));
    let record = Arc::clone(told.life.record());
    assert_eq!(record.state, State::Cancelled);
    assert_eq!(
        actions,
        [
            Action::Publish(Arc::clone(&record)),
            Action::Reply(4, Word::Done(Arc::clone(&record)))
        ]
    );
    assert_eq!(
        told.is(Event::Cancel { reply: 5 }),
        [Action::Reply(5, Word::Ended(Arc::clone(&record)))]
    );
    let actions = told.is(update(&["any"], 6));
    assert_eq!(actions, [Action::Reply(6, Word::Done(record))]);
}

#[test]
fn a_parked_task_can_be_cancelled() {
    let mut told = Told::after(asks(&["only"]));
    assert!(stored(&told.is(Event::Cancel { reply: 1 })).is_some());
    told.is(Event::Stored(true));
    assert_eq!(*told.state(), State::Cancelled);
}

#[test]
fn what_happens_while_a_record_is_stored_waits_and_is_answered_in_its_order() {
    let mut told = Told::after(asks(&["a", "b"]));
    assert!(stored(&told.is(update(&["a"], 1))).is_some());
    assert!(told.is(update(&["b"], 2)).is_empty());
    assert!(told.is(Event::Cancel { reply: 3 }).is_empty());
    let actions = told.is(Event::Stored(true));
    assert!(matches!(
        &actions[..],
        [Action::Publish(_), Action::Reply(1, _), Action::Store(_)]
    ));
    let actions = told.is(Event::Stored(true));
    assert!(matches!(
        &actions[..],
        [
            Action::Publish(_),
            Action::Run { run: 2, .. },
            Action::Reply(2, _),
            Action::Stop { run: 2 },
            Action::Store(_)
        ]
    ));
    assert!(matches!(
        &told.is(Event::Stored(true))[..],
        [Action::Publish(_), Action::Reply(3, _)]
    ));
}

#[test]
fn requests_that_wait_for_one_record_are_bounded() {
    let mut told = Told::after(asks(&["a", "b"]));
    told.is(update(&["a"], 0));
    for reply in 0..WAITING_MAX as u32 {
        assert!(told.is(update(&["b"], reply)).is_empty());
    }
    let actions = told.is(update(&["b"], 99));
    assert!(matches!(
        actions[..],
        [Action::Reply(99, Word::Refused(Refused::Full { .. }))]
    ));
}

#[test]
fn an_expired_task_is_stopped_and_removed_whatever_it_does() {
    let (mut told, _) = Told::made();
    assert_eq!(
        told.is(Event::Expired),
        [Action::Stop { run: 1 }, Action::Remove]
    );
    let unknown = Word::Refused(Refused::Unknown);
    assert_eq!(
        told.is(Event::Cancel { reply: 1 }),
        [Action::Reply(1, unknown)]
    );

    let mut told = Told::after(asks(&["a"]));
    assert_eq!(told.is(Event::Expired), [Action::Remove]);

    // Not while its record is on the way to the disk: the removal would be overtaken.
    let (mut told, _) = Told::made();
    let ending = result("done");
    told.is(Event::RunEnded { run: 1, ending });
    assert!(told.is(Event::Expired).is_empty());
    assert!(matches!(
        &told.is(Event::Stored(true))[..],
        [Action::Publish(_), Action::Remove]
    ));

    let (mut told, _) = Told::made();
    let ending = result("done");
    told.is(Event::RunEnded { run: 1, ending });
    told.is(Event::Expired);
    assert_eq!(
        told.is(Event::Stored(false)),
        [Action::StoreLater { attempts: 1 }, Action::Remove]
    );
}

#[test]
fn after_a_restart_a_task_at_work_has_failed_and_the_others_are_as_they_were() {
    for record in samples::in_each_state() {
        let (life, actions) = Life::<Number>::resume(record.clone(), NOW_MS + 100);
        let seen = Arc::new(record.clone());
        assert_eq!(actions[0], Action::Publish(Arc::clone(&seen)));
        if !matches!(record.state, State::Working(_)) {
            assert_eq!(actions.len(), 1);
            assert_eq!(life.record(), &seen);
            continue;
        }
        let State::Failed { members } = &stored(&actions).unwrap().state else {
            panic!("{actions:?}");
        };
        assert!(String::from_utf8_lossy(members).contains("the server restarted"));
    }
}

#[test]
fn a_result_that_may_not_be_kept_is_a_failure_that_names_the_limit() {
    let limits = Limits {
        task_result_bytes_max: 300,
        ..Limits::default()
    };
    let failed = |ending, room| {
        let next = made(1).ended(ending, NOW_MS, room, &limits).unwrap();
        match next.state {
            State::Failed { members } => String::from_utf8(members.to_vec()).unwrap(),
            state => panic!("{state:?}"),
        }
    };
    let long = || result(&"x".repeat(300));
    assert!(failed(long(), usize::MAX).contains("limits.task_result_bytes_max"));
    assert!(failed(result("short"), 10).contains("limits.task_bytes_max"));
    let members = br#""code":1,"message":""#.iter().copied().chain([b'x'; 300]).chain(*b"\"");
    let error = RunEnd::Error {
        members: members.collect(),
    };
    assert!(failed(error, usize::MAX).contains("limits.task_result_bytes_max"));
}

#[test]
fn answers_that_may_not_be_kept_are_refused() {
    let mut told = Told::after(asks(&["a", "b"]));
    told.limits.body_bytes_max = 600;
    let mut long = answers(&["a"]);
    long.insert("a".to_owned(), vec![b' '; 1_000]);
    let event = Event::Update {
        answers: long,
        reply: 1,
    };
    let refused = Word::Refused(Refused::TooLarge);
    assert_eq!(told.is(event), [Action::Reply(1, refused)]);
}

#[test]
fn a_run_that_ends_with_no_question_or_with_broken_ones_has_failed() {
    for requests in ["{}", "[]", "{\"a\":1}", "{\"a\":{}} x", ""] {
        let ending = RunEnd::Asked(Box::new(crate::component::Asked {
            requests: requests.as_bytes().to_vec(),
            recorded: crate::component::Recorded::default(),
        }));
        let told = Told::after(ending);
        assert!(matches!(told.state(), State::Failed { .. }), "{requests}");
    }
}

#[test]
fn a_deadline_is_told_as_the_tools_failure() {
    let told = Told::after(RunEnd::Deadline);
    let State::Completed {
        members, is_error, ..
    } = told.state()
    else {
        panic!("{:?}", told.state());
    };
    assert!(*is_error && String::from_utf8_lossy(members).contains("limits.task_deadline"));
}

/// What may happen, by number.
fn event(kind: u8, run: u64, reply: Number) -> Event<Number> {
    match kind {
        0 | 1 => Event::Stored(true),
        2 => Event::Stored(false),
        3 => Event::StoreDue,
        4 => Event::RunEnded {
            run,
            ending: result("done"),
        },
        5 => Event::RunEnded {
            run,
            ending: asks(&["a", "b"]),
        },
        6 => update(&["a"], reply),
        7 => update(&["a", "b"], reply),
        8 => Event::Cancel { reply },
        _ => Event::Expired,
    }
}

proptest! {
    /// Whatever happens in whatever order: one record on its way at a time, nothing seen that was not stored, no change after the end,
    /// and each request answered once.
    #[test]
    fn every_order_of_events_keeps_the_invariants(
        kinds in proptest::collection::vec(0..20_u8, 1..80), runs in proptest::collection::vec(0..4_u64, 80),
    ) {
        let limits = Limits::default();
        let (mut life, mut actions) = Life::make(made(1), 0);
        let mut asked: Vec<Number> = vec![0];
        let (mut answered, mut running, mut begun) = (Vec::new(), None, 0);
        let (mut on_the_way, mut on_disk): (Option<Arc<Record>>, Option<Arc<Record>>) = (None, None);
        let mut seen: Option<Arc<Record>> = None;
        let mut gone = false;
        for (step, kind) in kinds.iter().enumerate() {
            for action in actions.drain(..) {
                prop_assert!(!gone || matches!(action, Action::Reply(..)), "{action:?} after the end");
                match action {
                    Action::Store(record) => {
                        prop_assert!(on_the_way.is_none(), "two records on their way");
                        on_the_way = Some(record);
                    }
                    Action::Publish(record) => {
                        prop_assert_eq!(Some(&record), on_disk.as_ref(), "seen before it was stored");
                        if let Some(before) = &seen {
                            prop_assert!(!before.is_terminal(), "changed after its end");
                            prop_assert!(before.updated_ms < record.updated_ms);
                        }
                        seen = Some(record);
                    }
                    Action::Run { run, .. } => {
                        prop_assert!(running.is_none(), "two runs are wanted");
                        running = Some(run);
                        begun = run;
                    }
                    Action::Stop { run } => prop_assert_eq!(running.take(), Some(run)),
                    Action::Reply(reply, _) => answered.push(reply),
                    Action::Remove | Action::Forget => gone = true,
                    Action::StoreLater { .. } => {}
                }
            }
            let reply = step as Number + 1;
            // Most steps let the disk answer, as most of them do.
            let kind = if *kind > 9 { 0 } else { *kind };
            let next = event(kind, runs[step], reply);
            match &next {
                // The disk answers what it was given, and nothing else.
                Event::Stored(_) if on_the_way.is_none() => continue,
                Event::Stored(true) => on_disk = on_the_way.take(),
                Event::Stored(false) => on_the_way = None,
                Event::RunEnded { run, .. } if *run > begun => continue,
                Event::RunEnded { run, .. } if running == Some(*run) => running = None,
                Event::Update { .. } | Event::Cancel { .. } => asked.push(reply),
                _ => {}
            }
            actions = life.handle(next, bounds(&limits, NOW_MS));
        }
        // Once the disk has what it was given, nobody waits any more.
        loop {
            for action in actions.drain(..) {
                match action {
                    Action::Reply(reply, _) => answered.push(reply),
                    Action::Store(record) => on_the_way = Some(record),
                    _ => {}
                }
            }
            if on_the_way.take().is_none() {
                break;
            }
            actions = life.handle(Event::Stored(true), bounds(&limits, NOW_MS));
        }
        answered.sort_unstable();
        prop_assert_eq!(answered, asked, "each request is answered once");
    }
}
