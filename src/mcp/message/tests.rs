use super::*;
use crate::limits::ID_BYTES_MAX;
use crate::mcp::code;

const DEPTH: usize = 32;

fn ok(body: &str) -> Message<'_> {
    match scan(body.as_bytes(), DEPTH) {
        Ok(message) => message,
        Err(refusal) => panic!("{body}: {}", refusal.reason),
    }
}

/// Code, written id and text of a refusal.
fn refused(body: &str) -> (i32, Option<String>, String) {
    let refusal = match scan(body.as_bytes(), DEPTH) {
        Ok(message) => panic!("{body} was accepted: {message:?}"),
        Err(refusal) => refusal,
    };
    let id = refusal.id.map(|id| {
        let mut out = Vec::new();
        id.write(&mut out);
        String::from_utf8(out).unwrap()
    });
    (refusal.code, id, refusal.reason.to_string())
}

fn id_text(message: &Message<'_>) -> String {
    let mut out = Vec::new();
    message.id.unwrap().write(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn the_members_of_a_call_are_found_in_any_order() {
    let body = r#" {"params":{"_meta":{"x":[1],"progressToken":"p"},"arguments":{"a":[{}]},"name":"echo"},"extra":{"method":"no"},
        "method":"tools/call","id":7,"jsonrpc":"2.0"} "#;
    let message = ok(body);
    assert_eq!(message.shape, Shape::Request);
    assert_eq!(id_text(&message), "7");
    assert!(message.method.unwrap().eq_str("tools/call"));
    assert!(message.params.name.text().unwrap().eq_str("echo"));
    assert_eq!(
        message.params.arguments.object(),
        Some(br#"{"a":[{}]}"#.as_slice())
    );
    assert_eq!(
        message.params.meta.text,
        Some(br#"{"x":[1],"progressToken":"p"}"#.as_slice())
    );
    assert!(
        message.params.text.unwrap().starts_with(b"{\"_meta\"")
            && message.params.text.unwrap().ends_with(b"\"echo\"}")
    );
}

#[test]
fn an_id_keeps_its_type_and_its_text() {
    for id in [
        "0",
        "-1",
        "9007199254740993",
        "123456789012345678901234567890",
        "-0",
        r#""""#,
        r#""1""#,
        r#""a\"b\\c\u0041\/""#,
        r#""é😀""#,
        r#""\ud83d\ude00""#,
    ] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
        assert_eq!(id_text(&ok(&body)), id);
    }
}

#[test]
fn an_id_that_is_neither_string_nor_integer_is_refused() {
    for id in ["null", "true", "1.5", "1.0", "1e2", "{}", "[1]"] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
        assert_eq!(refused(&body).0, code::INVALID_REQUEST, "{id}");
        assert_eq!(refused(&body).1, None, "{id}");
    }
    let long = format!(
        r#"{{"jsonrpc":"2.0","id":"{}","method":"ping"}}"#,
        "x".repeat(ID_BYTES_MAX - 1)
    );
    assert!(
        refused(&long).2.contains("257 bytes"),
        "{}",
        refused(&long).2
    );
    let fits = format!(
        r#"{{"jsonrpc":"2.0","id":"{}","method":"ping"}}"#,
        "x".repeat(ID_BYTES_MAX - 2)
    );
    ok(&fits);
}

#[test]
fn ids_are_the_same_by_type_and_value() {
    let id = |text: &str| {
        let body: &'static str =
            format!(r#"{{"jsonrpc":"2.0","id":{text},"method":"ping"}}"#).leak();
        ok(body).id.unwrap()
    };
    assert!(id("1").same(&id("1")));
    assert!(!id("1").same(&id(r#""1""#)));
    assert!(id(r#""a""#).same(&id(r#""\u0061""#)));
    assert!(id(r#""\u0061b""#).same(&id(r#""a\u0062""#)));
    assert!(!id(r#""\u0061""#).same(&id(r#""\u0062""#)));
}

#[test]
fn a_member_that_is_read_may_stand_once_only() {
    for (body, member) in [
        (
            r#"{"jsonrpc":"2.0","jsonrpc":"2.0","id":5,"method":"ping"}"#,
            "jsonrpc",
        ),
        (
            r#"{"jsonrpc":"2.0","method":"ping","id":5,"m\u0065thod":"initialize"}"#,
            "method",
        ),
        (
            r#"{"jsonrpc":"2.0","params":{},"method":"ping","params":{},"id":5}"#,
            "params",
        ),
        (
            r#"{"jsonrpc":"2.0","id":5,"result":{},"result":{}}"#,
            "result",
        ),
        (
            r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"a","name":"b"},"id":5}"#,
            "params.name",
        ),
        (
            r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"a","n\u0061me":"a"},"id":5}"#,
            "params.name",
        ),
        (
            r#"{"jsonrpc":"2.0","method":"tools/call","params":{"arguments":{},"arguments":{}},"id":5}"#,
            "params.arguments",
        ),
        (
            r#"{"jsonrpc":"2.0","method":"x","params":{"_meta":{},"_meta":{}},"id":5}"#,
            "params._meta",
        ),
        (
            r#"{"jsonrpc":"2.0","method":"x","params":{"_meta":null,"_meta":{}},"id":5}"#,
            "params._meta",
        ),
        (
            r#"{"jsonrpc":"2.0","method":"x","params":{"name":null,"name":"b"},"id":5}"#,
            "params.name",
        ),
        (
            r#"{"jsonrpc":"2.0","method":"x","params":{"cursor":null,"cursor":"c"},"id":5}"#,
            "params.cursor",
        ),
        (
            r#"{"jsonrpc":"2.0","method":"x","params":{"task":{},"t\u0061sk":{}},"id":5}"#,
            "params.task",
        ),
        (
            r#"{"jsonrpc":"2.0","method":"x","params":{"requestState":"a","requestState":"b"},"id":5}"#,
            "params.requestState",
        ),
        (
            r#"{"jsonrpc":"2.0","method":"x","params":{"ref":{},"argument":{},"ref":{}},"id":5}"#,
            "params.ref",
        ),
        (
            r#"{"jsonrpc":"2.0","method":"x","params":{"_meta":{"tracestate":"a=1","tracestate":"a=2"}},"id":5}"#,
            "params._meta.tracestate",
        ),
        (
            r#"{"jsonrpc":"2.0","method":"x","params":{"_meta":{"io.modelcontextprotocol/clientInfo":{},
               "io.modelcontextprotocol\/clientInfo":{}}},"id":5}"#,
            META_CLIENT_INFO,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"x","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2025-11-25",
               "io.modelcontextprotocol\/protocolVersion":"2026-07-28"}},"id":5}"#,
            META_VERSION,
        ),
    ] {
        let (code, id, text) = refused(body);
        assert!(code == -32600, "{body}");
        assert_eq!(id.as_deref(), Some("5"), "{body}");
        assert!(text.contains(member), "{text}");
    }
    // Two ids are no id to answer with.
    assert_eq!(
        refused(r#"{"jsonrpc":"2.0","id":1,"id":1,"method":"ping"}"#).1,
        None
    );
    // Members that are not read may do as they like, and arguments are the tool's.
    ok(
        r#"{"jsonrpc":"2.0","id":1,"method":"x","x":1,"x":2,"params":{"arguments":{"name":1,"name":2},"y":1,"y":2}}"#,
    );
}

#[test]
fn what_is_not_json_is_a_parse_error_without_an_id() {
    for body in [
        "",
        " ",
        "{",
        r#"{"jsonrpc":"2.0","id":1,"method":"ping"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping"} x"#,
        r#"{"jsonrpc":"2.0","id":01,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping",}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"\ud800"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":nul}}"#,
        "{'id':1}",
    ] {
        let (code, id, _) = refused(body);
        assert_eq!((code, id), (code::PARSE_ERROR, None), "{body}");
    }
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{"a":{}{}}}}}"#,
        "[".repeat(40),
        "]".repeat(40)
    );
    assert_eq!(refused(&deep).0, code::PARSE_ERROR);
    assert!(
        scan(
            b"{\"jsonrpc\":\"2.0\",\"id\":\"\xff\",\"method\":\"x\"}",
            DEPTH
        )
        .is_err()
    );
}

#[test]
fn what_is_json_and_no_message_is_an_invalid_request_with_its_id() {
    for (body, id) in [
        ("1", None),
        ("\"ping\"", None),
        ("null", None),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, None),
        ("[]", None),
        ("{}", None),
        (r#"{"id":1,"method":"ping"}"#, Some("1")),
        (r#"{"jsonrpc":2.0,"id":1,"method":"ping"}"#, Some("1")),
        (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, Some("1")),
        (r#"{"jsonrpc":"2.0","id":1}"#, Some("1")),
        (r#"{"jsonrpc":"2.0","id":1,"method":null}"#, Some("1")),
        (r#"{"jsonrpc":"2.0","id":1,"method":["ping"]}"#, Some("1")),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#,
            Some("1"),
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}"#,
            Some("1"),
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":null}"#,
            Some("1"),
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":1}}"#,
            Some("1"),
        ),
        (r#"{"jsonrpc":"2.0"}"#, None),
    ] {
        let (code, found, _) = refused(body);
        assert_eq!(
            (code, found.as_deref()),
            (code::INVALID_REQUEST, id),
            "{body}"
        );
    }
}

#[test]
fn the_three_shapes_are_told_apart() {
    assert_eq!(
        ok(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).shape,
        Shape::Notification
    );
    assert_eq!(
        ok(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#).shape,
        Shape::Response
    );
    assert_eq!(
        ok(r#"{"jsonrpc":"2.0","id":"a","error":{"code":1,"message":""}}"#).shape,
        Shape::Response
    );
    assert_eq!(
        ok(r#"{"jsonrpc":"2.0","error":{"code":1,"message":""}}"#).shape,
        Shape::Response
    );
}

#[test]
fn a_rare_member_has_its_value_and_nothing_has_none() {
    let message = ok(
        r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"cursor":"c","level":null,"requestId":7,"task":{"ttl":[1]}}}"#,
    );
    let params = &message.params;
    assert!(params.cursor.value().text().unwrap().eq_str("c"));
    assert!(params.level.is_there() && params.level.value().is_nothing());
    assert!(params.request_id.value().id().is_some());
    assert_eq!(
        params.task.value().object(),
        Some(br#"{"ttl":[1]}"#.as_slice())
    );
    assert!(!params.context.is_there() && matches!(params.context.value(), Value::Absent));
}

/// It is made and moved once for each request.
#[test]
fn a_message_is_small() {
    assert!(size_of::<Message<'_>>() <= 704);
}

/// What the scanner reads is what an independent reader reads, for messages put together at random.
#[test]
fn the_scanner_agrees_with_a_full_parser() {
    use serde_json::{Value as Json, json};
    let ids = [json!(1), json!("a"), json!("\u{1}\"\\é"), json!(-5)];
    let names = [
        json!("echo"),
        json!("a\tb"),
        json!(1),
        json!(null),
        json!({"name": "x"}),
    ];
    let arguments = [
        json!({}),
        json!({"name": "inner", "id": [1, {"params": {}}]}),
        json!(null),
        json!([1]),
    ];
    for (index, id) in ids.iter().enumerate() {
        for name in &names {
            for args in &arguments {
                let mut whole = json!({"params": {"arguments": args, "name": name}, "id": id});
                whole["method"] = json!(["tools/call", "x\ny"][index % 2]);
                whole["jsonrpc"] = json!("2.0");
                let text = whole.to_string();
                let message = ok(&text);
                let again = |value: Value<'_>| -> Json {
                    match value {
                        Value::Absent => panic!("{text}"),
                        Value::Null => Json::Null,
                        Value::Boolean(value) => json!(value),
                        Value::Number(number) => serde_json::from_str(number.raw()).unwrap(),
                        Value::Text(text) => json!(text.to_cow()),
                        Value::Object(text) | Value::Array(text) => {
                            serde_json::from_slice(text).unwrap()
                        }
                    }
                };
                assert_eq!(&again(message.params.name), name);
                assert_eq!(&again(message.params.arguments), args);
                assert_eq!(
                    serde_json::from_str::<Json>(&id_text(&message)).unwrap(),
                    *id
                );
                assert_eq!(
                    message.method.unwrap().to_cow(),
                    whole["method"].as_str().unwrap()
                );
            }
        }
    }
}

/// A server in Go reads `Name` as `name`, and of both the last: parameters are handed on as they are.
#[test]
fn a_parameter_in_other_letters_is_refused_wherever_it_stands() {
    for member in [
        r#""Name":"time""#,
        r#""NAME":"time""#,
        r#""n\u0041me":"time""#,
        r#""argument\u017f":{}"#,
        "\"tas\u{212a}\":{}",
        r#""Uri":"file:///etc/passwd""#,
        r#""_Meta":{}"#,
        r#""InputResponses":{}"#,
    ] {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"echo",{member}}}}}"#
        );
        let (code, _, text) = refused(&body);
        assert_eq!(code, code::INVALID_REQUEST, "{member}");
        assert!(text.contains("upper and lower case"), "{text}");
    }
    ok(
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","nameless":1,"names":2}}"#,
    );
}
