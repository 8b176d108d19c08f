//! One authorization: what the browser is sent with, and what it may come back with.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::documents::Server;
use super::refusal::Refusal;
use super::scopes::Scopes;
use crate::secret::Secret;

/// Bytes of a code.
const CODE_BYTES_MAX: usize = 4 << 10;

/// Random bytes of one authorization, from the kernel.
pub struct Randoms {
    /// For the state.
    pub state: [u8; 32],
    /// For the verifier.
    pub verifier: [u8; 32],
}

/// An authorization that was begun.
#[derive(Debug)]
pub struct Attempt {
    /// Where the browser is sent.
    pub url: String,
    /// What the token request shows.
    pub verifier: Secret,
    /// Where the browser comes back to.
    pub redirect_uri: String,
    /// Who was asked; recorded before the browser leaves.
    issuer: String,
    says_issuer: bool,
    state: Secret,
}

impl Attempt {
    /// Begins one.
    ///
    /// Source: RFC 6749 4.1.1, RFC 7636 4, RFC 8707 2.1.
    /// Errors: the server has no PKCE by S256, or no endpoint that can be used.
    pub fn begin(
        server: &Server,
        client_id: &str,
        redirect_uri: &str,
        resource: &str,
        scopes: &Scopes,
        randoms: &Randoms,
    ) -> Result<Self, Refusal> {
        let endpoint = server.authorization_endpoint()?;
        let mut url = url::Url::parse(endpoint)
            .ok()
            .filter(|url| url.fragment().is_none() && is_for_a_browser(url))
            .ok_or_else(|| Refusal::Endpoint {
                name: "authorization_endpoint",
                problem: format!("{endpoint:?} is no URL that a browser can be sent to"),
            })?;
        let verifier = URL_SAFE_NO_PAD.encode(randoms.verifier);
        let state = URL_SAFE_NO_PAD.encode(randoms.state);
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", client_id)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("state", &state)
            .append_pair("code_challenge", &challenge(&verifier))
            .append_pair("code_challenge_method", "S256")
            .append_pair("resource", resource);
        if !scopes.is_empty() {
            query.append_pair("scope", &scopes.to_string());
        }
        drop(query);
        Ok(Self {
            url: url.into(),
            verifier: Secret::new(verifier),
            redirect_uri: redirect_uri.to_owned(),
            issuer: server.issuer.clone(),
            says_issuer: server.says_issuer,
            state: Secret::new(state),
        })
    }

    /// The code in the query that the browser came back with.
    ///
    /// Source: RFC 6749 4.1.2, RFC 9207 2.4: who answers is compared letter by letter, whether or not it said that it would say so.
    /// Errors: it is not the answer to this authorization, or is a refusal.
    pub fn code(&self, query: &str) -> Result<Secret, Refusal> {
        let (mut state, mut issuer, mut code, mut error, mut description) =
            (None, None, None, None, None);
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let member = match &*name {
                "state" => &mut state,
                "iss" => &mut issuer,
                "code" => &mut code,
                "error" => &mut error,
                "error_description" => &mut description,
                _ => continue,
            };
            if member.replace(value).is_some() {
                return Err(Refusal::Callback("has a parameter twice"));
            }
        }
        let ours = self.state.reveal().as_bytes();
        let is_ours = state.is_some_and(|state| bool::from(state.as_bytes().ct_eq(ours)));
        if !is_ours {
            return Err(Refusal::Stray);
        }
        match issuer {
            Some(issuer) if issuer != self.issuer => {
                return Err(Refusal::Callback("comes from another issuer (iss)"));
            }
            None if self.says_issuer => {
                return Err(Refusal::Callback(
                    "does not say who it is from (iss), which this server promises",
                ));
            }
            _ => {}
        }
        if let Some(error) = error {
            return Err(Refusal::server(&error, &description.unwrap_or_default()));
        }
        match code {
            Some(code) if !code.is_empty() && code.len() <= CODE_BYTES_MAX => {
                Ok(Secret::new(code.into_owned()))
            }
            _ => Err(Refusal::Callback("has no code")),
        }
    }
}

/// Whether an address is one that a browser reads, and no other program: what a document says here is shown to a person, who opens
/// it.
///
/// Source: CVE-2025-6514; RFC 8414 2.
fn is_for_a_browser(url: &url::Url) -> bool {
    let is_loopback = || match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let has_user = !url.username().is_empty() || url.password().is_some();
    !has_user && (url.scheme() == "https" || url.scheme() == "http" && is_loopback())
}

/// Source: RFC 7636 4.2.
pub(super) fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}
