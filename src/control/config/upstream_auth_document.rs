//! `upstreams.NAME.auth:` as it is written.

use std::path::PathBuf;

use serde::Deserialize;
use serde_saphyr::Spanned;

/// Where the credential comes from; one of them.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuthDocument {
    pub(super) header: Option<StaticHeaderDocument>,
    pub(super) client_credentials: Option<ClientCredentialsDocument>,
    pub(super) authorization_code: Option<AuthorizationCodeDocument>,
    pub(super) token_exchange: Option<TokenExchangeDocument>,
}

/// Where a secret is kept; one of them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SecretPlaceDocument {
    pub(super) env: Option<String>,
    pub(super) file: Option<PathBuf>,
    pub(super) credential: Option<String>,
    pub(super) secret: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StaticHeaderDocument {
    pub(super) name: Spanned<String>,
    pub(super) value: Spanned<SecretPlaceDocument>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PrivateKeyDocument {
    pub(super) key: Spanned<SecretPlaceDocument>,
    pub(super) algorithm: AlgorithmName,
    pub(super) kid: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) enum AlgorithmName {
    ES256,
    RS256,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum MethodName {
    Auto,
    Basic,
    Post,
    None,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClientCredentialsDocument {
    pub(super) client_id: Spanned<String>,
    pub(super) client_secret: Option<Spanned<SecretPlaceDocument>>,
    pub(super) private_key_jwt: Option<PrivateKeyDocument>,
    pub(super) auth_method: Option<MethodName>,
    #[serde(default)]
    pub(super) scopes: Vec<Spanned<String>>,
    pub(super) token_endpoint: Option<Spanned<String>>,
    pub(super) issuer: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuthorizationCodeDocument {
    pub(super) client_id: Option<Spanned<String>>,
    pub(super) client_secret: Option<Spanned<SecretPlaceDocument>>,
    pub(super) private_key_jwt: Option<PrivateKeyDocument>,
    pub(super) auth_method: Option<MethodName>,
    #[serde(default)]
    pub(super) scopes: Vec<Spanned<String>>,
    pub(super) redirect_uri: Option<Spanned<String>>,
    pub(super) client_metadata_url: Option<Spanned<String>>,
    pub(super) issuer: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) follow: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenExchangeDocument {
    pub(super) token_endpoint: Spanned<String>,
    pub(super) subject_token: Spanned<SecretPlaceDocument>,
    pub(super) subject_token_type: Option<String>,
    pub(super) audience: Option<String>,
    pub(super) client_id: Option<Spanned<String>>,
    pub(super) client_secret: Option<Spanned<SecretPlaceDocument>>,
    pub(super) private_key_jwt: Option<PrivateKeyDocument>,
    pub(super) auth_method: Option<MethodName>,
    #[serde(default)]
    pub(super) scopes: Vec<Spanned<String>>,
}
