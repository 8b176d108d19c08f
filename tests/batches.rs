//! Several messages in one body, which 2025-03-26 has and no other revision.

use serde_json::{Value, json};

use crate::harness::sse::Session;
use crate::harness::{Appliance, everything, modern};

fn appliance() -> Appliance {
    Appliance::with(&[everything().to_str().unwrap()], "")
}

fn call(id: u64, tool: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool, "arguments": {"n": id}}})
}

fn ping(id: u64) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "ping"})
}

fn ids(answers: &Value) -> Vec<u64> {
    let answers = answers.as_array().unwrap_or_else(|| panic!("{answers}"));
    let mut ids: Vec<u64> = answers
        .iter()
        .map(|answer| answer["id"].as_u64().unwrap())
        .collect();
    ids.sort_unstable();
    ids
}

#[test]
fn requests_are_answered_together_and_the_rest_is_taken() {
    let appliance = appliance();
    let session = Session::open(&appliance, "2025-03-26");
    let notice = json!({"jsonrpc": "2.0", "method": "notifications/roots/list_changed"});
    let batch = json!([ping(1), notice, call(2, "header"), {"jsonrpc": "2.0", "id": 3, "method": "no/such"}, ping(4)]);
    let answers = session.send_body(&batch).answer();
    assert_eq!(answers.status, 200);
    let answers = answers.json();
    assert_eq!(ids(&answers), [1, 2, 3, 4]);
    let of = |id: u64| {
        let answers = answers.as_array().unwrap();
        answers.iter().find(|answer| answer["id"] == id).unwrap()
    };
    assert_eq!(of(1)["result"], json!({}));
    assert_eq!(of(2)["result"]["content"][0]["text"], r#"{"n":2}"#);
    assert_eq!(of(3)["error"]["code"], -32601);
    session.tell(json!([notice, {"jsonrpc": "2.0", "id": 77, "result": {}}]));
}

#[test]
fn calls_that_leave_the_shard_are_waited_for() {
    let appliance = Appliance::with(
        &[everything().to_str().unwrap()],
        "limits:\n  call_deadline: 500ms\n",
    );
    let session = Session::open(&appliance, "2025-03-26");
    let batch = json!([call(1, "loop"), ping(2), call(3, "loop"), call(4, "header")]);
    let answers = session.send_body(&batch).answer().json();
    assert_eq!(ids(&answers), [1, 2, 3, 4]);
    let failed = answers
        .as_array()
        .unwrap()
        .iter()
        .filter(|answer| answer["result"]["isError"] == true);
    assert_eq!(failed.count(), 2, "{answers}");
}

#[test]
fn a_batch_with_a_question_becomes_a_stream() {
    let appliance = appliance();
    let session = Session::open(&appliance, "2025-03-26");
    let mut client = session.send_body(&json!([ping(1), call(2, "where"), call(3, "where")]));
    assert!(client.head().contains("text/event-stream"));
    let mut answered = Vec::new();
    while let Some(event) = client.next_event() {
        let message = event.json();
        match &message {
            Value::Array(answers) => answered.extend(answers.iter().map(|one| one["id"].clone())),
            message if message["method"].is_string() => {
                session.roots(message);
            }
            message => answered.push(message["id"].clone()),
        }
    }
    answered.sort_by_key(Value::to_string);
    assert_eq!(answered, [json!(1), json!(2), json!(3)]);
}

#[test]
fn what_speaks_and_ends_at_once_makes_a_stream_too() {
    let appliance = appliance();
    let session = Session::open(&appliance, "2025-03-26");
    let exchange = session
        .send_body(&json!([call(1, "say"), ping(2)]))
        .read_exchange();
    assert!(exchange.is_stream());
    let messages = exchange.messages();
    assert_eq!(messages[0]["method"], "notifications/message");
    assert_eq!(ids(messages.last().unwrap()), [1, 2]);
}

#[test]
fn what_is_wrong_with_the_whole_refuses_the_whole() {
    let appliance = Appliance::with(&[], "limits:\n  batch_count_max: 3\n");
    let session = Session::open(&appliance, "2025-03-26");
    let refused = |session: &Session<'_>, batch: &Value, needle: &str| {
        let answer = session.send_body(batch).answer();
        assert_eq!(answer.status, 400, "{batch}");
        let words = answer.json()["error"]["message"].to_string();
        assert!(words.contains(needle), "{words}");
    };
    refused(&session, &json!([]), "empty");
    refused(
        &session,
        &json!([ping(1), ping(2), ping(3), ping(4)]),
        "limits.batch_count_max",
    );
    for revision in ["2025-06-18", "2025-11-25"] {
        refused(
            &Session::open(&appliance, revision),
            &json!([ping(1)]),
            "batch",
        );
    }
    let (body, headers) = modern(1, "tools/list", json!({}));
    let answer = appliance.connect().post(&format!("[{body}]"), &headers);
    assert_eq!(answer.status, 400);
    // What is wrong with one of them is that one's.
    let initialize = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}});
    let answers = session
        .send_body(&json!([initialize, 7, [ping(2)]]))
        .answer()
        .json();
    let codes: Vec<_> = answers
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["error"]["code"])
        .collect();
    assert_eq!(codes, [&json!(-32600); 3], "{answers}");
}
