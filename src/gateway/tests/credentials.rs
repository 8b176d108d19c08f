//! Upstreams that do not take our credential.

use super::*;
use crate::secret::Secret;
use crate::upstream::credential::{AuthSettings, AuthorizationCode, Issued, Scopes};

const URL: &str = "http://up/mcp";

fn managed(mut upstream: Upstream) -> Upstream {
    upstream.auth = Some(AuthSettings::AuthorizationCode(AuthorizationCode {
        client: None,
        redirect_uri: None,
        scopes: Scopes::default(),
        client_metadata_url: None,
        issuer: None,
        follow: false,
    }));
    upstream
}

impl Rig {
    fn deny(&mut self, request: &Request, status: u16, challenge: &str) {
        let mut head = AnswerHead::default();
        head.status = status;
        head.challenge = Some(challenge.as_bytes().into());
        let key = request.key;
        self.take(TransportEvent::Head { key, head: &head });
        self.end(key);
    }

    fn grant(&mut self, generation: u64) {
        let issued = Issued::bearer(generation, &Secret::new("t"));
        self.remotes[0].credential.publish(issued);
        self.news_of_credential(Ok(()));
    }

    fn news_of_credential(&mut self, news: Result<(), String>) {
        self.gateway.set_now(self.now_ms);
        self.gateway.hear(Word::Credential(0, news));
        self.run();
    }
}

#[test]
fn a_call_that_may_not_be_repeated_is_made_again_with_another_credential() {
    let mut rig = Rig::new(vec![managed(modern(http("up", &[URL])))]);
    rig.begin(call(1, Revision::MODERN));
    let first = rig.request();
    rig.deny(
        &first,
        401,
        "Bearer resource_metadata=\"http://up/d\", scope=\"a\"",
    );
    assert!(rig.requests.is_empty() && rig.done.is_empty(), "it waits");
    let want = rig.wants.remove(0);
    assert_eq!((want.remote, want.port, want.seen), (0, 1, 0));
    assert!(!want.lacks_scopes);
    assert_eq!(want.challenge.scope.as_deref(), Some("a"));
    rig.grant(1);
    let second = rig.request();
    assert_eq!(body(&second)["params"], body(&first)["params"]);
    rig.respond(&second, 200, json!({"result": {"resultType": "complete"}}));
    assert_eq!(rig.take_done().0, 1);
}

#[test]
fn a_home_asks_once_for_all_that_wait() {
    let mut rig = Rig::new(vec![managed(modern(http("up", &[URL])))]);
    for ticket in 1..=3 {
        rig.begin(call(ticket, Revision::MODERN));
        let request = rig.request();
        rig.deny(&request, 401, "Bearer");
    }
    assert_eq!(rig.wants.len(), 1);
    rig.grant(1);
    assert_eq!(rig.requests.len(), 3);
}

#[test]
fn who_gets_no_credential_is_told_why() {
    let mut rig = Rig::new(vec![managed(modern(http("up", &[URL])))]);
    rig.begin(call(1, Revision::MODERN));
    let request = rig.request();
    rig.deny(&request, 401, "Bearer");
    rig.news_of_credential(Err("nobody has allowed it".to_owned()));
    let (_, answer) = rig.take_done();
    assert_eq!(answer["error"]["data"]["reason"], "unauthorized");
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("`up`") && message.contains("nobody has allowed it"),
        "{message}"
    );
    assert!(rig.requests.is_empty(), "asking again is in vain");
}

#[test]
fn a_call_waits_for_scopes_and_not_for_ever() {
    let mut rig = Rig::new(vec![managed(modern(http("up", &[URL])))]);
    rig.begin(call(1, Revision::MODERN));
    let challenge = "Bearer error=\"insufficient_scope\", scope=\"b\"";
    for generation in 1..=2 {
        let request = rig.request();
        rig.deny(&request, 403, challenge);
        let want = rig.wants.remove(0);
        assert!(want.lacks_scopes);
        assert_eq!(want.seen, generation - 1, "what the request has shown");
        rig.grant(generation);
    }
    let request = rig.request();
    rig.deny(&request, 403, challenge);
    let (_, answer) = rig.take_done();
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("HTTP 403") && message.contains("`auth`"),
        "{message}"
    );
}

#[test]
fn other_refusals_ask_nobody() {
    let plain = "Bearer error=\"invalid_token\"";
    for (managed_by_us, status, challenge) in [
        (true, 403, plain),
        (false, 401, plain),
        (false, 403, "Bearer error=\"insufficient_scope\""),
    ] {
        let upstream = modern(http("up", &[URL]));
        let upstream = if managed_by_us {
            managed(upstream)
        } else {
            upstream
        };
        let mut rig = Rig::new(vec![upstream]);
        rig.begin(call(1, Revision::MODERN));
        let request = rig.request();
        rig.deny(&request, status, challenge);
        assert!(rig.wants.is_empty(), "{status}");
        assert_eq!(rig.take_done().0, 1);
    }
}

#[test]
fn every_step_of_the_way_to_a_call_waits_for_a_credential() {
    let mut rig = Rig::new(vec![managed(http("up", &[URL]))]);
    rig.begin(call(1, Revision::V2025_06_18));
    let mut generation = 0;
    let mut denied = |rig: &mut Rig, method: &str| {
        let request = rig.request();
        assert_eq!(body(&request)["method"], method);
        rig.deny(&request, 401, "Bearer");
        generation += 1;
        rig.grant(generation);
    };
    denied(&mut rig, "server/discover");
    let request = rig.request();
    rig.respond(
        &request,
        400,
        json!({"error": {"code": -32600, "message": "no session"}}),
    );
    denied(&mut rig, "initialize");
    let request = rig.request();
    rig.respond_in(&request, 200, initialize_result(), Some("s"));
    denied(&mut rig, "notifications/initialized");
    let request = rig.request();
    assert_eq!(body(&request)["method"], "notifications/initialized");
    rig.respond(&request, 202, Value::Null);
    denied(&mut rig, "tools/call");
    let request = rig.request();
    assert_eq!(
        request.head.session.as_deref(),
        Some(&b"s"[..]),
        "the session stays"
    );
    rig.respond(&request, 200, json!({"result": {}}));
    assert_eq!(rig.take_done().0, 1);
    assert_eq!(rig.wants.len(), 4);
}

#[test]
fn a_call_whose_time_is_over_is_not_made_again_later() {
    let mut rig = Rig::new(vec![managed(modern(http("up", &[URL])))]);
    rig.begin(call(1, Revision::MODERN));
    let request = rig.request();
    rig.deny(&request, 401, "Bearer");
    rig.pass(120_000);
    assert_eq!(rig.take_done().0, 1);
    rig.grant(1);
    assert!(rig.requests.is_empty());
    rig.begin(call(2, Revision::MODERN));
    let request = rig.request();
    rig.deny(&request, 401, "Bearer");
    assert_eq!(rig.wants.len(), 2, "it is asked again after that");
}
