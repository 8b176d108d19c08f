//! The scripted server over standard input and output: the binary of the tests, run again with one ignored test.
//!
//! The test runner writes on standard output, so the shell that starts the child gives it the way to its client as
//! standard error, and throws standard output away.

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::brain::{Brain, Outcome, Voice, acknowledged, tagged};
use super::faults::Fault;
use super::journal::{self, Journal};
use super::{Script, wire_rules};
use crate::harness::scratch;

/// Where a child finds its script. Its journal is beside it.
const VARIABLE: &str = "MARGAY_TEST_UPSTREAM";

/// Longer than any test waits.
const NEVER: Duration = Duration::from_secs(300);

/// A command that is the server, and its journal. Several of its children may run at a time.
pub struct Child {
    pub script: Script,
    folder: PathBuf,
}

impl Child {
    pub fn new(script: Script) -> Self {
        let folder = scratch("child");
        let text = serde_json::to_string(&script).unwrap();
        std::fs::write(folder.join("script"), text).unwrap();
        Self { script, folder }
    }

    /// Program and arguments.
    pub fn command(&self) -> [String; 3] {
        let tests = std::env::current_exe().unwrap();
        let line = format!(
            "{VARIABLE}='{}' exec '{}' --ignored --exact --nocapture --test-threads=1 harness::upstream::child::is_a_server 2>&1 >/dev/null",
            self.folder.display(),
            tests.display()
        );
        ["/bin/sh".to_owned(), "-c".to_owned(), line]
    }

    pub fn entries(&self) -> Vec<Value> {
        journal::read(&self.folder.join("journal"))
    }

    pub fn messages(&self, method: &str) -> Vec<Value> {
        journal::messages(&self.entries(), method)
    }

    pub fn notes(&self, note: &str) -> Vec<Value> {
        journal::notes(&self.entries(), note)
    }

    /// The children that were started, in order.
    pub fn pids(&self) -> Vec<u32> {
        let started = self.notes("started");
        started
            .iter()
            .map(|note| note["pid"].as_u64().unwrap() as u32)
            .collect()
    }

    /// Those of them that still run. A number may belong to another process by now: only what is ours counts.
    pub fn living(&self) -> Vec<u32> {
        let is_ours = |pid: &u32| self.is_ours(*pid) && lives(*pid);
        self.pids().into_iter().filter(is_ours).collect()
    }

    /// Whether a process was started with this script.
    fn is_ours(&self, pid: u32) -> bool {
        let wanted = format!("{VARIABLE}={}", self.folder.display());
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let mut variables = environment.split(|byte| *byte == 0);
        variables.any(|variable| variable == wanted.as_bytes())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let complaints = self.notes("complaint");
        assert!(
            std::thread::panicking() || complaints.is_empty(),
            "{}: {complaints:#?}",
            self.script.name
        );
    }
}

/// Whether a process is there and no zombie.
pub fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| {
        stat.rsplit_once(") ")
            .is_some_and(|(_, rest)| !rest.starts_with('Z'))
    })
}

#[test]
#[ignore = "the child that other tests start"]
fn is_a_server() {
    let Some(folder) = std::env::var_os(VARIABLE).map(PathBuf::from) else {
        return;
    };
    let script = std::fs::read_to_string(folder.join("script")).unwrap();
    let script: Script = serde_json::from_str(&script).unwrap();
    let journal = Journal::in_file(&folder.join("journal"));
    let earlier = journal::notes(&journal.entries(), "started").len();
    journal.note(json!({"note": "started", "pid": std::process::id()}));
    if earlier >= script.answering {
        std::thread::sleep(NEVER);
    }
    let brain = Arc::new(Brain::new(script, journal));
    let voice = Line(Arc::new(Mutex::new(())));
    if !brain.is_modern() {
        follow(&brain, voice.clone(), None);
    }
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        let Ok(message) = serde_json::from_str::<Value>(&line) else {
            brain.complain(format!("no JSON: {line}"));
            continue;
        };
        brain
            .journal
            .note(json!({"pid": std::process::id(), "message": message}));
        take(&brain, &voice, message);
    }
    brain
        .journal
        .note(json!({"note": "ended", "pid": std::process::id()}));
}

/// Passes on what is told to everybody; a modern client has asked for it.
fn follow(brain: &Brain, mut voice: Line, subscription: Option<Value>) {
    let told = brain.listen().1;
    std::thread::spawn(move || {
        for message in told {
            voice.say(&tagged(message, subscription.as_ref()));
        }
    });
}

fn take(brain: &Arc<Brain>, voice: &Line, message: Value) {
    if message["method"].is_null() {
        return brain.answered("", &message);
    }
    if message["id"].is_null() {
        return brain.notified("", &message);
    }
    if brain.is_modern() && message["method"] == "subscriptions/listen" {
        follow(brain, voice.clone(), Some(message["id"].clone()));
        return voice.clone().say(&acknowledged(&message));
    }
    let (brain, mut voice) = (Arc::clone(brain), voice.clone());
    std::thread::spawn(move || {
        if brain.is_modern() && wire_rules::modern_on_a_pipe(&message).is_some() {
            let error = json!({"code": -32022, "message": "only the modern era", "data": {"supported": ["2026-07-28"]}});
            return voice.say(&json!({"jsonrpc": "2.0", "id": message["id"], "error": error}));
        }
        match brain.request("", &message, &mut voice) {
            Outcome::Answer(answer) => voice.line(answer.as_bytes(), true),
            Outcome::Faulty(answer, fault) => go_wrong(&mut voice, &answer, &fault),
            Outcome::Nothing => {}
        }
    });
}

/// The way to the client; whole lines are never mixed.
#[derive(Clone)]
struct Line(Arc<Mutex<()>>);

impl Line {
    fn line(&self, bytes: &[u8], is_whole: bool) {
        let _held = self.0.lock().unwrap();
        let mut out = std::io::stderr().lock();
        let end: &[u8] = if is_whole { b"\n" } else { b"" };
        // Where nobody reads any longer, the input ends too.
        let _ = out.write_all(&[bytes, end].concat());
    }
}

impl Voice for Line {
    fn say(&mut self, message: &Value) {
        self.line(message.to_string().as_bytes(), true);
    }

    fn is_gone(&mut self) -> bool {
        false
    }
}

/// A child that dies is what is wanted here.
#[allow(clippy::disallowed_methods)]
fn die() -> ! {
    std::process::exit(3)
}

fn go_wrong(voice: &mut Line, answer: &str, fault: &Fault) {
    if let Some(changed) = fault.changed(answer) {
        return voice.line(changed.as_bytes(), true);
    }
    match fault.kind.as_str() {
        "reset" | "close" => {
            let line = format!("{answer}\n");
            voice.line(&line.as_bytes()[..fault.at.min(line.len())], false);
            die();
        }
        // Nobody else may write into the middle of the line.
        "stall" => {
            let _held = voice.0.lock().unwrap();
            let mut out = std::io::stderr().lock();
            let _ = out.write_all(&answer.as_bytes()[..fault.at.min(answer.len())]);
            drop(out);
            std::thread::sleep(Duration::from_secs(120));
        }
        "noise" => voice.line(b"\x00\x01\xff no JSON at all", true),
        "twice" => {
            voice.line(answer.as_bytes(), true);
            voice.line(answer.as_bytes(), true);
        }
        "huge" => {
            let block = vec![b'x'; 1 << 20];
            for _ in 0..fault.at >> 20 {
                voice.line(&block, false);
            }
            voice.line(b"", true);
        }
        kind => panic!("no fault {kind}"),
    }
}
