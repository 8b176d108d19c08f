//! Does a second thread serve as much as the first? Lease and call, with upkeep, on one thread and on two of one process.
//!
//! The promise: two threads serve at least 1.8 times what one does, also a component whose allocator grows its memory in each
//! call. Rounds of one and of two threads take turns, so that a busy moment of the host meets both. Printed are the median of all
//! rounds and that of the calm ones; where no round was calm, the host has nothing to say about scaling.
//!
//! Environment: `MARGAY_SCALING_COMPONENTS` names further component files, separated by colons, whose tool `echo`
//! takes one text; `MARGAY_SCALING_ROUNDS` and `MARGAY_SCALING_ROUND_MS` say how much is measured.
#![allow(missing_docs)]
#![expect(clippy::print_stdout, reason = "its result is a table")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use margay::component::{
    CallContext, CallOutcome, Component, EngineChoice, EngineMode, InstancePool, Runtime,
    RuntimeOptions, Started,
};
use margay::limits::Limits;

/// Laid out as Rust lays its guests out: a stack of 1 MiB below the data, and a heap that every call has to grow.
const GROWING: &str = r#"(component
  (core module $module
    (memory (export "memory") 17)
    (global $stack (mut i32) (i32.const 1048576))
    (func (export "realloc") (param i32 i32 i32) (param $size i32) (result i32)
      (local $pages i32)
      (local.set $pages (i32.add (i32.shr_u (local.get $size) (i32.const 16)) (i32.const 1)))
      (i32.shl (memory.grow (local.get $pages)) (i32.const 16)))
    (func (export "echo") (param $text i32) (param $length i32) (result i32)
      (local $at i32)
      (local.set $at (i32.sub (global.get $stack) (i32.const 16)))
      (i32.store (local.get $at) (local.get $text))
      (i32.store offset=4 (local.get $at) (local.get $length))
      (local.get $at)))
  (core instance $instance (instantiate $module))
  (func $echo (param "text" string) (result string)
    (canon lift (core func $instance "echo") (memory (core memory $instance "memory")) (realloc (core func $instance "realloc"))))
  (export "echo" (func $echo)))"#;

/// What two threads that share nothing get of a calm host, as times one. Rounds with a host like that before and after them are
/// the calm ones: chosen by the host, never by the outcome.
const CALM: std::ops::RangeInclusive<f64> = 1.85..=2.15;

struct Plan {
    rounds: usize,
    round: Duration,
    files: Vec<PathBuf>,
}

impl Plan {
    fn new() -> Self {
        // `cargo bench` says --bench; `cargo test --benches` does not, and `--test` asks for the same by name.
        let is_test = std::env::args().any(|argument| argument == "--test")
            || !std::env::args().any(|argument| argument == "--bench");
        let number = |name: &str, usual: u64| {
            std::env::var(name).map_or(usual, |text| text.parse().expect("a number"))
        };
        let files = std::env::var_os("MARGAY_SCALING_COMPONENTS").unwrap_or_default();
        Self {
            rounds: if is_test {
                1
            } else {
                number("MARGAY_SCALING_ROUNDS", 7) as usize
            },
            round: Duration::from_millis(if is_test {
                20
            } else {
                number("MARGAY_SCALING_ROUND_MS", 500)
            }),
            files: std::env::split_paths(&files)
                .filter(|path| !path.as_os_str().is_empty())
                .collect(),
        }
    }
}

/// Calls until told to stop, with upkeep between calls as a shard does it. How many calls were made.
fn serve(pool: &mut InstancePool, component: &Arc<Component>, stop: &AtomicBool) -> u64 {
    let arguments = format!(r#"{{"text":"{}"}}"#, "x".repeat(100)).into_bytes();
    let mut out = Vec::new();
    let named = |tool: &margay::component::Tool| tool.name() == "echo";
    let tool_index = component.tools().iter().position(named).unwrap_or(0);
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        out.clear();
        let call = CallContext {
            ticket: count,
            deadline: Instant::now() + Duration::from_secs(10),
            behalf: None,
        };
        match pool.call(component, tool_index, Some(&arguments), call, &mut out) {
            Started::Done(report) => assert_eq!(report.outcome, CallOutcome::Ok),
            Started::Asked(..) => unreachable!("the echo asks nothing"),
            Started::Moved(_) => loop {
                if let Some(finished) = pool.mailbox().take() {
                    assert_eq!(finished.report.outcome, CallOutcome::Ok);
                    break;
                }
                std::thread::yield_now();
            },
        }
        pool.maintain(2);
        count += 1;
    }
    count
}

/// Calls a second on this many threads, each with its own pool.
fn round(
    runtime: &Arc<Runtime>,
    component: &Arc<Component>,
    threads: usize,
    time: Duration,
) -> f64 {
    let (stop, start) = (AtomicBool::new(false), Barrier::new(threads + 1));
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut pool = runtime.instance_pool(runtime.mailbox(|| {}));
                    pool.follow(std::slice::from_ref(component));
                    // Slots and pages are warm when the clock starts.
                    let warm = AtomicBool::new(false);
                    std::thread::scope(|inner| {
                        inner.spawn(|| {
                            std::thread::sleep(time / 10);
                            warm.store(true, Ordering::Relaxed);
                        });
                        serve(&mut pool, component, &warm)
                    });
                    start.wait();
                    serve(&mut pool, component, &stop)
                })
            })
            .collect();
        start.wait();
        let started = Instant::now();
        std::thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
        let spent = started.elapsed().as_secs_f64();
        let calls: u64 = running
            .into_iter()
            .map(|thread| thread.join().expect("the thread serves"))
            .sum();
        calls as f64 / spent
    })
}

/// What this host gives a second thread now, for work that shares nothing: other programs take their part of both cores.
fn host_ratio(time: Duration) -> f64 {
    let spins = |threads: usize| -> u64 {
        let end = Instant::now() + time;
        std::thread::scope(|scope| {
            let running: Vec<_> = (0..threads)
                .map(|_| {
                    scope.spawn(move || {
                        let mut count = 0_u64;
                        while Instant::now() < end {
                            count += 1;
                        }
                        count
                    })
                })
                .collect();
            running
                .into_iter()
                .map(|thread| thread.join().expect("the thread spins"))
                .sum()
        })
    };
    let one = spins(1);
    spins(2) as f64 / one as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let plan = Plan::new();
    println!(
        "{:<24} {:>9} {:>10} {:>11} {:>11} {:>8} {:>8} {:>8}",
        "component", "asked", "engine", "1 thread/s", "2 threads/s", "median", "calm", "rounds"
    );
    let guarded = EngineChoice::Always(EngineMode::Guarded);
    let unguarded = EngineChoice::Always(EngineMode::Unguarded);
    for (asked, engine) in [
        ("auto", EngineChoice::Auto),
        ("unguarded", unguarded),
        ("guarded", guarded),
    ] {
        let options = RuntimeOptions {
            worker_count: 1,
            shard_count: 2,
            engine,
            ..RuntimeOptions::default()
        };
        let runtime = Runtime::new(&Limits::default(), options).expect("this host runs components");
        let mut components = vec![
            runtime
                .load_demo()
                .expect("the embedded components load")
                .swap_remove(0),
            runtime
                .load("growing", GROWING.as_bytes())
                .expect("the text is a component"),
        ];
        components.extend(plan.files.iter().map(|path| {
            let loaded = runtime.load_file(path);
            loaded.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        }));
        for component in &components {
            measure(&plan, &runtime, component, asked);
        }
    }
    println!("Success");
}

fn measure(plan: &Plan, runtime: &Arc<Runtime>, component: &Arc<Component>, asked: &str) {
    let (mut ones, mut twos, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let mut calm_ratios = Vec::new();
    let mut before = host_ratio(plan.round / 4);
    for _ in 0..plan.rounds {
        ones.push(round(runtime, component, 1, plan.round));
        twos.push(round(runtime, component, 2, plan.round));
        let after = host_ratio(plan.round / 4);
        let ratio = twos[twos.len() - 1] / ones[ones.len() - 1];
        ratios.push(ratio);
        if CALM.contains(&before) && CALM.contains(&after) {
            calm_ratios.push(ratio);
        }
        before = after;
    }
    let calm_count = calm_ratios.len();
    let calm = match calm_count {
        0 => "-".to_owned(),
        _ => format!("{:.2}", median(calm_ratios)),
    };
    println!(
        "{:<24} {asked:>9} {:>10} {:>11.0} {:>11.0} {:>8.2} {calm:>8} {:>8}",
        component.name(),
        component.engine_mode().as_str(),
        median(ones),
        median(twos),
        median(ratios),
        format!("{calm_count}/{}", plan.rounds),
    );
}
