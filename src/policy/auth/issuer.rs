//! Who issues tokens, and what has to be in them.

use super::{Algorithm, KeySet};

/// The keys of an issuer, and how good they are.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// The keys.
    pub set: KeySet,
    /// Seconds since 1970-01-01 UTC from when on they may not be used any longer; none: for ever.
    pub until_unix_s: Option<u64>,
}

impl Keys {
    /// Keys that were never had: a token of their issuer is refused until others come.
    pub fn none_yet() -> Self {
        Self {
            set: KeySet::default(),
            until_unix_s: Some(0),
        }
    }
}

/// One issuer.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// `iss` of its tokens, exactly.
    pub name: Box<str>,
    /// Of these one has to be in `aud`, exactly.
    pub audiences: Vec<Box<str>>,
    /// The algorithms that are taken.
    pub algorithms: Vec<Algorithm>,
    /// How far its clock and ours may differ, in seconds.
    pub leeway_s: u64,
    /// The claim that has roles, by its name, or by the names that lead to it with dots between them.
    pub roles_claim: Box<str>,
    /// Scopes without which nobody is let in.
    pub scopes_required: Vec<Box<str>>,
    /// Its keys.
    pub keys: Keys,
}

impl Issuer {
    /// An issuer with no keys yet, whose tokens are for this audience.
    pub fn new(name: &str, audience: &str) -> Self {
        Self {
            name: name.into(),
            audiences: vec![audience.into()],
            algorithms: Algorithm::asymmetric(),
            leeway_s: 60,
            roles_claim: "roles".into(),
            scopes_required: Vec::new(),
            keys: Keys::none_yet(),
        }
    }
}
