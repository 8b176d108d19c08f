//! What components ask of clients: in a session as a request, in the modern era as an answer that has to be sent again.

use serde_json::{Value, json};

use crate::harness::sse::Session;
use crate::harness::{Appliance, everything, modern, scratch};

fn appliance() -> Appliance {
    Appliance::with(&[everything().to_str().unwrap()], "")
}

/// A modern call of `ask` by a client that can fill in forms, with these further parameters.
fn asks(more: &[(&str, Value)]) -> (String, String) {
    let mut params = json!({"name": "ask", "arguments": {"b": 2, "a": 1}, "_meta": {
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}});
    for (key, value) in more {
        params[*key] = value.clone();
    }
    modern(1, "tools/call", params)
}

fn asked(appliance: &Appliance, more: &[(&str, Value)]) -> Value {
    let (body, headers) = asks(more);
    let answer = appliance.connect().post(&body, &headers);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn answers(name: &str) -> Value {
    json!({"name": {"action": "accept", "content": {"name": name}}})
}

fn text(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}"))
}

#[test]
fn in_a_session_a_question_goes_out_on_the_answers_stream_and_its_answer_comes_by_another_post() {
    let appliance = appliance();
    let session = Session::open(&appliance, "2025-11-25");
    let mut call = session.call(1, "ask");
    call.head();
    let question = call.next_message().json();
    assert_eq!(question["params"]["message"], "Who?");
    session.accept(&question, json!({"name": "Ann"}));
    assert_eq!(text(&call.next_message().json()), r#"{"name":"Ann"}"#);
    assert!(call.next_event().is_none(), "the answer ends the stream");
    // A late answer is a client's normal life.
    session.accept(&question, json!({"name": "Bo"}));
    appliance.eventually("it is counted", || {
        appliance.metric("margay_question_answers", "yes") == 1.0
            && appliance.metric("margay_question_answers", "no") == 1.0
    });
}

#[test]
fn an_answer_of_another_session_is_none() {
    let appliance = appliance();
    let (one, other) = (
        Session::open(&appliance, "2025-11-25"),
        Session::open(&appliance, "2025-11-25"),
    );
    let mut call = one.call(1, "ask");
    call.head();
    let question = call.next_message().json();
    other.accept(&question, json!({"name": "Eve"}));
    one.accept(&question, json!({"name": "Ann"}));
    assert_eq!(text(&call.next_message().json()), r#"{"name":"Ann"}"#);
}

#[test]
fn a_question_fails_where_no_events_are_taken_or_nothing_was_declared() {
    let appliance = appliance();
    let session = Session::open(&appliance, "2025-11-25");
    let mut client = appliance.connect();
    let body =
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "ask"}});
    let whole = crate::harness::request(&body.to_string(), &session.headers());
    client.send(whole.replace(", text/event-stream", ""));
    assert_eq!(text(&client.answer().json()), "none", "it cannot be asked");
    let id = appliance.connect().initialize("2025-11-25");
    let answer = appliance
        .connect()
        .post(&body.to_string(), &format!("Mcp-Session-Id: {id}\r\n"))
        .json();
    assert_eq!(answer["result"]["isError"], true);
    assert!(text(&answer).contains("elicitation"), "{answer}");
    let (body, headers) = modern(1, "tools/call", json!({"name": "ask", "arguments": {}}));
    let answer = appliance.connect().post(&body, &headers);
    assert_eq!(
        (answer.status, &answer.json()["error"]["code"]),
        (400, &json!(-32021))
    );
    assert!(answer.json()["error"]["data"]["requiredCapabilities"]["elicitation"].is_object());
}

#[test]
fn a_question_that_is_given_up_leaves_nothing_behind() {
    let appliance = Appliance::with(
        &[everything().to_str().unwrap()],
        "limits:\n  ask_deadline: 300ms\n",
    );
    let session = Session::open(&appliance, "2025-06-18");
    let messages = session.call(1, "ask").read_exchange().messages();
    assert_eq!(messages[1]["method"], "notifications/cancelled");
    assert_eq!(text(&messages[2]), "none");
    assert_eq!(appliance.metric("margay_questions_open", ""), 0.0);
    assert_eq!(appliance.metric("margay_questions_unanswered", ""), 1.0);
}

#[test]
fn waiting_for_an_answer_outlasts_the_calls_deadline() {
    let appliance = Appliance::with(
        &[everything().to_str().unwrap()],
        "limits:\n  call_deadline: 300ms\n  idle_deadline: 300ms\n",
    );
    let session = Session::open(&appliance, "2025-11-25");
    let mut call = session.call(1, "ask");
    call.head();
    let question = call.next_message().json();
    std::thread::sleep(std::time::Duration::from_secs(4));
    session.accept(&question, json!({"name": "Late"}));
    assert_eq!(text(&call.next_message().json()), r#"{"name":"Late"}"#);
}

#[test]
fn a_modern_call_ends_with_its_question_and_goes_on_with_the_answer() {
    let appliance = appliance();
    let first = asked(&appliance, &[]);
    let result = &first["result"];
    assert_eq!(result["resultType"], "input_required");
    let question = &result["inputRequests"]["name"];
    assert_eq!(question["method"], "elicitation/create");
    assert!(question.get("id").is_none() && result.get("content").is_none());
    let state = result["requestState"].clone();
    assert!(state.is_string());
    let retried = asked(
        &appliance,
        &[("requestState", state), ("inputResponses", answers("Ann"))],
    );
    assert_eq!(retried["result"]["resultType"], "complete");
    assert_eq!(text(&retried), r#"{"name":"Ann"}"#);
    // The answers are the client's own word: they are taken without a state too, and others are passed over.
    let straight = asked(&appliance, &[("inputResponses", answers("Bo"))]);
    assert_eq!(text(&straight), r#"{"name":"Bo"}"#);
    let wrong = json!({"other": {"action": "accept"}});
    let again = asked(&appliance, &[("inputResponses", wrong)]);
    assert_eq!(again["result"]["resultType"], "input_required");
}

#[test]
fn a_state_is_good_only_as_it_was_given() {
    let appliance = appliance();
    let state = asked(&appliance, &[])["result"]["requestState"]
        .as_str()
        .unwrap()
        .to_owned();
    let refused = |more: &[(&str, Value)]| {
        let answer = asked(&appliance, more);
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
    };
    let tampered = format!("{state}-TAMPERED");
    refused(&[
        ("requestState", json!(tampered)),
        ("inputResponses", answers("Ann")),
    ]);
    refused(&[
        ("requestState", json!(state)),
        ("arguments", json!({"a": 1})),
    ]);
    refused(&[
        ("requestState", json!("")),
        ("inputResponses", answers("Ann")),
    ]);
    refused(&[("inputResponses", json!({"name": 12345}))]);
    refused(&[("inputResponses", json!([]))]);
    // Written in another order the request is the same.
    let same = [
        ("requestState", json!(state)),
        ("arguments", json!({"a": 1, "b": 2})),
        ("inputResponses", answers("Ann")),
    ];
    assert_eq!(text(&asked(&appliance, &same)), r#"{"name":"Ann"}"#);
    // A tool that never asks never gave one.
    let params = json!({"name": "say", "arguments": {}, "requestState": state});
    let (body, headers) = modern(1, "tools/call", params);
    assert_eq!(
        appliance.connect().post(&body, &headers).json()["error"]["code"],
        -32602
    );
}

#[test]
fn a_retry_outlives_a_restart_and_replicas_serve_each_others_with_a_shared_key() {
    let folder = scratch("state");
    let (state_dir, key) = (folder.join("state"), folder.join("shared.key"));
    let component = everything();
    let start = |config: &str| Appliance::with(&[component.to_str().unwrap()], config);
    let own = format!("state_dir: {}\n", state_dir.display());
    let first = start(&own);
    let state = asked(&first, &[])["result"]["requestState"].clone();
    drop(first);
    let retry = [("requestState", state), ("inputResponses", answers("Ann"))];
    assert_eq!(text(&asked(&start(&own), &retry)), r#"{"name":"Ann"}"#);
    let foreign = asked(&appliance(), &retry);
    assert_eq!(foreign["error"]["code"], -32602, "another server's state");
    std::fs::write(&key, "5a".repeat(32)).unwrap();
    let status = std::process::Command::new("chmod")
        .args(["600", key.to_str().unwrap()])
        .status();
    assert!(status.unwrap().success());
    let shared = format!("request_state_key_file: {}\n", key.display());
    let (one, other) = (start(&shared), start(&shared));
    let state = asked(&one, &[])["result"]["requestState"].clone();
    let retry = [("requestState", state), ("inputResponses", answers("Bo"))];
    assert_eq!(text(&asked(&other, &retry)), r#"{"name":"Bo"}"#);
}

#[test]
fn a_session_whose_call_waits_for_an_answer_does_not_expire_before_it() {
    let appliance = Appliance::with(
        &[everything().to_str().unwrap()],
        "limits:\n  session_idle_deadline: 1s\n  ask_deadline: 4s\n",
    );
    let session = Session::open(&appliance, "2025-11-25");
    let mut call = session.call(1, "ask");
    call.head();
    call.next_message();
    drop(call);
    std::thread::sleep(std::time::Duration::from_millis(2_500));
    assert_eq!(appliance.metric("margay_sessions ", ""), 1.0);
    assert_eq!(appliance.metric("margay_questions_open", ""), 1.0);
    // Nothing of it is left once the question has been given up and the session was idle from there on.
    appliance.eventually("all of it ends", || {
        appliance.metric("margay_sessions ", "") == 0.0
            && appliance.metric("margay_questions_open", "") == 0.0
            && appliance.metric("margay_calls_away", "") == 0.0
    });
}

#[test]
fn abandoned_questions_leave_room_for_other_calls() {
    let limits =
        "limits:\n  request_count_max: 4\n  ask_session_count_max: 1\n  call_deadline: 700ms\n";
    let appliance = Appliance::with(&[everything().to_str().unwrap()], limits);
    let sessions = [(); 3].map(|()| Session::open(&appliance, "2025-11-25"));
    for session in &sessions[..2] {
        let mut call = session.call(1, "ask");
        call.head();
        assert_eq!(call.next_message().json()["params"]["message"], "Who?");
    }
    let full = |session: &Session<'_>| {
        let mut call = session.call(2, "ask");
        let messages = call.read_exchange().messages();
        assert_eq!(text(messages.last().unwrap()), "none");
    };
    full(&sessions[0]);
    full(&sessions[2]);
    assert_eq!(appliance.metric("margay_questions_open", ""), 2.0);
    // As many calls as ever may be at work: none of the abandoned ones has one of their places.
    let mut others: Vec<_> = (0..4)
        .map(|id| {
            let (body, headers) =
                modern(id, "tools/call", json!({"name": "loop", "arguments": {}}));
            let mut client = appliance.connect();
            client.send(crate::harness::request(&body, &headers));
            client
        })
        .collect();
    for client in &mut others {
        let answer = client.answer();
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(text(&answer.json()).contains("limits.call_deadline"));
    }
}

#[test]
fn a_question_that_nobody_comes_back_for_is_given_up_before_its_deadline() {
    let appliance = Appliance::with(
        &[everything().to_str().unwrap()],
        "limits:\n  ask_unheard_deadline: 500ms\n",
    );
    let session = Session::open(&appliance, "2025-11-25");
    let mut heard = session.call(1, "ask");
    heard.head();
    let question = heard.next_message().json();
    let mut left = session.call(2, "ask");
    left.head();
    left.next_message();
    assert_eq!(appliance.metric("margay_questions_open", ""), 2.0);
    drop(left);
    appliance.eventually("it is given up", || {
        appliance.metric("margay_questions_open", "") == 1.0
    });
    assert_eq!(appliance.metric("margay_questions_unanswered", ""), 1.0);
    session.accept(&question, json!({"name": "Ann"}));
    assert_eq!(text(&heard.next_message().json()), r#"{"name":"Ann"}"#);
}
