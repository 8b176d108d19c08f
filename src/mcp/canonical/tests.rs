use super::*;
use proptest::prelude::*;
use serde_json::{Map, Value};

fn digest(text: &str) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest_value(text.as_bytes(), 64, &mut digest)
        .unwrap_or_else(|error| panic!("{error}: {text}"));
    digest.finalize().into()
}

fn canonical_number(text: &str) -> String {
    let mut out = Vec::new();
    write_number(&mut out, Reader::from_text(text, 0).number().unwrap());
    String::from_utf8(out).unwrap()
}

#[test]
fn numbers_of_one_value_have_one_text() {
    for (texts, canonical) in [
        (&["0", "-0", "0.0", "-0.00e5", "0E-7"][..], "0"),
        (&["1", "1.0", "1e0", "10e-1", "0.1e1", "1E+0"], "1"),
        (&["-42", "-42.000", "-4.2e1", "-420E-1"], "-42"),
        (&["1000", "1e3", "1.000e3"], "1e3"),
        (&["0.001", "1e-3"], "1e-3"),
        (
            &["9007199254740993", "9007199254740993.0"],
            "9007199254740993",
        ),
        (&["9007199254740992"], "9007199254740992"),
        (&["0.1"], "1e-1"),
    ] {
        for text in texts {
            assert_eq!(canonical_number(text), canonical, "{text}");
        }
    }
    let far = ["1e99999999999", "1e99999999998"].map(canonical_number);
    assert_ne!(far[0], far[1]);
}

#[test]
fn one_value_has_one_digest_however_it_is_written() {
    let long = "x".repeat(400);
    for [one, other] in [
        [r#"{"a":1,"b":[1,2]}"#, "{ \"b\" : [1.0,\t2e0], \"a\":1 }"],
        [r#"{"é":"\u00e9\/"}"#, r#"{"\u00e9":"é/"}"#],
        [
            r#"{"b":{"d":1,"c":2},"a":0}"#,
            r#"{"a":0,"b":{"c":2,"d":1}}"#,
        ],
        ["[]", " [ ] "],
        [
            &format!(r#"{{"z":{{"k":"{long}"}},"a":[true,null]}}"#),
            &format!(r#"{{"a":[true,null],"z":{{"k":"{long}"}}}}"#),
        ],
    ] {
        assert_eq!(digest(one), digest(other), "{one} and {other}");
    }
}

#[test]
fn other_values_have_other_digests() {
    let long = "x".repeat(400);
    let texts = [
        "{}",
        "[]",
        "null",
        "true",
        "false",
        "0",
        "1",
        "\"\"",
        "\"1\"",
        "[1]",
        "[1,2]",
        "[2,1]",
        "[[1],2]",
        "[[1,2]]",
        "[[],[]]",
        "[[[]]]",
        "[{}]",
        r#"{"a":1}"#,
        r#"{"a":"1"}"#,
        r#"{"a":{}}"#,
        r#"{"a":[]}"#,
        r#"{"a":1,"b":2}"#,
        r#"{"a":2,"b":1}"#,
        r#"{"ab":1}"#,
        r#"{"a":1,"a":2}"#,
        r#"{"a":2,"a":1}"#,
        r#"{"a:1,":2}"#,
        r#"["a","b"]"#,
        r#"["a,b"]"#,
        &format!("\"{long}\""),
        &format!("[\"{long}\"]"),
        &format!("[\"{long}\",1]"),
        &format!("{{\"{long}\":1}}"),
        &format!("\"{long}y\""),
    ];
    for (index, one) in texts.iter().enumerate() {
        for other in &texts[..index] {
            assert_ne!(digest(one), digest(other), "{one} and {other}");
        }
    }
}

#[test]
fn what_is_not_json_or_too_deep_has_none() {
    for text in [
        "",
        "{",
        "[1,]",
        "{\"a\":1,}",
        "1 2",
        "\u{ff}",
        &"[".repeat(80),
    ] {
        assert!(
            digest_value(text.as_bytes(), 64, &mut Sha256::new()).is_err(),
            "{text}"
        );
    }
    let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
    assert!(digest_value(deep.as_bytes(), 64, &mut Sha256::new()).is_err());
}

fn values() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1000_i32..1000).prop_map(|number| Value::from(f64::from(number) / 8.0)),
        "[a-c\"\\\\é\n]{0,6}".prop_map(Value::from),
        "x{250,260}".prop_map(Value::from),
    ];
    scalar.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map("[a-c]{0,2}", inner, 0..6)
                .prop_map(|map| Value::from(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// The value with its members the other way round.
fn reversed(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(reversed).collect(),
        Value::Object(map) => {
            let turned = map
                .iter()
                .rev()
                .map(|(key, value)| (key.clone(), reversed(value)));
            Value::Object(turned.collect())
        }
        other => other.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_digest_is_the_values(one in values(), other in values()) {
        let text = one.to_string();
        prop_assert_eq!(digest(&text), digest(&serde_json::to_string_pretty(&one).unwrap()));
        prop_assert_eq!(digest(&text), digest(&reversed(&one).to_string()));
        prop_assert_eq!(one == other, digest(&text) == digest(&other.to_string()));
    }
}
