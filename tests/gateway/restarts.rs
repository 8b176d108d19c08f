//! Upstreams that are killed and started again under load: nothing hangs, and everything comes home.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Front, Talker};
use crate::harness::Appliance;
use crate::harness::upstream::{HttpUpstream, Script};

const THREADS: usize = 4;
/// The longest that a child stays away is 30 seconds.
const AWAY_MAX: Duration = Duration::from_secs(60);
/// A call of five seconds that takes so long hangs.
const GUARD: Duration = Duration::from_secs(20);

/// How often an upstream is killed: more where somebody has the time.
fn restarts() -> usize {
    let given = std::env::var("MARGAY_RESTARTS").ok();
    given.and_then(|count| count.parse().ok()).unwrap_or(10)
}

/// What a process holds.
#[derive(Debug)]
struct Held {
    files: usize,
    resident_mb: f64,
    children: usize,
}

fn held(appliance: &Appliance) -> Held {
    let pid = appliance.pid();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let resident = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kilobytes: f64 = resident.split_whitespace().nth(1).unwrap().parse().unwrap();
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let children = tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok())
        .map(|children| children.split_whitespace().count())
        .sum();
    Held {
        files: std::fs::read_dir(format!("/proc/{pid}/fd"))
            .unwrap()
            .count(),
        resident_mb: kilobytes / 1_000.0,
        children,
    }
}

/// Calls in both eras until told to stop; how many got a result, and how many an error.
fn under_load(appliance: &Appliance, kill: impl FnOnce()) -> (usize, usize) {
    let (stop, good, bad) = (
        AtomicBool::new(false),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (stop, good, bad) = (&stop, &good, &bad);
            scope.spawn(move || {
                let mut count = 0_usize;
                while !stop.load(Ordering::Relaxed) {
                    let talker = if thread % 2 == 0 {
                        Talker::legacy(appliance)
                    } else {
                        Talker::modern(appliance)
                    };
                    for _ in 0..10 {
                        count += 1;
                        let text = format!("canary {thread} {count}");
                        // Each has an answer within its time, whatever the upstream does.
                        let start = Instant::now();
                        let answer =
                            talker.call("up__repeat", json!({"text": text, "delay_ms": count % 3}));
                        assert!(start.elapsed() < GUARD, "{:?}: {answer}", start.elapsed());
                        match answer["result"]["content"][0]["text"].as_str() {
                            Some(said) => {
                                assert_eq!(said, text);
                                good.fetch_add(1, Ordering::Relaxed);
                            }
                            None => {
                                assert!(answer["error"].is_object(), "{answer}");
                                bad.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    }
                    if let Some(session) = &talker.session {
                        session.delete();
                    }
                }
            });
        }
        kill();
        stop.store(true, Ordering::Relaxed);
    });
    (good.into_inner(), bad.into_inner())
}

/// Waits until calls of both eras are answered, as long as a child that died often may be away.
fn works(appliance: &Appliance) {
    for talker in Talker::both(appliance) {
        let start = Instant::now();
        while talker.call("up__repeat", json!({"text": "well"}))["result"].is_null() {
            assert!(
                start.elapsed() < AWAY_MAX,
                "{}: never answered",
                talker.era()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        if let Some(session) = &talker.session {
            session.delete();
        }
    }
}

fn nothing_is_left(appliance: &Appliance, before: &Held) {
    appliance.eventually(
        &format!(
            "descriptors and children come home, from {before:?} to {:?}",
            held(appliance)
        ),
        || {
            let now = held(appliance);
            now.files <= before.files + 8 && now.children <= before.children
        },
    );
    appliance.eventually("sessions come home", || {
        appliance.metric("margay_sessions ", "") == 0.0
    });
    let after = held(appliance);
    assert!(
        after.resident_mb < before.resident_mb * 1.5 + 32.0,
        "{before:?} {after:?}"
    );
}

const KEYS: &str = "prefix: always, timeouts: {connect: 1s, head: 2s, call: 5s}, \
    breaker: {failure_threshold: 3, recovery_time: 50ms}, health: {interval: 100ms, timeout: 500ms, fall: 2, rise: 1}";

fn over_http(script: &Script) {
    let mut upstream = Some(script.clone().http());
    let port = upstream.as_ref().unwrap().address.port();
    let front = Front::default().http("up", upstream.as_ref().unwrap(), KEYS);
    let appliance = front.start(&["up__repeat"]);
    under_load(&appliance, || {
        std::thread::sleep(Duration::from_millis(300))
    });
    works(&appliance);
    let before = held(&appliance);
    let (good, bad) = under_load(&appliance, || {
        for _ in 0..restarts() {
            std::thread::sleep(Duration::from_millis(150));
            upstream.take().unwrap().stop();
            std::thread::sleep(Duration::from_millis(50));
            upstream = Some(HttpUpstream::at(script.clone(), port));
            works(&appliance);
        }
    });
    assert!(good > restarts() * 10, "{good} good, {bad} bad");
    works(&appliance);
    nothing_is_left(&appliance, &before);
    let sessions = || upstream.as_ref().unwrap().brain.session_count();
    appliance.eventually("the upstream's sessions end", || sessions() <= 2);
}

#[test]
fn a_legacy_upstream_is_killed_and_started_again_under_load() {
    over_http(&Script::legacy("up"));
}

#[test]
fn a_modern_upstream_is_killed_and_started_again_under_load() {
    over_http(&Script::modern("up"));
}

fn over_stdio(script: Script, sharing: &str) {
    let child = script.child();
    let keys = format!("{KEYS}, sharing: {sharing}");
    let appliance = Front::default()
        .stdio("up", &child, &keys)
        .start(&["up__repeat"]);
    under_load(&appliance, || {
        std::thread::sleep(Duration::from_millis(300))
    });
    works(&appliance);
    let (before, children) = (held(&appliance), child.living().len());
    let (good, bad) = under_load(&appliance, || {
        for _ in 0..restarts() {
            std::thread::sleep(Duration::from_millis(150));
            for pid in child.living() {
                kill(pid);
            }
            works(&appliance);
        }
    });
    assert!(good > 20, "{good} good, {bad} bad");
    works(&appliance);
    nothing_is_left(&appliance, &before);
    appliance.eventually("no child too many is left", || {
        child.living().len() <= children
    });
}

#[test]
fn a_shared_legacy_child_is_killed_and_started_again_under_load() {
    over_stdio(Script::legacy("up"), "shared");
}

#[test]
fn a_shared_modern_child_is_killed_and_started_again_under_load() {
    over_stdio(Script::modern("up"), "shared");
}

#[test]
fn the_children_of_sessions_are_killed_and_started_again_under_load() {
    over_stdio(Script::legacy("up"), "per-session");
}

#[test]
fn a_call_does_not_wait_for_a_child_beyond_its_time() {
    for (sharing, answering) in [("shared", 1), ("per-session", 2)] {
        let child = Script::legacy("up").with_answering(answering).child();
        let keys = format!(
            "prefix: always, fail: closed, sharing: {sharing}, timeouts: {{connect: 1s, head: 1s, call: 2s}}"
        );
        let appliance = Front::default()
            .stdio("up", &child, &keys)
            .start(&["up__repeat"]);
        let talker = Talker::legacy(&appliance);
        assert_eq!(talker.text("up__repeat", json!({"text": "well"})), "well");
        child.living().into_iter().for_each(kill);
        for talker in [
            talker,
            Talker::legacy(&appliance),
            Talker::modern(&appliance),
        ] {
            let start = Instant::now();
            let answer = talker.call("up__repeat", json!({"text": "lost"}));
            let what = format!(
                "{sharing}, {}: {:?}, {answer}",
                talker.era(),
                start.elapsed()
            );
            assert!(answer["error"].is_object(), "{what}");
            assert!(start.elapsed() < GUARD, "{what}");
        }
    }
}

/// Ends one of our children, by its id. It may have ended by itself in the meantime.
fn kill(pid: u32) {
    let mut command = std::process::Command::new("kill");
    command
        .args(["-KILL", &pid.to_string()])
        .stderr(std::process::Stdio::null());
    command.status().unwrap();
}
