//! What the audit log is told of a request when it is answered: noted while it is known.

use std::net::IpAddr;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::audit::{Event, Kind, Outcome};
use crate::catalog::Catalog;
use crate::mcp::{Method, Reason};
use crate::policy::RuleRequest;

use super::known::Caller;

/// Who asked, from where, by which rule, of what, and with which arguments.
#[derive(Clone, Debug)]
pub(super) struct Trail {
    principal: Option<Arc<str>>,
    source: Option<IpAddr>,
    rule: Box<str>,
    component_digest: Option<Arc<str>>,
    arguments_hash: [u8; 32],
}

impl Trail {
    /// Of a request that this rule allows; `""` where none is needed.
    pub(super) fn of(
        caller: &Caller,
        request: &RuleRequest<'_>,
        catalog: &Catalog,
        rule: &str,
    ) -> Box<Self> {
        let mut components = catalog.components().iter();
        let component = request
            .component
            .and_then(|name| components.find(|component| component.name() == name));
        Box::new(Self {
            principal: caller.known.name.clone(),
            source: caller.address,
            rule: rule.into(),
            component_digest: component.map(|one| Arc::clone(one.digest())),
            arguments_hash: Sha256::digest(request.arguments.unwrap_or(b"{}")).into(),
        })
    }

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
            component_digest: self.component_digest.as_deref().unwrap_or_default(),
            arguments_hash: Some(self.arguments_hash),
            detail: outcome,
            ..Event::new(kind, ending)
        }
    }
}

/// The rules, or a limit, have refused a request.
pub(super) fn denied<'e>(
    caller: &'e Caller,
    request: &RuleRequest<'e>,
    reason: &Reason<'_>,
    rule: &'e str,
) -> Event<'e> {
    let kind = match reason {
        Reason::RateLimited { .. } => Kind::RateLimitExceeded,
        _ => Kind::AuthorizationCheck,
    };
    let target = request.tool.or(request.resource).or(request.prompt);
    Event {
        principal: caller.known.shown(),
        source: caller.address,
        method: request.method.name(),
        target: target.unwrap_or_default(),
        rule,
        arguments_hash: request.arguments.map(|text| Sha256::digest(text).into()),
        ..Event::new(kind, Outcome::Denied)
    }
}
