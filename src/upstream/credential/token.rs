//! Requests to a token endpoint, and its answers.

use serde::Deserialize;

use super::client::Client;
use super::documents::Server;
use super::refusal::Refusal;
use super::scopes::Scopes;
use crate::secret::Secret;

/// Bytes of a token: what is longer fits into no head.
const TOKEN_BYTES_MAX: usize = 8 << 10;

/// What is asked with.
#[derive(Clone, Debug)]
pub enum Grant<'g> {
    /// As ourselves.
    ClientCredentials,
    /// With the code of an authorization.
    Code {
        /// The code.
        code: &'g Secret,
        /// What was hashed into the authorization.
        verifier: &'g Secret,
        /// Where it came back to.
        redirect_uri: &'g str,
    },
    /// With what the last answer gave for this.
    Refresh(&'g Secret),
    /// With another token of ours.
    Exchange {
        /// The token.
        subject: &'g Secret,
        /// Its type.
        subject_type: &'g str,
        /// Whom the new one is for.
        audience: Option<&'g str>,
    },
}

/// The fields of a form, and the header that may go with it.
#[derive(Default)]
pub struct Form {
    body: String,
    /// The value of `Authorization`.
    pub authorization: Option<Secret>,
}

/// What is in it are secrets.
impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Form").finish_non_exhaustive()
    }
}

impl Form {
    pub(super) fn push(&mut self, name: &str, value: &str) {
        if !self.body.is_empty() {
            self.body.push('&');
        }
        self.body.push_str(name);
        self.body.push('=');
        self.body
            .extend(url::form_urlencoded::byte_serialize(value.as_bytes()));
    }

    /// The body, as a secret.
    pub fn body(&self) -> Secret {
        Secret::new(self.body.clone())
    }
}

/// A token request.
///
/// Shape: `resource` goes as it stands in the resource's own document (RFC 8707); `id` is random.
/// Errors: our key does not sign.
pub fn form(
    grant: &Grant<'_>,
    (client, server): (Option<&Client>, &Server),
    resource: Option<&str>,
    scopes: &Scopes,
    now_unix_s: u64,
    id: &str,
) -> Result<Form, Refusal> {
    let mut form = Form::default();
    match grant {
        Grant::ClientCredentials => form.push("grant_type", "client_credentials"),
        Grant::Code {
            code,
            verifier,
            redirect_uri,
        } => {
            form.push("grant_type", "authorization_code");
            form.push("code", code.reveal());
            form.push("code_verifier", verifier.reveal());
            form.push("redirect_uri", redirect_uri);
        }
        Grant::Refresh(token) => {
            form.push("grant_type", "refresh_token");
            form.push("refresh_token", token.reveal());
        }
        Grant::Exchange {
            subject,
            subject_type,
            audience,
        } => {
            form.push(
                "grant_type",
                "urn:ietf:params:oauth:grant-type:token-exchange",
            );
            form.push("subject_token", subject.reveal());
            form.push("subject_token_type", subject_type);
            let wanted = "urn:ietf:params:oauth:token-type:access_token";
            form.push("requested_token_type", wanted);
            if let Some(audience) = audience {
                form.push("audience", audience);
            }
        }
    }
    // A code has its scopes already; a refresh keeps those that it had.
    let asks = matches!(grant, Grant::ClientCredentials | Grant::Exchange { .. });
    if asks && !scopes.is_empty() {
        form.push("scope", &scopes.to_string());
    }
    if let Some(resource) = resource {
        form.push("resource", resource);
    }
    if let Some(client) = client {
        let offered = server.methods.as_deref();
        client.sign(&mut form, &server.issuer, offered, now_unix_s, id)?;
    }
    Ok(form)
}

/// What a token endpoint has given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// The token for the upstream.
    pub access: Secret,
    /// What gets the next one.
    pub refresh: Option<Secret>,
    /// Seconds until it is worth nothing, where that was said.
    pub expires_in_s: Option<u64>,
    /// What it may be used for, where that is not what was asked for.
    pub scopes: Option<Scopes>,
}

#[derive(Deserialize)]
struct Answer {
    access_token: Secretly,
    token_type: String,
    expires_in: Option<serde_json::Number>,
    refresh_token: Option<Secretly>,
    scope: Option<String>,
}

#[derive(Deserialize)]
#[serde(transparent)]
struct Secretly(String);

#[derive(Default, Deserialize)]
struct Failure {
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_description: String,
}

impl Tokens {
    /// Reads an answer.
    ///
    /// Errors: the server refuses, or its token is none that can be sent.
    pub fn read(status: u16, body: &[u8]) -> Result<Self, Refusal> {
        if status != 200 {
            let said: Failure = serde_json::from_slice(body).unwrap_or_default();
            let error = match said.error.is_empty() {
                true => format!("HTTP {status}"),
                false => said.error,
            };
            return Err(Refusal::server(&error, &said.error_description));
        }
        let answer: Answer = serde_json::from_slice(body)
            .map_err(|_| Refusal::Token("is not where it should be in the answer"))?;
        if !answer.token_type.eq_ignore_ascii_case("bearer") {
            return Err(Refusal::Token("is no bearer token"));
        }
        let access = answer.access_token.0;
        // Source: RFC 6750 2.1. Anything else could end the field that it stands in.
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        if access.is_empty() || access.len() > TOKEN_BYTES_MAX || !access.bytes().all(is_letter) {
            return Err(Refusal::Token(
                "has letters that no bearer token has, or too many",
            ));
        }
        let seconds = |number: &serde_json::Number| match number.as_u64() {
            Some(seconds) => Some(seconds),
            None => number.as_f64().filter(|s| *s >= 0.0).map(|s| s as u64),
        };
        Ok(Self {
            access: Secret::new(access),
            refresh: answer.refresh_token.map(|token| Secret::new(token.0)),
            expires_in_s: answer.expires_in.as_ref().and_then(seconds),
            scopes: answer.scope.as_deref().map(Scopes::parse),
        })
    }
}
