//! Everything over standard input and output, both eras in one process.

use serde_json::{Value, json};

use crate::harness::everything;
use crate::harness::process::Process;

impl Process {
    fn start() -> Self {
        Self::with(&[everything().to_str().unwrap()])
    }

    fn initialized(revision: &str) -> Self {
        let mut process = Self::start();
        process.initialize(revision);
        process
    }

    fn call(&mut self, id: u64, tool: &str) {
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/call",
            "params": {"name": tool, "arguments": {}, "_meta": {"progressToken": id}}}));
    }
}

#[test]
fn both_eras_are_served_in_one_process() {
    let mut process = Process::initialized("2025-11-25");
    process.modern(1, "server/discover", json!({}));
    assert!(process.next()["result"]["capabilities"]["resources"].is_object());
    for (method, params, key) in [
        ("tools/list", json!({}), "tools"),
        ("resources/list", json!({}), "resources"),
        ("resources/templates/list", json!({}), "resourceTemplates"),
        ("prompts/list", json!({}), "prompts"),
        ("resources/read", json!({"uri": "a:b"}), "contents"),
        ("prompts/get", json!({"name": "p"}), "messages"),
        (
            "completion/complete",
            json!({"ref": {"type": "ref/prompt", "name": "p"}, "argument": {"name": "a", "value": ""}}),
            "completion",
        ),
    ] {
        process.modern(2, method, params.clone());
        let answer = process.next();
        assert_eq!(
            answer["result"]["resultType"], "complete",
            "{method}: {answer}"
        );
        assert!(!answer["result"][key].is_null(), "{method}");
        process.send(&json!({"jsonrpc": "2.0", "id": 3, "method": method, "params": params}));
        let legacy = process.next();
        assert!(legacy["result"].get("resultType").is_none(), "{method}");
        assert_eq!(legacy["result"][key], answer["result"][key], "{method}");
    }
}

#[test]
fn a_call_speaks_before_its_answer() {
    let mut process = Process::initialized("2025-06-18");
    process.call(5, "say");
    let said: Vec<Value> = (0..4).map(|_| process.next()).collect();
    assert_eq!(said[0]["params"]["progressToken"], 5);
    assert_eq!(said[1]["method"], "notifications/progress");
    assert_eq!(said[2]["method"], "notifications/message");
    assert_eq!(
        (&said[3]["id"], said[3]["result"].is_object()),
        (&json!(5), true)
    );
    process.modern(6, "tools/call", json!({"name": "say", "arguments": {}}));
    assert_eq!(
        process.next()["id"],
        6,
        "a modern request wants nothing said by itself"
    );
}

#[test]
fn a_question_is_a_request_in_the_old_era_and_an_answer_in_the_new() {
    let mut process = Process::initialized("2025-11-25");
    process.call(1, "ask");
    let question = process.next();
    assert_eq!(question["method"], "elicitation/create");
    process.send(&json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept", "content": {"a": 1}}}));
    assert_eq!(process.next()["result"]["content"][0]["text"], r#"{"a":1}"#);
    let params = |more: Value| {
        let mut params = json!({"name": "ask", "arguments": {},
            "_meta": {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}});
        params
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        params
    };
    process.modern(2, "tools/call", params(json!({})));
    let asked = process.next();
    assert_eq!(asked["result"]["resultType"], "input_required");
    let answers = json!({"name": {"action": "accept", "content": {"b": 2}}});
    process.modern(
        3,
        "tools/call",
        params(json!({"requestState": asked["result"]["requestState"], "inputResponses": answers})),
    );
    assert_eq!(process.next()["result"]["content"][0]["text"], r#"{"b":2}"#);
}

#[test]
fn changes_are_told_in_both_eras() {
    let mut process = Process::initialized("2025-11-25");
    process.modern(
        7,
        "subscriptions/listen",
        json!({"notifications": {"toolsListChanged": true, "resourceSubscriptions": ["a:b"]}}),
    );
    assert_eq!(
        process.next()["method"],
        "notifications/subscriptions/acknowledged"
    );
    process.send(&json!({"jsonrpc": "2.0", "id": 1, "method": "resources/subscribe", "params": {"uri": "a:b"}}));
    assert_eq!(process.next()["id"], 1);
    process.call(2, "change");
    // An answer; two updates, each for one era; two changes of the tools, and one of the prompts.
    let mut heard: Vec<String> = (0..6)
        .map(|_| {
            let message = process.next();
            let id = &message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"];
            format!("{} {id}", message["method"].as_str().unwrap_or("result"))
        })
        .collect();
    heard.sort();
    assert_eq!(
        heard,
        [
            "notifications/prompts/list_changed null",
            "notifications/resources/updated 7",
            "notifications/resources/updated null",
            "notifications/tools/list_changed 7",
            "notifications/tools/list_changed null",
            "result null",
        ]
    );
    process.send(
        &json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}),
    );
    process.send(&json!({"jsonrpc": "2.0", "id": 3, "method": "resources/unsubscribe", "params": {"uri": "a:b"}}));
    assert_eq!(process.next()["id"], 3);
    process.call(4, "change");
    let mut heard: Vec<Value> = (0..3).map(|_| process.next()["method"].clone()).collect();
    heard.sort_by_key(Value::to_string);
    assert!(
        !heard.contains(&json!("notifications/resources/updated")),
        "{heard:?}"
    );
}

#[test]
fn a_batch_is_answered_on_one_line() {
    let mut process = Process::initialized("2025-03-26");
    let ping = |id: u64| json!({"jsonrpc": "2.0", "id": id, "method": "ping"});
    let call =
        json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "where"}});
    process.send(&json!([ping(1), call, {"jsonrpc": "2.0", "method": "notifications/roots/list_changed"}, ping(3)]));
    let question = process.next();
    process.send(&ping(9));
    assert_eq!(process.next()["id"], 9, "nobody waits for a batch");
    process.send(&json!([{"jsonrpc": "2.0", "id": question["id"], "result": {"roots": []}}]));
    let answers = process.next();
    let ids: Vec<_> = answers
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["id"])
        .collect();
    assert_eq!(ids, [&json!(1), &json!(3), &json!(2)]);
    let mut newer = Process::initialized("2025-06-18");
    newer.send(&json!([ping(1)]));
    assert_eq!(newer.next()["error"]["code"], -32600);
}

#[test]
fn cancelled_calls_get_no_answer_and_the_end_of_the_input_ends_what_waits_for_a_person() {
    let mut process = Process::initialized("2025-11-25");
    process.call(1, "loop");
    process.call(2, "ask");
    assert_eq!(process.next()["method"], "elicitation/create");
    process.send(
        &json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}),
    );
    process.call(3, "header");
    assert_eq!(process.next()["id"], 3);
    process.call(4, "ask");
    assert_eq!(process.next()["method"], "elicitation/create");
    assert_eq!(process.end(), [] as [Value; 0]);
}
