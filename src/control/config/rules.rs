//! `rules:`, `roles:`, `scope_hierarchy:` and `default_rule:`, read into [`RuleOptions`].

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use serde_saphyr::Spanned;

use super::rules_document::*;
use super::{Parsed, nearest};
use crate::error::Problem;
use crate::limits::{RULE_NAME_BYTES_MAX, RULE_PATTERN_BYTES_MAX};
use crate::mcp::Method;
use crate::policy::Proof;
use crate::policy::pattern::Pattern;
use crate::policy::rule::{
    Effect, Matcher, Pointer, RoleSpec, RuleOptions, RuleSet, RuleSpec, What, Who,
};

type Read<T> = Result<T, Problem>;

impl Parsed<'_> {
    /// The rules, held to everything that compiling asks of them.
    pub(super) fn rules(&self) -> Read<RuleOptions> {
        let document = &self.document;
        let mut options = RuleOptions {
            default: document.default_rule.map(|effect| match effect {
                EffectName::Allow => Effect::Allow,
                EffectName::Deny => Effect::Deny,
            }),
            ..RuleOptions::default()
        };
        let mut lines = BTreeMap::new();
        for (index, given) in document.rules.iter().flatten().enumerate() {
            let line = given.referenced.line();
            let reader = Reader {
                parsed: self,
                key: format!("rules[{index}]"),
                line,
            };
            let rule = reader.rule(&given.value)?;
            if let Some(first) = lines.insert(rule.name.clone(), line) {
                let rule_text = format!("is the name of the rule in line {first} too");
                return Err(reader.wrong("name", &rule.name, &rule_text, "give it another name"));
            }
            options.rules.push(rule);
        }
        for (name, given) in document.roles.iter().flatten() {
            let reader = Reader {
                parsed: self,
                key: format!("roles.{name}"),
                line: given.referenced.line(),
            };
            options
                .roles
                .insert(name.clone(), reader.role(name, &given.value)?);
        }
        for (outer, inner) in document.scope_hierarchy.iter().flatten() {
            let reader = Reader {
                parsed: self,
                key: format!("scope_hierarchy.{outer}"),
                line: inner.referenced.line(),
            };
            reader.scope("", outer, inner.referenced.line())?;
            for scope in &inner.value {
                reader.scope("", scope, inner.referenced.line())?;
            }
            options
                .scope_hierarchy
                .insert(outer.clone(), inner.value.clone());
        }
        if let Err(error) = RuleSet::compile(&options, Effect::Deny) {
            let line = lines.values().next().copied();
            return Err(self.problem(line, "rules", "", &error.to_string(), "use fewer"));
        }
        Ok(options)
    }
}

/// Reads one rule or role, whose lines and keys its refusals name.
struct Reader<'p> {
    parsed: &'p Parsed<'p>,
    key: String,
    line: u64,
}

impl Reader<'_> {
    fn rule(&self, document: &RuleDocument) -> Read<RuleSpec> {
        let effect = self.effect(document)?;
        let name = match &document.name {
            None => format!("line {}", self.line),
            Some(name) if name.value.is_empty() || name.value.len() > RULE_NAME_BYTES_MAX => {
                let rule = format!("must have 1 to {RULE_NAME_BYTES_MAX} bytes");
                return Err(self.at(name, "name", &name.value, &rule, "change it"));
            }
            Some(name) => name.value.clone(),
        };
        let needs_scopes = self.scopes("needs_scopes", &document.needs_scopes)?;
        if effect == Effect::Deny && !needs_scopes.is_empty() {
            let rule = "has a meaning for a rule that allows only";
            return Err(self.wrong("needs_scopes", "", rule, "use who.scopes"));
        }
        let show = document.show_without_scopes.as_ref();
        if let Some(show) = show.filter(|show| show.value && needs_scopes.is_empty()) {
            let rule = "has a meaning beside needs_scopes only";
            return Err(self.at(show, "show_without_scopes", "true", rule, "remove it"));
        }
        let lists = [
            &document.methods,
            &document.tools,
            &document.resources,
            &document.prompts,
            &document.upstreams,
            &document.components,
        ];
        Ok(RuleSpec {
            name,
            effect,
            who: match &document.who {
                None => Who::default(),
                Some(who) => self.who(who)?,
            },
            what: self.what(lists)?,
            arguments: self.conditions("arguments", &document.arguments)?,
            needs_scopes,
            show_without_scopes: show.is_some_and(|show| show.value),
        })
    }

    fn effect(&self, document: &RuleDocument) -> Read<Effect> {
        match (&document.allow, &document.deny) {
            (Some(allow), None) if allow.value => Ok(Effect::Allow),
            (None, Some(deny)) if deny.value => Ok(Effect::Deny),
            (Some(no), None) | (None, Some(no)) => {
                let rule = "is not what a rule is for";
                Err(self.at(no, "", "false", rule, "write allow: true or deny: true"))
            }
            _ => {
                let rule = "must have one of allow: true and deny: true";
                Err(self.wrong("", "", rule, "add one, or remove one"))
            }
        }
    }

    fn role(&self, name: &str, document: &RoleDocument) -> Read<RoleSpec> {
        if name.is_empty() || name.len() > RULE_NAME_BYTES_MAX {
            let rule = format!("must have a name of 1 to {RULE_NAME_BYTES_MAX} bytes");
            return Err(self.wrong("", name, &rule, "change it"));
        }
        let who = document.who.as_ref().map(|who| self.who(who)).transpose()?;
        if let Some(roles) = document.who.as_ref().and_then(|who| who.roles.as_ref())
            && let Some(first) = roles.first()
        {
            let rule = "is a role, and roles are not given by roles";
            let remedy = "say it of subjects, scopes or claims";
            return Err(self.at(first, "who.roles", &first.value, rule, remedy));
        }
        let lists = [
            &document.methods,
            &document.tools,
            &document.resources,
            &document.prompts,
            &document.upstreams,
            &document.components,
        ];
        let what = self.what(lists)?;
        Ok(RoleSpec { who, what })
    }

    fn what(&self, lists: [&Words; 6]) -> Read<What> {
        let [methods, tools, resources, prompts, upstreams, components] = lists;
        for given in methods.iter().flatten() {
            let pattern = Pattern::new(&given.value);
            if !Method::all().any(|method| pattern.matches(method.name())) {
                let remedy = match nearest(&given.value, Method::all().map(Method::name)) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => "write it like tools/call or tools/*".to_owned(),
                };
                return Err(self.at(given, "methods", &given.value, "is no method", &remedy));
            }
        }
        Ok(What {
            methods: self.patterns("methods", methods)?,
            tools: self.patterns("tools", tools)?,
            resources: self.patterns("resources", resources)?,
            prompts: self.patterns("prompts", prompts)?,
            upstreams: self.patterns("upstreams", upstreams)?,
            components: self.patterns("components", components)?,
        })
    }

    fn who(&self, document: &WhoDocument) -> Read<Who> {
        let proof = |name: &ProofName| match name {
            ProofName::None => Proof::None,
            ProofName::ApiKey => Proof::ApiKey,
            ProofName::Jwt => Proof::Jwt,
            ProofName::Certificate => Proof::Certificate,
        };
        let roles = document.roles.iter().flatten();
        if let Some(proofs) = document.proofs.as_ref().filter(|proofs| proofs.is_empty()) {
            let rule = "must not be empty";
            let shown = format!("{proofs:?}");
            return Err(self.wrong("who.proofs", &shown, rule, "name a proof, or remove it"));
        }
        Ok(Who {
            subjects: self.patterns("who.subjects", &document.subjects)?,
            issuers: self.patterns("who.issuers", &document.issuers)?,
            proofs: document.proofs.iter().flatten().map(proof).collect(),
            scopes: self.scopes("who.scopes", &document.scopes)?,
            roles: match &document.roles {
                Some(empty) if empty.is_empty() => {
                    let remedy = "name a role, or remove it";
                    return Err(self.wrong("who.roles", "[]", "must not be empty", remedy));
                }
                _ => roles.map(|role| role.value.clone()).collect(),
            },
            claims: self.conditions("who.claims", &document.claims)?,
        })
    }

    /// An empty list would mean what no list means, and who writes it means the contrary.
    fn patterns(&self, key: &str, words: &Words) -> Read<Vec<Pattern>> {
        let Some(words) = words else {
            return Ok(Vec::new());
        };
        if words.is_empty() {
            let remedy = "name something, or remove the key, which means all";
            return Err(self.wrong(key, "[]", "must not be empty", remedy));
        }
        let wrong = |word: &&Spanned<String>| !is_pattern(&word.value);
        if let Some(word) = words.iter().find(wrong) {
            let rule = format!("must have 1 to {RULE_PATTERN_BYTES_MAX} bytes");
            return Err(self.at(word, key, &word.value, &rule, "change it"));
        }
        Ok(words.iter().map(|word| Pattern::new(&word.value)).collect())
    }

    fn scopes(&self, key: &str, words: &Words) -> Read<Vec<String>> {
        let Some(words) = words else {
            return Ok(Vec::new());
        };
        if words.is_empty() {
            return Err(self.wrong(key, "[]", "must not be empty", "name a scope, or remove it"));
        }
        let mut seen = BTreeSet::new();
        for word in words {
            self.scope(key, &word.value, word.referenced.line())?;
            if !seen.insert(&word.value) {
                return Err(self.at(word, key, &word.value, "stands twice", "keep one of them"));
            }
        }
        Ok(words.iter().map(|word| word.value.clone()).collect())
    }

    /// Source: RFC 6749 section 3.3, `scope-token`: it is written into a challenge.
    fn scope(&self, key: &str, scope: &str, line: u64) -> Read<()> {
        let is_letter = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
        if !scope.is_empty() && scope.bytes().all(is_letter) {
            return Ok(());
        }
        let rule = "is no scope: visible ASCII without spaces, \" and \\";
        Err(self.refuse(line, key, scope, rule, "change it"))
    }

    fn conditions(&self, key: &str, given: &Conditions) -> Read<Vec<(Pointer, Matcher)>> {
        let Some(given) = given else {
            return Ok(Vec::new());
        };
        if given.is_empty() {
            return Err(self.wrong(key, "{}", "must not be empty", "add one, or remove it"));
        }
        let mut conditions = Vec::with_capacity(given.len());
        for (pointer, condition) in given {
            let parsed = Pointer::parse(pointer).map_err(|error| {
                let remedy = "write a JSON pointer, like /path or /tags/*";
                self.at(condition, key, pointer, &error.to_string(), remedy)
            })?;
            let key = format!("{key}.{pointer}");
            conditions.push((parsed, self.matcher(&key, condition)?));
        }
        Ok(conditions)
    }

    fn matcher(&self, key: &str, given: &Spanned<ConditionDocument>) -> Read<Matcher> {
        let refused = |value: &str, rule: &str, remedy| self.at(given, key, value, rule, remedy);
        let matcher = match &given.value {
            ConditionDocument::OneOf(values) => Matcher::one_of(values.clone()),
            ConditionDocument::Words(words) => {
                let mut one_of = words.one_of.clone().unwrap_or_default();
                if words.one_of.as_ref().is_some_and(Vec::is_empty) {
                    return Err(refused("one_of", "must not be empty", "name a value"));
                }
                if let Some(value) = &words.equals {
                    if !one_of.is_empty() {
                        return Err(refused("equals", "stands beside one_of", "keep one"));
                    }
                    one_of.push(value.clone());
                }
                let globs = words.glob.as_ref().map_or(&[][..], |globs| &globs.0);
                if let Some(wrong) = globs.iter().find(|glob| !is_pattern(glob)) {
                    let rule = format!("must have 1 to {RULE_PATTERN_BYTES_MAX} bytes");
                    return Err(refused(wrong, &rule, "change it"));
                }
                for bound in [words.min, words.max].into_iter().flatten() {
                    if !bound.is_finite() {
                        return Err(refused(&bound.to_string(), "is no number", "change it"));
                    }
                }
                if words.glob.is_some() && globs.is_empty() {
                    return Err(refused("glob", "must not be empty", "name a pattern"));
                }
                Matcher {
                    one_of,
                    glob: globs.iter().map(|glob| Pattern::new(glob)).collect(),
                    min: words.min,
                    max: words.max,
                    bytes_max: words.bytes_max,
                    absent: words.absent,
                }
            }
        };
        if matcher
            .one_of
            .iter()
            .any(|one| matches!(one, Value::Array(_) | Value::Object(_)))
        {
            let rule = "is a list or an object, and only single values are compared";
            return Err(refused("", rule, "name what is in it, as in /tags/*"));
        }
        let absent = Matcher {
            absent: Some(true),
            ..Matcher::default()
        };
        if matcher.is_empty() {
            return Err(refused(
                "",
                "says nothing",
                "write it like {glob: \"/srv/*\"}",
            ));
        }
        if matcher.absent == Some(true) && matcher != absent {
            return Err(refused(
                "absent",
                "stands beside what a value has to be",
                "keep one",
            ));
        }
        if let (Some(min), Some(max)) = (matcher.min, matcher.max)
            && min > max
        {
            return Err(refused(
                &min.to_string(),
                "is a min above the max",
                "change one",
            ));
        }
        Ok(matcher)
    }

    fn at<T>(
        &self,
        given: &Spanned<T>,
        key: &str,
        value: &str,
        rule: &str,
        remedy: &str,
    ) -> Problem {
        self.refuse(given.referenced.line(), key, value, rule, remedy)
    }

    fn wrong(&self, key: &str, value: &str, rule: &str, remedy: &str) -> Problem {
        self.refuse(self.line, key, value, rule, remedy)
    }

    fn refuse(&self, line: u64, key: &str, value: &str, rule: &str, remedy: &str) -> Problem {
        let key = match key {
            "" => self.key.clone(),
            key => format!("{}.{key}", self.key),
        };
        self.parsed.problem(Some(line), &key, value, rule, remedy)
    }
}

fn is_pattern(text: &str) -> bool {
    (1..=RULE_PATTERN_BYTES_MAX).contains(&text.len())
}

#[cfg(test)]
mod tests;
