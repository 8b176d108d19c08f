//! Everything that MCP offers, as a component writes it: the host of the WIT package `margay:host`.
//!
//! A component that exports one of its interfaces, or imports one that speaks to the client, is *host-aware*: its calls run on fibers, know
//! who calls ([`Caller`]), may speak before they answer ([`Outbox`]), ask ([`Asks`]) and announce changes ([`Announcement`]).
//!
//! Invariants:
//! - whatever a guest makes the host keep has a bound: messages, questions, state, lists;
//! - JSON that a guest writes is validated before it becomes part of a message, and no message has a line break in it;
//! - a call that waits for a person computes nothing: the epoch clock may park meanwhile.

mod annotation;
mod announce;
mod ask;
mod asks;
pub(crate) mod bindings;
mod caller;
mod content;
mod context;
mod conversation;
mod definitions;
mod encode;
mod error;
mod guest;
mod job;
mod listing;
mod outbox;
mod question;
mod text;

pub(crate) use annotation::bindings as header_bindings;
pub use announce::Announcement;
pub(crate) use announce::Announcer;
pub use asks::{Asks, Full, OnAnswer, RemoteQuestion};
pub use caller::{Asked, Asking, Caller, Recorded};
pub(crate) use conversation::{Conversation, Exchange, Opening};
pub use definitions::{
    CacheHints, Definitions, Entry, PromptDefinition, ResourceDefinition, TaskSupport,
    TemplateDefinition, ToolDefinition,
};
pub(crate) use error::RpcError;
pub(crate) use guest::{Answered, Exports, Service};
pub use job::{CompletionRef, Job};
pub use outbox::{Outbox, Outgoing};

use wasmtime::component::{HasSelf, Linker};

use super::store::State;

/// The interfaces that a component may import.
const OFFERED: [&str; 5] = ["types", "context", "ask", "state", "changes"];

/// Those that make it host-aware.
const SPEAKING: [&str; 4] = ["context", "ask", "state", "changes"];

/// What names an instance of this package.
pub(crate) const PACKAGE: &str = "margay:host/";

/// Adds the imports to a linker.
pub(crate) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    use bindings::margay::host::{ask, changes, context, state, types};
    types::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    context::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    ask::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    state::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    changes::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}

/// Whether the linker has the instance that a component imports under this name.
pub(crate) fn is_offered(import: &str) -> bool {
    interface(import).is_some_and(|interface| OFFERED.contains(&interface))
}

/// Whether a component that imports this has to do with its caller.
pub(crate) fn is_speaking(import: &str) -> bool {
    interface(import).is_some_and(|interface| SPEAKING.contains(&interface))
}

/// The interface of this package, in a version that this host has, under this name.
fn interface(import: &str) -> Option<&str> {
    let (interface, version) = import.strip_prefix(PACKAGE)?.split_once('@')?;
    version.starts_with("0.1.").then_some(interface)
}
