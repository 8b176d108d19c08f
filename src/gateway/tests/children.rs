//! Children: one process, many callers.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use super::*;

fn descriptor() -> OwnedFd {
    UnixStream::pair().unwrap().0.into()
}

/// A child that runs; its key and its stream.
fn started(rig: &mut Rig) -> (ChildKey, StreamKey) {
    let Some(ChildOrder::Start { child, .. }) = rig.orders.pop() else {
        panic!("no child was ordered");
    };
    rig.gateway.hear(Word::Child {
        child,
        news: ChildNews::Started(descriptor()),
    });
    rig.run();
    (
        child,
        rig.lines.last().map_or(StreamKey(0), |(stream, _)| *stream),
    )
}

fn says(rig: &mut Rig, stream: StreamKey, message: &Value) {
    let text = message.to_string().into_bytes();
    rig.take(TransportEvent::Line {
        stream,
        text: &text,
    });
}

fn answers(rig: &mut Rig, stream: StreamKey, request: &Value, mut answer: Value) {
    answer["jsonrpc"] = json!("2.0");
    answer["id"] = request["id"].clone();
    says(rig, stream, &answer);
}

/// A legacy child after its handshake, and the call that it was started for.
fn legacy_child(rig: &mut Rig) -> (ChildKey, StreamKey) {
    let (child, stream) = started(rig);
    let discover = rig.line();
    assert_eq!(discover["method"], "server/discover");
    answers(
        rig,
        stream,
        &discover,
        json!({"error": {"code": -32601, "message": "?"}}),
    );
    let initialize = rig.line();
    assert_eq!(initialize["method"], "initialize");
    answers(rig, stream, &initialize, initialize_result());
    assert_eq!(rig.line()["method"], "notifications/initialized");
    (child, stream)
}

#[test]
fn callers_share_one_child_and_get_their_own_answers() {
    let mut rig = Rig::new(vec![stdio("up")]);
    rig.begin(call(1, Revision::V2025_06_18));
    rig.begin(Ask {
        session: Some(session(2)),
        id: json!(1),
        ..call(2, Revision::V2025_06_18)
    });
    rig.begin(Ask {
        id: json!(1),
        ..call(3, Revision::MODERN)
    });
    let (_, stream) = legacy_child(&mut rig);
    let requests = [rig.line(), rig.line(), rig.line()];
    for (index, request) in requests.iter().enumerate().rev() {
        let canary = request["params"]["arguments"]["text"].clone();
        answers(
            &mut rig,
            stream,
            request,
            json!({"result": {"content": [canary]}}),
        );
        let (ticket, answer) = rig.take_done();
        assert_eq!(ticket, index as u64 + 1);
        assert_eq!(answer["result"]["content"][0], format!("canary {ticket}"));
        assert_eq!(answer["id"], 1);
    }
    assert_eq!(rig.gateway.link_count(), 1);
}

#[test]
fn a_modern_child_needs_no_handshake() {
    let mut rig = Rig::new(vec![stdio("up")]);
    rig.begin(call(1, Revision::MODERN));
    let (_, stream) = started(&mut rig);
    let discover = rig.line();
    answers(
        &mut rig,
        stream,
        &discover,
        json!({"result": {"supportedVersions": ["2026-07-28"], "capabilities": {}}}),
    );
    let request = rig.line();
    assert_eq!(request["method"], "tools/call");
    answers(
        &mut rig,
        stream,
        &request,
        json!({"result": {"resultType": "complete"}}),
    );
    assert_eq!(rig.take_done().0, 1);
}

#[test]
fn a_child_that_says_nothing_is_taken_for_legacy() {
    let mut rig = Rig::new(vec![stdio("up")]);
    rig.begin(call(1, Revision::MODERN));
    started(&mut rig);
    rig.line();
    rig.pass(10_100);
    assert_eq!(rig.line()["method"], "initialize");
}

#[test]
fn a_child_that_ends_fails_what_it_may_have_begun_and_is_asked_the_rest_again() {
    let mut rig = Rig::new(vec![stdio("up")]);
    rig.begin(call(1, Revision::V2025_06_18));
    rig.begin(Ask {
        is_repeatable: true,
        ..call(2, Revision::V2025_06_18)
    });
    let (child, stream) = legacy_child(&mut rig);
    rig.lines.clear();
    rig.take(TransportEvent::StreamEnded {
        stream,
        why: "end of file",
    });
    let (ticket, answer) = rig.take_done();
    assert_eq!(ticket, 1);
    assert!(
        answer["error"]["message"]
            .as_str()
            .unwrap()
            .contains("closed its output")
    );
    rig.gateway.hear(Word::Child {
        child,
        news: ChildNews::Ended {
            how: "exit status: 1".to_owned(),
            restart_in_ms: Some(250),
        },
    });
    rig.run();
    assert!(rig.done.is_empty());
    rig.gateway.hear(Word::Child {
        child,
        news: ChildNews::Started(descriptor()),
    });
    rig.run();
    let stream = rig.lines.last().unwrap().0;
    let initialize = rig.line();
    assert_eq!(
        initialize["method"], "initialize",
        "what it speaks is known"
    );
    answers(&mut rig, stream, &initialize, initialize_result());
    rig.line();
    let request = rig.line();
    answers(
        &mut rig,
        stream,
        &request,
        json!({"result": {"content": []}}),
    );
    assert_eq!(rig.take_done().0, 2);
    rig.pass(5_000);
    assert!(
        !rig.orders.contains(&ChildOrder::Restart(child)),
        "it has started again by itself"
    );
}

#[test]
fn a_child_that_cannot_be_started_is_told_with_its_reason() {
    let mut rig = Rig::new(vec![stdio("up")]);
    rig.begin(call(1, Revision::MODERN));
    let Some(ChildOrder::Start { child, .. }) = rig.orders.pop() else {
        panic!();
    };
    rig.gateway.hear(Word::Child {
        child,
        news: ChildNews::Ended {
            how: "no such file".to_owned(),
            restart_in_ms: Some(250),
        },
    });
    rig.run();
    let (_, answer) = rig.take_done();
    assert!(
        answer["error"]["message"]
            .as_str()
            .unwrap()
            .contains("no such file"),
        "{answer}"
    );
}

#[test]
fn a_child_whose_output_ended_and_that_lives_on_is_restarted() {
    let mut rig = Rig::new(vec![stdio("up")]);
    rig.begin(call(1, Revision::V2025_06_18));
    let (child, stream) = legacy_child(&mut rig);
    rig.take(TransportEvent::StreamEnded {
        stream,
        why: "a line is longer than the limit",
    });
    rig.pass(2_000);
    assert!(rig.orders.contains(&ChildOrder::Restart(child)));
}

#[test]
fn noise_late_and_made_up_answers_reach_nobody() {
    let mut rig = Rig::new(vec![stdio("up")]);
    rig.begin(call(1, Revision::V2025_06_18));
    let (_, stream) = legacy_child(&mut rig);
    let request = rig.line();
    rig.take(TransportEvent::Line {
        stream,
        text: "Listening on stdio…".as_bytes(),
    });
    says(
        &mut rig,
        stream,
        &json!({"jsonrpc": "2.0", "id": 777, "result": {}}),
    );
    says(
        &mut rig,
        stream,
        &json!({"jsonrpc": "2.0", "id": null, "error": {"code": -1, "message": ""}}),
    );
    assert!(rig.done.is_empty());
    answers(
        &mut rig,
        stream,
        &request,
        json!({"result": {"content": []}}),
    );
    assert_eq!(rig.take_done().0, 1);
    assert!(rig.gateway.numbers()[0].strays >= 3);
}

#[test]
fn a_question_on_a_shared_child_is_asked_only_where_it_is_clear_whose_it_is() {
    let mut rig = Rig::new(vec![stdio("up")]);
    let asking = |ticket, number| Ask {
        session: Some(session(number)),
        capabilities: BOTH_QUESTIONS,
        ..call(ticket, Revision::V2025_06_18)
    };
    rig.begin(asking(1, 1));
    let (_, stream) = legacy_child(&mut rig);
    let first = rig.line();
    let question = json!({"jsonrpc": "2.0", "id": 1, "method": "sampling/createMessage", "params": {"messages": [], "maxTokens": 5}});
    says(&mut rig, stream, &question);
    assert_eq!(rig.asks.remove(0).session, Some(session(1)));
    rig.begin(asking(2, 2));
    rig.line();
    let mut second = question.clone();
    second["id"] = json!(2);
    says(&mut rig, stream, &second);
    assert!(rig.asks.is_empty());
    let refused = rig.line();
    assert!(
        refused["error"]["message"]
            .as_str()
            .unwrap()
            .contains("per-session"),
        "{refused}"
    );
    answers(&mut rig, stream, &first, json!({"result": {}}));
}

#[test]
fn a_cancelled_call_is_told_to_the_child_by_its_number() {
    let mut rig = Rig::new(vec![stdio("up")]);
    rig.begin(call(1, Revision::MODERN));
    let (_, stream) = legacy_child(&mut rig);
    let request = rig.line();
    rig.gateway.cancel(CallerKey { port: 9, ticket: 1 });
    rig.run();
    let notice = rig.line();
    assert_eq!(notice["method"], "notifications/cancelled");
    assert_eq!(notice["params"]["requestId"], request["id"]);
    answers(&mut rig, stream, &request, json!({"result": {}}));
    assert!(rig.done.is_empty());
}

#[test]
fn resources_that_several_follow_are_followed_until_the_last_one_leaves() {
    let mut rig = Rig::new(vec![stdio("up")]);
    let about = |ticket, number, method| Ask {
        session: Some(session(number)),
        method,
        params: json!({"uri": "file:///a"}),
        target: "file:///a",
        ..call(ticket, Revision::V2025_06_18)
    };
    rig.begin(about(1, 1, Method::Subscribe));
    let (_, stream) = legacy_child(&mut rig);
    let request = rig.line();
    answers(&mut rig, stream, &request, json!({"result": {}}));
    rig.begin(about(2, 2, Method::Subscribe));
    let request = rig.line();
    answers(&mut rig, stream, &request, json!({"result": {}}));
    says(
        &mut rig,
        stream,
        &json!({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "file:///a"}}),
    );
    assert_eq!(rig.updated, ["file:///a"]);
    rig.begin(about(3, 1, Method::Unsubscribe));
    assert!(rig.lines.is_empty(), "the other still follows");
    rig.gateway.end_session(session(2));
    rig.run();
    assert_eq!(rig.line()["method"], "resources/unsubscribe");
    assert_eq!(rig.done.len(), 3);
}
