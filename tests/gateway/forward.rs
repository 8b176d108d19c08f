//! `margay stdio --upstream`: one client on a pipe, and upstreams behind it.

use serde_json::{Value, json};

use crate::harness::process::Process;
use crate::harness::upstream::child::lives;
use crate::harness::upstream::{Child, HttpUpstream, Script};

struct Forward {
    http: HttpUpstream,
    child: Child,
    process: Process,
}

/// The command of a child as one word of a command line.
fn command(child: &Child) -> String {
    let [program, option, line] = child.command();
    let line = line.replace('\\', "\\\\").replace('"', "\\\"");
    format!("stdio:{program} {option} \"{line}\"")
}

fn forward(http: Script, child: Script) -> Forward {
    let (http, child) = (http.http(), child.child());
    let flags = [
        format!("http={}", http.url()),
        format!("piped={}", command(&child)),
    ];
    let mut process = Process::with(&["--upstream", &flags[0], "--upstream", &flags[1]]);
    for id in 0..2_000 {
        process.modern(id, "tools/list", json!({}));
        let answer = process.next();
        let has = |name: &str| answer.to_string().contains(&format!("\"{name}\""));
        if has("http__who") && has("piped__who") {
            return Forward {
                http,
                child,
                process,
            };
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("the upstreams are never offered");
}

impl Forward {
    fn call(&mut self, id: Value, tool: &str, arguments: Value) {
        self.process
            .send(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/call",
            "params": {"name": tool, "arguments": arguments}}));
    }
}

#[test]
fn both_eras_on_one_pipe_reach_upstreams_of_every_kind() {
    for (http, child) in [
        (Script::legacy("h"), Script::modern("c")),
        (Script::modern("h"), Script::legacy("c")),
        (Script::old("h"), Script::legacy("c")),
    ] {
        let mut forward = forward(http, child);
        forward.process.initialize("2025-11-25");
        for (tool, name) in [("http__who", "h"), ("piped__who", "c")] {
            forward.call(json!("a \"b\""), tool, json!({}));
            let answer = forward.process.next();
            assert_eq!(
                (&answer["id"], &answer["result"]["content"][0]["text"]),
                (&json!("a \"b\""), &json!(name)),
                "{answer}"
            );
            forward.process.modern(
                9_007_199_254_740_993,
                "tools/call",
                json!({"name": tool, "arguments": {}}),
            );
            let answer = forward.process.next();
            assert_eq!(answer["id"], 9_007_199_254_740_993_u64, "{answer}");
            assert_eq!(answer["result"]["content"][0]["text"], name, "{answer}");
            assert_eq!(answer["result"]["resultType"], "complete", "{answer}");
        }
        assert_eq!(forward.process.end(), [] as [Value; 0]);
    }
}

#[test]
fn a_client_on_the_pipe_is_asked_hears_progress_and_cancels() {
    let mut forward = forward(Script::legacy("h"), Script::legacy("c"));
    forward.process.initialize("2025-11-25");
    for upstream in ["http", "piped"] {
        forward.call(json!(1), &format!("{upstream}__ask"), json!({}));
        let question = forward.process.next();
        assert_eq!(question["method"], "elicitation/create", "{question}");
        let reply = json!({"action": "accept", "content": {"name": "me"}});
        forward
            .process
            .send(&json!({"jsonrpc": "2.0", "id": question["id"], "result": reply}));
        let answer = forward.process.next();
        assert_eq!(
            answer["result"]["content"][0]["text"],
            reply.to_string(),
            "{answer}"
        );

        forward.process.send(&json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {
            "name": format!("{upstream}__progress"), "arguments": {"count": 2}, "_meta": {"progressToken": "p"}}}));
        for count in 1..=2 {
            let told = forward.process.next();
            assert_eq!(
                (
                    &told["params"]["progressToken"],
                    &told["params"]["progress"]
                ),
                (&json!("p"), &json!(count))
            );
        }
        assert_eq!(forward.process.next()["id"], 2);

        forward.call(json!(3), &format!("{upstream}__hang"), json!({}));
        forward.process.send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 3}}));
        forward.call(json!(4), &format!("{upstream}__who"), json!({}));
        assert_eq!(
            forward.process.next()["id"],
            4,
            "what was cancelled has no answer"
        );
    }
    let cancelled =
        || forward.http.notes("cancelled").len() + forward.child.notes("cancelled").len();
    let start = std::time::Instant::now();
    while cancelled() < 2 {
        assert!(
            start.elapsed().as_secs() < 20,
            "the upstreams never hear of it"
        );
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn the_children_end_with_the_pipe_and_with_a_process_that_is_killed() {
    let forward_ = forward(Script::legacy("h"), Script::legacy("c"));
    let Forward {
        http,
        child,
        process,
    } = forward_;
    let pid = child.living()[0];
    process.end();
    assert!(!lives(pid), "it ended with the input");
    drop((http, child));

    let forward_ = forward(Script::legacy("h"), Script::legacy("c"));
    let pid = forward_.child.living()[0];
    // Dropping it kills it.
    drop(forward_.process);
    let start = std::time::Instant::now();
    while lives(pid) {
        assert!(start.elapsed().as_secs() < 20, "an orphan is left");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}
