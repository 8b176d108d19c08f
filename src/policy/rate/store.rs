//! The counters of one limit: bounded, and without a lock.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use governor::nanos::Nanos;
use governor::state::StateStore;

use super::network_of;
use crate::mcp::{Principal, SessionId};

/// Counters that those share who find no place of their own.
const SHARED_COUNT: usize = 256;

/// Counters that need not be looked for: those of everybody, and of each method.
const DIRECT_COUNT: usize = 32;

const _: () = assert!(
    usize::BITS == 64,
    "a digest must not be cut to a small number"
);

/// What the algorithm is told that the time is, always. A counter's time is moved there and back around it, so that the time
/// can be a parameter: the algorithm knows differences only.
///
/// Units: nanoseconds. Far from both ends of a `u64`: an hour's worth of the slowest limit reaches neither.
pub(super) const NOON_NS: u64 = 1 << 62;

/// Time that a counter which has come to rest is kept: somebody may have just found it.
const REST_NS: u64 = 1_000_000_000;

/// Whom a counter is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    who: u128,
    /// Tells principals, addresses and sessions apart.
    kind: u8,
    about: u64,
}

impl Key {
    pub(super) const EVERYBODY: Self = Self {
        who: 0,
        kind: 0,
        about: 0,
    };

    pub(super) fn of_address(address: IpAddr) -> Self {
        let (who, kind) = match address {
            IpAddr::V4(address) => (u128::from(address.to_bits()), 1),
            IpAddr::V6(address) => (network_of(address), 2),
        };
        Self {
            who,
            kind,
            about: 0,
        }
    }

    pub(super) fn of_principal(principal: Principal) -> Self {
        Self {
            who: principal.0,
            kind: 3,
            about: 0,
        }
    }

    pub(super) fn of_session(session: SessionId) -> Self {
        Self {
            who: session.bits(),
            kind: 4,
            about: 0,
        }
    }

    pub(super) fn of_number(about: u64) -> Self {
        Self {
            about,
            ..Self::EVERYBODY
        }
    }

    /// The same, about something.
    pub(super) fn about(self, about: u64) -> Self {
        Self { about, ..self }
    }
}

/// One request at a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct At {
    pub(super) key: Key,
    pub(super) now_ns: u64,
}

/// The counters. Each is the time at which it comes to rest, that is, at which as many may come at once as ever; 0 at first.
#[derive(Debug)]
pub(super) struct Store {
    /// Those of everybody together, by what they are about, if that is a small number.
    everybody: [AtomicU64; DIRECT_COUNT],
    keyed: papaya::HashMap<Key, AtomicU64>,
    shared: Box<[AtomicU64]>,
    key_count_max: usize,
}

impl Store {
    pub(super) fn new(key_count_max: usize) -> Self {
        Self {
            everybody: [const { AtomicU64::new(0) }; DIRECT_COUNT],
            keyed: papaya::HashMap::new(),
            shared: (0..SHARED_COUNT).map(|_| AtomicU64::new(0)).collect(),
            key_count_max,
        }
    }

    pub(super) fn key_count_max(&self) -> usize {
        self.key_count_max
    }

    pub(super) fn key_count(&self) -> usize {
        self.keyed.len()
    }

    /// Does something with a key's counter, which is made if there is room.
    pub(super) fn with<T>(&self, key: Key, act: impl FnOnce(&AtomicU64) -> T) -> T {
        if key.kind == 0
            && let Some(counter) = self.everybody.get(key.about as usize)
        {
            return act(counter);
        }
        let keyed = self.keyed.pin();
        if let Some(counter) = keyed.get(&key) {
            return act(counter);
        }
        if keyed.len() < self.key_count_max {
            return act(keyed.get_or_insert_with(key, || AtomicU64::new(0)));
        }
        let place = (key.who as u64) ^ ((key.who >> 64) as u64) ^ key.about;
        let place = place.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
        act(&self.shared[place as usize % SHARED_COUNT])
    }

    /// Takes back what was added to a key's counter.
    pub(super) fn give_back(&self, key: Key, ns: u64) {
        self.with(key, |counter| {
            let back = |rest_ns: u64| Some(rest_ns.saturating_sub(ns));
            // It always has a value to change to, so it does not fail.
            let _ = counter.fetch_update(Ordering::AcqRel, Ordering::Acquire, back);
        });
    }

    /// Forgets the counters that have come to rest: a new one is the same.
    pub(super) fn sweep(&self, now_ns: u64) {
        let keyed = self.keyed.pin();
        keyed.retain(|_, counter| counter.load(Ordering::Relaxed).saturating_add(REST_NS) > now_ns);
    }
}

/// The counters as the algorithm has them.
#[derive(Clone, Debug)]
pub(super) struct Counters(pub(super) Arc<Store>);

impl StateStore for Counters {
    type Key = At;

    fn measure_and_replace<T, F, E>(&self, at: &At, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let to_noon = |rest_ns: u64| NOON_NS.saturating_add(rest_ns).saturating_sub(at.now_ns);
        let from_noon = |rest_ns: u64| {
            rest_ns
                .saturating_add(at.now_ns)
                .saturating_sub(NOON_NS)
                .max(1)
        };
        self.0.with(at.key, |counter| {
            let mut before = counter.load(Ordering::Acquire);
            loop {
                let known = (before != 0).then(|| Nanos::new(to_noon(before)));
                let (answer, after) = decide(known)?;
                let after = from_noon(after.as_u64());
                let changed = counter.compare_exchange_weak(
                    before,
                    after,
                    Ordering::AcqRel,
                    Ordering::Acquire,
                );
                match changed {
                    Ok(_) => return Ok(answer),
                    Err(other) => before = other,
                }
            }
        })
    }
}
