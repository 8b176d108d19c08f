//! What upstreams ask, in every pair of eras.

use super::*;

const URL: &str = "http://up/mcp";

fn elicitation(id: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "elicitation/create", "params": {
        "message": "Who?", "requestedSchema": {"type": "object", "properties": {}},
    }})
}

#[test]
fn a_legacy_question_goes_to_its_own_client_and_the_answer_back() {
    let mut rig = Rig::new(vec![legacy(http("up", &[URL]))]);
    rig.begin(Ask {
        capabilities: BOTH_QUESTIONS,
        ..call(1, Revision::V2025_06_18)
    });
    rig.handshake("s");
    let request = rig.request();
    rig.head(request.key, 200, None);
    rig.message(request.key, &elicitation(json!("theirs")));
    let ask = rig.asks.remove(0);
    assert_eq!(
        (&*ask.method, ask.session),
        ("elicitation/create", Some(session(1)))
    );
    rig.gateway
        .answered(ask.number, Ok(br#"{"action":"accept"}"#.to_vec()));
    rig.run();
    let answer = rig.request();
    assert_eq!(
        body(&answer),
        json!({"jsonrpc": "2.0", "id": "theirs", "result": {"action": "accept"}})
    );
    rig.respond(&answer, 202, Value::Null);
    let id = body(&request)["id"].clone();
    rig.message(
        request.key,
        &json!({"jsonrpc": "2.0", "id": id, "result": {"content": []}}),
    );
    assert_eq!(rig.take_done().0, 1);
}

#[test]
fn a_client_that_cannot_answer_is_not_asked() {
    let mut rig = Rig::new(vec![legacy(http("up", &[URL]))]);
    rig.begin(call(1, Revision::V2025_06_18));
    rig.handshake("s");
    let request = rig.request();
    rig.head(request.key, 200, None);
    rig.message(request.key, &elicitation(json!(5)));
    assert!(rig.asks.is_empty());
    let answer = body(&rig.request());
    assert_eq!(answer["id"], 5);
    assert!(
        answer["error"]["message"]
            .as_str()
            .unwrap()
            .contains("elicitation"),
        "{answer}"
    );
    rig.message(
        request.key,
        &json!({"jsonrpc": "2.0", "id": 6, "method": "ping"}),
    );
    assert_eq!(
        body(&rig.request()),
        json!({"jsonrpc": "2.0", "id": 6, "result": {}})
    );
}

/// A modern client whose legacy upstream has asked; the state that it was given.
fn held(rig: &mut Rig) -> (Request, String) {
    rig.begin(Ask {
        capabilities: BOTH_QUESTIONS,
        ..call(1, Revision::MODERN)
    });
    rig.handshake("s");
    let request = rig.request();
    rig.head(request.key, 200, None);
    rig.message(request.key, &elicitation(json!(0)));
    let (ticket, answer) = rig.take_done();
    assert_eq!(
        (ticket, &answer["result"]["resultType"]),
        (1, &json!("input_required"))
    );
    let asked = &answer["result"]["inputRequests"]["q1"];
    assert_eq!(asked["method"], "elicitation/create");
    (
        request,
        answer["result"]["requestState"]
            .as_str()
            .unwrap()
            .to_owned(),
    )
}

fn retry(ticket: u64, state: &str) -> Ask {
    let mut ask = Ask {
        capabilities: BOTH_QUESTIONS,
        ..call(ticket, Revision::MODERN)
    };
    ask.params["requestState"] = json!(state);
    ask.params["inputResponses"] = json!({"q1": {"action": "accept", "content": {}}});
    ask
}

#[test]
fn a_modern_client_takes_a_legacy_question_away_and_comes_back() {
    let mut rig = Rig::new(vec![legacy(http("up", &[URL]))]);
    let (request, state) = held(&mut rig);
    assert_eq!(super::super::home_of_state(&state), Some(1));
    rig.begin(retry(2, &state));
    let answer = rig.request();
    assert_eq!(
        body(&answer)["result"],
        json!({"action": "accept", "content": {}})
    );
    rig.respond(&answer, 202, Value::Null);
    let id = body(&request)["id"].clone();
    rig.message(
        request.key,
        &json!({"jsonrpc": "2.0", "id": id, "result": {"content": []}}),
    );
    let (ticket, answer) = rig.take_done();
    assert_eq!((ticket, &answer["id"]), (2, &json!(2)));
    assert_eq!(answer["result"]["resultType"], "complete");
    rig.begin(retry(3, &state));
    assert_eq!(rig.take_done().1["error"]["code"], -32602, "it is over");
}

#[test]
fn a_held_call_is_nobody_elses() {
    let mut rig = Rig::new(vec![legacy(http("up", &[URL]))]);
    let (_, state) = held(&mut rig);
    for other in [
        Ask {
            principal: Principal(5),
            ..retry(2, &state)
        },
        Ask {
            target: "other",
            ..retry(3, &state)
        },
        retry(4, &(state[..state.len() - 1].to_owned() + "g")),
        retry(5, &state.replace(&state[state.len() - 4..], "0000")),
    ] {
        let ticket = other.ticket;
        rig.begin(other);
        let (answered, answer) = rig.take_done();
        assert_eq!(
            (answered, &answer["error"]["code"]),
            (ticket, &json!(-32602))
        );
    }
}

#[test]
fn an_answer_that_comes_while_the_client_is_away_waits_for_it() {
    let mut rig = Rig::new(vec![legacy(http("up", &[URL]))]);
    let (request, state) = held(&mut rig);
    let id = body(&request)["id"].clone();
    rig.message(
        request.key,
        &json!({"jsonrpc": "2.0", "id": id, "result": {"content": [1]}}),
    );
    rig.end(request.key);
    assert!(rig.done.is_empty());
    rig.begin(retry(2, &state));
    let (ticket, answer) = rig.take_done();
    assert_eq!((ticket, &answer["result"]["content"]), (2, &json!([1])));
}

#[test]
fn a_client_that_does_not_come_back_is_given_up_with_its_call() {
    let mut rig = Rig::new(vec![legacy(http("up", &[URL]))]);
    held(&mut rig);
    rig.pass(super::millis(Limits::default().ask_deadline) + 1_000);
    let methods: Vec<Value> = rig
        .requests
        .iter()
        .map(|one| body(one)["method"].clone())
        .collect();
    assert!(
        methods.contains(&json!("notifications/cancelled")),
        "{methods:?}"
    );
    assert!(rig.gateway.held.is_empty());
}

#[test]
fn a_modern_upstream_s_questions_are_asked_of_a_legacy_client_and_sent_along() {
    let mut rig = Rig::new(vec![modern(http("up", &[URL]))]);
    rig.begin(Ask {
        capabilities: BOTH_QUESTIONS,
        ..call(1, Revision::V2025_11_25)
    });
    let request = rig.request();
    let declared = &body(&request)["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"];
    assert!(declared.get("elicitation").is_some(), "{declared}");
    let question = elicitation(json!(0));
    rig.respond(
        &request,
        200,
        json!({"result": {"resultType": "input_required", "requestState": "opaque", "inputRequests": {
            "a": {"method": question["method"], "params": question["params"]},
            "b": {"method": "sampling/createMessage", "params": {"messages": [], "maxTokens": 1}},
        }}}),
    );
    assert_eq!(rig.asks.len(), 2);
    let asks: Vec<u64> = rig.asks.drain(..).map(|ask| ask.number).collect();
    rig.gateway
        .answered(asks[0], Ok(br#"{"action":"decline"}"#.to_vec()));
    rig.run();
    assert!(rig.requests.is_empty(), "one answer is missing");
    rig.gateway.answered(
        asks[1],
        Ok(br#"{"role":"assistant","model":"m","content":{"type":"text","text":"x"}}"#.to_vec()),
    );
    rig.run();
    let again = rig.request();
    let params = &body(&again)["params"];
    assert_eq!(params["requestState"], "opaque");
    assert_eq!(params["inputResponses"]["a"], json!({"action": "decline"}));
    assert_ne!(body(&again)["id"], body(&request)["id"]);
    rig.respond(
        &again,
        200,
        json!({"result": {"resultType": "complete", "content": []}}),
    );
    assert_eq!(rig.take_done().1["result"], json!({"content": []}));
}

#[test]
fn a_cancelled_call_takes_its_questions_with_it() {
    let mut rig = Rig::new(vec![legacy(http("up", &[URL]))]);
    rig.begin(Ask {
        capabilities: BOTH_QUESTIONS,
        ..call(1, Revision::V2025_06_18)
    });
    rig.handshake("s");
    let request = rig.request();
    rig.head(request.key, 200, None);
    rig.message(request.key, &elicitation(json!(0)));
    rig.gateway.cancel(CallerKey { port: 9, ticket: 1 });
    rig.run();
    assert!(
        rig.others.iter().any(|other| other.contains("Unask")),
        "{:?}",
        rig.others
    );
    let ask = rig.asks.remove(0);
    rig.requests.clear();
    rig.gateway.answered(ask.number, Ok(b"{}".to_vec()));
    rig.run();
    assert!(rig.requests.is_empty(), "a late answer goes nowhere");
}
