//! The prompts: plain, with arguments, with a resource, with a picture, and one that asks.

use crate::Server;
use crate::content::{embedded, image, text};
use crate::exports::margay::host::prompts::{
    Guest, Prompt, PromptArgument, PromptList, PromptMessage, PromptResult,
};
use crate::margay::host::types::{CacheHints, CacheScope, Content, Error, Icon, Role};
use crate::questions::{ask_one, describe, field, form, one_text};
use serde_json::Value;

const SIMPLE: &str = "test_simple_prompt";
pub const WITH_ARGUMENTS: &str = "test_prompt_with_arguments";
const WITH_RESOURCE: &str = "test_prompt_with_embedded_resource";
const WITH_IMAGE: &str = "test_prompt_with_image";
const ASKING: &str = "test_input_required_result_prompt";

impl Guest for Server {
    fn list_prompts() -> PromptList {
        let mut simple = listed(SIMPLE, "A prompt without arguments", &[]);
        simple.icons = vec![Icon {
            src: "data:image/svg+xml,%3Csvg%20xmlns='http://www.w3.org/2000/svg'/%3E".into(),
            mime_type: Some("image/svg+xml".into()),
            sizes: vec!["any".into()],
            theme: None,
        }];
        PromptList {
            prompts: vec![
                simple,
                listed(
                    WITH_ARGUMENTS,
                    "A prompt with two arguments",
                    &["arg1", "arg2"],
                ),
                listed(
                    WITH_RESOURCE,
                    "A prompt with a resource in it",
                    &["resourceUri"],
                ),
                listed(WITH_IMAGE, "A prompt with a picture in it", &[]),
                listed(ASKING, "A prompt that asks before it answers", &[]),
            ],
            hints: Some(CacheHints {
                ttl_ms: 60_000,
                scope: CacheScope::Public,
            }),
        }
    }

    fn get_prompt(name: String, arguments: Vec<(String, String)>) -> Result<PromptResult, Error> {
        let argument = |wanted: &str| {
            let found = arguments.iter().find(|(name, _)| name == wanted);
            found
                .map(|(_, value)| value.as_str())
                .ok_or_else(|| Error::InvalidParams(format!("`{wanted}` is missing")))
        };
        match name.as_str() {
            SIMPLE => says(vec![text("This is a simple prompt for testing.")]),
            WITH_ARGUMENTS => {
                let (first, second) = (argument("arg1")?, argument("arg2")?);
                says(vec![text(format!(
                    "Prompt with arguments: arg1='{first}', arg2='{second}'"
                ))])
            }
            WITH_RESOURCE => says(vec![
                embedded(
                    argument("resourceUri")?,
                    "text/plain",
                    "Embedded resource content for testing.",
                ),
                text("Please process the embedded resource above."),
            ]),
            WITH_IMAGE => says(vec![image(), text("Please analyze the image above.")]),
            ASKING => {
                let answer = ask_one(form(
                    "user_context",
                    "What context should the prompt use?",
                    &one_text("context"),
                ));
                match field(&answer, "context").as_ref().and_then(Value::as_str) {
                    Some(context) => {
                        says(vec![text(format!("Answer with this in mind: {context}"))])
                    }
                    None => says(vec![text(format!(
                        "Answer without a context ({})",
                        describe(&answer)
                    ))]),
                }
            }
            _ => Err(Error::NotFound(name)),
        }
    }
}

/// One message of the user for each block.
fn says(blocks: Vec<Content>) -> Result<PromptResult, Error> {
    let messages = blocks.into_iter().map(|content| PromptMessage {
        role: Role::User,
        content,
    });
    Ok(PromptResult {
        description: None,
        messages: messages.collect(),
    })
}

fn listed(name: &str, description: &str, arguments: &[&str]) -> Prompt {
    let arguments = arguments.iter().map(|&name| PromptArgument {
        name: name.into(),
        title: None,
        description: Some("A test argument".into()),
        required: true,
    });
    Prompt {
        name: name.into(),
        title: None,
        description: Some(description.into()),
        arguments: arguments.collect(),
        icons: vec![],
        meta: None,
    }
}
