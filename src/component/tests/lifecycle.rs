//! Loading, leasing, moving, cancelling, unloading.

use super::guests;
use super::hostile::sleeper;
use super::*;

/// Answers after a loop of this many rounds.
fn worker_of(rounds: u64) -> String {
    guests::text_tool(&format!(
        "(local $i i64) (local.set $i (i64.const {rounds}))
         (loop $l (local.set $i (i64.sub (local.get $i) (i64.const 1))) (br_if $l (i64.ne (local.get $i) (i64.const 0))))
         (i32.store (i32.const 0) (local.get $p)) (i32.store (i32.const 4) (local.get $n)) (i32.const 0)"
    ))
}

#[test]
fn a_call_that_outlives_its_slice_starts_again_on_a_worker_and_answers() {
    let mut bench = Bench::new();
    let component = bench.load(&worker_of(100_000_000));
    let mut out = Vec::new();
    let call = CallContext {
        ticket: 42,
        deadline: Instant::now() + Duration::from_secs(30),
        behalf: None,
    };
    let started = Instant::now();
    let moved = bench
        .pool
        .call(&component, 0, Some(br#"{"text":"slow"}"#), call, &mut out);
    assert!(matches!(moved, Started::Moved(_)), "{moved:?}");
    assert!(
        started.elapsed() < Duration::from_millis(500),
        "the shard was held for {:?}",
        started.elapsed()
    );
    let finished = bench.finished();
    assert_eq!(
        (finished.ticket, finished.report.outcome),
        (42, CallOutcome::Ok)
    );
    assert_eq!(text(&object(&finished.members)), "slow");
    assert_eq!(bench.pool.stats().calls_moved, 1);
}

#[test]
fn a_slow_tool_starts_on_a_worker_at_once_after_a_few_calls() {
    let mut bench = Bench::new();
    let component = bench.load(&worker_of(100_000_000));
    for _ in 0..3 {
        assert_eq!(bench.call(&component, r#"{"text":"x"}"#).0, CallOutcome::Ok);
    }
    let fresh = bench.pool.stats().calls_fresh;
    assert_eq!(bench.call(&component, r#"{"text":"x"}"#).0, CallOutcome::Ok);
    assert_eq!(
        bench.pool.stats().calls_fresh,
        fresh,
        "no instance was made on the shard"
    );
}

#[test]
fn a_cancelled_call_stops_and_is_still_reported() {
    for guest in [
        guests::text_tool("(loop $l (br $l)) (unreachable)"),
        sleeper(),
    ] {
        let mut bench = Bench::new();
        let component = bench.load(&guest);
        let mut out = Vec::new();
        let call = CallContext {
            ticket: 1,
            deadline: Instant::now() + Duration::from_secs(60),
            behalf: None,
        };
        let arguments = if guest.contains("\"text\"") {
            r#"{"text":"x"}"#
        } else {
            "{}"
        };
        let Started::Moved(handle) =
            bench
                .pool
                .call(&component, 0, Some(arguments.as_bytes()), call, &mut out)
        else {
            panic!("it ended: {}", String::from_utf8_lossy(&out));
        };
        let started = Instant::now();
        handle.cancel();
        assert_eq!(bench.finished().report.outcome, CallOutcome::Cancelled);
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "{:?}",
            started.elapsed()
        );
        assert_eq!(bench.runtime.stats().calls_away, 0);
    }
}

#[test]
fn the_worker_queue_is_bounded_and_says_so() {
    let limits = Limits {
        worker_queue_max: 1,
        ..small_limits()
    };
    let mut bench = Bench::with(limits, EngineChoice::Auto);
    for guest in [worker_of(u64::MAX), sleeper()] {
        let component = bench.load(&guest);
        let arguments: &[u8] = if guest.contains("\"text\"") {
            br#"{"text":"x"}"#
        } else {
            b"{}"
        };
        let mut handles = Vec::new();
        let mut refused = 0;
        for ticket in 0..6 {
            let mut out = Vec::new();
            let call = CallContext {
                ticket,
                deadline: Instant::now() + Duration::from_secs(60),
                behalf: None,
            };
            match bench
                .pool
                .call(&component, 0, Some(arguments), call, &mut out)
            {
                Started::Moved(handle) => handles.push(handle),
                Started::Done(report) => {
                    assert_eq!(report.outcome, CallOutcome::Overloaded);
                    assert!(text(&object(&out)).contains("limits.worker_queue_max"));
                    refused += 1;
                }
                Started::Asked(..) => panic!("it asked"),
            }
        }
        assert_eq!(
            (handles.len(), refused),
            (3, 3),
            "two workers and a queue of one"
        );
        handles.iter().for_each(CancelHandle::cancel);
        for _ in 0..3 {
            assert_eq!(bench.finished().report.outcome, CallOutcome::Cancelled);
        }
    }
}

#[test]
fn when_all_instances_are_taken_the_call_is_refused_and_the_next_served() {
    let limits = Limits {
        instance_count_max: 2,
        ..small_limits()
    };
    let mut bench = Bench::with(limits, EngineChoice::Auto);
    let slow = bench.load(&sleeper());
    let echo = bench.load(&guests::echo());
    let mut handles = Vec::new();
    for ticket in 0..2 {
        let call = CallContext {
            ticket,
            deadline: Instant::now() + Duration::from_secs(60),
            behalf: None,
        };
        match bench.pool.call(&slow, 0, None, call, &mut Vec::new()) {
            Started::Moved(handle) => handles.push(handle),
            ended => panic!("{ended:?}"),
        }
    }
    let (outcome, result) = bench.call(&echo, r#"{"text":"x"}"#);
    assert_eq!(outcome, CallOutcome::Overloaded, "{result}");
    assert!(text(&result).contains("limits.instance_count_max"));
    handles.iter().for_each(CancelHandle::cancel);
    bench.finished();
    bench.finished();
    assert_eq!(bench.call(&echo, r#"{"text":"x"}"#).0, CallOutcome::Ok);
}

#[test]
fn ready_instances_follow_the_demand_and_used_ones_are_disposed_of() {
    let limits = Limits {
        instance_count_max: 100,
        ..small_limits()
    };
    let mut bench = Bench::with(limits, EngineChoice::Auto);
    let component = bench.load(&guests::echo());
    bench.pool.follow(&[Arc::clone(&component)]);
    while bench.pool.maintain(8) {}
    assert_eq!(bench.pool.stats().ready, 1);
    for _ in 0..4 {
        bench.call(&component, r#"{"text":"x"}"#);
    }
    assert_eq!(bench.pool.stats().used, 4);
    while bench.pool.maintain(8) {}
    let stats = bench.pool.stats();
    assert!(stats.ready >= 4 && stats.used == 0, "{stats:?}");
    let fresh = stats.calls_fresh;
    bench.call(&component, r#"{"text":"x"}"#);
    assert_eq!(
        bench.pool.stats().calls_fresh,
        fresh,
        "the call found a ready instance"
    );
    bench.pool.follow(&[]);
    assert_eq!(bench.pool.stats().ready, 0);
}

#[test]
fn a_component_with_imports_is_made_ready_too() {
    let mut bench = Bench::new();
    let time = Arc::clone(&bench.runtime.load_demo().unwrap()[1]);
    bench.pool.follow(&[Arc::clone(&time)]);
    while bench.pool.maintain(8) {}
    assert_eq!(bench.pool.stats().ready, 1);
    assert_eq!(bench.call(&time, "{}").0, CallOutcome::Ok);
    assert_eq!(bench.pool.stats().calls_ready, 1);
}

#[test]
fn an_unloaded_component_finishes_its_calls() {
    let mut bench = Bench::new();
    let component = bench.load(&worker_of(50_000_000));
    let mut out = Vec::new();
    let call = CallContext {
        ticket: 3,
        deadline: Instant::now() + Duration::from_secs(30),
        behalf: None,
    };
    let started = bench
        .pool
        .call(&component, 0, Some(br#"{"text":"x"}"#), call, &mut out);
    bench.pool.follow(&[]);
    drop(component);
    if let Started::Moved(_) = started {
        assert_eq!(bench.finished().report.outcome, CallOutcome::Ok);
    }
}

#[test]
fn no_byte_of_one_call_is_seen_by_the_next() {
    // Looks for a non-zero byte where an earlier tenant of the slot may have written, then writes everywhere.
    let guest = guests::text_tool(
        "(local $at i32) (local.set $at (i32.const 4096))
         (loop $l
           (if (i32.load8_u (local.get $at)) (then (unreachable)))
           (i32.store8 (local.get $at) (i32.const 170))
           (local.set $at (i32.add (local.get $at) (i32.const 64)))
           (br_if $l (i32.lt_u (local.get $at) (i32.mul (memory.size) (i32.const 65536)))))
         (if (i32.lt_u (memory.size) (i32.const 6)) (then
           (drop (memory.grow (i32.const 5)))
           (loop $m
             (if (i32.load8_u (local.get $at)) (then (unreachable)))
             (i32.store8 (local.get $at) (i32.const 170))
             (local.set $at (i32.add (local.get $at) (i32.const 64)))
             (br_if $m (i32.lt_u (local.get $at) (i32.mul (memory.size) (i32.const 65536)))))))
         (i32.store (i32.const 0) (local.get $p)) (i32.store (i32.const 4) (local.get $n)) (i32.const 0)",
    );
    for engine in [
        EngineMode::Guarded,
        EngineMode::Unguarded,
        EngineMode::Compact,
    ] {
        let limits = Limits {
            instance_count_max: 4,
            ..small_limits()
        };
        let mut bench = Bench::with(limits, EngineChoice::Always(engine));
        let component = bench.load(&guest);
        for round in 0..2_000 {
            let (outcome, result) = bench.call(&component, r#"{"text":"canary"}"#);
            assert_eq!(
                outcome,
                CallOutcome::Ok,
                "{engine:?}, round {round}: {result}"
            );
            if round % 3 == 0 {
                bench.pool.maintain(8);
            }
        }
    }
}

#[test]
fn compiled_code_is_kept_and_a_forged_entry_is_not_executed() {
    let directory = tempfile::tempdir().unwrap();
    let options = RuntimeOptions {
        cache_dir: Some(directory.path().to_owned()),
        worker_count: 1,
        ..Default::default()
    };
    let load = || {
        let runtime = Runtime::new(&small_limits(), options.clone()).unwrap();
        runtime.load("echo", guests::echo().as_bytes()).unwrap();
        runtime.stats()
    };
    assert_eq!((load().cache_misses, load().cache_hits), (1, 1));
    let entry = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| {
            path.extension()
                .is_some_and(|extension| extension == "cwasm")
        })
        .unwrap();
    let mut bytes = std::fs::read(&entry).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&entry, &bytes).unwrap();
    let stats = load();
    assert_eq!(
        (stats.cache_rejected, stats.cache_misses, stats.cache_hits),
        (1, 1, 0)
    );
    assert_eq!(
        load().cache_hits,
        1,
        "the entry was replaced by an authentic one"
    );
    // Another name's entry is authentic, but not for this name.
    let key = directory.path().join("cache.key");
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(
        std::fs::metadata(&key).unwrap().permissions().mode() & 0o777,
        0o600
    );
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let problem = Runtime::new(&small_limits(), options.clone()).unwrap_err();
    assert!(
        problem.to_string().contains("other users could forge"),
        "{problem}"
    );
}

#[test]
fn what_is_not_a_component_is_refused_with_the_remedy() {
    let bench = Bench::new();
    let load = |bytes: &[u8]| bench.runtime.load("x", bytes).unwrap_err();
    assert_eq!(load(b"\0asm\x01\0\0\0"), LoadError::CoreModule);
    assert_eq!(load(b"(module)"), LoadError::CoreModule);
    assert!(
        load(b"(module)")
            .to_string()
            .contains("wasm-tools component new")
    );
    assert!(matches!(load(b"hello"), LoadError::NotWasm(_)));
    assert!(matches!(
        load(b"\0asm\x0d\0\x01\0\xff"),
        LoadError::Compile(_)
    ));
    assert!(matches!(load(b"(component)"), LoadError::NoTools(_)));
    let error = load(br#"(component (import "m" (core module)))"#);
    assert!(
        matches!(error, LoadError::Import(_)) && error.to_string().contains('m'),
        "{error}"
    );
    let problem = error.into_problem("weather.wasm");
    assert_eq!(problem.exit_code, crate::error::exit::DATA);
    let small = Bench::with(
        Limits {
            component_bytes_max: 10,
            ..small_limits()
        },
        EngineChoice::Auto,
    );
    assert!(matches!(
        small.runtime.load("x", &[0; 11]).unwrap_err(),
        LoadError::TooLarge {
            bytes: 11,
            limit: 10
        }
    ));
    assert!(matches!(
        bench
            .runtime
            .load_file(std::path::Path::new("/nonexistent/x.wasm"))
            .unwrap_err(),
        LoadError::Read(_)
    ));
}

#[test]
fn a_component_that_cannot_start_is_refused_at_load() {
    let bench = Bench::new();
    let error = bench.runtime.load(
        "x",
        guests::module_tool("(unreachable)", "(func $s (unreachable)) (start $s)").as_bytes(),
    );
    assert!(matches!(error, Err(LoadError::Instantiate(_))), "{error:?}");
}

#[test]
fn the_mailbox_wakes_its_shard() {
    let runtime = Runtime::new(
        &small_limits(),
        RuntimeOptions {
            worker_count: 1,
            ..Default::default()
        },
    )
    .unwrap();
    let wakes = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&wakes);
    let mailbox = runtime.mailbox(move || {
        seen.fetch_add(1, Ordering::SeqCst);
    });
    let mut bench = Bench {
        pool: runtime.instance_pool(mailbox),
        runtime,
    };
    let component = bench.load(&sleeper());
    bench.call_within(&component, "{}", Duration::from_millis(20));
    assert_eq!(wakes.load(Ordering::SeqCst), 1);
    let mut names = String::new();
    for outcome in [CallOutcome::Ok, CallOutcome::Deadline] {
        let _ = write!(names, "{} ", outcome.as_str());
    }
    assert_eq!(names, "ok deadline ");
}

#[test]
fn a_runtime_dropped_with_calls_away_stops_them() {
    let mut bench = Bench::new();
    let component = bench.load(&sleeper());
    let call = CallContext {
        ticket: 1,
        deadline: Instant::now() + Duration::from_secs(600),
        behalf: None,
    };
    let started = bench.pool.call(&component, 0, None, call, &mut Vec::new());
    assert!(matches!(started, Started::Moved(_)));
    let before = Instant::now();
    drop(bench);
    assert!(
        before.elapsed() < Duration::from_secs(4),
        "{:?}",
        before.elapsed()
    );
}

#[test]
fn a_component_gets_the_engine_that_suits_its_memory() {
    let directory = tempfile::tempdir().unwrap();
    let options = RuntimeOptions {
        cache_dir: Some(directory.path().to_owned()),
        worker_count: 1,
        ..RuntimeOptions::default()
    };
    let small = guests::echo();
    let large = small.replace(
        "(memory (export \"memory\") 1 ",
        "(memory (export \"memory\") 17 ",
    );
    // The second time both come from the cache, and end on the same engines.
    for _ in 0..2 {
        let runtime = Runtime::new(&small_limits(), options.clone()).unwrap();
        let mut bench = Bench {
            pool: runtime.instance_pool(runtime.mailbox(|| {})),
            runtime,
        };
        for (guest, mode) in [
            (&small, EngineMode::Compact),
            (&large, EngineMode::Unguarded),
        ] {
            let component = bench.load(guest);
            assert_eq!(component.engine_mode(), mode);
            assert_eq!(bench.call(&component, r#"{"text":"x"}"#).0, CallOutcome::Ok);
        }
    }
}

#[test]
fn an_instance_within_an_instance_gives_its_name_to_the_tool() {
    let mut bench = Bench::new();
    let component = bench.load(include_str!("../../../tests/components/nested.wat"));
    let names: Vec<_> = component.tools().iter().map(Tool::name).collect();
    assert_eq!(names, ["test_simple_text", "test_error_handling"]);
    let (outcome, answer) = bench.call(&component, "{}");
    assert_eq!(outcome, CallOutcome::Ok);
    assert_eq!(
        answer["content"][0]["text"],
        "This is a simple text response for testing."
    );
}

#[test]
fn an_import_that_is_not_offered_fails_the_call_that_uses_it_and_no_other() {
    const FETCHES: &str = r#"(component
      (import "wasi:http/outgoing@0.2.10" (instance $http
        (export "request" (type (sub resource)))
        (export "fetch" (func (result u32)))))
      (core module $module
        (import "http" "fetch" (func $fetch (result i32)))
        (func (export "idle") (result i32) (i32.const 7))
        (func (export "fetch") (result i32) (call $fetch)))
      (core func $fetch (canon lower (func $http "fetch")))
      (core instance $http_core (export "fetch" (func $fetch)))
      (core instance $core (instantiate $module (with "http" (instance $http_core))))
      (func (export "idle") (result u32) (canon lift (core func $core "idle")))
      (func (export "fetch") (result u32) (canon lift (core func $core "fetch"))))"#;
    let mut bench = Bench::new();
    let component = bench.load(FETCHES);
    assert_eq!(component.absent_imports(), ["wasi:http/outgoing@0.2.10"]);
    let (outcome, answer) = bench.call(&component, "{}");
    assert_eq!(outcome, CallOutcome::Ok, "{answer}");
    let mut out = Vec::new();
    let context = CallContext {
        ticket: 1,
        deadline: Instant::now() + Duration::from_secs(20),
        behalf: None,
    };
    let started = bench.pool.call(&component, 1, None, context, &mut out);
    let Started::Done(report) = started else {
        panic!("a call that traps at once ends here");
    };
    assert_eq!(report.outcome, CallOutcome::Trap);
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("wasi:http/outgoing@0.2.10#fetch"), "{text}");
}
