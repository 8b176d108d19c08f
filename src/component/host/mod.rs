//! Everything that MCP offers, as a component writes it: the host of the WIT package `margay:host`.
//!
//! A component that exports one of its interfaces, or imports one that speaks to the client, is *host-aware*: its calls run on fibers, know
//! who calls ([`Caller`]), may speak before they answer ([`Outbox`]), ask ([`Asks`]) and announce changes ([`Announcement`]).
//!
//! Invariants:
//! - whatever a guest makes the host keep has a bound: messages, questions, state, lists;
//! - JSON that a guest writes is validated before it becomes part of a message, and no message has a line break in it;
//! - a call that waits for a person computes nothing: the epoch clock may park meanwhile.

mod announce;
mod asks;
pub(crate) mod bindings;
mod caller;
mod definitions;
mod job;
mod outbox;

pub use announce::Announcement;
pub(crate) use announce::Announcer;
pub use asks::Asks;
pub use caller::{Asked, Asking, Caller, Recorded};
pub use definitions::{
    CacheHints, Definitions, Entry, PromptDefinition, ResourceDefinition, TaskSupport,
    TemplateDefinition, ToolDefinition,
};
pub use job::{CompletionRef, Job};
pub use outbox::{Outbox, Outgoing};
