//! What an upstream says that it can do.

use serde_json::Value;

use crate::mcp::Revision;
use crate::mcp::reply::Offer;
use crate::upstream::era::Spoken;

/// The extension of the modern era.
const TASKS: &str = "io.modelcontextprotocol/tasks";

/// Bytes of what an upstream says about itself that are passed on.
const INSTRUCTIONS_BYTES_MAX: usize = 4 << 10;

/// What an upstream wants clients' models to know; none where it says nothing, or far too much.
pub(super) fn instructions(facts: &[u8]) -> Option<Box<str>> {
    let facts: Value = serde_json::from_slice(facts).ok()?;
    let text = facts["instructions"].as_str()?.trim();
    let fits = (1..=INSTRUCTIONS_BYTES_MAX).contains(&text.len());
    fits.then(|| text.into())
}

/// The capabilities in the result of a handshake or a discovery; none where it has none that can be read.
pub(super) fn capabilities(facts: &[u8], spoken: Spoken) -> Offer {
    let facts: Value = serde_json::from_slice(facts).unwrap_or_default();
    let capabilities = &facts["capabilities"];
    let has = |name: &str| capabilities[name].is_object();
    // The oldest revision completes without saying so.
    let is_oldest = facts["protocolVersion"] == Revision::V2024_11_05.as_str();
    let tasks = match spoken {
        Spoken::Modern => capabilities["extensions"][TASKS].is_object(),
        Spoken::Legacy | Spoken::HttpSse => {
            capabilities["tasks"]["requests"]["tools"]["call"].is_object()
        }
    };
    Offer {
        tools: has("tools"),
        prompts: has("prompts"),
        resources: has("resources"),
        completions: has("completions") || (is_oldest && (has("prompts") || has("resources"))),
        logging: has("logging"),
        tasks,
        // Its list is of all its callers' tasks: it is nobody's here.
        task_list: false,
    }
}
