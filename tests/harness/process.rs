//! A running `margay stdio`, and both eras on its pipe.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::{binary, cache, modern, scratch};

/// The process; it is killed when it is dropped.
pub struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// Starts it with these arguments.
    pub fn with(arguments: &[&str]) -> Self {
        let folder = scratch("stdio");
        let mut child = Command::new(binary())
            .arg("stdio")
            .args(arguments)
            .env("XDG_DATA_HOME", folder.join("data"))
            .env("XDG_STATE_HOME", folder.join("state"))
            .env("XDG_CACHE_HOME", cache())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// Opens the legacy session of a client that fills in forms and has roots.
    pub fn initialize(&mut self, revision: &str) {
        self.send(&json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": revision, "capabilities": {"elicitation": {}, "roots": {}}, "clientInfo": {"name": "t", "version": "1"}}}));
        assert_eq!(self.next()["result"]["protocolVersion"], revision);
        self.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    }

    pub fn send(&mut self, message: &Value) {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{message}").unwrap();
    }

    pub fn modern(&mut self, id: u64, method: &str, params: Value) {
        let message = modern(id, method, params).0;
        self.send(&serde_json::from_str(&message).unwrap());
    }

    pub fn next(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    /// Closes the input; what is still written until the process ends.
    pub fn end(mut self) -> Vec<Value> {
        drop(self.input.take());
        let lines = self.output.by_ref().lines().map(Result::unwrap);
        let rest = lines
            .map(|line| serde_json::from_str(&line).unwrap())
            .collect();
        assert!(self.child.wait().unwrap().success());
        rest
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
