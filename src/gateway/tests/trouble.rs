//! Upstreams that fail, and what becomes of their callers.

use super::*;

const URL: &str = "http://up/mcp";

#[track_caller]
fn error(rig: &mut Rig, ticket: u64) -> String {
    let (answered, answer) = rig.take_done();
    assert_eq!(answered, ticket);
    assert_eq!(answer["id"], ticket);
    answer["error"]["message"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}"))
        .to_owned()
}

#[test]
fn the_right_caller_gets_the_error_of_a_wrong_answer() {
    for wrong in [
        json!({"jsonrpc": "2.0", "id": 99, "result": {}}),
        json!({"jsonrpc": "2.0", "id": "1", "result": {}}),
        json!([1, 2]),
        json!("text"),
        json!({"jsonrpc": "1.0", "id": 1, "result": {}}),
    ] {
        let mut rig = Rig::new(vec![modern(http("up", &[URL]))]);
        rig.begin(call(1, Revision::MODERN));
        rig.begin(call(2, Revision::MODERN));
        let (first, second) = (rig.request(), rig.request());
        rig.head(first.key, 200, None);
        rig.message(first.key, &wrong);
        assert!(error(&mut rig, 1).contains("`up`"), "{wrong}");
        rig.respond(&second, 200, json!({"result": {"resultType": "complete"}}));
        assert_eq!(rig.take_done().0, 2);
    }
}

#[test]
fn an_answer_counts_once() {
    let mut rig = Rig::new(vec![modern(http("up", &[URL]))]);
    rig.begin(call(1, Revision::MODERN));
    let request = rig.request();
    let answer =
        json!({"jsonrpc": "2.0", "id": body(&request)["id"], "result": {"resultType": "complete"}});
    rig.head(request.key, 200, None);
    rig.message(request.key, &answer);
    rig.message(request.key, &answer);
    rig.end(request.key);
    assert_eq!(rig.done.len(), 1);
}

#[test]
fn one_call_s_exchange_cannot_answer_another_s() {
    let mut rig = Rig::new(vec![modern(http("up", &[URL]))]);
    rig.begin(call(1, Revision::MODERN));
    rig.begin(call(2, Revision::MODERN));
    let (first, second) = (rig.request(), rig.request());
    rig.head(first.key, 200, None);
    rig.message(
        first.key,
        &json!({"jsonrpc": "2.0", "id": body(&second)["id"], "result": {"stolen": 1}}),
    );
    error(&mut rig, 1);
    assert!(rig.done.is_empty(), "the other waits on");
}

#[test]
fn a_breaker_opens_refuses_at_once_and_recovers() {
    let mut upstream = modern(http("up", &[URL]));
    upstream.breaker.failure_threshold = 3;
    upstream.breaker.recovery_ms = 1_000;
    let mut rig = Rig::new(vec![upstream]);
    for ticket in 1..=3 {
        rig.begin(call(ticket, Revision::MODERN));
        let request = rig.request();
        rig.respond(&request, 500, Value::Null);
        assert!(error(&mut rig, ticket).contains("HTTP 500"));
    }
    rig.begin(call(4, Revision::MODERN));
    assert!(rig.requests.is_empty());
    assert!(error(&mut rig, 4).contains("not available"));
    rig.pass(1_000);
    rig.begin(call(5, Revision::MODERN));
    let probe = rig.request();
    rig.respond(&probe, 200, json!({"result": {"resultType": "complete"}}));
    assert_eq!(rig.take_done().0, 5);
    rig.begin(call(6, Revision::MODERN));
    assert_eq!(rig.requests.len(), 1);
    assert_eq!(
        rig.audit.said(),
        [
            "CircuitBreakerStateChange denied up: up: opened: calls to this place are refused for a while",
            "CircuitBreakerStateChange ok up: up: closed: its probes succeeded",
        ]
    );
}

#[test]
fn an_answer_with_an_error_says_that_the_upstream_works() {
    let mut upstream = modern(http("up", &[URL]));
    upstream.breaker.failure_threshold = 1;
    let mut rig = Rig::new(vec![upstream]);
    for ticket in 1..=3 {
        rig.begin(call(ticket, Revision::MODERN));
        let request = rig.request();
        rig.respond(
            &request,
            200,
            json!({"error": {"code": -32603, "message": "x"}}),
        );
        assert_eq!(rig.take_done().1["error"]["code"], -32603);
    }
}

#[test]
fn what_never_left_is_sent_elsewhere_and_what_may_have_arrived_only_if_that_is_safe() {
    let urls = ["http://a/mcp", "http://b/mcp"];
    let mut rig = Rig::new(vec![modern(http("up", &urls))]);
    rig.begin(call(1, Revision::MODERN));
    let first = rig.request();
    rig.fail(
        &first,
        Reached::Nothing,
        Failed::Connection,
        "cannot be reached",
    );
    let second = rig.request();
    assert_ne!(first.place, second.place);
    rig.fail(&second, Reached::Sent, Failed::Connection, "broke off");
    assert!(
        error(&mut rig, 1).contains("broke off"),
        "the tool may have run"
    );
    rig.pass(5_000);
    rig.begin(Ask {
        is_repeatable: true,
        ..call(2, Revision::MODERN)
    });
    let first = rig.request();
    rig.fail(&first, Reached::Sent, Failed::Connection, "broke off");
    let again = rig.request();
    assert_ne!(first.place, again.place);
    assert_ne!(
        body(&first)["id"],
        body(&again)["id"],
        "a number is used once"
    );
}

#[test]
fn retries_end_with_their_budget() {
    let mut upstream = modern(http("up", &["http://a/mcp", "http://b/mcp"]));
    upstream.breaker.failure_threshold = 1_000;
    upstream.outlier.consecutive_failures = 1_000;
    let mut rig = Rig::new(vec![upstream]);
    for ticket in 0..100 {
        rig.begin(call(ticket, Revision::MODERN));
        while !rig.requests.is_empty() {
            let request = rig.request();
            rig.fail(&request, Reached::Nothing, Failed::Connection, "down");
        }
    }
    let retries = rig.gateway.numbers()[0].retries;
    assert!((10..=31).contains(&retries), "{retries}");
    assert_eq!(rig.done.len(), 100);
}

#[test]
fn the_fallback_takes_over_while_the_circuit_is_open() {
    let mut upstream = modern(http("a", &[URL]));
    upstream.breaker.failure_threshold = 1;
    upstream.fallback = Some("b".to_owned());
    let mut rig = Rig::new(vec![upstream, modern(http("b", &["http://b/mcp"]))]);
    rig.begin(call(1, Revision::MODERN));
    let request = rig.request();
    rig.respond(&request, 500, Value::Null);
    error(&mut rig, 1);
    rig.begin(call(2, Revision::MODERN));
    let request = rig.request();
    assert_eq!(request.remote.name(), "b");
    rig.respond(&request, 200, json!({"result": {"resultType": "complete"}}));
    assert_eq!(rig.take_done().0, 2);
    assert_eq!(rig.gateway.numbers()[0].fallbacks, 1);
}

#[test]
fn a_silent_upstream_is_given_up_at_the_deadline() {
    let mut upstream = modern(http("up", &[URL]));
    upstream.timeouts.call = std::time::Duration::from_millis(500);
    let mut rig = Rig::new(vec![upstream]);
    rig.begin(call(1, Revision::MODERN));
    let request = rig.request();
    rig.pass(499);
    assert!(rig.done.is_empty());
    rig.pass(30);
    let text = error(&mut rig, 1);
    assert!(
        text.contains("500 ms (upstreams.up.timeouts.call)"),
        "{text}"
    );
    assert!(rig.abandoned.contains(&request.key));
}

#[test]
fn an_upstream_that_wants_credentials_or_redirects_is_named() {
    for (status, says) in [
        (401, "credentials"),
        (302, "redirects"),
        (404, "nothing at this URL"),
    ] {
        let mut rig = Rig::new(vec![modern(http("up", &[URL]))]);
        rig.begin(call(1, Revision::MODERN));
        let request = rig.request();
        rig.respond(&request, status, Value::Null);
        let text = error(&mut rig, 1);
        assert!(
            text.contains(says) && text.contains(&status.to_string()),
            "{text}"
        );
    }
}

#[test]
fn a_failed_handshake_is_told_to_all_who_wait_and_tried_less_and_less() {
    let mut rig = Rig::new(vec![legacy(http("up", &[URL]))]);
    rig.begin(call(1, Revision::V2025_06_18));
    rig.begin(call(2, Revision::V2025_06_18));
    let request = rig.request();
    rig.respond(
        &request,
        200,
        json!({"result": {"protocolVersion": "1999-01-01", "capabilities": {}}}),
    );
    for ticket in [1, 2] {
        assert!(error(&mut rig, ticket).contains("1999-01-01"));
    }
    rig.begin(call(3, Revision::V2025_06_18));
    // Nothing of the call itself was sent: it is tried again.
    while rig.done.is_empty() {
        if rig.requests.is_empty() {
            rig.pass(1_000);
        } else {
            let request = rig.request();
            rig.respond(&request, 500, Value::Null);
        }
    }
    error(&mut rig, 3);
    rig.begin(call(4, Revision::V2025_06_18));
    assert!(rig.requests.is_empty(), "what is soon is waited for");
    for _ in 0..20 {
        rig.pass(2_000);
        while !rig.requests.is_empty() {
            let request = rig.request();
            rig.respond(&request, 500, Value::Null);
        }
        rig.begin(call(5, Revision::V2025_06_18));
    }
    let texts: Vec<String> = rig
        .done
        .iter()
        .map(|(_, answer)| answer.to_string())
        .collect();
    assert!(
        texts.iter().any(|text| text.contains("keeps no session")),
        "{texts:?}"
    );
}

#[test]
fn a_stream_that_breaks_off_is_gone_on_with() {
    let mut rig = Rig::new(vec![legacy(http("up", &[URL]))]);
    rig.begin(call(1, Revision::V2025_11_25));
    rig.handshake("s");
    let request = rig.request();
    rig.head(request.key, 200, None);
    rig.take(TransportEvent::End {
        key: request.key,
        last_event_id: b"e7",
        retry_ms: Some(200),
    });
    assert!(rig.done.is_empty());
    rig.pass(100);
    assert!(rig.requests.is_empty(), "not before it said");
    rig.pass(150);
    let stream = rig.request();
    assert_eq!(
        (stream.verb, stream.head.last_event_id.as_deref()),
        (Verb::Get, Some(&b"e7"[..]))
    );
    rig.head(stream.key, 200, None);
    let id = body(&request)["id"].clone();
    rig.message(
        stream.key,
        &json!({"jsonrpc": "2.0", "id": id, "result": {"content": []}}),
    );
    assert_eq!(rig.take_done().0, 1);
}

#[test]
fn a_slow_call_that_may_be_made_twice_is_and_the_first_answer_counts() {
    let mut upstream = modern(http("up", &["http://a/mcp", "http://b/mcp"]));
    upstream.hedge_after = Some(std::time::Duration::from_millis(100));
    let mut rig = Rig::new(vec![upstream]);
    rig.begin(call(1, Revision::MODERN));
    rig.begin(Ask {
        is_repeatable: true,
        ..call(2, Revision::MODERN)
    });
    rig.request();
    let slow = rig.request();
    rig.pass(90);
    assert!(rig.requests.is_empty());
    rig.pass(30);
    let twin = rig.request();
    assert!(rig.requests.is_empty(), "only what may be made twice");
    assert_ne!(slow.place, twin.place);
    assert_eq!(body(&slow)["params"], body(&twin)["params"]);
    rig.respond(
        &twin,
        200,
        json!({"result": {"resultType": "complete", "from": "twin"}}),
    );
    let (ticket, answer) = rig.take_done();
    assert_eq!(
        (ticket, &answer["id"], &answer["result"]["from"]),
        (2, &json!(2), &json!("twin"))
    );
    assert!(rig.abandoned.contains(&slow.key));
    rig.respond(&slow, 200, json!({"result": {"resultType": "complete"}}));
    assert!(rig.done.is_empty());
    assert_eq!(rig.gateway.call_count(), 1);
}

#[test]
fn a_call_whose_first_attempt_fails_waits_for_its_second() {
    let mut upstream = modern(http("up", &["http://a/mcp", "http://b/mcp"]));
    upstream.hedge_after = Some(std::time::Duration::from_millis(100));
    let mut rig = Rig::new(vec![upstream]);
    rig.begin(Ask {
        is_repeatable: true,
        ..call(1, Revision::MODERN)
    });
    let slow = rig.request();
    rig.pass(120);
    let twin = rig.request();
    rig.fail(&slow, Reached::Sent, Failed::Connection, "broke off");
    assert!(rig.done.is_empty());
    rig.respond(&twin, 200, json!({"result": {"resultType": "complete"}}));
    assert_eq!(rig.take_done().0, 1);
}

#[test]
fn a_tool_may_have_a_time_of_its_own() {
    let mut upstream = modern(http("up", &[URL]));
    upstream.tool_timeouts = vec![(
        crate::upstream::naming::Glob::new("ec*"),
        std::time::Duration::from_millis(200),
    )];
    let mut rig = Rig::new(vec![upstream]);
    rig.begin(call(1, Revision::MODERN));
    rig.pass(230);
    assert!(error(&mut rig, 1).contains("200 ms"));
}
