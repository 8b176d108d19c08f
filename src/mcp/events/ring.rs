//! The events of one session's streams, in the order in which they came, within their bounds.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::EventLimits;
use super::id::{EventId, StreamId};
use crate::mem::ByteBudget;

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its id.
    pub id: EventId,
    /// Who carries the stream now, 0 for nobody.
    pub owner: u64,
    /// Whether it is kept. One that alone is more than a session may keep, or that the process has no room for, is not: only
    /// whoever has it in hand can still deliver it.
    pub kept: bool,
}

/// What became of a stream that a client came back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Who carried it until now and has to be told that it does no longer, 0 for nobody.
    pub displaced: u64,
    /// Whether it has its last event already.
    pub completed: bool,
}

/// One event of a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its number in its stream.
    pub seq: u64,
    /// Its message.
    pub message: Arc<[u8]>,
}

/// What a stream has after some event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// The events, in their order.
    pub events: Vec<Event>,
    /// How many are missing before or between these, or behind them where there are no more: they went beyond a bound.
    pub gone: u64,
    /// Where to read on: the number of the last event that this covers.
    pub last: u64,
    /// Whether there are more behind these.
    pub more: bool,
    /// Whether the stream has its last event.
    pub completed: bool,
}

/// The session does not keep such a stream, or the stream has never had such an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownStream;

/// What an event takes beside its message, about.
pub(super) const EVENT_BYTES: usize = 64;

#[derive(Debug)]
pub(super) struct Ring {
    limits: EventLimits,
    budget: Arc<ByteBudget>,
    events: VecDeque<Kept>,
    streams: BTreeMap<StreamId, Stream>,
    bytes: usize,
    next: u32,
    attached_count: usize,
}

#[derive(Debug)]
struct Kept {
    stream: StreamId,
    seq: u64,
    at_ms: u64,
    message: Arc<[u8]>,
}

#[derive(Debug, Default)]
struct Stream {
    /// Number of the last event.
    last: u64,
    kept_count: usize,
    owner: u64,
    completed: bool,
}

impl Kept {
    fn cost(&self) -> usize {
        self.message.len() + EVENT_BYTES
    }
}

impl Ring {
    pub(super) fn new(limits: EventLimits, budget: Arc<ByteBudget>) -> Self {
        Self {
            limits,
            budget,
            events: VecDeque::new(),
            streams: BTreeMap::from([(StreamId::SESSION, Stream::default())]),
            bytes: 0,
            next: 1,
            attached_count: 0,
        }
    }

    pub(super) fn open(&mut self, owner: u64) -> Option<StreamId> {
        let stream = StreamId(self.next);
        // Four thousand million streams of one session: the ids are used up rather than used again.
        self.next = self.next.checked_add(1)?;
        let opened = Stream {
            owner,
            ..Stream::default()
        };
        self.streams.insert(stream, opened);
        self.attached_count += usize::from(owner != 0);
        Some(stream)
    }

    pub(super) fn append(
        &mut self,
        stream: StreamId,
        message: Arc<[u8]>,
        now_ms: u64,
    ) -> Result<Appended, UnknownStream> {
        self.expire(now_ms);
        let Some(found) = self.streams.get_mut(&stream) else {
            return Err(UnknownStream);
        };
        found.last += 1;
        let (seq, owner) = (found.last, found.owner);
        let kept = self.keep(Kept {
            stream,
            seq,
            at_ms: now_ms,
            message,
        });
        Ok(Appended {
            id: EventId { stream, seq },
            owner,
            kept,
        })
    }

    /// Makes room at the expense of this session's oldest events, never of another session's.
    fn keep(&mut self, event: Kept) -> bool {
        let cost = event.cost();
        if self.limits.count_max == 0 || cost > self.limits.bytes_max {
            return false;
        }
        while self.events.len() >= self.limits.count_max
            || self.bytes + cost > self.limits.bytes_max
        {
            self.evict();
        }
        while !self.budget.try_charge(cost) {
            if self.events.is_empty() {
                return false;
            }
            self.evict();
        }
        self.bytes += cost;
        if let Some(stream) = self.streams.get_mut(&event.stream) {
            stream.kept_count += 1;
        }
        self.events.push_back(event);
        true
    }

    fn evict(&mut self) {
        if let Some(event) = self.events.pop_front() {
            self.release(&event);
        }
    }

    /// Gives an event's bytes back, and forgets its stream where nothing is left of it.
    fn release(&mut self, event: &Kept) {
        self.bytes -= event.cost();
        self.budget.refund(event.cost());
        if let Some(stream) = self.streams.get_mut(&event.stream) {
            stream.kept_count -= 1;
        }
        self.forget_if_over(event.stream);
    }

    /// A stream that has its last event, that nobody carries, and of which nothing is kept cannot be gone on with.
    fn forget_if_over(&mut self, stream: StreamId) {
        let over = self
            .streams
            .get(&stream)
            .is_some_and(|found| found.completed && found.owner == 0 && found.kept_count == 0);
        if over {
            self.streams.remove(&stream);
        }
    }

    pub(super) fn finish(&mut self, stream: StreamId) -> Option<u64> {
        debug_assert_ne!(stream, StreamId::SESSION, "it has no last event");
        let found = self.streams.get_mut(&stream)?;
        found.completed = true;
        let owner = found.owner;
        self.forget_if_over(stream);
        Some(owner)
    }

    pub(super) fn attach(
        &mut self,
        stream: StreamId,
        owner: u64,
    ) -> Result<Attached, UnknownStream> {
        let found = self.streams.get_mut(&stream).ok_or(UnknownStream)?;
        let displaced = std::mem::replace(&mut found.owner, owner);
        self.attached_count += usize::from(displaced == 0);
        Ok(Attached {
            displaced,
            completed: found.completed,
        })
    }

    pub(super) fn detach(&mut self, stream: StreamId, owner: u64) -> bool {
        let had = self
            .streams
            .get_mut(&stream)
            .filter(|found| owner != 0 && found.owner == owner)
            .map(|found| found.owner = 0)
            .is_some();
        if had {
            self.attached_count -= 1;
            self.forget_if_over(stream);
        }
        had
    }

    pub(super) fn last(&self, stream: StreamId) -> u64 {
        self.streams.get(&stream).map_or(0, |found| found.last)
    }

    pub(super) fn carrier(&self, stream: StreamId) -> u64 {
        self.streams.get(&stream).map_or(0, |found| found.owner)
    }

    pub(super) fn attached_count(&self) -> usize {
        self.attached_count
    }

    pub(super) fn read_after(
        &self,
        stream: StreamId,
        seq: u64,
        bytes_max: usize,
    ) -> Result<Replay, UnknownStream> {
        let found = self.streams.get(&stream).ok_or(UnknownStream)?;
        if seq > found.last {
            return Err(UnknownStream);
        }
        let mut events = Vec::new();
        let (mut bytes, mut more) = (0, false);
        let behind = |event: &&Kept| event.stream == stream && event.seq > seq;
        for event in self.events.iter().filter(behind) {
            if !events.is_empty() && bytes + event.cost() > bytes_max {
                more = true;
                break;
            }
            bytes += event.cost();
            events.push(Event {
                seq: event.seq,
                message: Arc::clone(&event.message),
            });
        }
        // With more to come, a gap behind the last of these is the next reading's.
        let last = match events.last() {
            Some(event) if more => event.seq,
            _ => found.last,
        };
        Ok(Replay {
            gone: last - seq - events.len() as u64,
            events,
            last,
            more,
            completed: found.completed,
        })
    }

    pub(super) fn forget_through(&mut self, stream: StreamId, seq: u64) {
        let (gone, left): (VecDeque<Kept>, VecDeque<Kept>) = std::mem::take(&mut self.events)
            .into_iter()
            .partition(|event| event.stream == stream && event.seq <= seq);
        self.events = left;
        for event in &gone {
            self.release(event);
        }
    }

    pub(super) fn expire(&mut self, now_ms: u64) {
        while self
            .events
            .front()
            .is_some_and(|event| now_ms.saturating_sub(event.at_ms) > self.limits.keep_ms)
        {
            self.evict();
        }
    }

    pub(super) fn clear(&mut self) {
        self.budget.refund(std::mem::take(&mut self.bytes));
        self.events = VecDeque::new();
        self.streams = BTreeMap::new();
        self.attached_count = 0;
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.clear();
    }
}
