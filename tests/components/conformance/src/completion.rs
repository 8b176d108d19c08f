//! Suggestions: words for a prompt's first argument, numbers for the template.

use crate::Server;
use crate::exports::margay::host::completion::{Guest, Reference, Suggestions};
use crate::margay::host::types::Error;
use crate::{prompts, resources};

const WORDS: [&str; 5] = ["paris", "park", "party", "test", "testing"];

impl Guest for Server {
    fn complete(
        of: Reference,
        argument: String,
        value: String,
        _arguments: Vec<(String, String)>,
    ) -> Result<Suggestions, Error> {
        let all: Vec<String> = match (&of, argument.as_str()) {
            (Reference::Prompt(name), "arg1") if name == prompts::WITH_ARGUMENTS => {
                WORDS.map(str::to_owned).into()
            }
            (Reference::ResourceTemplate(uri), "id") if uri == resources::TEMPLATE => {
                (0..1000).map(|id| id.to_string()).collect()
            }
            _ => Vec::new(),
        };
        let fitting: Vec<String> = all
            .into_iter()
            .filter(|word| word.starts_with(&value))
            .collect();
        let total = u32::try_from(fitting.len()).ok();
        let values: Vec<String> = fitting.into_iter().take(100).collect();
        let has_more = total.is_some_and(|total| total as usize > values.len());
        Ok(Suggestions {
            values,
            total,
            has_more,
        })
    }
}
