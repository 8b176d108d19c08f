//! The one list of everything that is offered: which names exist, who answers each, and the text of the list pages.
//!
//! A catalogue is immutable. Loading or removing a component, and a component or an upstream that lists itself anew, build a new one with the next
//! generation number, and the shards swap to it between two requests, so no request sees two generations. All texts are
//! written once here, so that a list request copies bytes.
#![forbid(unsafe_code)]

mod build;
mod check;
mod given;
mod listing;
mod names;
mod offer;
mod owner;
pub mod pin;
mod template;
#[cfg(test)]
mod tests;
mod views;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use crate::component::{CacheHints, CompletionRef, Component};
pub use crate::mcp::List as Kind;
use crate::mcp::reply::Offer;
use crate::mcp::{Era, Revision};
use crate::policy::{Class, Owned};
use crate::upstream::remote::Remote;

pub use build::{LIST_TTL_MS, Sources};
pub use check::check;
use listing::Listing;
pub use listing::Page;
pub use offer::UpstreamOffer;
pub use owner::{Completer, Owner, PromptRef, Target, ToolRef};
use template::Template;
use views::Views;

/// One immutable generation of everything that is offered.
#[derive(Debug, Default)]
pub struct Catalog {
    generation: u64,
    components: Vec<Arc<Component>>,
    tools: HashMap<Box<str>, ToolRef>,
    resources: HashMap<Box<str>, Owner>,
    /// In the order of their owners; the first that matches counts.
    templates: Vec<TemplateRef>,
    prompts: HashMap<Box<str>, PromptRef>,
    listings: [Listing; 4],
    /// The tools in the form of the legacy era, where it differs.
    legacy_tools: Option<Listing>,
    /// The lists as classes of callers may see them.
    views: Views,
    hints: [Option<CacheHints>; 4],
    offer: Offer,
    /// Lists that are refused, and for whose sake.
    refused: [Option<Arc<Remote>>; 4],
    /// The upstreams that complete arguments.
    completing: Vec<usize>,
    /// What clients may tell their models.
    instructions: Instructions,
    /// By revision.
    capabilities: [String; Revision::ALL.len()],
}

/// What clients may tell their models, whole and in its parts.
#[derive(Debug, Default)]
struct Instructions {
    whole: String,
    of_components: Option<String>,
    /// By the upstream's name.
    of_upstreams: Vec<(Box<str>, String)>,
}

#[derive(Debug)]
struct TemplateRef {
    owner: Owner,
    text: Box<str>,
    /// None for a template that only its client can fill in.
    template: Option<Template>,
}

impl Catalog {
    /// What clients may tell their models about everything that is offered.
    pub fn instructions(&self) -> &str {
        &self.instructions.whole
    }

    /// The same about what a caller is shown: of an upstream of which it sees nothing, it hears nothing.
    pub fn instructions_for(&self, shows: impl Fn(Kind, &str) -> bool) -> Cow<'_, str> {
        if self.instructions.of_upstreams.is_empty() {
            return Cow::Borrowed(self.instructions());
        }
        let kinds = [Kind::Tools, Kind::Resources, Kind::Templates, Kind::Prompts];
        let is_seen = |upstream: &str| {
            kinds.into_iter().any(|kind| {
                let mut names = self.listings[kind as usize].names();
                names.any(|name| {
                    self.owner_of(kind, name) == Some(Owned::Upstream(upstream))
                        && shows(kind, name)
                })
            })
        };
        let of_upstreams = self.instructions.of_upstreams.iter();
        let seen = of_upstreams.filter(|(upstream, _)| is_seen(upstream));
        let of_components = self.instructions.of_components.as_deref();
        let all = of_components
            .into_iter()
            .chain(seen.map(|(_, text)| &**text));
        Cow::Owned(all.collect::<Vec<_>>().join("\n\n"))
    }

    /// The number of this generation; it only grows.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The components behind all this.
    pub fn components(&self) -> &[Arc<Component>] {
        &self.components
    }

    /// The tool of this name.
    pub fn tool(&self, name: &str) -> Option<&ToolRef> {
        self.tools.get(name)
    }

    /// The names of all tools that are listed, sorted.
    pub fn names(&self) -> Vec<&str> {
        self.listings[Kind::Tools as usize].names().collect()
    }

    /// Who has the resource at this address: the one that lists it, else the first with a template that it fits.
    pub fn resource(&self, uri: &str) -> Option<&Owner> {
        let fits = |known: &&TemplateRef| {
            known
                .template
                .as_ref()
                .is_some_and(|template| template.matches(uri))
        };
        self.resources
            .get(uri)
            .or_else(|| self.templates.iter().find(fits).map(|known| &known.owner))
    }

    /// Who has the template with this text.
    pub fn template_owner(&self, text: &str) -> Option<&Owner> {
        let mut templates = self.templates.iter();
        templates
            .find(|known| *known.text == *text)
            .map(|known| &known.owner)
    }

    /// The prompt of this name.
    pub fn prompt(&self, name: &str) -> Option<&PromptRef> {
        self.prompts.get(name)
    }

    /// Who completes the arguments of this prompt or template, by the name that clients know; none where there is no such.
    pub fn completer(&self, of: &CompletionRef) -> Option<Completer<'_>> {
        let (owner, of) = match of {
            CompletionRef::Prompt(name) => {
                let prompt = self.prompt(name)?;
                (&prompt.owner, CompletionRef::Prompt(prompt.name.clone()))
            }
            CompletionRef::Template(text) => {
                let known = self.templates.iter().find(|known| known.text == *text)?;
                (&known.owner, CompletionRef::Template(known.text.clone()))
            }
        };
        Some(match owner {
            Owner::Component(component) if component.definitions().has_completion => {
                Completer::Component(component, of)
            }
            Owner::Component(_) => Completer::Nobody,
            Owner::Upstream(remote) if self.completing.contains(&remote.index) => {
                Completer::Upstream(remote, of)
            }
            Owner::Upstream(_) => Completer::Nobody,
        })
    }

    /// One page of a list in the form of an era, behind the entry with this name or address; the first without one.
    ///
    /// Shape: none where no component offers anything of the kind. There always is a list of tools.
    pub fn page_in(&self, era: Era, kind: Kind, after: Option<&str>) -> Option<Page<'_>> {
        match &self.legacy_tools {
            Some(listing) if era == Era::Legacy && kind == Kind::Tools => Some(listing.page(after)),
            _ => self.page(kind, after),
        }
    }

    /// The same, of only those entries that are to be shown to callers of a class: `shows` says the same of all of them.
    pub fn page_for(
        &self,
        era: Era,
        kind: Kind,
        after: Option<&str>,
        class: Class,
        shows: impl Fn(&str) -> bool,
    ) -> Option<Page<'_>> {
        // There is such a list, whoever asks.
        self.page(kind, None)?;
        let list = match &self.legacy_tools {
            Some(tools) if era == Era::Legacy && kind == Kind::Tools => {
                (self.listings.len(), tools)
            }
            _ => (kind as usize, self.listings.get(kind as usize)?),
        };
        Some(self.views.page(class, list, after, shows))
    }

    /// Whose an entry of a list is.
    pub fn owner_of(&self, kind: Kind, name: &str) -> Option<Owned<'_>> {
        let owner = match kind {
            Kind::Tools => {
                let tool = self.tool(name)?;
                return Some(match tool.component() {
                    Some(component) => Owned::Component(component.name()),
                    None => Owned::Upstream(tool.owner_name()),
                });
            }
            Kind::Resources => self.resource(name)?,
            Kind::Templates => self.template_owner(name)?,
            Kind::Prompts => &self.prompt(name)?.owner,
            Kind::Tasks => return None,
        };
        Some(match owner {
            Owner::Component(component) => Owned::Component(component.name()),
            Owner::Upstream(remote) => Owned::Upstream(remote.name()),
        })
    }

    /// The same in the form of the modern era.
    pub fn page(&self, kind: Kind, after: Option<&str>) -> Option<Page<'_>> {
        let is_offered = match kind {
            Kind::Tools => true,
            Kind::Resources | Kind::Templates => self.offer.resources,
            Kind::Prompts => self.offer.prompts,
            // Nobody's tasks are everybody's.
            Kind::Tasks => false,
        };
        is_offered.then(|| {
            self.listings
                .get(kind as usize)
                .map(|list| list.page(after))
        })?
    }

    /// The upstream without which this list is not served, and which is down (`fail: closed`): a client must not take a part
    /// for the whole.
    pub fn refused(&self, kind: Kind) -> Option<&str> {
        let refused = self.refused.get(kind as usize)?.as_ref();
        refused.map(|remote| remote.name())
    }

    /// How long clients may keep a page of a list, and for whom: the least that any component in it says.
    pub fn hints(&self, kind: Kind) -> CacheHints {
        self.hints
            .get(kind as usize)
            .copied()
            .flatten()
            .unwrap_or(build::DEFAULT_HINTS)
    }

    /// What is offered.
    pub fn offer(&self) -> Offer {
        self.offer
    }

    /// What the server says that it can do, in the form of this revision: the text of an object.
    pub fn capabilities_in(&self, revision: Revision) -> &str {
        &self.capabilities[revision as usize]
    }

    /// The same in the form of the latest revision of an era.
    pub fn capabilities(&self, era: Era) -> &str {
        self.capabilities_in(match era {
            Era::Legacy => Revision::LEGACY_LATEST,
            Era::Modern => Revision::MODERN,
        })
    }

    /// A tool's entry in the list; null where there is none of this name.
    pub fn tool_entry(&self, name: &str) -> Value {
        let text = self.listings[Kind::Tools as usize].entry(name);
        text.and_then(|text| serde_json::from_slice(text).ok())
            .unwrap_or_default()
    }

    /// The whole list of tools, as the text of an array.
    pub fn listing(&self) -> Cow<'_, [u8]> {
        self.listings[Kind::Tools as usize].whole()
    }

    /// Whether both have the same entries in all lists.
    pub fn lists_the_same_as(&self, other: &Self) -> bool {
        Kind::ALL
            .into_iter()
            .all(|kind| self.lists_the_same_of(kind, other))
    }

    /// Whether both have the same entries in this list.
    pub fn lists_the_same_of(&self, kind: Kind, other: &Self) -> bool {
        let is_same = self.listings.get(kind as usize) == other.listings.get(kind as usize)
            && self.refused(kind) == other.refused(kind);
        is_same && (kind != Kind::Tools || self.legacy_tools == other.legacy_tools)
    }
}
