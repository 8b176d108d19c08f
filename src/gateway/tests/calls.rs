//! Calls that go well.

use super::*;

const URL: &str = "http://up/mcp";

#[test]
fn a_modern_upstream_is_asked_once_what_it_speaks_and_then_called() {
    let mut rig = Rig::new(vec![http("up", &[URL])]);
    rig.begin(call(1, Revision::MODERN));
    rig.begin(call(2, Revision::MODERN));
    assert_eq!(
        rig.requests.len(),
        1,
        "the second waits for the same answer"
    );
    rig.discover_modern();
    let (first, second) = (rig.request(), rig.request());
    assert_eq!(first.head.revision, Some(Revision::MODERN));
    let (method, name) = first.head.mirrored.clone().unwrap();
    assert_eq!((&*method, name.as_deref()), ("tools/call", Some("echo")));
    assert_ne!(body(&first)["id"], body(&second)["id"]);
    rig.respond(
        &second,
        200,
        json!({"result": {"resultType": "complete", "x": 1e2}}),
    );
    let (ticket, answer) = rig.take_done();
    assert_eq!((ticket, &answer["id"]), (2, &json!(2)));
    assert_eq!(answer["result"]["resultType"], "complete");
    rig.respond(
        &first,
        200,
        json!({"error": {"code": -32602, "message": "no"}}),
    );
    let (ticket, answer) = rig.take_done();
    assert_eq!((ticket, &answer["error"]["code"]), (1, &json!(-32602)));
    assert_eq!(rig.gateway.call_count(), 0);
}

#[test]
fn ids_come_back_exactly_as_they_were() {
    let mut rig = Rig::new(vec![modern(http("up", &[URL]))]);
    for (ticket, id) in [
        (1, json!(9_007_199_254_740_993_u64)),
        (2, json!("a\"b\\c\u{e4}")),
        (3, json!(-5)),
        (4, json!("7")),
        (5, json!(7)),
    ] {
        rig.begin(Ask {
            id: id.clone(),
            ..call(ticket, Revision::MODERN)
        });
        let request = rig.request();
        rig.respond(&request, 200, json!({"result": {"resultType": "complete"}}));
        assert_eq!(rig.take_done().1["id"], id);
    }
}

#[test]
fn a_legacy_upstream_gets_one_handshake_and_what_waits_goes_on_after_it() {
    let mut rig = Rig::new(vec![http("up", &[URL])]);
    rig.begin(call(1, Revision::V2025_06_18));
    rig.begin(call(2, Revision::V2025_06_18));
    rig.discover_legacy("s1");
    let (first, second) = (rig.request(), rig.request());
    assert!(rig.requests.is_empty());
    for request in [&first, &second] {
        assert_eq!(request.head.session.as_deref(), Some(&b"s1"[..]));
        assert_eq!(request.head.mirrored, None);
    }
    rig.respond(&first, 200, json!({"result": {"content": []}}));
    assert_eq!(rig.take_done().0, 1);
    // Another session of ours has one of its own there.
    rig.begin(Ask {
        session: Some(session(2)),
        ..call(3, Revision::V2025_06_18)
    });
    rig.handshake("s2");
    let third = rig.request();
    assert_eq!(third.head.session.as_deref(), Some(&b"s2"[..]));
}

#[test]
fn a_session_of_ours_that_ends_ends_the_one_upstream() {
    let mut rig = Rig::new(vec![legacy(http("up", &[URL]))]);
    rig.begin(call(1, Revision::V2025_06_18));
    rig.handshake("s1");
    let request = rig.request();
    rig.respond(&request, 200, json!({"result": {"content": []}}));
    rig.gateway.end_session(session(1));
    rig.run();
    let delete = rig.request();
    assert_eq!(
        (delete.verb, delete.head.session.as_deref()),
        (Verb::Delete, Some(&b"s1"[..]))
    );
    assert_eq!(rig.gateway.link_count(), 0);
}

#[test]
fn a_lost_session_is_made_anew_once_and_the_call_repeated() {
    let mut rig = Rig::new(vec![legacy(http("up", &[URL]))]);
    rig.begin(call(1, Revision::V2025_06_18));
    rig.handshake("s1");
    let request = rig.request();
    rig.respond(
        &request,
        404,
        json!({"error": {"code": -32001, "message": "Session not found"}}),
    );
    rig.handshake("s2");
    let again = rig.request();
    assert_eq!(again.head.session.as_deref(), Some(&b"s2"[..]));
    assert_eq!(body(&again)["params"], body(&request)["params"]);
    rig.respond(&again, 200, json!({"result": {"content": []}}));
    assert_eq!(rig.take_done().1["result"]["content"], json!([]));
}

#[test]
fn eras_are_bridged_both_ways() {
    let mut rig = Rig::new(vec![
        legacy(http("old", &[URL])),
        modern(http("new", &["http://new/mcp"])),
    ]);
    rig.begin(call(1, Revision::MODERN));
    rig.handshake("s1");
    let request = rig.request();
    let params = &body(&request)["params"];
    assert_eq!(params.get("_meta"), None, "{params}");
    rig.respond(&request, 200, json!({"result": {"content": []}}));
    assert_eq!(rig.take_done().1["result"]["resultType"], "complete");
    rig.begin(Ask {
        remote: 1,
        ..call(2, Revision::V2025_06_18)
    });
    let request = rig.request();
    let meta = &body(&request)["params"]["_meta"];
    assert_eq!(
        meta["io.modelcontextprotocol/protocolVersion"],
        "2026-07-28"
    );
    rig.respond(
        &request,
        200,
        json!({"result": {"resultType": "complete", "content": []}}),
    );
    let (_, answer) = rig.take_done();
    assert_eq!(answer["result"], json!({"content": []}));
}

#[test]
fn a_renamed_tool_is_called_by_its_own_name_in_body_and_header() {
    let mut rig = Rig::new(vec![modern(http("up", &[URL]))]);
    rig.begin(Ask {
        target: "their/echo",
        is_renamed: true,
        ..call(1, Revision::MODERN)
    });
    let request = rig.request();
    assert_eq!(body(&request)["params"]["name"], "their/echo");
    assert_eq!(
        request.head.mirrored.unwrap().1.as_deref(),
        Some("their/echo")
    );
}

#[test]
fn progress_reaches_its_own_caller_with_its_own_token() {
    let mut rig = Rig::new(vec![modern(http("up", &[URL]))]);
    for ticket in [1, 2] {
        let mut ask = call(ticket, Revision::MODERN);
        ask.params["_meta"]["progressToken"] = json!("same");
        rig.begin(ask);
    }
    let (first, second) = (rig.request(), rig.request());
    let token = body(&second)["params"]["_meta"]["progressToken"].clone();
    assert_ne!(token, body(&first)["params"]["_meta"]["progressToken"]);
    rig.head(second.key, 200, None);
    rig.message(
        second.key,
        &json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": 1}}),
    );
    assert!(rig.told(1).is_empty());
    let told = rig.told(2);
    assert_eq!(
        told[0]["params"],
        json!({"progressToken": "same", "progress": 1})
    );
}

#[test]
fn log_messages_go_to_who_wants_their_level() {
    let mut rig = Rig::new(vec![modern(http("up", &[URL]))]);
    for (ticket, level) in [
        (1, None),
        (2, Some(LogLevel::Warning)),
        (3, Some(LogLevel::Debug)),
    ] {
        rig.begin(Ask {
            log_level: level,
            ..call(ticket, Revision::MODERN)
        });
        let request = rig.request();
        rig.head(request.key, 200, None);
        rig.message(
            request.key,
            &json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": 1}}),
        );
    }
    assert_eq!([1, 2, 3].map(|ticket| rig.told(ticket).len()), [0, 0, 1]);
}

#[test]
fn a_cancelled_call_is_withdrawn_as_its_era_does() {
    let mut rig = Rig::new(vec![
        modern(http("new", &[URL])),
        legacy(http("old", &["http://old/mcp"])),
    ]);
    rig.begin(call(1, Revision::MODERN));
    let request = rig.request();
    rig.gateway.cancel(CallerKey { port: 9, ticket: 1 });
    rig.run();
    assert_eq!(
        rig.abandoned,
        [request.key],
        "closing the connection says it"
    );
    assert!(rig.requests.is_empty());
    rig.begin(Ask {
        remote: 1,
        ..call(2, Revision::V2025_06_18)
    });
    rig.handshake("s");
    let request = rig.request();
    rig.gateway.cancel(CallerKey { port: 9, ticket: 2 });
    rig.run();
    let notice = body(&rig.request());
    assert_eq!(notice["method"], "notifications/cancelled");
    assert_eq!(notice["params"]["requestId"], body(&request)["id"]);
    // Whatever comes now is nobody's.
    rig.respond(&request, 200, json!({"result": {}}));
    assert!(rig.done.is_empty());
}

#[test]
fn a_task_of_an_upstream_has_an_id_of_ours_and_is_found_by_it() {
    let mut rig = Rig::new(vec![modern(http("up", &[URL]))]);
    rig.begin(call(1, Revision::MODERN));
    let request = rig.request();
    let result = json!({"result": {"resultType": "task", "taskId": "t1", "status": "working"}});
    rig.respond(&request, 200, result);
    let (_, answer) = rig.take_done();
    let id = answer["result"]["taskId"].as_str().unwrap().to_owned();
    assert!(id.starts_with("up.t1."), "{id}");
    let ids = TaskIds::new(&[1; 32]);
    assert_eq!(ids.inward(&id, Principal::ANONYMOUS), Some(("up", "t1")));
    rig.begin(Ask {
        method: Method::GetTask,
        params: json!({"taskId": id, "_meta": call(1, Revision::MODERN).params["_meta"]}),
        target: "t1",
        is_renamed: true,
        ..call(2, Revision::MODERN)
    });
    let request = rig.request();
    assert_eq!(body(&request)["params"]["taskId"], "t1");
}

#[test]
fn the_old_pair_of_endpoints_is_found_and_spoken_to() {
    let mut rig = Rig::new(vec![http("up", &["http://up/sse"])]);
    rig.begin(call(1, Revision::V2025_06_18));
    let request = rig.request();
    rig.respond(&request, 405, Value::Null);
    let request = rig.request();
    assert_eq!(body(&request)["method"], "initialize");
    rig.respond(&request, 405, Value::Null);
    let stream = rig.request();
    assert_eq!(stream.verb, Verb::Get);
    rig.head(stream.key, 200, None);
    rig.take(TransportEvent::Event {
        key: stream.key,
        kind: b"endpoint",
        data: b"/messages?s=1",
    });
    let request = rig.request();
    assert_eq!(
        (
            body(&request)["method"].as_str(),
            request.endpoint.is_some()
        ),
        (Some("initialize"), true)
    );
    rig.respond(&request, 202, Value::Null);
    let mut answer = initialize_result();
    answer["jsonrpc"] = json!("2.0");
    answer["id"] = body(&request)["id"].clone();
    answer["result"]["protocolVersion"] = json!("2024-11-05");
    rig.message(stream.key, &answer);
    let request = rig.request();
    assert_eq!(body(&request)["method"], "notifications/initialized");
    rig.respond(&request, 202, Value::Null);
    let request = rig.request();
    assert_eq!(body(&request)["method"], "tools/call");
    rig.respond(&request, 202, Value::Null);
    rig.message(
        stream.key,
        &json!({"jsonrpc": "2.0", "id": body(&request)["id"], "result": {"content": []}}),
    );
    assert_eq!(rig.take_done().0, 1);
    rig.end(stream.key);
    rig.begin(call(2, Revision::V2025_06_18));
    assert_eq!(
        rig.request().verb,
        Verb::Get,
        "a new session, since the stream was the old one's"
    );
}
