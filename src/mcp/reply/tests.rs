use super::*;
use crate::mcp::message::scan;
use crate::mcp::{InlineId, LogLevel, RawId};
use serde_json::{Value, json};

const HINTS: Hints = Hints {
    ttl_ms: 5,
    scope: CacheScope::Public,
};

const CAPABILITIES: &[u8] = br#"{"tools":{"listChanged":true}}"#;

fn id(text: &str) -> InlineId {
    let body = format!(r#"{{"jsonrpc":"2.0","id":{text},"method":"x"}}"#);
    InlineId::new(&scan(body.as_bytes(), 8).unwrap().id.unwrap())
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Value {
    let mut out = Vec::new();
    write(&mut out);
    assert!(!out.contains(&b'\n'), "a message is one line");
    serde_json::from_slice(&out)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&out)))
}

fn server_info() -> Value {
    json!({"name": SERVER_NAME, "title": "Margay", "version": SERVER_VERSION})
}

fn page(list: List, entries: &[u8]) -> Page<'_> {
    Page {
        list,
        entries,
        next_cursor: None,
    }
}

fn boxed(strings: &[&str]) -> Vec<Box<str>> {
    strings.iter().map(|string| (*string).into()).collect()
}

#[test]
fn a_modern_result_says_what_it_is_and_who_made_it() {
    let modern = Era::Modern;
    for (value, kind) in [
        (
            written(|out| call_result(out, &id("1"), modern, br#""content":[]"#)),
            "complete",
        ),
        (
            written(|out| discover_result(out, &id("1"), CAPABILITIES, None, HINTS)),
            "complete",
        ),
        (
            written(|out| list_result(out, &id("1"), modern, &page(List::Tools, b"[]"), HINTS)),
            "complete",
        ),
        (
            written(|out| cached_result(out, &id("1"), modern, br#""contents":[]"#, HINTS)),
            "complete",
        ),
        (
            written(|out| empty_result(out, &id("1"), modern)),
            "complete",
        ),
        (written(|out| listen_result(out, &id("1"))), "complete"),
        (
            written(|out| {
                result_open(out, &id("1"), modern);
                out.extend_from_slice(br#""content":[]"#);
                result_close_with(out, modern, br#""x/y":1"#);
            }),
            "complete",
        ),
        (
            written(|out| input_required(out, &id("1"), Some(b"{}"), Some("s\"t"))),
            "input_required",
        ),
        (
            written(|out| task_result(out, &id("1"), modern, br#""taskId":"t""#)),
            "task",
        ),
    ] {
        assert_eq!(value["result"]["resultType"], kind, "{value}");
        assert_eq!(
            value["result"]["_meta"]["io.modelcontextprotocol/serverInfo"],
            server_info(),
            "{value}"
        );
        assert_eq!(value["id"], 1);
    }
}

#[test]
fn a_legacy_result_has_nothing_of_the_modern_era() {
    let legacy = Era::Legacy;
    assert_eq!(
        written(|out| call_result(
            out,
            &id(r#""a""#),
            legacy,
            br#""content":[],"isError":true"#
        )),
        json!({"jsonrpc": "2.0", "id": "a", "result": {"content": [], "isError": true}})
    );
    assert_eq!(
        written(|out| empty_result(out, &id("-3"), legacy)),
        json!({"jsonrpc": "2.0", "id": -3, "result": {}})
    );
    let last = Page {
        next_cursor: Some("n\"ext"),
        ..page(List::Templates, b"[{}]")
    };
    assert_eq!(
        written(|out| list_result(out, &id("1"), legacy, &last, HINTS)),
        json!({"jsonrpc": "2.0", "id": 1, "result": {"resourceTemplates": [{}], "nextCursor": "n\"ext"}})
    );
    assert_eq!(
        written(|out| cached_result(out, &id("1"), legacy, br#""contents":[]"#, HINTS)),
        json!({"jsonrpc": "2.0", "id": 1, "result": {"contents": []}})
    );
    let mine = written(|out| {
        result_open(out, &id("1"), legacy);
        out.extend_from_slice(br#""content":[]"#);
        result_close_with(out, legacy, br#""x/y":1"#);
    });
    assert_eq!(mine["result"], json!({"content": [], "_meta": {"x/y": 1}}));
    let none = written(|out| {
        result_open(out, &id("1"), legacy);
        out.extend_from_slice(br#""content":[]"#);
        result_close_with(out, legacy, b"");
    });
    assert_eq!(none["result"], json!({"content": []}));
    assert_eq!(
        written(|out| task_result(out, &id("1"), legacy, br#""taskId":"t""#))["result"],
        json!({"task": {"taskId": "t"}})
    );
}

#[test]
fn the_result_of_a_task_names_its_task() {
    let related = |meta: Option<&[u8]>| {
        written(|out| related_task_result(out, &id("4"), br#""content":[]"#, meta, "t\"1"))
    };
    let task = json!({"taskId": "t\"1"});
    assert_eq!(
        related(None)["result"],
        json!({"content": [], "_meta": {"io.modelcontextprotocol/related-task": task}})
    );
    let meta = &related(Some(br#""x/y":[1]"#))["result"]["_meta"];
    assert_eq!(meta["io.modelcontextprotocol/related-task"], task);
    assert_eq!(meta["x/y"], json!([1]));
}

#[test]
fn lists_reads_and_discovery_carry_cache_hints_in_the_modern_era() {
    for list in List::ALL {
        let listed = written(|out| {
            list_result(out, &id("1"), Era::Modern, &page(list, b"[]"), HINTS);
        });
        assert_eq!(listed["result"][list.key()], json!([]));
        assert_eq!(
            (&listed["result"]["ttlMs"], &listed["result"]["cacheScope"]),
            (&json!(5), &json!("public"))
        );
    }
    let found = written(|out| {
        discover_result(out, &id("1"), CAPABILITIES, Some("how \"to\""), Hints::NONE);
    });
    assert_eq!(
        (&found["result"]["ttlMs"], &found["result"]["cacheScope"]),
        (&json!(0), &json!("private"))
    );
    assert_eq!(found["result"]["instructions"], "how \"to\"");
    assert_eq!(
        found["result"]["capabilities"],
        json!({"tools": {"listChanged": true}})
    );
    assert_eq!(found["result"]["supportedVersions"][0], "2026-07-28");
    // What is asked for is not for keeping.
    let asked = written(|out| input_required(out, &id("1"), Some(b"{}"), None));
    assert!(asked["result"].get("ttlMs").is_none() && asked["result"].get("cacheScope").is_none());
}

#[test]
fn initialize_is_answered_with_the_negotiated_revision() {
    let value = written(|out| {
        initialize_result(
            out,
            &id("0"),
            Revision::V2025_03_26,
            CAPABILITIES,
            Some("hi"),
        );
    });
    assert_eq!(
        value["result"],
        json!({"protocolVersion": "2025-03-26", "capabilities": {"tools": {"listChanged": true}},
               "serverInfo": server_info(), "instructions": "hi"})
    );
}

#[test]
fn what_is_asked_for_is_the_same_question_in_both_eras() {
    let params = br#"{"message":"?"}"#;
    assert_eq!(
        written(|out| request(out, 7, Asked::ElicitForm, Some(params))),
        json!({"jsonrpc": "2.0", "id": 7, "method": "elicitation/create", "params": {"message": "?"}})
    );
    assert_eq!(
        written(|out| request(out, u64::MAX, Asked::ListRoots, None)),
        json!({"jsonrpc": "2.0", "id": u64::MAX, "method": "roots/list"})
    );
    let mut requests = b"{".to_vec();
    input_request(&mut requests, "a\"b", Asked::Sample, Some(b"{}"));
    requests.push(b',');
    input_request(&mut requests, "r", Asked::ListRoots, None);
    requests.push(b'}');
    let value = written(|out| input_required(out, &id("1"), Some(&requests), Some("state")));
    assert_eq!(
        value["result"]["inputRequests"],
        json!({"a\"b": {"method": "sampling/createMessage", "params": {}}, "r": {"method": "roots/list"}})
    );
    assert_eq!(value["result"]["requestState"], "state");
    let value = written(|out| input_required(out, &id("1"), None, Some("only")));
    assert!(value["result"].get("inputRequests").is_none());
}

#[test]
fn notifications_of_a_subscription_carry_its_id_in_its_type() {
    let tag =
        |value: &Value| value["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"].clone();
    let uris = boxed(&["a://b", "c://\"d\""]);
    let tasks = boxed(&["t1"]);
    let all = Honoured {
        tools: true,
        prompts: true,
        resources: true,
        resource_subscriptions: &uris,
        task_ids: &tasks,
    };
    let value = written(|out| acknowledged(out, &id("7"), &all));
    assert_eq!(value["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(
        (tag(&value), &value["params"]["notifications"]),
        (
            json!(7),
            &json!({"toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true,
                    "resourceSubscriptions": ["a://b", "c://\"d\""], "taskIds": ["t1"]})
        )
    );
    let value = written(|out| acknowledged(out, &id(r#""7""#), &Honoured::default()));
    assert_eq!(
        (tag(&value), &value["params"]["notifications"]),
        (json!("7"), &json!({}))
    );
    for list in [List::Tools, List::Prompts, List::Resources] {
        let value = written(|out| list_changed(out, list, Some(&id(r#""7""#))));
        assert_eq!(
            (tag(&value), value["method"].as_str()),
            (json!("7"), list.changed())
        );
    }
    let value = written(|out| resource_updated(out, "a://b", Some(&id("7"))));
    assert_eq!(
        (tag(&value), &value["params"]["uri"]),
        (json!(7), &json!("a://b"))
    );
    let value =
        written(|out| task_status(out, br#""taskId":"t","status":"working""#, Some(&id("7"))));
    assert_eq!(
        (tag(&value), &value["method"], &value["params"]["status"]),
        (json!(7), &json!("notifications/tasks"), &json!("working"))
    );
    let value = written(|out| listen_result(out, &id("7")));
    assert_eq!(
        value["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"],
        7
    );
}

#[test]
fn notifications_of_a_session_carry_no_subscription() {
    let value = written(|out| list_changed::<RawId<'_>>(out, List::Tools, None));
    assert_eq!(
        value,
        json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
    );
    let value = written(|out| resource_updated::<RawId<'_>>(out, "a://b", None));
    assert_eq!(value["params"], json!({"uri": "a://b"}));
    let value = written(|out| task_status::<RawId<'_>>(out, br#""taskId":"t""#, None));
    assert_eq!(
        value,
        json!({"jsonrpc": "2.0", "method": "notifications/tasks/status", "params": {"taskId": "t"}})
    );
    let value = written(|out| cancelled(out, &id("7"), "drain"));
    assert_eq!(value["params"], json!({"requestId": 7, "reason": "drain"}));
    let value = written(|out| cancelled(out, &7_u64, "drain"));
    assert_eq!(value["params"]["requestId"], 7);
    let mut out = Vec::new();
    list_changed::<RawId<'_>>(&mut out, List::Tasks, None);
    assert!(out.is_empty(), "no revision has such a notification");
}

#[test]
fn progress_carries_the_token_exactly_and_only_numbers() {
    for token in ["7", r#""7""#, "12345678901234567890123"] {
        let mut out = Vec::new();
        assert!(progress(
            &mut out,
            &id(token),
            0.5,
            Some(2.0),
            Some("half\n")
        ));
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.contains(&format!("\"progressToken\":{token},")),
            "{text}"
        );
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["method"], "notifications/progress");
        assert_eq!(
            (&value["params"]["progress"], &value["params"]["total"]),
            (&json!(0.5), &json!(2.0))
        );
        assert_eq!(value["params"]["message"], "half\n");
    }
    let mut out = Vec::new();
    assert!(!progress(&mut out, &id("7"), f64::NAN, None, None));
    assert!(out.is_empty());
    let value = written(|out| assert!(progress(out, &id("7"), 1.0, Some(f64::INFINITY), None)));
    assert_eq!(value["params"]["progressToken"], 7);
    assert!(value["params"].get("total").is_none());
}

#[test]
fn a_log_message_has_level_logger_and_data() {
    let value = written(|out| log_message(out, LogLevel::Warning, Some("d\"b"), br#"{"a":1}"#));
    assert_eq!(
        value,
        json!({"jsonrpc": "2.0", "method": "notifications/message",
               "params": {"level": "warning", "logger": "d\"b", "data": {"a": 1}}})
    );
    let value = written(|out| log_message(out, LogLevel::Debug, None, b"\"text\""));
    assert_eq!(value["params"], json!({"level": "debug", "data": "text"}));
}

#[test]
fn an_error_carries_id_and_data_where_there_are_some() {
    assert_eq!(
        written(|out| error(
            out,
            Some(&id("5")),
            -32602,
            "no \"x\"\n",
            Some(b"{\"a\":1}")
        )),
        json!({"jsonrpc": "2.0", "id": 5, "error": {"code": -32602, "message": "no \"x\"\n", "data": {"a": 1}}})
    );
    assert_eq!(
        written(|out| error(out, None::<&InlineId>, -32700, "bad", None)),
        json!({"jsonrpc": "2.0", "error": {"code": -32700, "message": "bad"}})
    );
    assert_eq!(
        written(|out| error_from(out, Some(&id("5")), br#""code":1,"message":"m""#)),
        json!({"jsonrpc": "2.0", "id": 5, "error": {"code": 1, "message": "m"}})
    );
}
