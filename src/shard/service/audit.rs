//! What the audit log is told by a shard. Nothing here waits; without a log nothing is made.

use crate::audit::{Event, Kind, Outcome};
use crate::mcp::Reason;
use crate::policy::{RuleRequest, Stranger};

use super::super::known::Caller;
use super::super::trail::{Trail, denied};
use super::Service;
use super::request::Request;

impl Service {
    /// Tells the log, if there is one. What does not fit is counted, and the log says so itself.
    pub(in super::super) fn record(&mut self, event: &Event<'_>) {
        let time_ms = self.unix_offset_ms + self.now_ms;
        if let Some(audit) = &mut self.audit {
            audit.record(time_ms, event);
        }
    }

    /// Whether new calls are to be refused, since nothing could be said of them.
    pub(super) fn is_speechless(&self) -> bool {
        self.audit
            .as_ref()
            .is_some_and(crate::tape::AuditLane::is_full)
    }

    /// Somebody showed who he is, and was believed.
    pub(super) fn tell_known(&mut self, caller: &Caller) {
        self.record(&Event {
            principal: caller.known.shown(),
            source: caller.address,
            method: caller.known.identity.proof.as_str(),
            ..Event::new(Kind::AuthenticationAttempt, Outcome::Ok)
        });
    }

    /// Somebody did not, or was not, or nobody has looked at what he showed.
    pub(super) fn tell_stranger(&mut self, request: &Request<'_, '_>, stranger: &Stranger) {
        let (kind, rule, detail) = match stranger {
            Stranger::Unknown(fault) => (Kind::AuthenticationAttempt, "", fault.detail()),
            Stranger::TooMany { limit, .. } => (Kind::RateLimitExceeded, limit.as_str(), ""),
        };
        self.record(&Event {
            source: request.arrival.address,
            method: request.head.method.as_str(),
            rule,
            detail,
            ..Event::new(kind, Outcome::Denied)
        });
    }

    /// The rules, or a limit, have refused a request.
    pub(in super::super) fn tell_denied(
        &mut self,
        caller: &Caller,
        request: &RuleRequest<'_>,
        reason: &Reason<'_>,
        rule: &str,
    ) {
        self.record(&denied(caller, request, reason, rule));
    }

    /// A legacy session has begun or was ended. Its id is a credential, and stays out of the log.
    pub(super) fn tell_session(&mut self, caller: &Caller, kind: Kind) {
        self.record(&Event {
            principal: caller.known.shown(),
            source: caller.address,
            ..Event::new(kind, Outcome::Ok)
        });
    }

    /// A request is answered later: what is to be told then goes with it.
    pub(super) fn keep_trail(&mut self, ticket: u64, trail: Option<Box<Trail>>) {
        if let Some(away) = self.dispatcher.calls.get_mut(ticket) {
            away.trail = trail;
        }
    }

    /// A request is answered.
    pub(super) fn tell_answered(
        &mut self,
        trail: Option<&Trail>,
        method: &str,
        target: &str,
        outcome: &str,
    ) {
        if let Some(trail) = trail {
            self.record(&trail.event(method, target, outcome));
        }
    }
}
