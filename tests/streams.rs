//! What a call says before its answer, as events of the answer's stream.

use serde_json::{Value, json};

use crate::harness::sse::{Event, Session};
use crate::harness::{Appliance, everything, modern, request};

fn appliance() -> Appliance {
    Appliance::with(&[everything().to_str().unwrap()], "")
}

fn says(level: Option<&str>) -> (String, String) {
    let mut params = json!({"name": "say", "arguments": {"a": 1}, "_meta": {"progressToken": 7}});
    if let Some(level) = level {
        params["_meta"]["io.modelcontextprotocol/logLevel"] = json!(level);
    }
    modern(3, "tools/call", params)
}

fn methods(messages: &[Value]) -> Vec<&str> {
    let method = |message: &'static str| message;
    messages
        .iter()
        .map(|message| message["method"].as_str().unwrap_or(method("result")))
        .collect()
}

#[test]
fn a_modern_call_is_heard_on_its_answers_stream() {
    let appliance = appliance();
    let (body, headers) = says(Some("info"));
    for _ in 0..3 {
        let exchange = appliance.connect().exchange(&body, &headers);
        assert!(exchange.is_stream(), "{}", exchange.head);
        assert!(exchange.events.iter().all(|event| event.id.is_none()));
        let messages = exchange.messages();
        assert_eq!(
            methods(&messages),
            [
                "notifications/progress",
                "notifications/progress",
                "notifications/message",
                "result"
            ]
        );
        assert_eq!(messages[0]["params"]["progressToken"], 7);
        assert_eq!(messages[2]["params"]["data"], "said");
        assert_eq!(messages[3]["id"], 3);
        assert_eq!(messages[3]["result"]["content"][0]["text"], r#"{"a":1}"#);
    }
}

#[test]
fn only_what_a_modern_request_wants_is_said() {
    let appliance = appliance();
    let (body, headers) = says(None);
    let exchange = appliance.connect().exchange(&body, &headers);
    assert_eq!(
        methods(&exchange.messages()),
        ["notifications/progress", "notifications/progress", "result"],
        "no log messages without a level"
    );
    let (body, headers) = says(Some("error"));
    let quiet = body.replace(r#""progressToken":7"#, r#""x":7"#);
    let exchange = appliance.connect().exchange(&quiet, &headers);
    assert!(!exchange.is_stream(), "nothing to say, so one JSON object");
}

#[test]
fn who_takes_no_events_gets_the_answer_alone() {
    let appliance = appliance();
    let (body, headers) = says(Some("debug"));
    let only_json = request(&body, &headers).replace(", text/event-stream", "");
    let mut client = appliance.connect();
    client.send(only_json);
    let answer = client.answer();
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.json()["id"], 3);
}

#[test]
fn each_legacy_revision_has_its_own_form_of_stream() {
    let appliance = appliance();
    for revision in ["2025-03-26", "2025-06-18", "2025-11-25"] {
        let session = Session::open(&appliance, revision);
        let exchange = session.call(5, "say").read_exchange();
        assert!(
            exchange
                .head
                .to_lowercase()
                .contains("x-accel-buffering: no")
        );
        let mut events = exchange.events.as_slice();
        if revision == "2025-11-25" {
            assert_eq!(events[0].id.as_deref(), Some("1-0"), "{events:?}");
            assert_eq!(events[0].data, "", "an id to come back with");
            assert!(events[1].retry.is_some());
            events = &events[2..];
        }
        let ids: Vec<_> = events
            .iter()
            .map(|event| event.id.clone().unwrap())
            .collect();
        assert_eq!(ids, ["1-1", "1-2", "1-3", "1-4"], "{revision}");
        let messages: Vec<Value> = events.iter().map(Event::json).collect();
        assert_eq!(methods(&messages)[2..], ["notifications/message", "result"]);
        let second = session.call(6, "say").read_exchange();
        let last = second.events.last().unwrap();
        assert_eq!(
            last.id.as_deref(),
            Some("2-4"),
            "each stream has its own ids"
        );
        assert_eq!(last.json()["id"], 6);
    }
}

#[test]
fn a_legacy_session_hears_what_its_level_lets_through() {
    let appliance = appliance();
    let session = Session::open(&appliance, "2025-06-18");
    let logs = || {
        let messages = session.call(1, "say").read_exchange().messages();
        methods(&messages).contains(&"notifications/message")
    };
    assert!(logs(), "info, until something else is said");
    let mut client = session.send(2, "logging/setLevel", json!({"level": "warning"}));
    assert_eq!(client.answer().json()["result"], json!({}));
    assert!(!logs());
    let mut client = session.send(2, "logging/setLevel", json!({"level": "loud"}));
    assert_eq!(client.answer().json()["error"]["code"], -32602);
}

#[test]
fn a_modern_client_that_goes_away_has_cancelled_and_a_legacy_one_has_not() {
    let appliance = Appliance::with(
        &[everything().to_str().unwrap()],
        "limits:\n  call_deadline: 60s\n",
    );
    let away = || appliance.metric("margay_calls_away", "");
    let (body, headers) = modern(1, "tools/call", json!({"name": "loop", "arguments": {}}));
    let mut client = appliance.connect();
    client.send(request(&body, &headers));
    appliance.eventually("the call runs", || away() == 1.0);
    drop(client);
    appliance.eventually("the call is stopped", || away() == 0.0);
    let session = Session::open(&appliance, "2025-11-25");
    let client = session.call(1, "loop");
    appliance.eventually("the call runs", || away() == 1.0);
    drop(client);
    appliance.eventually("the call is detached", || {
        appliance.metric("margay_calls_detached", "") == 1.0
    });
    assert_eq!(away(), 1.0, "it goes on");
    session.tell(
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
        "params": {"requestId": 1}}),
    );
    appliance.eventually("a detached call is cancelled too", || away() == 0.0);
}

#[test]
fn an_ended_session_takes_its_calls_and_streams_along() {
    let appliance = Appliance::with(
        &[everything().to_str().unwrap(), "--shards", "2"],
        "limits:\n  call_deadline: 60s\n",
    );
    let session = Session::open(&appliance, "2025-11-25");
    let mut calls: Vec<_> = (0..6).map(|id| session.call(id, "ask")).collect();
    for call in &mut calls {
        call.head();
        assert_eq!(call.next_message().json()["method"], "elicitation/create");
    }
    let mut stream = session.stream(None);
    let detached = session.call(9, "loop");
    appliance.eventually("all are away", || {
        appliance.metric("margay_calls_away", "") == 7.0
    });
    drop(detached);
    session.delete();
    for call in &mut calls {
        while call.next_event().is_some() {}
    }
    while stream.next_event().is_some() {}
    for left in [
        "calls_away",
        "questions_open",
        "streams_open",
        "event_bytes",
    ] {
        appliance.eventually(left, || {
            appliance.metric(&format!("margay_{left} "), "") == 0.0
        });
    }
    assert_eq!(session.get(None).answer().status, 404);
}
