//! What the rules and the limits say to the one client of standard input, and what the audit log is told of it: the same as over HTTP,
//! of somebody who is not asked who he is.

use std::io::Write;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::audit::{Event, Kind, Outcome};
use crate::mcp::{Invocation, Method, Operation, Reason, ShortName};
use crate::policy::{Decision, RateKeys, RuleRequest};

use super::super::service::Subject;
use super::super::trail::Trail;
use super::StdioServer;

impl<W: Write> StdioServer<W> {
    /// Asks the rules and the limits; what the log is to be told once the request is answered.
    ///
    /// Errors: the rules deny it, or it is one too many.
    pub(super) fn authorize<'b>(
        &mut self,
        invocation: &Invocation<'b>,
    ) -> Result<Option<Box<Trail>>, Reason<'b>> {
        let shared = Arc::clone(&self.shared);
        let is_open = shared.rules.is_open() && shared.limiter.is_open();
        if is_open && !shared.audit.is_on() {
            return Ok(None);
        }
        let snapshot = shared.snapshot.load();
        let subject = Subject::of(&invocation.operation);
        let request = subject.request(invocation.method(), &snapshot.catalog);
        let (rules, identity) = (&shared.rules, &self.caller.known.identity);
        let decision = match invocation.operation {
            Operation::Subscribe { .. } => rules.decide_following(identity, &request),
            _ => rules.decide(identity, &request),
        };
        let rule = match decision {
            Decision::Allow { rule } => rule.unwrap_or_default(),
            Decision::Deny { rule } => {
                self.tell_denied(Kind::AuthorizationCheck, &request, rule);
                let (method, rule) = (invocation.method(), rule.map(ShortName::new));
                return Err(Reason::Forbidden { method, rule });
            }
            Decision::NeedsScopes { rule, .. } => {
                self.tell_denied(Kind::AuthorizationCheck, &request, Some(rule));
                let rule = ShortName::new(rule);
                return Err(Reason::NeedsScopes { rule });
            }
        };
        let is_known = request.component.is_some() || request.upstream.is_some();
        let keys = RateKeys {
            tool: request.tool.filter(|_| is_known),
            component: request.component,
            upstream: request.upstream,
            ..RateKeys::new(invocation.method())
        };
        let now_ns = shared.now_ms().saturating_mul(1_000_000);
        if let Err(limited) = shared.limiter.check(now_ns, &keys) {
            self.tell_denied(Kind::RateLimitExceeded, &request, Some(limited.limit));
            return Err(Reason::RateLimited {
                limit: ShortName::new(limited.limit),
                retry_after_ms: limited.retry_after_ms,
            });
        }
        if !shared.audit.is_on() || !Trail::is_kept_of(invocation.method()) {
            return Ok(None);
        }
        Ok(Some(Trail::of(
            &self.caller,
            &request,
            &snapshot.catalog,
            rule,
        )))
    }

    pub(super) fn tell_denied(&self, kind: Kind, request: &RuleRequest<'_>, rule: Option<&str>) {
        let target = request.tool.or(request.resource).or(request.prompt);
        self.shared.audit.record(&Event {
            principal: self.caller.known.shown(),
            method: request.method.name(),
            target: target.unwrap_or_default(),
            rule: rule.unwrap_or("no rule allows it"),
            arguments_hash: request.arguments.map(|text| Sha256::digest(text).into()),
            ..Event::new(kind, Outcome::Denied)
        });
    }

    /// A request is answered.
    pub(super) fn tell_answered(
        &self,
        trail: Option<&Trail>,
        method: Method,
        target: &str,
        outcome: &str,
    ) {
        if let Some(trail) = trail {
            let event = trail.event(method.name(), target, outcome);
            self.shared.audit.record(&event);
        }
    }
}
