//! The ways into the audit log.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::audit::{Choice, Event, MEMBERS_BYTES_MAX, Sink, write_members};

use super::super::lane::LogProducer;

/// Bytes before an event's members in a frame: its time.
pub(super) const TIME_BYTES: usize = 8;

/// A lane is full for new calls when less than this part of its room is left: those in flight still have to be told of.
const RESERVE_PART: usize = 8;

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It will be written, or the operator does not want it.
    Taken,
    /// There is no room; it is counted, and the log will say so.
    Full,
}

/// A shard's way into the audit log.
#[derive(Debug)]
pub struct AuditLane {
    producer: LogProducer,
    choice: Choice,
    refuses_when_full: bool,
    frame: Vec<u8>,
}

impl AuditLane {
    pub(super) fn new(producer: LogProducer, choice: Choice, refuses_when_full: bool) -> Self {
        Self {
            producer,
            choice,
            refuses_when_full,
            frame: Vec::with_capacity(TIME_BYTES + MEMBERS_BYTES_MAX),
        }
    }

    /// Tells the log. Never waits; once warm it allocates nothing.
    ///
    /// Units: milliseconds since 1970.
    pub fn record(&mut self, time_ms: u64, event: &Event<'_>) -> Kept {
        if !self.choice.wants(event) {
            return Kept::Taken;
        }
        self.frame.clear();
        write_frame(&mut self.frame, time_ms, event);
        match self.producer.try_push(&self.frame) {
            true => Kept::Taken,
            false => Kept::Full,
        }
    }

    /// Whether an event of this kind is kept: what is costly to say (a hash of the arguments) need not be made otherwise.
    pub fn wants(&self, event: &Event<'_>) -> bool {
        self.choice.wants(event)
    }

    /// Whether new calls are to be refused: the operator wants that (`when_full: refuse`), and there is hardly any room left.
    pub fn is_full(&self) -> bool {
        self.refuses_when_full && self.producer.is_nearly_full(RESERVE_PART)
    }

    /// Events for which there was no room.
    pub fn lost(&self) -> u64 {
        self.producer.dropped()
    }
}

/// The way for threads that are no shards: one lane for all of them, and the host's clock.
#[derive(Debug)]
pub(crate) struct Told {
    producer: LogProducer,
    choice: Choice,
}

impl Told {
    pub(super) fn new(producer: LogProducer, choice: Choice) -> Self {
        Self { producer, choice }
    }
}

impl Sink for Told {
    fn take(&self, event: &Event<'_>) {
        if !self.choice.wants(event) {
            return;
        }
        let mut frame = Vec::with_capacity(512);
        write_frame(&mut frame, now_ms(), event);
        // What finds no room is counted by the lane, and written by the log.
        self.producer.try_push(&frame);
    }
}

fn write_frame(out: &mut Vec<u8>, time_ms: u64, event: &Event<'_>) {
    out.extend_from_slice(&time_ms.to_le_bytes());
    write_members(out, event);
}

/// Milliseconds since 1970 by the host's clock.
pub(super) fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0))
}
