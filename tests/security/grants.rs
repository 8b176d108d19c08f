//! Permissions as they are enforced in the confined process, over the wire: by a policy beside a component, narrowed by a profile.

use serde_json::{Value, json};

use crate::harness::{Appliance, scratch};

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
