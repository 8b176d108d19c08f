//! What a component may reach: one evaluator for files, HTTP, sockets, names and the environment.
//!
//! Invariants: what no line allows is denied; a deny beats every allow; of several policies each must allow.

mod ask;

pub use ask::{Access, Ask, By, Protocol, Verdict};

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
