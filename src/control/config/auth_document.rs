//! `auth:` and `admin_auth:` as they are written, and the file that `api_keys_file` names.

use std::path::PathBuf;

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::secret_document::SecretRefDocument;
use super::values::Span;

/// Who may call a listener.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuthDocument {
    pub(super) api_keys: Option<Vec<Spanned<KeyDocument>>>,
    pub(super) api_keys_file: Option<PathBuf>,
    pub(super) jwt: Option<Vec<Spanned<IssuerDocument>>>,
    /// Who shows an `Authorization` header beside a certificate is known by the header, or not at all.
    pub(super) mtls: Option<Spanned<CertificatesDocument>>,
    pub(super) none: Option<Spanned<bool>>,
}

/// The file of API keys.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeysDocument {
    #[serde(default)]
    pub(super) api_keys: Vec<Spanned<KeyDocument>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyDocument {
    pub(super) name: String,
    pub(super) hash: String,
    #[serde(default)]
    pub(super) scopes: Vec<String>,
    #[serde(default)]
    pub(super) roles: Vec<String>,
    pub(super) tier: Option<String>,
    pub(super) expires: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IssuerDocument {
    pub(super) issuer: String,
    pub(super) audience: Option<OneOrMore>,
    pub(super) algorithms: Option<Vec<String>>,
    pub(super) leeway: Option<Spanned<Span>>,
    pub(super) jwks: Option<JwksDocument>,
    pub(super) secret: Option<SecretRefDocument>,
    pub(super) refresh: Option<Spanned<Span>>,
    pub(super) max_stale: Option<Spanned<Span>>,
    pub(super) roles_claim: Option<String>,
    #[serde(default)]
    pub(super) scopes_required: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JwksDocument {
    pub(super) file: Option<PathBuf>,
    pub(super) url: Option<String>,
    pub(super) ca: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CertificatesDocument {
    #[serde(default)]
    pub(super) name_from: NameFromName,
    #[serde(default)]
    pub(super) clients: Vec<Spanned<ClientDocument>>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum NameFromName {
    #[default]
    CommonName,
    Uri,
    Dns,
    Email,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClientDocument {
    pub(super) name: String,
    #[serde(default)]
    pub(super) scopes: Vec<String>,
    #[serde(default)]
    pub(super) roles: Vec<String>,
    pub(super) tier: Option<String>,
}
