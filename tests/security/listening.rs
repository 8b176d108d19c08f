//! What a listener hears: of nothing that he may not read, and of no list that he may not have.

use std::time::Duration;

use margay::policy::auth::hash_of;
use serde_json::{Value, json};

use crate::harness::{Answer, Appliance, Client, everything, modern, request, scratch};

const TOOLS: &str = "notifications/tools/list_changed";
const PROMPTS: &str = "notifications/prompts/list_changed";
const UPDATED: &str = "notifications/resources/updated";

fn shown(name: &str) -> String {
    format!("Authorization: Bearer {}\r\n", key(name))
}

fn key(name: &str) -> String {
    format!("a-key-of-some-length-0123456789-{name}")
}

/// Ann may do everything; bob may neither read `a:` nor list prompts.
fn serve(folder: &std::path::Path) -> Appliance {
    let entry = |name: &str| format!("{{name: {name}, hash: '{}'}}", hash_of(&key(name)));
    let config = format!(
        "auth: {{api_keys: [{}, {}]}}
rules:
  - {{name: all, allow: true, methods: ['*']}}
  - {{name: bob-reads-no-a, deny: true, who: {{subjects: [bob]}}, methods: [resources/read], resources: ['a:*']}}
  - {{name: bob-lists-no-prompts, deny: true, who: {{subjects: [bob]}}, methods: [prompts/list]}}
audit: {{dir: {}}}
state_dir: {}
",
        entry("ann"),
        entry("bob"),
        folder.join("audit").display(),
        folder.join("state").display()
    );
    Appliance::with(&[everything().to_str().unwrap(), "--shards", "2"], &config)
}

fn post(appliance: &Appliance, who: &str, method: &str, params: Value) -> Answer {
    let (body, headers) = modern(1, method, params);
    let headers = format!("{headers}{}", shown(who));
    appliance.connect().post(&body, &headers)
}

fn change(appliance: &Appliance) {
    let answer = post(
        appliance,
        "ann",
        "tools/call",
        json!({"name": "change", "arguments": {}}),
    );
    assert_eq!(answer.status, 200);
}

/// The methods of the next messages, sorted.
fn told(client: &mut Client, count: usize) -> Vec<String> {
    let mut methods: Vec<String> = (0..count)
        .map(|_| {
            client.next_message().json()["method"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    methods.sort();
    methods
}

#[test]
fn a_modern_listener_is_told_of_what_he_may_read_and_list_and_of_nothing_else() {
    let folder = scratch("listening");
    let mut appliance = serve(&folder);
    let listen = |who: &str| {
        let params = json!({"notifications": {"toolsListChanged": true, "promptsListChanged": true,
            "resourceSubscriptions": ["a:b"]}});
        let (body, headers) = modern(1, "subscriptions/listen", params);
        let mut client = appliance.connect();
        client.send(request(&body, &format!("{headers}{}", shown(who))));
        client.head();
        let first = client.next_message().json();
        (client, first["params"]["notifications"].clone())
    };
    let ((mut ann, all), (mut bob, some)) = (listen("ann"), listen("bob"));
    assert_eq!(
        all,
        json!({"toolsListChanged": true, "promptsListChanged": true, "resourceSubscriptions": ["a:b"]})
    );
    assert_eq!(some, json!({"toolsListChanged": true}));
    for _ in 0..2 {
        change(&appliance);
        assert_eq!(told(&mut ann, 3), [PROMPTS, UPDATED, TOOLS]);
        assert_eq!(told(&mut bob, 1), [TOOLS]);
        std::thread::sleep(Duration::from_millis(300));
    }
    drop((ann, bob));
    appliance.signal("TERM");
    appliance.wait();
    let mut text = String::new();
    for entry in std::fs::read_dir(folder.join("audit")).unwrap() {
        text += &std::fs::read_to_string(entry.unwrap().path()).unwrap_or_default();
    }
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let denied: Vec<Value> = lines
        .filter(|line| line["kind"] == "AuthorizationCheck" && line["outcome"] == "denied")
        .collect();
    let has = |method: &str, target: &str, rule: &str| {
        denied.iter().any(|line| {
            let is_target = line["target"].as_str().unwrap_or_default() == target;
            line["method"] == method
                && is_target
                && line["rule"] == rule
                && line["principal"] == "api-key:bob"
        })
    };
    assert!(
        has("subscriptions/listen", "a:b", "bob-reads-no-a"),
        "{denied:?}"
    );
    assert!(
        has("prompts/list", "", "bob-lists-no-prompts"),
        "{denied:?}"
    );
    assert_eq!(denied.len(), 2, "{denied:?}");
}

#[test]
fn a_session_follows_nothing_that_its_owner_may_not_read() {
    let appliance = serve(&scratch("listening"));
    let begin = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;
    let open = |who: &str| {
        let answer = appliance.connect().post(begin, &shown(who));
        let id = answer.header("mcp-session-id").unwrap().to_owned();
        let headers = format!(
            "{}MCP-Protocol-Version: 2025-11-25\r\nMcp-Session-Id: {id}\r\n",
            shown(who)
        );
        let done = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        assert_eq!(appliance.connect().post(done, &headers).status, 202);
        let follow =
            r#"{"jsonrpc":"2.0","id":2,"method":"resources/subscribe","params":{"uri":"a:b"}}"#;
        let answer = appliance.connect().post(follow, &headers);
        let mut stream = appliance.connect();
        stream.send(format!(
            "GET /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{headers}\r\n"
        ));
        stream.head();
        (stream, answer)
    };
    let ((mut ann, followed), (mut bob, refused)) = (open("ann"), open("bob"));
    assert_eq!((followed.status, refused.status), (200, 403));
    let words = refused.json()["error"]["message"].to_string();
    assert!(words.contains("bob-reads-no-a"), "{words}");
    for _ in 0..2 {
        change(&appliance);
        assert_eq!(told(&mut ann, 3), [PROMPTS, UPDATED, TOOLS]);
        assert_eq!(told(&mut bob, 1), [TOOLS]);
        std::thread::sleep(Duration::from_millis(300));
    }
}
