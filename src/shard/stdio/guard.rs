//! What the rules and the limits say to the one client of standard input, and what the audit log is told of it: the same as over HTTP,
//! of somebody who is not asked who he is.

use std::io::Write;
use std::sync::Arc;

use crate::mcp::{Invocation, Method, Reason};
use crate::policy::RuleRequest;

use super::super::service::{Refused, Subject, judge};
use super::super::trail::{Trail, denied};
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
        let now_ns = shared.now_ms().saturating_mul(1_000_000);
        let catalog = &snapshot.catalog;
        let judged = judge(&shared, catalog, &self.caller, invocation, &subject, now_ns);
        let (request, rule) = match judged {
            Ok(allowed) => allowed,
            Err(refused) => {
                let Refused { denied, rule } = *refused;
                let request = subject.request_of_none(invocation.method());
                self.tell_denied(&request, &denied.reason, &rule);
                return Err(denied.reason);
            }
        };
        if !shared.audit.is_on() || !Trail::is_kept_of(invocation.method()) {
            return Ok(None);
        }
        Ok(Some(Trail::of(&self.caller, &request, catalog, rule)))
    }

    pub(super) fn tell_denied(&self, request: &RuleRequest<'_>, reason: &Reason<'_>, rule: &str) {
        let event = denied(&self.caller, request, reason, rule);
        self.shared.audit.record(&event);
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
