//! Every WIT value type, there and back through a real component.

use super::guests;
use super::*;

/// Sends `given` through the identity on `ty` and expects `wanted` back.
fn there_and_back(types: &str, ty: &str, pairs: &[(&str, &str)]) {
    let mut bench = Bench::new();
    let component = bench.load(&guests::identity(types, ty));
    for (given, wanted) in pairs {
        let (outcome, result) = bench.call(&component, &format!(r#"{{"value":{given}}}"#));
        assert_eq!(outcome, CallOutcome::Ok, "{ty}: {given}: {result}");
        let wanted: Value = serde_json::from_str(wanted).unwrap();
        assert_eq!(
            result["structuredContent"]["result"],
            json!([wanted, null]),
            "{ty}: {given}"
        );
        let quoted: Value = serde_json::from_str(text(&result)).unwrap();
        assert_eq!(quoted, json!([wanted, null]), "the text says the same");
    }
}

fn refused(types: &str, ty: &str, cases: &[(&str, &str)]) {
    let mut bench = Bench::new();
    let component = bench.load(&guests::identity(types, ty));
    for (given, wanted) in cases {
        let (outcome, result) = bench.call(&component, &format!(r#"{{"value":{given}}}"#));
        assert_eq!(
            outcome,
            CallOutcome::BadArguments,
            "{ty}: {given}: {result}"
        );
        assert_eq!(result["isError"], json!(true));
        assert!(
            text(&result).contains(wanted),
            "{ty}: {given}: {}",
            text(&result)
        );
    }
}

#[test]
fn booleans_and_characters_and_strings_round_trip() {
    there_and_back("", "bool", &[("true", "true"), ("false", "false")]);
    there_and_back(
        "",
        "char",
        &[
            (r#""x""#, r#""x""#),
            (r#""😀""#, r#""😀""#),
            (r#""\u0000""#, r#""\u0000""#),
        ],
    );
    there_and_back(
        "",
        "string",
        &[
            (r#""""#, r#""""#),
            (r#""a\"\\\n\u00e9😀""#, r#""a\"\\\né😀""#),
        ],
    );
    refused(
        "",
        "bool",
        &[
            ("1", "/value: 1 where a boolean belongs"),
            ("null", "boolean"),
        ],
    );
    refused(
        "",
        "char",
        &[(r#""ab""#, "2 characters"), (r#""""#, "0 characters")],
    );
}

#[test]
fn every_integer_keeps_its_bounds() {
    for (ty, min, max) in [
        ("s8", "-128", "127"),
        ("u8", "0", "255"),
        ("s16", "-32768", "32767"),
        ("u16", "0", "65535"),
        ("s32", "-2147483648", "2147483647"),
        ("u32", "0", "4294967295"),
        ("s64", "-9223372036854775808", "9223372036854775807"),
        ("u64", "0", "18446744073709551615"),
    ] {
        there_and_back(
            "",
            ty,
            &[(min, min), (max, max), ("1.0", "1"), ("1e2", "100")],
        );
        let beyond = (max.parse::<i128>().unwrap() + 1).to_string();
        let below = (min.parse::<i128>().unwrap() - 1).to_string();
        refused(
            "",
            ty,
            &[
                (&beyond, "is not an integer from"),
                (&below, "is not an integer from"),
                ("1.5", "is not an integer"),
            ],
        );
    }
    there_and_back(
        "",
        "u64",
        &[(r#""18446744073709551615""#, "18446744073709551615")],
    );
    refused(
        "",
        "u64",
        &[
            (r#""+1""#, "not an integer"),
            (r#""-1""#, "not an integer"),
            (r#""""#, "not an integer"),
        ],
    );
    refused("", "u32", &[(r#""1""#, "where an integer belongs")]);
}

#[test]
fn floats_round_trip_with_what_json_cannot_say() {
    there_and_back(
        "",
        "f64",
        &[
            ("1.5", "1.5"),
            ("-0.1", "-0.1"),
            (r#""NaN""#, r#""NaN""#),
            (r#""inf""#, r#""inf""#),
            (r#""-Infinity""#, r#""-inf""#),
        ],
    );
    there_and_back("", "f32", &[("0.1", "0.1"), ("16777216", "16777216.0")]);
    refused(
        "",
        "f64",
        &[
            (r#""x""#, "where a number belongs"),
            ("1e999", "out of the range"),
        ],
    );
    refused("", "f32", &[("1e300", "out of the range of f32")]);
}

#[test]
fn lists_and_bytes_round_trip() {
    there_and_back(
        "",
        "(list string)",
        &[("[]", "[]"), (r#"["a","b"]"#, r#"["a","b"]"#)],
    );
    there_and_back(
        "",
        "(list (list u16))",
        &[("[[1],[],[2,3]]", "[[1],[],[2,3]]")],
    );
    there_and_back(
        "",
        "(list u8)",
        &[
            ("[0,255]", "[0,255]"),
            (r#""AP8=""#, "[0,255]"),
            (r#""""#, "[]"),
        ],
    );
    refused(
        "",
        "(list (list u16))",
        &[(
            "[[1],[2,-3]]",
            "/value/1/1: -3 is not an integer from 0 to 65535",
        )],
    );
    refused(
        "",
        "(list u8)",
        &[(r#""A""#, "not base64"), ("[256]", "/value/0")],
    );
}

#[test]
fn records_refuse_what_they_do_not_know() {
    let types = r#"(type $f (record (field "name" string) (field "age" (option u8)))) (export $r "person" (type $f))"#;
    there_and_back(
        types,
        "$r",
        &[
            (r#"{"name":"Ada","age":36}"#, r#"{"name":"Ada","age":36}"#),
            (r#"{"age":36,"name":"Ada"}"#, r#"{"name":"Ada","age":36}"#),
            (r#"{"name":"Ada"}"#, r#"{"name":"Ada","age":null}"#),
            (
                r#"{"n\u0061me":"Ada","age":null}"#,
                r#"{"name":"Ada","age":null}"#,
            ),
        ],
    );
    refused(
        types,
        "$r",
        &[
            (
                r#"{"name":"Ada","a/b~":1}"#,
                r#"/value/a~1b~0: unknown field "a/b~"; there are name, age"#,
            ),
            (r#"{"age":1}"#, r#"/value: missing field "name""#),
            (r#"{"name":"a","name":"b"}"#, "/value/name: given twice"),
            (r#"{"name":1}"#, "/value/name: 1 where a string belongs"),
            ("[]", "[] where an object belongs"),
        ],
    );
}

#[test]
fn tuples_have_their_length() {
    there_and_back("", "(tuple u8 string)", &[(r#"[1,"a"]"#, r#"[1,"a"]"#)]);
    refused(
        "",
        "(tuple u8 string)",
        &[
            ("[1]", "1 elements where the tuple has 2"),
            (r#"[1,"a",2]"#, "more than the 2"),
        ],
    );
}

#[test]
fn variants_and_enums_and_flags_and_results_round_trip() {
    let types = r#"(type $f (variant (case "none") (case "some" u8) (case "maybe" (option u8)))) (export $v "v" (type $f))"#;
    there_and_back(
        types,
        "$v",
        &[
            (r#"{"tag":"none"}"#, r#"{"tag":"none"}"#),
            (r#"{"tag":"some","val":1}"#, r#"{"tag":"some","val":1}"#),
            (r#"{"val":1,"tag":"some"}"#, r#"{"tag":"some","val":1}"#),
            (r#"{"tag":"maybe"}"#, r#"{"tag":"maybe","val":null}"#),
        ],
    );
    refused(
        types,
        "$v",
        &[
            (
                r#"{"tag":"x"}"#,
                r#"/value/tag: unknown case "x"; there are none, some, maybe"#,
            ),
            (r#"{"tag":"some"}"#, r#"missing field "val" of case "some""#),
            (r#"{"tag":"none","val":1}"#, r#"/value/val: unknown field"#),
            (r#"{"tag":"none","tag":"none"}"#, "/value/tag: given twice"),
            (r#"{"val":1}"#, r#"missing field "tag""#),
        ],
    );
    let types = r#"(type $f (enum "red" "green")) (export $e "e" (type $f))"#;
    there_and_back(types, "$e", &[(r#""green""#, r#""green""#)]);
    refused(
        types,
        "$e",
        &[(r#""blue""#, r#"unknown value "blue"; there are red, green"#)],
    );
    let types = r#"(type $f (flags "a" "b" "c")) (export $g "g" (type $f))"#;
    there_and_back(
        types,
        "$g",
        &[
            ("[]", "[]"),
            (r#"["c","a"]"#, r#"["a","c"]"#),
            (r#"{"b":true,"a":false}"#, r#"["b"]"#),
        ],
    );
    refused(
        types,
        "$g",
        &[
            (r#"["d"]"#, "/value/0: unknown flag"),
            (r#"["a","a"]"#, "/value/1: flag \"a\" given twice"),
        ],
    );
    there_and_back(
        "",
        "(result u8 (error string))",
        &[
            (r#"{"ok":1}"#, r#"{"ok":1}"#),
            (r#"{"err":"x"}"#, r#"{"err":"x"}"#),
        ],
    );
    there_and_back(
        "",
        "(result)",
        &[
            (r#"{"ok":null}"#, r#"{"ok":null}"#),
            (r#"{"err":null}"#, r#"{"err":null}"#),
        ],
    );
    refused(
        "",
        "(result u8)",
        &[
            (r#"{"ok":1,"err":null}"#, "more than one of"),
            ("{}", "missing field \"ok\" or \"err\""),
        ],
    );
}

#[test]
fn a_nested_option_keeps_its_levels() {
    there_and_back(
        "",
        "(option (option u8))",
        &[
            ("null", "null"),
            (r#"{"some":null}"#, r#"{"some":null}"#),
            (r#"{"some":1}"#, r#"{"some":1}"#),
        ],
    );
}

#[test]
fn an_option_parameter_may_be_left_out_and_others_may_not() {
    let bench = Bench::new();
    let component = bench.load(&guests::identity("", "string"));
    let schema = component.tools()[0].input_schema();
    assert_eq!(schema["required"], json!(["value"]));
    assert_eq!(schema["additionalProperties"], json!(false));
    refused("", "string", &[(r#""a","x":1"#, "/x: unknown parameter")]);
    let mut bench = Bench::new();
    let component = bench.load(&guests::echo());
    for (arguments, wanted) in [
        ("{}", r#"missing parameter "text""#),
        (r#"{"text":"a","text":"b"}"#, "/text: given twice"),
        (r#"{"text":1}"#, "/text: 1 where a string belongs"),
        (
            r#"{"txet":"a"}"#,
            "/txet: unknown parameter \"txet\"; there are text",
        ),
        ("[]", "[] where an object belongs"),
        (r#"{"text":"a""#, "ends"),
    ] {
        let (outcome, result) = bench.call(&component, arguments);
        assert_eq!(outcome, CallOutcome::BadArguments, "{arguments}");
        assert!(
            text(&result).contains(wanted),
            "{arguments}: {}",
            text(&result)
        );
    }
}

#[test]
fn a_resource_is_refused_by_name() {
    let bench = Bench::new();
    let error = bench
        .runtime
        .load(
            "test",
            br#"(component
              (type $r' (resource (rep i32))) (export $r "thing" (type $r'))
              (core module $m (func (export "run") (param i32)))
              (core instance $i (instantiate $m))
              (func $run (param "it" (own $r)) (canon lift (core func $i "run")))
              (export "run" (func $run)))"#,
        )
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("run: parameter it is an owned resource handle, which has no JSON form"),
        "{error}"
    );
}

#[test]
fn the_demo_tools_answer() {
    let mut bench = Bench::new();
    let demo = bench.runtime.load_demo().unwrap();
    let (outcome, result) = bench.call(&demo[0], r#"{"text":"h\u00e9llo \"x\""}"#);
    assert_eq!(outcome, CallOutcome::Ok);
    assert_eq!(
        result,
        json!({
            "content": [{"type": "text", "text": "héllo \"x\""}],
            "structuredContent": {"result": "héllo \"x\""},
        })
    );
    let (outcome, result) = bench.call(&demo[1], "{}");
    assert_eq!(outcome, CallOutcome::Ok, "{result}");
    assert!(
        text(&result).starts_with("20") && text(&result).len() == 20,
        "{result}"
    );
    let order = json!({
        "id": 18_446_744_073_709_551_615_u64, "customer": "Ada", "priority": "high",
        "items": [{"sku": "A-1", "count": 2, "price": 9.5}],
        "shipping": {"tag": "post", "val": ["Berlin", 10115]},
        "extras": ["gift-wrap", "express"], "note": null, "discount": {"err": "none today"},
    });
    let (outcome, result) = bench.call(&demo[2], &json!({"order": order}).to_string());
    assert_eq!(outcome, CallOutcome::Ok, "{result}");
    assert_eq!(result["structuredContent"]["result"], order);
}

#[test]
fn a_guests_clock_is_right_on_any_day() {
    let mut bench = Bench::new();
    let demo = bench.runtime.load_demo().unwrap();
    let before = std::time::SystemTime::now();
    let (_, result) = bench.call(&demo[1], "{}");
    let seconds = before
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let said = text(&result);
    let number = |range: std::ops::Range<usize>| said[range].parse::<u64>().unwrap();
    let in_day = number(11..13) * 3600 + number(14..16) * 60 + number(17..19);
    let apart = in_day.abs_diff(seconds % 86_400);
    assert!(apart <= 2 || apart >= 86_398, "{said} at {seconds}");
}
