//! `upstreams.NAME.auth:`: the credentials for one upstream.

use serde_saphyr::Spanned;

use super::super::upstream_auth_document::*;
use super::{Read, Reader, Refused, at};
use crate::secret::SecretRef;
use crate::upstream::credential::{
    AuthSettings, AuthorizationCode, ClientCredentials, ClientProof, ClientSettings, Method,
    Scopes, SigningAlgorithm, StaticHeader, TokenExchange,
};
use crate::upstream::http::{Scheme, Url};
use crate::upstream::settings::HeaderValue;

/// What a token of ours is, where nothing else is said (RFC 8693 3).
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// What is said of the client, wherever that is.
struct ClientParts<'d> {
    key: &'static str,
    id: Option<&'d Spanned<String>>,
    secret: Option<&'d Spanned<SecretPlaceDocument>>,
    jwt: Option<&'d PrivateKeyDocument>,
    method: Option<MethodName>,
}

impl Reader<'_> {
    pub(super) fn auth(&self, document: &AuthDocument) -> Read<AuthSettings> {
        match document {
            AuthDocument {
                header: Some(header),
                client_credentials: None,
                authorization_code: None,
                token_exchange: None,
            } => self.static_header(header),
            AuthDocument {
                header: None,
                client_credentials: Some(client),
                authorization_code: None,
                token_exchange: None,
            } => self.client_credentials(client),
            AuthDocument {
                header: None,
                client_credentials: None,
                authorization_code: Some(code),
                token_exchange: None,
            } => self.authorization_code(code),
            AuthDocument {
                header: None,
                client_credentials: None,
                authorization_code: None,
                token_exchange: Some(exchange),
            } => self.token_exchange(exchange),
            _ => Err(self.wrong(
                "auth",
                "",
                "needs one of header, client_credentials, authorization_code and token_exchange",
                "give one of them",
            )),
        }
    }

    fn static_header(&self, header: &StaticHeaderDocument) -> Read<AuthSettings> {
        Ok(AuthSettings::Header(StaticHeader {
            name: header.name.value.clone(),
            value: HeaderValue::Secret(self.secret_place("auth.header.value", &header.value)?),
        }))
    }

    fn client_credentials(&self, document: &ClientCredentialsDocument) -> Read<AuthSettings> {
        let client = self.client(&ClientParts {
            key: "auth.client_credentials",
            id: Some(&document.client_id),
            secret: document.client_secret.as_ref(),
            jwt: document.private_key_jwt.as_ref(),
            method: document.auth_method,
        })?;
        let Some(client) = client.filter(|client| client.proof != ClientProof::None) else {
            return Err(at(
                &document.client_id,
                "auth.client_credentials",
                "",
                "needs client_secret or private_key_jwt: without either anybody could be us",
                "give one of them",
            ));
        };
        let endpoint = document.token_endpoint.as_ref();
        Ok(AuthSettings::ClientCredentials(ClientCredentials {
            client,
            scopes: scopes("auth.client_credentials.scopes", &document.scopes)?,
            token_endpoint: endpoint
                .map(|given| endpoint_url("auth.client_credentials.token_endpoint", given))
                .transpose()?,
            issuer: issuer("auth.client_credentials.issuer", document.issuer.as_ref())?,
        }))
    }

    fn authorization_code(&self, document: &AuthorizationCodeDocument) -> Read<AuthSettings> {
        let client = self.client(&ClientParts {
            key: "auth.authorization_code",
            id: document.client_id.as_ref(),
            secret: document.client_secret.as_ref(),
            jwt: document.private_key_jwt.as_ref(),
            method: document.auth_method,
        })?;
        let redirect = document.redirect_uri.as_ref().map(|given| {
            let key = "auth.authorization_code.redirect_uri";
            let url = url(key, given)?;
            // Where a browser brings the code: it must not be read on the way.
            match url.scheme == Scheme::Https || is_loopback(&url) {
                true => Ok(url),
                false => Err(at(
                    given,
                    key,
                    &given.value,
                    "is neither https nor on this machine",
                    "write it like http://127.0.0.1:8123/callback",
                )),
            }
        });
        let metadata = document.client_metadata_url.as_ref().map(|given| {
            let key = "auth.authorization_code.client_metadata_url";
            let url = url(key, given)?;
            match url.scheme == Scheme::Https && url.target.len() > 1 {
                true => Ok(given.value.clone()),
                false => Err(at(
                    given,
                    key,
                    &given.value,
                    "is no https URL with a path",
                    "write it like https://margay.example.com/client.json",
                )),
            }
        });
        Ok(AuthSettings::AuthorizationCode(AuthorizationCode {
            client,
            redirect_uri: redirect.transpose()?,
            scopes: scopes("auth.authorization_code.scopes", &document.scopes)?,
            client_metadata_url: metadata.transpose()?,
            issuer: issuer("auth.authorization_code.issuer", document.issuer.as_ref())?,
            follow: document.follow,
        }))
    }

    fn token_exchange(&self, document: &TokenExchangeDocument) -> Read<AuthSettings> {
        let client = self.client(&ClientParts {
            key: "auth.token_exchange",
            id: document.client_id.as_ref(),
            secret: document.client_secret.as_ref(),
            jwt: document.private_key_jwt.as_ref(),
            method: document.auth_method,
        })?;
        let kind = document.subject_token_type.as_deref();
        Ok(AuthSettings::TokenExchange(TokenExchange {
            client,
            token_endpoint: endpoint_url(
                "auth.token_exchange.token_endpoint",
                &document.token_endpoint,
            )?,
            audience: document.audience.clone(),
            subject_token: self
                .secret_place("auth.token_exchange.subject_token", &document.subject_token)?,
            subject_token_type: kind.unwrap_or(ACCESS_TOKEN).to_owned(),
            scopes: scopes("auth.token_exchange.scopes", &document.scopes)?,
        }))
    }

    fn client(&self, parts: &ClientParts<'_>) -> Read<Option<ClientSettings>> {
        let wrong = |rule: &str, remedy| Err(self.wrong(parts.key, "", rule, remedy));
        let Some(id) = parts.id else {
            let is_alone = parts.secret.is_none() && parts.jwt.is_none();
            return match is_alone && parts.method.is_none() {
                true => Ok(None),
                false => wrong("says how we show who we are, and not who", "give client_id"),
            };
        };
        let method = match parts.method {
            None | Some(MethodName::Auto) => Method::Auto,
            Some(MethodName::Basic) => Method::Basic,
            Some(MethodName::Post) => Method::Post,
            Some(MethodName::None) => Method::None,
        };
        let proof = match (parts.secret, parts.jwt) {
            (Some(_), Some(_)) => {
                return wrong(
                    "has both client_secret and private_key_jwt",
                    "give one of them",
                );
            }
            (Some(secret), None) => ClientProof::Secret(
                self.secret_place(&format!("{}.client_secret", parts.key), secret)?,
            ),
            (None, Some(jwt)) => ClientProof::Key {
                key: self.secret_place(&format!("{}.private_key_jwt.key", parts.key), &jwt.key)?,
                algorithm: match jwt.algorithm {
                    AlgorithmName::ES256 => SigningAlgorithm::Es256,
                    AlgorithmName::RS256 => SigningAlgorithm::Rs256,
                },
                kid: jwt.kid.clone(),
            },
            (None, None) => ClientProof::None,
        };
        Ok(Some(ClientSettings {
            client_id: id.value.clone(),
            proof,
            method,
        }))
    }

    /// Where a secret is kept.
    pub(super) fn secret_place(
        &self,
        key: &str,
        given: &Spanned<SecretPlaceDocument>,
    ) -> Read<SecretRef> {
        self.secret_ref(&given.value).ok_or_else(|| {
            at(
                given,
                key,
                "",
                "needs one of env, file, credential and secret",
                "write it like {file: /run/secrets/docs}",
            )
        })
    }

    pub(super) fn secret_ref(&self, place: &SecretPlaceDocument) -> Option<SecretRef> {
        match place.clone() {
            SecretPlaceDocument {
                env: Some(name),
                file: None,
                credential: None,
                secret: None,
            } => Some(SecretRef::Environment(name)),
            SecretPlaceDocument {
                env: None,
                file: Some(path),
                credential: None,
                secret: None,
            } => Some(SecretRef::File(self.parsed.relative(&path))),
            SecretPlaceDocument {
                env: None,
                file: None,
                credential: Some(name),
                secret: None,
            } => Some(SecretRef::Credential(name)),
            SecretPlaceDocument {
                env: None,
                file: None,
                credential: None,
                secret: Some(name),
            } => Some(SecretRef::Stored(name)),
            _ => None,
        }
    }
}

fn url(key: &str, given: &Spanned<String>) -> Read<Url> {
    Url::parse(&given.value).map_err(|error| {
        let shown = if given.value.contains('@') {
            ""
        } else {
            &given.value
        };
        let remedy = "write it like https://login.example.com/token";
        at(given, key, shown, format!("the URL {error}"), remedy)
    })
}

/// Where credentials are shown.
fn endpoint_url(key: &str, given: &Spanned<String>) -> Read<Url> {
    let url = url(key, given)?;
    match url.scheme == Scheme::Https || is_loopback(&url) {
        true => Ok(url),
        false => Err(at(
            given,
            key,
            &given.value,
            "is not https, and whoever is on the way could read what is shown there",
            "write it with https://",
        )),
    }
}

/// An issuer is compared letter by letter, so it stays as it was written.
fn issuer(key: &str, given: Option<&Spanned<String>>) -> Read<Option<String>> {
    let Some(given) = given else { return Ok(None) };
    endpoint_url(key, given)?;
    Ok(Some(given.value.clone()))
}

fn is_loopback(url: &Url) -> bool {
    url.host == "localhost" || url.address().is_some_and(|address| address.is_loopback())
}

fn scopes(key: &str, given: &[Spanned<String>]) -> Read<Scopes> {
    for scope in given {
        let read = Scopes::parse(&scope.value);
        if read.iter().count() != 1 || read.to_string() != scope.value {
            let refused: Refused = at(
                scope,
                key,
                &scope.value,
                "is no scope",
                "write a list of them, each without spaces",
            );
            return Err(refused);
        }
    }
    Ok(given.iter().map(|scope| scope.value.clone()).collect())
}
