//! Which events are kept.

use super::{Event, Kind, Outcome};

/// What the operator chose. What is refused is always kept, but for failed authentication, which strangers can cause at will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Somebody has shown who it is: once for each request.
    pub successful_auth: bool,
    /// Somebody has not.
    pub failed_auth: bool,
    /// A rule has allowed something: once for each request.
    pub policy_decisions: bool,
    /// A tool was called, and how that ended.
    pub calls: bool,
}

impl Default for Choice {
    fn default() -> Self {
        Self {
            successful_auth: false,
            failed_auth: true,
            policy_decisions: false,
            calls: true,
        }
    }
}

impl Choice {
    /// Whether this event is kept.
    pub fn wants(&self, event: &Event<'_>) -> bool {
        match (event.kind, event.outcome) {
            (Kind::AuthenticationAttempt, Outcome::Ok) => self.successful_auth,
            (Kind::AuthenticationAttempt, _) => self.failed_auth,
            (Kind::AuthorizationCheck, Outcome::Ok) => self.policy_decisions,
            (Kind::ComponentInvocation, Outcome::Ok | Outcome::Failed) => self.calls,
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_kept_whatever_was_chosen() {
        let none = Choice {
            successful_auth: false,
            failed_auth: false,
            policy_decisions: false,
            calls: false,
        };
        for kind in [
            Kind::AuthorizationCheck,
            Kind::ComponentInvocation,
            Kind::SecurityViolation,
            Kind::RateLimitExceeded,
        ] {
            assert!(none.wants(&Event::new(kind, Outcome::Denied)), "{kind:?}");
        }
        assert!(!none.wants(&Event::new(Kind::ComponentInvocation, Outcome::Ok)));
        assert!(!none.wants(&Event::new(Kind::AuthenticationAttempt, Outcome::Denied)));
        assert!(Choice::default().wants(&Event::new(Kind::ComponentInvocation, Outcome::Failed)));
    }
}
