//! Fetching a document over HTTPS: bounded in time and size, and from nowhere but where the configuration says.
//!
//! No redirect is followed and no proxy of the environment is asked: either could answer in the place of the one that is named.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, header, redirect};
use rustls::{ClientConfig, RootCertStore};
use url::Url;

use crate::upstream::tls::{TlsClient, TlsOptions};

/// Time for a connection, TLS included.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// Time for the whole document.
const FETCH_DEADLINE: Duration = Duration::from_secs(10);
/// Bytes of a document. One of 128 large keys is half as long.
const DOCUMENT_BYTES_MAX: usize = 256 << 10;

/// Fetches one document.
#[derive(Clone, Debug)]
pub(super) struct Fetcher {
    client: Client,
    url: Url,
}

impl Fetcher {
    /// Blocks: reads the roots.
    ///
    /// Errors: they cannot be read, or there are none.
    pub(super) fn new(url: Url, ca: Option<PathBuf>) -> Result<Self, String> {
        let tls = match url.scheme() {
            "https" => {
                let options = TlsOptions { ca, identity: None };
                TlsClient::new(&options)
                    .map_err(|error| error.to_string())?
                    .config()
            }
            // Nothing is trusted by a client that needs to trust nobody.
            _ => {
                let provider = Arc::new(rustls::crypto::ring::default_provider());
                ClientConfig::builder_with_provider(provider)
                    .with_safe_default_protocol_versions()
                    .map_err(|error| error.to_string())?
                    .with_root_certificates(RootCertStore::empty())
                    .with_no_client_auth()
            }
        };
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(url.scheme() == "https")
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_DEADLINE)
            .timeout(FETCH_DEADLINE)
            .pool_max_idle_per_host(0)
            .user_agent(concat!("margay/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { client, url })
    }

    /// Errors: what happened instead, in words.
    pub(super) async fn fetch(&self) -> Result<Vec<u8>, String> {
        let request = self.client.get(self.url.clone());
        let request = request.header(header::ACCEPT, "application/jwk-set+json, application/json");
        let mut response = request.send().await.map_err(|error| causes(&error))?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(format!("the answer is {}, and not 200", response.status()));
        }
        let mut document = Vec::new();
        while let Some(part) = response.chunk().await.map_err(|error| causes(&error))? {
            if document.len() + part.len() > DOCUMENT_BYTES_MAX {
                return Err(format!(
                    "the answer is longer than {DOCUMENT_BYTES_MAX} bytes"
                ));
            }
            document.extend_from_slice(&part);
        }
        Ok(document)
    }
}

/// An error with what caused it: the outermost says only that something went wrong.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
