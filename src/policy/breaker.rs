//! The circuit breaker of one upstream replica.
//!
//! ```text
//!            failures in a row reach the threshold
//!   closed ─────────────────────────────────────▶ open ──recovery time──▶ half open
//!      ▲                                            ▲                      │     │
//!      │                                            └── a probe failed ────┘     │
//!      └──────────────── enough probes succeeded ────────────────────────────────┘
//! ```
//!
//! Open, it refuses at once, so that nobody waits for what will not answer. Half open, it lets a few probes through. A
//! result counts only in the state that admitted its call: what was sent before the breaker opened says nothing about a
//! recovery. Each time a probe fails the recovery time doubles, up to [`RECOVERY_FACTOR_MAX`] times the first.

/// How many times its configured length a recovery time may get.
pub const RECOVERY_FACTOR_MAX: u64 = 8;

/// When a breaker opens and closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerRules {
    /// Failures in a row that open it; at least 1.
    pub failure_threshold: u32,
    /// Milliseconds until a probe is let through.
    pub recovery_ms: u64,
    /// Probes let through at one time, and successes that close it; at least 1.
    pub probe_count: u32,
}

/// Admission of one call, to be given back with its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a probe without a result keeps the breaker half open"]
pub struct Ticket {
    generation: u64,
}

/// Whether a call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// It may.
    Pass(Ticket),
    /// It may not: refuse at once.
    Refused {
        /// When it is worth asking again.
        retry_in_ms: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        until_ms: u64,
    },
    HalfOpen {
        in_flight: u32,
        successes: u32,
        /// When probes of which nothing is heard are given up.
        until_ms: u64,
    },
}

/// One breaker.
#[derive(Clone, Debug)]
pub struct Breaker {
    rules: BreakerRules,
    state: State,
    /// Counts changes of state: a ticket of an earlier one is void.
    generation: u64,
    /// Openings since it was last closed.
    openings: u32,
}

impl Breaker {
    /// A closed breaker.
    pub fn new(rules: BreakerRules) -> Self {
        Self {
            rules: BreakerRules {
                failure_threshold: rules.failure_threshold.max(1),
                probe_count: rules.probe_count.max(1),
                ..rules
            },
            state: State::Closed { failures: 0 },
            generation: 0,
            openings: 0,
        }
    }

    /// Whether a call made now would be let through.
    pub fn admits(&self, now_ms: u64) -> bool {
        match self.state {
            State::Closed { .. } => true,
            State::Open { until_ms } => now_ms >= until_ms,
            State::HalfOpen {
                in_flight,
                until_ms,
                ..
            } => in_flight < self.rules.probe_count || now_ms >= until_ms,
        }
    }

    /// Whether calls are being refused, or only probes let through.
    pub fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed { .. })
    }

    /// Asks for admission of one call.
    pub fn permit(&mut self, now_ms: u64) -> Permit {
        match &mut self.state {
            State::Closed { .. } => {}
            State::Open { until_ms } if now_ms < *until_ms => {
                return Permit::Refused {
                    retry_in_ms: *until_ms - now_ms,
                };
            }
            State::HalfOpen {
                in_flight,
                until_ms,
                ..
            } if now_ms < *until_ms => {
                if *in_flight >= self.rules.probe_count {
                    return Permit::Refused {
                        retry_in_ms: *until_ms - now_ms,
                    };
                }
                *in_flight += 1;
            }
            State::Open { .. } | State::HalfOpen { .. } => {
                let until_ms = now_ms.saturating_add(self.recovery_ms());
                self.change(State::HalfOpen {
                    in_flight: 1,
                    successes: 0,
                    until_ms,
                });
            }
        }
        Permit::Pass(Ticket {
            generation: self.generation,
        })
    }

    /// The call succeeded: whatever it answered, the upstream works. Whether this closed the breaker.
    pub fn succeeded(&mut self, ticket: Ticket) -> bool {
        if ticket.generation != self.generation {
            return false;
        }
        match &mut self.state {
            State::Closed { failures } => *failures = 0,
            State::HalfOpen {
                in_flight,
                successes,
                ..
            } => {
                *in_flight = in_flight.saturating_sub(1);
                *successes += 1;
                if *successes >= self.rules.probe_count {
                    self.openings = 0;
                    self.change(State::Closed { failures: 0 });
                    return true;
                }
            }
            State::Open { .. } => {}
        }
        false
    }

    /// The call failed in a way that blames the upstream. Whether this opened the breaker.
    pub fn failed(&mut self, ticket: Ticket, now_ms: u64) -> bool {
        if ticket.generation != self.generation {
            return false;
        }
        let opens = match &mut self.state {
            State::Closed { failures } => {
                *failures += 1;
                *failures >= self.rules.failure_threshold
            }
            State::HalfOpen { .. } => true,
            State::Open { .. } => false,
        };
        if opens {
            let until_ms = now_ms.saturating_add(self.recovery_ms());
            self.openings = self.openings.saturating_add(1);
            self.change(State::Open { until_ms });
        }
        opens
    }

    /// The call ended without saying anything about the upstream: the caller went away.
    pub fn abandoned(&mut self, ticket: Ticket) {
        if ticket.generation == self.generation
            && let State::HalfOpen { in_flight, .. } = &mut self.state
        {
            *in_flight = in_flight.saturating_sub(1);
        }
    }

    /// How long the next recovery is given.
    fn recovery_ms(&self) -> u64 {
        let factor = 1u64 << self.openings.min(63);
        self.rules
            .recovery_ms
            .saturating_mul(factor.min(RECOVERY_FACTOR_MAX))
    }

    fn change(&mut self, state: State) {
        self.state = state;
        self.generation += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: BreakerRules = BreakerRules {
        failure_threshold: 3,
        recovery_ms: 100,
        probe_count: 2,
    };

    fn pass(breaker: &mut Breaker, now_ms: u64) -> Ticket {
        match breaker.permit(now_ms) {
            Permit::Pass(ticket) => ticket,
            refused => panic!("{refused:?} at {now_ms}: {breaker:?}"),
        }
    }

    fn open(breaker: &mut Breaker, now_ms: u64) {
        for left in (0..3).rev() {
            let ticket = pass(breaker, now_ms);
            assert_eq!(breaker.failed(ticket, now_ms), left == 0);
        }
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_does_not() {
        let mut breaker = Breaker::new(RULES);
        for _ in 0..10 {
            for _ in 0..2 {
                let ticket = pass(&mut breaker, 0);
                assert!(!breaker.failed(ticket, 0));
            }
            let ticket = pass(&mut breaker, 0);
            breaker.succeeded(ticket);
        }
        assert!(!breaker.is_open());
        open(&mut breaker, 50);
        assert!(breaker.is_open() && !breaker.admits(149) && breaker.admits(150));
        assert_eq!(breaker.permit(60), Permit::Refused { retry_in_ms: 90 });
    }

    #[test]
    fn enough_probes_close_it_and_no_more_are_let_through() {
        let mut breaker = Breaker::new(RULES);
        open(&mut breaker, 0);
        let probes = [pass(&mut breaker, 100), pass(&mut breaker, 100)];
        assert!(matches!(breaker.permit(100), Permit::Refused { .. }));
        assert!(!breaker.succeeded(probes[0]) && breaker.is_open());
        assert!(breaker.succeeded(probes[1]));
        assert!(!breaker.is_open());
    }

    #[test]
    fn a_failed_probe_opens_it_for_longer_up_to_a_bound() {
        let mut breaker = Breaker::new(RULES);
        let mut now_ms = 0;
        open(&mut breaker, now_ms);
        let mut waited = Vec::new();
        for _ in 0..6 {
            let Permit::Refused { retry_in_ms } = breaker.permit(now_ms) else {
                panic!("open");
            };
            waited.push(retry_in_ms);
            now_ms += retry_in_ms;
            let probe = pass(&mut breaker, now_ms);
            assert!(breaker.failed(probe, now_ms));
        }
        assert_eq!(waited, [100, 200, 400, 800, 800, 800]);
        now_ms += 800;
        for _ in 0..2 {
            let probe = pass(&mut breaker, now_ms);
            breaker.succeeded(probe);
        }
        open(&mut breaker, now_ms);
        assert_eq!(
            breaker.permit(now_ms),
            Permit::Refused { retry_in_ms: 100 },
            "forgiven"
        );
    }

    #[test]
    fn late_results_of_another_state_change_nothing() {
        let mut breaker = Breaker::new(RULES);
        let early = [pass(&mut breaker, 0), pass(&mut breaker, 0)];
        open(&mut breaker, 0);
        let probe = pass(&mut breaker, 100);
        breaker.succeeded(early[0]);
        assert!(!breaker.failed(early[1], 100));
        assert!(
            breaker.is_open() && breaker.admits(100),
            "one probe is still to come"
        );
        breaker.succeeded(probe);
        breaker.succeeded(probe);
        assert!(!breaker.is_open());
        assert!(!breaker.failed(early[1], 100));
    }

    #[test]
    fn probes_that_say_nothing_give_their_place_back() {
        let mut breaker = Breaker::new(RULES);
        open(&mut breaker, 0);
        for _ in 0..5 {
            let probe = pass(&mut breaker, 100);
            breaker.abandoned(probe);
        }
        let _lost = [pass(&mut breaker, 100), pass(&mut breaker, 100)];
        assert!(!breaker.admits(299));
        let _again = pass(&mut breaker, 300);
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]

        #[test]
        fn whatever_happened_it_closes_once_calls_succeed(
            deeds in proptest::collection::vec((0u8..5, 0u64..200), 0..200),
        ) {
            let mut breaker = Breaker::new(RULES);
            let (mut now_ms, mut tickets) = (0, Vec::new());
            for (deed, value) in deeds {
                match deed {
                    0 => now_ms += value,
                    1 => match breaker.permit(now_ms) {
                        Permit::Pass(ticket) => tickets.push(ticket),
                        Permit::Refused { retry_in_ms } => {
                            assert!(breaker.is_open());
                            assert!((1..=100 * RECOVERY_FACTOR_MAX).contains(&retry_in_ms));
                        }
                    },
                    _ if tickets.is_empty() => {}
                    deed => {
                        let ticket = tickets.swap_remove(value as usize % tickets.len());
                        match deed {
                            2 => drop(breaker.succeeded(ticket)),
                            3 => drop(breaker.failed(ticket, now_ms)),
                            _ => breaker.abandoned(ticket),
                        }
                    }
                }
            }
            now_ms += 2 * 100 * RECOVERY_FACTOR_MAX;
            for _ in 0..4 {
                let ticket = pass(&mut breaker, now_ms);
                breaker.succeeded(ticket);
            }
            assert!(!breaker.is_open());
        }
    }
}
