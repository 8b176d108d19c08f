//! What a resource and an authorization server say of themselves, checked.

use serde::Deserialize;

use super::refusal::Refusal;
use super::scopes::Scopes;
use crate::upstream::http::Url;

/// Servers of one resource that are looked at.
const SERVER_COUNT_MAX: usize = 8;

/// What a protected resource says of itself.
///
/// Source: RFC 9728 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// What it is called: to be sent exactly so.
    pub resource: String,
    /// Who issues tokens for it; at least one.
    pub servers: Vec<String>,
    /// The scopes that there are, where it says so.
    pub scopes: Option<Scopes>,
}

#[derive(Deserialize)]
struct ResourceDocument {
    resource: String,
    #[serde(default)]
    authorization_servers: Vec<String>,
    scopes_supported: Option<Vec<String>>,
}

impl Resource {
    /// Reads the document that was found at `at`, about the upstream at `used`.
    ///
    /// Errors: it is none, or is about something else.
    pub fn read(bytes: &[u8], at: &str, used: &Url) -> Result<Self, Refusal> {
        let document: ResourceDocument = read(bytes, at)?;
        if !covers(&document.resource, used) {
            return Err(Refusal::OtherResource {
                said: document.resource,
                used: used.to_string(),
            });
        }
        let mut servers = document.authorization_servers;
        servers.truncate(SERVER_COUNT_MAX);
        if servers.is_empty() {
            return Err(Refusal::Document {
                url: at.to_owned(),
                problem: "names no authorization_servers".to_owned(),
            });
        }
        Ok(Self {
            resource: document.resource,
            servers,
            scopes: document.scopes_supported.map(Scopes::from_iter),
        })
    }
}

/// Whether a resource identifier is about this URL: the same, or the same up to a `/` in its path, as that of a whole host is.
fn covers(resource: &str, used: &Url) -> bool {
    let Ok(resource) = Url::parse(resource) else {
        return false;
    };
    if resource.origin() != used.origin() {
        return false;
    }
    let trimmed = |target: &str| target.trim_end_matches('/').to_owned();
    let (resource, used) = (trimmed(&resource.target), trimmed(&used.target));
    match used.strip_prefix(&resource) {
        Some(rest) => rest.is_empty() || rest.starts_with(['/', '?']),
        None => false,
    }
}

/// What an authorization server says of itself.
///
/// Source: RFC 8414 2, RFC 9207 3.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// Who it is; compared letter by letter.
    pub issuer: String,
    /// Where a person is sent.
    pub authorization_endpoint: Option<String>,
    /// Where tokens come from.
    pub token_endpoint: Option<String>,
    /// Where clients register themselves.
    pub registration_endpoint: Option<String>,
    /// How clients may show who they are; none: it does not say, which means basic.
    pub methods: Option<Vec<String>>,
    /// Whether it has PKCE by S256.
    pub has_s256: bool,
    /// Whether it takes a URL for a client's id.
    pub takes_client_documents: bool,
    /// Whether it always says who answers an authorization.
    pub says_issuer: bool,
    scopes: Option<Scopes>,
}

#[derive(Deserialize)]
struct ServerDocument {
    issuer: String,
    authorization_endpoint: Option<String>,
    token_endpoint: Option<String>,
    registration_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    code_challenge_methods_supported: Vec<String>,
    #[serde(default)]
    client_id_metadata_document_supported: bool,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
    scopes_supported: Option<Vec<String>>,
}

impl Server {
    /// Reads the document that was found at `at` for this issuer.
    ///
    /// Errors: it is none, or is another issuer's.
    pub fn read(bytes: &[u8], at: &str, issuer: &str) -> Result<Self, Refusal> {
        let document: ServerDocument = read(bytes, at)?;
        if document.issuer != issuer {
            return Err(Refusal::OtherIssuer {
                said: document.issuer,
                wanted: issuer.to_owned(),
            });
        }
        let s256 = |method: &String| method == "S256";
        Ok(Self {
            issuer: document.issuer,
            authorization_endpoint: document.authorization_endpoint,
            token_endpoint: document.token_endpoint,
            registration_endpoint: document.registration_endpoint,
            methods: document.token_endpoint_auth_methods_supported,
            has_s256: document.code_challenge_methods_supported.iter().any(s256),
            takes_client_documents: document.client_id_metadata_document_supported,
            says_issuer: document.authorization_response_iss_parameter_supported,
            scopes: document.scopes_supported.map(Scopes::from_iter),
        })
    }

    /// A server of which only its token endpoint is known: the operator named it.
    pub fn at_endpoint(issuer: &str, token_endpoint: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            token_endpoint: Some(token_endpoint.to_owned()),
            ..Self::default()
        }
    }

    /// Whether it says that it has this scope.
    pub fn lists_scope(&self, scope: &str) -> bool {
        let scopes = self.scopes.as_ref();
        scopes.is_some_and(|scopes| scopes.iter().any(|own| own == scope))
    }

    /// Its token endpoint.
    ///
    /// Errors: it has none.
    pub fn token_endpoint(&self) -> Result<&str, Refusal> {
        let endpoint = self.token_endpoint.as_deref();
        endpoint.ok_or_else(|| self.missing("token_endpoint"))
    }

    /// Its authorization endpoint.
    ///
    /// Errors: it has none, or no PKCE by S256.
    pub fn authorization_endpoint(&self) -> Result<&str, Refusal> {
        if !self.has_s256 {
            return Err(Refusal::NoPkce(self.issuer.clone()));
        }
        let endpoint = self.authorization_endpoint.as_deref();
        endpoint.ok_or_else(|| self.missing("authorization_endpoint"))
    }

    fn missing(&self, name: &'static str) -> Refusal {
        Refusal::Endpoint {
            name,
            problem: format!("of {} is not in its metadata", self.issuer),
        }
    }
}

fn read<'b, T: Deserialize<'b>>(bytes: &'b [u8], at: &str) -> Result<T, Refusal> {
    serde_json::from_slice(bytes).map_err(|error| Refusal::Document {
        url: at.to_owned(),
        // The reader's words have places and names in them, no values of secrets: documents are public.
        problem: format!("is not what it should be: {error}"),
    })
}
