//! `tls:` and `admin_tls:`: what a listener proves itself with, and what it asks its clients for.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{Overrides, Parsed};
use crate::error::Problem;

/// One of the two keys as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TlsDocument {
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    client_ca: Option<PathBuf>,
    client_certificates: Option<Spanned<ClientCertificates>>,
    min_version: Option<TlsVersion>,
}

/// Whether clients prove who they are with a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// They are not asked for one.
    #[default]
    None,
    /// They are asked for one, and served without it, too; one that is wrong is refused.
    Optional,
    /// Without one they are not served.
    Required,
}

/// The lowest version that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum TlsVersion {
    /// 1.2, and 1.3 with whoever speaks it.
    #[default]
    #[serde(rename = "1.2")]
    V1_2,
    /// 1.3 alone.
    #[serde(rename = "1.3")]
    V1_3,
}

/// TLS of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The key of the configuration that says so: `tls` or `admin_tls`.
    pub section: &'static str,
    /// PEM file of the certificate, with those behind it that lead from it to a root.
    pub cert: PathBuf,
    /// PEM file of the certificate's key.
    pub key: PathBuf,
    /// PEM file of the roots that clients' certificates lead to.
    pub client_ca: Option<PathBuf>,
    /// Whether clients are asked for a certificate.
    pub client_certificates: ClientCertificates,
    /// The lowest version that is spoken.
    pub min_version: TlsVersion,
}

impl Parsed<'_> {
    /// TLS of the data listeners: the file's, with the certificate that the command line names.
    pub(super) fn tls(&self, overrides: &Overrides) -> Result<Option<Tls>, Problem> {
        let flags = [&overrides.tls_cert, &overrides.tls_key].map(Option::as_deref);
        self.listener_tls("tls", self.document.tls.as_ref(), flags)
    }

    /// TLS of the admin listener.
    pub(super) fn admin_tls(&self) -> Result<Option<Tls>, Problem> {
        self.listener_tls("admin_tls", self.document.admin_tls.as_ref(), [None, None])
    }

    fn listener_tls(
        &self,
        section: &'static str,
        given: Option<&Spanned<TlsDocument>>,
        flags: [Option<&Path>; 2],
    ) -> Result<Option<Tls>, Problem> {
        let line = given.map(|given| given.referenced.line());
        let document = given.map(|given| &given.value);
        if document.is_none() && flags == [None, None] {
            return Ok(None);
        }
        let path = |key: Option<&PathBuf>| key.map(|path| self.relative(path));
        let [cert, key] = flags.map(|flag| flag.map(Path::to_owned));
        let cert = cert.or_else(|| path(document.and_then(|tls| tls.cert.as_ref())));
        let key = key.or_else(|| path(document.and_then(|tls| tls.key.as_ref())));
        let (Some(cert), Some(key)) = (cert, key) else {
            let rule = "needs both a certificate and its key";
            let remedy = "name the PEM files in cert and key, or with --tls-cert and --tls-key";
            return Err(self.problem(line, section, "", rule, remedy));
        };
        let client_ca = path(document.and_then(|tls| tls.client_ca.as_ref()));
        let asked = document.and_then(|tls| tls.client_certificates.as_ref());
        let client_certificates = match (asked.map(|asked| asked.value), &client_ca) {
            (None, None) => ClientCertificates::None,
            // Who names roots means to ask.
            (None, Some(_)) => ClientCertificates::Required,
            (Some(asked), _) => asked,
        };
        let asks = client_certificates != ClientCertificates::None;
        let line = asked.map(|asked| asked.referenced.line()).or(line);
        let thing = format!("{section}.client_certificates");
        if asks && client_ca.is_none() {
            let rule = "needs roots that clients' certificates lead to";
            let remedy = format!("name a PEM file in {section}.client_ca");
            return Err(self.problem(line, &thing, "", rule, &remedy));
        }
        if !asks && client_ca.is_some() {
            let rule = "leaves client_ca without a use";
            let remedy = "write `optional` or `required`, or remove client_ca";
            return Err(self.problem(line, &thing, "none", rule, remedy));
        }
        Ok(Some(Tls {
            section,
            cert,
            key,
            client_ca,
            client_certificates,
            min_version: document.and_then(|tls| tls.min_version).unwrap_or_default(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn parse(text: &str) -> Result<Config, Problem> {
        Config::parse(text, Path::new("/etc/m/margay.yaml"), &Overrides::default())
    }

    #[test]
    fn a_listener_has_what_its_section_says_and_the_other_one_does_not() {
        let config = parse("tls: {cert: a.pem, key: /b.key, min_version: 1.3}").unwrap();
        let tls = config.tls.unwrap();
        assert_eq!(tls.cert, Path::new("/etc/m/a.pem"));
        assert_eq!(tls.key, Path::new("/b.key"));
        assert_eq!(tls.min_version, TlsVersion::V1_3);
        assert_eq!(tls.client_certificates, ClientCertificates::None);
        assert_eq!(config.admin_tls, None);
        let config = parse("admin_tls: {cert: a.pem, key: b.key, client_ca: c.pem}").unwrap();
        let tls = config.admin_tls.unwrap();
        assert_eq!(tls.client_certificates, ClientCertificates::Required);
        assert_eq!(
            (tls.section, tls.min_version),
            ("admin_tls", TlsVersion::V1_2)
        );
        assert_eq!(config.tls, None);
        for version in ["\"1.2\"", "1.2"] {
            let text = format!("tls: {{cert: a, key: b, min_version: {version}}}");
            assert_eq!(
                parse(&text).unwrap().tls.unwrap().min_version,
                TlsVersion::V1_2
            );
        }
    }

    #[test]
    fn half_a_section_is_refused_with_what_is_missing() {
        for (text, words) in [
            ("tls: {cert: a.pem}", "line 1: tls: needs both"),
            ("admin_tls: {key: a.pem}", "admin_tls: needs both"),
            (
                "tls: {cert: a, key: b,\n  client_certificates: optional}",
                "line 2",
            ),
            (
                "tls: {cert: a, key: b, client_certificates: required}",
                "tls.client_ca",
            ),
            (
                "tls: {cert: a, key: b, client_ca: c, client_certificates: none}",
                "without a use",
            ),
            ("tls: {cert: a, key: b, min_version: 1.1}", "1.2"),
            (
                "tls: {cert: a, key: b, client_certificates: some}",
                "optional",
            ),
            ("tls: {cert: a, key: b, certs: c}", "did you mean `cert`?"),
        ] {
            let refused = parse(text).unwrap_err().to_string();
            assert!(refused.contains(words), "{text}: {refused}");
        }
    }

    #[test]
    fn the_command_line_names_another_certificate() {
        let overrides = Overrides {
            tls_cert: Some("x.pem".into()),
            tls_key: Some("x.key".into()),
            ..Overrides::default()
        };
        let path = Path::new("/etc/m/margay.yaml");
        let tls = Config::parse("", path, &overrides).unwrap().tls.unwrap();
        assert_eq!((tls.cert, tls.key), ("x.pem".into(), "x.key".into()));
        let text = "tls: {cert: a, key: b, client_ca: c}";
        let tls = Config::parse(text, path, &overrides).unwrap().tls.unwrap();
        assert_eq!(tls.cert, Path::new("x.pem"));
        assert_eq!(tls.client_ca, Some("/etc/m/c".into()));
        let overrides = Overrides {
            tls_key: None,
            ..overrides
        };
        let refused = Config::parse("", path, &overrides).unwrap_err();
        assert!(refused.to_string().contains("--tls-key"), "{refused}");
    }
}
