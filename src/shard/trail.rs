//! What the audit log is told of a request when it is answered: noted while it is known.

use std::net::IpAddr;
use std::sync::Arc;

use crate::audit::{Event, Kind, Outcome};
use crate::mcp::Method;

/// Who asked, from where, by which rule, of what, and with which arguments.
#[derive(Clone, Debug)]
pub(super) struct Trail {
    pub(super) principal: Option<Arc<str>>,
    pub(super) source: Option<IpAddr>,
    pub(super) rule: Box<str>,
    pub(super) component_digest: Box<str>,
    pub(super) arguments_hash: Option<[u8; 32]>,
}

impl Trail {
    /// Whether requests of this kind are noted: those that use what somebody offers.
    pub(super) fn is_kept_of(method: Method) -> bool {
        matches!(
            method,
            Method::CallTool | Method::ReadResource | Method::GetPrompt
        )
    }

    /// The event: what was done is known now.
    pub(super) fn event<'e>(
        &'e self,
        method: &'e str,
        target: &'e str,
        outcome: &'e str,
    ) -> Event<'e> {
        let (kind, ending) = match outcome {
            "ok" | "input_required" | "task" => (Kind::ComponentInvocation, Outcome::Ok),
            _ => (Kind::ComponentInvocation, Outcome::Failed),
        };
        Event {
            principal: self.principal.as_deref().unwrap_or("anonymous"),
            source: self.source,
            method,
            target,
            rule: &self.rule,
            component_digest: &self.component_digest,
            arguments_hash: self.arguments_hash,
            detail: outcome,
            ..Event::new(kind, ending)
        }
    }
}
