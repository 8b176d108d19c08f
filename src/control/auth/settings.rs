//! What a configuration says about who may call a listener.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::policy::auth::{Algorithm, ApiKey, CertificateRules, Issuer, Keys};
use crate::secret::SecretRef;

/// Who may call one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthOptions {
    /// API keys of the configuration itself.
    pub keys: Vec<ApiKey>,
    /// A file with others, which is read again whenever it changes.
    pub keys_file: Option<PathBuf>,
    /// Issuers of tokens.
    pub issuers: Vec<IssuerOptions>,
    /// How client certificates are read; none: they are not.
    pub certificates: Option<CertificateRules>,
    /// Whether whoever shows nothing is let in. Only where nobody else can reach the listener.
    pub admits_anonymous: bool,
}

impl AuthOptions {
    /// Nobody is asked.
    pub fn none() -> Self {
        Self {
            keys: Vec::new(),
            keys_file: None,
            issuers: Vec::new(),
            certificates: None,
            admits_anonymous: true,
        }
    }

    /// The files that are read, at first and whenever they change.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let of_issuers = self
            .issuers
            .iter()
            .filter_map(|issuer| match &issuer.source {
                KeySource::File(path) | KeySource::Secret(SecretRef::File(path)) => Some(path),
                KeySource::Url { ca, .. } => ca.as_ref(),
                KeySource::Secret(_) => None,
            });
        self.keys_file
            .iter()
            .chain(of_issuers)
            .map(PathBuf::as_path)
    }

    /// Whether there is any way to show who one is.
    pub fn has_a_way(&self) -> bool {
        !self.keys.is_empty()
            || self.keys_file.is_some()
            || !self.issuers.is_empty()
            || self.certificates.is_some()
    }
}

/// Where an issuer's keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A JWKS document in a file.
    File(PathBuf),
    /// A JWKS document that is fetched; `ca` has the roots that are trusted instead of the system's.
    Url {
        /// Its address.
        url: url::Url,
        /// PEM file.
        ca: Option<PathBuf>,
    },
    /// One secret, which whoever signs has, too.
    Secret(SecretRef),
}

/// One issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerOptions {
    /// `iss` of its tokens.
    pub name: Box<str>,
    /// Of these one has to be in `aud`.
    pub audiences: Vec<Box<str>>,
    /// The algorithms that are taken.
    pub algorithms: Vec<Algorithm>,
    /// How far its clock and ours may differ.
    pub leeway: Duration,
    /// The claim that has roles.
    pub roles_claim: Box<str>,
    /// Scopes without which nobody is let in.
    pub scopes_required: Vec<Box<str>>,
    /// Where its keys come from.
    pub source: KeySource,
    /// How often they are fetched.
    pub refresh: Duration,
    /// How long they are used after they could be had last.
    pub max_stale: Duration,
}

impl IssuerOptions {
    /// The issuer with these keys.
    pub(super) fn issuer(&self, keys: Keys) -> Issuer {
        Issuer {
            name: self.name.clone(),
            audiences: self.audiences.clone(),
            algorithms: self.algorithms.clone(),
            leeway_s: self.leeway.as_secs(),
            roles_claim: self.roles_claim.clone(),
            scopes_required: self.scopes_required.clone(),
            keys,
        }
    }
}
