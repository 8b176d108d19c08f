//! What is left of tasks when their process has ended, in good order or not.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{able, get, make, modern, result, serve, until, update};
use crate::harness::{Appliance, Client, scratch};

#[test]
fn a_drain_lets_a_task_finish_and_what_it_cannot_finish_has_failed_afterwards() {
    let state = scratch("state");
    let mut appliance = serve(&state, "limits:\n  drain_deadline: 300ms\n");
    let mut client = appliance.connect();
    let spinning = make(&mut client, "spin");
    let quick = make(&mut client, "quick");
    until(&mut client, &quick, "completed");
    appliance.signal("TERM");
    assert_eq!(appliance.wait(), Some(0), "{}", appliance.stderr());
    let appliance = serve(&state, "");
    let mut client = appliance.connect();
    assert_eq!(
        get(&mut client, &quick)["result"]["content"][0]["text"],
        "done"
    );
    let failed = until(&mut client, &spinning, "failed");
    let message = failed["error"]["message"].as_str().unwrap();
    assert!(message.contains("the server restarted"), "{message}");
}

#[test]
fn a_process_goes_on_with_the_tasks_of_one_that_ran_beside_it() {
    let state = scratch("state");
    let old = serve(&state, "");
    let mut client = old.connect();
    let parked = make(&mut client, "ask_two");
    until(&mut client, &parked, "input_required");
    let new = serve(&state, "");
    let mut client = new.connect();
    let own = make(&mut client, "quick");
    let find = |client: &mut Client| {
        super::ask(client, &able(), "tasks/get", json!({"taskId": parked})).json()
    };
    assert_eq!(
        find(&mut client)["error"]["code"],
        -32602,
        "it is the other's"
    );
    old.signal("KILL");
    new.eventually("it is inherited", || {
        find(&mut client)["result"]["status"] == "input_required"
    });
    for key in ["first", "second"] {
        result(&update(&mut client, &parked, key));
    }
    until(&mut client, &parked, "completed");
    until(&mut client, &own, "completed");
}

/// What a client has been told of a task, at the least.
#[derive(Clone, Default)]
struct Known {
    tool: &'static str,
    status: String,
    /// Keys whose answers were acknowledged.
    answered: Vec<&'static str>,
}

/// Tasks by their ids.
type Told = Mutex<HashMap<String, Known>>;

/// A client of a server that may be gone at any moment.
struct Bold {
    address: SocketAddr,
}

impl Bold {
    /// The result of a modern request; none once the server is gone.
    fn ask(&self, method: &str, params: Value) -> Option<Value> {
        let request = modern(&able(), method, params);
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .ok()?;
        stream.write_all(request.as_bytes()).ok()?;
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let text = String::from_utf8_lossy(&bytes);
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| {
                    let (name, value) = line.split_once(':')?;
                    name.eq_ignore_ascii_case("content-length")
                        .then_some(value.trim())
                });
                if length.and_then(|length| length.parse().ok()) == Some(body.len()) {
                    let answer: Value = serde_json::from_str(body).ok()?;
                    assert!(answer["error"].is_null(), "{answer}");
                    return Some(answer["result"].clone());
                }
            }
            let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
            bytes.extend_from_slice(&buffer[..count]);
        }
    }

    fn until(&self, id: &str, status: &str) -> Option<()> {
        while self.ask("tasks/get", json!({"taskId": id}))?["status"] != status {}
        Some(())
    }

    /// Makes tasks and takes them as far as they go, until the server is gone; notes what it was told.
    fn drive(&self, told: &Told) -> Option<()> {
        let note = |id: &str, change: &dyn Fn(&mut Known)| {
            change(told.lock().unwrap().entry(id.to_owned()).or_default());
        };
        loop {
            for tool in ["quick", "ask_two", "spin"] {
                let made = self.ask("tools/call", json!({"name": tool, "arguments": {}}))?;
                let id = made["taskId"].as_str().unwrap();
                let becomes = |status: &str| {
                    note(id, &|known| {
                        known.tool = tool;
                        known.status = status.to_owned();
                    });
                };
                becomes("working");
                match tool {
                    "spin" => {
                        self.ask("tasks/cancel", json!({"taskId": id}))?;
                        becomes("cancelled");
                    }
                    "quick" => {
                        self.until(id, "completed")?;
                        becomes("completed");
                    }
                    _ => {
                        self.until(id, "input_required")?;
                        becomes("input_required");
                        for key in ["first", "second"] {
                            let answers = json!({key: {"action": "accept", "content": {}}});
                            let params = json!({"taskId": id, "inputResponses": answers});
                            self.ask("tasks/update", params)?;
                            note(id, &|known| known.answered.push(key));
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_kill_at_any_moment_loses_no_task_and_no_step_that_was_acknowledged() {
    let state = scratch("state");
    let told = Told::default();
    for round in 0..4_u64 {
        let appliance = serve(&state, "limits:\n  task_count_max: 100000\n");
        check_told(&appliance, &told);
        let address = appliance.address;
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| Bold { address }.drive(&told));
            }
            std::thread::sleep(Duration::from_millis(150 + 170 * round));
            appliance.signal("KILL");
        });
    }
    let appliance = serve(&state, "");
    check_told(&appliance, &told);
    let count = told.lock().unwrap().len();
    assert!(count >= 8, "only {count} tasks were made");
    let log = appliance.stderr();
    assert!(!log.contains("damaged"), "{log}");
}

fn check_told(appliance: &Appliance, told: &Told) {
    let mut client = appliance.connect();
    for (id, known) in told.lock().unwrap().iter_mut() {
        let end = Instant::now() + Duration::from_secs(20);
        let mut task = get(&mut client, id);
        while task["status"] == "working" && Instant::now() < end {
            task = get(&mut client, id);
        }
        let status = task["status"].as_str().unwrap().to_owned();
        let fits = match &*known.status {
            // It may have gone further than its client knew.
            "working" => status != "working",
            "input_required" if known.answered.len() == 2 => {
                status == "completed" || status == "failed"
            }
            "input_required" => {
                let open = task["inputRequests"].as_object();
                let asks_again = |key: &&str| open.is_some_and(|open| open.contains_key(*key));
                // The server may have taken an answer that nobody could be told of any more.
                !known.answered.iter().any(asks_again) && status != "cancelled"
            }
            told => status == told,
        };
        assert!(
            fits,
            "{} was {} with answers to {:?}, and is {task}",
            known.tool, known.status, known.answered
        );
        if status == "completed" {
            let text = if known.tool == "quick" {
                "done"
            } else {
                "answered"
            };
            assert_eq!(task["result"]["content"][0]["text"], text);
        }
        known.status = status;
    }
}
