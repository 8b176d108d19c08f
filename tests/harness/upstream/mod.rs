//! A server for a gateway to stand in front of: it does what its script says, keeps all that it is sent, and complains of
//! a client that breaks the protocol.
//!
//! The same server speaks over HTTP, in the process of the tests, and over standard input and output, as a child.

pub mod brain;
pub mod child;
pub mod faults;
mod guarded;
pub mod http;
pub mod journal;
mod tools;
pub mod wire;
mod wire_rules;

use serde::{Deserialize, Serialize};

pub use child::Child;
pub use guarded::Guarded;
pub use http::{HttpUpstream, Mode};

/// The protocol that an upstream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Speaks {
    /// 2025-11-25: a handshake and a session.
    Legacy,
    /// 2026-07-28: requests that stand alone.
    Modern,
    /// 2024-11-05: a stream and an endpoint to post to. Only over HTTP.
    Old,
}

/// What an upstream is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Script {
    /// What it says its name is; the tool `who` tells it.
    pub name: String,
    pub speaks: Speaks,
    /// The tools that it lists.
    pub tools: Vec<String>,
    /// What the descriptions of its tools end with.
    pub words: String,
    /// Whether it lists a resource, a template and a prompt.
    pub has_all_kinds: bool,
    /// Items on a page of a list.
    pub page: usize,
    /// Whether every answer to a POST is a stream of events.
    pub events: bool,
    /// Whether tools that ask something are listed only for clients that can be asked.
    pub conditional: bool,
    /// Children that answer: those that are started after them never do.
    pub answering: usize,
}

impl Script {
    /// One with all tools of [`tools::NAMES`].
    pub fn new(name: &str, speaks: Speaks) -> Self {
        Self {
            name: name.to_owned(),
            speaks,
            tools: tools::NAMES.iter().map(|name| (*name).to_owned()).collect(),
            words: String::new(),
            has_all_kinds: false,
            page: 1_000,
            events: false,
            conditional: false,
            answering: usize::MAX,
        }
    }

    pub fn legacy(name: &str) -> Self {
        Self::new(name, Speaks::Legacy)
    }

    pub fn modern(name: &str) -> Self {
        Self::new(name, Speaks::Modern)
    }

    pub fn old(name: &str) -> Self {
        Self::new(name, Speaks::Old)
    }

    /// Only these tools.
    pub fn with_tools(mut self, tools: &[&str]) -> Self {
        self.tools = tools.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// The descriptions of its tools end with these words.
    pub fn with_words(mut self, words: &str) -> Self {
        self.words = words.to_owned();
        self
    }

    /// Every answer is a stream of events.
    pub fn with_events(mut self) -> Self {
        self.events = true;
        self
    }

    /// A resource, a template and a prompt too.
    pub fn with_all_kinds(mut self) -> Self {
        self.has_all_kinds = true;
        self
    }

    /// Tools that ask something are listed only for clients that can be asked.
    pub fn with_conditions(mut self) -> Self {
        self.conditional = true;
        self
    }

    /// Only so many children answer.
    pub fn with_answering(mut self, count: usize) -> Self {
        self.answering = count;
        self
    }

    /// Lists in pages of this many.
    pub fn with_page(mut self, count: usize) -> Self {
        self.page = count;
        self
    }

    /// Serves it over HTTP.
    pub fn http(self) -> HttpUpstream {
        HttpUpstream::start(self)
    }

    /// Has it ready as a child's command.
    pub fn child(self) -> Child {
        Child::new(self)
    }
}
