//! Whether somebody may hear of each change of a resource.

use super::{Decision, Request, RuleSet};
use crate::mcp::Method;
use crate::policy::Identity;

impl RuleSet {
    /// Whether the caller may hear of each change of a resource: whether he may follow it, and read it. What does not let him read
    /// it does not let him know when it changes either.
    ///
    /// To follow a resource is one thing under two names, `resources/subscribe` and `subscriptions/listen`: who is denied the one is
    /// denied the other, else he would only have to speak another revision, and who is allowed one may do it under both.
    ///
    /// Shape: the method of the request does not matter.
    pub fn decide_following(&self, identity: &Identity, request: &Request<'_>) -> Decision<'_> {
        let decide = |method| self.decide(identity, &Request { method, ..*request });
        let read = decide(Method::ReadResource);
        if !read.is_allowed() {
            return read;
        }
        let follow = [Method::Listen, Method::Subscribe].map(decide);
        let denied = follow.iter().find(|one| one.is_denied_by_a_rule());
        let allowed = || follow.iter().find(|one| one.is_allowed());
        let lacking = || {
            let mut all = follow.iter();
            all.find(|one| matches!(one, Decision::NeedsScopes { .. }))
        };
        let found = denied.or_else(allowed).or_else(lacking);
        *found.unwrap_or(&follow[0])
    }
}

impl Decision<'_> {
    /// Whether it may be done.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow { .. })
    }

    fn is_denied_by_a_rule(&self) -> bool {
        matches!(self, Self::Deny { rule: Some(_) })
    }
}
