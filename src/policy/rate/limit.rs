//! One limit, and what a request has taken of several.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::FakeRelativeClock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::{Quota, RateLimiter};

use super::Limited;
use super::spec::Rate;
use super::store::{At, Counters, Key, NOON_NS, Store};

type Algorithm = RateLimiter<At, Counters, FakeRelativeClock, NoOpMiddleware<Nanos>>;

/// Limits of which a refused request is given back what it took. Only named ones can be more, and those beyond keep it.
const TAKEN_MAX: usize = 16;

/// A named limit and its counters.
pub(super) struct Limit {
    name: Box<str>,
    rate: Rate,
    algorithm: Algorithm,
    store: Arc<Store>,
    hasher: RandomState,
}

impl Limit {
    pub(super) fn new(name: &str, rate: Rate, key_count_max: usize) -> Self {
        let store = Arc::new(Store::new(key_count_max));
        let interval = Duration::from_nanos(rate.interval_ns.max(1));
        let burst = NonZeroU32::new(rate.burst).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(interval).map(|quota| quota.allow_burst(burst));
        // An interval of at least a nanosecond is always a quota.
        let quota = quota.unwrap_or_else(|| Quota::per_second(burst));
        // The clock stands still: it is the counters whose time is moved.
        let clock = FakeRelativeClock::default();
        let algorithm = RateLimiter::new(quota, Counters(Arc::clone(&store)), clock.clone());
        clock.advance(Duration::from_nanos(NOON_NS));
        Self {
            name: name.into(),
            rate,
            algorithm,
            store,
            hasher: RandomState::new(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it would be the same if it was made anew.
    pub(super) fn is(&self, rate: Rate, key_count_max: usize) -> bool {
        self.rate == rate && self.store.key_count_max() == key_count_max
    }

    /// A number for a name, which nobody outside can guess: names that share one share a counter.
    pub(super) fn digest(&self, name: &str) -> u64 {
        self.hasher.hash_one(name)
    }

    pub(super) fn sweep(&self, now_ns: u64) {
        self.store.sweep(now_ns);
    }

    pub(super) fn key_count(&self) -> usize {
        self.store.key_count()
    }

    fn take(&self, at: At) -> Result<(), Limited<'_>> {
        self.algorithm.check_key(&at).map_err(|until| {
            let wait = until.wait_time_from(Nanos::new(NOON_NS));
            let millis = wait.as_nanos().div_ceil(1_000_000);
            Limited {
                limit: &self.name,
                retry_after_ms: u64::try_from(millis).unwrap_or(u64::MAX).max(1),
            }
        })
    }
}

impl fmt::Debug for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limit")
            .field("name", &self.name)
            .field("rate", &self.rate)
            .field("keys", &self.key_count())
            .finish()
    }
}

/// What one request has taken.
pub(super) struct Taken<'l> {
    now_ns: u64,
    taken: [Option<(&'l Limit, Key)>; TAKEN_MAX],
    count: usize,
}

impl<'l> Taken<'l> {
    pub(super) fn new(now_ns: u64) -> Self {
        Self {
            now_ns,
            taken: [None; TAKEN_MAX],
            count: 0,
        }
    }

    pub(super) fn take(&mut self, limit: &'l Limit, key: Key) -> Result<(), Limited<'l>> {
        let now_ns = self.now_ns;
        limit.take(At { key, now_ns })?;
        if let Some(place) = self.taken.get_mut(self.count) {
            *place = Some((limit, key));
            self.count += 1;
        }
        Ok(())
    }

    /// Moves each counter back by what was added to it. As others only add and take back too, the order means nothing.
    pub(super) fn give_back(&self) {
        for (limit, key) in self.taken.iter().flatten() {
            limit.store.give_back(*key, limit.rate.interval_ns.max(1));
        }
    }
}
