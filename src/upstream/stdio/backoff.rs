//! When a child is started, started again, and ended: decisions over events and the time.

/// The times of a child's life, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LifetimeRules {
    /// Before the first restart; it doubles with each that follows.
    pub backoff_first_ms: u64,
    /// The longest before a restart.
    pub backoff_max_ms: u64,
    /// A run of this length is a good one: what follows it counts as the first restart.
    pub steady_ms: u64,
    /// From closing the input to SIGTERM.
    pub close_ms: u64,
    /// From SIGTERM to SIGKILL.
    pub term_ms: u64,
}

impl Default for LifetimeRules {
    fn default() -> Self {
        Self {
            backoff_first_ms: 250,
            backoff_max_ms: 30_000,
            steady_ms: 60_000,
            close_ms: 3_000,
            term_ms: 2_000,
        }
    }
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start the child; say [`Lifetime::started`] or [`Lifetime::ended`].
    Start,
    /// Close its input.
    CloseInput,
    /// Send SIGTERM.
    Terminate,
    /// Kill it and all that it has started.
    Kill,
    /// It ought to be dead: kill whatever stands in the way.
    Force,
}

/// From SIGKILL to looking at why it is not dead.
const KILL_MS: u64 = 2_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting {
        until_ms: u64,
    },
    Starting,
    Running {
        since_ms: u64,
    },
    /// Being ended; the next action, and when.
    Ending {
        next: Action,
        until_ms: u64,
    },
    Over,
}

/// One child's life.
#[derive(Clone, Copy, Debug)]
pub struct Lifetime {
    rules: LifetimeRules,
    state: State,
    /// Restarts since the last good run.
    restarts: u32,
    /// It is not to be started again.
    stopping: bool,
}

impl Lifetime {
    /// A child that is to be started at once.
    pub fn new(rules: LifetimeRules) -> Self {
        Self {
            rules,
            state: State::Waiting { until_ms: 0 },
            restarts: 0,
            stopping: false,
        }
    }

    /// When [`Lifetime::tick`] has something to do; `None`: only an event changes anything.
    pub fn due_ms(&self) -> Option<u64> {
        match self.state {
            State::Waiting { until_ms } | State::Ending { until_ms, .. } => Some(until_ms),
            State::Starting | State::Running { .. } | State::Over => None,
        }
    }

    /// Whether the child runs, and is not being ended.
    pub fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    /// Whether it is not to be started again.
    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Whether it has ended for good.
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// What is due now.
    pub fn tick(&mut self, now_ms: u64) -> Option<Action> {
        match self.state {
            State::Waiting { until_ms } if now_ms >= until_ms => {
                self.state = State::Starting;
                Some(Action::Start)
            }
            State::Ending { next, until_ms } if now_ms >= until_ms => {
                let (then, after_ms) = match next {
                    Action::Terminate => (Action::Kill, self.rules.term_ms),
                    _ => (Action::Force, KILL_MS),
                };
                self.end_later(then, after_ms, now_ms);
                Some(next)
            }
            _ => None,
        }
    }

    /// The child was started.
    pub fn started(&mut self, now_ms: u64) {
        if self.state == State::Starting {
            self.state = State::Running { since_ms: now_ms };
        }
    }

    /// The child has answered something: it works, and what ends it now is no failure to start.
    pub fn proved(&mut self) {
        if self.is_running() {
            self.restarts = 0;
        }
    }

    /// The child has ended, or could not be started. In how many milliseconds it is started again; `None`: never.
    pub fn ended(&mut self, now_ms: u64, random: u64) -> Option<u64> {
        if self.stopping {
            self.state = State::Over;
            return None;
        }
        if let State::Running { since_ms } = self.state
            && now_ms.saturating_sub(since_ms) >= self.rules.steady_ms
        {
            self.restarts = 0;
        }
        let doubled = self
            .rules
            .backoff_first_ms
            .saturating_mul(1 << self.restarts.min(32));
        let wait_ms = doubled.min(self.rules.backoff_max_ms);
        // A quarter of it by chance, so that children of one cause do not start as one.
        let wait_ms = wait_ms - random % (wait_ms / 4 + 1);
        self.restarts = self.restarts.saturating_add(1);
        self.state = State::Waiting {
            until_ms: now_ms.saturating_add(wait_ms),
        };
        Some(wait_ms)
    }

    /// It is not wanted any more: what to do first. It is over once it has ended.
    pub fn stop(&mut self, now_ms: u64) -> Option<Action> {
        self.stopping = true;
        self.end(now_ms)
    }

    /// It is to end and be started again: it does not answer.
    pub fn restart(&mut self, now_ms: u64) -> Option<Action> {
        if self.is_running() {
            self.end(now_ms)
        } else {
            None
        }
    }

    fn end(&mut self, now_ms: u64) -> Option<Action> {
        match self.state {
            State::Waiting { .. } => {
                self.state = State::Over;
                None
            }
            State::Running { .. } | State::Starting => {
                self.end_later(Action::Terminate, self.rules.close_ms, now_ms);
                Some(Action::CloseInput)
            }
            State::Ending { .. } | State::Over => None,
        }
    }

    fn end_later(&mut self, next: Action, after_ms: u64, now_ms: u64) {
        self.state = State::Ending {
            next,
            until_ms: now_ms.saturating_add(after_ms),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: LifetimeRules = LifetimeRules {
        backoff_first_ms: 100,
        backoff_max_ms: 500,
        steady_ms: 10_000,
        close_ms: 30,
        term_ms: 20,
    };

    #[test]
    fn a_child_that_has_answered_is_started_again_soon() {
        let mut life = Lifetime::new(RULES);
        let mut now_ms = 0;
        for _ in 0..20 {
            assert_eq!(life.tick(now_ms), Some(Action::Start));
            life.started(now_ms);
            life.proved();
            now_ms += 10;
            let wait_ms = life.ended(now_ms, 0).unwrap();
            assert_eq!(wait_ms, RULES.backoff_first_ms);
            now_ms += wait_ms;
        }
    }

    #[test]
    fn a_child_that_keeps_ending_is_started_ever_later_up_to_a_bound() {
        let mut life = Lifetime::new(RULES);
        let mut now_ms = 0;
        let mut waits = Vec::new();
        for _ in 0..5 {
            assert_eq!(
                (life.tick(now_ms), life.tick(now_ms)),
                (Some(Action::Start), None)
            );
            life.started(now_ms);
            assert!(life.is_running() && life.due_ms().is_none());
            now_ms += 5;
            let wait_ms = life.ended(now_ms, 0).unwrap();
            assert_eq!(life.due_ms(), Some(now_ms + wait_ms));
            assert_eq!(life.tick(now_ms + wait_ms - 1), None);
            now_ms += wait_ms;
            waits.push(wait_ms);
        }
        assert_eq!(waits, [100, 200, 400, 500, 500]);
        life.tick(now_ms);
        life.started(now_ms);
        assert_eq!(
            life.ended(now_ms + 10_000, 0),
            Some(100),
            "a good run is a new beginning"
        );
        life.tick(u64::MAX);
        assert_eq!(life.ended(0, 0), Some(200), "it could not be started");
    }

    #[test]
    fn chance_takes_at_most_a_quarter_of_the_wait() {
        for random in 0..1_000 {
            let mut life = Lifetime::new(RULES);
            life.tick(0);
            assert!((75..=100).contains(&life.ended(0, random).unwrap()));
        }
    }

    #[test]
    fn ending_is_closing_then_asking_then_killing() {
        let mut life = Lifetime::new(RULES);
        life.tick(0);
        life.started(0);
        assert_eq!(life.stop(100), Some(Action::CloseInput));
        assert_eq!(life.stop(100), None, "once");
        assert_eq!(
            (life.tick(129), life.tick(130)),
            (None, Some(Action::Terminate))
        );
        assert_eq!((life.tick(149), life.tick(150)), (None, Some(Action::Kill)));
        assert_eq!(
            (life.tick(2_149), life.tick(2_150)),
            (None, Some(Action::Force))
        );
        assert_eq!(life.tick(4_150), Some(Action::Force), "and again");
        assert_eq!((life.ended(4_151, 0), life.is_over()), (None, true));
        assert_eq!((life.tick(u64::MAX), life.due_ms()), (None, None));
    }

    #[test]
    fn a_stop_before_the_start_or_between_two_is_an_end() {
        let mut life = Lifetime::new(RULES);
        assert_eq!((life.stop(0), life.is_over()), (None, true));
        let mut life = Lifetime::new(RULES);
        life.tick(0);
        life.ended(0, 0);
        assert_eq!(
            (life.stop(0), life.is_over(), life.tick(u64::MAX)),
            (None, true, None)
        );
        let mut life = Lifetime::new(RULES);
        life.tick(0);
        assert_eq!(
            life.stop(0),
            Some(Action::CloseInput),
            "it is being started"
        );
        life.started(1);
        assert_eq!(life.tick(30), Some(Action::Terminate));
    }

    #[test]
    fn a_restart_ends_it_and_starts_it_again() {
        let mut life = Lifetime::new(RULES);
        assert_eq!(life.restart(0), None, "it does not run");
        life.tick(0);
        life.started(0);
        assert_eq!(life.restart(50), Some(Action::CloseInput));
        assert_eq!(life.restart(51), None);
        assert_eq!(life.ended(60, 0), Some(100));
        assert_eq!(life.tick(160), Some(Action::Start));
    }
}
