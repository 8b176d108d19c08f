//! One place of one upstream, as one thread knows it: its connections, and who waits for one.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use super::exchange::Exchange;
use crate::ring::SocketKey;
use crate::upstream::http::Pool;
use crate::upstream::remote::{Place, Remote};

/// The first wait after a connection could not be made ahead of need; it doubles up to [`WARM_WAIT_MS_MAX`].
const WARM_WAIT_MS: u64 = 1_000;
/// The longest.
const WARM_WAIT_MS_MAX: u64 = 32_000;

/// One place.
pub(super) struct Origin {
    pub remote: Arc<Remote>,
    index: usize,
    pub pool: Pool<SocketKey>,
    /// In order of arrival.
    pub waiting: VecDeque<Exchange>,
    /// The address that worked last.
    pub good: Option<SocketAddr>,
    warm_from_ms: u64,
    warm_wait_ms: u64,
}

impl Origin {
    pub fn new(remote: Arc<Remote>, index: usize) -> Self {
        Self {
            pool: Pool::new(remote.settings.pool),
            remote,
            index,
            waiting: VecDeque::new(),
            good: None,
            warm_from_ms: 0,
            warm_wait_ms: WARM_WAIT_MS,
        }
    }

    pub fn place(&self) -> &Place {
        &self.remote.places[self.index]
    }

    /// How many connections to make ahead of need now.
    pub fn warm(&mut self, now_ms: u64) -> usize {
        if now_ms < self.warm_from_ms || self.place().addresses.load().is_empty() {
            return 0;
        }
        self.pool.warm()
    }

    /// One could not be made: the next is made later, and not by all threads at once.
    pub fn warming_failed(&mut self, now_ms: u64, chance: u64) {
        self.pool.warming_failed();
        self.warm_from_ms = now_ms + self.warm_wait_ms + chance % self.warm_wait_ms;
        self.warm_wait_ms = (self.warm_wait_ms * 2).min(WARM_WAIT_MS_MAX);
    }

    /// A connection was made.
    pub fn reached(&mut self, address: Option<SocketAddr>) {
        self.good = address;
        self.warm_from_ms = 0;
        self.warm_wait_ms = WARM_WAIT_MS;
    }
}
