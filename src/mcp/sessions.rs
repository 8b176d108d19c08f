//! The table of legacy sessions, shared by all shards without a lock.
//!
//! A client that never ends its sessions is the usual one, so the table is bounded twice: a session that was not used for
//! the idle time goes, and at the cap a new one displaces the one unused for longest among those next in a ring of ids. A
//! flood of sessions that are opened and left displaces itself before it displaces those that work.
//!
//! Invariants: an id is found only by the principal that it was made for; a session with an open stream is in use and
//! neither expires nor gives way; every operation does a bounded amount of work; what is removed is freed.
//!
//! The table has no clock and no randomness: both come in.

// The ring of ids is bounded by the cap: creation keeps it within twice the sessions there are.
#![allow(clippy::disallowed_types)]

use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed};

use crossbeam_queue::SegQueue;
use papaya::{Guard, HashMap};

use super::capability::{ClientCapabilities, LogLevel};
use super::revision::Revision;

/// Who is on the other side, as a digest made by authentication. Compared, never shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Principal(pub u128);

impl Principal {
    /// Nobody in particular: without authentication everybody is this one.
    pub const ANONYMOUS: Self = Self(0);
}

/// A session's id: 128 random bits, 32 lowercase hexadecimal digits on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(u128);

/// Digits of a session id on the wire.
pub const SESSION_ID_BYTES: usize = 32;

impl SessionId {
    /// An id of random bytes, which have to be unpredictable.
    pub const fn new(random: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(random))
    }

    /// Reads an id exactly as [`SessionId::text`] writes it; anything else is none of ours.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() != SESSION_ID_BYTES {
            return None;
        }
        let mut value = 0_u128;
        for byte in text {
            let digit = match byte {
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'f' => byte - b'a' + 10,
                _ => return None,
            };
            value = value << 4 | u128::from(digit);
        }
        Some(Self(value))
    }

    /// The id's text for the header.
    pub fn text(self) -> [u8; SESSION_ID_BYTES] {
        let mut text = [0; SESSION_ID_BYTES];
        for (index, byte) in self.0.to_be_bytes().into_iter().enumerate() {
            text[index * 2] = b"0123456789abcdef"[usize::from(byte >> 4)];
            text[index * 2 + 1] = b"0123456789abcdef"[usize::from(byte & 15)];
        }
        text
    }
}

/// Whoever has an id has the session: a log may show only its beginning.
impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06x}…", self.0 >> 104)
    }
}

/// What a new session starts with.
#[derive(Clone, Copy, Debug)]
pub struct NewSession {
    /// Sixteen bytes from the system's random source.
    pub random: [u8; 16],
    /// Whom the session belongs to.
    pub principal: Principal,
    /// The revision that `initialize` was answered with.
    pub revision: Revision,
    /// What the client declared.
    pub capabilities: ClientCapabilities,
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

struct Session {
    principal: Principal,
    used_ms: AtomicU64,
    stream_owner: AtomicU64,
    capabilities: u32,
    revision: u8,
    /// A [`LogLevel`] plus one; 0 is none.
    log_level: AtomicU8,
    initialized: AtomicBool,
}

/// The sessions of the whole process.
pub struct Sessions {
    map: HashMap<u128, Session, BuildHasherDefault<IdHasher>>,
    /// Every live id once, and for a while ids that are removed already.
    ring: SegQueue<u128>,
    count_max: usize,
    idle_ms: u64,
    live: AtomicUsize,
    created: AtomicU64,
    ended: AtomicU64,
    expired: AtomicU64,
    evicted: AtomicU64,
}

/// Sessions looked at for one displacement; the one unused for longest among them goes.
const EVICTION_STEPS_MAX: usize = 64;

/// Ring entries a creation cleans up. More than the one that it adds, so that removed ids do not pile up.
const CLEANUP_STEPS: usize = 4;

/// Removed ids that may stay in the ring beside as many as there are sessions.
const STALE_SLACK: usize = 64;

impl Sessions {
    /// An empty table.
    ///
    /// Units: `count_max` sessions; `idle_ms` milliseconds.
    pub fn new(count_max: usize, idle_ms: u64) -> Self {
        Self {
            map: HashMap::default(),
            ring: SegQueue::new(),
            count_max: count_max.max(1),
            idle_ms,
            live: AtomicUsize::new(0),
            created: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            expired: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
        }
    }

    /// Makes a session, displacing an unused one at the cap.
    ///
    /// Errors: every session that was looked at has an open stream.
    pub fn create(&self, new: NewSession) -> Result<SessionId, SessionsFull> {
        // Counted first, so that threads that create at once cannot all see room for the last one.
        if self.live.fetch_add(1, Relaxed) >= self.count_max && !self.evict() {
            self.live.fetch_sub(1, Relaxed);
            return Err(SessionsFull);
        }
        let id = SessionId::new(new.random);
        let session = Session {
            principal: new.principal,
            used_ms: AtomicU64::new(new.now_ms),
            stream_owner: AtomicU64::new(0),
            capabilities: new.capabilities.bits(),
            revision: new.revision.index(),
            log_level: AtomicU8::new(0),
            initialized: AtomicBool::new(false),
        };
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
                && session.stream_owner.load(Relaxed) == 0
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
        self.live.fetch_sub(1, Relaxed);
        self.ended.fetch_add(1, Relaxed);
        Some(session.stream_owner.load(Relaxed))
    }

    /// Notes that `notifications/initialized` has come.
    pub fn mark_initialized(&self, id: SessionId, principal: Principal) {
        let _ = self.with(id, principal, |session| {
            session.initialized.store(true, Relaxed)
        });
    }

    /// Sets the level of log messages.
    pub fn set_log_level(&self, id: SessionId, principal: Principal, level: LogLevel) {
        let _ = self.with(id, principal, |session| {
            session.log_level.store(level as u8 + 1, Relaxed)
        });
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
                Ok(Some(_)) => {
                    self.live.fetch_sub(1, Relaxed);
                    sweep.expired += 1;
                }
                Ok(None) => {}
                Err(_) => self.ring.push(id),
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
        now_ms.saturating_sub(session.used_ms.load(Relaxed)) > self.idle_ms && !session.has_stream()
    }

    /// Removes one session to make room: of those next in the ring, the one unused for longest. False where all that were
    /// looked at have streams.
    fn evict(&self) -> bool {
        let guard = self.map.guard();
        let mut oldest: Option<(u64, u128)> = None;
        for _ in 0..EVICTION_STEPS_MAX {
            let Some(id) = self.ring.pop() else {
                break;
            };
            let Some(session) = self.map.get(&id, &guard) else {
                continue;
            };
            if session.has_stream() {
                self.ring.push(id);
                continue;
            }
            let candidate = (session.used_ms.load(Relaxed), id);
            match oldest {
                Some(held) if held.0 <= candidate.0 => self.ring.push(id),
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
            .remove_if(&id, |_, session| !session.has_stream(), guard);
        let gone = matches!(removed, Ok(Some(_)));
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

impl Session {
    fn has_stream(&self) -> bool {
        self.stream_owner.load(Relaxed) != 0
    }

    fn facts(&self) -> SessionFacts {
        SessionFacts {
            revision: Revision::from_index(self.revision),
            capabilities: ClientCapabilities::from_bits(self.capabilities),
            log_level: match self.log_level.load(Relaxed) {
                0 => None,
                level => LogLevel::ALL.get(usize::from(level) - 1).copied(),
            },
            initialized: self.initialized.load(Relaxed),
        }
    }
}

/// Ids are random and only ours are inserted, so their own bits are the hash: nobody can choose ids that collide.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, value: u128) {
        self.0 = (value >> 64) as u64 ^ value as u64;
    }
}

#[cfg(test)]
mod tests;
