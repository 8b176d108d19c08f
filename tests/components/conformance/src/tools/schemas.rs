//! Schemas that must come through as they are, and arguments that are repeated in headers.

use super::Entry;
use crate::content::{Outcome, result, text};
use crate::exports::margay::host::tools::ToolResult;
use serde_json::{Value, json};

pub const TOOLS: &[Entry] = &[
    Entry::new("json_schema_2020_12_tool", "Tool with JSON Schema 2020-12 features", repeat).takes(
        r##"{
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": { "street": { "type": "string" }, "city": { "type": "string" } }
        }
    },
    "properties": {
        "name": { "type": "string" },
        "address": { "$ref": "#/$defs/address" },
        "contactMethod": { "type": "string", "enum": ["phone", "email"] },
        "phone": { "type": "string" },
        "email": { "type": "string" }
    },
    "allOf": [{ "anyOf": [{ "required": ["phone"] }, { "required": ["email"] }] }],
    "if": { "properties": { "contactMethod": { "const": "phone" } }, "required": ["contactMethod"] },
    "then": { "required": ["phone"] },
    "else": { "required": ["email"] },
    "additionalProperties": false
}"##,
    ),
    Entry::new("test_x_mcp_header", "Takes arguments that a client repeats in headers", regional)
        .takes(
            r#"{
    "type": "object",
    "properties": {
        "region": { "type": "string", "description": "Where", "x-mcp-header": "Region" },
        "limit": { "type": "integer", "description": "How many", "x-mcp-header": "Limit" }
    }
}"#,
        )
        .gives(
            r#"{"type":"object","properties":{"region":{"type":["string","null"]},"limit":{"type":["integer","null"]}},"required":["region","limit"]}"#,
        ),
];

fn repeat(arguments: &Value) -> Outcome {
    structured(arguments)
}

fn regional(arguments: &Value) -> Outcome {
    structured(&json!({ "region": arguments["region"], "limit": arguments["limit"] }))
}

/// The value as it is, and as text for those who read no structure.
fn structured(value: &Value) -> Outcome {
    let structured_content = Some(value.to_string());
    Ok(ToolResult {
        structured_content,
        ..result(vec![text(value.to_string())])
    })
}
