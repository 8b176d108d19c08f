//! The one list of tools: which names exist, which component answers each, and the text of `tools/list`.
//!
//! A catalogue is immutable. Loading or removing a component builds a new one with the next generation number, and the
//! shards swap to it between two requests, so no request sees two generations. The `tools` array is written once here, so
//! that `tools/list` copies bytes.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::component::{Component, Tool};
use crate::limits::TOOL_NAME_BYTES_MAX;

/// Where a tool's calls go.
#[derive(Clone, Debug)]
pub struct ToolRef {
    /// The component that exports it.
    pub component: Arc<Component>,
    /// Its position in [`Component::tools`].
    pub tool_index: usize,
}

/// One immutable generation of the tool list.
#[derive(Debug, Default)]
pub struct Catalog {
    generation: u64,
    tools: HashMap<Box<str>, ToolRef>,
    listing: Vec<u8>,
    components: Vec<Arc<Component>>,
}

impl Catalog {
    /// The catalogue of these components, in this order.
    ///
    /// A name that several components export is listed once for each, as `COMPONENT__NAME`; the short name is then not listed,
    /// because nobody could say whose it is.
    pub fn build(components: &[Arc<Component>], generation: u64) -> Self {
        let mut owners: HashMap<&str, usize> = HashMap::new();
        for tool in components.iter().flat_map(|component| component.tools()) {
            *owners.entry(tool.name()).or_default() += 1;
        }
        let mut tools = HashMap::new();
        let mut entries = Vec::new();
        for component in components {
            for (tool_index, tool) in component.tools().iter().enumerate() {
                let shared = owners.get(tool.name()).copied().unwrap_or(0) > 1;
                let wanted = if shared {
                    qualified(component.name(), tool.name())
                } else {
                    tool.name().to_owned()
                };
                let name = unused(wanted, &tools);
                entries.push(entry(&name, tool));
                tools.insert(
                    name.into_boxed_str(),
                    ToolRef {
                        component: Arc::clone(component),
                        tool_index,
                    },
                );
            }
        }
        entries.sort_by(|left, right| left["name"].as_str().cmp(&right["name"].as_str()));
        let listing = Value::Array(entries).to_string().into_bytes();
        Self {
            generation,
            tools,
            listing,
            components: components.to_vec(),
        }
    }

    /// The number of this generation; it only grows.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The tool of this name.
    pub fn tool(&self, name: &str) -> Option<&ToolRef> {
        self.tools.get(name)
    }

    /// The names of all tools, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.tools.keys().map(AsRef::as_ref).collect();
        names.sort_unstable();
        names
    }

    /// The `tools` array of `tools/list`, as JSON text, sorted by name.
    pub fn listing(&self) -> &[u8] {
        &self.listing
    }

    /// The components behind the tools.
    pub fn components(&self) -> &[Arc<Component>] {
        &self.components
    }

    /// Whether both list the same tools with the same definitions.
    pub fn lists_the_same_as(&self, other: &Self) -> bool {
        self.listing == other.listing
    }
}

fn entry(name: &str, tool: &Tool) -> Value {
    let mut entry = Map::new();
    entry.insert("name".to_owned(), name.into());
    entry.insert("description".to_owned(), tool.description().into());
    entry.insert("inputSchema".to_owned(), tool.input_schema().clone());
    if let Some(schema) = tool.output_schema() {
        entry.insert("outputSchema".to_owned(), schema.clone());
    }
    Value::Object(entry)
}

/// `COMPONENT__TOOL` within the length that clients accept; a longer one keeps its head and ends in a digest of the whole.
fn qualified(component: &str, tool: &str) -> String {
    let component: String = component
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '-' {
                c.to_ascii_lowercase()
            } else {
                '_'
            }
        })
        .collect();
    let whole = format!("{component}__{tool}");
    if whole.len() <= TOOL_NAME_BYTES_MAX {
        whole
    } else {
        shortened(&whole)
    }
}

fn shortened(whole: &str) -> String {
    let digest = Sha256::digest(whole.as_bytes());
    let kept: String = whole.chars().take(TOOL_NAME_BYTES_MAX - 9).collect();
    format!(
        "{kept}_{:02x}{:02x}{:02x}{:02x}",
        digest[0], digest[1], digest[2], digest[3]
    )
}

/// `wanted`, or the first numbered variant of it that is free (two components of one name exporting one tool).
fn unused(wanted: String, taken: &HashMap<Box<str>, ToolRef>) -> String {
    if !taken.contains_key(wanted.as_str()) {
        return wanted;
    }
    let mut number = 2_usize;
    loop {
        let suffix = format!("_{number}");
        let kept: String = wanted
            .chars()
            .take(TOOL_NAME_BYTES_MAX - suffix.len())
            .collect();
        let candidate = kept + &suffix;
        if !taken.contains_key(candidate.as_str()) {
            return candidate;
        }
        number += 1;
    }
}
