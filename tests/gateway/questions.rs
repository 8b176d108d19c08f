//! What upstreams ask clients before they answer, in all pairs of eras.

use serde_json::{Value, json};

use super::{Front, Talker};
use crate::harness::Appliance;
use crate::harness::upstream::Script;

/// Each question: the tool, its method, a client's answer.
fn questions() -> [(&'static str, &'static str, Value); 3] {
    [
        (
            "ask",
            "elicitation/create",
            json!({"action": "accept", "content": {"name": "Grüße \"☃\""}}),
        ),
        (
            "sample",
            "sampling/createMessage",
            json!({"role": "assistant", "content": {"type": "text", "text": "said"}, "model": "none"}),
        ),
        (
            "roots",
            "roots/list",
            json!({"roots": [{"uri": "file:///here", "name": "here"}]}),
        ),
    ]
}

/// What a tool said it was answered.
fn heard(answer: &Value) -> Value {
    let text = answer["result"]["content"][0]["text"].as_str();
    serde_json::from_str(text.unwrap_or_else(|| panic!("{answer}"))).unwrap()
}

/// A legacy client is asked on the stream of its call, and answers with a request of its own.
fn ask_legacy(talker: &Talker, tool: &str, method: &str, reply: &Value) {
    let mut call = talker.send_call("\"the call\"", tool, json!({}));
    call.head();
    let question = call.event();
    assert_eq!(question["method"], method, "{question}");
    talker
        .session()
        .tell(json!({"jsonrpc": "2.0", "id": question["id"], "result": reply}));
    let answer = call.event();
    assert_eq!(answer["id"], "the call", "{answer}");
    assert_eq!(heard(&answer), *reply);
}

/// A modern client is given the question, and comes back with its answer and the state as it was.
fn ask_modern(talker: &Talker, tool: &str, method: &str, reply: &Value) {
    let first = talker.call(tool, json!({"a": 1}));
    let result = &first["result"];
    assert_eq!(result["resultType"], "input_required", "{first}");
    let requests = result["inputRequests"].as_object().unwrap();
    assert_eq!(requests.len(), 1, "{first}");
    let (key, question) = requests.iter().next().unwrap();
    assert_eq!(question["method"], method, "{first}");
    let params = json!({"name": tool, "arguments": {"a": 1}, "inputResponses": {key: reply},
        "requestState": result["requestState"]});
    let exchange = talker.exchange("\"again\"", "tools/call", params);
    let answer = exchange.messages().last().unwrap().clone();
    assert_eq!(answer["id"], "again", "{answer}");
    assert_eq!(answer["result"]["resultType"], "complete", "{answer}");
    assert_eq!(heard(&answer), *reply);
}

fn ask(talker: &Talker, tool: &str, method: &str, reply: &Value) {
    match talker.era() {
        "legacy" => ask_legacy(talker, tool, method, reply),
        _ => ask_modern(talker, tool, method, reply),
    }
}

#[test]
fn a_client_of_either_era_answers_an_upstream_of_either_era_over_http() {
    for script in [
        Script::legacy("up"),
        Script::legacy("up").with_events(),
        Script::modern("up"),
        Script::modern("up").with_events(),
        Script::old("up"),
    ] {
        let upstream = script.http();
        let appliance = Front::default()
            .http("up", &upstream, "prefix: always")
            .start(&["up__ask"]);
        for talker in Talker::both(&appliance) {
            for (tool, method, reply) in questions() {
                ask(&talker, &format!("up__{tool}"), method, &reply);
            }
        }
    }
}

#[test]
fn a_client_of_either_era_answers_an_upstream_of_either_era_over_stdio() {
    for script in [Script::legacy("up"), Script::modern("up")] {
        for sharing in ["shared", "per-session"] {
            let child = script.clone().child();
            let keys = format!("prefix: always, sharing: {sharing}");
            let appliance = Front::default()
                .stdio("up", &child, &keys)
                .start(&["up__ask"]);
            for talker in Talker::both(&appliance) {
                for (tool, method, reply) in questions() {
                    ask(&talker, &format!("up__{tool}"), method, &reply);
                }
            }
        }
    }
}

/// Every session of the upstream numbers its questions alike.
#[test]
fn questions_with_the_same_id_go_to_the_sessions_that_caused_them() {
    let upstream = Script::legacy("up").http();
    let appliance = Front::default()
        .http("up", &upstream, "prefix: always")
        .start(&["up__ask"]);
    let talkers: Vec<Talker> = (0..8).map(|_| Talker::legacy(&appliance)).collect();
    let mut calls: Vec<_> = talkers
        .iter()
        .map(|talker| talker.send_call("0", "up__ask", json!({})))
        .collect();
    let asked: Vec<Value> = calls
        .iter_mut()
        .map(|call| {
            call.head();
            call.event()
        })
        .collect();
    for (index, (talker, question)) in talkers.iter().zip(&asked).enumerate().rev() {
        let reply = json!({"action": "accept", "content": {"name": format!("client {index}")}});
        talker
            .session()
            .tell(json!({"jsonrpc": "2.0", "id": question["id"], "result": reply}));
    }
    for (index, call) in calls.iter_mut().enumerate() {
        assert_eq!(
            heard(&call.event())["content"]["name"],
            format!("client {index}")
        );
    }
}

#[test]
fn nobody_answers_the_question_of_another_session() {
    let upstream = Script::legacy("up").http();
    let appliance = Front::default()
        .http("up", &upstream, "prefix: always")
        .start(&["up__ask"]);
    let (asked, other) = (Talker::legacy(&appliance), Talker::legacy(&appliance));
    let mut call = asked.send_call("0", "up__ask", json!({}));
    call.head();
    let question = call.event();
    let forged = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept", "content": {"name": "forged"}}});
    other.session().send_body(&forged).answer();
    let reply = json!({"action": "decline"});
    asked
        .session()
        .tell(json!({"jsonrpc": "2.0", "id": question["id"], "result": reply}));
    assert_eq!(heard(&call.event()), reply);
}

#[test]
fn a_state_that_is_forged_or_of_another_request_continues_nothing() {
    let upstream = Script::legacy("up").http();
    let appliance = Front::default()
        .http("up", &upstream, "prefix: always")
        .start(&["up__ask"]);
    let talker = Talker::modern(&appliance);
    let first = talker.call("up__ask", json!({}))["result"].clone();
    let state = first["requestState"].as_str().unwrap().to_owned();
    let key = first["inputRequests"]
        .as_object()
        .unwrap()
        .keys()
        .next()
        .unwrap()
        .clone();
    let reply = json!({"action": "decline"});
    let again = |tool: &str, state: &str| {
        let params = json!({"name": tool, "arguments": {}, "inputResponses": {&key: reply}, "requestState": state});
        talker
            .exchange("1", "tools/call", params)
            .messages()
            .last()
            .unwrap()
            .clone()
    };
    let forged: String = state.chars().rev().collect();
    let changed = format!(
        "{}{}",
        &state[..state.len() - 1],
        if state.ends_with('0') { '1' } else { '0' }
    );
    for (tool, state) in [
        ("up__ask", forged),
        ("up__ask", changed),
        ("up__sample", state.clone()),
    ] {
        let answer = again(tool, &state);
        assert_eq!(answer["error"]["code"], -32602, "{tool} {state}: {answer}");
    }
    assert_eq!(
        heard(&again("up__ask", &state)),
        reply,
        "the right one does, all the same"
    );
    assert_eq!(
        again("up__ask", &state)["error"]["code"],
        -32602,
        "and does so once"
    );
}

#[test]
fn a_call_that_goes_on_tells_its_progress_to_the_request_that_continued_it() {
    for is_child in [false, true] {
        let (http, child) = (Script::legacy("up").http(), Script::legacy("up").child());
        let front = match is_child {
            false => Front::default().http("up", &http, "prefix: always"),
            true => Front::default().stdio("up", &child, "prefix: always"),
        };
        let appliance = front.start(&["up__ask"]);
        let talker = Talker::modern(&appliance);
        let arguments = json!({"count": 2});
        let params =
            json!({"name": "up__ask", "arguments": arguments, "_meta": {"progressToken": "first"}});
        let first = talker.exchange("1", "tools/call", params).messages()[0]["result"].clone();
        let key = first["inputRequests"]
            .as_object()
            .unwrap()
            .keys()
            .next()
            .unwrap();
        let params = json!({"name": "up__ask", "arguments": arguments, "_meta": {"progressToken": "second"},
            "inputResponses": {key: {"action": "decline"}}, "requestState": first["requestState"]});
        let messages = talker.exchange("2", "tools/call", params).messages();
        assert_eq!(messages.len(), 3, "{messages:?}");
        for told in &messages[..2] {
            assert_eq!(told["params"]["progressToken"], "second", "{messages:?}");
        }
    }
}

#[test]
fn an_upstream_is_told_only_of_what_its_client_can_do() {
    let legacy = Script::legacy("legacy").http();
    let modern = Script::modern("modern").http();
    let front = Front::default()
        .http("legacy", &legacy, "prefix: always")
        .http("modern", &modern, "prefix: always");
    let appliance = front.start(&["legacy__ask", "modern__ask"]);
    for name in ["legacy", "modern"] {
        for (tool, _, _) in questions() {
            for answer in [
                plain_legacy(&appliance, &format!("{name}__{tool}")),
                plain_modern(&appliance, &format!("{name}__{tool}")),
            ] {
                let text = answer.to_string();
                let word = if tool == "ask" {
                    "elicitation"
                } else {
                    tool.split('/').next().unwrap()
                };
                assert!(text.contains(&word[..4]), "{name} {tool}: {text}");
                assert!(
                    answer["result"]["content"].is_null() || answer["result"]["isError"] == true,
                    "{text}"
                );
            }
        }
    }
}

/// The answer to a legacy client that can do nothing.
fn plain_legacy(appliance: &Appliance, tool: &str) -> Value {
    let mut client = appliance.connect();
    let session = client.initialize("2025-11-25");
    let headers = format!("Mcp-Session-Id: {session}\r\nMCP-Protocol-Version: 2025-11-25\r\n");
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": {}}});
    client.send(crate::harness::request(&body.to_string(), &headers));
    client.read_any().messages().last().unwrap().clone()
}

fn plain_modern(appliance: &Appliance, tool: &str) -> Value {
    let mut client = appliance.connect();
    let (body, headers) =
        crate::harness::modern(1, "tools/call", json!({"name": tool, "arguments": {}}));
    client.send(crate::harness::request(&body, &headers));
    client.read_any().messages().last().unwrap().clone()
}

#[test]
fn a_question_that_nobody_answers_ends_with_its_time() {
    let upstream = Script::legacy("up").http();
    let front = Front::default().http("up", &upstream, "prefix: always, timeouts: {call: 1s}");
    let appliance = front
        .configured("limits: {ask_deadline: 1s}\n")
        .start(&["up__ask"]);
    let legacy = Talker::legacy(&appliance);
    let mut call = legacy.send_call("1", "up__ask", json!({}));
    call.head();
    let question = call.event();
    let answer = std::iter::repeat_with(|| call.event())
        .find(|message| message["id"] == 1 && message["method"].is_null());
    let answer = answer.unwrap();
    assert!(
        answer["error"].is_object() || answer["result"].is_object(),
        "{question} {answer}"
    );
    // A modern client that never comes back leaves nothing behind.
    let modern = Talker::modern(&appliance);
    let first = modern.call("up__ask", json!({}))["result"].clone();
    appliance.eventually("the held call is given up", || {
        let params = json!({"name": "up__ask", "arguments": {}, "inputResponses": {}, "requestState": first["requestState"]});
        let answer = modern.exchange("1", "tools/call", params).messages().last().unwrap().clone();
        answer["error"]["code"] == -32602
    });
}
