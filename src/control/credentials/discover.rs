//! From an upstream's URL and its challenge to the server that gives tokens for it.

use crate::control::fetch::{Fetch, FetchError};
use crate::upstream::credential::{
    Challenge, Guard, Refusal, Resource, Server, resource_documents, server_documents,
};
use crate::upstream::http::Url;

/// What was found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// What the upstream is called in token requests.
    pub(super) resource: String,
    /// Its own document, where it has one.
    pub(super) document: Option<Resource>,
    /// Who gives tokens.
    pub(super) server: Server,
}

/// Finds the authorization server of the upstream at `url`.
///
/// Shape: `expected` is the issuer that has to be it, where there is one.
/// Errors: there is none, or a document is not what it must be.
pub(super) async fn discover(
    fetch: &Fetch,
    guard: &Guard,
    url: &Url,
    challenge: &Challenge,
    expected: Option<&str>,
) -> Result<Found, FetchError> {
    let document = resource(fetch, guard, url, challenge).await?;
    let listed = document.as_ref().map(|document| &document.servers);
    let issuer = match (listed, expected) {
        (Some(servers), Some(expected)) => {
            if !servers.iter().any(|server| server == expected) {
                return Err(FetchError::Refused(Refusal::OtherIssuer {
                    said: servers.join(" "),
                    wanted: expected.to_owned(),
                }));
            }
            expected.to_owned()
        }
        (Some(servers), None) => servers.first().cloned().unwrap_or_default(),
        (None, Some(expected)) => expected.to_owned(),
        // Before there were such documents, a server was its own authorization server (2025-03-26).
        (None, None) => url.origin(),
    };
    let server = server(fetch, guard, &issuer).await?;
    let resource = match &document {
        Some(document) => document.resource.clone(),
        None => canonical(url),
    };
    Ok(Found {
        resource,
        document,
        server,
    })
}

/// The URL of an upstream as a resource: without a slash at its end where that is all there is.
pub(super) fn canonical(url: &Url) -> String {
    match url.target.as_str() {
        "/" => url.origin(),
        _ => url.to_string(),
    }
}

async fn resource(
    fetch: &Fetch,
    guard: &Guard,
    url: &Url,
    challenge: &Challenge,
) -> Result<Option<Resource>, FetchError> {
    let named = challenge.resource_metadata.clone();
    for at in named.into_iter().chain(resource_documents(url)) {
        let fetched = fetch.get("resource_metadata", &at, guard).await?;
        if fetched.status == 200 {
            return Ok(Some(Resource::read(&fetched.body, &at, url)?));
        }
        tracing::debug!(at, status = fetched.status, "has no document of a resource");
    }
    Ok(None)
}

async fn server(fetch: &Fetch, guard: &Guard, issuer: &str) -> Result<Server, FetchError> {
    let url = Url::parse(issuer).map_err(|error| Refusal::Endpoint {
        name: "issuer",
        problem: format!("{issuer:?} {error}"),
    })?;
    for at in server_documents(&url) {
        let fetched = fetch
            .get("metadata of the authorization server", &at, guard)
            .await?;
        if fetched.status == 200 {
            return Ok(Server::read(&fetched.body, &at, issuer)?);
        }
        tracing::debug!(at, status = fetched.status, "has no document of a server");
    }
    Err(FetchError::Refused(Refusal::Endpoint {
        name: "authorization server",
        problem: format!("{issuer} has no metadata at any of its places"),
    }))
}
