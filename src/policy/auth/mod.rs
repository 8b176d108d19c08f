//! Who calls: API keys, signed tokens, client certificates.
//!
//! ```text
//!   Authorization ─▶ bearer ─┬─ digest known ─▶ API key ──┐
//!                            └─ issuer known ─▶ token ────┼─▶ Identity, or a Fault
//!   certificate (verified by TLS) ────────────────────────┘
//! ```
//!
//! Invariants: what is not shown, not understood or not current is refused; a refusal says what is wrong with what was shown and never
//! what would have been right; a header counts before the certificate beside it, which makes nothing good that is wrong there; no text
//! of a token or key is kept or logged, only its digest; time and keys are arguments.
//!
//! Source: RFC 6750, RFC 7515 to 7519, RFC 8725, RFC 9068, RFC 9728; MCP 2026-07-28 basic/authorization.

mod algorithm;
mod authenticator;
mod bearer;
mod certificate;
mod claims;
mod fault;
mod issuer;
mod key;
mod keyset;
mod resource;
#[cfg(test)]
pub(crate) mod tests;
mod token;

pub use algorithm::Algorithm;
pub use authenticator::Authenticator;
pub use bearer::BEARER_BYTES_MAX;
pub use certificate::{CertificateClient, CertificateRules, NameFrom};
pub use fault::Fault;
pub use issuer::{Issuer, Keys};
pub use key::{ApiKey, ApiKeys, KEY_RANDOM_BYTES, hash_of, is_key_name, key_text, parse_hash};
pub use keyset::KeySet;
pub use resource::{Resource, WELL_KNOWN, challenge};

use super::identity::Identity;
use bearer::Bearer;

/// Everything that callers are recognised by. Immutable: other keys make another one.
#[derive(Clone, Debug, Default)]
pub struct Verifier {
    /// API keys.
    pub keys: ApiKeys,
    /// Who may issue tokens.
    pub issuers: Vec<Issuer>,
    /// How client certificates are read; none: they are not.
    pub certificates: Option<CertificateRules>,
    /// Whether whoever shows nothing is let in as nobody in particular.
    pub admits_anonymous: bool,
    /// Whether there may be keys later: then a caller is asked, also while there are none.
    pub expects_keys: bool,
}

impl Verifier {
    /// One that lets everybody in as nobody in particular.
    pub fn anonymous() -> Self {
        Self {
            admits_anonymous: true,
            ..Self::default()
        }
    }

    /// Whether nobody is asked who he is.
    pub fn asks_nobody(&self) -> bool {
        self.admits_anonymous
            && !self.expects_keys
            && self.keys.is_empty()
            && self.issuers.is_empty()
            && self.certificates.is_none()
    }

    /// Who shows this. What stands in a header counts before a certificate.
    ///
    /// Shape: `authorization` is the value of the header; `certificate` is the DER of one that TLS has verified.
    /// Units: `now_unix_s` is seconds since 1970-01-01 UTC.
    /// Errors: why it is nobody who is known here.
    pub fn identify(
        &self,
        authorization: Option<&[u8]>,
        certificate: Option<&[u8]>,
        now_unix_s: u64,
    ) -> Result<Identity, Fault> {
        if self.asks_nobody() {
            // It does not matter what anybody says.
            return Ok(Identity::anonymous());
        }
        if let Some(value) = authorization {
            let bearer = Bearer::read(value)?;
            return self.identify_bearer(bearer, &key::digest_of(bearer.text()), now_unix_s);
        }
        match (certificate, &self.certificates) {
            (Some(der), Some(rules)) => rules.identity(der, now_unix_s),
            _ if self.admits_anonymous => Ok(Identity::anonymous()),
            _ => Err(Fault::Missing),
        }
    }

    /// The same for what stands behind `Bearer`, whose digest this is.
    fn identify_bearer(
        &self,
        bearer: Bearer<'_>,
        digest: &[u8; 32],
        now_unix_s: u64,
    ) -> Result<Identity, Fault> {
        match self.keys.identity(digest, now_unix_s) {
            Some(found) => found,
            None if self.issuers.is_empty() => Err(Fault::Unknown),
            None => token::verify(&self.issuers, bearer.text(), now_unix_s),
        }
    }
}

/// Holds for any header, token, certificate and key set: no panic, and nobody is let in by chance.
///
/// For fuzzing and property tests.
pub fn check(data: &[u8]) {
    // The public key of RFC 8037, appendix A.2.
    let keys = br#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"x","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    let keys = Keys {
        set: KeySet::parse(keys).unwrap_or_default(),
        until_unix_s: None,
    };
    let verifier = Verifier {
        keys: vec![ApiKey::new("ann", [7; 32])].into(),
        issuers: vec![Issuer {
            keys,
            ..Issuer::new("https://issuer.example", "https://me.example/mcp")
        }],
        certificates: Some(CertificateRules::default()),
        ..Verifier::default()
    };
    let authenticator = Authenticator::new(verifier.clone(), None);
    let mut header = b"Bearer ".to_vec();
    header.extend_from_slice(data);
    for authorization in [Some(data), Some(header.as_slice()), None] {
        let found = verifier.identify(authorization, None, 1_700_000_000);
        let again = authenticator.identify(authorization, None, 1_700_000_000);
        assert!(found.is_err(), "without a key nobody is known");
        assert_eq!(found.err(), again.err());
    }
    let _ = verifier.identify(None, Some(data), 1_700_000_000);
    let set = KeySet::parse(data).unwrap_or_default();
    assert!(set.len() + set.passed_over().len() <= data.len());
}
