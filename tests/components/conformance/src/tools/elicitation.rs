//! Questions of each kind, by the names of the revisions with sessions.

use super::Entry;
use crate::content::{Outcome, said};
use crate::questions::{ask_one, describe, form, page, sample};
use serde_json::{Value, json};

pub const TOOLS: &[Entry] = &[
    Entry::new("test_sampling", "Has the client's model answer a prompt", sampling).takes(
        r#"{"type":"object","properties":{"prompt":{"type":"string","description":"What the model is asked"}},"required":["prompt"]}"#,
    ),
    Entry::new("test_elicitation", "Asks the person for a name and an address", elicitation).takes(
        r#"{"type":"object","properties":{"message":{"type":"string","description":"What the person is shown"}},"required":["message"]}"#,
    ),
    Entry::new("test_elicitation_sep1034_defaults", "Asks with a default for each primitive type", defaults),
    Entry::new("test_elicitation_sep1330_enums", "Asks with each kind of choice", choices),
    Entry::new("test_elicitation_url", "Asks the person to visit a page", visit),
    // It does not look at the client's capabilities first: the host must refuse.
    Entry::new("test_missing_capability", "Samples, whether the client can or not", |_| {
        said(describe(&ask_one(sample("unasked", "Is anybody there?", 10))))
    }),
];

fn sampling(arguments: &Value) -> Outcome {
    let prompt = arguments["prompt"].as_str().unwrap_or_default();
    said(format!(
        "LLM response: {}",
        describe(&ask_one(sample("response", prompt, 100)))
    ))
}

fn elicitation(arguments: &Value) -> Outcome {
    let schema = json!({
        "type": "object",
        "properties": {
            "username": { "type": "string", "description": "User's response" },
            "email": { "type": "string", "description": "User's email address" },
        },
        "required": ["username", "email"],
    });
    let message = arguments["message"].as_str().unwrap_or("Who are you?");
    said(format!(
        "User response: {}",
        describe(&ask_one(form("user", message, &schema)))
    ))
}

fn defaults(_: &Value) -> Outcome {
    let schema = json!({
        "type": "object",
        "properties": {
            "name": { "type": "string", "default": "John Doe" },
            "age": { "type": "integer", "default": 30 },
            "score": { "type": "number", "default": 95.5 },
            "status": { "type": "string", "enum": ["active", "inactive", "pending"], "default": "active" },
            "verified": { "type": "boolean", "default": true },
        },
    });
    complete(form("details", "Please review these details", &schema))
}

fn choices(_: &Value) -> Outcome {
    let titled = json!([
        { "const": "value1", "title": "First" },
        { "const": "value2", "title": "Second" },
        { "const": "value3", "title": "Third" },
    ]);
    let options = json!(["option1", "option2", "option3"]);
    let schema = json!({
        "type": "object",
        "properties": {
            "untitledSingle": { "type": "string", "enum": options },
            "titledSingle": { "type": "string", "oneOf": titled },
            "legacyEnum": {
                "type": "string",
                "enum": ["opt1", "opt2", "opt3"],
                "enumNames": ["Option One", "Option Two", "Option Three"],
            },
            "untitledMulti": { "type": "array", "items": { "type": "string", "enum": options } },
            "titledMulti": { "type": "array", "items": { "anyOf": titled } },
        },
    });
    complete(form("choices", "Please choose", &schema))
}

fn visit(_: &Value) -> Outcome {
    complete(page(
        "visit-1",
        "Please sign in there",
        "https://example.com/sign-in",
    ))
}

fn complete(question: crate::margay::host::ask::KeyedQuestion) -> Outcome {
    said(format!(
        "Elicitation completed: {}",
        describe(&ask_one(question))
    ))
}
