//! What an operator says of the credentials for one upstream.

use super::client::SigningAlgorithm;
use super::scopes::Scopes;
use crate::secret::SecretRef;
use crate::upstream::http::Url;
use crate::upstream::settings::HeaderValue;

/// Where the credential comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum AuthSettings {
    /// It is always the same.
    Header(StaticHeader),
    /// An authorization server gives it to us as ourselves.
    ClientCredentials(ClientCredentials),
    /// An operator has allowed it with a browser, once.
    AuthorizationCode(AuthorizationCode),
    /// A token of ours is exchanged for it.
    TokenExchange(TokenExchange),
}

impl AuthSettings {
    /// Whether control gets it.
    pub fn is_managed(&self) -> bool {
        !matches!(self, Self::Header(_))
    }

    /// Where the secrets are kept that it needs.
    pub fn secrets(&self) -> Vec<&SecretRef> {
        let (client, own) = match self {
            Self::Header(header) => match &header.value {
                HeaderValue::Secret(place) => (None, Some(place)),
                HeaderValue::Text(_) => (None, None),
            },
            Self::ClientCredentials(settings) => (Some(&settings.client), None),
            Self::AuthorizationCode(settings) => (settings.client.as_ref(), None),
            Self::TokenExchange(settings) => {
                (settings.client.as_ref(), Some(&settings.subject_token))
            }
        };
        let of_client = client.and_then(|client| match &client.proof {
            ClientProof::None => None,
            ClientProof::Secret(place) | ClientProof::Key { key: place, .. } => Some(place),
        });
        own.into_iter().chain(of_client).collect()
    }
}

/// One header field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticHeader {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: HeaderValue,
}

/// Who we are to an authorization server, as the operator had us registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSettings {
    /// Our id there.
    pub client_id: String,
    /// How we show that.
    pub proof: ClientProof,
    /// How the token endpoint takes it.
    pub method: Method,
}

/// What shows that we are who we say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientProof {
    /// Nothing: a public client.
    None,
    /// A secret.
    Secret(SecretRef),
    /// A signature.
    Key {
        /// The private key, as PEM.
        key: SecretRef,
        /// How it signs.
        algorithm: SigningAlgorithm,
        /// Its name at the server.
        kid: Option<String>,
    },
}

/// How a secret goes to the token endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// As the server says, basic first.
    #[default]
    Auto,
    /// In `Authorization`.
    Basic,
    /// In the form.
    Post,
    /// Not at all.
    None,
}

/// RFC 6749 4.4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCredentials {
    /// Who we are.
    pub client: ClientSettings,
    /// What is asked for, where the upstream does not say.
    pub scopes: Scopes,
    /// Where tokens come from; none: it is found out.
    pub token_endpoint: Option<Url>,
    /// The only issuer that is shown the credentials; none: the first that is found, which is remembered.
    pub issuer: Option<String>,
}

/// RFC 6749 4.1 with RFC 7636.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizationCode {
    /// Who we are; none: a URL of ours, or what the server makes of us.
    pub client: Option<ClientSettings>,
    /// Where the browser is sent back to; none: a free port of 127.0.0.1.
    pub redirect_uri: Option<Url>,
    /// What is asked for, where the upstream does not say.
    pub scopes: Scopes,
    /// Our id where servers take a document's URL for one.
    pub client_metadata_url: Option<String>,
    /// The only issuer that may be used.
    pub issuer: Option<String>,
    /// Whether the authorization is followed without a person: for servers that ask nobody.
    pub follow: bool,
}

/// RFC 8693.
///
/// What is exchanged is a token of our own, as a workload's, which a file or the environment has: never a caller's. That one was
/// made for us, is forgotten once it was verified, and to hand it on would let whoever answers at the endpoint be the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenExchange {
    /// Who we are, where the endpoint wants to know.
    pub client: Option<ClientSettings>,
    /// Where it is exchanged.
    pub token_endpoint: Url,
    /// Whom the token is for.
    pub audience: Option<String>,
    /// The token of our own; read anew each time.
    pub subject_token: SecretRef,
    /// Its type.
    pub subject_token_type: String,
    /// What is asked for.
    pub scopes: Scopes,
}
