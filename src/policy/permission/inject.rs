//! Headers that the host adds to a request that leaves, so that a component never holds the secret in it.

use std::path::Path;

use crate::secret::{Secret, SecretRef};

use super::document::Inject;
use super::fault::Wrong;
use super::rule::is_token;

/// Where the secret stands in the header's value.
const PLACE: &str = "{secret}";

/// What frames a message or says for whom it is; a secret there would change what is sent, not who sends it.
const NEVER: [&str; 10] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "content-type",
];

/// One header and its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injection {
    /// The header's name, in lower case.
    pub header: Box<str>,
    before: Box<str>,
    after: Box<str>,
    /// Where the secret is kept.
    pub secret: SecretRef,
}

impl Injection {
    pub(super) fn parse(inject: &Inject) -> Result<Self, Wrong> {
        let header = inject.header.to_ascii_lowercase();
        if !is_token(&header) || NEVER.contains(&header.as_str()) {
            let rule = "is not a header that a secret can be sent in";
            return Err(Wrong::new(
                &inject.header,
                rule,
                "use one like Authorization or X-Api-Key",
            ));
        }
        let value = inject.value.as_deref().unwrap_or(PLACE);
        let place = value
            .split_once(PLACE)
            .filter(|(_, after)| !after.contains(PLACE));
        let Some((before, after)) = place else {
            let rule = "does not have {secret} in it exactly once";
            return Err(Wrong::new(value, rule, "write it like Bearer {secret}"));
        };
        if !value.bytes().all(|byte| (b' '..0x7f).contains(&byte)) {
            let rule = "has characters that no header has";
            return Err(Wrong::new(value, rule, "use printable ASCII"));
        }
        let Some(secret) = inject.secret.place() else {
            return Err(no_place());
        };
        Ok(Self {
            header: header.into(),
            before: before.into(),
            after: after.into(),
            secret,
        })
    }

    /// The header's value with the secret in it. Whoever sends it marks it as sensitive and checks that no line end is in the secret.
    pub fn value(&self, secret: &Secret) -> Secret {
        Secret::new(format!("{}{}{}", self.before, secret.reveal(), self.after))
    }

    pub(super) fn at(mut self, base: &Path) -> Self {
        self.secret = based(self.secret, base);
        self
    }
}

/// A secret's file of a relative path is beside the policy.
pub(super) fn based(secret: SecretRef, base: &Path) -> SecretRef {
    match secret {
        SecretRef::File(path) => SecretRef::File(base.join(path)),
        other => other,
    }
}

pub(super) fn no_place() -> Wrong {
    let rule = "does not have exactly one of env, file, credential and secret";
    Wrong::new("secret", rule, "write it like {env: NAME}")
}
