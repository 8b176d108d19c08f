//! Who may do what: authorization rules over the caller, the method, what it is about, and the arguments.
//!
//! ```yaml
//! roles:                                    # what those who have a role may do
//!   reader: {tools: ["get_*"]}              # given by keys and tokens, or:
//!   admin:  {methods: ["*"], who: {claims: {"/groups": ops}}}
//! rules:
//!   - name: sales-may-write
//!     allow: true                           # or deny: true
//!     who: {subjects: ["ann*"], issuers: ["https://issuer"], proofs: [jwt], scopes: [mcp:read], roles: [reader],
//!           claims: {"/department": [sales, support]}}
//!     methods: ["tools/call"]
//!     tools: ["docs__*"]                    # names as clients see them
//!     upstreams: [docs]
//!     arguments: {"/path": {glob: "/srv/*"}, "/count": {max: 10}, "/tags/*": {one_of: [a, b]}, "/x": {absent: true}}
//!     needs_scopes: ["mcp:write"]           # who lacks them is told which (step-up)
//! scope_hierarchy: {"mcp:admin": ["mcp:write"], "mcp:write": ["mcp:read"]}
//! default_rule: deny
//! ```
//!
//! Invariants: a deny beats every allow; what is in doubt meets a deny and no allow; what no rule is about is as the default
//! says. Methods that touch nothing of anybody's (`initialize`, `ping`, lists, which show only what may be used, tasks of the
//! caller's own) need no allow, and a deny forbids them too.

mod argument;
mod check;
mod compile;
mod spec;
mod target;
#[cfg(test)]
mod tests;
mod who;

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::Identity;
use crate::mcp::List;

pub use argument::{Pointer, PointerError};
pub use check::check;
pub use compile::CompileError;
pub use spec::{Effect, Matcher, RoleSpec, RuleOptions, RuleSpec, What, Who};
pub use target::{Owned, Request};

use argument::{Findings, Plan, Truth};
use target::Target;
use who::{Scope, Whom, has_scopes};

/// Compiled rules. Immutable, and shared by all shards.
#[derive(Clone, Debug)]
pub struct RuleSet {
    /// The denies first.
    rules: Vec<Rule>,
    default: Effect,
    plan: Plan,
    /// By method: the rules that may be about it, those of `by_tool` left out.
    general: Vec<Vec<u32>>,
    /// The rules that are about these tools and nothing else.
    by_tool: HashMap<Box<str>, Vec<u32>>,
}

#[derive(Clone, Debug)]
struct Rule {
    name: Box<str>,
    effect: Effect,
    whom: Whom,
    methods: u32,
    target: Target,
    /// Numbers of conditions in the plan.
    tests: Vec<usize>,
    needs: Vec<Scope>,
    /// The scopes as a challenge names them.
    challenge: Box<str>,
    show_without_scopes: bool,
}

/// What the rules say about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision<'r> {
    /// It may be done.
    Allow {
        /// The rule that allows it; none, where it needs none.
        rule: Option<&'r str>,
    },
    /// It may not.
    Deny {
        /// The rule that denies it; none, where none allows it.
        rule: Option<&'r str>,
    },
    /// It may be done with more scopes.
    NeedsScopes {
        /// All that are needed, with a space between each two, as a challenge has them.
        scopes: &'r str,
        /// The rule that would allow it.
        rule: &'r str,
    },
}

/// Which rules are about a caller: callers of one class are shown the same lists.
///
/// Of one [`RuleSet`]; another set's classes mean nothing to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Class(pub u128);

impl RuleSet {
    /// Everything is allowed to everybody.
    pub fn allow_all() -> Self {
        Self::without_rules(Effect::Allow)
    }

    /// No rules, and this default.
    pub fn without_rules(default: Effect) -> Self {
        Self {
            rules: Vec::new(),
            default,
            plan: Plan::default(),
            general: Vec::new(),
            by_tool: HashMap::new(),
        }
    }

    /// Whether everything is allowed to everybody: requests need not be asked about, nor lists filtered.
    pub fn is_open(&self) -> bool {
        self.rules.is_empty() && self.default == Effect::Allow
    }

    /// Whether the caller may do this.
    pub fn decide(&self, identity: &Identity, request: &Request<'_>) -> Decision<'_> {
        let mut arguments = Arguments {
            plan: &self.plan,
            text: request.arguments.unwrap_or(b"{}"),
            findings: None,
        };
        let mut lacking: Option<&Rule> = None;
        let mut allowed = None;
        for rule in self.about(request) {
            let has_matched = rule.is_about(request, false)
                && rule.whom.is(identity)
                && arguments.meet(&rule.tests, rule.effect);
            match rule.effect {
                _ if !has_matched => {}
                Effect::Deny => {
                    return Decision::Deny {
                        rule: Some(&rule.name),
                    };
                }
                // Whatever comes now, denies included, is still looked at: those of tools come after the general ones.
                Effect::Allow if allowed.is_some() => {}
                Effect::Allow if has_scopes(identity, &rule.needs) => allowed = Some(&*rule.name),
                Effect::Allow => {
                    lacking.get_or_insert(rule);
                }
            }
        }
        match (allowed, lacking) {
            (Some(rule), _) => Decision::Allow { rule: Some(rule) },
            (None, _) if request.is_basic() => Decision::Allow { rule: None },
            (None, Some(rule)) => Decision::NeedsScopes {
                scopes: &rule.challenge,
                rule: &rule.name,
            },
            (None, None) => match self.default {
                Effect::Allow => Decision::Allow { rule: None },
                Effect::Deny => Decision::Deny { rule: None },
            },
        }
    }

    /// Whether a list shows the caller this entry: whether the caller may use it with some arguments.
    pub fn shows(&self, identity: &Identity, list: List, name: &str, owner: Owned<'_>) -> bool {
        let Some(request) = Request::to_use(list, name, owner) else {
            return true;
        };
        let is_template = list == List::Templates;
        // Whether some arguments are allowed, and whether all of them lack scopes.
        let (mut may, mut lacks) = (false, false);
        for rule in self.about(&request) {
            // A deny that asks about arguments leaves others.
            let is_silent = rule.effect == Effect::Deny && !rule.tests.is_empty();
            if is_silent || !rule.is_about(&request, is_template) || !rule.whom.is(identity) {
                continue;
            }
            match rule.effect {
                Effect::Deny => return false,
                Effect::Allow if rule.show_without_scopes => may = true,
                Effect::Allow if has_scopes(identity, &rule.needs) => may = true,
                Effect::Allow => lacks |= rule.tests.is_empty(),
            }
        }
        may || (self.default == Effect::Allow && !lacks)
    }

    /// The caller's class.
    pub fn class(&self, identity: &Identity) -> Class {
        let is_about = |rule: &Rule| {
            let is = rule.whom.is(identity);
            (is, is && has_scopes(identity, &rule.needs))
        };
        if self.rules.len() <= 64 {
            let mut bits = 0_u128;
            for rule in &self.rules {
                let (is, may) = is_about(rule);
                bits = bits << 2 | u128::from(is) << 1 | u128::from(may);
            }
            return Class(bits);
        }
        let mut hash = Sha256::new();
        for rule in &self.rules {
            let (is, may) = is_about(rule);
            hash.update([u8::from(is) << 1 | u8::from(may)]);
        }
        let mut number = [0; 16];
        number.copy_from_slice(&hash.finalize()[..16]);
        Class(u128::from_le_bytes(number))
    }

    /// The names of the rules, denies first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| &*rule.name)
    }

    /// The rules that may be about a request.
    fn about(&self, request: &Request<'_>) -> impl Iterator<Item = &Rule> {
        let general = self.general.get(request.method as usize);
        let named = request.tool.and_then(|tool| self.by_tool.get(tool));
        let numbers = general.into_iter().chain(named).flatten();
        numbers.filter_map(|number| self.rules.get(*number as usize))
    }
}

impl Rule {
    fn is_about(&self, request: &Request<'_>, is_template: bool) -> bool {
        if self.methods & target::bit(request.method) == 0 {
            return false;
        }
        match (self.target.fits(request, is_template), self.effect) {
            (Truth::Yes, _) => true,
            (Truth::No, _) => false,
            // A template is shown if perhaps it makes what may be read, and hidden only if it makes nothing else.
            (Truth::Unsure, effect) if is_template => effect == Effect::Allow,
            (Truth::Unsure, effect) => effect == Effect::Deny,
        }
    }
}

/// The arguments of a request, read when the first rule asks.
struct Arguments<'a> {
    plan: &'a Plan,
    text: &'a [u8],
    findings: Option<Findings>,
}

impl Arguments<'_> {
    fn meet(&mut self, tests: &[usize], effect: Effect) -> bool {
        if tests.is_empty() {
            return true;
        }
        let (plan, text) = (self.plan, self.text);
        let findings = self.findings.get_or_insert_with(|| plan.read(text));
        tests.iter().all(|test| plan.holds(*test, findings, effect))
    }
}
