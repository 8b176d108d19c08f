//! Being known to an authorization server: by the operator's doing, by a document of ours, or by asking.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::documents::Server;
use super::refusal::Refusal;
use super::settings::Method;
use crate::upstream::http::{Scheme, Url};

/// How we come to be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registration {
    /// The operator has had us registered.
    Configured,
    /// We were registered there before.
    Known(Registered),
    /// Our id is this URL, at which there is a document about us.
    Document(String),
    /// We ask at this endpoint.
    Ask(String),
}

/// What a server has made of us. Kept by its issuer, and shown to no other.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// Our id there.
    pub client_id: String,
    /// Our secret there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    /// How it wants that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_endpoint_auth_method: Option<String>,
    /// Where it sends browsers back to.
    #[serde(default)]
    pub redirect_uri: String,
}

impl std::fmt::Debug for Registered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registered")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// How we come to be known to this server.
///
/// Source: MCP authorization, client registration: pre-registered, then by a document, then by asking.
/// Errors: not at all.
pub fn choose(
    server: &Server,
    is_configured: bool,
    document: Option<&str>,
    known: Option<&Registered>,
) -> Result<Registration, Refusal> {
    if is_configured {
        return Ok(Registration::Configured);
    }
    if let (Some(document), true) = (document, server.takes_client_documents) {
        return Ok(Registration::Document(document.to_owned()));
    }
    if let Some(known) = known {
        return Ok(Registration::Known(known.clone()));
    }
    match &server.registration_endpoint {
        Some(endpoint) => Ok(Registration::Ask(endpoint.clone())),
        None => Err(Refusal::NoRegistration(server.issuer.clone())),
    }
}

impl Registered {
    /// What we say of ourselves when we ask.
    ///
    /// Source: RFC 7591 2; `application_type` as OpenID Connect has it, without which a server may refuse a loopback address.
    pub fn request(server: &Server, redirect_uri: &Url, scopes: &str) -> String {
        let offered = server.methods.as_deref();
        let has = |name: &str| offered.is_some_and(|methods| methods.iter().any(|m| m == name));
        // A secret that a program on somebody's machine holds protects little; where there is a choice, it has none.
        let method = match offered {
            None => "client_secret_basic",
            Some(_) if has("none") => "none",
            Some(_) if has("client_secret_basic") => "client_secret_basic",
            Some(_) => "client_secret_post",
        };
        let is_native = redirect_uri.scheme == Scheme::Http;
        let mut request = json!({
            "client_name": "margay",
            "redirect_uris": [redirect_uri.to_string()],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": method,
            "application_type": if is_native { "native" } else { "web" },
        });
        if !scopes.is_empty() {
            request["scope"] = scopes.into();
        }
        request.to_string()
    }

    /// Reads what we were made.
    ///
    /// Errors: nothing.
    pub fn read(status: u16, body: &[u8], redirect_uri: &Url) -> Result<Self, Refusal> {
        if !(200..300).contains(&status) {
            #[derive(Default, Deserialize)]
            #[serde(default)]
            struct Failure {
                error: String,
                error_description: String,
            }
            let said: Failure = serde_json::from_slice(body).unwrap_or_default();
            let error = match said.error.is_empty() {
                true => format!("the registration (HTTP {status})"),
                false => said.error,
            };
            return Err(Refusal::server(&error, &said.error_description));
        }
        let mut registered: Self = serde_json::from_slice(body).map_err(|_| Refusal::Endpoint {
            name: "registration_endpoint",
            problem: "gave no client_id".to_owned(),
        })?;
        registered.redirect_uri = redirect_uri.to_string();
        Ok(registered)
    }

    /// How it wants the secret.
    pub fn method(&self) -> Method {
        match self.token_endpoint_auth_method.as_deref() {
            Some("client_secret_basic") => Method::Basic,
            Some("client_secret_post") => Method::Post,
            Some("none") => Method::None,
            _ => Method::Auto,
        }
    }
}
