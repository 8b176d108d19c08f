//! The signature algorithms that are read, and what each needs of a key.
//!
//! Source: RFC 7518 section 3; RFC 8037 section 3.1; RFC 9864.

use jsonwebtoken::Algorithm as Library;

/// A signature algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Algorithm(pub(super) Library);

/// What a key has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyKind {
    Rsa,
    P256,
    P384,
    Ed25519,
    Secret,
}

/// Every one that is read, by its name. Of two names for one, the first is the one we say.
const ALL: [(&str, Library, KeyKind); 13] = [
    ("RS256", Library::RS256, KeyKind::Rsa),
    ("RS384", Library::RS384, KeyKind::Rsa),
    ("RS512", Library::RS512, KeyKind::Rsa),
    ("PS256", Library::PS256, KeyKind::Rsa),
    ("PS384", Library::PS384, KeyKind::Rsa),
    ("PS512", Library::PS512, KeyKind::Rsa),
    ("ES256", Library::ES256, KeyKind::P256),
    ("ES384", Library::ES384, KeyKind::P384),
    ("EdDSA", Library::EdDSA, KeyKind::Ed25519),
    ("Ed25519", Library::EdDSA, KeyKind::Ed25519),
    ("HS256", Library::HS256, KeyKind::Secret),
    ("HS384", Library::HS384, KeyKind::Secret),
    ("HS512", Library::HS512, KeyKind::Secret),
];

impl Algorithm {
    /// The algorithm of this name, spelt exactly so: `none`, in whatever spelling, is none.
    pub fn named(name: &str) -> Option<Self> {
        let found = ALL.iter().find(|(known, ..)| *known == name);
        found.map(|(_, library, _)| Self(*library))
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        self.entry().0
    }

    /// Those that are taken where an operator names none: with a public key.
    pub fn asymmetric() -> Vec<Self> {
        let all = ALL.iter().filter(|(.., kind)| *kind != KeyKind::Secret);
        let mut all: Vec<_> = all.map(|(_, library, _)| Self(*library)).collect();
        all.dedup();
        all
    }

    /// The one that is taken where an operator names none and gives a secret.
    pub fn with_secret() -> Self {
        Self(Library::HS256)
    }

    /// Whether who can verify can sign, too.
    pub fn is_symmetric(self) -> bool {
        self.key_kind() == KeyKind::Secret
    }

    /// How long a secret has to be at least: as its hash.
    ///
    /// Units: bytes. Source: RFC 7518 section 3.2.
    pub fn secret_bytes_min(self) -> usize {
        match self.0 {
            Library::HS512 => 64,
            Library::HS384 => 48,
            _ => 32,
        }
    }

    pub(super) fn key_kind(self) -> KeyKind {
        self.entry().2
    }

    fn entry(self) -> (&'static str, Library, KeyKind) {
        let found = ALL.iter().find(|(_, library, _)| *library == self.0);
        // One is only made of an entry.
        *found.unwrap_or(&ALL[0])
    }
}
