//! Rules, roles and who has them, as they are written: what [`super::RuleSet::compile`] takes.

use std::collections::BTreeMap;

use serde_json::Value;

use super::argument::Pointer;
use crate::policy::Proof;
use crate::policy::pattern::Pattern;

/// What a rule does with what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It may be done.
    Allow,
    /// It may not, whatever else allows it.
    Deny,
}

/// Everything that is said about who may do what.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleOptions {
    /// The rules. Their order means nothing.
    pub rules: Vec<RuleSpec>,
    /// What those who have a role may do, by its name.
    pub roles: BTreeMap<String, RoleSpec>,
    /// Scopes that contain others: who has the first has the second ones too, and theirs.
    pub scope_hierarchy: BTreeMap<String, Vec<String>>,
    /// What holds where no rule says anything, if that is said.
    pub default: Option<Effect>,
}

impl RuleOptions {
    /// What holds where no rule says anything: what was said; else nothing is allowed, but on a loopback listener that asks
    /// nobody who he is and has no rules.
    pub fn default_effect(&self, is_exposed: bool, has_auth: bool) -> Effect {
        let has_rules = !self.rules.is_empty() || !self.roles.is_empty();
        match self.default {
            Some(effect) => effect,
            None if has_rules || is_exposed || has_auth => Effect::Deny,
            None => Effect::Allow,
        }
    }
}

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleSpec {
    /// What it is called in the audit log and in refusals.
    pub name: String,
    /// What it does.
    pub effect: Effect,
    /// Whom it is about.
    pub who: Who,
    /// What it is about.
    pub what: What,
    /// What the arguments have to be.
    pub arguments: Vec<(Pointer, Matcher)>,
    /// The scopes without which it does not allow: who lacks them is told so.
    pub needs_scopes: Vec<String>,
    /// Whether lists show what it allows to those who lack those scopes.
    pub show_without_scopes: bool,
}

/// What those who have a role may do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoleSpec {
    /// Who has it, beside those whose key or token names it; nobody else, if none is said.
    pub who: Option<Who>,
    /// What they may do; nothing, if nothing is said.
    pub what: What,
}

/// Whom a rule is about: every list that is not empty has to be met.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Who {
    /// The subject matches one of these.
    pub subjects: Vec<Pattern>,
    /// The issuer matches one of these.
    pub issuers: Vec<Pattern>,
    /// It is shown in one of these ways.
    pub proofs: Vec<Proof>,
    /// It has all of these scopes.
    pub scopes: Vec<String>,
    /// It has one of these roles.
    pub roles: Vec<String>,
    /// The token's claims are like this, all of them. Of a claim that is an array, one element has to match.
    pub claims: Vec<(Pointer, Matcher)>,
}

/// What a rule is about.
///
/// Shape: `methods` and the owners narrow it, each if it is not empty. Of tools, resources and prompts a request is about one
/// at most: if any of the three is given, the request has to be about something that matches.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct What {
    /// The method matches one of these.
    pub methods: Vec<Pattern>,
    /// The tool's name, as clients see it, matches one of these.
    pub tools: Vec<Pattern>,
    /// The address of the resource matches one of these.
    pub resources: Vec<Pattern>,
    /// The prompt's name, as clients see it, matches one of these.
    pub prompts: Vec<Pattern>,
    /// It belongs to one of these upstreams, or of the components.
    pub upstreams: Vec<Pattern>,
    /// It belongs to one of these components, or of the upstreams.
    pub components: Vec<Pattern>,
}

impl What {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        let Self {
            methods,
            tools,
            resources,
            prompts,
            upstreams,
            components,
        } = self;
        [methods, tools, resources, prompts, upstreams, components]
            .iter()
            .all(|list| list.is_empty())
    }
}

/// What a value has to be: everything that is said has to hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matcher {
    /// One of these: strings, numbers, booleans, null. Numbers are compared by value: 42 is 42.0.
    pub one_of: Vec<Value>,
    /// A string that one of these matches.
    pub glob: Vec<Pattern>,
    /// A number of at least this.
    pub min: Option<f64>,
    /// A number of at most this.
    pub max: Option<f64>,
    /// A string of at most this many bytes.
    pub bytes_max: Option<usize>,
    /// `true`: it is not there. `false`: it is, whatever it is.
    pub absent: Option<bool>,
}

impl Matcher {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// One of these values.
    pub fn one_of(values: Vec<Value>) -> Self {
        Self {
            one_of: values,
            ..Self::default()
        }
    }
}
