//! Who may call, what, and how often: API keys, rules and limits on a running server.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::sse::Session;
use crate::harness::{Answer, Appliance, binary, modern};

struct Key {
    text: String,
    hash: String,
}

/// A key as an operator makes one.
fn key(name: &str) -> Key {
    let output = Command::new(binary())
        .args(["key", "new", name])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let word = |prefix: &str| {
        let mut words =
            text.split(|letter: char| letter.is_whitespace() || "{},'\"".contains(letter));
        let found = words.find(|word| word.starts_with(prefix));
        found
            .unwrap_or_else(|| panic!("no {prefix} in {text}"))
            .to_owned()
    };
    Key {
        text: word("mgy_"),
        hash: word("sha256:"),
    }
}

fn post(appliance: &Appliance, key: Option<&Key>, method: &str, params: Value) -> Answer {
    let (body, headers) = modern(1, method, params);
    let shown = key.map_or_else(String::new, |key| {
        format!("Authorization: Bearer {}\r\n", key.text)
    });
    appliance
        .connect()
        .post(&body, &format!("{headers}{shown}"))
}

fn echo() -> Value {
    json!({"name": "echo", "arguments": {"text": "hi"}})
}

fn listed(appliance: &Appliance, key: &Key) -> Vec<String> {
    let answer = post(appliance, Some(key), "tools/list", json!({})).json();
    let tools = answer["result"]["tools"]
        .as_array()
        .unwrap_or_else(|| panic!("{answer}"));
    tools
        .iter()
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn without_a_key_nobody_gets_further_than_the_challenge() {
    let ann = key("ann");
    let config = format!(
        "auth: {{api_keys: [{{name: ann, hash: '{}'}}]}}\nresource: https://me.example/mcp\nauthorization_servers: [https://login.example]\n",
        ann.hash
    );
    let appliance = Appliance::with(&[], &config);
    let answer = post(&appliance, None, "tools/list", json!({}));
    let challenge = answer
        .header("www-authenticate")
        .unwrap_or_default()
        .to_owned();
    assert_eq!(answer.status, 401, "{challenge}");
    let url = "https://me.example/.well-known/oauth-protected-resource/mcp";
    assert!(
        challenge.contains(&format!("resource_metadata=\"{url}\"")),
        "{challenge}"
    );
    for path in [
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/mcp",
    ] {
        let document = appliance.connect().get(path);
        assert_eq!(
            (document.status, &document.json()["resource"]),
            (200, &json!("https://me.example/mcp"))
        );
    }
    assert_eq!(
        post(&appliance, Some(&ann), "tools/call", echo()).status,
        200
    );
    let wrong = Key {
        text: format!("{}x", ann.text),
        hash: String::new(),
    };
    assert_eq!(
        post(&appliance, Some(&wrong), "tools/call", echo()).status,
        401
    );
    let (body, headers) = modern(1, "tools/call", echo());
    for (shown, status) in [("Basic YTpi", 401), ("Bearer a b", 400), ("Bearer", 400)] {
        let headers = format!("{headers}Authorization: {shown}\r\n");
        assert_eq!(
            appliance.connect().post(&body, &headers).status,
            status,
            "{shown}"
        );
    }
    let twice = format!(
        "{headers}Authorization: Bearer {0}\r\nAuthorization: Bearer {0}\r\n",
        ann.text
    );
    assert_eq!(appliance.connect().post(&body, &twice).status, 400);
    let query = format!(
        "GET /mcp?access_token={} HTTP/1.1\r\nHost: localhost\r\n\r\n",
        ann.text
    );
    let mut client = appliance.connect();
    client.send(query);
    assert_eq!(
        client.answer().status,
        401,
        "a token in the address is none"
    );
    // Refused on its head: the body is not waited for.
    let mut client = appliance.connect();
    client.send("POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\nContent-Length: 1000\r\n\r\n");
    assert_eq!(client.answer().status, 401);
    assert!(!appliance.stderr().contains(&ann.text));
}

#[test]
fn a_session_is_its_owners_alone() {
    let (ann, bob) = (key("ann"), key("bob"));
    let config = format!(
        "auth: {{api_keys: [{{name: ann, hash: '{}'}}, {{name: bob, hash: '{}'}}]}}\n",
        ann.hash, bob.hash
    );
    let appliance = Appliance::with(&[], &config);
    let shown = |key: &Key| format!("Authorization: Bearer {}\r\n", key.text);
    let begin = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;
    let answer = appliance.connect().post(begin, &shown(&ann));
    let id = answer.header("mcp-session-id").unwrap().to_owned();
    let headers = |key: &Key| {
        format!(
            "{}MCP-Protocol-Version: 2025-11-25\r\nMcp-Session-Id: {id}\r\n",
            shown(key)
        )
    };
    let list = r#"{"jsonrpc":"2.0","id":2,"method":"tools/list"}"#;
    assert_eq!(appliance.connect().post(list, &headers(&bob)).status, 404);
    assert_eq!(appliance.connect().post(list, &headers(&ann)).status, 200);
    for method in ["GET", "DELETE"] {
        let mut client = appliance.connect();
        client.send(format!(
            "{method} /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{}\r\n",
            headers(&bob)
        ));
        assert_eq!(client.answer().status, 404, "{method}");
    }
    assert_eq!(
        appliance.connect().post(list, &headers(&ann)).status,
        200,
        "bob has ended nothing"
    );
}

#[test]
fn rules_decide_by_caller_tool_and_argument_and_lists_show_what_may_be_called() {
    let (ann, bob) = (key("ann"), key("bob"));
    let config = format!(
        r#"auth:
  api_keys:
    - {{name: ann, hash: '{}', scopes: [tools]}}
    - {{name: bob, hash: '{}'}}
rules:
  - name: short-echoes
    allow: true
    tools: [echo]
    arguments: {{"/text": {{glob: "h*"}}}}
  - name: time-for-scope
    allow: true
    tools: [time]
    needs_scopes: [tools]
"#,
        ann.hash, bob.hash
    );
    let appliance = Appliance::with(&[], &config);
    assert!(listed(&appliance, &ann).contains(&"echo".to_owned()));
    assert!(
        listed(&appliance, &ann).len() > listed(&appliance, &bob).len()
            || !listed(&appliance, &bob).contains(&"time".to_owned())
    );
    assert_eq!(
        post(&appliance, Some(&bob), "tools/call", echo()).status,
        200
    );
    let long = json!({"name": "echo", "arguments": {"text": "no"}});
    let answer = post(&appliance, Some(&bob), "tools/call", long);
    assert_eq!(answer.status, 403);
    assert!(
        answer.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("no rule allows it")
    );
    let escaped = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"te\u0078t":"no"},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;
    let (_, headers) = modern(1, "tools/call", echo());
    let headers = format!("{headers}Authorization: Bearer {}\r\n", bob.text);
    assert_eq!(
        appliance.connect().post(escaped, &headers).status,
        403,
        "spelt otherwise it is the same"
    );
    let answer = post(
        &appliance,
        Some(&bob),
        "tools/call",
        json!({"name": "time", "arguments": {}}),
    );
    let challenge = answer.header("www-authenticate").unwrap_or_default();
    assert_eq!(answer.status, 403);
    assert!(
        challenge.contains("insufficient_scope") && challenge.contains("scope=\"tools\""),
        "{challenge}"
    );
}

#[test]
fn a_caller_that_comes_too_often_is_told_when_to_come_again_and_others_are_not() {
    let (ann, bob) = (key("ann"), key("bob"));
    let config = format!(
        "auth: {{api_keys: [{{name: ann, hash: '{}'}}, {{name: bob, hash: '{}'}}]}}\nrates: {{principal: {{per_minute: 3, burst: 3}}}}\n",
        ann.hash, bob.hash
    );
    let appliance = Appliance::with(&[], &config);
    let mut refused = 0;
    for _ in 0..6 {
        let answer = post(&appliance, Some(&ann), "tools/call", echo());
        if answer.status == 429 {
            refused += 1;
            let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=60).contains(&seconds), "{seconds}");
            assert!(
                answer.json()["error"]["message"]
                    .as_str()
                    .unwrap()
                    .contains("too many requests")
            );
        }
    }
    assert_eq!(refused, 3);
    assert_eq!(
        post(&appliance, Some(&bob), "tools/call", echo()).status,
        200
    );
}

#[test]
fn a_listener_that_others_can_reach_wants_to_know_who_calls() {
    let output = Command::new(binary())
        .args(["serve", "--listen", "0.0.0.0:0", "--admin", "off"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(78));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("auth"), "{text}");
}

#[test]
fn on_loopback_nobody_is_asked_unless_an_operator_wants_it() {
    let appliance = Appliance::start();
    assert_eq!(post(&appliance, None, "tools/call", echo()).status, 200);
    Session::open(&appliance, "2025-11-25").delete();
    let answer = appliance
        .connect()
        .get("/.well-known/oauth-protected-resource");
    assert_eq!(answer.status, 404);
}

#[test]
fn what_was_refused_and_what_was_called_stands_in_a_log_that_shows_every_change() {
    let ann = key("ann");
    let folder = crate::harness::scratch("audit");
    let config = format!(
        "auth: {{api_keys: [{{name: ann, hash: '{}'}}]}}\naudit: {{dir: {}}}\nstate_dir: {}\nrules: [{{name: only-echo, allow: true, tools: [echo]}}]\n",
        ann.hash,
        folder.join("audit").display(),
        folder.join("state").display()
    );
    let mut appliance = Appliance::with(&[], &config);
    assert_eq!(
        post(&appliance, Some(&ann), "tools/call", echo()).status,
        200
    );
    let time = json!({"name": "time", "arguments": {"at": "canary-77"}});
    assert_eq!(post(&appliance, Some(&ann), "tools/call", time).status, 403);
    assert_eq!(post(&appliance, None, "tools/call", echo()).status, 401);
    appliance.signal("TERM");
    appliance.wait();
    let mut files: Vec<_> = std::fs::read_dir(folder.join("audit"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "jsonl"))
        .collect();
    files.sort();
    let text: String = files
        .iter()
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let find = |kind: &str, outcome: &str| {
        let found = lines
            .iter()
            .find(|line| line["kind"] == kind && line["outcome"] == outcome);
        found.unwrap_or_else(|| panic!("no {kind} {outcome} in {text}"))
    };
    let called = find("ComponentInvocation", "ok");
    assert_eq!(
        (&called["principal"], &called["target"], &called["rule"]),
        (&json!("api-key:ann"), &json!("echo"), &json!("only-echo"))
    );
    for key in ["component_digest", "arguments_hash"] {
        assert_eq!(
            called[key].as_str().map(str::len),
            Some(64),
            "{key} in {called}"
        );
    }
    assert_eq!(find("AuthorizationCheck", "denied")["target"], "time");
    find("AuthenticationAttempt", "denied");
    find("SystemStartup", "ok");
    assert!(
        !text.contains("canary-77") && !text.contains(&ann.text),
        "{text}"
    );
    let verify = |folder: &std::path::Path| {
        let folder = folder.join("audit");
        let state = folder.parent().unwrap().join("state");
        let arguments = [
            "audit",
            "verify",
            folder.to_str().unwrap(),
            "--state-dir",
            state.to_str().unwrap(),
        ];
        Command::new(binary()).args(arguments).output().unwrap()
    };
    let output = verify(&folder);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    std::fs::write(
        &files[0],
        std::fs::read_to_string(&files[0])
            .unwrap()
            .replacen("api-key:ann", "api-key:bob", 1),
    )
    .unwrap();
    assert_eq!(verify(&folder).status.code(), Some(1));
}

/// What a server says of itself has the words of its upstreams in it, and their names.
#[test]
fn nobody_is_told_of_an_upstream_of_which_nothing_is_shown() {
    let (ann, bob) = (key("ann"), key("bob"));
    let upstream = crate::harness::upstream::Script::modern("vault")
        .with_words(" of the vault")
        .http();
    let config = format!(
        "auth: {{api_keys: [{{name: ann, hash: '{}'}}, {{name: bob, hash: '{}'}}]}}\nupstreams: {{vault: {{url: \"{}\"}}}}\n\
         rules: [{{name: all, allow: true}}, {{name: closed, deny: true, upstreams: [vault], who: {{subjects: [bob]}}}}]\n",
        ann.hash,
        bob.hash,
        upstream.url()
    );
    let appliance = Appliance::with(&[], &config);
    appliance.eventually("its tools are offered", || {
        listed(&appliance, &ann)
            .iter()
            .any(|name| name.contains("who"))
    });
    let discovered = |key: &Key| post(&appliance, Some(key), "server/discover", json!({})).json();
    let answer = discovered(&ann);
    assert!(answer.to_string().contains("of the vault"), "{answer}");
    assert_eq!(answer["result"]["cacheScope"], "private", "{answer}");
    let begin = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;
    let shown = format!("Authorization: Bearer {}\r\n", bob.text);
    let begun = appliance.connect().post(begin, &shown).json();
    for answer in [discovered(&bob), begun] {
        assert!(answer["result"]["capabilities"].is_object(), "{answer}");
        assert!(!answer.to_string().contains("vault"), "{answer}");
    }
    let lists = [
        "tools/list",
        "resources/list",
        "resources/templates/list",
        "prompts/list",
    ];
    for list in lists {
        let answer = post(&appliance, Some(&bob), list, json!({})).json();
        assert!(!answer.to_string().contains("vault"), "{answer}");
    }
}
