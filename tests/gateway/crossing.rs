//! Many clients that all number their requests alike: nobody ever gets another's answer.

use serde_json::json;

use super::{Front, Talker};
use crate::harness::upstream::Script;
use crate::harness::{Appliance, Client};

const CLIENT_COUNT: usize = 1_000;
/// Clients that are connected at a time.
const BATCH: usize = 200;
const THREADS: usize = 4;
/// Requests of each client, numbered from 0.
const REQUEST_COUNT: u64 = 4;

/// One client: where it talks, its connection, and the text that nobody else has.
struct One<'a> {
    talker: Talker<'a>,
    connection: Client,
    number: usize,
}

impl One<'_> {
    fn canary(&self, id: u64) -> String {
        format!("canary of {} {} for {id}", self.talker.era(), self.number)
    }

    fn send(&mut self, id: u64) {
        // Answers of the upstream overtake each other.
        let delay_ms = (self.number as u64 * 7 + id * 3) % 11;
        let arguments = json!({"text": self.canary(id), "delay_ms": delay_ms});
        let params =
            json!({"name": "up__repeat", "arguments": arguments, "_meta": {"progressToken": 0}});
        self.connection
            .send(self.talker.bytes(&id.to_string(), "tools/call", params));
    }

    fn check(&mut self, id: u64) {
        let answer = self.connection.answer().json();
        assert_eq!(answer["id"], id, "{answer}");
        assert_eq!(
            answer["result"]["content"][0]["text"],
            self.canary(id),
            "an answer crossed"
        );
    }
}

fn clients(appliance: &Appliance, numbers: std::ops::Range<usize>) {
    let mut all: Vec<One> = numbers
        .map(|number| {
            let talker = if number % 2 == 0 {
                Talker::legacy(appliance)
            } else {
                Talker::modern(appliance)
            };
            let connection = appliance.connect();
            One {
                talker,
                connection,
                number,
            }
        })
        .collect();
    for id in 0..REQUEST_COUNT {
        all.iter_mut().for_each(|one| one.send(id));
        all.iter_mut().for_each(|one| one.check(id));
    }
    for one in &all {
        if let Some(session) = &one.talker.session {
            session.delete();
        }
    }
}

fn nothing_crosses(appliance: &Appliance) {
    for batch in 0..CLIENT_COUNT / BATCH {
        std::thread::scope(|scope| {
            let share = BATCH / THREADS;
            for thread in 0..THREADS {
                let first = batch * BATCH + thread * share;
                scope.spawn(move || clients(appliance, first..first + share));
            }
        });
    }
}

const KEYS: &str = "prefix: always, connection_pool: {max_idle: 8, max_active: 16}";

#[test]
fn nothing_crosses_on_the_connections_to_a_legacy_upstream() {
    let upstream = Script::legacy("up").http();
    let appliance = Front::default()
        .http("up", &upstream, KEYS)
        .start(&["up__repeat"]);
    let ours = upstream.brain.session_count();
    nothing_crosses(&appliance);
    let sent = upstream.messages("tools/call").len();
    assert_eq!(
        sent,
        CLIENT_COUNT * REQUEST_COUNT as usize,
        "each call was made once"
    );
    // Clients without sessions share one on each shard, which stays for a while.
    let shared = appliance.metric("margay_shards", "") as usize;
    appliance.eventually("the sessions end", || {
        upstream.brain.session_count() <= ours + shared
    });
}

#[test]
fn nothing_crosses_on_the_connections_to_a_modern_upstream() {
    let upstream = Script::modern("up").with_events().http();
    let appliance = Front::default()
        .http("up", &upstream, KEYS)
        .start(&["up__repeat"]);
    nothing_crosses(&appliance);
    let sent = upstream.messages("tools/call").len();
    assert_eq!(
        sent,
        CLIENT_COUNT * REQUEST_COUNT as usize,
        "each call was made once"
    );
}

#[test]
fn nothing_crosses_on_the_pipe_to_a_shared_legacy_child() {
    let child = Script::legacy("up").child();
    let appliance = Front::default()
        .stdio("up", &child, "prefix: always")
        .start(&["up__repeat"]);
    nothing_crosses(&appliance);
    assert_eq!(child.pids().len(), 1, "one process for all");
    assert_eq!(
        child.messages("tools/call").len(),
        CLIENT_COUNT * REQUEST_COUNT as usize
    );
}

#[test]
fn nothing_crosses_on_the_pipe_to_a_shared_modern_child() {
    let child = Script::modern("up").child();
    let appliance = Front::default()
        .stdio("up", &child, "prefix: always")
        .start(&["up__repeat"]);
    nothing_crosses(&appliance);
    assert_eq!(child.pids().len(), 1, "one process for all");
    assert_eq!(
        child.messages("tools/call").len(),
        CLIENT_COUNT * REQUEST_COUNT as usize
    );
}
