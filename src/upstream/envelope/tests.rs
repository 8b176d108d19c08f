//! Messages, what is found in them, and what they are after a change.

use super::*;

fn read(text: &str) -> Envelope<'_> {
    Envelope::read(text.as_bytes(), 64).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn text<'b>(place: &Option<Place<'b>>) -> Option<&'b str> {
    place
        .as_ref()
        .map(|place| std::str::from_utf8(place.text).unwrap())
}

#[test]
fn every_place_is_found() {
    let body = r#" {"jsonrpc":"2.0", "id" : "a\u0062", "method":"tools/call","params":{"name":"x/y","arguments":{"name":1,"id":2},
        "_meta":{"progressToken":18446744073709551616,"other":{"progressToken":0}},"uri":"u:"}} "#;
    let envelope = read(body);
    assert_eq!(envelope.shape, Shape::Request);
    assert_eq!(text(&envelope.id), Some(r#""a\u0062""#));
    assert_eq!(text(&envelope.name), Some(r#""x/y""#));
    assert_eq!(text(&envelope.uri), Some(r#""u:""#));
    assert_eq!(
        text(&envelope.meta_progress_token),
        Some("18446744073709551616")
    );
    assert!(
        text(&envelope.params).unwrap().starts_with("{\"name\"")
            && text(&envelope.params).unwrap().ends_with("\"u:\"}")
    );
    for place in [
        &envelope.id,
        &envelope.name,
        &envelope.uri,
        &envelope.meta,
        &envelope.params,
    ] {
        let place = place.as_ref().unwrap();
        assert_eq!(&body.as_bytes()[place.range.clone()], place.text);
    }
    let progress = read(
        r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t","progress":1}}"#,
    );
    assert_eq!(
        (progress.shape, text(&progress.progress_token)),
        (Shape::Notification, Some("\"t\""))
    );
    let cancelled =
        read(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":-5}}"#);
    assert_eq!(text(&cancelled.request_id), Some("-5"));
    let updated = read(
        r#"{"jsonrpc":"2.0","method":"n","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":7}}}"#,
    );
    assert_eq!(text(&updated.subscription_id), Some("7"));
    let error = read(r#"{"jsonrpc":"2.0","id":null,"error":{"message":"m","code":-32700}}"#);
    assert_eq!(
        (error.shape, error.error_code, error.id),
        (Shape::Response, Some(-32700), None)
    );
    let answer = read(r#"{"result":{"a":[1]},"id":3,"jsonrpc":"2.0"}"#);
    assert_eq!(
        (answer.shape, text(&answer.result)),
        (Shape::Response, Some(r#"{"a":[1]}"#))
    );
}

#[test]
fn what_is_changed_is_changed_and_nothing_else() {
    let body = r#"{ "jsonrpc":"2.0","id" :  7 ,"method":"tools/call","params":{"_meta":{"progressToken":"p"},"name":"a"} }"#;
    let envelope = read(body);
    let mut out = b"x".to_vec();
    envelope.write(&mut out, &[]);
    assert_eq!(out[1..], *body.as_bytes());
    out.clear();
    let changes: [(&Place<'_>, &[u8]); 3] = [
        (envelope.id.as_ref().unwrap(), b"12345"),
        (envelope.meta_progress_token.as_ref().unwrap(), b"12345"),
        (envelope.name.as_ref().unwrap(), b"\"longer\""),
    ];
    envelope.write(&mut out, &changes);
    let expected = r#"{ "jsonrpc":"2.0","id" :  12345 ,"method":"tools/call","params":{"_meta":{"progressToken":12345},"name":"longer"} }"#;
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn what_two_readers_could_take_differently_is_refused() {
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"id":2,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"\u0069d":2,"result":{}}"#,
        r#"{"jsonrpc":"2.0","jsonrpc":"2.0","id":1,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":{},"error":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{},"params":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"name":"x","name":"y"}}"#,
        r#"{"jsonrpc":"2.0","method":"a","params":{"progressToken":1,"progressToken":2}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"_meta":{"progressToken":1,"progressToken":2}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"_meta":{},"_meta":{}}}"#,
    ] {
        assert_eq!(
            Envelope::read(body.as_bytes(), 64).unwrap_err(),
            EnvelopeError::Doubled,
            "{body}"
        );
    }
}

#[test]
fn what_is_no_message_is_refused() {
    for body in [
        "1",
        "[]",
        "\"a\"",
        "{}",
        r#"{"id":1,"result":{}}"#,
        r#"{"jsonrpc":"1.0","id":1,"result":{}}"#,
        r#"{"jsonrpc":2.0,"id":1,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"method":"a"}"#,
        r#"{"jsonrpc":"2.0","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":[]}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":"no"}"#,
        r#"{"jsonrpc":"2.0","error":{"code":1}}"#,
        r#"{"jsonrpc":"2.0","id":1.5,"method":"a"}"#,
        r#"{"jsonrpc":"2.0","id":1e3,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":null,"method":"a"}"#,
        r#"{"jsonrpc":"2.0","id":[1],"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":5}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"a","params":[1]}"#,
    ] {
        assert_eq!(
            Envelope::read(body.as_bytes(), 64).unwrap_err(),
            EnvelopeError::NoMessage,
            "{body}"
        );
    }
    for body in [
        "",
        "{",
        r#"{"jsonrpc":"2.0","id":1,"result":{}}x"#,
        "{\"a\":\"\u{1}\"}",
    ] {
        let error = Envelope::read(body.as_bytes(), 64).unwrap_err();
        assert!(matches!(error, EnvelopeError::Json(_)), "{body}: {error:?}");
    }
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"result":{{"a":{}1{}}}}}"#,
        "[".repeat(70),
        "]".repeat(70)
    );
    assert!(Envelope::read(deep.as_bytes(), 64).is_err());
}

#[test]
fn a_batch_is_its_messages() {
    let of = |body: &'static str| messages(body.as_bytes(), 64);
    assert_eq!(of(" {\"a\":1}").unwrap(), [b" {\"a\":1}"]);
    assert_eq!(
        of(" [ {\"a\":1} , 2 ] ").unwrap(),
        [&b"{\"a\":1}"[..], b"2"]
    );
    assert!(of("[]").unwrap().is_empty());
    assert!(of("[1,]").is_err() && of("[1] 2").is_err());
    assert_eq!(
        of("garbage").unwrap(),
        [b"garbage"],
        "whoever reads it says so"
    );
}

const PIECES: [&str; 22] = [
    "{",
    "}",
    r#""jsonrpc":"2.0","#,
    r#""id":1,"#,
    r#""id":"a","#,
    r#""id":null,"#,
    r#""method":"m","#,
    r#""params":{"#,
    r#""_meta":{"#,
    r#""progressToken":5,"#,
    r#""progressToken":"x""#,
    r#""requestId":9"#,
    r#""name":"n","#,
    r#""result":{}"#,
    r#""error":{"code":-1}"#,
    ",",
    r#""a":[1,{}]"#,
    " ",
    "null",
    "1e5",
    r#""\u0069d":2"#,
    r#"{"jsonrpc":"2.0","id":1,"method":"m"}"#,
];

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]

    #[test]
    fn texts_from_pieces_keep_the_promises(pieces in proptest::collection::vec(0..PIECES.len(), 0..16)) {
        let body: String = pieces.iter().map(|index| PIECES[*index]).collect();
        check(body.as_bytes());
    }
}
