//! What arguments and claims have to be, and the one pass over an arguments' text that finds out.
//!
//! Invariants: keys are compared decoded, numbers by value. What two readers could take differently (a key that stands twice,
//! one that differs in upper and lower case only, a path with dot segments, a number in quotes) is neither a match nor none, but
//! [`Truth::Unsure`]: it never meets an allow, and always meets a deny. Every text is read once, however many rules ask.

mod matcher;
mod number;
mod pointer;
mod walk;

pub use pointer::{Pointer, PointerError, Segment};

pub(super) use matcher::Test;
pub(super) use walk::{Findings, Plan, claims};

/// What is known of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Truth {
    /// It does not hold.
    No,
    /// One reader could say so and another not.
    Unsure,
    /// It holds.
    Yes,
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        match holds {
            true => Self::Yes,
            false => Self::No,
        }
    }
}
