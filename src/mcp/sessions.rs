//! The table of legacy sessions, shared by all shards without a lock.
//!
//! A client that never ends its sessions is the usual one, so the table is bounded twice: a session that was not used for
//! the idle time goes, and at the cap a new one displaces the one unused for longest among those next in a ring of ids. A
//! flood of sessions that are opened and left displaces itself before it displaces those that work.
//!
//! Invariants: an id is found only by the principal that it was made for; a session with an open stream or a call that
//! is away is in use and neither expires nor gives way; every operation does a bounded amount of work; what is removed is freed.
//!
//! The table has no clock and no randomness: both come in.

// The ring of ids is bounded by the cap: creation keeps it within twice the sessions there are.
#![allow(clippy::disallowed_types)]

mod calls;
mod id;
mod session;

pub use id::{Principal, SESSION_ID_BYTES, SessionId};

use std::fmt;
use std::hash::BuildHasherDefault;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use crossbeam_queue::SegQueue;
use papaya::{Guard, HashMap};

use super::capability::{ClientCapabilities, LogLevel};
use super::changes::Changes;
use super::events::{EventLimits, SessionEvents};
use super::revision::Revision;
use crate::limits::Limits;
use crate::mem::ByteBudget;
use id::IdHasher;
use session::Session;

/// What a new session starts with.
#[derive(Clone, Copy, Debug)]
pub struct NewSession<'a> {
    /// Sixteen bytes from the system's random source.
    pub random: [u8; 16],
    /// Whom the session belongs to.
    pub principal: Principal,
    /// The revision that `initialize` was answered with.
    pub revision: Revision,
    /// What the client declared.
    pub capabilities: ClientCapabilities,
    /// `clientInfo` as JSON, if it sent some; kept if it is short.
    pub client_info: Option<&'a [u8]>,
    /// The time, in milliseconds of a clock that never goes back.
    pub now_ms: u64,
}

/// What a request needs to know of its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionFacts {
    /// The negotiated revision.
    pub revision: Revision,
    /// What the client declared.
    pub capabilities: ClientCapabilities,
    /// The level from `logging/setLevel`, if it was called.
    pub log_level: Option<LogLevel>,
    /// Whether `notifications/initialized` has come.
    pub initialized: bool,
    /// Whether its `initialize` was answered; one of Streamable HTTP begins with that.
    pub settled: bool,
    /// How its client reaches it.
    pub transport: Transport,
}

/// How a session's client reaches it. A session is found only on its own transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Streamable HTTP: each request is answered on its own exchange.
    Streamable,
    /// HTTP+SSE of 2024-11-05: requests are posted, and everything is answered on the one stream.
    Sse,
}

/// What became of an attempt to open a session's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamClaim {
    /// The stream is the caller's until it releases it.
    Claimed,
    /// Another one is open.
    Taken,
    /// There is no such session.
    Unknown,
}

/// The table is full of sessions that are all in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionsFull;

/// What a pass over a part of the table found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    /// Ids looked at.
    pub visited: usize,
    /// Sessions removed because they were idle too long.
    pub expired: usize,
}

/// Counts since the start, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionCounts {
    /// Sessions now.
    pub live: usize,
    /// Sessions made.
    pub created: u64,
    /// Sessions ended by their client.
    pub ended: u64,
    /// Sessions removed for being idle.
    pub expired: u64,
    /// Sessions displaced by new ones.
    pub evicted: u64,
}

/// The sessions of the whole process.
pub struct Sessions {
    map: HashMap<u128, Session, BuildHasherDefault<IdHasher>>,
    /// Every live id once, and for a while ids that are removed already.
    ring: SegQueue<u128>,
    count_max: usize,
    idle_ms: u64,
    event_limits: EventLimits,
    changes: Arc<Changes>,
    /// Bytes kept for clients, of all sessions and streams.
    budget: Arc<ByteBudget>,
    live: AtomicUsize,
    created: AtomicU64,
    ended: AtomicU64,
    expired: AtomicU64,
    evicted: AtomicU64,
    /// Sessions that ended while they were in use.
    bereaved: AtomicU64,
}

/// Sessions looked at for one displacement; the one unused for longest among them goes.
const EVICTION_STEPS_MAX: usize = 64;

/// Ring entries a creation cleans up. More than the one that it adds, so that removed ids do not pile up.
const CLEANUP_STEPS: usize = 4;

/// Removed ids that may stay in the ring beside as many as there are sessions.
const STALE_SLACK: usize = 64;

impl Sessions {
    /// An empty table with the operator's limits.
    pub fn of(limits: &Limits) -> Self {
        let idle_ms = limits.session_idle_deadline.as_millis();
        Self::build(
            limits.session_count_max,
            u64::try_from(idle_ms).unwrap_or(u64::MAX),
            limits,
        )
    }

    /// An empty table that is otherwise as shipped.
    ///
    /// Units: `count_max` sessions; `idle_ms` milliseconds.
    pub fn new(count_max: usize, idle_ms: u64) -> Self {
        Self::build(count_max, idle_ms, &Limits::default())
    }

    fn build(count_max: usize, idle_ms: u64, limits: &Limits) -> Self {
        Self {
            map: HashMap::default(),
            ring: SegQueue::new(),
            count_max: count_max.max(1),
            idle_ms,
            event_limits: EventLimits::of(limits),
            changes: Arc::new(Changes::default()),
            budget: ByteBudget::new(limits.event_bytes_max),
            live: AtomicUsize::new(0),
            created: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            expired: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            bereaved: AtomicU64::new(0),
        }
    }

    /// Makes a session, displacing an unused one at the cap.
    ///
    /// Errors: every session that was looked at has an open stream.
    pub fn create(&self, new: NewSession<'_>) -> Result<SessionId, SessionsFull> {
        let agreed = (new.revision, new.capabilities);
        let version = self.changes.version();
        let session = Session::new(new.principal, agreed, new.client_info, version, new.now_ms);
        self.insert(SessionId::new(new.random), session)
    }

    /// Makes a session of HTTP+SSE, whose stream is open and whose `initialize` is still to come.
    ///
    /// Errors: as for [`Sessions::create`].
    pub fn create_sse(
        &self,
        random: [u8; 16],
        principal: Principal,
        now_ms: u64,
    ) -> Result<SessionId, SessionsFull> {
        let session = Session::new_sse(principal, self.changes.version(), now_ms);
        self.insert(SessionId::new(random), session)
    }

    fn insert(&self, id: SessionId, session: Session) -> Result<SessionId, SessionsFull> {
        // Counted first, so that threads that create at once cannot all see room for the last one.
        if self.live.fetch_add(1, Relaxed) >= self.count_max && !self.evict() {
            self.live.fetch_sub(1, Relaxed);
            return Err(SessionsFull);
        }
        // 128 random bits do not meet twice; a broken source of randomness must not hand over somebody's session.
        if self.map.pin().try_insert(id.0, session).is_err() {
            self.live.fetch_sub(1, Relaxed);
            return Err(SessionsFull);
        }
        self.ring.push(id.0);
        self.created.fetch_add(1, Relaxed);
        self.clean_up();
        Ok(id)
    }

    /// Finds a session and marks it as used.
    pub fn touch(&self, id: SessionId, principal: Principal, now_ms: u64) -> Option<SessionFacts> {
        self.with(id, principal, |session| {
            if now_ms.saturating_sub(session.used_ms.load(Relaxed)) > self.idle_ms
                && !session.is_in_use()
            {
                return None;
            }
            // Shards that serve one session at once need not pass its cache line around more than they must.
            if session.used_ms.load(Relaxed) < now_ms {
                session.used_ms.store(now_ms, Relaxed);
            }
            Some(session.facts())
        })?
    }

    /// Finds a session without marking it.
    pub fn get(&self, id: SessionId, principal: Principal) -> Option<SessionFacts> {
        self.with(id, principal, Session::facts)
    }

    /// Ends a session.
    ///
    /// Shape: the owner of its open stream, 0 if it has none; nothing if there is no such session.
    pub fn remove(&self, id: SessionId, principal: Principal) -> Option<u64> {
        let map = self.map.pin();
        let removed = map.remove_if(&id.0, |_, session| session.principal == principal);
        let (_, session) = removed.ok()??;
        self.close(session);
        self.live.fetch_sub(1, Relaxed);
        self.ended.fetch_add(1, Relaxed);
        Some(session.stream_owner.load(Relaxed))
    }

    /// Notes that `notifications/initialized` has come.
    pub fn mark_initialized(&self, id: SessionId, principal: Principal) {
        let _ = self.with(id, principal, Session::mark_initialized);
    }

    /// Sets the level of log messages.
    pub fn set_log_level(&self, id: SessionId, principal: Principal, level: LogLevel) {
        let _ = self.with(id, principal, |session| session.set_log_level(level));
    }

    /// Settles what the `initialize` of an HTTP+SSE session agreed on. False where there is no such session, or it is settled.
    pub fn settle(
        &self,
        id: SessionId,
        principal: Principal,
        revision: Revision,
        capabilities: ClientCapabilities,
        client_info: Option<&[u8]>,
    ) -> bool {
        let settle = |session: &Session| {
            let settled = session.settle(revision, capabilities);
            if settled && let Some(info) = client_info.filter(session::is_short) {
                self.events_of(session).keep_client_info(info);
            }
            settled
        };
        self.with(id, principal, settle) == Some(true)
    }

    /// `clientInfo` of the session's `initialize`, if it was kept. Not verified.
    pub fn client_info(&self, id: SessionId, principal: Principal) -> Option<Box<[u8]>> {
        self.with(id, principal, Session::client_info)?
    }

    /// What the session keeps for its client; made here if there is nothing yet, so ask only where there is something to keep.
    pub fn events(&self, id: SessionId, principal: Principal) -> Option<Arc<SessionEvents>> {
        self.with(id, principal, |session| Arc::clone(self.events_of(session)))
    }

    /// The same where there is something already.
    pub fn events_if_any(&self, id: SessionId, principal: Principal) -> Option<Arc<SessionEvents>> {
        self.with(id, principal, |session| session.events().map(Arc::clone))?
    }

    /// What has changed in the process.
    pub fn changes(&self) -> &Arc<Changes> {
        &self.changes
    }

    /// The bytes that are kept for clients; subscriptions of modern streams count here too.
    pub fn kept_bytes(&self) -> &Arc<ByteBudget> {
        &self.budget
    }

    /// Takes the session's stream for `owner`, a number other than 0 that is unique in the process. The first one keeps it.
    pub fn claim_stream(&self, id: SessionId, principal: Principal, owner: u64) -> StreamClaim {
        debug_assert_ne!(owner, 0, "0 means that nobody owns the stream");
        let claimed = self.with(id, principal, |session| {
            session
                .stream_owner
                .compare_exchange(0, owner, Relaxed, Relaxed)
                .is_ok()
        });
        match claimed {
            Some(true) => StreamClaim::Claimed,
            Some(false) => StreamClaim::Taken,
            None => StreamClaim::Unknown,
        }
    }

    /// Gives the stream back, if `owner` has it; the session counts as used until now.
    pub fn release_stream(&self, id: SessionId, principal: Principal, owner: u64, now_ms: u64) {
        let _ = self.with(id, principal, |session| {
            session.used_ms.fetch_max(now_ms, Relaxed);
            let _ = session
                .stream_owner
                .compare_exchange(owner, 0, Relaxed, Relaxed);
        });
    }

    /// Looks at up to `budget` sessions and removes those that were idle too long. Called at intervals by anyone.
    pub fn sweep(&self, now_ms: u64, budget: usize) -> Sweep {
        let mut sweep = Sweep::default();
        let guard = self.map.guard();
        // Not past the ring's end of this moment: what is pushed back must not be looked at again.
        for _ in 0..budget.min(self.ring.len()) {
            let Some(id) = self.ring.pop() else {
                break;
            };
            sweep.visited += 1;
            match self
                .map
                .remove_if(&id, |_, session| self.is_expired(session, now_ms), &guard)
            {
                Ok(Some((_, session))) => {
                    self.close(session);
                    self.live.fetch_sub(1, Relaxed);
                    sweep.expired += 1;
                }
                Ok(None) => {}
                Err((_, session)) => {
                    if let Some(events) = session.events() {
                        events.expire(now_ms);
                    }
                    self.ring.push(id);
                }
            }
        }
        // What was removed would else stay in this thread's batch until more is.
        guard.flush();
        self.expired.fetch_add(sweep.expired as u64, Relaxed);
        sweep
    }

    /// Sessions now, and counts since the start.
    pub fn counts(&self) -> SessionCounts {
        SessionCounts {
            live: self.live.load(Relaxed),
            created: self.created.load(Relaxed),
            ended: self.ended.load(Relaxed),
            expired: self.expired.load(Relaxed),
            evicted: self.evicted.load(Relaxed),
        }
    }

    fn events_of<'a>(&self, session: &'a Session) -> &'a Arc<SessionEvents> {
        session.events_or_new(self.event_limits, &self.changes, &self.budget)
    }

    fn with<T>(
        &self,
        id: SessionId,
        principal: Principal,
        then: impl FnOnce(&Session) -> T,
    ) -> Option<T> {
        let map = self.map.pin();
        map.get(&id.0)
            .filter(|session| session.principal == principal)
            .map(then)
    }

    fn is_expired(&self, session: &Session, now_ms: u64) -> bool {
        now_ms.saturating_sub(session.used_ms.load(Relaxed)) > self.idle_ms && !session.is_in_use()
    }

    /// Removes one session to make room: of those next in the ring, the one unused for longest. Of several that were used in the
    /// same millisecond it is the one made last, so that a flood of new ones displaces itself. False where all that were looked
    /// at have streams.
    fn evict(&self) -> bool {
        let guard = self.map.guard();
        let mut oldest: Option<(u64, u128)> = None;
        // Each once: what is pushed back stands behind the end of this moment.
        for _ in 0..EVICTION_STEPS_MAX.min(self.ring.len()) {
            let Some(id) = self.ring.pop() else {
                break;
            };
            let Some(session) = self.map.get(&id, &guard) else {
                continue;
            };
            if session.is_in_use() {
                self.ring.push(id);
                continue;
            }
            let candidate = (session.used_ms.load(Relaxed), id);
            match oldest {
                Some(held) if held.0 < candidate.0 => self.ring.push(id),
                Some(held) => {
                    self.ring.push(held.1);
                    oldest = Some(candidate);
                }
                None => oldest = Some(candidate),
            }
        }
        let Some((_, id)) = oldest else { return false };
        let gone = self.displace(id, &guard);
        if !gone {
            self.ring.push(id);
        }
        gone
    }

    fn displace(&self, id: u128, guard: &impl Guard) -> bool {
        let removed = self
            .map
            .remove_if(&id, |_, session| !session.is_in_use(), guard);
        let gone = if let Ok(Some((_, session))) = removed {
            self.close(session);
            true
        } else {
            false
        };
        if gone {
            self.live.fetch_sub(1, Relaxed);
            self.evicted.fetch_add(1, Relaxed);
        }
        gone
    }

    /// Drops removed ids from the ring, a few at a time, so that sessions made and ended at once leave nothing behind.
    fn clean_up(&self) {
        if self.ring.len()
            <= self
                .live
                .load(Relaxed)
                .saturating_mul(2)
                .saturating_add(STALE_SLACK)
        {
            return;
        }
        let map = self.map.pin();
        for _ in 0..CLEANUP_STEPS {
            match self.ring.pop() {
                Some(id) if map.contains_key(&id) => self.ring.push(id),
                Some(_) => {}
                None => break,
            }
        }
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("counts", &self.counts())
            .field("count_max", &self.count_max)
            .field("idle_ms", &self.idle_ms)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
