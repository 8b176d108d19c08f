//! The circuit of an upstream that fails: it opens, others go on, it closes again.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Front, Talker, refused};
use crate::harness::upstream::{Mode, Script};

const KEYS: &str = "prefix: always, timeouts: {connect: 1s, head: 1s, call: 1s}, \
    breaker: {failure_threshold: 3, recovery_time: 300ms, probes: 1}, outlier: {consecutive_failures: 10000}, health: {enabled: false}";

#[test]
fn a_circuit_opens_after_its_failures_and_closes_when_the_upstream_is_well() {
    for script in [Script::legacy("bad"), Script::modern("bad")] {
        let (bad, good) = (script.http(), Script::legacy("good").http());
        let front = Front::default()
            .http("bad", &bad, KEYS)
            .http("good", &good, KEYS);
        // One shard: a circuit is each shard's own.
        let appliance = front
            .with(&["--shards", "1"])
            .start(&["bad__repeat", "good__who"]);
        let talker = Talker::legacy(&appliance);
        assert_eq!(talker.text("bad__repeat", json!({"text": "well"})), "well");
        bad.set(Mode::Status(500));
        let mut reasons = Vec::new();
        appliance.eventually("the circuit opens", || {
            reasons.push(refused(&talker.call("bad__repeat", json!({})), "bad"));
            reasons.last().unwrap() == "unavailable"
        });
        assert!(reasons.len() > 2, "one failure is no reason: {reasons:?}");
        let came = bad.entries().len();
        let start = Instant::now();
        let answer = talker.call("bad__repeat", json!({}));
        if start.elapsed() < Duration::from_millis(100) && refused(&answer, "bad") == "unavailable"
        {
            assert!(answer["error"]["data"]["retryAfterMs"].is_u64(), "{answer}");
            assert!(
                bad.entries().len() <= came + 1,
                "an open circuit sends nothing"
            );
        }
        assert_eq!(talker.text("good__who", json!({})), "good");
        bad.set(Mode::Good);
        appliance.eventually("the circuit closes", || {
            talker.call("bad__repeat", json!({"text": "back"}))["result"].is_object()
        });
        for _ in 0..20 {
            assert_eq!(talker.text("bad__repeat", json!({"text": "well"})), "well");
        }
    }
}

#[test]
fn errors_that_the_upstream_means_open_no_circuit() {
    let upstream = Script::legacy("up").http();
    let appliance = Front::default()
        .http("up", &upstream, KEYS)
        .start(&["up__fail"]);
    let talker = Talker::legacy(&appliance);
    for _ in 0..20 {
        assert_eq!(
            talker.call("up__fail", json!({}))["result"]["isError"],
            true
        );
        assert_eq!(talker.call("up__error", json!({}))["error"]["code"], -1);
    }
    assert_eq!(talker.text("up__who", json!({})), "up");
}

#[test]
fn clients_that_go_away_open_no_circuit() {
    let upstream = Script::modern("up").http();
    let appliance = Front::default()
        .http("up", &upstream, KEYS)
        .start(&["up__hang"]);
    for _ in 0..10 {
        let call = Talker::modern(&appliance).send_call("1", "up__hang", json!({}));
        let before = upstream.notes("gone").len();
        let hangs = || upstream.messages("tools/call").len() > before;
        appliance.eventually("it hangs", hangs);
        drop(call);
        appliance.eventually("it is let go", || upstream.notes("gone").len() > before);
    }
    assert_eq!(Talker::modern(&appliance).text("up__who", json!({})), "up");
}

#[test]
fn the_fallback_is_called_while_a_circuit_is_open() {
    let (bad, spare) = (Script::legacy("bad").http(), Script::modern("spare").http());
    let front = Front::default()
        .http("bad", &bad, &format!("{KEYS}, fallback: spare"))
        .http("spare", &spare, "prefix: always");
    let appliance = front.start(&["bad__who", "spare__who"]);
    for talker in Talker::both(&appliance) {
        assert_eq!(talker.text("bad__who", json!({})), "bad");
    }
    bad.set(Mode::Reset);
    for talker in Talker::both(&appliance) {
        appliance.eventually("the fallback answers", || {
            talker.call("bad__who", json!({}))["result"]["content"][0]["text"] == "spare"
        });
        for _ in 0..10 {
            assert_eq!(
                talker.text("bad__who", json!({})),
                "spare",
                "{}",
                talker.era()
            );
        }
    }
    bad.set(Mode::Good);
    let talker = Talker::modern(&appliance);
    appliance.eventually("it is called itself again", || {
        talker.text("bad__who", json!({})) == "bad"
    });
}
