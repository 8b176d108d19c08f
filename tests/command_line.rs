//! The commands as a person runs them.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::harness::{Appliance, binary, cache, everything, scratch};

fn margay(arguments: &[&str], input: &str) -> Output {
    let folder = scratch("command");
    let mut child = Command::new(binary())
        .args(arguments)
        .env("XDG_DATA_HOME", folder.join("data"))
        .env("XDG_STATE_HOME", folder.join("state"))
        .env("XDG_CACHE_HOME", cache())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn help_teaches() {
    for arguments in [
        &["--help"][..],
        &["serve", "--help"],
        &["stdio", "--help"],
        &["tool", "call", "--help"],
    ] {
        let output = margay(arguments, "");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(text(&output.stdout).contains("margay"), "{arguments:?}");
    }
    assert!(text(&margay(&["completions", "bash"], "").stdout).contains("complete"));
}

#[test]
fn a_wrong_flag_or_file_is_named() {
    for (arguments, needle) in [
        (&["serve", "--lisen", "x"][..], "--listen"),
        (&["serve", "--listen", "nowhere"], "nowhere"),
        (
            &["serve", "--config", "/no/such/file.yaml"],
            "/no/such/file.yaml",
        ),
        (
            &["serve", "/no/such/component.wasm"],
            "/no/such/component.wasm",
        ),
        (
            &["tool", "call", "no-such-tool", "--args", "{}"],
            "no-such-tool",
        ),
    ] {
        let output = margay(arguments, "");
        assert_ne!(output.status.code(), Some(0), "{arguments:?}");
        let stderr = text(&output.stderr);
        assert!(
            stderr.contains(needle) && !stderr.contains("panicked"),
            "{arguments:?}: {stderr}"
        );
    }
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_its_neighbour() {
    let path = scratch("config").join("margay.yaml");
    std::fs::write(&path, "shards: 1\nlimits:\n  call_deadlin: 5s\n").unwrap();
    let output = margay(&["serve", "--config", path.to_str().unwrap()], "");
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{stderr}");
    for needle in ["call_deadlin", "call_deadline", "3"] {
        assert!(stderr.contains(needle), "{needle}: {stderr}");
    }
}

#[test]
fn a_tool_can_be_called_without_a_server() {
    let output = margay(
        &["tool", "call", "echo", "--args", r#"{"text":"hello"}"#],
        "",
    );
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stdout).contains("hello"));
    let output = margay(&["tool", "call", "echo", "--args", r#"{"text":1}"#], "");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&margay(&["tool", "list"], "").stdout).contains("echo"));
}

#[test]
fn stdio_writes_one_answer_a_line_and_nothing_else() {
    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}});
    let lines = [
        json!({"jsonrpc": "2.0", "id": "m", "method": "tools/call", "params": {"name": "echo", "arguments": {"text": "modern"}, "_meta": meta}}),
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}}),
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"}),
        json!({"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "echo", "arguments": {"text": "legacy"}}}),
        json!({"jsonrpc": "2.0", "id": 4, "method": "tools/call", "params": {"name": "time"}}),
    ];
    let input: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let output = margay(&["stdio"], &format!("{input}not json\n"));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let answers: Vec<Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    let answer = |id: Value| {
        answers
            .iter()
            .find(|answer| answer["id"] == id)
            .unwrap_or_else(|| panic!("{id}: {answers:?}"))
    };
    assert_eq!(answer(json!("m"))["result"]["content"][0]["text"], "modern");
    assert_eq!(answer(json!(1))["result"]["protocolVersion"], "2024-11-05");
    assert!(
        answer(json!(2))["result"]["tools"]
            .as_array()
            .unwrap()
            .len()
            >= 3
    );
    assert_eq!(answer(json!(3))["result"]["content"][0]["text"], "legacy");
    assert_ne!(answer(json!(4))["result"]["isError"], true);
    assert_eq!(
        answers.len(),
        6,
        "five results and one parse error: {answers:?}"
    );
}

#[test]
fn the_probe_says_whether_this_host_is_fit() {
    let output = margay(&["probe"], "");
    assert!(matches!(output.status.code(), Some(0 | 71)), "{output:?}");
    assert!(text(&output.stdout).contains("io_uring"), "{output:?}");
}

#[test]
fn a_taken_port_is_said_at_once() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = margay(&["serve", "--listen", &address], "");
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    assert!(text(&output.stderr).contains(&address));
}

#[test]
fn each_shipped_profile_is_a_valid_configuration() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tuning/profiles");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let output = margay(&["tool", "list", "--config", path.to_str().unwrap()], "");
        assert_eq!(
            output.status.code(),
            Some(0),
            "{}: {}",
            path.display(),
            text(&output.stderr)
        );
        count += 1;
    }
    assert!(count >= 3, "the profiles are not there");
}

#[test]
fn a_wrong_upstream_is_named() {
    for (flag, needle) in [
        ("docs", "is not NAME=URL or NAME=stdio:COMMAND"),
        ("a b=http://127.0.0.1:1/mcp", "a b"),
        ("docs=ftp://127.0.0.1/mcp", "must start with http"),
        ("files=stdio:", "names no program"),
        ("files=stdio:'open", "quote"),
    ] {
        for command in ["serve", "stdio"] {
            let output = margay(&[command, "--upstream", flag], "");
            let stderr = text(&output.stderr);
            assert_eq!(output.status.code(), Some(64), "{flag}: {stderr}");
            assert!(
                stderr.contains(needle) && stderr.contains("--upstream"),
                "{flag}: {stderr}"
            );
        }
    }
}

#[test]
fn an_upstream_s_secret_that_is_not_set_is_named_and_nothing_is_served() {
    let config = scratch("upstreams").join("margay.yaml");
    let upstream = "upstreams:\n  docs:\n    url: http://127.0.0.1:1/mcp\n    headers: {Authorization: {env: MARGAY_TEST_ABSENT}}\n";
    std::fs::write(&config, upstream).unwrap();
    let config = config.to_str().unwrap();
    for arguments in [
        &["serve", "--listen", "127.0.0.1:0", "--admin", "off"][..],
        &["stdio"],
    ] {
        let output = margay(&[arguments, &["--config", config]].concat(), "");
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{stderr}");
        for needle in [
            "upstreams.docs.headers.Authorization",
            "$MARGAY_TEST_ABSENT",
            "is not set",
        ] {
            assert!(stderr.contains(needle), "{needle} is missing in {stderr}");
        }
    }
}

#[test]
fn a_server_with_an_upstream_starts_without_it_and_without_the_demo() {
    // Nobody listens on that port: it is reserved.
    let mut appliance = Appliance::with(
        &["--upstream", "docs=http://127.0.0.1:1/mcp"],
        "limits: {upstream_start_deadline: 200ms}\n",
    );
    let list = appliance.connect().modern("tools/list", json!({})).json();
    assert_eq!(list["result"]["tools"], json!([]), "{list}");
    assert_eq!(
        appliance.metric("margay_upstream_up", "upstream=\"docs\""),
        0.0
    );
    appliance.signal("TERM");
    assert_eq!(appliance.wait(), Some(0), "{}", appliance.stderr());
}

#[test]
fn a_list_that_must_be_whole_is_refused_while_an_upstream_is_down() {
    let appliance = Appliance::with(
        &[],
        "limits: {upstream_start_deadline: 200ms}\nupstreams:\n  docs: {url: http://127.0.0.1:1/mcp, fail: closed}\n",
    );
    let list = appliance.connect().modern("tools/list", json!({})).json();
    let said = list["error"]["message"].as_str().unwrap();
    assert!(said.contains("upstream docs, which is down"), "{said}");
}

#[test]
fn stdio_serves_components_while_its_upstream_is_down() {
    let config = scratch("upstreams").join("margay.yaml");
    std::fs::write(&config, "limits: {upstream_start_deadline: 200ms}\n").unwrap();
    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}});
    let list =
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}});
    let everything = everything();
    let arguments = [
        "stdio",
        everything.to_str().unwrap(),
        "--upstream",
        "docs=http://127.0.0.1:1/mcp",
        "--config",
        config.to_str().unwrap(),
    ];
    let output = margay(&arguments, &format!("{list}\n"));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let stdout = text(&output.stdout);
    let answer: Value = serde_json::from_str(stdout.lines().next().unwrap()).unwrap();
    assert!(
        !answer["result"]["tools"].as_array().unwrap().is_empty(),
        "{answer}"
    );
}
