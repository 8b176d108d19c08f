//! Whether whoever asks may have this, and not too often: decided by what stands in the body, before anything is done.

use std::borrow::Cow;

use crate::audit::{Event, Kind, Outcome};
use crate::catalog::{Catalog, Owner};
use crate::mcp::route::Reference;
use crate::mcp::{Invocation, Method, Operation, Reason, ShortName};
use crate::policy::auth::{Fault, Resource, challenge};
use crate::policy::{Decision, Limited, RateKeys, RuleRequest};

use super::super::known::Caller;
use super::super::trail::Trail;
use super::{Service, Shared};

/// Why not, and what the head of the answer says of it.
pub(in super::super) struct Denied<'b> {
    pub(in super::super) reason: Reason<'b>,
    pub(super) field: Option<(&'static str, String)>,
}

/// What a request is about, under the names that clients know, and whose it is.
#[derive(Default)]
pub(in super::super) struct Subject<'b> {
    tool: Option<Cow<'b, str>>,
    resource: Option<Cow<'b, str>>,
    prompt: Option<Cow<'b, str>>,
    arguments: Option<&'b [u8]>,
    /// Whether the resource is the text of a template.
    is_template: bool,
}

impl<'b> Subject<'b> {
    pub(in super::super) fn of(operation: &Operation<'b>) -> Self {
        let mut subject = Self::default();
        match operation {
            Operation::CallTool {
                name, arguments, ..
            } => {
                subject.tool = Some(name.to_cow());
                subject.arguments = *arguments;
            }
            Operation::GetPrompt {
                name, arguments, ..
            } => {
                subject.prompt = Some(name.to_cow());
                subject.arguments = *arguments;
            }
            Operation::ReadResource { uri, .. }
            | Operation::Subscribe { uri }
            | Operation::Unsubscribe { uri } => subject.resource = Some(uri.to_cow()),
            Operation::Complete { reference, .. } => match reference {
                Reference::Prompt(name) => subject.prompt = Some(name.to_cow()),
                Reference::Template(text) => {
                    subject.resource = Some(text.to_cow());
                    subject.is_template = true;
                }
            },
            _ => {}
        }
        subject
    }

    /// What the rules are asked.
    pub(in super::super) fn request<'s>(
        &'s self,
        method: Method,
        catalog: &'s Catalog,
    ) -> RuleRequest<'s> {
        let (component, upstream) = self.owner(catalog);
        RuleRequest {
            component,
            upstream,
            ..self.request_of_none(method)
        }
    }

    /// The same, whoever has it.
    pub(in super::super) fn request_of_none(&self, method: Method) -> RuleRequest<'_> {
        RuleRequest {
            tool: self.tool.as_deref(),
            resource: self.resource.as_deref(),
            prompt: self.prompt.as_deref(),
            arguments: self.arguments,
            ..RuleRequest::new(method)
        }
    }

    /// The component or the upstream that has it, as far as there is one.
    fn owner<'c>(&self, catalog: &'c Catalog) -> (Option<&'c str>, Option<&'c str>) {
        if let Some(tool) = self.tool.as_deref().and_then(|name| catalog.tool(name)) {
            return match tool.component() {
                Some(component) => (Some(component.name()), None),
                None => (None, Some(tool.owner_name())),
            };
        }
        let prompt = self.prompt.as_deref().and_then(|name| catalog.prompt(name));
        let owner = prompt.map(|prompt| &prompt.owner);
        let owner = owner.or_else(|| {
            let uri = self.resource.as_deref()?;
            match self.is_template {
                // Whoever else has an address that reads like this one's text does not complete it.
                true => catalog.template_owner(uri),
                false => catalog.resource(uri),
            }
        });
        match owner {
            Some(Owner::Component(component)) => (Some(component.name()), None),
            Some(Owner::Upstream(remote)) => (None, Some(remote.name())),
            None => (None, None),
        }
    }
}

impl Service {
    /// Asks the rules and the limits.
    ///
    /// Errors: the rules deny it, want more scopes for it, or it is one too many.
    pub(super) fn authorize<'b>(
        &mut self,
        caller: &Caller,
        invocation: &Invocation<'b>,
    ) -> Result<Option<Box<Trail>>, Denied<'b>> {
        if self.is_open && self.audit.is_none() {
            return Ok(None);
        }
        if self.is_speechless() {
            let value = 0;
            let limit = "audit.when_full";
            return Err(Denied {
                reason: Reason::Overloaded { limit, value },
                field: Some(("Retry-After", "1".to_owned())),
            });
        }
        let subject = Subject::of(&invocation.operation);
        let now_ns = self.now_ns();
        let catalog = &self.dispatcher.snapshot.load().catalog;
        let refused = match judge(&self.shared, catalog, caller, invocation, &subject, now_ns) {
            Ok((request, rule)) => {
                let called = Event::new(Kind::ComponentInvocation, Outcome::Ok);
                let is_told = self.audit.as_ref().is_some_and(|log| log.wants(&called));
                let is_told = is_told && Trail::is_kept_of(invocation.method());
                return Ok(is_told.then(|| Trail::of(caller, &request, catalog, rule)));
            }
            Err(refused) => refused,
        };
        let Refused { denied, rule } = *refused;
        let (method, reason) = (invocation.method(), &denied.reason);
        tracing::debug!(principal = caller.known.shown(), method = method.name(), %reason, "denied");
        // Whose it is does not matter any more.
        let request = subject.request_of_none(method);
        self.tell_denied(caller, &request, reason, &rule);
        Err(denied)
    }
}

/// What the rules and the limits say of somebody's request: the request as they were asked about it, and the rule that allows it; `""`
/// where none is needed. Borrows what all shards have in common instead of counting references to it: they would write that count for
/// each other.
///
/// Errors: the rules deny it, want more scopes for it, or it is one too many.
pub(in super::super) fn judge<'s, 'b>(
    shared: &'s Shared,
    catalog: &'s Catalog,
    caller: &Caller,
    invocation: &Invocation<'b>,
    subject: &'s Subject<'_>,
    now_ns: u64,
) -> Result<(RuleRequest<'s>, &'s str), Box<Refused<'b>>> {
    let request = subject.request(invocation.method(), catalog);
    let identity = &caller.known.identity;
    let decision = match invocation.operation {
        Operation::Subscribe { .. } => shared.rules.decide_following(identity, &request),
        _ => shared.rules.decide(identity, &request),
    };
    let resource = shared.authenticator.resource();
    let rule = allowing(decision, invocation.method(), resource)?;
    let is_known = request.component.is_some() || request.upstream.is_some();
    let keys = RateKeys {
        principal: caller.principal(),
        address: caller.address,
        session: invocation.session,
        tool: request.tool.filter(|_| is_known),
        component: request.component,
        upstream: request.upstream,
        tier: identity.tier.as_deref(),
        ..RateKeys::new(invocation.method())
    };
    shared.limiter.check(now_ns, &keys)?;
    Ok((request, rule))
}

/// Why not, and which rule or limit says so.
pub(in super::super) struct Refused<'b> {
    pub(in super::super) denied: Denied<'b>,
    pub(in super::super) rule: Box<str>,
}

impl From<Limited<'_>> for Box<Refused<'_>> {
    fn from(limited: Limited<'_>) -> Self {
        let retry_after = limited.retry_after_s().to_string();
        let reason = Reason::RateLimited {
            limit: ShortName::new(limited.limit),
            retry_after_ms: limited.retry_after_ms,
        };
        Box::new(Refused {
            denied: Denied {
                reason,
                field: Some(("Retry-After", retry_after)),
            },
            rule: limited.limit.into(),
        })
    }
}

/// The rule that allows it; `""` where none is needed.
fn allowing<'r, 'b>(
    decision: Decision<'r>,
    method: Method,
    resource: Option<&Resource>,
) -> Result<&'r str, Box<Refused<'b>>> {
    let (reason, field, rule) = match decision {
        Decision::Allow { rule } => return Ok(rule.unwrap_or_default()),
        Decision::Deny { rule } => {
            let name = rule.map(ShortName::new);
            let reason = Reason::Forbidden { method, rule: name };
            (reason, None, rule.unwrap_or("no rule allows it"))
        }
        Decision::NeedsScopes { scopes, rule } => {
            let needed: Vec<Box<str>> = scopes.split(' ').map(Box::from).collect();
            let text = challenge(resource, &Fault::Scopes(Vec::new()), &needed);
            let reason = Reason::NeedsScopes {
                rule: ShortName::new(rule),
            };
            (reason, Some(("WWW-Authenticate", text)), rule)
        }
    };
    Err(Box::new(Refused {
        denied: Denied { reason, field },
        rule: rule.into(),
    }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::catalog::{Sources, UpstreamOffer};
    use crate::gateway::RawListing;
    use crate::mcp::List;
    use crate::upstream::era::Spoken;
    use crate::upstream::remote::Remote;

    fn offer(name: &str, index: usize, template: &str) -> Arc<UpstreamOffer> {
        let remote = Remote {
            index,
            ..Remote::sample(name)
        };
        let page = json!({"resourceTemplates": [{"uriTemplate": template, "name": "t"}]});
        let listing = RawListing {
            spoken: Spoken::Legacy,
            facts: b"{}".to_vec(),
            pages: vec![(List::Templates, page.to_string().into_bytes())],
            announced: Vec::new(),
        };
        Arc::new(UpstreamOffer::read(&Arc::new(remote), &listing, 10_000))
    }

    /// The text of one upstream's template reads like an address of another's.
    #[test]
    fn a_template_is_its_owners_whoever_has_an_address_that_reads_like_it() {
        let offers = [
            offer("open", 0, "file:///{+path}"),
            offer("secret", 1, "file:///private/{name}"),
        ];
        let sources = Sources {
            offers: &offers,
            ..Sources::default()
        };
        let catalog = Catalog::build_of(sources, 1, 500);
        let text = "file:///private/{name}";
        let of = |is_template| Subject {
            resource: Some(text.into()),
            is_template,
            ..Subject::default()
        };
        assert_eq!(of(true).owner(&catalog), (None, Some("secret")));
        assert_eq!(of(false).owner(&catalog), (None, Some("open")));
    }
}
