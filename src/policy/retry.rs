//! Which failed call may be made again, and how many may be.
//!
//! A tool may have effects, so a call is repeated only if it cannot have begun, or if its tool promises that a second one
//! changes nothing. And retries are a share of the calls, never a multiple: what fails under load must not be given more.

/// How far a call had got when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// No byte of it was handed to the upstream: there was no connection, or its breaker was open.
    Nothing,
    /// Some of it may have arrived.
    Sent,
    /// The upstream began to answer.
    Answering,
}

/// What a call failed of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// The connection could not be made, or broke.
    Connection,
    /// The upstream said that it did not begin: 429, 503, a JSON-RPC error that means overload.
    Refused,
    /// The upstream answered with another failure: 500, 502, garbage.
    Answer,
    /// The deadline of the attempt passed.
    Deadline,
    /// The caller cancelled or went away.
    Cancelled,
}

/// Whether a failed call may be made again, budget permitting.
///
/// Shape: `repeatable` is what the method or the tool promises: reading methods, `readOnlyHint`, `idempotentHint`.
pub fn may_repeat(reached: Reached, failed: Failed, repeatable: bool) -> bool {
    match (failed, reached) {
        (Failed::Cancelled, _) => false,
        // Part of the answer may have been passed on.
        (_, Reached::Answering) => failed == Failed::Refused,
        (_, Reached::Nothing) => true,
        (Failed::Refused, Reached::Sent) => true,
        // Without the caller's time another attempt has no more than the first.
        (Failed::Deadline, Reached::Sent) => false,
        (Failed::Connection | Failed::Answer, Reached::Sent) => repeatable,
    }
}

/// How many retries there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetRules {
    /// Retries for a hundred calls.
    pub percent: u32,
    /// Retries a second that are allowed however few calls there are.
    pub per_second_min: u32,
}

impl Default for BudgetRules {
    fn default() -> Self {
        Self {
            percent: 20,
            per_second_min: 1,
        }
    }
}

/// A retry costs as much as a hundred percents of a call.
const COST: u64 = 100;
/// Retries that may be saved up.
const SAVED_MAX: u64 = 10;

/// The retries that one upstream has left.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    rules: BudgetRules,
    /// In hundredths of a retry.
    saved: u64,
    /// Up to when the retries of each second were credited.
    credited_ms: u64,
}

impl Budget {
    /// A budget with what one second gives.
    pub fn new(rules: BudgetRules, now_ms: u64) -> Self {
        Self {
            rules,
            saved: (u64::from(rules.per_second_min) * COST).min(Self::ceiling(rules)),
            credited_ms: now_ms,
        }
    }

    fn ceiling(rules: BudgetRules) -> u64 {
        SAVED_MAX.max(u64::from(rules.per_second_min)) * COST
    }

    /// A call was made, not a retry.
    pub fn deposit(&mut self) {
        self.saved = (self.saved + u64::from(self.rules.percent)).min(Self::ceiling(self.rules));
    }

    /// Takes one retry, if there is one.
    pub fn withdraw(&mut self, now_ms: u64) -> bool {
        let elapsed_ms = now_ms.saturating_sub(self.credited_ms).min(60_000);
        let credit = elapsed_ms * u64::from(self.rules.per_second_min) * COST / 1_000;
        if credit > 0 {
            self.credited_ms = now_ms;
            self.saved = (self.saved + credit).min(Self::ceiling(self.rules));
        }
        if self.saved < COST {
            return false;
        }
        self.saved -= COST;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_have_had_an_effect_twice_is_repeated() {
        use Failed::*;
        use Reached::*;
        for failed in [Connection, Refused, Answer, Deadline] {
            assert!(may_repeat(Nothing, failed, false), "{failed:?}");
        }
        for (failed, once, twice) in [
            (Connection, false, true),
            (Answer, false, true),
            (Refused, true, true),
            (Deadline, false, false),
            (Cancelled, false, false),
        ] {
            assert_eq!(may_repeat(Sent, failed, false), once, "{failed:?}");
            assert_eq!(may_repeat(Sent, failed, true), twice, "{failed:?}");
        }
        for failed in [Connection, Answer, Deadline, Cancelled] {
            assert!(!may_repeat(Answering, failed, true), "{failed:?}");
        }
        assert!(!may_repeat(Nothing, Cancelled, true));
    }

    #[test]
    fn retries_are_a_share_of_the_calls() {
        let rules = BudgetRules {
            percent: 20,
            per_second_min: 0,
        };
        let mut budget = Budget::new(rules, 0);
        assert!(!budget.withdraw(1_000_000));
        let mut retries = 0;
        for _ in 0..1_000 {
            budget.deposit();
            retries += u32::from(budget.withdraw(0));
        }
        assert_eq!(retries, 200);
        (0..10_000).for_each(|_| budget.deposit());
        let burst = (0..1_000).filter(|_| budget.withdraw(0)).count();
        assert_eq!(burst as u64, SAVED_MAX, "little is saved up");
    }

    #[test]
    fn a_few_a_second_are_allowed_to_those_who_call_rarely() {
        let rules = BudgetRules {
            percent: 0,
            per_second_min: 2,
        };
        let mut budget = Budget::new(rules, 0);
        let mut retries = 0;
        for now_ms in 0..10_000 {
            retries += u32::from(budget.withdraw(now_ms));
        }
        assert!((20..=22).contains(&retries), "{retries}");
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]

        #[test]
        fn retries_never_exceed_their_share(
            percent in 0u32..100,
            per_second_min in 0u32..5,
            deeds in proptest::collection::vec((proptest::bool::ANY, 0u64..50), 0..500),
        ) {
            let rules = BudgetRules { percent, per_second_min };
            let mut budget = Budget::new(rules, 0);
            let (mut now_ms, mut calls, mut retries) = (0, 0u64, 0u64);
            for (retry, pause_ms) in deeds {
                now_ms += pause_ms;
                if retry {
                    retries += u64::from(budget.withdraw(now_ms));
                } else {
                    budget.deposit();
                    calls += 1;
                }
                let share = calls * u64::from(percent) / 100;
                let time = u64::from(per_second_min) * (1 + now_ms / 1_000 + 1);
                assert!(retries <= share + time, "{retries} of {calls} in {now_ms} ms");
            }
        }
    }
}
