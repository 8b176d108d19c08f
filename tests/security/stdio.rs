//! Rules, limits and the audit log hold on standard input, too: a client that starts its own process is no way around them.

use serde_json::{Value, json};

use crate::harness::process::Process;
use crate::harness::scratch;

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
