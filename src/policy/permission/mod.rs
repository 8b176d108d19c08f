//! What a component may reach: one evaluator for files, HTTP, sockets, names and the environment.
//!
//! Invariants: what no line allows is denied; a deny beats every allow; of several policies each must allow.

mod address;
mod ask;
mod check;
mod diff;
mod document;
mod edit;
mod effective;
mod fault;
mod host;
mod inject;
mod network;
mod own;
mod place;
mod policy;
mod profile;
#[cfg(test)]
mod properties;
mod resources;
mod rule;
mod storage;
#[cfg(test)]
mod tests;
mod urlpath;
#[cfg(test)]
mod yaml;

pub use ask::{Access, Ask, By, Protocol, Verdict};
pub use check::check;
pub use document::Permissions;
pub use edit::{Change, Edited, Nowhere, edit};
pub use effective::Effective;
pub use fault::{Fault, Remark};
pub use inject::Injection;
pub use network::{NO_TUNNEL, NO_USER};
pub use own::Own;
pub use place::{Alias, decide_place};
pub use policy::{POLICY_BYTES_MAX, Policy, Source, Use, Variable};
pub use profile::{Callers, Profile, Profiles};
pub use resources::{Budgets, quantity_bytes};
pub use storage::Root;

use std::sync::Arc;

/// Decides for one caller's use of one component. The policy of the component, narrowed by those of the caller.
pub trait Decide: Send + Sync {
    /// Whether this is allowed, and by which line.
    fn decide(&self, ask: &Ask<'_>) -> Verdict;
}

/// One that allows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nothing;

impl Decide for Nothing {
    fn decide(&self, _: &Ask<'_>) -> Verdict {
        Verdict::denied(By::NoRule)
    }
}

/// A decider that is shared.
pub type Decider = Arc<dyn Decide>;
