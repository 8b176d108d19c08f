//! An upstream as every thread sees it: what the operator said, and what control keeps true of its places.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;

use super::credential::{AuthSettings, Credential};
use super::http::{Endpoint, Url};
use super::settings::Upstream;
use super::tls::TlsClient;
use crate::wire::http1::client::FieldRefused;

/// One upstream. Made once by control, shared by all threads, never replaced.
#[derive(Debug)]
pub struct Remote {
    /// Its place among all upstreams, in order of name.
    pub index: usize,
    /// What the operator said.
    pub settings: Upstream,
    /// The places of an HTTP upstream, in the order of its replicas; none of a stdio upstream.
    pub places: Vec<Place>,
    /// What its requests show, where control gets that.
    pub credential: Credential,
}

impl Remote {
    /// One that has no credential yet.
    pub fn new(index: usize, settings: Upstream, places: Vec<Place>) -> Self {
        let is_managed = settings.auth.as_ref().is_some_and(AuthSettings::is_managed);
        Self {
            index,
            settings,
            places,
            credential: match is_managed {
                true => Credential::managed(),
                false => Credential::default(),
            },
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Whether it is a child's standard input and output.
    pub fn is_stdio(&self) -> bool {
        self.places.is_empty()
    }
}

/// One place of an HTTP upstream.
#[derive(Debug)]
pub struct Place {
    /// Where it is.
    pub url: Url,
    /// Its share, for the balancer.
    pub weight: u32,
    /// The requests that it takes.
    pub endpoint: Arc<Endpoint>,
    /// For `https`.
    pub tls: Option<TlsClient>,
    /// What its host's name resolves to now; empty while it does not.
    pub addresses: ArcSwap<Vec<SocketAddr>>,
    /// The operator's header fields, credentials too, for endpoints that the upstream itself names.
    fields: Vec<(String, String)>,
    healthy: AtomicBool,
}

impl Place {
    /// A place whose name is not resolved yet.
    ///
    /// Errors: a field cannot be sent.
    pub fn new(
        url: Url,
        weight: u32,
        fields: Vec<(String, String)>,
        tls: Option<TlsClient>,
    ) -> Result<Self, FieldRefused> {
        Ok(Self {
            endpoint: Arc::new(Endpoint::new(&url, &fields)?),
            url,
            weight,
            tls,
            addresses: ArcSwap::from_pointee(Vec::new()),
            fields,
            healthy: AtomicBool::new(true),
        })
    }

    /// The endpoint at another address of the same origin, which the upstream named.
    ///
    /// Errors: a field cannot be sent.
    pub fn endpoint_at(&self, url: &Url) -> Result<Endpoint, FieldRefused> {
        Endpoint::new(url, &self.fields)
    }

    /// What active checks say.
    pub fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }

    /// Notes what active checks say.
    pub fn set_healthy(&self, healthy: bool) {
        self.healthy.store(healthy, Ordering::Relaxed);
    }
}

#[cfg(test)]
impl Remote {
    /// An upstream over HTTP of which nothing is said but its name, as the first of all.
    pub(crate) fn sample(name: &str) -> Self {
        let url = Url::parse("http://127.0.0.1:1/mcp").unwrap();
        let transport = super::settings::Transport::Http {
            replicas: Vec::new(),
            headers: Vec::new(),
            tls: super::tls::TlsOptions::default(),
        };
        let place = Place::new(url, 1, Vec::new(), None).unwrap();
        Self::new(0, Upstream::new(name, transport), vec![place])
    }
}
