//! Secrets of the operator: kept by the command, sent where they belong, and shown nowhere.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::harness::{Appliance, Client, binary, scratch};

const CANARY: &str = "canary-7f3a-9c21-secret";

fn secret(folder: &Path, arguments: &[&str], input: &str) -> (bool, String) {
    let mut child = Command::new(binary())
        .arg("secret")
        .args(arguments)
        .arg("--state-dir")
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Whoever refuses the name does not read the value.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[test]
fn a_secret_is_kept_listed_by_its_name_and_removed_and_never_printed() {
    let folder = scratch("secrets");
    let all = [
        secret(&folder, &["set", "web/TOKEN"], &format!("{CANARY}\n")),
        secret(&folder, &["set", "web/TOKEN"], CANARY),
        secret(&folder, &["list"], ""),
        secret(&folder, &["set", "../x"], CANARY),
        secret(&folder, &["set", "EMPTY"], "\n"),
        secret(&folder, &["remove", "ABSENT"], ""),
        secret(&folder, &["remove", "web/TOKEN"], ""),
        secret(&folder, &["list"], ""),
    ];
    let expected = [
        (true, "kept web/TOKEN\n"),
        (true, "replaced web/TOKEN\n"),
        (true, "web/TOKEN\n"),
        (false, "is not a name"),
        (false, "is empty"),
        (false, "is not there"),
        (true, "removed web/TOKEN\n"),
        (true, "no secret is kept"),
    ];
    for ((done, said), (right, part)) in all.iter().zip(expected) {
        assert_eq!(*done, right, "{said}");
        assert!(said.contains(part), "{said}");
        assert!(!said.contains("canary"), "{said}");
    }
}

/// A server that answers everything by refusing it, with the credential it was shown.
fn gossip() -> (String, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let (heard, hear) = std::sync::mpsc::sync_channel(1_000);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut bytes = vec![0; 8_192];
            let count = stream.read(&mut bytes).unwrap_or(0);
            let request = String::from_utf8_lossy(&bytes[..count]).into_owned();
            let line = request
                .lines()
                .find(|line| line.to_lowercase().starts_with("authorization"))
                .unwrap_or("none")
                .to_owned();
            let body = format!("{{\"error\":\"you showed {line}\"}}");
            let _ = write!(
                stream,
                "HTTP/1.1 401 {line}\r\nWWW-Authenticate: Bearer error=\"{line}\"\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            if heard.try_send(line).is_err() {
                return;
            }
        }
    });
    (url, hear)
}

#[test]
fn a_credential_for_an_upstream_reaches_it_and_no_log_metric_tape_or_answer() {
    for format in ["text", "json"] {
        let (url, hear) = gossip();
        let folder = scratch("canary");
        let config = format!(
            "state_dir: {dir}/state\naccess_log: {dir}/access.jsonl\naudit: {{dir: {dir}/audit}}\nlog_level: trace\nlog_format: {format}\n\
             upstreams:\n  docs: {{url: \"{url}\", headers: {{Authorization: \"Bearer {CANARY}\"}}}}\n",
            dir = folder.display()
        );
        let mut appliance = Appliance::with(&[], &config);
        let line = hear
            .recv_timeout(std::time::Duration::from_secs(30))
            .unwrap();
        assert!(line.contains(CANARY), "the upstream has it: {line}");
        let mut answers = String::new();
        for params in [
            json!({"name": "docs__x", "arguments": {"text": CANARY}}),
            json!({"name": CANARY, "arguments": {}}),
        ] {
            let answer = appliance.connect().modern("tools/call", params);
            answers +=
                &String::from_utf8_lossy(&answer.body).replace(CANARY, "what we said ourselves");
        }
        let metrics = Client::connect(appliance.admin).get("/metrics");
        answers += &String::from_utf8_lossy(&metrics.body);
        appliance.signal("TERM");
        appliance.wait();
        let read = |path: &str| std::fs::read_to_string(folder.join(path)).unwrap();
        let encoded = base64::Engine::encode(
            &base64::engine::general_purpose::STANDARD,
            format!("Bearer {CANARY}"),
        );
        for (what, text) in [
            ("answers and metrics", answers.clone()),
            ("log", appliance.stderr()),
            ("audit log", read("audit/audit.0001.jsonl")),
        ] {
            assert!(!text.is_empty(), "{what}");
            assert!(!text.contains(CANARY), "{what} shows it: {text}");
            assert!(!text.contains(&encoded), "{what} shows it: {text}");
        }
        let access = read("access.jsonl");
        assert!(access.contains("refused"), "{access}");
        assert!(!access.contains(CANARY), "{access}");
    }
}
