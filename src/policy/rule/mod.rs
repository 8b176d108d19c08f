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
mod follow;
mod spec;
mod target;
#[cfg(test)]
mod tests;
mod who;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

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

/// How many sets were made: each has a number of its own.
static SET_COUNT: AtomicU64 = AtomicU64::new(0);

/// Compiled rules. Immutable, and shared by all shards.
#[derive(Clone, Debug)]
pub struct RuleSet {
    /// Tells its classes from those of other sets.
    number: u64,
    /// The denies first.
    rules: Vec<Rule>,
    default: Effect,
    plan: Plan,
    /// How many of them are denies.
    deny_count: u32,
    index: Index,
}

/// Numbers of rules, ascending, by what they may be about; no rule stands in two lists of one request.
#[derive(Clone, Debug, Default)]
struct Index {
    /// By method: those that name nothing.
    unnamed: Vec<Vec<u32>>,
    /// By method: those that name tools, `by_tool` left out.
    tools: Vec<Vec<u32>>,
    /// By method: those that name resources.
    resources: Vec<Vec<u32>>,
    /// By method: those that name prompts.
    prompts: Vec<Vec<u32>>,
    /// Those that name these tools and nothing else.
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
/// Of one [`RuleSet`]; no class of another set is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Class {
    set: u64,
    rules: u128,
}

impl Class {
    /// A number that classes are spread by.
    pub fn mixed(self) -> u64 {
        let number = self.rules as u64 ^ (self.rules >> 64) as u64 ^ self.set;
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
    }
}

impl RuleSet {
    /// Everything is allowed to everybody.
    pub fn allow_all() -> Self {
        Self::without_rules(Effect::Allow)
    }

    /// No rules, and this default.
    pub fn without_rules(default: Effect) -> Self {
        Self {
            number: next_number(),
            rules: Vec::new(),
            default,
            plan: Plan::default(),
            deny_count: 0,
            index: Index::default(),
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
        let mut is_met = |rule: &Rule| {
            rule.is_about(request, false)
                && rule.whom.is(identity)
                && arguments.meet(&rule.tests, rule.effect)
        };
        if let Some(rule) = self.denies(request).find(|rule| is_met(rule)) {
            return Decision::Deny {
                rule: Some(&rule.name),
            };
        }
        let mut lacking: Option<&Rule> = None;
        for rule in self.allows(request).filter(|rule| is_met(rule)) {
            if has_scopes(identity, &rule.needs) {
                return Decision::Allow {
                    rule: Some(&rule.name),
                };
            }
            lacking.get_or_insert(rule);
        }
        match (lacking, self.default) {
            _ if request.is_basic() => Decision::Allow { rule: None },
            (Some(rule), _) => Decision::NeedsScopes {
                scopes: &rule.challenge,
                rule: &rule.name,
            },
            (None, Effect::Allow) => Decision::Allow { rule: None },
            (None, Effect::Deny) => Decision::Deny { rule: None },
        }
    }

    /// Whether a list shows the caller this entry: whether the caller may use it with some arguments.
    pub fn shows(&self, identity: &Identity, list: List, name: &str, owner: Owned<'_>) -> bool {
        let Some(request) = Request::to_use(list, name, owner) else {
            return true;
        };
        let is_template = list == List::Templates;
        let is_met = |rule: &&Rule| rule.is_about(&request, is_template) && rule.whom.is(identity);
        // A deny that asks about arguments leaves others.
        let mut denies = self.denies(&request).filter(|rule| rule.tests.is_empty());
        if denies.any(|rule| is_met(&rule)) {
            return false;
        }
        // Whether all arguments lack scopes.
        let mut lacks = false;
        for rule in self.allows(&request).filter(is_met) {
            if rule.show_without_scopes || has_scopes(identity, &rule.needs) {
                return true;
            }
            lacks |= rule.tests.is_empty();
        }
        self.default == Effect::Allow && !lacks
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
            return self.class_of(bits);
        }
        let mut hash = Sha256::new();
        for rule in &self.rules {
            let (is, may) = is_about(rule);
            hash.update([u8::from(is) << 1 | u8::from(may)]);
        }
        let mut number = [0; 16];
        number.copy_from_slice(&hash.finalize()[..16]);
        self.class_of(u128::from_le_bytes(number))
    }

    fn class_of(&self, rules: u128) -> Class {
        let set = self.number;
        Class { set, rules }
    }

    /// Whether a class is one of this set.
    pub fn has(&self, class: Class) -> bool {
        class.set == self.number
    }

    /// The names of the rules, denies first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| &*rule.name)
    }

    fn denies(&self, request: &Request<'_>) -> impl Iterator<Item = &Rule> {
        let lists = self.index.lists(request).into_iter();
        let numbers = lists.flat_map(|list| &list[..self.split(list)]);
        numbers.filter_map(|number| self.rules.get(*number as usize))
    }

    fn allows(&self, request: &Request<'_>) -> impl Iterator<Item = &Rule> {
        let lists = self.index.lists(request).into_iter();
        let numbers = lists.flat_map(|list| &list[self.split(list)..]);
        numbers.filter_map(|number| self.rules.get(*number as usize))
    }

    /// Where the denies of a list end.
    fn split(&self, list: &[u32]) -> usize {
        list.partition_point(|number| *number < self.deny_count)
    }
}

fn next_number() -> u64 {
    SET_COUNT.fetch_add(1, Ordering::Relaxed)
}

impl Index {
    /// The rules that may be about a request.
    fn lists(&self, request: &Request<'_>) -> [&[u32]; 3] {
        let method = request.method as usize;
        let unnamed = self.unnamed.get(method);
        let (named, exact) = match (request.tool, request.resource, request.prompt) {
            (Some(tool), ..) => (self.tools.get(method), self.by_tool.get(tool)),
            (None, Some(_), _) => (self.resources.get(method), None),
            (None, None, Some(_)) => (self.prompts.get(method), None),
            (None, None, None) => (None, None),
        };
        [unnamed, named, exact].map(|list| list.map_or(&[][..], Vec::as_slice))
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
