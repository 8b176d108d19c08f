//! TLS on the data listeners: between what the ring receives and what a connection reads, and between what it writes and what the
//! ring sends. Everything else of a connection is the same with TLS and without.
//!
//! ```text
//!   ring ─ciphertext▶ Tls::take ─plain▶ inbox            answer ─plain▶ Tls::encrypt ─ciphertext▶ ring
//! ```
//!
//! Invariants: an idle connection holds no buffer (rustls is driven without buffers of its own, and what is here waits in pooled
//! ones); what is sent is encrypted in the order in which it is sent; nothing is decrypted for a connection that reads no further;
//! a turn begins a bounded number of handshakes, because each costs as much as many requests.
//!
//! Never here: files, names of files, and when they are read again. The control plane makes a [`TlsSetup`] of them and puts it in
//! force; connections keep the one that they began with.

mod connection;
mod drive;

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::{Error, HandshakeKind, ServerConfig};

pub(super) use connection::Tls;
#[cfg(test)]
pub(super) use connection::TlsFault;
pub(super) use drive::Handshakes;

/// What connections begin with.
#[derive(Clone)]
pub struct TlsSetup {
    /// Certificate, key, versions, resumption.
    pub config: Arc<ServerConfig>,
    /// Who checks the certificates of clients; none: clients are not asked for one.
    pub clients: Option<Arc<dyn ClientCertVerifier>>,
    /// The last second in which the certificate is good, since 1970, where that is known.
    pub expires_unix_s: Option<i64>,
}

impl TlsSetup {
    /// Verifies the certificate of a client that came back with a ticket. The ticket brings it along unseen, and it may have expired
    /// since, or be one that is trusted no more.
    ///
    /// Shape: `certificates` as the client sent them, its own first.
    /// Errors: why it is not good.
    pub fn check_resumed(
        &self,
        kind: Option<HandshakeKind>,
        certificates: Option<&[CertificateDer<'_>]>,
    ) -> Result<(), Error> {
        match (&self.clients, kind, certificates) {
            (Some(clients), Some(HandshakeKind::Resumed), Some([leaf, others @ ..])) => {
                let now = UnixTime::now();
                clients.verify_client_cert(leaf, others, now).map(|_| ())
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for TlsSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSetup")
            .field("asks_for_certificates", &self.clients.is_some())
            .finish_non_exhaustive()
    }
}

/// The setup in force, which may be exchanged while connections are served.
#[derive(Debug)]
pub struct TlsListener {
    setup: ArcSwap<TlsSetup>,
}

impl TlsListener {
    /// A listener with this setup.
    pub fn new(setup: TlsSetup) -> Self {
        Self {
            setup: ArcSwap::from_pointee(setup),
        }
    }

    /// Puts another setup in force, for the connections that begin from now on.
    pub fn exchange(&self, setup: TlsSetup) {
        self.setup.store(Arc::new(setup));
    }

    /// The setup in force.
    pub fn setup(&self) -> Arc<TlsSetup> {
        self.setup.load_full()
    }
}
