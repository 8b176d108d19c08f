//! What another server offers, read from what it said.
//!
//! An upstream is not trusted: an entry that is none, or that clients would refuse the whole list for, is left out with a
//! warning, and the others stand. What stands is passed on as it was written, members that we do not know included; only its
//! name may become another.

mod entry;
mod facts;
mod tool;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use crate::component::{CacheHints, Entry, TaskSupport};
use crate::gateway::RawListing;
use crate::limits::{TEMPLATES_PER_COMPONENT_MAX, URI_BYTES_MAX};
use crate::mcp::List;
use crate::mcp::headers::ParamBinding;
use crate::mcp::reply::Offer;
use crate::upstream::era::Spoken;
use crate::upstream::remote::Remote;

use entry::{RawEntry, RawPage};

/// Bytes of a name that an upstream gives to something; far beyond what any client takes.
const NAME_BYTES_MAX: usize = 1_024;

/// Everything that one upstream offers. Immutable: a new list makes a new offer.
#[derive(Clone, Debug)]
pub struct UpstreamOffer {
    /// Whose it is.
    pub remote: Arc<Remote>,
    pub(super) tools: Vec<OfferedTool>,
    pub(super) resources: Vec<Offered>,
    pub(super) templates: Vec<Offered>,
    pub(super) prompts: Vec<Offered>,
    /// How long clients may keep each list, where the upstream says.
    pub(super) hints: [Option<CacheHints>; 4],
    pub(super) capabilities: Offer,
    /// What it wants clients' models to know.
    pub(super) instructions: Option<Box<str>>,
}

/// A resource, a template or a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offered {
    /// Its name or address, as the upstream knows it.
    pub(super) name: Box<str>,
    /// All but the name.
    pub(super) entry: Entry,
}

/// A tool.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct OfferedTool {
    /// Its name, as the upstream knows it.
    pub(super) name: Box<str>,
    /// All but the name.
    pub(super) entry: Entry,
    /// The same as legacy clients have it, where that differs.
    pub(super) legacy_entry: Option<Entry>,
    pub(super) task_support: TaskSupport,
    pub(super) header_bindings: Vec<ParamBinding>,
    pub(super) is_repeatable: bool,
}

impl UpstreamOffer {
    /// Reads what an upstream said, and keeps at most this many entries of all lists together.
    pub fn read(remote: &Arc<Remote>, listing: &RawListing, entry_count_max: usize) -> Self {
        let mut reading = Reading {
            offer: Self {
                remote: Arc::clone(remote),
                tools: Vec::new(),
                resources: Vec::new(),
                templates: Vec::new(),
                prompts: Vec::new(),
                hints: [None; 4],
                capabilities: facts::capabilities(&listing.facts, listing.spoken),
                instructions: facts::instructions(&listing.facts),
            },
            is_modern: listing.spoken == Spoken::Modern,
            room: entry_count_max,
            left_out: 0,
            seen: HashSet::new(),
        };
        for (list, page) in &listing.pages {
            reading.page(*list, page);
        }
        if reading.left_out > 0 {
            tracing::warn!(
                upstream = remote.name(),
                left_out = reading.left_out,
                "lists more entries than limits.upstream_entry_count_max, which is {entry_count_max}: the rest is not offered"
            );
        }
        reading.offer
    }

    /// Whether both offer the same.
    pub fn is_same_as(&self, other: &Self) -> bool {
        let Self {
            remote,
            tools,
            resources,
            templates,
            prompts,
            hints,
            capabilities,
            instructions,
        } = self;
        remote.index == other.remote.index
            && *tools == other.tools
            && *resources == other.resources
            && *templates == other.templates
            && *prompts == other.prompts
            && *hints == other.hints
            && *capabilities == other.capabilities
            && *instructions == other.instructions
    }

    /// How many tools it has, those that are not offered included.
    pub fn tool_count(&self) -> usize {
        self.tools.len()
    }

    /// Whether it has a list of this kind.
    pub(super) fn has_list(&self, list: List) -> bool {
        match list {
            List::Tools => self.capabilities.tools,
            List::Resources | List::Templates => self.capabilities.resources,
            List::Prompts => self.capabilities.prompts,
            List::Tasks => false,
        }
    }
}

/// Lists on their way to an offer.
struct Reading {
    offer: UpstreamOffer,
    is_modern: bool,
    /// Entries that may still come.
    room: usize,
    left_out: usize,
    /// Names and addresses, so that none stands twice.
    seen: HashSet<(List, Box<str>)>,
}

impl Reading {
    fn page(&mut self, list: List, text: &[u8]) {
        if list == List::Tasks {
            return;
        }
        let page = match RawPage::read(text, list) {
            Ok(page) => page,
            Err(reason) => {
                return self.warn(list, "", format_args!("a page of the list {reason}"));
            }
        };
        match list {
            List::Tools => self.offer.capabilities.tools = true,
            List::Prompts => self.offer.capabilities.prompts = true,
            _ => self.offer.capabilities.resources = true,
        }
        if self.is_modern {
            // A modern list that says nothing may not be kept.
            let said = page.hints.unwrap_or(CacheHints::NONE);
            let merged = &mut self.offer.hints[list as usize];
            *merged = Some(merged.map_or(said, |before| super::build::least(before, said)));
        }
        for text in page.entries {
            if self.room == 0 {
                self.left_out += 1;
                continue;
            }
            self.entry(list, text);
        }
    }

    fn entry(&mut self, list: List, text: &str) {
        let raw = match RawEntry::read(text, list) {
            Ok(raw) => raw,
            Err(reason) => return self.warn(list, "", format_args!("{reason}")),
        };
        let name = raw.name.clone();
        if let Err(reason) = self.add(list, raw) {
            self.warn(list, &name, format_args!("{reason}"));
        }
    }

    fn add(&mut self, list: List, raw: RawEntry<'_>) -> Result<(), String> {
        let name_bytes_max = match list {
            List::Resources | List::Templates => URI_BYTES_MAX,
            _ => NAME_BYTES_MAX,
        };
        if raw.name.is_empty() || raw.name.len() > name_bytes_max {
            return Err(format!(
                "its name has {} bytes, and may have 1 to {name_bytes_max}",
                raw.name.len()
            ));
        }
        if self.seen.contains(&(list, raw.name.clone())) {
            return Err("it is listed twice: the first counts".to_owned());
        }
        let name = raw.name.clone();
        match list {
            List::Tools => {
                let tool = tool::read(&raw, self.is_modern, self.offer.capabilities.tasks)?;
                self.offer.tools.push(tool);
            }
            List::Templates if self.offer.templates.len() >= TEMPLATES_PER_COMPONENT_MAX => {
                return Err(format!(
                    "it is one template too many: {TEMPLATES_PER_COMPONENT_MAX} are the most"
                ));
            }
            List::Resources => self.offer.resources.push(raw.into_offered()?),
            List::Templates => self.offer.templates.push(raw.into_offered()?),
            _ => self.offer.prompts.push(raw.into_offered()?),
        }
        self.seen.insert((list, name));
        self.room -= 1;
        Ok(())
    }

    fn warn(&self, list: List, name: &str, reason: fmt::Arguments<'_>) {
        // What it is called is the upstream's own text, of any length.
        let name: String = name.chars().take(NAME_SHOWN_MAX).collect();
        tracing::warn!(
            upstream = self.offer.remote.name(),
            list = list.key(),
            name,
            "is not offered: {reason}"
        );
    }
}

/// Characters of a name that stand in the log.
const NAME_SHOWN_MAX: usize = 128;

#[cfg(test)]
mod tests;
