//! From when until when a certificate is good, for the operator's eyes: clients decide by their own clocks.

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};

/// Bytes of a subject that the log shows.
const SUBJECT_BYTES_MAX: usize = 200;

/// What the log says about a certificate.
pub(super) struct Validity {
    /// Whose it is.
    pub(super) subject: String,
    /// Its last moment.
    pub(super) until: String,
    /// The same in seconds since 1970.
    pub(super) expires_unix_s: i64,
    /// Why it is not good now.
    pub(super) fault: Option<&'static str>,
}

/// None: it cannot be read that far.
pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Validity> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let (validity, now) = (certificate.validity(), ASN1Time::now());
    let fault = if now < validity.not_before {
        Some("is not good yet")
    } else if now > validity.not_after {
        Some("has expired")
    } else {
        None
    };
    let subject = certificate.subject().to_string();
    let subject = subject.chars().flat_map(char::escape_debug);
    Some(Validity {
        subject: subject.take(SUBJECT_BYTES_MAX).collect(),
        until: validity.not_after.to_string(),
        expires_unix_s: validity.not_after.timestamp(),
        fault,
    })
}
