//! What is told to the audit log, and the way there.
//!
//! Invariants: telling never waits and never fails; what cannot be kept is counted, and the log itself says how much is missing.
#![forbid(unsafe_code)]

mod event;

use std::fmt;
use std::sync::Arc;

pub use event::{Event, Kind, Outcome};

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
