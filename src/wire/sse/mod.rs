//! Event streams: appending events, and reading them as they come.
//!
//! Invariants: what is written arrives as one event with the same lines; what is read does not depend on how the bytes
//! were split; a reader's memory is bounded, and it hands an event over with the byte that ends it. A stream is bytes: a
//! reader checks no UTF-8, because whoever reads the data does. Neither side ever keeps an event that was handed over.
//!
//! Source: WHATWG HTML, section 9.2 (server-sent events).

mod read;
mod write;

pub use read::{Event, EventError, EventItem, EventLimits, EventReader, check_reader};
pub use write::{check, write_comment, write_event, write_retry};
