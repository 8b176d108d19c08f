//! Client certificates, which TLS has verified: who they are.

use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::Fault;
use crate::policy::identity::{Identity, Proof};

/// Where a certificate's name stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NameFrom {
    /// The common name of its subject.
    #[default]
    CommonName,
    /// A URI of its alternative names, as SPIFFE has it.
    Uri,
    /// A DNS name of them.
    Dns,
    /// A mail address of them.
    Email,
}

/// What a client has that is known by its certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateClient {
    /// The name in the certificate, exactly.
    pub name: Box<str>,
    /// What it may be used for.
    pub scopes: Vec<Box<str>>,
    /// Its roles.
    pub roles: Vec<Box<str>>,
    /// Its rate tier.
    pub tier: Option<Box<str>>,
}

/// How certificates are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateRules {
    /// Where the name stands.
    pub name_from: NameFrom,
    /// Those that are known; if there are any, nobody else is let in.
    pub clients: Vec<CertificateClient>,
}

impl CertificateRules {
    pub(super) fn identity(&self, der: &[u8], now_unix_s: u64) -> Result<Identity, Fault> {
        let unreadable = Fault::Form("the client certificate cannot be read");
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| unreadable.clone())?;
        if !rest.is_empty() {
            return Err(unreadable);
        }
        let expires_unix_s =
            u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0);
        // A connection may outlive the certificate that it was opened with.
        if now_unix_s > expires_unix_s {
            return Err(Fault::Expired);
        }
        let (name, client) = self.known(self.names(&certificate)?)?;
        let client = client.cloned().unwrap_or_default();
        let issuer = certificate.issuer().to_string();
        Ok(Identity {
            principal: Identity::principal_of(Proof::Certificate, Some(&issuer), name),
            subject: name.into(),
            issuer: Some(issuer.into()),
            proof: Proof::Certificate,
            scopes: client.scopes,
            roles: client.roles,
            tier: client.tier,
            expires_unix_s: Some(expires_unix_s.saturating_add(1)),
            ..Identity::anonymous()
        })
    }

    /// The one name that counts: the only one, or of several the only one that is known.
    fn known<'n>(
        &self,
        names: Vec<&'n str>,
    ) -> Result<(&'n str, Option<&CertificateClient>), Fault> {
        let client_of = |name: &str| self.clients.iter().find(|client| *client.name == *name);
        if self.clients.is_empty() {
            return match names[..] {
                [name] => Ok((name, None)),
                _ => Err(Fault::Claim(
                    "the client certificate has not exactly one name where one is looked for",
                )),
            };
        }
        let mut known = names
            .into_iter()
            .filter_map(|name| Some((name, client_of(name)?)));
        match (known.next(), known.next()) {
            (Some((name, client)), None) => Ok((name, Some(client))),
            (None, _) => Err(Fault::Unknown),
            _ => Err(Fault::Claim(
                "the client certificate has the names of several clients",
            )),
        }
    }

    fn names<'c>(&self, certificate: &'c X509Certificate<'_>) -> Result<Vec<&'c str>, Fault> {
        let unreadable = Fault::Claim("a name of the client certificate cannot be read");
        let mut names = Vec::new();
        if self.name_from == NameFrom::CommonName {
            for name in certificate.subject().iter_common_name() {
                names.push(name.as_str().map_err(|_| unreadable.clone())?);
            }
        } else if let Some(extension) = certificate
            .subject_alternative_name()
            .map_err(|_| unreadable.clone())?
        {
            let all = extension.value.general_names.iter();
            names.extend(all.filter_map(|name| match (self.name_from, name) {
                (NameFrom::Uri, GeneralName::URI(text))
                | (NameFrom::Dns, GeneralName::DNSName(text))
                | (NameFrom::Email, GeneralName::RFC822Name(text)) => Some(*text),
                _ => None,
            }));
        }
        match names
            .iter()
            .any(|name| name.is_empty() || name.contains(char::is_control))
        {
            true => Err(unreadable),
            false => Ok(names),
        }
    }
}
