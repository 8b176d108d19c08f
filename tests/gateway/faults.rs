//! Upstreams that answer badly, or not: the right error reaches the right caller in time, and nobody else notices.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Front, Talker, refused};
use crate::harness::Appliance;
use crate::harness::upstream::{Child, HttpUpstream, Mode, Script};

/// Short times, and no circuit that opens: each call is judged for itself.
const KEYS: &str = "prefix: always, fail: closed, timeouts: {connect: 1s, head: 1s, call: 2s, silence: 1s}, \
    breaker: {failure_threshold: 10000}, outlier: {consecutive_failures: 10000}, health: {enabled: false}";
/// A call with those times that takes longer hangs.
const GUARD: Duration = Duration::from_secs(10);

struct Bad {
    upstreams: Vec<HttpUpstream>,
    _good: HttpUpstream,
    appliance: Appliance,
}

/// Bad upstreams of every kind over HTTP, and a good one beside them.
fn bad() -> Bad {
    let upstreams = vec![
        Script::legacy("legacy-json").http(),
        Script::legacy("legacy-events").with_events().http(),
        Script::modern("modern-json").http(),
        Script::modern("modern-events").with_events().http(),
    ];
    let good = Script::legacy("good").http();
    let mut front = Front::default().http("good", &good, "prefix: always");
    let mut tools = vec!["good__who".to_owned()];
    for upstream in &upstreams {
        let name = &upstream.brain.script.name;
        front = front.http(name, upstream, KEYS);
        tools.push(format!("{name}__fault"));
    }
    let tools: Vec<&str> = tools.iter().map(String::as_str).collect();
    Bad {
        upstreams,
        _good: good,
        appliance: front.start(&tools),
    }
}

impl Bad {
    fn names(&self) -> impl Iterator<Item = &str> {
        self.upstreams
            .iter()
            .map(|upstream| upstream.brain.script.name.as_str())
    }
}

/// A call that goes wrong at this upstream: the answer, in time, and the next one is a good one.
fn fault(appliance: &Appliance, talker: &Talker, name: &str, kind: &str, at: usize) -> Value {
    let start = Instant::now();
    let answer = talker.call(&format!("{name}__fault"), json!({"kind": kind, "at": at}));
    let what = format!("{} client, {name}, {kind} at {at}", talker.era());
    assert!(
        start.elapsed() < GUARD,
        "{what}: took {:?}",
        start.elapsed()
    );
    let text = talker.text(&format!("{name}__repeat"), json!({"text": what}));
    assert_eq!(text, what, "the next answer is the right one");
    assert_eq!(
        Talker::modern(appliance).text("good__who", json!({})),
        "good",
        "{what}"
    );
    answer
}

#[test]
fn an_answer_that_is_none_is_an_error_of_its_caller_that_names_the_upstream() {
    let bad = bad();
    for talker in Talker::both(&bad.appliance) {
        for name in bad.names() {
            for kind in [
                "garbage",
                "noise",
                "wrong_id",
                "string_id",
                "no_result",
                "no_object",
                "no_answer",
                "accepted",
                "empty",
                "html",
                "redirect",
                "compressed",
            ] {
                let answer = fault(&bad.appliance, &talker, name, kind, 0);
                let reason = refused(&answer, name);
                assert!(
                    ["bad_answer", "deadline", "refused", "unreachable"].contains(&reason.as_str()),
                    "{name} {kind}: {answer}"
                );
            }
        }
    }
}

#[test]
fn a_bad_status_is_told_with_the_error() {
    let bad = bad();
    for talker in Talker::both(&bad.appliance) {
        for name in bad.names() {
            for status in [400, 401, 403, 418, 429, 500, 502, 503] {
                // Where an answer has begun as a stream there is no status left to say.
                if name.ends_with("events") {
                    continue;
                }
                let answer = fault(&bad.appliance, &talker, name, "status", status);
                refused(&answer, name);
                let message = answer["error"]["message"].as_str().unwrap();
                assert!(
                    message.contains(&status.to_string()),
                    "{name} {status}: {message}"
                );
            }
        }
    }
}

#[test]
fn an_answer_that_breaks_off_at_any_byte_is_an_error_and_a_whole_one_is_none() {
    let bad = bad();
    let talker = Talker::legacy(&bad.appliance);
    for name in bad.names() {
        // By its last byte at the latest, and at that it ends.
        let whole = (0..400).find(|at| {
            let kind = if at % 2 == 0 { "reset" } else { "close" };
            let arguments = json!({"kind": kind, "at": at});
            let answer = talker.call(&format!("{name}__fault"), arguments);
            match answer["result"]["content"][0]["text"].as_str() {
                Some(text) => assert_eq!(text, "good", "{name} at {at}"),
                None => drop(refused(&answer, name)),
            }
            // A reset may take with it what has not been read.
            kind == "close" && answer["result"].is_object()
        });
        let whole = whole.unwrap_or_else(|| panic!("{name}: never a whole answer"));
        assert!(whole > 90, "{name}: {whole} bytes are no answer");
        bad.appliance
            .eventually("the connection that ended is forgotten", || {
                talker.call(&format!("{name}__who"), json!({}))["result"].is_object()
            });
        assert_eq!(talker.text("good__who", json!({})), "good");
    }
}

#[test]
fn an_answer_that_stops_at_any_place_ends_with_the_deadline() {
    let bad = bad();
    let appliance = &bad.appliance;
    std::thread::scope(|scope| {
        for name in bad.names() {
            // The whole of the shortest answer has 111.
            for at in [0, 5, 20, 40, 60, 80, 100] {
                scope.spawn(move || {
                    for talker in Talker::both(appliance) {
                        let answer = fault(appliance, &talker, name, "stall", at);
                        assert_eq!(
                            refused(&answer, name),
                            "deadline",
                            "{name} at {at}: {answer}"
                        );
                    }
                });
            }
        }
    });
}

#[test]
fn an_answer_that_comes_twice_is_one_answer() {
    let bad = bad();
    for talker in Talker::both(&bad.appliance) {
        for name in bad.names() {
            for kind in ["twice", "twice_http"] {
                if kind == "twice_http" && name.ends_with("events") {
                    continue;
                }
                let answer = fault(&bad.appliance, &talker, name, kind, 0);
                assert_eq!(
                    answer["result"]["content"][0]["text"], "good",
                    "{name} {kind}: {answer}"
                );
            }
        }
    }
}

#[test]
fn events_without_an_end_end_with_the_deadline() {
    let bad = bad();
    for talker in Talker::both(&bad.appliance) {
        for (name, upstream) in bad.names().zip(&bad.upstreams) {
            let before = upstream.notes("endless is over").len();
            let answer = fault(&bad.appliance, &talker, name, "endless", 0);
            assert_eq!(refused(&answer, name), "deadline", "{name}: {answer}");
            bad.appliance.eventually("the upstream is let go", || {
                upstream.notes("endless is over").len() > before
            });
        }
    }
}

#[test]
fn a_stream_that_breaks_off_is_gone_on_with() {
    let bad = bad();
    for talker in Talker::both(&bad.appliance) {
        for name in ["legacy-json", "legacy-events"] {
            let answer = fault(&bad.appliance, &talker, name, "break", 0);
            assert_eq!(
                answer["result"]["content"][0]["text"], "good",
                "{name}: {answer}"
            );
        }
    }
}

fn resident_mb(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kilobytes: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes / 1_000.0
}

#[test]
fn a_message_without_an_end_costs_its_caller_an_error_and_us_a_bounded_buffer() {
    let bad = bad();
    let talker = Talker::legacy(&bad.appliance);
    let child = Script::legacy("line").child();
    let piped = Front::default()
        .stdio("line", &child, KEYS)
        .start(&["line__fault"]);
    let before = [resident_mb(bad.appliance.pid()), resident_mb(piped.pid())];
    for _ in 0..3 {
        for name in bad.names() {
            let answer = fault(&bad.appliance, &talker, name, "huge", 64 << 20);
            refused(&answer, name);
        }
        let answer =
            Talker::legacy(&piped).call("line__fault", json!({"kind": "huge", "at": 64 << 20}));
        refused(&answer, "line");
        piped.eventually("the pipe works", || {
            Talker::modern(&piped).call("line__who", json!({}))["result"].is_object()
        });
    }
    let after = [resident_mb(bad.appliance.pid()), resident_mb(piped.pid())];
    for (before, after) in before.iter().zip(after) {
        assert!(
            after < before + 48.0,
            "{before} MB before, {after} MB after messages of 64 MiB"
        );
    }
}

#[test]
fn an_upstream_that_refuses_everything_fails_calls_and_nothing_else() {
    let bad = bad();
    for mode in [Mode::Reset, Mode::Stall, Mode::Status(500), Mode::Noise] {
        bad.upstreams.iter().for_each(|upstream| upstream.set(mode));
        for talker in Talker::both(&bad.appliance) {
            for name in bad.names() {
                let start = Instant::now();
                let answer = talker.call(&format!("{name}__repeat"), json!({"text": "lost"}));
                refused(&answer, name);
                assert!(
                    start.elapsed() < GUARD,
                    "{mode:?} {name}: {:?}",
                    start.elapsed()
                );
                assert_eq!(
                    talker.text("good__who", json!({})),
                    "good",
                    "{mode:?} {name}"
                );
            }
        }
        bad.upstreams
            .iter()
            .for_each(|upstream| upstream.set(Mode::Good));
        for name in bad.names() {
            bad.appliance.eventually("it works again", || {
                Talker::legacy(&bad.appliance).call(&format!("{name}__who"), json!({}))["result"].is_object()
            });
        }
    }
}

/// What a bad child does to its callers.
fn on_a_pipe(child: &Child, appliance: &Appliance, kind: &str, at: usize) -> Value {
    let talker = Talker::legacy(appliance);
    let start = Instant::now();
    let answer = talker.call("up__fault", json!({"kind": kind, "at": at}));
    assert!(
        start.elapsed() < GUARD,
        "{kind} at {at}: took {:?}",
        start.elapsed()
    );
    appliance.eventually(
        &format!("it answers after {kind} at {at}: {:?}", child.living()),
        || {
            let answer = Talker::modern(appliance).call("up__repeat", json!({"text": "well"}));
            answer["result"]["content"][0]["text"] == "well"
        },
    );
    answer
}

#[test]
fn a_child_that_answers_badly_costs_its_caller_an_error() {
    for script in [Script::legacy("up"), Script::modern("up")] {
        let child = script.child();
        let appliance = Front::default()
            .stdio("up", &child, KEYS)
            .start(&["up__fault"]);
        for kind in [
            "garbage",
            "noise",
            "wrong_id",
            "string_id",
            "no_result",
            "no_object",
        ] {
            let answer = on_a_pipe(&child, &appliance, kind, 0);
            refused(&answer, "up");
        }
        let twice = on_a_pipe(&child, &appliance, "twice", 0);
        assert_eq!(twice["result"]["content"][0]["text"], "good");
        assert_eq!(
            child.pids().len(),
            1,
            "it need not be started again for that"
        );
    }
}

#[test]
fn a_child_that_dies_within_its_answer_costs_its_caller_an_error_and_is_started_again() {
    let child = Script::legacy("up").child();
    let appliance = Front::default()
        .stdio("up", &child, KEYS)
        .start(&["up__fault"]);
    for at in [0, 1, 40] {
        let answer = on_a_pipe(&child, &appliance, "reset", at);
        refused(&answer, "up");
    }
    assert_eq!(child.living().len(), 1);
    assert_eq!(child.pids().len(), 4);
}
