//! Whom a rule is about, compiled.

use std::collections::BTreeMap;

use super::argument::{Pointer, Test, claims};
use super::spec::{RoleSpec, Who};
use crate::policy::pattern::Pattern;
use crate::policy::{Identity, Proof};

/// One needed scope, and all those that contain it.
pub(super) type Scope = Vec<Box<str>>;

/// Compiled [`Who`].
#[derive(Clone, Debug, Default)]
pub(super) struct Whom {
    subjects: Vec<Pattern>,
    issuers: Vec<Pattern>,
    proofs: Vec<Proof>,
    scopes: Vec<Scope>,
    roles: Vec<Role>,
    claims: Vec<(Pointer, Test)>,
}

#[derive(Clone, Debug)]
struct Role {
    name: Box<str>,
    /// Who has it without being given it.
    who: Option<Box<Whom>>,
}

/// The scopes that contain others.
pub(super) struct Hierarchy<'h>(pub(super) &'h BTreeMap<String, Vec<String>>);

impl Hierarchy<'_> {
    /// The scope itself and all those that contain it.
    pub(super) fn that_contain(&self, scope: &str) -> Scope {
        let mut found: Scope = vec![scope.into()];
        let mut next = 0;
        while let Some(inner) = found.get(next).cloned() {
            for (outer, inners) in self.0 {
                let contains = inners.iter().any(|one| **one == *inner);
                if contains && !found.iter().any(|known| **known == **outer) {
                    found.push(outer.as_str().into());
                }
            }
            next += 1;
        }
        found
    }
}

/// Whether the identity has each of these scopes, or one that contains it.
pub(super) fn has_scopes(identity: &Identity, scopes: &[Scope]) -> bool {
    let has = |scope: &Scope| scope.iter().any(|one| identity.has_scope(one));
    scopes.iter().all(has)
}

impl Whom {
    /// Roles inside of what a role is given by are only those that keys and tokens name, so that nothing goes in a circle.
    pub(super) fn new(
        who: &Who,
        roles: &BTreeMap<String, RoleSpec>,
        hierarchy: &Hierarchy<'_>,
    ) -> Self {
        let role = |name: &String| {
            let given = roles.get(name).and_then(|role| role.who.as_ref());
            let who = given.map(|who| Box::new(Self::new(who, &BTreeMap::new(), hierarchy)));
            Role {
                name: name.as_str().into(),
                who,
            }
        };
        let scopes = who.scopes.iter();
        let claims = who.claims.iter();
        Self {
            subjects: who.subjects.clone(),
            issuers: who.issuers.clone(),
            proofs: who.proofs.clone(),
            scopes: scopes.map(|one| hierarchy.that_contain(one)).collect(),
            roles: who.roles.iter().map(role).collect(),
            claims: claims
                .map(|(pointer, matcher)| (pointer.clone(), Test::new(matcher)))
                .collect(),
        }
    }

    pub(super) fn is(&self, identity: &Identity) -> bool {
        let any = |patterns: &[Pattern], text: &str| patterns.iter().any(|one| one.matches(text));
        (self.subjects.is_empty() || any(&self.subjects, &identity.subject))
            && (self.issuers.is_empty()
                || identity
                    .issuer
                    .as_ref()
                    .is_some_and(|issuer| any(&self.issuers, issuer)))
            && (self.proofs.is_empty() || self.proofs.contains(&identity.proof))
            && has_scopes(identity, &self.scopes)
            && (self.roles.is_empty() || self.roles.iter().any(|role| role.has(identity)))
            && self
                .claims
                .iter()
                .all(|(pointer, test)| claims(&identity.claims, pointer, test))
    }
}

impl Role {
    fn has(&self, identity: &Identity) -> bool {
        identity.roles.contains(&self.name) || self.who.as_ref().is_some_and(|who| who.is(identity))
    }
}
