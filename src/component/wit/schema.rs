//! JSON Schemas of WIT types.

use serde_json::{Map, Value, json};

use super::plan::Plan;

/// Whether a schema describes what a tool takes or what it gives. They differ for floats: JSON has no NaN, so a tool may give it
/// as text; and clients check results against the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    In,
    Out,
}

/// An object of named values; those that may be left out are not required, others are not allowed.
pub(super) fn object(fields: &[(Box<str>, Plan)], direction: Direction) -> Value {
    let properties: Map<String, Value> = fields
        .iter()
        .map(|(name, plan)| (name.to_string(), of(plan, direction)))
        .collect();
    let required: Vec<&str> = fields
        .iter()
        .filter(|(_, plan)| !plan.is_optional())
        .map(|(name, _)| name.as_ref())
        .collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

/// The result of a function, as the one member of an object.
pub(super) fn envelope(result: &Plan) -> Value {
    json!({"type": "object", "properties": {"result": of(result, Direction::Out)}, "required": ["result"]})
}

fn of(plan: &Plan, direction: Direction) -> Value {
    let inner = |plan: &Plan| of(plan, direction);
    match plan {
        Plan::Bool => json!({"type": "boolean"}),
        Plan::Signed(bits) => {
            json!({"type": "integer", "minimum": i64::MIN >> (64 - bits), "maximum": i64::MAX >> (64 - bits)})
        }
        Plan::Unsigned(bits) => {
            json!({"type": "integer", "minimum": 0, "maximum": u64::MAX >> (64 - bits)})
        }
        Plan::Float32 | Plan::Float64 => match direction {
            Direction::In => json!({"type": "number"}),
            Direction::Out => {
                json!({"anyOf": [{"type": "number"}, {"type": "string", "enum": ["NaN", "inf", "-inf"]}]})
            }
        },
        Plan::Char => {
            json!({"type": "string", "description": "1 unicode codepoint", "minLength": 1, "maxLength": 1})
        }
        Plan::String => json!({"type": "string"}),
        Plan::Bytes => {
            let list = json!({"type": "array", "items": inner(&Plan::Unsigned(8))});
            match direction {
                Direction::In => {
                    json!({"anyOf": [list, {"type": "string", "contentEncoding": "base64"}]})
                }
                Direction::Out => list,
            }
        }
        Plan::List(item) => json!({"type": "array", "items": inner(item)}),
        Plan::Record(fields) => object(fields, direction),
        Plan::Tuple(items) => json!({
            "type": "array",
            "prefixItems": items.iter().map(inner).collect::<Vec<_>>(),
            "minItems": items.len(),
            "maxItems": items.len(),
        }),
        Plan::Variant(cases) => {
            json!({"oneOf": cases.iter().map(|(name, payload)| case(name, payload.as_ref(), direction)).collect::<Vec<_>>()})
        }
        Plan::Enum(names) => json!({"type": "string", "enum": names}),
        Plan::Option(some) if some.is_optional() => {
            // `null` alone could be either none: the inner option is wrapped.
            json!({"anyOf": [{"type": "null"}, wrapped("some", Some(some), direction)]})
        }
        Plan::Option(some) => json!({"anyOf": [{"type": "null"}, inner(some)]}),
        Plan::Result(sides) => {
            json!({"oneOf": [wrapped("ok", sides.0.as_ref(), direction), wrapped("err", sides.1.as_ref(), direction)]})
        }
        Plan::Flags(names) => {
            let list = json!({"type": "array", "items": {"type": "string", "enum": names}, "uniqueItems": true});
            match direction {
                Direction::In => {
                    let properties: Map<String, Value> = names
                        .iter()
                        .map(|name| (name.to_string(), json!({"type": "boolean"})))
                        .collect();
                    json!({"anyOf": [list, {"type": "object", "properties": properties, "additionalProperties": false}]})
                }
                Direction::Out => list,
            }
        }
    }
}

fn case(name: &str, payload: Option<&Plan>, direction: Direction) -> Value {
    match payload {
        None => json!({
            "type": "object",
            "properties": {"tag": {"const": name}},
            "required": ["tag"],
            "additionalProperties": false,
        }),
        Some(plan) => {
            let required: &[&str] = if plan.is_optional() {
                &["tag"]
            } else {
                &["tag", "val"]
            };
            json!({
                "type": "object",
                "properties": {"tag": {"const": name}, "val": of(plan, direction)},
                "required": required,
                "additionalProperties": false,
            })
        }
    }
}

fn wrapped(name: &str, payload: Option<&Plan>, direction: Direction) -> Value {
    let schema = payload.map_or_else(|| json!({"type": "null"}), |plan| of(plan, direction));
    json!({"type": "object", "properties": {name: schema}, "required": [name], "additionalProperties": false})
}
