//! Lists of upstreams, as control gets them.

use super::*;

const URL: &str = "http://up/mcp";

fn listing(rig: &mut Rig) -> RawListing {
    match rig.news.remove(0) {
        News::Listed { listing, .. } => *listing,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_page_of_every_list_that_there_is_comes_at_the_start() {
    let mut rig = Rig::feeding(vec![legacy(http("up", &[URL]))]);
    rig.pass(30);
    rig.handshake("s");
    let request = rig.request();
    assert_eq!(
        body(&request)["method"],
        "tools/list",
        "it said that it has tools alone"
    );
    rig.respond(
        &request,
        200,
        json!({"result": {"tools": [{"name": "a"}], "nextCursor": "c1"}}),
    );
    let request = rig.request();
    assert_eq!(body(&request)["params"]["cursor"], "c1");
    rig.respond(&request, 200, json!({"result": {"tools": [{"name": "b"}]}}));
    let listing = listing(&mut rig);
    assert_eq!(listing.pages.len(), 2);
    let facts: Value = serde_json::from_slice(&listing.facts).unwrap();
    assert!(facts["capabilities"]["tools"].is_object());
}

#[test]
fn a_page_that_leads_to_itself_has_an_end() {
    let mut rig = Rig::feeding(vec![legacy(http("up", &[URL]))]);
    rig.pass(30);
    rig.handshake("s");
    for _ in 0..2 {
        let request = rig.request();
        rig.respond(
            &request,
            200,
            json!({"result": {"tools": [], "nextCursor": "same"}}),
        );
    }
    assert_eq!(listing(&mut rig).pages.len(), 2);
}

#[test]
fn a_change_has_the_lists_asked_for_again() {
    let mut rig = Rig::feeding(vec![legacy(http("up", &[URL]))]);
    rig.pass(30);
    rig.handshake("s");
    let request = rig.request();
    rig.respond(&request, 200, json!({"result": {"tools": []}}));
    listing(&mut rig);
    rig.gateway.feed_changed(0, None);
    rig.pass(300);
    let request = rig.request();
    assert_eq!(body(&request)["method"], "tools/list");
    // Changed once more while it is asked.
    rig.gateway.feed_changed(0, None);
    rig.respond(&request, 200, json!({"result": {"tools": []}}));
    listing(&mut rig);
    rig.pass(300);
    assert_eq!(body(&rig.request())["method"], "tools/list");
}

#[test]
fn an_upstream_that_is_down_is_said_to_be_and_asked_again() {
    let mut rig = Rig::feeding(vec![legacy(http("up", &[URL]))]);
    rig.pass(30);
    let request = rig.request();
    rig.fail(
        &request,
        Reached::Nothing,
        Failed::Connection,
        "refused the connection",
    );
    let retry = rig.requests.pop();
    if let Some(retry) = retry {
        rig.fail(
            &retry,
            Reached::Nothing,
            Failed::Connection,
            "refused the connection",
        );
    }
    let News::Down { why, .. } = rig.news.remove(0) else {
        panic!();
    };
    assert!(why.contains("refused the connection"));
    rig.requests.clear();
    rig.pass(40_000);
    assert!(!rig.requests.is_empty(), "asked again");
}

#[test]
fn a_modern_upstream_is_listened_to() {
    let mut rig = Rig::feeding(vec![http("up", &[URL])]);
    rig.pass(30);
    rig.discover_modern();
    let listen = rig.request();
    assert_eq!(body(&listen)["method"], "subscriptions/listen");
    assert!(listen.is_long);
    let request = rig.request();
    assert_eq!(body(&request)["method"], "tools/list");
    rig.respond(
        &request,
        200,
        json!({"result": {"resultType": "complete", "tools": []}}),
    );
    listing(&mut rig);
    rig.head(listen.key, 200, None);
    let id = body(&listen)["id"].clone();
    rig.message(
        listen.key,
        &json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed",
            "params": {"_meta": {"io.modelcontextprotocol/subscriptionId": id}}}),
    );
    rig.pass(300);
    assert_eq!(body(&rig.request())["method"], "tools/list");
    rig.end(listen.key);
    rig.pass(1_100);
    let methods: Vec<Value> = rig
        .requests
        .iter()
        .map(|one| body(one)["method"].clone())
        .collect();
    assert!(
        methods.contains(&json!("subscriptions/listen")),
        "{methods:?}"
    );
}
