//! Who is told that something has changed, and of what he may hear: asked of the rules when he begins to listen, and again before he
//! is told, since by then he may have another token, and what he follows another owner.

use std::rc::Rc;
use std::sync::Arc;

use crate::catalog::Catalog;
use crate::mcp::{List, Method, News, Reason, SessionEvents};
use crate::policy::{Decision, Identity, Owned, RuleRequest, RuleSet};

use super::known::{Caller, Known};
use super::service::Service;

/// Somebody who listens.
pub(super) struct Audience<'a> {
    pub(super) rules: &'a RuleSet,
    pub(super) catalog: &'a Catalog,
    pub(super) identity: &'a Identity,
}

/// What somebody wants to hear of and may not.
pub(super) struct Withheld {
    method: Method,
    resource: Option<Box<str>>,
    rule: Box<str>,
}

impl Withheld {
    /// Why, as whoever asks for it is told.
    pub(super) fn reason(&self) -> Reason<'static> {
        let (method, rule) = (self.method, None);
        Reason::Forbidden { method, rule }
    }

    /// What he would have had to ask for.
    pub(super) fn request(&self) -> RuleRequest<'_> {
        RuleRequest {
            resource: self.resource.as_deref(),
            ..RuleRequest::new(self.method)
        }
    }

    /// The rule that denies it.
    pub(super) fn rule(&self) -> &str {
        &self.rule
    }
}

impl<'a> Audience<'a> {
    /// Does something that asks what he may hear of; and what of that he may not.
    pub(super) fn ask<T>(
        &self,
        act: impl FnOnce(&mut dyn FnMut(News<'_>) -> bool) -> T,
    ) -> (T, Vec<Withheld>) {
        let mut withheld = Vec::new();
        let done = act(&mut |news| self.hears_or(news, &mut withheld));
        (done, withheld)
    }

    /// Whether he may hear of this.
    pub(super) fn hears(&self, news: News<'_>) -> bool {
        self.rules.is_open() || self.decide(news).0.is_allowed()
    }

    /// What the rules say, and of which method they say it.
    fn decide(&self, news: News<'_>) -> (Decision<'a>, Method) {
        match news {
            News::Resource(uri) => {
                let owner = self.catalog.owner_of(List::Resources, uri);
                let request = RuleRequest {
                    resource: Some(uri),
                    ..owned(Method::Listen, owner)
                };
                let decision = self.rules.decide_following(self.identity, &request);
                (decision, Method::Listen)
            }
            News::List(list) => {
                let decide = |method| {
                    let request = RuleRequest::new(method);
                    (self.rules.decide(self.identity, &request), method)
                };
                let mut all = methods_of(list).iter().map(|method| decide(*method));
                let first = all.next().unwrap_or_else(|| decide(Method::Listen));
                match first.0.is_allowed() {
                    true => first,
                    false => all.find(|one| one.0.is_allowed()).unwrap_or(first),
                }
            }
        }
    }

    /// The same, noting what he may not.
    fn hears_or(&self, news: News<'_>, withheld: &mut Vec<Withheld>) -> bool {
        if self.rules.is_open() {
            return true;
        }
        let (decision, method) = self.decide(news);
        let rule = match decision {
            Decision::Allow { .. } => return true,
            Decision::Deny { rule } => rule.unwrap_or("no rule allows it"),
            Decision::NeedsScopes { rule, .. } => rule,
        };
        withheld.push(Withheld {
            method,
            resource: match news {
                News::Resource(uri) => Some(uri.into()),
                News::List(_) => None,
            },
            rule: rule.into(),
        });
        false
    }
}

/// The methods that a list is had by: who may use one of them hears of it.
fn methods_of(list: List) -> &'static [Method] {
    match list {
        List::Tools => &[Method::ListTools],
        List::Prompts => &[Method::ListPrompts],
        // They are told of together.
        List::Resources | List::Templates => &[Method::ListResources, Method::ListTemplates],
        List::Tasks => &[Method::ListTasks],
    }
}

fn owned(method: Method, owner: Option<Owned<'_>>) -> RuleRequest<'_> {
    let (component, upstream) = match owner {
        Some(Owned::Component(name)) => (Some(name), None),
        Some(Owned::Upstream(name)) => (None, Some(name)),
        None => (None, None),
    };
    RuleRequest {
        component,
        upstream,
        ..RuleRequest::new(method)
    }
}

impl Service {
    /// Does something for which it matters what this caller may hear of; what it asks for and he may not is told to the audit log.
    pub(super) fn with_audience<T>(
        &mut self,
        caller: &Caller,
        act: impl FnOnce(&Self, &Catalog, &mut dyn FnMut(News<'_>) -> bool) -> T,
    ) -> T {
        let snapshot = Arc::clone(self.dispatcher.snapshot.load());
        let audience = Audience {
            rules: &self.shared.rules,
            catalog: &snapshot.catalog,
            identity: &caller.known.identity,
        };
        let (done, withheld) = audience.ask(|hears| act(self, &snapshot.catalog, hears));
        for withheld in withheld {
            let (request, reason) = (withheld.request(), withheld.reason());
            self.tell_denied(caller, &request, &reason, withheld.rule());
        }
        done
    }

    /// Adds what has changed to the own stream of a session whose client this is; whether something is still to be told.
    pub(super) fn announce(&mut self, events: &SessionEvents, hearer: Option<&Rc<Known>>) -> bool {
        let now_ms = self.now_ms();
        let rules = &self.shared.rules;
        let Some(known) = hearer.filter(|_| !rules.is_open()) else {
            return events.announce(now_ms, |_| true).pending;
        };
        let snapshot = self.dispatcher.snapshot.load();
        let audience = Audience {
            rules,
            catalog: &snapshot.catalog,
            identity: &known.identity,
        };
        events.announce(now_ms, |news| audience.hears(news)).pending
    }
}
