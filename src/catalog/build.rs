//! From components and upstreams to a catalogue: names, texts, hints, capabilities.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::component::{CacheHints, Component, Definitions, Entry, TaskSupport, Tool};
use crate::mcp::{CacheScope, Revision, neutralise};
use crate::upstream::remote::Remote;
use crate::wire::json;

use super::given::Names;
use super::listing::Listing;
use super::offer::UpstreamOffer;
use super::pin::{Inspector, Judge, Source};
use super::template::Template;
use super::{Catalog, Instructions, Kind, Owner, PromptRef, Target, TemplateRef, ToolRef};

/// What there is to say of components.
const COMPONENTS_SAY: &str = "Each tool runs in a WebAssembly component, in a sandbox of its own.";

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

/// What a catalogue is made of.
#[derive(Clone, Copy, Default)]
pub struct Sources<'s> {
    /// The components, which come first.
    pub components: &'s [Arc<Component>],
    /// What upstreams offer, in order of upstreams.
    pub offers: &'s [Arc<UpstreamOffer>],
    /// Indices of upstreams that are down: what they offered is found by its name, and listed no more.
    pub unlisted: &'s [usize],
    /// Upstreams without which lists are not to be served (`fail: closed`), and which are down.
    pub missing: &'s [Arc<Remote>],
    /// Who looks at the tools' definitions, if anybody does.
    pub judge: Option<&'s dyn Judge>,
    /// Whether texts in lists are made harmless for terminals and readers.
    pub neutralises: bool,
}

impl Sources<'_> {
    /// A text as clients get it.
    fn harmless_text(&self, text: String) -> String {
        let shown = self.harmless(Value::from(text.as_str()).to_string());
        serde_json::from_str(&shown).unwrap_or(text)
    }

    /// The text of an entry as clients get it.
    fn harmless(&self, text: String) -> String {
        if !self.neutralises {
            return text;
        }
        match neutralise(text.as_bytes()) {
            Cow::Borrowed(_) => text,
            Cow::Owned(harmless) => String::from_utf8_lossy(&harmless).into_owned(),
        }
    }
}

/// A tool's text in a list.
struct ListedTool {
    name: Box<str>,
    text: String,
    /// The text for legacy clients, where it is another.
    legacy: Option<String>,
}

/// Texts by name or address.
type Listed = Vec<(Box<str>, String)>;

struct Builder<'s> {
    catalog: Catalog,
    components: Vec<(&'s Arc<Component>, Arc<Definitions>)>,
    offers: &'s [Arc<UpstreamOffer>],
    unlisted: &'s [usize],
    inspector: Inspector<'s>,
}

impl Catalog {
    /// The catalogue of these components and no upstream.
    pub fn build(components: &[Arc<Component>], generation: u64, page_max: usize) -> Self {
        let sources = Sources {
            components,
            ..Sources::default()
        };
        Self::build_of(sources, generation, page_max)
    }

    /// The catalogue of all these, each in its order, with pages of at most this many entries.
    ///
    /// A name of a tool or a prompt that several have is listed once for each: a component's as `COMPONENT__NAME`, an upstream's
    /// by its rules; the short name is then not listed, unless those rules say so, because nobody could say whose it is. Of an
    /// address that several have, the first counts.
    pub fn build_of(sources: Sources<'_>, generation: u64, page_max: usize) -> Self {
        let components = sources.components.iter();
        let mut builder = Builder {
            catalog: Self {
                generation,
                components: sources.components.to_vec(),
                ..Self::default()
            },
            components: components.map(|one| (one, one.definitions())).collect(),
            offers: sources.offers,
            unlisted: sources.unlisted,
            inspector: Inspector::new(sources.judge),
        };
        let tools = builder.tools();
        let legacy = tools.iter().any(|tool| tool.legacy.is_some());
        let legacy = legacy.then(|| {
            let legacy = tools.iter().map(|tool| {
                let text = tool.legacy.as_ref().unwrap_or(&tool.text);
                (tool.name.clone(), sources.harmless(text.clone()))
            });
            Listing::new(legacy.collect(), page_max)
        });
        let tools = tools.into_iter().map(|tool| (tool.name, tool.text));
        let listed = [
            tools.collect(),
            builder.resources(),
            builder.templates(),
            builder.prompts(),
        ];
        builder.hints();
        builder.offer();
        let mut catalog = builder.catalog;
        catalog.listings = listed.map(|named: Listed| {
            let named = named.into_iter();
            let harmless = named.map(|(name, text)| (name, sources.harmless(text)));
            Listing::new(harmless.collect(), page_max)
        });
        catalog.legacy_tools = legacy;
        catalog.refuse_for(sources);
        catalog.instructions = instructions(sources);
        catalog
    }

    fn refuse_for(&mut self, sources: Sources<'_>) {
        for remote in sources.missing {
            let known = sources
                .offers
                .iter()
                .find(|offer| offer.remote.index == remote.index);
            for (kind, refused) in Kind::ALL.into_iter().zip(&mut self.refused) {
                // Of one that was never there, nobody knows what it would have.
                if refused.is_none() && known.is_none_or(|offer| offer.has_list(kind)) {
                    *refused = Some(Arc::clone(remote));
                }
            }
        }
    }
}

impl<'s> Builder<'s> {
    fn tools(&mut self) -> Vec<ListedTool> {
        let mut names = Names::default();
        for (component, definitions) in &self.components {
            let plain = component.tools().iter().map(Tool::name);
            for name in plain.chain(definitions.tools.iter().map(|tool| &*tool.name)) {
                names.want(name);
            }
        }
        for offer in self.offers {
            for tool in &offer.tools {
                names.want_of(&offer.remote, &tool.name);
            }
        }
        let mut listed = Vec::new();
        for (component, definitions) in &self.components {
            let (tools, inspector) = (&mut self.catalog.tools, &mut self.inspector);
            for (index, tool) in component.tools().iter().enumerate() {
                let name = names.give(component, tool.name());
                let text = plain_entry(&name, tool);
                let source = Source::Component(component.name());
                let is_blocked = !inspector.passes(source, tool.name(), &text);
                if !is_blocked {
                    listed.push(ListedTool {
                        name: name.clone(),
                        text,
                        legacy: None,
                    });
                }
                let component = Arc::clone(component);
                let tool = ToolRef {
                    is_blocked,
                    ..plain_tool(Target::Function { component, index })
                };
                tools.insert(name, tool);
            }
            for tool in &definitions.tools {
                let name = names.give(component, &tool.name);
                let text = entry("name", &name, &tool.entry);
                let source = Source::Component(component.name());
                let is_blocked = !inspector.passes(source, &tool.name, &text);
                if !is_blocked {
                    listed.push(ListedTool {
                        name: name.clone(),
                        legacy: legacy_text(&text, tool.task_support),
                        text,
                    });
                }
                let target = Target::Host {
                    component: Arc::clone(component),
                    name: tool.name.clone(),
                };
                let tool = ToolRef {
                    task_support: tool.task_support,
                    header_bindings: tool.header_bindings.clone(),
                    is_blocked,
                    ..plain_tool(target)
                };
                tools.insert(name, tool);
            }
        }
        for offer in self.offers {
            self.upstream_tools(offer, &mut names, &mut listed);
        }
        std::mem::take(&mut self.inspector).report();
        listed
    }

    fn upstream_tools(
        &mut self,
        offer: &UpstreamOffer,
        names: &mut Names,
        listed: &mut Vec<ListedTool>,
    ) {
        for tool in &offer.tools {
            let Some(name) = names.give_of(&offer.remote, "tool", &tool.name) else {
                continue;
            };
            let text = |text: &Entry| entry("name", &name, text);
            let source = Source::Upstream(offer.remote.name());
            let whole = text(&tool.entry);
            let is_blocked = !self.inspector.passes(source, &tool.name, &whole);
            if !is_blocked && !self.unlisted.contains(&offer.remote.index) {
                listed.push(ListedTool {
                    name: name.clone(),
                    text: whole,
                    legacy: tool.legacy_entry.as_ref().map(text),
                });
            }
            let found = ToolRef {
                target: Target::Upstream {
                    remote: Arc::clone(&offer.remote),
                    name: tool.name.clone(),
                },
                task_support: tool.task_support,
                header_bindings: tool.header_bindings.clone(),
                is_repeatable: tool.is_repeatable,
                is_blocked,
            };
            self.catalog.tools.insert(name, found);
        }
    }

    fn resources(&mut self) -> Listed {
        let mut listed = Vec::new();
        for (component, definitions) in &self.components {
            self.catalog.offer.resources |= definitions.has_resources;
            for resource in &definitions.resources {
                let owner = Owner::Component(Arc::clone(component));
                let text = entry("uri", &resource.uri, &resource.entry);
                self.catalog
                    .add_resource(owner, &resource.uri, text, &mut listed);
            }
        }
        let mut unlisted = Vec::new();
        for offer in self.offers {
            let listed = match self.unlisted.contains(&offer.remote.index) {
                true => &mut unlisted,
                false => &mut listed,
            };
            for resource in &offer.resources {
                let owner = Owner::Upstream(Arc::clone(&offer.remote));
                let text = entry("uri", &resource.name, &resource.entry);
                self.catalog
                    .add_resource(owner, &resource.name, text, listed);
            }
        }
        listed
    }

    fn templates(&mut self) -> Listed {
        let mut listed = Vec::new();
        for (component, definitions) in &self.components {
            for known in &definitions.templates {
                let owner = Owner::Component(Arc::clone(component));
                let text = entry("uriTemplate", &known.uri_template, &known.entry);
                self.catalog
                    .add_template(owner, &known.uri_template, text, &mut listed);
            }
        }
        let mut unlisted = Vec::new();
        for offer in self.offers {
            let listed = match self.unlisted.contains(&offer.remote.index) {
                true => &mut unlisted,
                false => &mut listed,
            };
            for known in &offer.templates {
                let owner = Owner::Upstream(Arc::clone(&offer.remote));
                let text = entry("uriTemplate", &known.name, &known.entry);
                self.catalog.add_template(owner, &known.name, text, listed);
            }
        }
        listed
    }

    fn prompts(&mut self) -> Listed {
        let mut names = Names::default();
        for (_, definitions) in &self.components {
            for prompt in &definitions.prompts {
                names.want(&prompt.name);
            }
        }
        for offer in self.offers {
            for prompt in &offer.prompts {
                names.want_of(&offer.remote, &prompt.name);
            }
        }
        let (mut listed, prompts) = (Vec::new(), &mut self.catalog.prompts);
        let unlisted = self.unlisted;
        let mut add = |given: Box<str>, owner: Owner, name: &str, text: &Entry| {
            let is_listed = match &owner {
                Owner::Component(_) => true,
                Owner::Upstream(remote) => !unlisted.contains(&remote.index),
            };
            if is_listed {
                listed.push((given.clone(), entry("name", &given, text)));
            }
            let name = name.into();
            prompts.insert(given, PromptRef { owner, name });
        };
        for (component, definitions) in &self.components {
            self.catalog.offer.prompts |= definitions.has_prompts;
            for prompt in &definitions.prompts {
                let given = names.give(component, &prompt.name);
                let owner = Owner::Component(Arc::clone(component));
                add(given, owner, &prompt.name, &prompt.entry);
            }
        }
        for offer in self.offers {
            for prompt in &offer.prompts {
                if let Some(given) = names.give_of(&offer.remote, "prompt", &prompt.name) {
                    let owner = Owner::Upstream(Arc::clone(&offer.remote));
                    add(given, owner, &prompt.name, &prompt.entry);
                }
            }
        }
        listed
    }

    fn hints(&mut self) {
        for kind in [Kind::Tools, Kind::Resources, Kind::Templates, Kind::Prompts] {
            let components = self
                .components
                .iter()
                .filter_map(|(component, definitions)| {
                    let (takes_part, said) = match kind {
                        Kind::Tools => (
                            !component.tools().is_empty() || !definitions.tools.is_empty(),
                            definitions.tool_hints,
                        ),
                        Kind::Prompts => (definitions.has_prompts, definitions.prompt_hints),
                        _ => (definitions.has_resources, definitions.resource_hints),
                    };
                    takes_part.then_some(said)
                });
            let components: Vec<_> = components.collect();
            let offers = self.offers.iter().filter(|offer| offer.has_list(kind));
            let offers: Vec<_> = offers.map(|offer| offer.hints[kind as usize]).collect();
            let somebody_says = components.iter().chain(&offers).any(Option::is_some);
            // Where somebody says how long a list may be kept, a legacy upstream, which cannot say, is not taken for the others' word.
            let silent = match somebody_says {
                true => CacheHints::NONE,
                false => DEFAULT_HINTS,
            };
            let components = components
                .into_iter()
                .map(|said| said.unwrap_or(DEFAULT_HINTS));
            let offers = offers.into_iter().map(|said| said.unwrap_or(silent));
            self.catalog.hints[kind as usize] = components.chain(offers).reduce(least);
        }
    }

    fn offer(&mut self) {
        let offer = &mut self.catalog.offer;
        let mut definitions = self.components.iter();
        offer.completions = definitions.any(|(_, one)| one.has_completion);
        offer.logging = self.components.iter().any(|(one, _)| one.is_host_aware());
        offer.tools = true;
        let can_be_task = |tool: &ToolRef| {
            tool.component().is_some() && tool.task_support != TaskSupport::Forbidden
        };
        offer.tasks = self.catalog.tools.values().any(can_be_task);
        // Of callers who are not authenticated, each session is told its own.
        offer.task_list = offer.tasks;
        for upstream in self.offers {
            let said = upstream.capabilities;
            offer.prompts |= said.prompts;
            offer.resources |= said.resources;
            offer.completions |= said.completions;
            offer.logging |= said.logging;
            offer.tasks |= said.tasks;
            if said.completions {
                self.catalog.completing.push(upstream.remote.index);
            }
        }
        self.catalog.capabilities = Revision::ALL.map(|revision| {
            let mut text = Vec::new();
            offer.write(&mut text, revision);
            String::from_utf8(text).unwrap_or_default()
        });
    }
}

impl Catalog {
    fn add_resource(&mut self, owner: Owner, uri: &str, text: String, listed: &mut Listed) {
        if let Some(first) = self.resources.get(uri) {
            return warn_of_twin(first, &owner, uri);
        }
        self.resources.insert(uri.into(), owner);
        listed.push((uri.into(), text));
    }

    fn add_template(&mut self, owner: Owner, template: &str, text: String, listed: &mut Listed) {
        let twin = self.templates.iter().find(|first| *first.text == *template);
        if let Some(first) = twin {
            return warn_of_twin(&first.owner, &owner, template);
        }
        let parsed = Template::parse(template);
        if parsed.is_none() {
            tracing::warn!(
                of = owner.name(),
                template,
                "has expressions beyond {{name}} and a last {{+name}}: of its resources only those are found that are listed"
            );
        }
        self.templates.push(TemplateRef {
            owner,
            text: template.into(),
            template: parsed,
        });
        listed.push((template.into(), text));
    }
}

/// What both allow.
pub(super) fn least(one: CacheHints, other: CacheHints) -> CacheHints {
    CacheHints {
        ttl_ms: one.ttl_ms.min(other.ttl_ms),
        scope: match one.scope {
            CacheScope::Private => CacheScope::Private,
            CacheScope::Public => other.scope,
        },
    }
}

fn warn_of_twin(first: &Owner, second: &Owner, address: &str) {
    tracing::warn!(
        of = second.name(),
        address,
        "is listed by {} too, which comes first: requests go there",
        first.name()
    );
}

fn plain_tool(target: Target) -> ToolRef {
    ToolRef {
        target,
        task_support: TaskSupport::Forbidden,
        header_bindings: Vec::new(),
        is_repeatable: false,
        is_blocked: false,
    }
}

/// A component's tool as legacy clients have it, where that is another text: they are told which may be tasks.
///
/// Source: 2025-11-25 server/tools, `execution.taskSupport`.
fn legacy_text(text: &str, task_support: TaskSupport) -> Option<String> {
    let word = match task_support {
        TaskSupport::Forbidden => return None,
        // A call that may become a task later is, to these clients, one that may be a task.
        TaskSupport::Optional | TaskSupport::Deferred => "optional",
        TaskSupport::Required => "required",
    };
    let open = text.strip_suffix('}')?;
    Some(format!(
        "{open},\"execution\":{{\"taskSupport\":\"{word}\"}}}}"
    ))
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

/// An entry's text with its name or address, which may be another than its owner's own.
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

/// What clients may tell their models: of the components, and of every upstream that says something.
fn instructions(sources: Sources<'_>) -> Instructions {
    let of_components = match (sources.components.is_empty(), sources.offers.is_empty()) {
        (true, false) => None,
        (_, true) => Some(COMPONENTS_SAY.to_owned()),
        (false, false) => Some(format!("Some tools: {COMPONENTS_SAY}")),
    };
    let of_upstreams = sources.offers.iter().filter_map(|offer| {
        let (name, text) = (offer.remote.name(), offer.instructions.as_deref()?);
        let text = sources.harmless_text(format!("Of `{name}`: {text}"));
        Some((name.into(), text))
    });
    let of_upstreams: Vec<(Box<str>, String)> = of_upstreams.collect();
    let of_each = of_upstreams.iter().map(|(_, text)| text.as_str());
    let all: Vec<&str> = of_components
        .as_deref()
        .into_iter()
        .chain(of_each)
        .collect();
    Instructions {
        whole: all.join("\n\n"),
        of_components,
        of_upstreams,
    }
}
