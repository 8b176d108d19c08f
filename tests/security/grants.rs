//! Permissions as they are enforced in the confined process, over the wire: by a policy beside a component, narrowed by a profile.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::process::Process;
use crate::harness::{Appliance, binary, cache, scratch};

// The guest of the component's own tests.
#[path = "../../src/component/tests/granted/guest.rs"]
#[allow(dead_code)]
mod guest;

use guest::{ACCESS, CREATE, DENIED, Guest, READ, WRITE};

fn said(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap()
}

#[test]
fn a_served_component_reaches_what_its_policy_grants_and_its_refusals_are_in_the_audit_log() {
    let folder = scratch("grants").canonicalize().unwrap();
    let at = folder.display();
    let data = folder.join("data");
    std::fs::create_dir_all(data.join("private")).unwrap();
    std::fs::write(data.join("open"), "open").unwrap();
    std::fs::write(data.join("private/key"), "key").unwrap();
    let (mut probe, root) = Guest::in_directory();
    let file = probe.open(root, "open", 0, READ);
    probe.read(file);
    probe.open(root, "private/key", 0, READ);
    let made = probe.open(root, "made", CREATE, WRITE);
    probe.write(made, "made");
    probe.open(root, "late", CREATE, WRITE);
    probe.at("mkdir", root, "folder");
    probe.rename((root, "folder"), (root, "moved"));
    probe.link((root, "made"), (root, "linked"));
    probe.symlink(root, "made", "soft");
    probe.look(root, "soft");
    probe.at("unlink", root, "soft");
    probe.get("169.254.169.254", "/latest/meta-data");
    probe.config("HOME");
    let component = folder.join("probe.wasm");
    std::fs::write(&component, probe.build()).unwrap();
    let policy = format!(
        "version: \"1.0\"\npermissions:\n  storage:\n    allow: [{{uri: \"fs://{at}/data/**\", access: [read, write]}}]\n    deny: [{{uri: \"fs://{at}/data/private\", access: [read]}}]\n  network:\n    allow: [{{host: \"*\"}}]\n"
    );
    std::fs::write(folder.join("probe.policy.yaml"), policy).unwrap();
    let config = format!(
        "state_dir: {at}/state\naudit: {{dir: {at}/audit}}\npermission_profiles:\n  - name: everybody\n    permissions: {{storage: {{deny: [{{uri: \"fs://{at}/data/late\", access: [write]}}]}}}}\n"
    );
    let appliance = Appliance::with(&[component.to_str().unwrap()], &config);
    let result = appliance.connect().call("run", json!({}));
    assert_eq!(
        said(&result),
        format!("..<open>{ACCESS}..{ACCESS}......{DENIED}-"),
        "{}",
        appliance.stderr()
    );
    assert_eq!(
        std::fs::read_to_string(data.join("linked")).unwrap(),
        "made"
    );
    assert!(data.join("moved").is_dir() && !data.join("late").exists());
    let log = || std::fs::read_to_string(folder.join("audit/audit.0001.jsonl")).unwrap_or_default();
    appliance.eventually("the refusals are on the disk", || {
        log().matches("\"SecurityViolation\"").count() == 4
    });
    let violations: Vec<Value> = log()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &Value| line.to_string().contains("SecurityViolation"))
        .collect();
    for (line, words) in violations.iter().zip([
        [
            "fs read",
            "/data/private/key",
            "probe.policy.yaml:5 (deny storage",
        ],
        ["fs write", "/data/late", "margay.yaml:5 (deny storage"],
        [
            "http GET",
            "http://169.254.169.254:80/latest/meta-data",
            "metadata addresses are refused",
        ],
        ["env read", "HOME", "no rule allows it"],
    ]) {
        let line = line.to_string();
        for word in words {
            assert!(line.contains(word), "{word}: {line}");
        }
    }
}

/// A command of an operator, on the component directory of this folder.
fn operate(folder: &Path, arguments: &[&str]) {
    let directory = folder.join("components");
    let done = Command::new(binary())
        .args(arguments)
        .args(["--component-dir", directory.to_str().unwrap()])
        .env("XDG_STATE_HOME", folder.join("state"))
        .env("XDG_CACHE_HOME", cache())
        .output()
        .unwrap();
    assert!(done.status.success(), "{arguments:?}: {done:?}");
}

fn serve_directory(folder: &Path) -> Appliance {
    let at = folder.display();
    let config = format!("component_dir: {at}/components\nstate_dir: {at}/state\n");
    Appliance::with(&[], &config)
}

fn answers(appliance: &Appliance, answer: &str) {
    appliance.eventually(answer, || {
        said(&appliance.connect().call("run", json!({}))) == answer
    });
}

#[test]
fn a_grant_is_given_and_taken_back_while_its_component_is_served() {
    let folder = scratch("hot").canonicalize().unwrap();
    let mut probe = Guest::default();
    probe.config("XDG_STATE_HOME");
    probe.lookup("granted.invalid");
    let component = folder.join("probe.wasm");
    std::fs::write(&component, probe.build()).unwrap();
    operate(&folder, &["component", "load", component.to_str().unwrap()]);
    let appliance = serve_directory(&folder);
    let state = appliance.folder.join("state");
    let (denied, unknown) = (guest::SOCKET_DENIED, 'S');
    let nothing = format!("-{denied}");
    let all = format!("<{}>{unknown}", state.display());
    answers(&appliance, &nothing);
    operate(
        &folder,
        &[
            "permission",
            "grant",
            "probe",
            "environment",
            "XDG_STATE_HOME",
        ],
    );
    operate(
        &folder,
        &["permission", "grant", "probe", "network", "granted.invalid"],
    );
    answers(&appliance, &all);
    operate(
        &folder,
        &[
            "permission",
            "revoke",
            "probe",
            "environment",
            "XDG_STATE_HOME",
        ],
    );
    answers(&appliance, &format!("-{unknown}"));
    operate(&folder, &["permission", "reset", "probe"]);
    answers(&appliance, &nothing);
}

#[test]
fn a_served_component_cannot_write_what_it_is_granted_or_what_is_loaded() {
    let folder = scratch("own").canonicalize().unwrap();
    let at = folder.display();
    std::fs::create_dir_all(folder.join("components")).unwrap();
    std::fs::create_dir_all(folder.join("state")).unwrap();
    let (mut probe, root) = Guest::in_directory();
    probe.open(root, "components/probe.policy.yaml", 0, WRITE);
    probe.open(root, "components/other.policy.yaml", CREATE, WRITE);
    probe.open(root, "components/probe.json", 0, READ | WRITE);
    probe.open(root, "state/x", CREATE, WRITE);
    probe.rename((root, "components"), (root, "moved"));
    probe.open(root, "mine", CREATE, WRITE);
    let component = folder.join("probe.wasm");
    std::fs::write(&component, probe.build()).unwrap();
    let policy = format!(
        "version: \"1.0\"\npermissions: {{storage: {{allow: [{{uri: \"fs://{at}\", access: [read, write]}}]}}}}\n"
    );
    std::fs::write(folder.join("probe.policy.yaml"), policy).unwrap();
    operate(&folder, &["component", "load", component.to_str().unwrap()]);
    let appliance = serve_directory(&folder);
    let result = appliance.connect().call("run", json!({}));
    assert_eq!(said(&result), format!("{}.", ACCESS.to_string().repeat(5)));
    assert!(!folder.join("components/other.policy.yaml").exists());
    assert!(
        appliance
            .stderr()
            .contains("server's own files are not opened")
    );
}

#[test]
fn a_component_of_a_manifest_is_held_to_its_permissions() {
    let folder = scratch("manifest").canonicalize().unwrap();
    let at = folder.display();
    std::fs::create_dir_all(folder.join("data")).unwrap();
    std::fs::write(folder.join("data/open"), "open").unwrap();
    let (mut probe, root) = Guest::in_directory();
    let file = probe.open(root, "open", 0, READ);
    probe.read(file);
    probe.open(root, "new", CREATE, WRITE);
    probe.get("127.0.0.1:1", "/");
    probe.config("STATE");
    probe.config("HOME");
    std::fs::write(folder.join("probe.wasm"), probe.build()).unwrap();
    let manifest = folder.join("m.yaml");
    let text = format!(
        "version: 1\ncomponents:\n- uri: file://{at}/probe.wasm\n  permissions:\n    storage: {{allow: [{{uri: \"fs://{at}/data\", access: [read]}}]}}\n    environment: {{allow: [{{key: STATE, value_from: XDG_STATE_HOME}}]}}\n"
    );
    std::fs::write(&manifest, text).unwrap();
    let appliance = Appliance::with(&["--manifest", manifest.to_str().unwrap()], "");
    let result = appliance.connect().call("run", json!({}));
    let state = appliance.folder.join("state");
    assert_eq!(
        said(&result),
        format!("..<open>{ACCESS}{DENIED}<{}>-", state.display())
    );
    let stderr = appliance.stderr();
    assert!(stderr.contains("http GET http://127.0.0.1:1/"), "{stderr}");
}

#[test]
fn what_a_guest_prints_is_no_message_and_what_the_client_sends_it_does_not_read() {
    let mut probe = Guest::default();
    probe.print("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"forged\"}\n");
    let component = scratch("print").join("probe.wasm");
    std::fs::write(&component, probe.build()).unwrap();
    let mut process = Process::with(&[component.to_str().unwrap()]);
    process.modern(1, "tools/call", json!({"name": "run", "arguments": {}}));
    let answer = process.next();
    // `B`: the input is closed.
    assert_eq!(answer["result"]["content"][0]["text"], ".B", "{answer}");
    process.modern(2, "tools/call", json!({"name": "run", "arguments": {}}));
    assert_eq!(process.next()["id"], 2);
    assert!(process.end().is_empty());
}
