use super::*;
use crate::mcp::message::scan;
use crate::mcp::{InlineId, RawId};
use serde_json::{Value, json};

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

#[test]
fn a_modern_result_says_that_it_is_complete_and_who_made_it() {
    for value in [
        written(|out| call_result(out, &id("1"), Era::Modern, br#""content":[]"#)),
        written(|out| discover_result(out, &id("1"), None, 5, CacheScope::Public)),
        written(|out| {
            list_tools_result(
                out,
                &id("1"),
                Era::Modern,
                b"[]",
                None,
                5,
                CacheScope::Private,
            )
        }),
        written(|out| empty_result(out, &id("1"), Era::Modern)),
        written(|out| listen_result(out, &id("1"))),
    ] {
        assert_eq!(value["result"]["resultType"], "complete", "{value}");
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
    assert_eq!(
        written(|out| call_result(
            out,
            &id(r#""a""#),
            Era::Legacy,
            br#""content":[],"isError":true"#
        )),
        json!({"jsonrpc": "2.0", "id": "a", "result": {"content": [], "isError": true}})
    );
    assert_eq!(
        written(|out| empty_result(out, &id("-3"), Era::Legacy)),
        json!({"jsonrpc": "2.0", "id": -3, "result": {}})
    );
    assert_eq!(
        written(|out| list_tools_result(
            out,
            &id("1"),
            Era::Legacy,
            b"[{}]",
            Some("n\"ext"),
            5,
            CacheScope::Public
        )),
        json!({"jsonrpc": "2.0", "id": 1, "result": {"tools": [{}], "nextCursor": "n\"ext"}})
    );
}

#[test]
fn lists_and_discovery_carry_cache_hints() {
    let listed = written(|out| {
        list_tools_result(
            out,
            &id("1"),
            Era::Modern,
            b"[]",
            None,
            60_000,
            CacheScope::Public,
        )
    });
    let found =
        written(|out| discover_result(out, &id("1"), Some("how \"to\""), 0, CacheScope::Private));
    assert_eq!(
        (&listed["result"]["ttlMs"], &listed["result"]["cacheScope"]),
        (&json!(60_000), &json!("public"))
    );
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
}

#[test]
fn initialize_is_answered_with_the_negotiated_revision() {
    let value = written(|out| initialize_result(out, &id("0"), Revision::V2025_03_26, Some("hi")));
    assert_eq!(
        value["result"],
        json!({"protocolVersion": "2025-03-26", "capabilities": {"tools": {"listChanged": true}},
               "serverInfo": server_info(), "instructions": "hi"})
    );
}

#[test]
fn notifications_of_a_subscription_carry_its_id_in_its_type() {
    let tag =
        |value: &Value| value["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"].clone();
    let value = written(|out| acknowledged(out, &id("7"), true));
    assert_eq!(value["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(
        (tag(&value), &value["params"]["notifications"]),
        (json!(7), &json!({"toolsListChanged": true}))
    );
    let value = written(|out| acknowledged(out, &id(r#""7""#), false));
    assert_eq!(
        (tag(&value), &value["params"]["notifications"]),
        (json!("7"), &json!({}))
    );
    let value = written(|out| tools_list_changed(out, Some(&id(r#""7""#))));
    assert_eq!(
        (tag(&value), value["method"].clone()),
        (json!("7"), json!("notifications/tools/list_changed"))
    );
    let value = written(|out| listen_result(out, &id("7")));
    assert_eq!(
        value["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"],
        7
    );
    let value = written(|out| tools_list_changed::<RawId<'_>>(out, None));
    assert_eq!(
        value,
        json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
    );
    let value = written(|out| cancelled(out, &id("7"), "drain"));
    assert_eq!(value["params"], json!({"requestId": 7, "reason": "drain"}));
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
}
