//! The plan against `serde_json` and its own schemas: generated types, generated values.

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use wasmtime::component::Val;

use super::plan::{FunctionPlan, Plan};
use super::write_answer;

/// Nesting allowed in the texts here.
const DEPTH_MAX: usize = 128;

/// A type, and a JSON value that fits it in the form that results have.
fn typed() -> impl Strategy<Value = (Plan, Value)> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(|value| (Plan::Bool, json!(value))),
        any::<i8>().prop_map(|value| (Plan::Signed(8), json!(value))),
        any::<i32>().prop_map(|value| (Plan::Signed(32), json!(value))),
        any::<i64>().prop_map(|value| (Plan::Signed(64), json!(value))),
        any::<u16>().prop_map(|value| (Plan::Unsigned(16), json!(value))),
        any::<u64>().prop_map(|value| (Plan::Unsigned(64), json!(value))),
        // Without its `float_roundtrip`, serde_json reads long fractions one unit off: these it reads exactly.
        any::<i32>().prop_map(|value| (Plan::Float64, json!(f64::from(value) / 256.0))),
        any::<char>().prop_map(|value| (Plan::Char, json!(value))),
        ".{0,12}".prop_map(|value| (Plan::String, json!(value))),
        proptest::collection::vec(any::<u8>(), 0..5).prop_map(|bytes| (Plan::Bytes, json!(bytes))),
        (0_usize..3).prop_map(|index| (Plan::Enum(names(3)), json!(format!("n{index}")))),
        (0_usize..8).prop_map(|bits| {
            let on: Vec<String> = (0..3)
                .filter(|bit| bits >> bit & 1 == 1)
                .map(|bit| format!("n{bit}"))
                .collect();
            (Plan::Flags(names(3)), json!(on))
        }),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            (inner.clone(), 0_usize..4).prop_map(|((plan, value), count)| {
                (list(plan), Value::Array(vec![value; count]))
            }),
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|parts| {
                let fields = parts
                    .iter()
                    .enumerate()
                    .map(|(at, (plan, _))| (format!("f{at}").into(), plan.clone()))
                    .collect();
                let values: Map<String, Value> = parts
                    .into_iter()
                    .enumerate()
                    .map(|(at, (_, value))| (format!("f{at}"), value))
                    .collect();
                (Plan::Record(fields), Value::Object(values))
            }),
            proptest::collection::vec(inner.clone(), 1..4).prop_map(|parts| {
                let (plans, values) = parts.into_iter().unzip();
                (Plan::Tuple(plans), Value::Array(values))
            }),
            (inner.clone(), any::<bool>()).prop_map(|((plan, value), some)| {
                let value = match (some, matches!(plan, Plan::Option(_))) {
                    (false, _) => Value::Null,
                    (true, true) => json!({"some": value}),
                    (true, false) => value,
                };
                (Plan::Option(Box::new(plan)), value)
            }),
            (inner.clone(), any::<bool>()).prop_map(|((plan, value), payload)| {
                let value = if payload {
                    json!({"tag": "with", "val": value})
                } else {
                    json!({"tag": "bare"})
                };
                (
                    Plan::Variant(vec![("bare".into(), None), ("with".into(), Some(plan))]),
                    value,
                )
            }),
            (inner, any::<bool>()).prop_map(|((plan, value), ok)| {
                let value = if ok {
                    json!({"ok": value})
                } else {
                    json!({"err": null})
                };
                (Plan::Result(Box::new((Some(plan), None))), value)
            }),
        ]
    })
}

fn list(plan: Plan) -> Plan {
    if plan == Plan::Unsigned(8) {
        Plan::Bytes
    } else {
        Plan::List(Box::new(plan))
    }
}

fn names(count: usize) -> Vec<Box<str>> {
    (0..count).map(|index| format!("n{index}").into()).collect()
}

fn function(plan: &Plan) -> FunctionPlan {
    // In a tuple, so that the value is neither a bare string nor the `err` side of a result.
    let plan = Plan::Tuple(vec![plan.clone()]);
    FunctionPlan::from_parts(vec![("v".into(), plan.clone())], Some(plan))
}

/// The result that a function would give which answers with `value`.
fn written(function: &FunctionPlan, value: &Val) -> Value {
    let mut out = b"{".to_vec();
    write_answer(&mut out, &function.answer(Some(value)), usize::MAX).unwrap();
    out.push(b'}');
    serde_json::from_slice(&out).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_read_is_written_back_as_serde_json_knows_it((plan, value) in typed()) {
        let function = function(&plan);
        let arguments = json!({"v": [value]}).to_string();
        let values = function.decode(arguments.as_bytes(), DEPTH_MAX).unwrap();
        let result = written(&function, &values[0]);
        prop_assert_eq!(&result["structuredContent"]["result"], &json!([value]));
        let text: Value = serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
        prop_assert_eq!(text, json!([value]));
    }

    #[test]
    fn white_space_and_escapes_change_nothing((plan, value) in typed()) {
        let function = function(&plan);
        let plain = json!({"v": [value]});
        let pretty = serde_json::to_string_pretty(&plain).unwrap();
        let left = function.decode(plain.to_string().as_bytes(), DEPTH_MAX).unwrap();
        let right = function.decode(pretty.replace("\"v\"", "\"\\u0076\"").as_bytes(), DEPTH_MAX).unwrap();
        prop_assert_eq!(left, right);
    }

    #[test]
    fn a_text_cut_or_changed_anywhere_is_refused_or_read_without_a_panic(
        (plan, value) in typed(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let function = function(&plan);
        let text = json!({"v": [value]}).to_string().into_bytes();
        let at = at.index(text.len());
        if at > 0 {
            prop_assert!(function.decode(&text[..at], DEPTH_MAX).is_err());
        }
        let mut changed = text;
        changed[at] = byte;
        // What the plan takes, a strict parser takes too.
        if function.decode(&changed, DEPTH_MAX).is_ok() {
            prop_assert!(serde_json::from_slice::<Value>(&changed).is_ok());
        }
    }

    #[test]
    fn no_result_is_larger_than_its_bound((plan, value) in typed(), bytes_max in 0_usize..400) {
        let function = function(&plan);
        let values = function.decode(json!({"v": [value]}).to_string().as_bytes(), DEPTH_MAX).unwrap();
        let mut out = b"before".to_vec();
        match write_answer(&mut out, &function.answer(Some(&values[0])), bytes_max) {
            Ok(_) => prop_assert!(out.len() <= 6 + bytes_max),
            Err(_) => prop_assert_eq!(out, b"before"),
        }
    }
}

#[test]
fn schemas_are_those_of_wassette_with_the_mends() {
    let function = FunctionPlan::from_parts(
        vec![
            ("count".into(), Plan::Unsigned(8)),
            ("big".into(), Plan::Signed(64)),
            ("note".into(), Plan::Option(Box::new(Plan::String))),
            ("pair".into(), Plan::Tuple(vec![Plan::Bool, Plan::Char])),
        ],
        Some(Plan::Result(Box::new((Some(Plan::String), None)))),
    );
    assert_eq!(
        function.input_schema(),
        json!({
            "type": "object",
            "properties": {
                "count": {"type": "integer", "minimum": 0, "maximum": 255},
                "big": {"type": "integer", "minimum": i64::MIN, "maximum": i64::MAX},
                "note": {"anyOf": [{"type": "null"}, {"type": "string"}]},
                "pair": {
                    "type": "array",
                    "prefixItems": [
                        {"type": "boolean"},
                        {"type": "string", "description": "1 unicode codepoint", "minLength": 1, "maxLength": 1},
                    ],
                    "minItems": 2,
                    "maxItems": 2,
                },
            },
            "required": ["count", "big", "pair"],
            "additionalProperties": false,
        })
    );
    assert_eq!(
        function.output_schema().unwrap(),
        json!({
            "type": "object",
            "properties": {"result": {"oneOf": [
                {"type": "object", "properties": {"ok": {"type": "string"}}, "required": ["ok"], "additionalProperties": false},
                {"type": "object", "properties": {"err": {"type": "null"}}, "required": ["err"], "additionalProperties": false},
            ]}},
            "required": ["result"],
        })
    );
}

#[test]
fn an_err_is_an_error_with_its_text_and_its_structure() {
    let function = FunctionPlan::from_parts(
        Vec::new(),
        Some(Plan::Result(Box::new((
            Some(Plan::String),
            Some(Plan::String),
        )))),
    );
    let value = Val::Result(Err(Some(Box::new(Val::String(
        "no \"such\" city".to_owned(),
    )))));
    let dynamic = written(&function, &value);
    assert_eq!(
        dynamic,
        json!({
            "content": [{"type": "text", "text": "no \"such\" city"}],
            "structuredContent": {"result": {"err": "no \"such\" city"}},
            "isError": true,
        })
    );
    let text = function.text().unwrap();
    for (answer, value) in [
        (Err("no \"such\" city"), value),
        (
            Ok("a\nb"),
            Val::Result(Ok(Some(Box::new(Val::String("a\nb".to_owned()))))),
        ),
    ] {
        let mut out = b"{".to_vec();
        super::write_text_answer(&mut out, text.result, answer, usize::MAX, &mut Vec::new())
            .unwrap();
        out.push(b'}');
        let fast: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(
            fast,
            written(&function, &value),
            "both ways of writing agree"
        );
    }
}
