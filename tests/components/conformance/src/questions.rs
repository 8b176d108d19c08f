//! Questions to the client, and what to make of its answers.

use crate::margay::host::ask::{
    Action, Answer, Elicitation, Form, KeyedQuestion, Page, Question, ask,
};
use serde_json::{Value, json};

pub fn form(key: &str, message: &str, requested_schema: &Value) -> KeyedQuestion {
    let form = Form {
        message: message.into(),
        requested_schema: requested_schema.to_string(),
    };
    keyed(key, Question::ElicitForm(form))
}

/// A page to visit, which is named by its key.
pub fn page(key: &str, message: &str, url: &str) -> KeyedQuestion {
    let page = Page {
        message: message.into(),
        url: url.into(),
        elicitation_id: key.into(),
    };
    keyed(key, Question::ElicitUrl(page))
}

pub fn sample(key: &str, prompt: &str, tokens_max: u32) -> KeyedQuestion {
    let parameters = json!({
        "messages": [{ "role": "user", "content": { "type": "text", "text": prompt } }],
        "maxTokens": tokens_max,
    });
    keyed(key, Question::Sample(parameters.to_string()))
}

pub fn list_roots(key: &str) -> KeyedQuestion {
    keyed(key, Question::ListRoots)
}

fn keyed(key: &str, question: Question) -> KeyedQuestion {
    KeyedQuestion {
        key: key.into(),
        question,
    }
}

/// A form with one required text.
pub fn one_text(name: &str) -> Value {
    json!({ "type": "object", "properties": { name: { "type": "string" } }, "required": [name] })
}

/// A form with one required yes or no.
pub fn one_choice(name: &str) -> Value {
    json!({ "type": "object", "properties": { name: { "type": "boolean" } }, "required": [name] })
}

/// Asks one question: as many answers come back as questions went out.
pub fn ask_one(question: KeyedQuestion) -> Answer {
    ask(&[question]).swap_remove(0)
}

/// What was filled into a form under this name, if the person accepted it.
pub fn field(answer: &Answer, name: &str) -> Option<Value> {
    match answer {
        Answer::Elicited(Elicitation {
            action: Action::Accept,
            content: Some(content),
        }) => serde_json::from_str::<Value>(content)
            .ok()?
            .get_mut(name)
            .map(Value::take),
        _ => None,
    }
}

/// The answer in words.
pub fn describe(answer: &Answer) -> String {
    match answer {
        Answer::Elicited(Elicitation { action, content }) => {
            let action = match action {
                Action::Accept => "accept",
                Action::Decline => "decline",
                Action::Cancel => "cancel",
            };
            let content = content.as_deref().map_or("none".into(), compact);
            format!("action={action}, content={content}")
        }
        Answer::Sampled(message) => spoken(message),
        Answer::Roots(roots) => {
            let uris: Vec<&str> = roots.iter().map(|root| root.uri.as_str()).collect();
            format!("{} roots: {}", uris.len(), uris.join(", "))
        }
        Answer::Failed(error) => format!(
            "the client could not answer: {} ({})",
            error.message, error.code
        ),
    }
}

/// The same JSON without the space between its parts, which clients set as they like.
fn compact(text: &str) -> String {
    serde_json::from_str::<Value>(text).map_or(text.into(), |value| value.to_string())
}

/// The text of a sampled message, or all of the message if it is something else.
fn spoken(message: &str) -> String {
    let parsed: Value = serde_json::from_str(message).unwrap_or_default();
    parsed["content"]["text"]
        .as_str()
        .unwrap_or(message)
        .to_owned()
}
