//! Where documents are looked for, in their order.

use crate::upstream::http::Url;

const RESOURCE: &str = "/.well-known/oauth-protected-resource";
const SERVER: &str = "/.well-known/oauth-authorization-server";
const OPENID: &str = "/.well-known/openid-configuration";

/// Where the document of the resource at this URL may be, where the challenge does not say.
///
/// Source: RFC 9728 3.1; MCP: with the path first, then at the root.
pub fn resource_documents(url: &Url) -> Vec<String> {
    let path = path_of(&url.target);
    let mut found = Vec::new();
    if !path.is_empty() {
        found.push(format!("{}{RESOURCE}{path}", url.origin()));
    }
    found.push(format!("{}{RESOURCE}", url.origin()));
    found
}

/// Where the document of an issuer may be.
///
/// Source: RFC 8414 3.1, OpenID Connect Discovery 4; MCP: of an issuer with a path, inserted for both, then appended.
pub fn server_documents(issuer: &Url) -> Vec<String> {
    let (origin, path) = (issuer.origin(), path_of(&issuer.target));
    match path {
        "" => vec![format!("{origin}{SERVER}"), format!("{origin}{OPENID}")],
        path => vec![
            format!("{origin}{SERVER}{path}"),
            format!("{origin}{OPENID}{path}"),
            format!("{origin}{path}{OPENID}"),
        ],
    }
}

/// The path without a query and without a slash at its end.
fn path_of(target: &str) -> &str {
    let path = target.split('?').next().unwrap_or(target);
    path.trim_end_matches('/')
}
