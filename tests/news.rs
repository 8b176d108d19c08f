//! What changes, told to whoever listens: once, and to nobody else.

use serde_json::{Value, json};

use crate::harness::sse::Session;
use crate::harness::{Appliance, Client, everything, modern, request};

const TOOLS: &str = "notifications/tools/list_changed";
const PROMPTS: &str = "notifications/prompts/list_changed";
const UPDATED: &str = "notifications/resources/updated";

fn appliance() -> Appliance {
    Appliance::with(&[everything().to_str().unwrap(), "--shards", "2"], "")
}

fn change(appliance: &Appliance) {
    let result = appliance.connect().call("change", json!({}));
    assert_eq!(result["content"][0]["text"], "changed");
}

/// Opens a modern listener; its first message.
fn listen(appliance: &Appliance, id: u64, notifications: &Value) -> (Client, Value) {
    let params = json!({ "notifications": notifications });
    let (body, headers) = modern(id, "subscriptions/listen", params);
    let mut client = appliance.connect();
    client.send(request(&body, &headers));
    client.head();
    let first = client.next_message().json();
    (client, first)
}

/// The methods of the next messages, sorted: what changes at once is told in any order.
fn told(client: &mut Client, count: usize) -> Vec<Value> {
    let mut messages: Vec<Value> = (0..count).map(|_| client.next_message().json()).collect();
    messages.sort_by_key(|message| message["method"].to_string());
    messages
}

fn methods(messages: &[Value]) -> Vec<&str> {
    messages
        .iter()
        .map(|message| message["method"].as_str().unwrap())
        .collect()
}

#[test]
fn a_modern_listener_hears_what_it_asked_for_under_its_own_id() {
    let appliance = appliance();
    let everything = json!({"toolsListChanged": true, "promptsListChanged": true,
        "resourcesListChanged": true, "resourceSubscriptions": ["a:b", "no:where", "a:b"]});
    let (mut all, first) = listen(&appliance, 1_795_428_102_880, &everything);
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(
        first["params"]["notifications"],
        json!({"toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true,
            "resourceSubscriptions": ["a:b"]}),
        "what is not there is not honoured"
    );
    let (mut prompts, first) = listen(&appliance, 2, &json!({"promptsListChanged": true}));
    assert_eq!(
        first["params"]["notifications"],
        json!({"promptsListChanged": true})
    );
    change(&appliance);
    let heard = told(&mut all, 3);
    assert_eq!(methods(&heard), [PROMPTS, UPDATED, TOOLS]);
    assert_eq!(heard[1]["params"]["uri"], "a:b");
    for message in &heard {
        let id = &message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"];
        assert_eq!(*id, json!(1_795_428_102_880_u64));
    }
    // Twice, so that what was not asked for would come in between.
    assert_eq!(methods(&told(&mut prompts, 1)), [PROMPTS]);
    std::thread::sleep(std::time::Duration::from_millis(300));
    change(&appliance);
    assert_eq!(methods(&told(&mut prompts, 1)), [PROMPTS]);
}

#[test]
fn a_session_hears_on_its_own_stream_and_of_the_resources_that_it_follows() {
    let appliance = appliance();
    for revision in ["2025-03-26", "2025-06-18", "2025-11-25"] {
        let session = Session::open(&appliance, revision);
        let mut stream = session.stream(None);
        let follow = |method: &str| {
            let mut client = session.send(1, method, json!({"uri": "a:b"}));
            assert_eq!(client.answer().json()["result"], json!({}), "{method}");
        };
        follow("resources/subscribe");
        change(&appliance);
        let heard = told(&mut stream, 3);
        assert_eq!(methods(&heard), [PROMPTS, UPDATED, TOOLS], "{revision}");
        assert!(heard[1]["params"].get("_meta").is_none());
        follow("resources/unsubscribe");
        std::thread::sleep(std::time::Duration::from_millis(300));
        change(&appliance);
        assert_eq!(methods(&told(&mut stream, 2)), [PROMPTS, TOOLS]);
    }
}

#[test]
fn a_session_that_was_away_is_told_once() {
    let appliance = appliance();
    let session = Session::open(&appliance, "2025-11-25");
    session.call(1, "change").read_exchange();
    std::thread::sleep(std::time::Duration::from_millis(400));
    session.call(2, "change").read_exchange();
    std::thread::sleep(std::time::Duration::from_millis(400));
    let mut stream = session.stream(None);
    let heard = told(&mut stream, 2);
    assert_eq!(methods(&heard), [PROMPTS, TOOLS], "once, however often");
    drop(stream);
    appliance.eventually("the stream is free again", || {
        let mut client = session.get(None);
        let head = client.head();
        if !head.starts_with("HTTP/1.1 200 ") {
            return false;
        }
        // Nothing is told again: what comes next is a new change.
        change(&appliance);
        methods(&told(&mut client, 2)) == [PROMPTS, TOOLS]
    });
}

#[test]
fn a_session_without_a_stream_costs_nothing_to_tell() {
    let appliance = appliance();
    let session = Session::open(&appliance, "2025-11-25");
    change(&appliance);
    assert_eq!(appliance.metric("margay_event_bytes", ""), 0.0);
    session.delete();
}

#[test]
fn subscriptions_are_bounded() {
    let appliance = Appliance::with(
        &[everything().to_str().unwrap()],
        "limits:\n  subscription_count_max: 0\n",
    );
    let session = Session::open(&appliance, "2025-11-25");
    let mut client = session.send(1, "resources/subscribe", json!({"uri": "a:b"}));
    let answer = client.answer();
    assert_eq!(answer.status, 503);
    let words = answer.json()["error"]["message"].to_string();
    assert!(words.contains("limits.subscription_count_max"), "{words}");
    let mut client = session.send(1, "resources/subscribe", json!({"uri": "no:where"}));
    assert_eq!(client.answer().json()["error"]["code"], -32002);
}

#[test]
fn a_refused_second_subscription_leaves_the_first() {
    let appliance = Appliance::with(
        &[everything().to_str().unwrap(), "--shards", "1"],
        "limits:\n  request_count_max: 1\n  call_deadline: 1s\n",
    );
    let session = Session::open(&appliance, "2025-11-25");
    let mut stream = session.stream(None);
    let subscribe = |id| {
        session
            .send(id, "resources/subscribe", json!({"uri": "a:b"}))
            .answer()
    };
    assert_eq!(subscribe(1).json()["result"], json!({}));
    let mut asking = session.call(4, "ask");
    asking.head();
    asking.next_message();
    let mut looping = session.call(2, "loop");
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(subscribe(3).status, 503);
    looping.answer();
    change(&appliance);
    assert_eq!(methods(&told(&mut stream, 3)), [PROMPTS, UPDATED, TOOLS]);
}
