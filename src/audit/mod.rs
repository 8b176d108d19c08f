//! What is told to the audit log, and the way there.
//!
//! Invariants: telling never waits and never fails; what cannot be kept is counted, and the log itself says how much is missing.
//!
//! The log is a chain of hashes ([`Link`]) that one writer, the recorder, makes ([`crate::tape`]); [`Verifier`] reads it. No file and no
//! clock is used here.
#![forbid(unsafe_code)]

mod chain;
mod choice;
mod event;
mod line;
mod time;
mod verify;

use std::fmt;
use std::sync::Arc;

pub use chain::{CHECKPOINT, FRAME_BYTES_MAX, Hash, Key, Line, Link, Purpose};
pub use choice::Choice;
pub use event::{Event, Kind, Outcome};
pub use line::{MEMBERS_BYTES_MAX, TEXT_BYTES_MAX, hex, read_hex, write_hex, write_members};
pub use time::write_iso;
pub use verify::{CHECKPOINT_LINES, Fault, Finding, Head, Report, Verifier};

/// Whoever takes events: the log's queue, or a test.
pub trait Sink: Send + Sync {
    /// Takes an event, or counts that there was no room for it. Never waits.
    fn take(&self, event: &Event<'_>);
}

/// The way to the audit log, from any thread. Cheap to clone.
#[derive(Clone, Default)]
pub struct Audit {
    sink: Option<Arc<dyn Sink>>,
}

impl Audit {
    /// Nothing is kept.
    pub fn off() -> Self {
        Self::default()
    }

    /// Events go there.
    pub fn new(sink: Arc<dyn Sink>) -> Self {
        Self { sink: Some(sink) }
    }

    /// Whether anybody listens: what is costly to say need not be made otherwise.
    pub fn is_on(&self) -> bool {
        self.sink.is_some()
    }

    /// Tells the log.
    pub fn record(&self, event: &Event<'_>) {
        if let Some(sink) = &self.sink {
            sink.take(event);
        }
    }
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_on = self.is_on();
        f.debug_struct("Audit").field("is_on", &is_on).finish()
    }
}
