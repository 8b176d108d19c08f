//! When the keys of an issuer are fetched, and how long those that were are good: no clock and no socket of its own.

use std::time::Duration;

use crate::policy::auth::{KeySet, Keys};

/// Time between two fetches that tokens with unknown keys bring about: whoever sends such tokens decides nothing else.
const WANTED_INTERVAL: Duration = Duration::from_secs(10);
/// Time until a fetch that failed is tried again, the first time; doubled each time.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// The same at most.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// The state of one issuer's keys.
///
/// Units: `now` is the time since some moment of the same clock; `now_unix_s` is seconds since 1970-01-01 UTC.
#[derive(Debug)]
pub(super) struct Remote {
    refresh: Duration,
    max_stale: Duration,
    keys: Keys,
    is_fetching: bool,
    /// When the last fetch began.
    began: Option<Duration>,
    /// When the next one is due.
    due: Duration,
    failures: u32,
}

impl Remote {
    pub(super) fn new(refresh: Duration, max_stale: Duration) -> Self {
        Self {
            refresh,
            max_stale,
            keys: Keys::none_yet(),
            is_fetching: false,
            began: None,
            due: Duration::ZERO,
            failures: 0,
        }
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// A token names a key that is not among those we have.
    pub(super) fn want(&mut self, now: Duration) {
        let soonest = self.began.map_or(now, |began| began + WANTED_INTERVAL);
        self.due = self.due.min(soonest.max(now));
    }

    /// When to look again; none while a fetch is under way.
    pub(super) fn due(&self) -> Option<Duration> {
        (!self.is_fetching).then_some(self.due)
    }

    /// Whether to fetch now. Whoever is told so tells the outcome.
    pub(super) fn begin(&mut self, now: Duration) -> bool {
        if self.is_fetching || now < self.due {
            return false;
        }
        self.is_fetching = true;
        self.began = Some(now);
        self.due = now + self.refresh;
        true
    }

    /// The keys have come.
    pub(super) fn succeed(&mut self, set: KeySet, now_unix_s: u64) {
        self.is_fetching = false;
        self.failures = 0;
        let until = now_unix_s.saturating_add(self.max_stale.as_secs());
        self.keys = Keys {
            set,
            until_unix_s: Some(until),
        };
    }

    /// They have not. Those we have stay good for as long as was said when they came.
    pub(super) fn fail(&mut self, now: Duration) {
        self.is_fetching = false;
        let factor = 1_u32 << self.failures.min(6);
        self.failures = self.failures.saturating_add(1);
        let pause = (RETRY_FIRST * factor).min(RETRY_MAX).min(self.refresh);
        self.due = now + pause;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn keys_are_fetched_at_once_and_then_whenever_they_are_due() {
        let mut remote = Remote::new(s(300), s(3_600));
        assert_eq!(remote.keys().until_unix_s, Some(0));
        assert!(remote.begin(s(0)));
        assert!(!remote.begin(s(1)) && remote.due().is_none());
        remote.succeed(KeySet::default(), 1_000);
        assert_eq!(remote.keys().until_unix_s, Some(4_600));
        assert!(!remote.begin(s(299)));
        assert!(remote.begin(s(300)));
    }

    #[test]
    fn unknown_keys_have_them_fetched_soon_and_not_more_often_than_that() {
        let mut remote = Remote::new(s(300), s(3_600));
        assert!(remote.begin(s(0)));
        remote.succeed(KeySet::default(), 0);
        remote.want(s(60));
        assert!(remote.begin(s(60)));
        remote.succeed(KeySet::default(), 60);
        let mut fetches = 0;
        for now in 61..=160 {
            for _ in 0..1_000 {
                remote.want(s(now));
            }
            if remote.begin(s(now)) {
                fetches += 1;
                remote.succeed(KeySet::default(), now);
            }
        }
        assert_eq!(fetches, 10);
    }

    #[test]
    fn an_outage_is_met_with_patience_and_the_keys_end_when_they_said() {
        let mut remote = Remote::new(s(300), s(3_600));
        assert!(remote.begin(s(0)));
        remote.succeed(KeySet::default(), 0);
        let mut tries = Vec::new();
        for now in 300..=700 {
            if remote.begin(s(now)) {
                tries.push(now);
                remote.fail(s(now));
            }
        }
        assert_eq!(
            tries,
            [300, 301, 303, 307, 315, 331, 363, 423, 483, 543, 603, 663]
        );
        assert_eq!(remote.keys().until_unix_s, Some(3_600));
    }
}
