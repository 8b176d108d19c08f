//! This server as a resource of OAuth: its name, its metadata document, its challenges.
//!
//! Source: RFC 9728 sections 2 and 3; RFC 6750 section 3; MCP 2026-07-28 basic/authorization.

use serde_json::json;

use super::Fault;

/// The path of the metadata document, before the path of the resource.
pub const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The scope for refresh tokens: to ask for it is the client's affair, and no property of this server.
const OFFLINE: &str = "offline_access";

/// What authorization servers know this server by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// The canonical URI: scheme and host in lower case, no fragment, no slash at its end.
    pub uri: Box<str>,
    /// Where clients get their tokens. Not empty.
    pub authorization_servers: Vec<Box<str>>,
    /// What can be asked for.
    pub scopes: Vec<Box<str>>,
    /// The text of the metadata document.
    document: Box<str>,
    /// Where it is.
    metadata_url: Box<str>,
}

impl Resource {
    /// A resource.
    ///
    /// Errors: the URI is no http or https address with a host and without a fragment, or
    /// there is no authorization server.
    pub fn new(
        uri: &str,
        authorization_servers: Vec<Box<str>>,
        scopes: Vec<Box<str>>,
    ) -> Result<Self, &'static str> {
        let parsed = url::Url::parse(uri).map_err(|_| "is not an absolute address")?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err("is neither http nor https");
        }
        if parsed.fragment().is_some() || parsed.query().is_some() {
            return Err("has a fragment or a query");
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err("has a user name or a password");
        }
        if authorization_servers.is_empty() {
            return Err("has no authorization server");
        }
        let origin = parsed.origin().ascii_serialization();
        let path = parsed.path().trim_end_matches('/');
        let uri = format!("{origin}{path}");
        let scopes: Vec<Box<str>> = scopes
            .into_iter()
            .filter(|scope| **scope != *OFFLINE)
            .collect();
        let mut document = json!({
            "resource": uri,
            "authorization_servers": authorization_servers,
            "bearer_methods_supported": ["header"],
            "resource_name": "Margay",
        });
        if !scopes.is_empty() {
            document["scopes_supported"] = json!(scopes);
        }
        Ok(Self {
            metadata_url: format!("{origin}{WELL_KNOWN}{path}").into(),
            document: document.to_string().into(),
            uri: uri.into(),
            authorization_servers,
            scopes,
        })
    }

    /// What `aud` of a token for this server may be. At the root of a host there are two writings of one address
    /// (RFC 3986 section 6.2.3), and clients use either.
    pub fn audiences(&self) -> Vec<Box<str>> {
        match self.path() {
            "" => vec![self.uri.clone(), format!("{}/", self.uri).into()],
            _ => vec![self.uri.clone()],
        }
    }

    /// The metadata document.
    pub fn document(&self) -> &str {
        &self.document
    }

    /// The path of the resource behind its host.
    fn path(&self) -> &str {
        let host = self.uri.split_once("://").map_or("", |(_, rest)| rest);
        host.find('/').map_or("", |at| &host[at..])
    }

    /// Whether the document is at this path: behind the resource's own, at the root, or behind that of our endpoint.
    pub fn is_described_at(&self, path: &str) -> bool {
        let Some(rest) = path.strip_prefix(WELL_KNOWN) else {
            return false;
        };
        let rest = rest.trim_end_matches('/');
        rest.is_empty() || rest == self.path() || rest == "/mcp"
    }
}

/// The value of `WWW-Authenticate`.
///
/// Shape: `scopes` are those that the caller needs, all at once.
pub fn challenge(resource: Option<&Resource>, fault: &Fault, scopes: &[Box<str>]) -> String {
    let mut parts = Vec::new();
    if let Some(resource) = resource {
        parts.push(format!("resource_metadata=\"{}\"", resource.metadata_url));
    }
    let scopes = match (scopes.is_empty(), fault, resource) {
        (false, ..) => scopes,
        (true, Fault::Scopes(needed), _) => needed,
        (true, _, Some(resource)) => &resource.scopes,
        (true, _, None) => &[],
    };
    let scopes: Vec<&str> = scopes
        .iter()
        .map(|scope| &**scope)
        .filter(|scope| *scope != OFFLINE)
        .collect();
    if !scopes.is_empty() {
        parts.push(format!("scope=\"{}\"", scopes.join(" ")));
    }
    if let Some(code) = fault.code() {
        parts.push(format!("error=\"{code}\""));
        parts.push(format!(
            "error_description=\"{}\"",
            fault.told().replace(['"', '\\'], "'")
        ));
    }
    match parts.is_empty() {
        true => "Bearer".to_owned(),
        false => format!("Bearer {}", parts.join(", ")),
    }
}
