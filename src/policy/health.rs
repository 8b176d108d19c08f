//! What active checks say of one replica: it takes a few in a row to change a mind.

/// How a replica is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthRules {
    /// Milliseconds between checks.
    pub interval_ms: u64,
    /// Good checks in a row that make it healthy.
    pub rise: u32,
    /// Bad checks in a row that make it unhealthy.
    pub fall: u32,
}

impl Default for HealthRules {
    fn default() -> Self {
        Self {
            interval_ms: 10_000,
            rise: 2,
            fall: 3,
        }
    }
}

/// The state of one replica.
#[derive(Clone, Copy, Debug)]
pub struct Health {
    rules: HealthRules,
    healthy: bool,
    /// Checks in a row that say the opposite of `healthy`.
    against: u32,
    due_ms: u64,
    running: bool,
}

impl Health {
    /// A replica that nothing is known of. It counts as healthy: refusing calls until a check has passed would make every
    /// start a failure. The first check is due within one interval, spread by `random`.
    pub fn new(rules: HealthRules, now_ms: u64, random: u64) -> Self {
        Self {
            rules,
            healthy: true,
            against: 0,
            due_ms: now_ms + random % rules.interval_ms.max(1),
            running: false,
        }
    }

    /// Whether calls go to it.
    pub fn is_healthy(&self) -> bool {
        self.healthy
    }

    /// When the next check is due; `None` while one runs.
    pub fn due_ms(&self) -> Option<u64> {
        (!self.running).then_some(self.due_ms)
    }

    /// Takes the check that is due, if one is: its result is to be recorded.
    #[must_use]
    pub fn begin_check(&mut self, now_ms: u64) -> bool {
        let due = !self.running && now_ms >= self.due_ms;
        self.running |= due;
        due
    }

    /// Takes in a check's result; the new state, if it changed. The next check is due an interval later, within a tenth of
    /// it spread by `random`, so that checks of many do not fall together.
    pub fn record(&mut self, good: bool, now_ms: u64, random: u64) -> Option<bool> {
        self.running = false;
        let spread = random % (self.rules.interval_ms / 10).max(1);
        self.due_ms = now_ms
            .saturating_add(self.rules.interval_ms)
            .saturating_add(spread);
        if good == self.healthy {
            self.against = 0;
            return None;
        }
        self.against += 1;
        let needed = if good {
            self.rules.rise
        } else {
            self.rules.fall
        };
        if self.against < needed.max(1) {
            return None;
        }
        self.against = 0;
        self.healthy = good;
        Some(good)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: HealthRules = HealthRules {
        interval_ms: 1_000,
        rise: 2,
        fall: 3,
    };

    #[test]
    fn it_takes_some_in_a_row_either_way() {
        let mut health = Health::new(RULES, 0, 0);
        let mut after = |checks: &[bool]| {
            let changes: Vec<bool> = checks
                .iter()
                .filter_map(|good| health.record(*good, 0, 0))
                .collect();
            (health.is_healthy(), changes)
        };
        assert_eq!(after(&[false, false, true, false, false]), (true, vec![]));
        assert_eq!(after(&[false]), (false, vec![false]));
        assert_eq!(after(&[true, false, true, false]), (false, vec![]));
        assert_eq!(after(&[true, true]), (true, vec![true]));
    }

    #[test]
    fn one_check_runs_at_a_time_and_the_next_comes_an_interval_later() {
        let mut health = Health::new(RULES, 100, 7_250);
        assert_eq!(health.due_ms(), Some(350));
        assert!(!health.begin_check(349) && health.begin_check(350));
        assert!(!health.begin_check(10_000), "one is running");
        assert_eq!(health.due_ms(), None);
        health.record(true, 400, 99);
        assert_eq!(health.due_ms(), Some(1_499));
        let mut never = Health::new(
            HealthRules {
                interval_ms: 0,
                rise: 0,
                fall: 0,
            },
            0,
            5,
        );
        assert!(never.begin_check(0));
        assert_eq!(never.record(false, 0, 5), Some(false));
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]

        #[test]
        fn the_state_is_what_the_last_checks_in_a_row_say(checks in proptest::collection::vec(proptest::bool::ANY, 0..60)) {
            let mut health = Health::new(RULES, 0, 0);
            let mut healthy = true;
            for end in 1..=checks.len() {
                let seen = &checks[..end];
                if seen.len() >= 3 && seen[end - 3..].iter().all(|good| !good) {
                    healthy = false;
                }
                if seen.len() >= 2 && seen[end - 2..].iter().all(|good| *good) {
                    healthy = true;
                }
                health.record(checks[end - 1], 0, 0);
                assert_eq!(health.is_healthy(), healthy, "{seen:?}");
            }
        }
    }
}
