//! Several places of one upstream.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Front, Talker, refused};
use crate::harness::upstream::{HttpUpstream, Mode, Script};

const KEYS: &str =
    "prefix: always, timeouts: {connect: 1s, head: 2s, call: 3s}, health: {enabled: false}";

/// Who answered, and how often.
fn spread(talkers: &[Talker], tool: &str, rounds: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..rounds {
        for talker in talkers {
            *counts.entry(talker.text(tool, json!({}))).or_default() += 1;
        }
    }
    counts
}

fn three(script: fn(&str) -> Script) -> [HttpUpstream; 3] {
    ["one", "two", "three"].map(|name| script(name).http())
}

#[test]
fn every_strategy_spreads_calls_that_stand_alone() {
    for strategy in ["P2C", "RoundRobin", "LeastConnections", "WeightedRandom"] {
        let places = three(Script::modern);
        let all: Vec<&HttpUpstream> = places.iter().collect();
        let front = Front::default().replicas("up", &all, &format!("{KEYS}, balance: {strategy}"));
        let appliance = front.with(&["--shards", "1"]).start(&["up__who"]);
        let counts = spread(&Talker::both(&appliance), "up__who", 60);
        // One at a time, the least used are alike, and the first of them may be called each time; and by latency the slowest
        // of three is called only when two of them are drawn.
        let places = match strategy {
            "LeastConnections" => 1,
            "P2C" => 2,
            _ => 3,
        };
        assert!(counts.len() >= places, "{strategy}: {counts:?}");
        if strategy == "RoundRobin" {
            assert!(
                counts.values().all(|count| (30..=50).contains(count)),
                "{counts:?}"
            );
        }
    }
}

#[test]
fn the_least_used_place_gets_the_call() {
    let places = three(Script::modern);
    let all: Vec<&HttpUpstream> = places.iter().collect();
    let front =
        Front::default().replicas("up", &all, &format!("{KEYS}, balance: LeastConnections"));
    let appliance = front.with(&["--shards", "1"]).start(&["up__who"]);
    let talker = Talker::modern(&appliance);
    let mut waiting: Vec<_> = (0..12)
        .map(|_| talker.send_call("1", "up__repeat", json!({"text": "x", "delay_ms": 300})))
        .collect();
    waiting.iter_mut().for_each(|call| drop(call.read_any()));
    let counts = places
        .each_ref()
        .map(|place| place.messages("tools/call").len());
    // One may have had a request of our own open.
    assert!(
        counts.iter().all(|count| (3..=5).contains(count)),
        "{counts:?}"
    );
}

#[test]
fn weights_are_shares() {
    let (small, large) = (
        Script::modern("small").http(),
        Script::modern("large").http(),
    );
    let replicas = format!(
        "replicas: [{{url: \"{}\", weight: 1}}, {{url: \"{}\", weight: 9}}]",
        small.url(),
        large.url()
    );
    let front =
        Front::default().upstream("up", &replicas, &format!("{KEYS}, balance: WeightedRandom"));
    let appliance = front.start(&["up__who"]);
    let counts = spread(&[Talker::modern(&appliance)], "up__who", 300);
    assert!((220..300).contains(&counts["large"]), "{counts:?}");
}

#[test]
fn a_session_stays_where_it_was_opened_under_every_strategy() {
    for strategy in [
        "P2C",
        "RoundRobin",
        "LeastConnections",
        "WeightedRandom",
        "ConsistentHash",
    ] {
        let places = three(Script::legacy);
        let all: Vec<&HttpUpstream> = places.iter().collect();
        let front = Front::default().replicas("up", &all, &format!("{KEYS}, balance: {strategy}"));
        let appliance = front.start(&["up__who"]);
        let talkers: Vec<Talker> = (0..24).map(|_| Talker::legacy(&appliance)).collect();
        let mut places = BTreeMap::<String, usize>::new();
        for talker in &talkers {
            let first = talker.text("up__who", json!({}));
            for _ in 0..4 {
                assert_eq!(talker.text("up__who", json!({})), first, "{strategy}");
            }
            *places.entry(first).or_default() += 1;
        }
        if !matches!(strategy, "LeastConnections" | "P2C") {
            assert!(places.len() > 1, "{strategy}: all at {places:?}");
        }
    }
}

#[test]
fn calls_go_on_when_a_place_dies_and_come_back_to_it() {
    for script in [Script::modern as fn(&str) -> Script, Script::legacy] {
        let [one, two, three] = three(script);
        let keys = format!(
            "{KEYS}, balance: RoundRobin, breaker: {{failure_threshold: 2, recovery_time: 300ms}}"
        );
        let appliance = Front::default()
            .replicas("up", &[&one, &two, &three], &keys)
            .start(&["up__who"]);
        let talkers: Vec<Talker> = (0..4).flat_map(|_| Talker::both(&appliance)).collect();
        spread(&talkers, "up__who", 3);
        let (script, port) = two.stop();
        // What can be repeated is: no call of a tool that changes nothing fails.
        let counts = spread(&talkers, "up__who", 10);
        assert!(!counts.contains_key("two"), "{counts:?}");
        let two = HttpUpstream::at(script, port);
        appliance.eventually("it is called again", || {
            let fresh: Vec<Talker> = (0..3).flat_map(|_| Talker::both(&appliance)).collect();
            spread(&fresh, "up__who", 1).contains_key("two")
        });
        drop((one, two, three));
    }
}

#[test]
fn a_call_that_may_have_been_made_is_not_made_twice() {
    let [one, two, three] = three(Script::modern);
    let keys = format!(
        "{KEYS}, breaker: {{failure_threshold: 10000}}, outlier: {{consecutive_failures: 10000}}"
    );
    let appliance = Front::default()
        .replicas("up", &[&one, &two, &three], &keys)
        .start(&["up__fault"]);
    let talker = Talker::modern(&appliance);
    for count in 1..=20 {
        refused(
            &talker.call("up__fault", json!({"kind": "reset", "at": 30})),
            "up",
        );
        let made: usize = [&one, &two, &three]
            .iter()
            .map(|place| place.messages("tools/call").len())
            .sum();
        assert_eq!(made, count);
    }
}

#[test]
fn checks_take_a_place_out_and_bring_it_back() {
    for path in ["", ", path: /healthz"] {
        let [one, two, three] = three(Script::modern);
        let keys = format!(
            "prefix: always, balance: RoundRobin, health: {{interval: 100ms, timeout: 300ms, fall: 2, rise: 2{path}}}, \
             breaker: {{failure_threshold: 10000}}, outlier: {{consecutive_failures: 10000}}"
        );
        let appliance = Front::default()
            .replicas("up", &[&one, &two, &three], &keys)
            .start(&["up__who"]);
        let talkers = [Talker::modern(&appliance)];
        one.set(Mode::Status(503));
        appliance.eventually("it is called no longer", || {
            let before = one.messages("tools/call").len();
            // Some are refused until it is known to be ill.
            for _ in 0..12 {
                talkers[0].call("up__who", json!({}));
            }
            one.messages("tools/call").len() == before
        });
        one.set(Mode::Good);
        appliance.eventually("it is called again", || {
            spread(&talkers, "up__who", 6).contains_key("one")
        });
    }
}
