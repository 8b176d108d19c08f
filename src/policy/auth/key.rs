//! API keys: long random texts of which only the digest is kept.
//!
//! A key has 256 random bits, so its digest needs no salt and no slow hash: there is nothing to guess. A digest that is looked up
//! cannot be steered by whoever sends keys, so what the time of a look-up tells of the digests there are is of no use.

use std::fmt::Write as _;
use std::ops::Deref;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Fault;
use crate::policy::identity::{Identity, Proof};

/// What a digest is written with in a configuration.
const PREFIX: &str = "sha256:";

/// Bytes of a key's name.
const NAME_BYTES_MAX: usize = 64;

/// Random bytes of a key.
pub const KEY_RANDOM_BYTES: usize = 32;

/// One key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Whose it is.
    pub name: Box<str>,
    /// SHA-256 of the key's text.
    pub digest: [u8; 32],
    /// What it may be used for.
    pub scopes: Vec<Box<str>>,
    /// Its roles.
    pub roles: Vec<Box<str>>,
    /// Its rate tier.
    pub tier: Option<Box<str>>,
    /// Seconds since 1970-01-01 UTC from when on it is worth nothing.
    pub expires_unix_s: Option<u64>,
}

impl ApiKey {
    /// A key without scopes and roles that never expires.
    pub fn new(name: &str, digest: [u8; 32]) -> Self {
        Self {
            name: name.into(),
            digest,
            scopes: Vec::new(),
            roles: Vec::new(),
            tier: None,
            expires_unix_s: None,
        }
    }

    fn identity(&self, now_unix_s: u64) -> Result<Identity, Fault> {
        if self
            .expires_unix_s
            .is_some_and(|expires| now_unix_s >= expires)
        {
            return Err(Fault::Expired);
        }
        Ok(Identity {
            principal: Identity::principal_of(Proof::ApiKey, None, &self.name),
            subject: self.name.clone(),
            proof: Proof::ApiKey,
            scopes: self.scopes.clone(),
            roles: self.roles.clone(),
            tier: self.tier.clone(),
            expires_unix_s: self.expires_unix_s,
            ..Identity::anonymous()
        })
    }
}

/// API keys, in the order of their digests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiKeys(Vec<ApiKey>);

impl ApiKeys {
    /// The caller who has the key of this digest; none if there is no such key.
    pub(super) fn identity(
        &self,
        digest: &[u8; 32],
        now_unix_s: u64,
    ) -> Option<Result<Identity, Fault>> {
        let head = head_of(digest);
        let first = self.0.partition_point(|key| head_of(&key.digest) < head);
        let same_head = self.0[first..]
            .iter()
            .take_while(|key| head_of(&key.digest) == head);
        let key = same_head
            .into_iter()
            .find(|key| key.digest.ct_eq(digest).into())?;
        Some(key.identity(now_unix_s))
    }
}

/// The first bytes of a digest, compared in one step.
fn head_of(digest: &[u8; 32]) -> u64 {
    digest.first_chunk().copied().map_or(0, u64::from_be_bytes)
}

impl From<Vec<ApiKey>> for ApiKeys {
    fn from(mut keys: Vec<ApiKey>) -> Self {
        keys.sort_by_key(|key| key.digest);
        Self(keys)
    }
}

impl Deref for ApiKeys {
    type Target = [ApiKey];

    fn deref(&self) -> &[ApiKey] {
        &self.0
    }
}

pub(super) fn digest_of(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// The text of a key: its name can be read in it, so that a key that is found somewhere can be revoked.
pub fn key_text(name: &str, random: &[u8; KEY_RANDOM_BYTES]) -> String {
    format!("mgy_{name}_{}", URL_SAFE_NO_PAD.encode(random))
}

/// Whether a key may be called so: 1 to 64 letters, digits, `-`, `_` and `.`.
pub fn is_key_name(name: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(fine)
}

/// The digest of a key as a configuration has it.
pub fn hash_of(key: &str) -> String {
    let mut text = PREFIX.to_owned();
    for byte in digest_of(key) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Reads a digest as a configuration has it.
pub fn parse_hash(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_prefix(PREFIX)?;
    if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut digest = [0; 32];
    for (index, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(digest)
}
