//! Narrowings of everybody's permissions to some callers'.

use std::sync::Arc;

use super::Policy;
use crate::policy::Identity;
use crate::policy::pattern::{Fit, Pattern};

/// Which callers. What is empty is about everybody; what is not, has to fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Callers {
    /// The subject matches one of these.
    pub subjects: Vec<Pattern>,
    /// The issuer matches one of these.
    pub issuers: Vec<Pattern>,
    /// It has all of these scopes.
    pub scopes: Vec<String>,
    /// It has one of these roles.
    pub roles: Vec<String>,
}

impl Callers {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether this is one of them; what cannot be told is `otherwise`.
    fn have(&self, identity: &Identity, otherwise: bool) -> bool {
        let one_of = |patterns: &[Pattern], text: Option<&str>| {
            let fits = |pattern: &Pattern, text| match pattern.fit(text) {
                Fit::Yes => true,
                Fit::No => false,
                Fit::Untried => otherwise,
            };
            patterns.is_empty()
                || text.is_some_and(|text| patterns.iter().any(|pattern| fits(pattern, text)))
        };
        let has_role = |role: &String| identity.roles.iter().any(|own| **own == **role);
        one_of(&self.subjects, Some(&identity.subject))
            && one_of(&self.issuers, identity.issuer.as_deref())
            && self.scopes.iter().all(|scope| identity.has_scope(scope))
            && (self.roles.is_empty() || self.roles.iter().any(has_role))
    }
}

/// One narrowing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Its name.
    pub name: Box<str>,
    /// Whom it is about.
    pub who: Callers,
    /// Of these, whom it is not about.
    pub except: Option<Callers>,
    /// What it leaves.
    pub policy: Arc<Policy>,
}

/// Every narrowing that there is. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profiles(Arc<[Profile]>);

impl Profiles {
    /// These; their order decides which is named where several deny.
    pub fn new(profiles: Vec<Profile>) -> Self {
        Self(profiles.into())
    }

    /// Whether there is none: then nobody's permissions are narrowed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What narrows the permissions of this caller.
    pub fn of(&self, identity: &Identity) -> Arc<[Arc<Policy>]> {
        let is_about = |profile: &&Profile| {
            let is_excepted = profile
                .except
                .as_ref()
                .is_some_and(|except| except.have(identity, false));
            profile.who.have(identity, true) && !is_excepted
        };
        self.0
            .iter()
            .filter(is_about)
            .map(|profile| Arc::clone(&profile.policy))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Proof;

    fn profile(name: &str, who: Callers, except: Option<Callers>) -> Profile {
        let policy = Arc::new(Policy::nothing(name));
        Profile {
            name: name.into(),
            who,
            except,
            policy,
        }
    }

    #[test]
    fn a_narrowing_is_about_the_callers_it_names_and_not_about_those_it_excepts() {
        let roles = |role: &str| Callers {
            roles: vec![role.to_owned()],
            ..Callers::default()
        };
        let profiles = Profiles::new(vec![
            profile("all but admins", Callers::default(), Some(roles("admin"))),
            profile("guests", roles("guest"), None),
            profile(
                "bots of one issuer",
                Callers {
                    subjects: vec![Pattern::new("bot-*")],
                    issuers: vec![Pattern::new("https://a.*")],
                    scopes: vec!["tools".to_owned()],
                    ..Callers::default()
                },
                None,
            ),
        ]);
        let names = |identity: &Identity| -> Vec<String> {
            profiles
                .of(identity)
                .iter()
                .map(|policy| policy.name().to_owned())
                .collect()
        };
        let mut identity = Identity::anonymous();
        assert_eq!(names(&identity), ["all but admins"]);
        identity.roles = vec!["admin".into(), "guest".into()];
        assert_eq!(names(&identity), ["guests"]);
        let mut bot = Identity {
            proof: Proof::Jwt,
            subject: "bot-1".into(),
            ..Identity::anonymous()
        };
        bot.issuer = Some("https://a.com".into());
        assert_eq!(names(&bot).len(), 1);
        bot.scopes = vec!["tools".into()];
        assert_eq!(names(&bot), ["all but admins", "bots of one issuer"]);
    }
}
