//! Who asked for a task, as far as that is kept: what decides about its permissions when it runs, which may be after a restart.

use serde::{Deserialize, Serialize};

use crate::policy::{Identity, Proof};

/// The facts about a caller that narrowings of permissions look at. Nothing that proves it: no token, no key, no claim.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Who {
    subject: Box<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issuer: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    scopes: Vec<Box<str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    roles: Vec<Box<str>>,
}

impl Who {
    /// The text of an object; none for whoever was not asked.
    pub fn write(identity: &Identity) -> Option<Box<[u8]>> {
        if identity.proof == Proof::None {
            return None;
        }
        let who = Self {
            subject: identity.subject.clone(),
            issuer: identity.issuer.clone(),
            scopes: identity.scopes.clone(),
            roles: identity.roles.clone(),
        };
        serde_json::to_vec(&who).ok().map(Vec::into_boxed_slice)
    }

    /// An identity with these facts, and without its proof. None, if the text is not one that was written here.
    pub fn read(text: &[u8]) -> Option<Identity> {
        let who: Self = serde_json::from_slice(text).ok()?;
        Some(Identity {
            subject: who.subject,
            issuer: who.issuer,
            scopes: who.scopes,
            roles: who.roles,
            ..Identity::anonymous()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_narrowings_look_at_is_kept_and_nothing_else() {
        let mut identity = Identity::anonymous();
        assert_eq!(Who::write(&identity), None);
        identity.proof = Proof::Jwt;
        identity.subject = "ann".into();
        identity.issuer = Some("https://a".into());
        identity.scopes = vec!["read".into()];
        identity.roles = vec!["guest".into()];
        identity.claims.insert("email".to_owned(), "a@b".into());
        let text = Who::write(&identity).unwrap();
        assert!(!String::from_utf8_lossy(&text).contains("a@b"));
        let read = Who::read(&text).unwrap();
        assert_eq!(
            (&read.subject, &read.issuer),
            (&identity.subject, &identity.issuer)
        );
        assert_eq!(
            (&read.scopes, &read.roles),
            (&identity.scopes, &identity.roles)
        );
        assert!(Who::read(b"{}").is_none() && Who::read(b"[").is_none());
    }
}
