//! Decisions about what may be called and which of several: facts in, verdicts out.
//!
//! Invariants: a decision depends on its arguments and its own state alone, so that a test replays it; time and
//! randomness are parameters; whatever is recorded in whatever order, a state recovers by itself once calls succeed.
//! One shard holds one state of each: what another shard has seen is never waited for.
//!
//! Never here: a socket, a clock, a thread, a random source, a file.
#![forbid(unsafe_code)]

pub mod auth;
pub mod balance;
pub mod breaker;
pub mod health;
pub mod identity;
pub mod outlier;
pub mod pattern;
pub mod permission;
pub mod rate;
pub mod retry;
pub mod rule;
mod stranger;

pub use balance::{Balancer, Candidate, Latency, Strategy};
pub use breaker::{Breaker, BreakerRules, Permit, Ticket};
pub use health::{Health, HealthRules};
pub use identity::{Identity, Proof};
pub use outlier::{OutlierRules, Outliers};
pub use pattern::Pattern;
pub use rate::{Keys as RateKeys, Limited, Limiter, RateOptions};
pub use retry::{Budget, BudgetRules, Failed, Reached, may_repeat};
pub use rule::{Class, Decision, Owned, Request as RuleRequest, RuleOptions, RuleSet};
pub use stranger::{Shows, Stranger};
