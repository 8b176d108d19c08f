//! Calls from both eras to upstreams of every kind.

use serde_json::{Value, json};

use super::{Front, Talker};
use crate::harness::Appliance;
use crate::harness::upstream::{Child, HttpUpstream, Script};

/// An upstream of every kind, each with all tools, behind one gateway.
struct Kinds {
    http: Vec<HttpUpstream>,
    children: Vec<Child>,
}

impl Kinds {
    fn new() -> Self {
        Self {
            http: vec![
                Script::legacy("legacy-json").http(),
                Script::legacy("legacy-events").with_events().http(),
                Script::modern("modern-json").http(),
                Script::modern("modern-events").with_events().http(),
                Script::old("http-sse").http(),
            ],
            children: vec![
                Script::legacy("legacy-stdio").child(),
                Script::modern("modern-stdio").child(),
            ],
        }
    }

    fn names(&self) -> Vec<&str> {
        let http = self.http.iter().map(|upstream| &upstream.brain.script.name);
        let children = self.children.iter().map(|child| &child.script.name);
        http.chain(children).map(String::as_str).collect()
    }

    fn serve(&self) -> Appliance {
        let mut front = Front::default();
        for upstream in &self.http {
            front = front.http(&upstream.brain.script.name, upstream, "prefix: always");
        }
        for child in &self.children {
            front = front.stdio(&child.script.name, child, "prefix: always");
        }
        let tools: Vec<String> = self
            .names()
            .iter()
            .map(|name| format!("{name}__who"))
            .collect();
        let tools: Vec<&str> = tools.iter().map(String::as_str).collect();
        front.start(&tools)
    }

    fn messages(&self, name: &str, method: &str) -> Vec<Value> {
        let child = self.children.iter().find(|child| child.script.name == name);
        let http = self
            .http
            .iter()
            .find(|upstream| upstream.brain.script.name == name);
        http.map_or_else(
            || child.unwrap().messages(method),
            |upstream| upstream.messages(method),
        )
    }

    fn notes(&self, name: &str, note: &str) -> Vec<Value> {
        let child = self.children.iter().find(|child| child.script.name == name);
        let http = self
            .http
            .iter()
            .find(|upstream| upstream.brain.script.name == name);
        http.map_or_else(
            || child.unwrap().notes(note),
            |upstream| upstream.notes(note),
        )
    }
}

#[test]
fn every_kind_of_upstream_answers_clients_of_both_eras() {
    let kinds = Kinds::new();
    let appliance = kinds.serve();
    let text = "Grüße, \"☃\" \\ 𝄞\n\tend";
    for talker in Talker::both(&appliance) {
        for name in kinds.names() {
            let what = format!("{} client, {name}", talker.era());
            let tool = |tool: &str| format!("{name}__{tool}");
            assert_eq!(talker.text(&tool("who"), json!({})), name, "{what}");
            assert_eq!(
                talker.text(&tool("repeat"), json!({"text": text})),
                text,
                "{what}"
            );
            let failed = talker.call(&tool("fail"), json!({}));
            assert_eq!(failed["result"]["isError"], true, "{what}");
            let erred = talker.call(&tool("error"), json!({}));
            let wanted = json!({"code": -1, "message": "it erred: \"☃\"", "data": {"by": name}});
            assert_eq!(erred["error"], wanted, "{what}");
            let is_modern = talker.session.is_none();
            let complete = failed["result"]["resultType"] == "complete";
            assert_eq!(complete, is_modern, "{what}: {failed}");
        }
    }
}

#[test]
fn ids_of_every_kind_come_back_exactly() {
    let kinds = Kinds::new();
    let appliance = kinds.serve();
    let ids = [
        "0",
        "-1",
        "9007199254740993",
        "18446744073709551615",
        "-9223372036854775808",
        r#""""#,
        r#""7""#,
        r#""a \"quoted\" \\ \u00e9 \n id""#,
        r#""𝄞☃""#,
    ];
    for talker in Talker::both(&appliance) {
        for name in kinds.names() {
            for id in ids {
                let params = json!({"name": format!("{name}__repeat"), "arguments": {"text": "x"}});
                let exchange = talker.exchange(id, "tools/call", params);
                let answer = &exchange.events.last().unwrap().data;
                let wanted = format!(r#""id":{id}"#);
                assert!(
                    answer.replace("\": ", "\":").contains(&wanted),
                    "{} {name} {id}: {answer}",
                    talker.era()
                );
            }
        }
    }
}

#[test]
fn what_nothing_has_to_change_comes_as_the_bytes_that_were_sent() {
    let upstreams = [
        Script::legacy("up").http(),
        Script::legacy("up").with_events().http(),
    ];
    let result = r#"{ "content" : [],"x":1e400, "\u0061" : 1.50,"big":123456789012345678901234567890,"content2":null }"#;
    for upstream in &upstreams {
        let appliance = Front::default()
            .http("up", upstream, "prefix: never")
            .start(&["raw"]);
        let talker = Talker::legacy(&appliance);
        let params = json!({"name": "raw", "arguments": {"result": result}});
        let exchange = talker.exchange("5", "tools/call", params);
        let answer = &exchange.events.last().unwrap().data;
        assert!(answer.contains(result), "{answer}");
    }
    let modern = Script::modern("up").http();
    let result = r#"{ "resultType":"complete", "content" : [],"x":1e400, "\u0061" : 1.50 }"#;
    let appliance = Front::default()
        .http("up", &modern, "prefix: never")
        .start(&["raw"]);
    let params = json!({"name": "raw", "arguments": {"result": result}});
    let exchange = Talker::modern(&appliance).exchange("5", "tools/call", params);
    assert!(
        exchange.events.last().unwrap().data.contains(result),
        "{exchange:?}"
    );
}

#[test]
fn progress_comes_with_the_token_of_whoever_waits_and_before_the_answer() {
    let kinds = Kinds::new();
    let appliance = kinds.serve();
    for talker in Talker::both(&appliance) {
        for name in kinds.names() {
            for token in [
                json!("a \"token\""),
                json!(0),
                json!(9_007_199_254_740_993_u64),
            ] {
                let what = format!("{} client, {name}, {token}", talker.era());
                let params = json!({"name": format!("{name}__progress"), "arguments": {"count": 5}, "_meta": {"progressToken": token}});
                let messages = talker.exchange("1", "tools/call", params).messages();
                assert_eq!(messages.len(), 6, "{what}: {messages:?}");
                for (index, message) in messages[..5].iter().enumerate() {
                    let told = &message["params"];
                    assert_eq!(message["method"], "notifications/progress", "{what}");
                    assert_eq!(told["progressToken"], token, "{what}");
                    assert_eq!(told["progress"], json!(index + 1), "{what}");
                    assert_eq!(told["message"], "Grüße \"☃\"", "{what}");
                }
                assert_eq!(
                    messages[5]["result"]["content"][0]["text"], "done",
                    "{what}"
                );
            }
            let without = talker.exchange(
                "1",
                "tools/call",
                json!({"name": format!("{name}__progress"), "arguments": {}}),
            );
            assert_eq!(without.messages().len(), 1, "nobody asked for it");
        }
    }
}

#[test]
fn two_calls_with_one_token_hear_each_their_own_progress() {
    let kinds = Kinds::new();
    let appliance = kinds.serve();
    for name in kinds.names() {
        let talkers: Vec<Talker> = (0..4).flat_map(|_| Talker::both(&appliance)).collect();
        let mut open: Vec<_> = talkers
            .iter()
            .enumerate()
            .map(|(index, talker)| {
                let params = json!({"name": format!("{name}__progress"), "arguments": {"count": index + 1},
                    "_meta": {"progressToken": "same"}});
                talker.send("0", "tools/call", params)
            })
            .collect();
        for (index, client) in open.iter_mut().enumerate() {
            let messages = client.read_any().messages();
            assert_eq!(messages.len(), index + 2, "{name}: {messages:?}");
        }
    }
}

#[test]
fn log_messages_reach_whoever_wants_them_and_nobody_else() {
    let kinds = Kinds::new();
    let appliance = kinds.serve();
    let other = Talker::legacy(&appliance);
    let mut others = other.session().stream(None);
    for talker in Talker::both(&appliance) {
        if talker.session.is_some() {
            let set = talker.exchange("1", "logging/setLevel", json!({"level": "info"}));
            assert_eq!(set.messages()[0]["result"], json!({}));
        }
        for name in kinds.names() {
            let mut params = json!({"name": format!("{name}__log"), "arguments": {}});
            if talker.session.is_none() {
                let silent = talker
                    .exchange("2", "tools/call", params.clone())
                    .messages();
                assert_eq!(silent.len(), 1, "{name}: nobody asked for it: {silent:?}");
                params["_meta"] = json!({"io.modelcontextprotocol/logLevel": "info"});
            }
            let messages = talker.exchange("2", "tools/call", params).messages();
            let levels: Vec<&Value> = messages
                .iter()
                .map(|message| &message["params"]["level"])
                .collect();
            let wanted = [&json!("info"), &json!("error"), &Value::Null];
            assert_eq!(levels, wanted, "{} {name}: {messages:?}", talker.era());
        }
    }
    let patience = std::time::Duration::from_millis(100);
    others.stream.set_read_timeout(Some(patience)).unwrap();
    let heard = String::from_utf8(others.rest()).unwrap();
    assert!(!heard.contains("data: {"), "{heard}");
}

#[test]
fn a_cancelled_call_is_cancelled_at_its_upstream_under_its_own_id() {
    let kinds = Kinds::new();
    let appliance = kinds.serve();
    for name in kinds.names() {
        let tool = format!("{name}__hang");
        let talker = Talker::legacy(&appliance);
        // Another call, by the same client and another one, stays.
        let other = Talker::legacy(&appliance);
        let mut stays = other.send_call(
            "\"mine\"",
            &format!("{name}__repeat"),
            json!({"text": "stays", "delay_ms": 300}),
        );
        let hanging = talker.send_call("\"mine\"", &tool, json!({}));
        let hangs = || {
            let calls = kinds.messages(name, "tools/call");
            calls
                .iter()
                .filter(|call| call["params"]["name"] == "hang")
                .count()
        };
        appliance.eventually("the call is there", || hangs() == 1);
        talker.session().tell(
            json!({"jsonrpc": "2.0", "method": "notifications/cancelled",
            "params": {"requestId": "mine", "reason": "enough"}}),
        );
        let ended = || kinds.notes(name, "cancelled").len() + kinds.notes(name, "gone").len();
        appliance.eventually(&format!("{name} hears it"), || ended() == 1);
        drop(hanging);
        assert_eq!(
            stays.read_any().messages()[0]["result"]["content"][0]["text"],
            "stays",
            "{name}"
        );

        // A modern client says it by going away.
        let gone = Talker::modern(&appliance).send_call("1", &tool, json!({}));
        appliance.eventually("the second is there", || hangs() == 2);
        drop(gone);
        appliance.eventually(&format!("{name} hears of it"), || ended() == 2);
    }
}

#[test]
fn a_client_s_credentials_and_session_stay_between_it_and_us() {
    let kinds = Kinds::new();
    let appliance = kinds.serve();
    for talker in Talker::both(&appliance) {
        for name in kinds.names() {
            let params = json!({"name": format!("{name}__who"), "arguments": {}});
            let bytes = talker.bytes("1", "tools/call", params);
            let secret = "Authorization: Bearer s3cret\r\nCookie: s3cret\r\nX-Api-Key: s3cret\r\nContent-Length: ";
            let mut client = appliance.connect();
            client.send(bytes.replacen("Content-Length: ", secret, 1));
            let answer = client.read_any().messages()[0].clone();
            assert_eq!(answer["result"]["content"][0]["text"], name, "{answer}");
        }
    }
    let sessions: Vec<String> = Talker::both(&appliance)
        .iter()
        .filter_map(|talker| Some(talker.session.as_ref()?.id.clone()))
        .collect();
    for upstream in &kinds.http {
        for entry in upstream.entries() {
            let text = entry.to_string();
            assert!(!text.contains("s3cret"), "{text}");
            assert!(
                sessions.iter().all(|session| !text.contains(session)),
                "{text}"
            );
        }
    }
}

#[test]
fn the_operator_s_header_fields_go_to_their_upstream_alone() {
    let (one, two) = (Script::legacy("one").http(), Script::modern("two").http());
    let front = Front::default()
        .http(
            "one",
            &one,
            r#"prefix: always, headers: {authorization: "Bearer for-one", x-team: "a b"}"#,
        )
        .http("two", &two, "prefix: always");
    let appliance = front.start(&["one__who", "two__who"]);
    for talker in Talker::both(&appliance) {
        assert_eq!(talker.text("one__who", json!({})), "one");
        assert_eq!(talker.text("two__who", json!({})), "two");
    }
    let requests = one
        .entries()
        .into_iter()
        .filter(|entry| entry["http"].is_string());
    for entry in requests {
        let text = entry["headers"].to_string();
        assert!(
            text.contains(r#"["authorization","Bearer for-one"]"#)
                && text.contains(r#"["x-team","a b"]"#),
            "{text}"
        );
    }
    assert!(
        two.entries()
            .iter()
            .all(|entry| !entry.to_string().contains("for-one"))
    );
}

#[test]
fn arguments_and_unknown_members_of_meta_arrive_as_they_were_sent() {
    let kinds = Kinds::new();
    let appliance = kinds.serve();
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for talker in Talker::both(&appliance) {
        for name in kinds.names() {
            let params = json!({"name": format!("{name}__meta"), "arguments": {"deep": [{"a": [1, null, "☃"]}]},
                "_meta": {"traceparent": parent, "example.com/own": {"x": [1, 2]}}});
            let answer = talker.exchange("1", "tools/call", params).messages()[0].clone();
            let text = answer["result"]["content"][0]["text"].as_str();
            let text = text.unwrap_or_else(|| panic!("{} {name}: {answer}", talker.era()));
            let meta: Value = serde_json::from_str(text).unwrap();
            assert_eq!(meta["traceparent"], parent, "{} {name}", talker.era());
            assert_eq!(
                meta["example.com/own"],
                json!({"x": [1, 2]}),
                "{} {name}",
                talker.era()
            );
            let calls = kinds.messages(name, "tools/call");
            let last = &calls.last().unwrap()["params"];
            assert_eq!(
                last["arguments"],
                json!({"deep": [{"a": [1, null, "☃"]}]}),
                "{name}"
            );
            assert_eq!(last["name"], "meta", "{name}");
        }
    }
}
