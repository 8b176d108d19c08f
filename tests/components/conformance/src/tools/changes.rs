//! Announcements that something has changed.

use super::Entry;
use crate::content::{Outcome, said};
use crate::margay::host::changes::{
    prompts_changed, resource_updated, resources_changed, tools_changed,
};
use crate::resources::WATCHED;
use serde_json::Value;

pub const TOOLS: &[Entry] = &[
    Entry::new("test_trigger_tool_change", "Says that the list of tools has changed", |_| {
        tools_changed();
        said("Whoever listens hears that the tools have changed")
    }),
    Entry::new("test_trigger_prompt_change", "Says that the list of prompts has changed", |_| {
        prompts_changed();
        said("Whoever listens hears that the prompts have changed")
    }),
    Entry::new("test_trigger_resource_list_change", "Says that the list of resources has changed", |_| {
        resources_changed();
        said("Whoever listens hears that the resources have changed")
    }),
    Entry::new("test_trigger_resource_change", "Says that a resource has changed", resource_change)
        .takes(r#"{"type":"object","properties":{"uri":{"type":"string","description":"Which; the watched one if none"}}}"#),
];

fn resource_change(arguments: &Value) -> Outcome {
    let uri = arguments["uri"].as_str().unwrap_or(WATCHED);
    resource_updated(uri);
    said(format!("Whoever listens hears that {uri} has changed"))
}
