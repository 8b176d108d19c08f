//! Passive ejection: a replica whose calls fail where its fellows' succeed gets no new ones for a while.
//!
//! Two signs eject: failures in a row, and a share of failures in an interval that is far above the other replicas'. If
//! all fail alike it is not the replica, and nobody is ejected by share. A part of the replicas always stays, however
//! bad: an answer late is better than none. Each ejection lasts longer than the one before, and is forgiven in time.

/// When a replica is ejected, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutlierRules {
    /// Failures in a row that eject.
    pub consecutive_failures: u32,
    /// Milliseconds over which shares are counted.
    pub interval_ms: u64,
    /// Calls in an interval below which its share says nothing.
    pub request_count_min: u32,
    /// How far, in percent of calls, a replica's share of failures may lie above the others'.
    pub failure_percent_above: u32,
    /// The first ejection; the second lasts twice as long, the third three times.
    pub ejection_ms: u64,
    /// The longest.
    pub ejection_ms_max: u64,
    /// Percent of the replicas that may be ejected at one time.
    pub ejected_percent_max: u32,
}

impl Default for OutlierRules {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            interval_ms: 10_000,
            request_count_min: 20,
            failure_percent_above: 30,
            ejection_ms: 30_000,
            ejection_ms_max: 300_000,
            ejected_percent_max: 50,
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Replica {
    in_a_row: u32,
    calls: u32,
    failures: u32,
    ejected_until_ms: Option<u64>,
    /// How often it was ejected, less what was forgiven.
    ejections: u32,
}

/// The replicas of one upstream.
#[derive(Clone, Debug)]
pub struct Outliers {
    rules: OutlierRules,
    replicas: Vec<Replica>,
    interval_ends_ms: Option<u64>,
}

impl Outliers {
    /// So many replicas, none ejected.
    pub fn new(rules: OutlierRules, replica_count: usize) -> Self {
        Self {
            rules,
            replicas: vec![Replica::default(); replica_count],
            interval_ends_ms: None,
        }
    }

    /// Whether a replica gets no calls now.
    pub fn is_ejected(&self, replica: usize, now_ms: u64) -> bool {
        self.replicas
            .get(replica)
            .and_then(|replica| replica.ejected_until_ms)
            .is_some_and(|until_ms| now_ms < until_ms)
    }

    /// Takes in the result of one call. Whether it ejected the replica.
    pub fn record(&mut self, replica: usize, succeeded: bool, now_ms: u64) -> bool {
        self.end_interval(now_ms);
        let Some(found) = self.replicas.get_mut(replica) else {
            return false;
        };
        found.calls = found.calls.saturating_add(1);
        if succeeded {
            found.in_a_row = 0;
            return false;
        }
        found.failures = found.failures.saturating_add(1);
        found.in_a_row = found.in_a_row.saturating_add(1);
        found.in_a_row >= self.rules.consecutive_failures && self.eject(replica, now_ms)
    }

    /// Looks at the shares once an interval is over, and forgives one ejection of those that did well.
    fn end_interval(&mut self, now_ms: u64) {
        let ends_ms = *self
            .interval_ends_ms
            .get_or_insert(now_ms + self.rules.interval_ms);
        if now_ms < ends_ms {
            return;
        }
        self.interval_ends_ms = Some(now_ms + self.rules.interval_ms);
        let counted = self.counts();
        for (index, (calls, failures)) in counted.iter().enumerate() {
            let others = counted
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != index)
                .fold((0, 0), |sum, (_, other)| (sum.0 + other.0, sum.1 + other.1));
            if self.is_outlier((*calls, *failures), others) {
                self.eject(index, now_ms);
            } else if *calls > 0 && *failures == 0 {
                let replica = &mut self.replicas[index];
                replica.ejections = replica.ejections.saturating_sub(1);
            }
        }
        for replica in &mut self.replicas {
            (replica.calls, replica.failures) = (0, 0);
        }
    }

    fn counts(&self) -> Vec<(u64, u64)> {
        self.replicas
            .iter()
            .map(|replica| (u64::from(replica.calls), u64::from(replica.failures)))
            .collect()
    }

    /// Whether so many failures of so many calls are far above the others'.
    fn is_outlier(&self, own: (u64, u64), others: (u64, u64)) -> bool {
        let enough = u64::from(self.rules.request_count_min.max(1));
        if own.0 < enough || others.0 < enough {
            return false;
        }
        let share = |(calls, failures): (u64, u64)| failures * 100 / calls;
        share(own) > share(others) + u64::from(self.rules.failure_percent_above)
    }

    fn eject(&mut self, replica: usize, now_ms: u64) -> bool {
        if self.is_ejected(replica, now_ms) {
            return false;
        }
        let ejected = (0..self.replicas.len())
            .filter(|other| self.is_ejected(*other, now_ms))
            .count();
        let allowed = self.replicas.len() * self.rules.ejected_percent_max.min(100) as usize / 100;
        if ejected >= allowed.min(self.replicas.len().saturating_sub(1)) {
            return false;
        }
        let found = &mut self.replicas[replica];
        found.in_a_row = 0;
        found.ejections = found.ejections.saturating_add(1);
        let lasts_ms = self
            .rules
            .ejection_ms
            .saturating_mul(u64::from(found.ejections))
            .min(self.rules.ejection_ms_max);
        found.ejected_until_ms = Some(now_ms.saturating_add(lasts_ms));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: OutlierRules = OutlierRules {
        consecutive_failures: 3,
        interval_ms: 1_000,
        request_count_min: 10,
        failure_percent_above: 30,
        ejection_ms: 100,
        ejection_ms_max: 250,
        ejected_percent_max: 50,
    };

    fn fail(outliers: &mut Outliers, replica: usize, times: u32, now_ms: u64) -> bool {
        (0..times).any(|_| outliers.record(replica, false, now_ms))
    }

    #[test]
    fn failures_in_a_row_eject_for_a_while() {
        let mut outliers = Outliers::new(RULES, 4);
        assert!(!fail(&mut outliers, 1, 2, 0));
        outliers.record(1, true, 0);
        assert!(!fail(&mut outliers, 1, 2, 0));
        assert!(fail(&mut outliers, 1, 1, 0));
        assert!(outliers.is_ejected(1, 99) && !outliers.is_ejected(1, 100));
        assert!(!outliers.is_ejected(0, 0) && !outliers.is_ejected(99, 0));
    }

    #[test]
    fn each_ejection_lasts_longer_up_to_a_bound_and_is_forgiven() {
        let mut outliers = Outliers::new(RULES, 2);
        let mut now_ms = 0;
        for expected in [100, 200, 250, 250] {
            assert!(fail(&mut outliers, 0, 3, now_ms));
            assert!(outliers.is_ejected(0, now_ms + expected - 1));
            now_ms += expected;
            assert!(!outliers.is_ejected(0, now_ms));
        }
        for _ in 0..6 {
            outliers.record(0, true, now_ms);
            now_ms += 1_000;
        }
        assert!(fail(&mut outliers, 0, 3, now_ms));
        assert!(outliers.is_ejected(0, now_ms + 99) && !outliers.is_ejected(0, now_ms + 100));
    }

    #[test]
    fn a_part_always_stays() {
        for (count, may_go) in [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)] {
            let mut outliers = Outliers::new(RULES, count);
            let ejected = (0..count)
                .filter(|replica| fail(&mut outliers, *replica, 10, 0))
                .count();
            assert_eq!(ejected, may_go, "of {count}");
        }
        let rules = OutlierRules {
            ejected_percent_max: 100,
            ..RULES
        };
        let mut outliers = Outliers::new(rules, 3);
        let ejected = (0..3).filter(|replica| fail(&mut outliers, *replica, 10, 0));
        assert_eq!(ejected.count(), 2, "the last one never goes");
    }

    /// One interval in which each replica fails this often of 20 times, never three times in a row.
    fn interval(outliers: &mut Outliers, failures: &[u32], now_ms: u64) {
        for (replica, failures) in failures.iter().enumerate() {
            for call in 0..20 {
                outliers.record(replica, call % 2 == 0 || call / 2 >= *failures, now_ms);
            }
        }
    }

    #[test]
    fn a_share_far_above_the_others_ejects_and_a_common_one_does_not() {
        let mut outliers = Outliers::new(RULES, 3);
        interval(&mut outliers, &[10, 1, 0], 0);
        assert!(!outliers.is_ejected(0, 999));
        outliers.record(1, true, 1_000);
        assert!(outliers.is_ejected(0, 1_000) && !outliers.is_ejected(1, 1_000));
        let mut outliers = Outliers::new(RULES, 3);
        interval(&mut outliers, &[10, 9, 10], 0);
        outliers.record(1, true, 1_000);
        assert!((0..3).all(|replica| !outliers.is_ejected(replica, 1_000)));
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]

        #[test]
        fn never_more_than_the_allowed_part_is_ejected(
            count in 1usize..8,
            deeds in proptest::collection::vec((0usize..8, proptest::bool::ANY, 0u64..300), 0..300),
        ) {
            let mut outliers = Outliers::new(RULES, count);
            let mut now_ms = 0;
            for (replica, succeeded, pause_ms) in deeds {
                now_ms += pause_ms / 10;
                outliers.record(replica, succeeded, now_ms);
                let ejected = (0..count).filter(|replica| outliers.is_ejected(*replica, now_ms)).count();
                assert!(ejected <= count / 2);
            }
            assert!((0..count).all(|replica| !outliers.is_ejected(replica, now_ms + 250)));
        }
    }
}
