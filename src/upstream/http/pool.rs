//! The connections to one replica: which is used next, which is closed, how many are made ahead.
//!
//! The pool holds keys, not sockets: whoever owns the sockets does what it says. The one returned last is used first, so that
//! those beyond the need fall idle and go. An upstream that says when it closes idle connections is believed, with a
//! margin: a request that meets a closing connection fails for nothing.
//!
//! Invariants: connections in all (idle, in use, being made) never exceed `max_active`; idle ones never exceed `max_idle`.

use std::collections::VecDeque;

/// How long before the upstream's own time a connection is no longer used.
const KEEP_ALIVE_MARGIN_MS: u64 = 500;

/// How many connections there are. The names are those of the configuration (`performance.connection_pool`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolRules {
    /// Idle connections kept ready, made ahead of need.
    pub min_idle: usize,
    /// Idle connections kept; one more is closed.
    pub max_idle: usize,
    /// Connections in all, idle ones included; at least 1.
    pub max_active: usize,
    /// Milliseconds after which an idle connection is closed.
    pub idle_timeout_ms: u64,
}

impl Default for PoolRules {
    fn default() -> Self {
        Self {
            min_idle: 0,
            max_idle: 16,
            max_active: 64,
            idle_timeout_ms: 60_000,
        }
    }
}

/// What a request gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checkout<K> {
    /// This idle connection, which is in use now.
    Reuse(K),
    /// Make a new one; it is counted as in use now.
    Connect,
    /// As many as may be are in use: wait for one to come back, or refuse.
    Full,
}

#[derive(Clone, Copy, Debug)]
struct Idle<K> {
    key: K,
    expires_ms: u64,
}

/// The connections of one shard to one replica.
#[derive(Clone, Debug)]
pub struct Pool<K> {
    rules: PoolRules,
    /// The one returned last is at the back.
    idle: VecDeque<Idle<K>>,
    /// Used by a request, or being made for one.
    in_use: usize,
    /// Being made ahead of need.
    warming: usize,
}

impl<K: Copy + PartialEq> Pool<K> {
    /// A pool without connections.
    pub fn new(rules: PoolRules) -> Self {
        Self {
            rules: PoolRules {
                max_active: rules.max_active.max(1),
                ..rules
            },
            idle: VecDeque::new(),
            in_use: 0,
            warming: 0,
        }
    }

    /// A connection for one request. What it gets is to be given back by [`Pool::give_back`] or [`Pool::lost`].
    pub fn checkout(&mut self, now_ms: u64) -> Checkout<K> {
        if let Some(idle) = self.idle.back().copied()
            && now_ms < idle.expires_ms
        {
            self.idle.pop_back();
            self.in_use += 1;
            return Checkout::Reuse(idle.key);
        }
        if self.total() >= self.rules.max_active {
            return Checkout::Full;
        }
        self.in_use += 1;
        Checkout::Connect
    }

    /// A request is done with its connection, which could serve another; `false`: close it instead.
    ///
    /// Shape: `keep_alive_timeout_s` is what the upstream said.
    #[must_use]
    pub fn give_back(&mut self, key: K, keep_alive_timeout_s: Option<u32>, now_ms: u64) -> bool {
        self.in_use = self.in_use.saturating_sub(1);
        self.rest(key, keep_alive_timeout_s, now_ms)
    }

    /// A connection in use, or being made for a request, is gone.
    pub fn lost(&mut self) {
        self.in_use = self.in_use.saturating_sub(1);
    }

    /// An idle connection is gone: the upstream closed it. Whether it was one of these.
    pub fn lost_idle(&mut self, key: K) -> bool {
        let before = self.idle.len();
        self.idle.retain(|idle| idle.key != key);
        self.idle.len() < before
    }

    /// How many connections to make ahead of need now; they are counted until [`Pool::warmed`] or [`Pool::warming_failed`].
    pub fn warm(&mut self) -> usize {
        let missing = self
            .rules
            .min_idle
            .min(self.rules.max_idle)
            .saturating_sub(self.idle.len() + self.warming);
        let room = self.rules.max_active.saturating_sub(self.total());
        let count = missing.min(room);
        self.warming += count;
        count
    }

    /// A connection made ahead of need is there; `false`: close it instead.
    #[must_use]
    pub fn warmed(&mut self, key: K, now_ms: u64) -> bool {
        self.warming = self.warming.saturating_sub(1);
        self.rest(key, None, now_ms)
    }

    /// A connection made ahead of need failed. The next attempt is the caller's to delay.
    pub fn warming_failed(&mut self) {
        self.warming = self.warming.saturating_sub(1);
    }

    /// Takes out an idle connection that is to be closed; call until `None`.
    pub fn expired(&mut self, now_ms: u64) -> Option<K> {
        let place = self
            .idle
            .iter()
            .position(|idle| now_ms >= idle.expires_ms)?;
        self.idle.remove(place).map(|idle| idle.key)
    }

    /// Takes out every idle connection, to be closed.
    pub fn drain(&mut self) -> impl Iterator<Item = K> + '_ {
        self.idle.drain(..).map(|idle| idle.key)
    }

    /// Connections that wait for a request.
    pub fn idle_count(&self) -> usize {
        self.idle.len()
    }

    /// Connections that requests have, or are being made for them.
    pub fn in_use(&self) -> usize {
        self.in_use
    }

    fn total(&self) -> usize {
        self.idle.len() + self.in_use + self.warming
    }

    fn rest(&mut self, key: K, keep_alive_timeout_s: Option<u32>, now_ms: u64) -> bool {
        let said_ms = keep_alive_timeout_s.map_or(u64::MAX, |seconds| {
            (u64::from(seconds) * 1_000).saturating_sub(KEEP_ALIVE_MARGIN_MS)
        });
        let lasts_ms = self.rules.idle_timeout_ms.min(said_ms);
        if self.idle.len() >= self.rules.max_idle || lasts_ms == 0 {
            return false;
        }
        let expires_ms = now_ms.saturating_add(lasts_ms);
        self.idle.push_back(Idle { key, expires_ms });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: PoolRules = PoolRules {
        min_idle: 2,
        max_idle: 3,
        max_active: 4,
        idle_timeout_ms: 1_000,
    };

    #[test]
    fn the_one_returned_last_is_used_first_and_none_beyond_its_time() {
        let mut pool = Pool::new(RULES);
        for _ in 0..3 {
            assert_eq!(pool.checkout(0), Checkout::Connect);
        }
        assert!(pool.give_back(1, None, 0) && pool.give_back(2, None, 100));
        assert!(
            pool.give_back(3, Some(1), 200),
            "its upstream closes after a second"
        );
        assert_eq!(pool.checkout(699), Checkout::Reuse(3));
        assert!(pool.give_back(3, Some(1), 699));
        assert_eq!(pool.expired(999), None);
        assert_eq!(pool.expired(1_000), Some(1));
        assert_eq!(pool.checkout(1_200), Checkout::Connect, "all are too old");
        let expired: Vec<_> = std::iter::from_fn(|| pool.expired(1_200)).collect();
        assert_eq!(expired, [2, 3]);
    }

    #[test]
    fn no_more_than_may_be_are_used_or_kept() {
        let mut pool = Pool::new(RULES);
        for _ in 0..4 {
            assert_eq!(pool.checkout(0), Checkout::Connect);
        }
        assert_eq!(pool.checkout(0), Checkout::Full);
        pool.lost();
        assert_eq!(pool.checkout(0), Checkout::Connect);
        let kept: Vec<bool> = (0..4).map(|key| pool.give_back(key, None, 0)).collect();
        assert_eq!(kept, [true, true, true, false]);
        assert!(
            !pool.give_back(9, Some(0), 0),
            "its upstream closes at once"
        );
        assert!(pool.lost_idle(1) && !pool.lost_idle(1));
        assert_eq!((pool.idle_count(), pool.in_use()), (2, 0));
        assert_eq!(pool.drain().count(), 2);
    }

    #[test]
    fn connections_are_made_ahead_up_to_the_least_idle() {
        let mut pool = Pool::new(RULES);
        assert_eq!((pool.warm(), pool.warm()), (2, 0));
        assert!(pool.warmed(1, 0));
        pool.warming_failed();
        assert_eq!(pool.warm(), 1);
        assert!(pool.warmed(2, 0));
        assert_eq!(pool.checkout(0), Checkout::Reuse(2));
        assert_eq!(pool.warm(), 1, "one was taken");
        for _ in 0..2 {
            assert!(!matches!(pool.checkout(0), Checkout::Full));
        }
        assert_eq!(pool.checkout(0), Checkout::Full);
        assert_eq!(pool.warm(), 0, "no room");
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]

        #[test]
        fn the_bounds_hold_and_no_key_is_given_twice(
            deeds in proptest::collection::vec((0u8..7, 0u64..600), 0..200),
        ) {
            let mut pool = Pool::new(RULES);
            let (mut now_ms, mut next_key, mut used, mut warming) = (0, 0u32, Vec::new(), 0);
            for (deed, value) in deeds {
                match deed {
                    0 | 1 => match pool.checkout(now_ms) {
                        Checkout::Reuse(key) => {
                            assert!(!used.contains(&key));
                            used.push(key);
                        }
                        Checkout::Connect => {
                            used.push(next_key);
                            next_key += 1;
                        }
                        Checkout::Full => assert_eq!(pool.total(), 4),
                    },
                    2 => {
                        if let Some(key) = used.pop() {
                            let _ = pool.give_back(key, None, now_ms);
                        }
                    }
                    3 => {
                        if used.pop().is_some() {
                            pool.lost();
                        }
                    }
                    4 => now_ms += value,
                    5 => warming += pool.warm(),
                    _ if warming > 0 => {
                        warming -= 1;
                        let _ = pool.warmed(next_key, now_ms);
                        next_key += 1;
                    }
                    _ => drop(pool.expired(now_ms)),
                }
                assert_eq!(pool.in_use(), used.len());
                assert!(pool.total() <= 4 && pool.idle_count() <= 3);
            }
        }
    }
}
