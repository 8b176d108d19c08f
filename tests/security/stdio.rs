//! Rules, limits and the audit log hold on standard input, too: a client that starts its own process is no way around them.

use serde_json::{Value, json};

use crate::harness::process::Process;
use crate::harness::{everything, scratch};

fn call(process: &mut Process, id: u64, tool: &str, arguments: Value) -> Value {
    process.modern(
        id,
        "tools/call",
        json!({"name": tool, "arguments": arguments}),
    );
    process.next()
}

#[test]
fn rules_and_limits_hold_for_a_client_that_starts_its_own_process() {
    let folder = scratch("stdio-rules");
    let config = folder.join("margay.yaml");
    let text = format!(
        "state_dir: {0}/state\naudit: {{dir: {0}/audit}}\ndefault_rule: allow\n\
         rules:\n  - {{name: no-clock, deny: true, tools: [time]}}\n  - {{name: no-etc, deny: true, arguments: {{/text: {{glob: \"/etc/*\"}}}}}}\n\
         rates: {{tools: {{echo: {{per_hour: 2}}}}}}\n",
        folder.display()
    );
    std::fs::write(&config, text).unwrap();
    let mut process = Process::with(&["--config", config.to_str().unwrap()]);
    process.modern(1, "tools/list", json!({}));
    let tools = process.next()["result"]["tools"].to_string();
    assert!(
        tools.contains("\"echo\"") && !tools.contains("\"time\""),
        "{tools}"
    );
    let denied = call(&mut process, 2, "time", json!({}));
    let words = denied["error"]["message"].as_str().unwrap();
    assert!(words.contains("no-clock"), "{denied}");
    let denied = call(&mut process, 3, "echo", json!({"text": "/etc/shadow"}));
    assert!(
        denied["error"]["message"]
            .as_str()
            .unwrap()
            .contains("no-etc")
    );
    for id in 4..6 {
        let answer = call(&mut process, id, "echo", json!({"text": "hi"}));
        assert!(answer["result"].is_object(), "{answer}");
    }
    let limited = call(&mut process, 6, "echo", json!({"text": "hi"}));
    let words = limited["error"]["message"].as_str().unwrap();
    assert!(words.contains("tools.echo"), "{limited}");
    process.end();
    let log = std::fs::read_to_string(folder.join("audit/audit.0001.jsonl")).unwrap();
    for words in [
        "\"AuthorizationCheck\",\"outcome\":\"denied\"",
        "\"rule\":\"no-clock\"",
        "\"RateLimitExceeded\"",
        "\"ComponentInvocation\",\"outcome\":\"ok\"",
        "\"arguments_hash\":\"",
    ] {
        assert!(log.contains(words), "{words} in {log}");
    }
    assert!(
        !log.contains("/etc/shadow"),
        "arguments stay out of it: {log}"
    );
}

#[test]
fn the_client_of_a_process_hears_of_nothing_that_the_rules_keep_from_it() {
    let folder = scratch("stdio-listening");
    let config = folder.join("margay.yaml");
    let text = format!(
        "state_dir: {0}/state\naudit: {{dir: {0}/audit}}\ndefault_rule: allow\n\
         rules:\n  - {{name: no-a, deny: true, methods: [resources/read], resources: ['a:*']}}\n  - {{name: no-prompts, deny: true, methods: [prompts/list]}}\n",
        folder.display()
    );
    std::fs::write(&config, text).unwrap();
    let component = everything();
    let arguments = [
        "--config",
        config.to_str().unwrap(),
        component.to_str().unwrap(),
    ];
    let mut process = Process::with(&arguments);
    process.initialize("2025-11-25");
    process.send(&json!({"jsonrpc": "2.0", "id": 1, "method": "resources/subscribe", "params": {"uri": "a:b"}}));
    let refused = process.next()["error"]["message"].to_string();
    assert!(refused.contains("no-a"), "{refused}");
    let wanted = json!({"notifications": {"toolsListChanged": true, "promptsListChanged": true, "resourceSubscriptions": ["a:b"]}});
    process.modern(7, "subscriptions/listen", wanted);
    let honoured = process.next()["params"]["notifications"].clone();
    assert_eq!(honoured, json!({"toolsListChanged": true}));
    process.modern(8, "tools/call", json!({"name": "change", "arguments": {}}));
    // The answer, and what both sides of it are told; the second round would bring what the first one held back.
    let mut heard: Vec<Value> = (0..3).map(|_| process.next()).collect();
    process.modern(9, "tools/call", json!({"name": "change", "arguments": {}}));
    heard.extend((0..3).map(|_| process.next()));
    heard.extend(process.end());
    let told: Vec<&str> = heard
        .iter()
        .filter_map(|message| message["method"].as_str())
        .collect();
    assert_eq!(told, ["notifications/tools/list_changed"; 4], "{heard:?}");
    let log = std::fs::read_to_string(folder.join("audit/audit.0001.jsonl")).unwrap();
    assert_eq!(log.matches("\"rule\":\"no-a\"").count(), 2, "{log}");
    assert_eq!(log.matches("\"rule\":\"no-prompts\"").count(), 1, "{log}");
}
