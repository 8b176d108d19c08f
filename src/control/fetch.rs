//! Requests of control's own, to URLs that documents of others may have named.
//!
//! Invariants: a host is resolved once, every address that it has is checked, and only those are connected to; a redirect is a new
//! URL, checked like the first, and only a GET follows one; nothing is read without an end; no proxy of the environment is used,
//! which would resolve anew.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION, WWW_AUTHENTICATE,
};
use reqwest::{Client, Method, Response};
use tokio::time::timeout;

use crate::secret::Secret;
use crate::upstream::credential::{Guard, Refusal};
use crate::upstream::http::Url;
use crate::upstream::tls::{TlsClient, TlsSetupError};

/// For one request, its redirects and its body included.
const DEADLINE: Duration = Duration::from_secs(10);
/// Redirects of one GET.
const REDIRECTS_MAX: usize = 3;
/// Bytes of one answer.
const BODY_BYTES_MAX: usize = 256 << 10;
/// Addresses of one host that are tried.
const ADDRESS_COUNT_MAX: usize = 16;
const USER_AGENT: &str = concat!("margay/", env!("CARGO_PKG_VERSION"));

/// Why nothing was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FetchError {
    /// It is not to be asked.
    Refused(Refusal),
    /// It cannot be reached, or broke off.
    Unreachable {
        /// Which.
        url: String,
        /// Why.
        why: String,
    },
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Unreachable { url, why } => write!(f, "{url} cannot be asked: {why}"),
        }
    }
}

impl std::error::Error for FetchError {}

impl From<Refusal> for FetchError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// An answer, whole.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Fetched {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
    /// `Location`.
    pub location: Option<String>,
    /// The `WWW-Authenticate` that is about bearer tokens.
    pub challenge: Option<Vec<u8>>,
}

/// The body may have a token in it, and the location a code.
impl fmt::Debug for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetched")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// What a POST carries.
pub struct Post<'p> {
    /// `Content-Type`.
    pub content_type: &'static str,
    /// The body.
    pub body: &'p Secret,
    /// `Authorization`.
    pub authorization: Option<&'p Secret>,
}

/// The way out. Cheap to clone.
#[derive(Clone)]
pub struct Fetch {
    tls: rustls::ClientConfig,
}

impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fetch")
    }
}

impl Fetch {
    /// Trusts the system's roots, and those of this file. Blocks.
    ///
    /// Errors: what is wrong with the file.
    pub fn new(ca: Option<&Path>) -> Result<Self, TlsSetupError> {
        let tls = TlsClient::beside_system(ca)?;
        Ok(Self { tls })
    }

    /// Gets a document; `name` is what it is, for messages.
    ///
    /// Errors: it, or where it redirects to, may not be asked or cannot be.
    pub async fn get(
        &self,
        name: &'static str,
        url: &str,
        guard: &Guard,
    ) -> Result<Fetched, FetchError> {
        let first = url.to_owned();
        let mut url = url.to_owned();
        let all = async move {
            for _ in 0..=REDIRECTS_MAX {
                let fetched = self.once(name, &url, guard, None).await?;
                match (&fetched.location, fetched.status) {
                    (Some(location), 301 | 302 | 303 | 307 | 308) => {
                        let Some(next) = joined(&url, location) else {
                            let why = "it redirects to what is no URL".to_owned();
                            return Err(unreachable(&url, why));
                        };
                        url = next;
                    }
                    _ => return Ok(fetched),
                }
            }
            let why = format!("it redirects more than {REDIRECTS_MAX} times");
            Err(unreachable(&url, why))
        };
        within(first, all).await
    }

    /// Asks once: a redirect is an answer like any other.
    ///
    /// Errors: it may not be asked or cannot be.
    pub async fn get_once(
        &self,
        name: &'static str,
        url: &str,
        guard: &Guard,
    ) -> Result<Fetched, FetchError> {
        within(url.to_owned(), self.once(name, url, guard, None)).await
    }

    /// Posts something. A redirect is not followed: what is posted is for one place.
    ///
    /// Errors: it may not be asked or cannot be.
    pub async fn post(
        &self,
        name: &'static str,
        url: &str,
        guard: &Guard,
        post: Post<'_>,
    ) -> Result<Fetched, FetchError> {
        within(url.to_owned(), self.once(name, url, guard, Some(post))).await
    }

    async fn once(
        &self,
        name: &'static str,
        text: &str,
        guard: &Guard,
        post: Option<Post<'_>>,
    ) -> Result<Fetched, FetchError> {
        let url = Url::parse(text).map_err(|error| Refusal::Endpoint {
            name,
            problem: format!("{text:?} {error}"),
        })?;
        let addresses = look_up(&url).await.map_err(|why| unreachable(text, why))?;
        let ips: Vec<IpAddr> = addresses.iter().map(SocketAddr::ip).collect();
        guard.check(name, &url, &ips)?;
        let failed = |error: reqwest::Error| unreachable(text, chain(&error));
        let client = self.client(&url, &addresses).map_err(failed)?;
        let (method, body) = match post {
            None => (Method::GET, None),
            Some(post) => (Method::POST, Some(post)),
        };
        let mut request = client
            .request(method, url.to_string())
            .header(ACCEPT, "application/json");
        if let Some(post) = body {
            request = request
                .header(CONTENT_TYPE, post.content_type)
                .body(post.body.reveal().to_owned());
            if let Some(authorization) = post.authorization {
                let mut value = HeaderValue::from_str(authorization.reveal())
                    .map_err(|_| Refusal::Token("cannot be sent"))?;
                value.set_sensitive(true);
                request = request.header(AUTHORIZATION, value);
            }
        }
        read(request.send().await.map_err(failed)?)
            .await
            .map_err(|why| unreachable(text, why))
    }

    /// One that connects to these addresses and nowhere else.
    fn client(&self, url: &Url, addresses: &[SocketAddr]) -> reqwest::Result<Client> {
        Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .resolve_to_addrs(&url.host, addresses)
            .connect_timeout(DEADLINE)
            .http1_only()
            .user_agent(USER_AGENT)
            .build()
    }
}

async fn within<T>(
    url: String,
    work: impl Future<Output = Result<T, FetchError>>,
) -> Result<T, FetchError> {
    match timeout(DEADLINE, work).await {
        Ok(done) => done,
        Err(_) => Err(unreachable(
            &url,
            format!("no answer in {} s", DEADLINE.as_secs()),
        )),
    }
}

/// Reads an answer, and no more of it than there may be.
async fn read(mut response: Response) -> Result<Fetched, String> {
    let headers = response.headers();
    let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
    let is_bearer = |value: &&HeaderValue| {
        let scheme = value.as_bytes().get(..6).unwrap_or_default();
        scheme.eq_ignore_ascii_case(b"bearer")
    };
    let challenge = headers.get_all(WWW_AUTHENTICATE).iter().find(is_bearer);
    let mut fetched = Fetched {
        status: response.status().as_u16(),
        body: Vec::new(),
        location: headers.get(LOCATION).and_then(text),
        challenge: challenge.map(|value| value.as_bytes().to_vec()),
    };
    while let Some(chunk) = response.chunk().await.map_err(|error| chain(&error))? {
        if fetched.body.len() + chunk.len() > BODY_BYTES_MAX {
            return Err(format!("its answer has more than {BODY_BYTES_MAX} bytes"));
        }
        fetched.body.extend_from_slice(&chunk);
    }
    Ok(fetched)
}

async fn look_up(url: &Url) -> Result<Vec<SocketAddr>, String> {
    if let Some(address) = url.address() {
        return Ok(vec![SocketAddr::new(address, url.port)]);
    }
    let found = tokio::net::lookup_host((url.host.as_str(), url.port)).await;
    let found = found.map_err(|error| error.to_string())?;
    let addresses: Vec<SocketAddr> = found.take(ADDRESS_COUNT_MAX).collect();
    match addresses.is_empty() {
        true => Err("it has no address".to_owned()),
        false => Ok(addresses),
    }
}

fn joined(url: &str, location: &str) -> Option<String> {
    let joined = url::Url::parse(url).ok()?.join(location).ok()?;
    Some(joined.into())
}

fn unreachable(url: &str, why: String) -> FetchError {
    // A query may have in it what is nobody's business.
    let url = url.split('?').next().unwrap_or(url).to_owned();
    FetchError::Unreachable { url, why }
}

/// An error with what caused it; the library's own words leave that out. Its URL may have a query, and is said anyway.
fn chain(error: &reqwest::Error) -> String {
    let mut words = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        words.push(error.to_string());
        cause = error.source();
    }
    match words.is_empty() {
        true => "it broke off".to_owned(),
        false => words.join(": "),
    }
}

#[cfg(test)]
#[path = "fetch/tests.rs"]
mod tests;
