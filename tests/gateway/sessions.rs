//! Sessions of clients and sessions with upstreams.

use serde_json::json;

use super::{Front, Talker};
use crate::harness::Appliance;
use crate::harness::upstream::{HttpUpstream, Script, Speaks};

fn behind(upstream: &HttpUpstream) -> Appliance {
    Front::default()
        .http("up", upstream, "prefix: always")
        .start(&["up__who"])
}

#[test]
fn a_session_with_the_upstream_is_opened_by_the_first_call_and_ends_with_the_client_s() {
    let upstream = Script::legacy("up").http();
    let appliance = behind(&upstream);
    let ours = upstream.brain.session_count();
    let talkers: Vec<Talker> = (0..5).map(|_| Talker::legacy(&appliance)).collect();
    assert_eq!(
        upstream.brain.session_count(),
        ours,
        "nobody has called yet"
    );
    for talker in &talkers {
        for _ in 0..3 {
            assert_eq!(talker.text("up__who", json!({})), "up");
        }
    }
    assert_eq!(upstream.brain.session_count(), ours + 5, "each has its own");
    for talker in &talkers {
        talker.session().delete();
    }
    appliance.eventually("they end", || upstream.brain.session_count() == ours);
}

#[test]
fn a_session_that_expires_is_ended_at_the_upstream_too() {
    let upstream = Script::legacy("up").http();
    let front = Front::default().http("up", &upstream, "prefix: always");
    let appliance = front
        .configured("limits: {session_idle_deadline: 1s}\n")
        .start(&["up__who"]);
    let ours = upstream.brain.session_count();
    assert_eq!(Talker::legacy(&appliance).text("up__who", json!({})), "up");
    assert_eq!(upstream.brain.session_count(), ours + 1);
    appliance.eventually("it ends", || upstream.brain.session_count() == ours);
}

#[test]
fn the_process_of_a_session_ends_with_it() {
    let child = Script::legacy("up").child();
    let front = Front::default().stdio("up", &child, "prefix: always, sharing: per-session");
    let appliance = front.start(&["up__who"]);
    let before = child.living().len();
    let talkers: Vec<Talker> = (0..3).map(|_| Talker::legacy(&appliance)).collect();
    for talker in &talkers {
        assert_eq!(talker.text("up__who", json!({})), "up");
    }
    assert_eq!(child.living().len(), before + 3, "each has its own");
    talkers.iter().for_each(|talker| talker.session().delete());
    appliance.eventually("they end", || child.living().len() == before);
    drop(appliance);
}

#[test]
fn a_shared_process_is_one_for_all_and_ends_with_us() {
    let child = Script::legacy("up").child();
    let mut appliance = Front::default()
        .stdio("up", &child, "prefix: always")
        .start(&["up__who"]);
    for talker in (0..5).flat_map(|_| Talker::both(&appliance)) {
        assert_eq!(talker.text("up__who", json!({})), "up");
    }
    assert_eq!(child.pids().len(), 1);
    appliance.signal("TERM");
    assert_eq!(appliance.wait(), Some(0));
    assert_eq!(child.living(), [] as [u32; 0]);
    assert_eq!(child.notes("ended").len(), 1, "it was told to");
}

#[test]
fn no_process_outlives_us_even_when_we_are_killed() {
    let child = Script::legacy("up").child();
    let mut appliance = Front::default()
        .stdio("up", &child, "prefix: always")
        .start(&["up__who"]);
    assert_eq!(child.living().len(), 1);
    appliance.signal("KILL");
    appliance.wait();
    appliance.eventually("it ends", || child.living().is_empty());
}

#[test]
fn a_session_that_the_upstream_forgot_is_opened_again_once_and_the_call_is_repeated() {
    let upstream = Script::legacy("up").http();
    let appliance = behind(&upstream);
    for talker in Talker::both(&appliance) {
        assert_eq!(talker.text("up__who", json!({})), "up");
        let set = || upstream.messages("initialize").len();
        let before = set();
        upstream.brain.forget_sessions();
        let calls = upstream.messages("tools/call").len();
        assert_eq!(
            talker.text("up__repeat", json!({"text": "once"})),
            "once",
            "the client sees nothing of it"
        );
        let calls = upstream.messages("tools/call").len() - calls;
        // Refused with 404 and then made; or only made, where its stream had met the 404 before.
        assert!((1..=2).contains(&calls), "{calls}");
        // Our own session, which fetches the lists, may have been opened again in the meantime.
        assert!((1..=2).contains(&(set() - before)), "{}", set() - before);
    }
}

#[test]
fn an_upstream_that_forgets_every_session_at_once_is_given_up() {
    let upstream = Script::legacy("up").http();
    let appliance = behind(&upstream);
    let talker = Talker::legacy(&appliance);
    assert_eq!(talker.text("up__who", json!({})), "up");
    upstream
        .brain
        .forget_always
        .store(true, std::sync::atomic::Ordering::Relaxed);
    let before = upstream.messages("initialize").len();
    let answer = talker.call("up__who", json!({}));
    assert!(answer["error"].is_object(), "{answer}");
    let tries = upstream.messages("initialize").len() - before;
    assert!((1..10).contains(&tries), "{tries} handshakes for one call");
    upstream
        .brain
        .forget_always
        .store(false, std::sync::atomic::Ordering::Relaxed);
    appliance.eventually("it works again", || {
        talker.call("up__who", json!({}))["error"].is_null()
    });
}

#[test]
fn the_log_level_of_a_session_is_told_to_a_new_session_of_the_upstream() {
    let upstream = Script::legacy("up").http();
    let appliance = behind(&upstream);
    let talker = Talker::legacy(&appliance);
    talker.exchange("1", "logging/setLevel", json!({"level": "error"}));
    assert_eq!(talker.text("up__who", json!({})), "up");
    let told = || {
        upstream
            .messages("logging/setLevel")
            .iter()
            .filter(|set| set["params"]["level"] == "error")
            .count()
    };
    assert_eq!(told(), 1);
    upstream.brain.forget_sessions();
    assert_eq!(talker.text("up__who", json!({})), "up");
    assert_eq!(told(), 2);
}

#[test]
fn what_an_upstream_is_is_found_out_once() {
    for (speaks, probes) in [(Speaks::Legacy, 1), (Speaks::Modern, 1), (Speaks::Old, 1)] {
        let upstream = Script::new("up", speaks).http();
        let appliance = behind(&upstream);
        for _ in 0..3 {
            for talker in Talker::both(&appliance) {
                assert_eq!(talker.text("up__who", json!({})), "up");
            }
        }
        let asked = upstream.messages("server/discover").len();
        // One for each shard that had to know.
        assert!(
            (probes..=4).contains(&asked),
            "{speaks:?}: asked {asked} times"
        );
    }
}

#[test]
fn an_upstream_whose_era_is_configured_is_not_asked_for_it() {
    let upstream = Script::legacy("up").http();
    let front = Front::default().http("up", &upstream, "prefix: always, era: legacy");
    let appliance = front.start(&["up__who"]);
    assert_eq!(Talker::modern(&appliance).text("up__who", json!({})), "up");
    assert_eq!(upstream.messages("server/discover").len(), 0);
}

#[test]
fn an_upstream_that_changes_its_era_is_found_out_anew() {
    let upstream = Script::legacy("up").http();
    let front = Front::default().http(
        "up",
        &upstream,
        "prefix: always, health: {interval: 100ms, timeout: 1s, fall: 2, rise: 1}",
    );
    let appliance = front.start(&["up__who"]);
    assert_eq!(Talker::legacy(&appliance).text("up__who", json!({})), "up");
    let (_, port) = upstream.stop();
    let upstream = HttpUpstream::at(Script::modern("newer"), port);
    for talker in Talker::both(&appliance) {
        appliance.eventually("it answers as what it is now", || {
            let answer = talker.call("up__who", json!({}));
            answer["result"]["content"][0]["text"] == "newer"
        });
    }
    drop(upstream);
}
