//! Who a caller is, once that is known.

use std::fmt::Write as _;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::mcp::Principal;

/// How a caller showed who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Proof {
    /// It did not have to.
    None,
    /// An API key.
    ApiKey,
    /// A signed token.
    Jwt,
    /// A client certificate.
    Certificate,
}

impl Proof {
    /// The word of logs and rules.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ApiKey => "api-key",
            Self::Jwt => "jwt",
            Self::Certificate => "certificate",
        }
    }
}

/// An authenticated caller.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// What sessions, tasks and states are bound to: a digest of proof, issuer and subject.
    pub principal: Principal,
    /// The name of the key, the token's `sub`, the certificate's subject.
    pub subject: Box<str>,
    /// The token's `iss`, if it was one.
    pub issuer: Option<Box<str>>,
    /// How it showed this.
    pub proof: Proof,
    /// What the token or key may be used for.
    pub scopes: Vec<Box<str>>,
    /// Roles that the key or the token's claims name; rules may add others.
    pub roles: Vec<Box<str>>,
    /// The named rate tier of the key, if it has one.
    pub tier: Option<Box<str>>,
    /// Every claim of the token; empty otherwise.
    pub claims: Map<String, Value>,
    /// Seconds since 1970-01-01 UTC from when on the proof is worth nothing.
    pub expires_unix_s: Option<u64>,
}

impl Identity {
    /// Whoever it is, where nobody is asked.
    pub fn anonymous() -> Self {
        Self {
            principal: Principal::ANONYMOUS,
            subject: "anonymous".into(),
            issuer: None,
            proof: Proof::None,
            scopes: Vec::new(),
            roles: Vec::new(),
            tier: None,
            claims: Map::new(),
            expires_unix_s: None,
        }
    }

    /// The principal of this subject: 126 bits of a SHA-256 over the length-prefixed parts, never the anonymous one.
    pub fn principal_of(proof: Proof, issuer: Option<&str>, subject: &str) -> Principal {
        let mut hash = Sha256::new();
        for part in [proof.as_str(), issuer.unwrap_or_default(), subject] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let digest = hash.finalize();
        let mut number = [0; 16];
        number.copy_from_slice(&digest[..16]);
        let principal = Principal(u128::from_le_bytes(number));
        match principal == Principal::ANONYMOUS || principal.0 == u128::MAX {
            true => Principal(1),
            false => principal,
        }
    }

    /// The name for logs and audit: `jwt:https://issuer#subject`, `api-key:name`, `anonymous`.
    pub fn name(&self) -> String {
        let mut name = String::new();
        match (self.proof, &self.issuer) {
            (Proof::None, _) => name.push_str(&self.subject),
            (proof, None) => {
                let _ = write!(name, "{}:{}", proof.as_str(), self.subject);
            }
            (proof, Some(issuer)) => {
                let _ = write!(name, "{}:{issuer}#{}", proof.as_str(), self.subject);
            }
        }
        name
    }

    /// Whether it has this scope.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|own| **own == *scope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_of_other_issuers_and_proofs_are_other_principals() {
        let of = Identity::principal_of;
        let ann = of(Proof::Jwt, Some("https://a"), "ann");
        assert_eq!(ann, of(Proof::Jwt, Some("https://a"), "ann"));
        assert_ne!(ann, of(Proof::Jwt, Some("https://b"), "ann"));
        assert_ne!(ann, of(Proof::Jwt, Some("https://aa"), "nn"));
        assert_ne!(ann, of(Proof::ApiKey, Some("https://a"), "ann"));
        assert_ne!(ann, Principal::ANONYMOUS);
    }
}
