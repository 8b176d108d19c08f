//! What a host-aware component may see, say, ask and keep.

use super::hosted::{Module, words};
use super::*;
use crate::mcp::{ClientCapabilities, InlineId, LogLevel, RawId, Revision};
use crate::wire::json::Reader;

const PROGRESS: &str = "(param f64 i32 f64 i32 i32 i32)";
const LOG: &str = "(param i32 i32 i32 i32 i32 i32)";
const ASK: &str = "(param i32 i32 i32)";

/// How a call ended.
pub(super) struct Ended {
    pub(super) outcome: CallOutcome,
    pub(super) members: Vec<u8>,
    pub(super) asked: Option<Box<Asked>>,
    pub(super) report: CallReport,
}

impl Ended {
    pub(super) fn value(&self) -> Value {
        object(self.report.split(&self.members).0)
    }
}

impl Bench {
    pub(super) fn load_bytes(&self, bytes: &[u8]) -> Arc<Component> {
        self.runtime.load("test", bytes).unwrap()
    }

    /// Has a job done, and waits for its end; `meanwhile` is called as long as it is not there.
    pub(super) fn invoke_while(
        &mut self,
        component: &Arc<Component>,
        job: Job,
        caller: Arc<Caller>,
        mut meanwhile: impl FnMut(&Bench, Option<&CancelHandle>),
    ) -> Ended {
        let mut out = Vec::new();
        let call = CallContext {
            ticket: 9,
            deadline: Instant::now() + Duration::from_secs(20),
            behalf: None,
        };
        let started = self.pool.invoke(component, job, caller, call, &mut out);
        match started {
            Started::Done(report) => Ended {
                outcome: report.outcome,
                members: out,
                asked: None,
                report,
            },
            Started::Asked(asked, report) => Ended {
                outcome: report.outcome,
                members: out,
                asked: Some(asked),
                report,
            },
            Started::Moved(handle) => {
                let end = Instant::now() + Duration::from_secs(30);
                loop {
                    if let Some(finished) = self.pool.mailbox().take() {
                        assert_eq!(finished.ticket, 9);
                        return Ended {
                            outcome: finished.report.outcome,
                            members: finished.members,
                            asked: finished.asked,
                            report: finished.report,
                        };
                    }
                    assert!(Instant::now() < end, "no call finished");
                    meanwhile(self, Some(&handle));
                    std::thread::sleep(Duration::from_micros(200));
                }
            }
        }
    }

    pub(super) fn invoke(&mut self, component: &Arc<Component>, job: Job, caller: Caller) -> Ended {
        self.invoke_while(component, job, Arc::new(caller), |_, _| {})
    }
}

pub(super) fn run() -> Job {
    Job::CallTool {
        name: "run".into(),
        arguments: b"{}".to_vec(),
    }
}

pub(super) fn modern(asking: Asking) -> Caller {
    Caller {
        asking,
        ..Caller::silent("tools/call", Revision::MODERN)
    }
}

fn token(text: &str) -> InlineId {
    let mut reader = Reader::new(text.as_bytes(), 1);
    InlineId::new(&RawId::Text(reader.string().unwrap()))
}

/// What the call has said, each message parsed.
fn said(outbox: &Outbox) -> Vec<Value> {
    std::iter::from_fn(|| outbox.take())
        .map(|one| match one {
            Outgoing::Message(text) => {
                assert!(!text.contains(&b'\n'), "no message has a line break");
                serde_json::from_slice(&text).unwrap()
            }
            Outgoing::Release { retry_ms } => json!({ "release": retry_ms }),
        })
        .collect()
}

/// Says: progress 1 of 2, 1 again, not a number, 2; a log message at `info` and one at `debug`.
fn speaker() -> Vec<u8> {
    let mut module = Module::default()
        .import("context", "progress", PROGRESS)
        .import("context", "log", LOG);
    let (logger, data) = (module.put(b"guest"), module.put(b"{ \"a\":\n 1 }"));
    let progress = |value: &str| {
        format!(
            "(call $progress (f64.const {value}) (i32.const 1) (f64.const 2) (i32.const 0) (i32.const 0) (i32.const 0))"
        )
    };
    let log = |level: u32| {
        format!(
            "(call $log (i32.const {level}) (i32.const 1) (i32.const {logger}) (i32.const 5) (i32.const {data}) (i32.const 11))"
        )
    };
    let body = [
        progress("1"),
        progress("1"),
        progress("nan"),
        progress("2"),
        log(1),
        log(0),
    ]
    .concat();
    module
        .one_tool(&format!(
            "{body} (call $said (local.get $args) (local.get $args_len))"
        ))
        .build()
}

#[test]
fn progress_grows_and_messages_are_of_the_level_that_is_wanted() {
    let mut bench = Bench::new();
    let component = bench.load_bytes(&speaker());
    assert!(component.is_host_aware());
    let outbox = bench.pool.outbox(9);
    let caller = Caller {
        progress_token: Some(token("\"t\"")),
        log_level: Some(LogLevel::Info),
        outbox: Some(Arc::clone(&outbox)),
        ..modern(Asking::Never("not now"))
    };
    let ended = bench.invoke(&component, run(), caller);
    assert_eq!(ended.outcome, CallOutcome::Ok);
    assert_eq!(text(&ended.value()), "{}");
    assert_eq!(bench.pool.mailbox().take_signal(), Some(9));
    assert_eq!(
        bench.pool.mailbox().take_signal(),
        None,
        "one signal for all"
    );
    let log = json!({"jsonrpc": "2.0", "method": "notifications/message",
                     "params": {"level": "info", "logger": "guest", "data": {"a": 1}}});
    let said = said(&outbox);
    assert_eq!(said.len(), 3, "{said:?}");
    assert_eq!(said[0]["params"]["progress"].as_f64(), Some(1.0));
    assert_eq!(said[1]["params"]["progress"].as_f64(), Some(2.0));
    assert_eq!(said[1]["params"]["progressToken"], "t");
    assert_eq!(said[1]["params"]["total"].as_f64(), Some(2.0));
    assert_eq!(said[2], log);
}

#[test]
fn nobody_hears_what_nobody_wanted() {
    let mut bench = Bench::new();
    let component = bench.load_bytes(&speaker());
    let outbox = bench.pool.outbox(9);
    let caller = Caller {
        outbox: Some(Arc::clone(&outbox)),
        ..modern(Asking::Never("not now"))
    };
    assert_eq!(
        bench.invoke(&component, run(), caller).outcome,
        CallOutcome::Ok
    );
    assert_eq!(said(&outbox), [] as [Value; 0]);
    assert_eq!(bench.pool.mailbox().take_signal(), None);
}

#[test]
fn what_waits_to_be_sent_is_bounded_and_progress_goes_first() {
    let limits = Limits {
        outbox_count_max: 2,
        ..small_limits()
    };
    let mut bench = Bench::with(limits, EngineChoice::Auto);
    let component = bench.load_bytes(&speaker());
    let outbox = bench.pool.outbox(9);
    let caller = Caller {
        progress_token: Some(token("\"t\"")),
        log_level: Some(LogLevel::Debug),
        outbox: Some(Arc::clone(&outbox)),
        ..modern(Asking::Never("not now"))
    };
    bench.invoke(&component, run(), caller);
    let methods: Vec<_> = said(&outbox)
        .iter()
        .map(|one| one["method"].clone())
        .collect();
    assert_eq!(methods, ["notifications/progress", "notifications/message"]);
}

/// Asks for a name in a form, and says the content of the answer; "none" if it was not accepted.
fn asker() -> Vec<u8> {
    let mut module = Module::default().import("ask", "ask", ASK);
    let question = [
        module.string("name"),
        words(&[0]),
        module.string("Who?"),
        module.string(r#"{"type":"object"}"#),
        words(&[0, 0]),
    ]
    .concat();
    assert_eq!(question.len(), 36);
    let question = module.put(&question);
    let none = module.put(b"none");
    // The list of answers is returned at 16: its first element is a case, an action, and an optional text.
    let body = format!(
        "(local $answer i32)
         (call $ask (i32.const {question}) (i32.const 1) (i32.const 16))
         (local.set $answer (i32.load (i32.const 16)))
         (if (result i32) (i32.and (i32.eqz (i32.load8_u (local.get $answer))) (i32.load8_u offset=8 (local.get $answer)))
           (then (call $said (i32.load offset=12 (local.get $answer)) (i32.load offset=16 (local.get $answer))))
           (else (call $said (i32.const {none}) (i32.const 4))))"
    );
    module.one_tool(&body).build()
}

fn forms(asking: Asking) -> Caller {
    Caller {
        capabilities: ClientCapabilities::ELICITATION_FORM,
        ..modern(asking)
    }
}

#[test]
fn without_a_session_a_question_ends_the_call_and_its_answer_is_there_in_the_next_run() {
    let mut bench = Bench::new();
    let component = bench.load_bytes(&asker());
    let ended = bench.invoke(&component, run(), forms(Asking::Rerun(Recorded::default())));
    assert_eq!(ended.outcome, CallOutcome::InputRequired);
    assert!(ended.members.is_empty());
    let asked = ended.asked.unwrap();
    let requests: Value = serde_json::from_slice(&asked.requests).unwrap();
    assert_eq!(
        requests,
        json!({"name": {"method": "elicitation/create", "params":
            {"mode": "form", "message": "Who?", "requestedSchema": {"type": "object"}}}})
    );
    assert_eq!(asked.recorded.round, 1);
    let mut recorded = asked.recorded;
    let answer = br#"{"action":"accept","content":{"name":"Ann"}}"#;
    recorded.answers.insert("name".to_owned(), answer.to_vec());
    let ended = bench.invoke(&component, run(), forms(Asking::Rerun(recorded)));
    assert_eq!(ended.outcome, CallOutcome::Ok);
    assert_eq!(text(&ended.value()), r#"{"name":"Ann"}"#);
}

/// A legacy caller that can fill in forms, with its outbox.
fn legacy(bench: &Bench) -> (Arc<Caller>, Arc<Outbox>) {
    let outbox = bench.pool.outbox(9);
    let caller = Caller {
        capabilities: ClientCapabilities::ELICITATION_FORM,
        asking: Asking::Live,
        outbox: Some(Arc::clone(&outbox)),
        ..Caller::silent("tools/call", Revision::V2025_06_18)
    };
    (Arc::new(caller), outbox)
}

fn number(digits: &str) -> RawId<'_> {
    let mut reader = Reader::new(digits.as_bytes(), 1);
    RawId::integer(reader.number().unwrap()).unwrap()
}

#[test]
fn in_a_session_the_call_waits_for_its_answer() {
    let mut bench = Bench::new();
    let component = bench.load_bytes(&asker());
    let (caller, outbox) = legacy(&bench);
    let mut request = None;
    let ended = bench.invoke_while(&component, run(), caller, |bench, handle| {
        if request.is_some() || bench.pool.mailbox().take_signal().is_none() {
            return;
        }
        let said = said(&outbox);
        assert_eq!(said.len(), 1);
        assert_eq!(said[0]["method"], "elicitation/create");
        assert!(
            said[0]["params"].get("mode").is_none(),
            "there were no modes"
        );
        assert_eq!(handle.unwrap().extension(), None, "its time stands still");
        let id = said[0]["id"].to_string();
        let asks = bench.runtime.asks();
        let yes: &[u8] = br#"{"action":"accept","content":{"name":"Bo"}}"#;
        assert!(
            !asks.answer(None, &number("999"), Ok(yes)),
            "no such question"
        );
        assert!(asks.answer(None, &number(&id), Ok(yes)));
        assert!(
            !asks.answer(None, &number(&id), Ok(yes)),
            "only the first counts"
        );
        request = Some(id);
    });
    assert!(request.is_some());
    assert_eq!(text(&ended.value()), r#"{"name":"Bo"}"#);
    assert_eq!(bench.runtime.asks().open_count(), 0);
}

#[test]
fn a_question_that_nobody_answers_is_given_up_and_the_client_is_told() {
    let limits = Limits {
        ask_deadline: Duration::from_millis(80),
        ..small_limits()
    };
    let mut bench = Bench::with(limits, EngineChoice::Auto);
    let component = bench.load_bytes(&asker());
    let (caller, outbox) = legacy(&bench);
    let ended = bench.invoke_while(&component, run(), caller, |_, _| {});
    assert_eq!(text(&ended.value()), "none");
    let said = said(&outbox);
    assert_eq!(said.len(), 2, "{said:?}");
    assert_eq!(said[1]["method"], "notifications/cancelled");
    assert_eq!(said[1]["params"]["requestId"], said[0]["id"]);
}

#[test]
fn waiting_for_a_person_does_not_count_against_the_calls_deadline() {
    let limits = Limits {
        ask_deadline: Duration::from_millis(300),
        ..small_limits()
    };
    let mut bench = Bench::with(limits, EngineChoice::Auto);
    let component = bench.load_bytes(&asker());
    let (caller, _outbox) = legacy(&bench);
    let mut out = Vec::new();
    let call = CallContext {
        ticket: 9,
        deadline: Instant::now() + Duration::from_millis(100),
        behalf: None,
    };
    let started = bench.pool.invoke(&component, run(), caller, call, &mut out);
    assert!(matches!(started, Started::Moved(_)), "{started:?}");
    let finished = bench.finished();
    assert_eq!(finished.report.outcome, CallOutcome::Ok);
}

#[test]
fn a_call_that_waits_can_be_cancelled_and_leaves_no_question() {
    let mut bench = Bench::new();
    let component = bench.load_bytes(&asker());
    let (caller, _outbox) = legacy(&bench);
    let ended = bench.invoke_while(&component, run(), caller, |bench, handle| {
        if bench.runtime.asks().open_count() == 1 {
            handle.unwrap().cancel();
        }
    });
    assert_eq!(ended.outcome, CallOutcome::Cancelled);
    assert_eq!(bench.runtime.asks().open_count(), 0);
}

#[test]
fn while_a_call_waits_the_clock_may_park() {
    let mut bench = Bench::new();
    let component = bench.load_bytes(&asker());
    let (caller, outbox) = legacy(&bench);
    let traffic = Arc::clone(&bench.runtime.traffic);
    let mut parked = false;
    bench.invoke_while(&component, run(), caller, |bench, _| {
        if bench.runtime.asks().open_count() == 0 || parked {
            return;
        }
        let end = Instant::now() + Duration::from_secs(10);
        while !traffic.pulse().is_parked() {
            assert!(Instant::now() < end, "the clock does not park");
            std::thread::sleep(Duration::from_millis(1));
        }
        parked = true;
        let id = said(&outbox)[0]["id"].to_string();
        let no: &[u8] = br#"{"action":"decline"}"#;
        assert!(bench.runtime.asks().answer(None, &number(&id), Ok(no)));
    });
    assert!(parked);
}

#[test]
fn what_the_client_did_not_declare_is_not_asked() {
    let mut bench = Bench::new();
    let component = bench.load_bytes(&asker());
    let ended = bench.invoke(
        &component,
        run(),
        modern(Asking::Rerun(Recorded::default())),
    );
    assert_eq!(ended.outcome, CallOutcome::Error);
    let error = ended.value();
    assert_eq!(error["code"], -32021);
    assert_eq!(
        error["data"],
        json!({"requiredCapabilities": {"elicitation": {"form": {}}}})
    );
    let (caller, outbox) = legacy(&bench);
    let caller = Caller {
        capabilities: ClientCapabilities::SAMPLING,
        outbox: caller.outbox.clone(),
        asking: Asking::Live,
        ..Caller::silent("tools/call", Revision::V2025_11_25)
    };
    let ended = bench.invoke(&component, run(), caller);
    assert_eq!(ended.outcome, CallOutcome::ToolError);
    assert!(
        text(&ended.value()).contains("elicitation"),
        "{}",
        ended.value()
    );
    assert!(said(&outbox).is_empty());
}

#[test]
fn where_nobody_can_be_asked_a_question_fails() {
    let mut bench = Bench::new();
    let component = bench.load_bytes(&asker());
    let ended = bench.invoke(
        &component,
        run(),
        forms(Asking::Never("it takes no events")),
    );
    assert_eq!(
        (ended.outcome, text(&ended.value())),
        (CallOutcome::Ok, "none")
    );
}

#[test]
fn more_questions_than_may_be_open_fail_at_once() {
    let limits = Limits {
        ask_count_max: 0,
        ..small_limits()
    };
    let mut bench = Bench::with(limits, EngineChoice::Auto);
    let component = bench.load_bytes(&asker());
    let (caller, outbox) = legacy(&bench);
    let ended = bench.invoke_while(&component, run(), caller, |_, _| {});
    assert_eq!(text(&ended.value()), "none");
    assert!(said(&outbox).is_empty());
}

/// Says what an earlier run kept, or "none"; keeps "mark" and asks.
fn keeper() -> Vec<u8> {
    let mut module = Module::default()
        .import("ask", "ask", ASK)
        .import("state", "get", "(param i32)")
        .import("state", "set", "(param i32 i32)");
    let question = [module.string("go"), words(&[3, 0, 0, 0, 0, 0, 0])].concat();
    let question = module.put(&question);
    let (none, mark) = (module.put(b"none"), module.put(b"mark"));
    let body = format!(
        "(local $text i32) (local $length i32)
         (call $get (i32.const 32))
         (local.set $text (i32.const {none})) (local.set $length (i32.const 4))
         (if (i32.load8_u (i32.const 32)) (then
           (local.set $text (i32.load (i32.const 36))) (local.set $length (i32.load (i32.const 40)))))
         (call $set (i32.const {mark}) (i32.const 4))
         (call $ask (i32.const {question}) (i32.const 1) (i32.const 16))
         (call $said (local.get $text) (local.get $length))"
    );
    module.one_tool(&body).build()
}

#[test]
fn what_a_run_keeps_the_next_one_finds() {
    let mut bench = Bench::new();
    let component = bench.load_bytes(&keeper());
    let caller = |recorded| Caller {
        capabilities: ClientCapabilities::ROOTS,
        ..modern(Asking::Rerun(recorded))
    };
    let ended = bench.invoke(&component, run(), caller(Recorded::default()));
    let asked = ended.asked.unwrap();
    assert_eq!(asked.requests, br#"{"go":{"method":"roots/list"}}"#);
    assert_eq!(asked.recorded.state.as_deref(), Some(b"mark".as_slice()));
    let mut recorded = asked.recorded;
    recorded
        .answers
        .insert("go".to_owned(), br#"{"roots":[]}"#.to_vec());
    let ended = bench.invoke(&component, run(), caller(recorded));
    assert_eq!(text(&ended.value()), "mark");
}

#[test]
fn what_a_run_keeps_is_bounded() {
    let limits = Limits {
        state_bytes_max: 3,
        ..small_limits()
    };
    let mut bench = Bench::with(limits, EngineChoice::Auto);
    let component = bench.load_bytes(&keeper());
    let ended = bench.invoke(&component, run(), modern(Asking::Never("")));
    assert_eq!(ended.outcome, CallOutcome::Trap);
    assert!(text(&ended.value()).contains("limits.state_bytes_max"));
}

/// Says the protocol version or, if there is one, the trace's parent.
fn curious() -> Vec<u8> {
    Module::default()
        .import("context", "get-request", "(param i32)")
        .one_tool(
            "(call $get-request (i32.const 256))
             (if (result i32) (i32.load8_u (i32.const 300))
               (then (call $said (i32.load (i32.const 304)) (i32.load (i32.const 308))))
               (else (call $said (i32.load (i32.const 264)) (i32.load (i32.const 268)))))",
        )
        .build()
}

#[test]
fn a_component_sees_its_request() {
    let mut bench = Bench::new();
    let component = bench.load_bytes(&curious());
    let caller = Caller::silent("tools/call", Revision::V2025_06_18);
    assert_eq!(
        text(&bench.invoke(&component, run(), caller).value()),
        "2025-06-18"
    );
    let meta = br#"{"x":{"traceparent":"no"},"traceparent":"00-ab-cd-01","y":[1]}"#;
    let caller = Caller {
        meta: Some(meta.to_vec().into()),
        ..modern(Asking::Never(""))
    };
    assert_eq!(
        text(&bench.invoke(&component, run(), caller).value()),
        "00-ab-cd-01"
    );
}

/// Would rather be a task, and closes its stream; then it says its arguments.
fn patient() -> Vec<u8> {
    Module::default()
        .import("context", "become-task", "")
        .import("context", "release-stream", "(param i32)")
        .one_tool(
            "(call $release-stream (i32.const 500)) (call $become-task)
             (call $said (local.get $args) (local.get $args_len))",
        )
        .build()
}

#[test]
fn a_call_becomes_a_task_where_it_may_and_runs_as_one() {
    let mut bench = Bench::new();
    let component = bench.load_bytes(&patient());
    let caller = |may_become_task, is_task| Caller {
        may_become_task,
        is_task,
        ..modern(Asking::Rerun(Recorded {
            round: 2,
            ..Recorded::default()
        }))
    };
    let ended = bench.invoke(&component, run(), caller(true, false));
    assert_eq!(ended.outcome, CallOutcome::BecomeTask);
    let asked = ended.asked.unwrap();
    assert_eq!(
        (asked.requests.as_slice(), asked.recorded.round),
        (b"{}".as_slice(), 2)
    );
    for (may, is) in [(true, true), (false, false)] {
        assert_eq!(
            bench.invoke(&component, run(), caller(may, is)).outcome,
            CallOutcome::Ok
        );
    }
}

#[test]
fn a_stream_is_closed_where_clients_come_back_for_it() {
    let mut bench = Bench::new();
    let component = bench.load_bytes(&patient());
    for (revision, expected) in [
        (Revision::V2025_11_25, vec![json!({"release": 500})]),
        (Revision::V2025_06_18, vec![]),
        (Revision::MODERN, vec![]),
    ] {
        let outbox = bench.pool.outbox(9);
        let caller = Caller {
            outbox: Some(Arc::clone(&outbox)),
            ..Caller::silent("tools/call", revision)
        };
        bench.invoke(&component, run(), caller);
        assert_eq!(said(&outbox), expected);
    }
}

#[test]
fn signals_that_nobody_took_leave_room_for_the_next() {
    let limits = Limits {
        worker_queue_max: 1,
        ..small_limits()
    };
    let mut bench = Bench::with(limits, EngineChoice::Auto);
    let component = bench.load_bytes(&speaker());
    let mut outboxes = Vec::new();
    for ticket in 0..100 {
        let outbox = bench.pool.outbox(ticket);
        let caller = Caller {
            log_level: Some(LogLevel::Info),
            outbox: Some(Arc::clone(&outbox)),
            ..modern(Asking::Never(""))
        };
        bench.invoke(&component, run(), caller);
        outboxes.push(outbox);
    }
    let signals: Vec<u64> = std::iter::from_fn(|| bench.pool.mailbox().take_signal()).collect();
    assert_eq!(signals.last(), Some(&99));
    assert!(signals.len() < 50, "those of ended calls give way");
    assert!(
        outboxes.iter().all(|outbox| outbox.take().is_some()),
        "what was said is still there"
    );
}
