//! Instances that outlive a call, and what components announce.

use std::sync::Mutex;

use super::host::{modern, run};
use super::hosted::{Module, words};
use super::*;
use crate::mcp::{Revision, SessionId};

/// Says how often it was called, as one letter: "a" the first time.
fn counter() -> Module {
    Module::default()
        .field("(global $count (mut i32) (i32.const 96))")
        .one_tool(
            "(if (i32.eq (i32.load8_u (local.get $args)) (i32.const 91)) (then unreachable))
             (global.set $count (i32.add (global.get $count) (i32.const 1)))
             (i32.store8 (i32.const 512) (global.get $count))
             (call $said (i32.const 512) (i32.const 1))",
        )
}

fn load(bench: &Bench, instances: InstanceMode) -> Arc<Component> {
    let options = ComponentOptions {
        instances,
        ..ComponentOptions::default()
    };
    bench
        .runtime
        .load_with("counter", &counter().build(), options)
        .unwrap()
}

fn session(letter: char) -> SessionId {
    let text = letter.to_string().repeat(32);
    SessionId::parse(text.as_bytes()).expect("a session id is 32 hexadecimal digits")
}

fn legacy(session: Option<SessionId>) -> Caller {
    Caller {
        session,
        ..Caller::silent("tools/call", Revision::V2025_11_25)
    }
}

fn count(bench: &mut Bench, component: &Arc<Component>, caller: Caller) -> String {
    let ended = bench.invoke(component, run(), caller);
    assert_eq!(ended.outcome, CallOutcome::Ok, "{}", ended.value());
    text(&ended.value()).to_owned()
}

#[test]
fn a_fresh_instance_remembers_nothing() {
    let mut bench = Bench::new();
    let component = load(&bench, InstanceMode::Fresh);
    for _ in 0..2 {
        assert_eq!(
            count(&mut bench, &component, legacy(Some(session('a')))),
            "a"
        );
    }
}

#[test]
fn a_session_has_its_own_instance_until_it_ends() {
    let mut bench = Bench::new();
    let component = load(&bench, InstanceMode::PerSession);
    let mut of = |session| count(&mut bench, &component, legacy(session));
    let (first, second) = (Some(session('a')), Some(session('b')));
    assert_eq!(
        [of(first), of(first), of(second), of(first)],
        ["a", "b", "a", "c"]
    );
    // The one session of a process on stdio has no id.
    assert_eq!([of(None), of(None)], ["a", "b"]);
    assert_eq!(bench.runtime.live.count(), 3);
    bench.runtime.end_session(session('a'));
    assert_eq!(bench.runtime.live.count(), 2);
    assert_eq!(count(&mut bench, &component, legacy(first)), "a");
    // Those of no session are nobody's to end.
    let is_over = |session| Some(session) != first;
    bench.runtime.end_sessions(is_over);
    assert_eq!(bench.runtime.live.count(), 2);
    assert_eq!(count(&mut bench, &component, legacy(first)), "b");
    for _ in 0..2 {
        let caller = modern(Asking::Never(""));
        assert_eq!(
            count(&mut bench, &component, caller),
            "a",
            "no session, no memory"
        );
    }
}

#[test]
fn a_singleton_is_everybodys() {
    let mut bench = Bench::new();
    let component = load(&bench, InstanceMode::Singleton);
    let callers = [
        legacy(Some(session('a'))),
        legacy(None),
        modern(Asking::Never("")),
    ];
    let counts = callers.map(|caller| count(&mut bench, &component, caller));
    assert_eq!(counts, ["a", "b", "c"]);
    assert_eq!(bench.runtime.live.count(), 1);
    drop(component);
    bench.pool.follow(&[]);
    assert_eq!(bench.runtime.live.count(), 0, "it goes with its component");
}

#[test]
fn plain_components_live_on_too() {
    let mut bench = Bench::new();
    let text = guests::text_tool_with(
        "(global.set $count (i32.add (global.get $count) (i32.const 1)))
         (i32.store8 (i32.const 64) (global.get $count))
         (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 1)) (i32.const 0)",
        "(global $count (mut i32) (i32.const 96))",
    );
    let options = ComponentOptions {
        instances: InstanceMode::Singleton,
        ..ComponentOptions::default()
    };
    let component = bench
        .runtime
        .load_with("plain", text.as_bytes(), options)
        .unwrap();
    assert!(component.is_host_aware(), "its calls need to be told apart");
    assert_eq!(text_of(&bench.call(&component, r#"{"text":"x"}"#).1), "a");
    let job = Job::Function {
        tool_index: 0,
        arguments: br#"{"text":"x"}"#.to_vec(),
    };
    let ended = bench.invoke(&component, job, modern(Asking::Never("")));
    assert_eq!(text_of(&ended.value()), "b");
}

fn text_of(value: &Value) -> String {
    text(value).to_owned()
}

#[test]
fn an_instance_that_trapped_is_replaced_and_its_caller_is_told() {
    let mut bench = Bench::new();
    let component = load(&bench, InstanceMode::Singleton);
    assert_eq!(count(&mut bench, &component, legacy(None)), "a");
    let job = Job::CallTool {
        name: "run".into(),
        arguments: b"[]".to_vec(),
    };
    let ended = bench.invoke(&component, job, legacy(None));
    assert_eq!(ended.outcome, CallOutcome::Trap);
    assert!(
        text(&ended.value()).contains("is gone with what it remembered"),
        "{}",
        ended.value()
    );
    assert_eq!(count(&mut bench, &component, legacy(None)), "a");
}

#[test]
fn calls_of_one_instance_are_served_one_after_the_other() {
    let mut bench = Bench::new();
    let component = load(&bench, InstanceMode::Singleton);
    let (sender, ended) = std::sync::mpsc::sync_channel(8);
    for _ in 0..8 {
        let sender = sender.clone();
        let started = bench.runtime.run_detached(
            &component,
            run(),
            Arc::new(legacy(None)),
            Instant::now() + Duration::from_secs(20),
            Box::new(move |ending| sender.send(text_of(&object(&ending.members))).unwrap()),
        );
        started.unwrap();
    }
    let mut counts: Vec<String> = (0..8)
        .map(|_| ended.recv_timeout(Duration::from_secs(20)).unwrap())
        .collect();
    counts.sort();
    assert_eq!(counts, ["a", "b", "c", "d", "e", "f", "g", "h"]);
    assert_eq!(count(&mut bench, &component, legacy(None)), "i");
}

#[test]
fn how_many_live_is_bounded_and_the_unused_give_way() {
    let limits = Limits {
        live_instance_count_max: 1,
        live_instance_idle_deadline: Duration::from_millis(300),
        ..small_limits()
    };
    let mut bench = Bench::with(limits, EngineChoice::Auto);
    let component = load(&bench, InstanceMode::PerSession);
    assert_eq!(
        count(&mut bench, &component, legacy(Some(session('a')))),
        "a"
    );
    let ended = bench.invoke(&component, run(), legacy(Some(session('b'))));
    assert_eq!(ended.outcome, CallOutcome::Overloaded);
    assert!(text(&ended.value()).contains("limits.live_instance_count_max"));
    std::thread::sleep(Duration::from_millis(350));
    assert_eq!(
        count(&mut bench, &component, legacy(Some(session('b')))),
        "a"
    );
    let end = Instant::now() + Duration::from_secs(10);
    while bench.runtime.live.count() > 0 {
        assert!(Instant::now() < end, "an unused instance lives on");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_singleton_too_many_is_refused_at_load() {
    let limits = Limits {
        live_instance_count_max: 0,
        ..small_limits()
    };
    let bench = Bench::with(limits, EngineChoice::Auto);
    let options = ComponentOptions {
        instances: InstanceMode::Singleton,
        ..ComponentOptions::default()
    };
    let refused = bench
        .runtime
        .load_with("counter", &counter().build(), options)
        .unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("limits.live_instance_count_max"),
        "{refused}"
    );
}

#[test]
fn a_living_instance_does_not_end_for_a_question() {
    let mut bench = Bench::new();
    let mut module = Module::default()
        .import("ask", "ask", "(param i32 i32 i32)")
        .field("(global $count (mut i32) (i32.const 96))");
    let question = [module.string("go"), words(&[3, 0, 0, 0, 0, 0, 0])].concat();
    let question = module.put(&question);
    let component = module
        .one_tool(&format!(
            "(call $ask (i32.const {question}) (i32.const 1) (i32.const 16))
             (global.set $count (i32.add (global.get $count) (i32.const 1)))
             (i32.store8 (i32.const 512) (global.get $count))
             (call $said (i32.const 512) (i32.const 1))"
        ))
        .build();
    let options = ComponentOptions {
        instances: InstanceMode::Singleton,
        ..ComponentOptions::default()
    };
    let component = bench
        .runtime
        .load_with("asks", &component, options)
        .unwrap();
    for expected in ["a", "b"] {
        let caller = modern(Asking::Rerun(Recorded::default()));
        assert_eq!(count(&mut bench, &component, caller), expected);
    }
}

/// Announces everything, and more often than a call may that `a:b` has changed.
fn announcer() -> Vec<u8> {
    let mut module = Module::default()
        .import("changes", "tools-changed", "")
        .import("changes", "prompts-changed", "")
        .import("changes", "resources-changed", "")
        .import("changes", "resource-updated", "(param i32 i32)");
    let uri = module.put(b"a:b");
    module
        .one_tool(&format!(
            "(local $left i32)
             (call $tools-changed) (call $prompts-changed) (call $resources-changed)
             (local.set $left (i32.const 1000))
             (loop $more (call $resource-updated (i32.const {uri}) (i32.const 3))
               (local.set $left (i32.sub (local.get $left) (i32.const 1))) (br_if $more (local.get $left)))
             (call $said (local.get $args) (local.get $args_len))"
        ))
        .build()
}

#[test]
fn announcements_arrive_with_their_component_and_are_bounded() {
    let mut bench = Bench::new();
    let component = bench.load_bytes(&announcer());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hearing = Arc::clone(&heard);
    bench
        .runtime
        .set_announcer(move |id, one| hearing.lock().unwrap().push((id, one)));
    let ended = bench.invoke(&component, run(), modern(Asking::Never("")));
    assert_eq!(ended.outcome, CallOutcome::Ok);
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len(), crate::limits::ANNOUNCEMENTS_PER_CALL_MAX);
    assert!(heard.iter().all(|(id, _)| *id == component.id()));
    let first: Vec<_> = heard.iter().take(4).map(|(_, one)| one.clone()).collect();
    assert_eq!(
        first,
        [
            Announcement::Tools,
            Announcement::Prompts,
            Announcement::Resources,
            Announcement::Updated("a:b".to_owned()),
        ]
    );
}

/// Lists one tool more each time that it is called: none of them but `run` is ever called.
fn growing() -> Vec<u8> {
    let mut module = Module::default().field("(global $count (mut i32) (i32.const 1))");
    let schema = r#"{"type":"object"}"#;
    let tools = [
        module.tool("run", schema, None),
        module.tool("second", schema, None),
        module.tool("third", schema, None),
    ]
    .concat();
    let tools = module.put(&tools);
    let list = module.put(&words(&[0; 8]));
    module
        .export(
            "tools",
            "list-tools",
            &format!(
                "(result i32) (i32.store (i32.const {list}) (i32.const {tools}))
                 (i32.store (i32.const {}) (global.get $count)) (i32.const {list})",
                list + 4
            ),
        )
        .export(
            "tools",
            "call-tool",
            "(param i32 i32 i32 i32) (result i32)
             (global.set $count (i32.add (global.get $count) (i32.const 1)))
             (call $said (local.get 2) (local.get 3))",
        )
        .build()
}

#[test]
fn a_singletons_lists_are_asked_of_the_instance_that_serves() {
    let mut bench = Bench::new();
    for (instances, expected) in [(InstanceMode::Singleton, 2), (InstanceMode::Fresh, 1)] {
        let options = ComponentOptions {
            instances,
            ..ComponentOptions::default()
        };
        let component = bench
            .runtime
            .load_with("growing", &growing(), options)
            .unwrap();
        assert_eq!(component.definitions().tools.len(), 1);
        bench.invoke(&component, run(), modern(Asking::Never("")));
        bench.runtime.relist(&component).unwrap();
        assert_eq!(
            component.definitions().tools.len(),
            expected,
            "{instances:?}"
        );
    }
}
