//! From components to a catalogue: names, texts, hints, capabilities.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::component::{CacheHints, Component, Entry, TaskSupport, Tool};
use crate::mcp::{CacheScope, Revision};
use crate::wire::json;

use super::listing::Listing;
use super::names::{qualified, unused};
use super::template::Template;
use super::{Catalog, Kind, Owner, PromptRef, Target, TemplateRef, ToolRef};

/// How long a client may keep a list whose components say nothing about it: long enough to save it a request for each call, short
/// enough that a changed list is seen by clients that do not listen.
///
/// Units: milliseconds.
pub const LIST_TTL_MS: u64 = 5_000;

/// Lists are the same for everybody.
pub(super) const DEFAULT_HINTS: CacheHints = CacheHints {
    ttl_ms: LIST_TTL_MS,
    scope: CacheScope::Public,
};

impl Catalog {
    /// The catalogue of these components, in this order, with pages of at most this many entries.
    ///
    /// A name of a tool or a prompt that several components have is listed once for each, as `COMPONENT__NAME`; the short name is then
    /// not listed, because nobody could say whose it is. Of an address that several have, the first component's counts.
    pub fn build(components: &[Arc<Component>], generation: u64, page_max: usize) -> Self {
        let mut catalog = Self {
            generation,
            components: components.to_vec(),
            ..Self::default()
        };
        let tools = catalog.add_tools();
        catalog.legacy_tools = catalog.legacy_tools_of(&tools, page_max);
        let listed = [
            tools,
            catalog.add_resources(),
            catalog.add_templates(),
            catalog.add_prompts(),
        ];
        catalog.listings = listed.map(|named| Listing::new(named, page_max));
        catalog.add_hints();
        catalog.add_offer();
        catalog
    }

    fn add_tools(&mut self) -> Vec<(Box<str>, String)> {
        let mut owners: HashMap<&str, usize> = HashMap::new();
        let components = std::mem::take(&mut self.components);
        let definitions: Vec<_> = components.iter().map(|one| one.definitions()).collect();
        for (component, definitions) in components.iter().zip(&definitions) {
            let plain = component.tools().iter().map(Tool::name);
            for name in plain.chain(definitions.tools.iter().map(|tool| &*tool.name)) {
                *owners.entry(name).or_default() += 1;
            }
        }
        let is_shared = |name: &str| owners.get(name).copied().unwrap_or(0) > 1;
        let mut listed = Vec::new();
        for (component, definitions) in components.iter().zip(&definitions) {
            for (index, tool) in component.tools().iter().enumerate() {
                let name = self.tool_name(component, tool.name(), is_shared(tool.name()));
                listed.push((name.clone(), plain_entry(&name, tool)));
                let tool = ToolRef {
                    target: Target::Function {
                        component: Arc::clone(component),
                        index,
                    },
                    task_support: Default::default(),
                    header_bindings: Vec::new(),
                    is_repeatable: false,
                };
                self.tools.insert(name, tool);
            }
            for tool in &definitions.tools {
                let name = self.tool_name(component, &tool.name, is_shared(&tool.name));
                listed.push((name.clone(), entry("name", &name, &tool.entry)));
                let tool = ToolRef {
                    target: Target::Host {
                        component: Arc::clone(component),
                        name: tool.name.clone(),
                    },
                    task_support: tool.task_support,
                    header_bindings: tool.header_bindings.clone(),
                    is_repeatable: false,
                };
                self.tools.insert(name, tool);
            }
        }
        self.components = components;
        listed
    }

    /// The list of tools as legacy clients have it, where that is another one: they are told which may be tasks.
    ///
    /// Source: 2025-11-25 server/tools, `execution.taskSupport`.
    fn legacy_tools_of(&self, listed: &[(Box<str>, String)], page_max: usize) -> Option<Listing> {
        let execution = |name: &str| match self.tools.get(name)?.task_support {
            TaskSupport::Forbidden => None,
            // A call that may become a task later is, to these clients, one that may be a task.
            TaskSupport::Optional | TaskSupport::Deferred => Some("optional"),
            TaskSupport::Required => Some("required"),
        };
        let with_execution = |(name, text): &(Box<str>, String)| {
            let text = match (execution(name), text.strip_suffix('}')) {
                (Some(word), Some(open)) => {
                    format!("{open},\"execution\":{{\"taskSupport\":\"{word}\"}}}}")
                }
                _ => text.clone(),
            };
            (name.clone(), text)
        };
        let any = listed.iter().any(|(name, _)| execution(name).is_some());
        any.then(|| Listing::new(listed.iter().map(with_execution).collect(), page_max))
    }

    fn tool_name(&self, component: &Component, name: &str, is_shared: bool) -> Box<str> {
        let wanted = match is_shared {
            true => qualified(component.name(), name),
            false => name.to_owned(),
        };
        unused(wanted, |name| self.tools.contains_key(name)).into_boxed_str()
    }

    fn add_resources(&mut self) -> Vec<(Box<str>, String)> {
        let mut listed = Vec::new();
        for component in &self.components {
            let definitions = component.definitions();
            self.offer.resources |= definitions.has_resources;
            for resource in &definitions.resources {
                if let Some(first) = self.resources.get(&resource.uri) {
                    warn_of_twin(first, component.name(), &resource.uri);
                    continue;
                }
                self.resources.insert(
                    resource.uri.clone(),
                    Owner::Component(Arc::clone(component)),
                );
                let text = entry("uri", &resource.uri, &resource.entry);
                listed.push((resource.uri.clone(), text));
            }
        }
        listed
    }

    fn add_templates(&mut self) -> Vec<(Box<str>, String)> {
        let mut listed = Vec::new();
        for component in &self.components {
            for known in &component.definitions().templates {
                let twin = self
                    .templates
                    .iter()
                    .find(|first| first.text == known.uri_template);
                if let Some(first) = twin {
                    warn_of_twin(&first.owner, component.name(), &known.uri_template);
                    continue;
                }
                let template = Template::parse(&known.uri_template);
                if template.is_none() {
                    tracing::warn!(
                        component = component.name(),
                        template = &*known.uri_template,
                        "has expressions beyond {{name}} and a last {{+name}}: of its resources only those are found that are listed"
                    );
                }
                self.templates.push(TemplateRef {
                    owner: Owner::Component(Arc::clone(component)),
                    text: known.uri_template.clone(),
                    template,
                });
                let text = entry("uriTemplate", &known.uri_template, &known.entry);
                listed.push((known.uri_template.clone(), text));
            }
        }
        listed
    }

    fn add_prompts(&mut self) -> Vec<(Box<str>, String)> {
        let definitions: Vec<_> = self
            .components
            .iter()
            .map(|one| one.definitions())
            .collect();
        let mut owners: HashMap<&str, usize> = HashMap::new();
        for prompt in definitions.iter().flat_map(|one| &one.prompts) {
            *owners.entry(&prompt.name).or_default() += 1;
        }
        let mut listed = Vec::new();
        for (component, definitions) in self.components.iter().zip(&definitions) {
            self.offer.prompts |= definitions.has_prompts;
            for prompt in &definitions.prompts {
                let wanted = match owners.get(&*prompt.name) {
                    Some(&count) if count > 1 => qualified(component.name(), &prompt.name),
                    _ => prompt.name.to_string(),
                };
                let name: Box<str> =
                    unused(wanted, |name| self.prompts.contains_key(name)).into_boxed_str();
                listed.push((name.clone(), entry("name", &name, &prompt.entry)));
                let prompt = PromptRef {
                    owner: Owner::Component(Arc::clone(component)),
                    name: prompt.name.clone(),
                };
                self.prompts.insert(name, prompt);
            }
        }
        listed
    }

    fn add_hints(&mut self) {
        for component in &self.components {
            let definitions = component.definitions();
            let has_tools = !component.tools().is_empty() || !definitions.tools.is_empty();
            let said = [
                (Kind::Tools, has_tools, definitions.tool_hints),
                (
                    Kind::Resources,
                    definitions.has_resources,
                    definitions.resource_hints,
                ),
                (
                    Kind::Templates,
                    definitions.has_resources,
                    definitions.resource_hints,
                ),
                (
                    Kind::Prompts,
                    definitions.has_prompts,
                    definitions.prompt_hints,
                ),
            ];
            for (kind, _, said) in said.into_iter().filter(|(_, takes_part, _)| *takes_part) {
                let said = said.unwrap_or(DEFAULT_HINTS);
                let merged = &mut self.hints[kind as usize];
                *merged = Some(merged.map_or(said, |before| least(before, said)));
            }
        }
    }

    fn add_offer(&mut self) {
        let definitions = self.components.iter().map(|one| one.definitions());
        self.offer.completions = definitions.into_iter().any(|one| one.has_completion);
        self.offer.logging = self.components.iter().any(|one| one.is_host_aware());
        self.offer.tools = true;
        let can_be_task = |tool: &ToolRef| tool.task_support != TaskSupport::Forbidden;
        self.offer.tasks = self.tools.values().any(can_be_task);
        // Of callers who are not authenticated, each session is told its own.
        self.offer.task_list = self.offer.tasks;
        self.capabilities = Revision::ALL.map(|revision| {
            let mut text = Vec::new();
            self.offer.write(&mut text, revision);
            String::from_utf8(text).unwrap_or_default()
        });
    }
}

/// What both allow.
fn least(one: CacheHints, other: CacheHints) -> CacheHints {
    CacheHints {
        ttl_ms: one.ttl_ms.min(other.ttl_ms),
        scope: match one.scope {
            CacheScope::Private => CacheScope::Private,
            CacheScope::Public => other.scope,
        },
    }
}

fn warn_of_twin(first: &Owner, second: &str, address: &str) {
    tracing::warn!(
        of = second,
        address,
        "is listed by {} too, which comes first: requests go there",
        first.name()
    );
}

fn plain_entry(name: &str, tool: &Tool) -> String {
    let mut entry = Map::new();
    entry.insert("name".to_owned(), name.into());
    entry.insert("description".to_owned(), tool.description().into());
    entry.insert("inputSchema".to_owned(), tool.input_schema().clone());
    if let Some(schema) = tool.output_schema() {
        entry.insert("outputSchema".to_owned(), schema.clone());
    }
    Value::Object(entry).to_string()
}

/// An entry's text with its name or address, which may be another than the component's own.
fn entry(key: &str, name: &str, entry: &Entry) -> String {
    let mut text = format!("{{\"{key}\":").into_bytes();
    json::write_str(&mut text, name);
    if !entry.members.is_empty() {
        text.push(b',');
        text.extend_from_slice(entry.members.as_bytes());
    }
    text.push(b'}');
    String::from_utf8(text).unwrap_or_default()
}
