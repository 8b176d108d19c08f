//! What somebody can do who is not known and comes again and again: no more than his address may, and nothing to those who are known.

use margay::policy::auth::hash_of;
use serde_json::json;

use crate::harness::{Answer, Appliance, modern};

/// A key that is none of a token's form, and so is only looked up.
fn key(name: &str) -> String {
    format!("a-key-of-some-length-0123456789-{name}")
}

fn serve(more: &str) -> Appliance {
    let entry = |name| format!("{{name: {name}, hash: '{}'}}", hash_of(&key(name)));
    let keys = ["ann", "bob", "eve"].map(entry).join(", ");
    Appliance::with(&[], &format!("auth: {{api_keys: [{keys}]}}\n{more}\n"))
}

fn call(appliance: &Appliance, key: Option<&str>) -> Answer {
    let params = json!({"name": "echo", "arguments": {"text": "hi"}});
    let (body, headers) = modern(1, "tools/call", params);
    let shown = key.map_or_else(String::new, |key| {
        format!("Authorization: Bearer {key}\r\n")
    });
    appliance
        .connect()
        .post(&body, &format!("{headers}{shown}"))
}

fn statuses(appliance: &Appliance, key: Option<&str>, count: usize) -> Vec<u16> {
    (0..count).map(|_| call(appliance, key).status).collect()
}

#[test]
fn guesses_are_not_looked_at_beyond_the_limit_and_who_is_known_does_not_notice() {
    let appliance = serve("limits: {auth_failure_per_second_max: 2}");
    let [ann, bob] = ["ann", "bob"].map(key);
    assert_eq!(call(&appliance, Some(&ann)).status, 200);
    let guess = |number: usize| call(&appliance, Some(&key(&format!("guess-{number}"))));
    let mut waits = 0;
    for number in 0..20 {
        let answer = guess(number);
        if answer.status == 429 {
            waits += 1;
            assert_eq!(answer.header("retry-after"), Some("1"));
            let error = &answer.json()["error"];
            let text = error["message"].as_str().unwrap();
            assert!(text.contains("auth_failure_per_second_max"), "{text}");
            assert!(error["data"]["retryAfterMs"].as_u64().unwrap() <= 1_000);
            assert_eq!(answer.header("www-authenticate"), None);
        } else {
            assert_eq!(answer.status, 401);
        }
        assert_eq!(call(&appliance, Some(&ann)).status, 200);
    }
    assert!(waits > 10, "{waits} of 20 had to wait");
    // Who was never here waits a moment, as nobody can tell him from the guesser.
    appliance.eventually("bob is let in", || {
        call(&appliance, Some(&bob)).status == 200
    });
    // To show nothing costs nothing: it is how clients begin.
    assert_eq!(statuses(&appliance, None, 10), [401; 10]);
    let refused = appliance.metric("margay_refusals_total", "rate");
    assert!(refused >= 11.0, "{refused}");
}

#[test]
fn requests_of_nobody_count_for_their_address() {
    let appliance = serve("rates: {address: {per_hour: 4}}");
    assert_eq!(statuses(&appliance, None, 2), [401; 2]);
    let wrong = key("mallory");
    let answers = statuses(&appliance, Some(&wrong), 4);
    assert_eq!(answers, [401, 401, 429, 429]);
    let answer = call(&appliance, None);
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert_eq!(answer.status, 429);
    assert!((1..=900).contains(&seconds), "{seconds}");
    // The limit is his address's, whoever comes from there.
    assert_eq!(call(&appliance, Some(&key("ann"))).status, 429);
}

#[test]
fn who_is_known_counts_once_also_when_he_is_new() {
    let appliance = serve("rates: {address: {per_hour: 4}}");
    for name in ["ann", "bob", "eve", "ann"] {
        assert_eq!(call(&appliance, Some(&key(name))).status, 200, "{name}");
    }
    assert_eq!(call(&appliance, Some(&key("bob"))).status, 429);
}

#[test]
fn a_request_that_is_refused_on_its_head_counts_once() {
    let appliance = serve("rates: {address: {per_hour: 3}}");
    let (_, headers) = modern(1, "tools/call", json!({}));
    let ask = |shown: &str| {
        let mut client = appliance.connect();
        // The body does not come.
        client.send(format!(
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\nContent-Length: 1000\r\n{headers}{shown}\r\n"
        ));
        client.answer().status
    };
    let shown = format!("Authorization: Bearer {}\r\n", key("mallory"));
    assert_eq!(
        [ask(&shown), ask(""), ask(&shown), ask(&shown)],
        [401, 401, 401, 429]
    );
}

#[test]
fn an_address_that_nothing_is_counted_of_may_guess() {
    let appliance = serve(
        "limits: {auth_failure_per_second_max: 1}\nrates: {address: {per_hour: 1}, exempt: [127.0.0.0/8]}",
    );
    let wrong = key("mallory");
    assert_eq!(statuses(&appliance, Some(&wrong), 10), [401; 10]);
    assert_eq!(call(&appliance, Some(&key("ann"))).status, 200);
}
