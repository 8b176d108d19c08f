//! What a legacy session keeps for its client: the events of its streams, for a client that comes back, and its subscriptions.
//!
//! A stream is what the answer to one request is sent on, or, as [`StreamId::SESSION`], what belongs to no request. Its
//! events have ids, `<stream>-<number>`; a client that lost its connection opens another with the last id that it got, is
//! given what came after, and goes on from there. The connection may end at another shard than the one whose call writes the
//! stream: so a stream also knows who carries it now, and a writer who finds somebody else nudges that one.
//!
//! Invariants: a session keeps its events within a count, a number of bytes and a time, the oldest going first, and all
//! sessions together within the process's budget; what is not kept is still numbered, so a gap is seen and counted; an id is
//! never given twice; whatever ends the session frees all of it and gives its bytes back at once.
//!
//! One mutex a session, held for a copy and no longer; a call that is answered with one JSON object never comes here.
//!
//! Source: MCP 2025-11-25 basic/transports, "Resumability and Redelivery".

pub(super) mod check;
mod id;
mod ring;

pub use id::{EventId, StreamId};
pub use ring::{Appended, Attached, Event, Replay, UnknownStream};

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::changes::{Changes, News, SubscribeError, Subscriptions, Told};
use super::id::InlineId;
use super::reply;
use crate::limits::Limits;
use crate::mem::ByteBudget;
use ring::Ring;

/// The bounds of what one session keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventLimits {
    /// Events.
    pub count_max: usize,
    /// Bytes of events.
    pub bytes_max: usize,
    /// Milliseconds that an event is kept.
    pub keep_ms: u64,
    /// Resources that it may follow.
    pub subscription_count_max: usize,
}

impl EventLimits {
    /// The operator's.
    pub fn of(limits: &Limits) -> Self {
        let keep_ms = limits.session_event_deadline.as_millis();
        Self {
            count_max: limits.session_event_count_max,
            bytes_max: limits.session_event_bytes_max,
            keep_ms: u64::try_from(keep_ms).unwrap_or(u64::MAX),
            subscription_count_max: limits.subscription_count_max,
        }
    }
}

/// What became of what there was to tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Announced {
    /// Events that were added.
    pub count: usize,
    /// Whether the process had no room for some: they are still to be told, so ask again later.
    pub pending: bool,
}

/// What one session keeps for its client.
#[derive(Debug)]
pub struct SessionEvents {
    limits: EventLimits,
    changes: Arc<Changes>,
    /// Streams that a connection or a call has now: while there are some, the session is in use.
    attached: AtomicUsize,
    /// `clientInfo`, where the session itself was made before it was said.
    client_info: OnceLock<Box<[u8]>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    ring: Ring,
    /// Up to where the session's own stream has told of changed lists.
    told: Told,
    subscriptions: Subscriptions,
    closed: bool,
}

impl SessionEvents {
    /// For a session that was made when the lists had this version ([`Changes::now`]).
    pub(super) fn new(
        limits: EventLimits,
        changes: Arc<Changes>,
        budget: Arc<ByteBudget>,
        told: Told,
    ) -> Self {
        let subscriptions = Subscriptions::new(Arc::clone(&changes), Arc::clone(&budget));
        Self {
            limits,
            changes,
            attached: AtomicUsize::new(0),
            client_info: OnceLock::new(),
            state: Mutex::new(State {
                ring: Ring::new(limits, budget),
                told,
                subscriptions,
                closed: false,
            }),
        }
    }

    /// Opens the stream of a request's answer, carried by `owner`: a number other than 0 that is unique in the process.
    ///
    /// Shape: none once the session has ended.
    pub fn open(&self, owner: u64) -> Option<StreamId> {
        self.change(|state| state.ring.open(owner))
    }

    /// Adds an event to a stream: one whole message.
    ///
    /// Shape: its number, and who carries the stream: the caller itself, or somebody who has to be nudged, or nobody.
    pub fn append(
        &self,
        stream: StreamId,
        message: &[u8],
        now_ms: u64,
    ) -> Result<Appended, UnknownStream> {
        // Copied before the lock is taken.
        let message: Arc<[u8]> = message.into();
        self.change(|state| Some(state.ring.append(stream, message, now_ms)))
            .unwrap_or(Err(UnknownStream))
    }

    /// Notes that a stream has its last event: once that is delivered, the connection ends.
    ///
    /// Shape: who carries it now, 0 for nobody.
    pub fn finish(&self, stream: StreamId) -> u64 {
        self.change(|state| state.ring.finish(stream)).unwrap_or(0)
    }

    /// Gives a stream to `owner`: the connection of a client that came back. Whoever had it has lost it.
    pub fn attach(&self, stream: StreamId, owner: u64) -> Result<Attached, UnknownStream> {
        self.change(|state| Some(state.ring.attach(stream, owner)))
            .unwrap_or(Err(UnknownStream))
    }

    /// Takes a stream from `owner`, if it has it: its connection is gone. Whether it had it.
    pub fn detach(&self, stream: StreamId, owner: u64) -> bool {
        self.change(|state| Some(state.ring.detach(stream, owner)))
            .unwrap_or(false)
    }

    /// The number of a stream's last event, 0 before the first.
    pub fn last(&self, stream: StreamId) -> u64 {
        self.lock().ring.last(stream)
    }

    /// Who carries a stream now, 0 for nobody.
    pub fn carrier(&self, stream: StreamId) -> u64 {
        self.lock().ring.carrier(stream)
    }

    /// What a stream has after event number `seq`, up to about `bytes_max` bytes, but at least one event.
    ///
    /// Errors: the stream is not kept, or has never had that number.
    pub fn read_after(
        &self,
        stream: StreamId,
        seq: u64,
        bytes_max: usize,
    ) -> Result<Replay, UnknownStream> {
        self.lock().ring.read_after(stream, seq, bytes_max)
    }

    /// Frees a stream's events up to number `seq`: they are delivered and nobody will ask for them again.
    pub fn forget_through(&self, stream: StreamId, seq: u64) {
        self.lock().ring.forget_through(stream, seq);
    }

    /// Adds what has changed since it was told last to the session's own stream: each list and each resource once.
    ///
    /// To be called by whoever carries that stream, when [`Changes::generation`] has grown and when it takes the stream over:
    /// while nobody does, what there is to tell waits, and is told once. Of what it `hears` nothing, nothing is told, now or later.
    pub fn announce(&self, now_ms: u64, hears: impl Fn(News<'_>) -> bool) -> Announced {
        let mut announced = Announced::default();
        self.change(|state| {
            let State {
                ring,
                told,
                subscriptions,
                ..
            } = state;
            let mut message = Vec::new();
            let mut add = |write: &dyn Fn(&mut Vec<u8>)| {
                message.clear();
                write(&mut message);
                let added = ring.append(StreamId::SESSION, message.as_slice().into(), now_ms);
                let kept = added.is_ok_and(|added| added.kept);
                announced.count += usize::from(kept);
                announced.pending |= !kept;
                kept
            };
            told.news(&self.changes, |list| {
                let write = |out: &mut Vec<u8>| reply::list_changed::<InlineId>(out, list, None);
                !hears(News::List(list)) || add(&write)
            });
            subscriptions.news(|uri| {
                let write = |out: &mut Vec<u8>| reply::resource_updated::<InlineId>(out, uri, None);
                !hears(News::Resource(uri)) || add(&write)
            });
            Some(())
        });
        announced
    }

    /// Follows a resource.
    pub fn subscribe(&self, uri: &str) -> Result<bool, SubscribeError> {
        let count_max = self.limits.subscription_count_max;
        self.change(|state| Some(state.subscriptions.add(uri, count_max)))
            .unwrap_or(Ok(false))
    }

    /// Follows a resource no longer; whether it did.
    pub fn unsubscribe(&self, uri: &str) -> bool {
        self.lock().subscriptions.remove(uri)
    }

    /// Whether the session has ended: nothing is kept and nothing is taken any longer.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Keeps what the client says of itself, the first time that it does.
    pub(super) fn keep_client_info(&self, info: &[u8]) {
        self.client_info.get_or_init(|| info.into());
    }

    pub(super) fn client_info(&self) -> Option<&[u8]> {
        self.client_info.get().map(AsRef::as_ref)
    }

    /// Whether a stream is carried by somebody now.
    pub(super) fn is_attached(&self) -> bool {
        self.attached.load(Relaxed) > 0
    }

    /// Frees the events that are older than the time they are kept.
    pub(super) fn expire(&self, now_ms: u64) {
        self.lock().ring.expire(now_ms);
    }

    /// Ends it: frees everything and gives its bytes back.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.ring.clear();
        state.subscriptions.clear();
        self.attached.store(0, Relaxed);
    }

    /// Changes the state, unless the session has ended.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> Option<T>) -> Option<T> {
        let mut state = self.lock();
        if state.closed {
            return None;
        }
        let done = change(&mut state);
        self.attached.store(state.ring.attached_count(), Relaxed);
        done
    }

    /// A panic of another thread leaves numbers that are still numbers: there is nothing to be poisoned by.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
