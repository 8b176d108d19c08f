//! What a component says that it has: the entries of its lists, each as the text that clients read.

use std::fmt;

use serde_json::Value;

use crate::mcp::headers::ParamBinding;
pub use crate::mcp::reply::Hints as CacheHints;

/// Everything that a component has listed. Immutable: a new list makes new definitions.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Definitions {
    /// Tools of `margay:host/tools`; plain functions are not among them.
    pub tools: Vec<ToolDefinition>,
    /// Resources.
    pub resources: Vec<ResourceDefinition>,
    /// Resource templates.
    pub templates: Vec<TemplateDefinition>,
    /// Prompts.
    pub prompts: Vec<PromptDefinition>,
    /// Whether the component exports resources, listed or not.
    pub has_resources: bool,
    /// Whether the component exports prompts, listed or not.
    pub has_prompts: bool,
    /// Whether the component completes arguments.
    pub has_completion: bool,
    /// How long clients may keep the list of tools, if the component says.
    pub tool_hints: Option<CacheHints>,
    /// How long clients may keep the lists of resources and templates, if the component says.
    pub resource_hints: Option<CacheHints>,
    /// How long clients may keep the list of prompts, if the component says.
    pub prompt_hints: Option<CacheHints>,
}

impl Definitions {
    /// Whether nothing is listed.
    pub fn is_empty(&self) -> bool {
        self.tools.is_empty()
            && self.resources.is_empty()
            && self.templates.is_empty()
            && self.prompts.is_empty()
    }
}

/// Whether a tool may, or must, run as a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TaskSupport {
    /// Never.
    #[default]
    Forbidden,
    /// Each call of a client that can follow tasks, from its start.
    Optional,
    /// As [`Optional`](Self::Optional); other clients are refused.
    Required,
    /// A call becomes a task when it says so.
    Deferred,
}

/// The entry of a list, as JSON text without its braces and without its first member, the name or the address: the catalogue writes
/// that, because it may be another. The component's own JSON stands in it as it was written, but for line breaks.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The other members: `"title":"…","inputSchema":{…}`; may be empty.
    pub members: Box<str>,
}

impl Entry {
    /// The members as an object.
    pub fn to_value(&self) -> Value {
        serde_json::from_str(&format!("{{{}}}", self.members)).unwrap_or_default()
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.members)
    }
}

/// A tool of `margay:host/tools`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolDefinition {
    /// The name as the component knows it.
    pub name: Box<str>,
    /// All but the name.
    pub entry: Entry,
    /// Whether it runs as a task.
    pub task_support: TaskSupport,
    /// The arguments that are repeated in headers.
    pub header_bindings: Vec<ParamBinding>,
    /// Whether results must have structured content.
    pub has_output_schema: bool,
}

/// A resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceDefinition {
    /// Its address.
    pub uri: Box<str>,
    /// All but the address.
    pub entry: Entry,
}

/// A template of resources' addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateDefinition {
    /// RFC 6570.
    pub uri_template: Box<str>,
    /// All but the template.
    pub entry: Entry,
}

/// A prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptDefinition {
    /// The name as the component knows it.
    pub name: Box<str>,
    /// All but the name.
    pub entry: Entry,
}
