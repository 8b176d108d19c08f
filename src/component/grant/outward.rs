//! The way out: names resolved here, connections to addresses that were checked, TLS by our own roots.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, OnceCell, OwnedMutexGuard, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use wasmtime_wasi_http::Error;

use crate::audit::Audit;
use crate::limits::{
    COMPONENT_CONNECT_COUNT_MAX, COMPONENT_CONNECT_DEADLINE, COMPONENT_LOOKUP_COUNT_MAX,
    COMPONENT_LOOKUP_DEADLINE,
};
use crate::policy::permission::{By, Own};

/// The addresses of a name, on their way.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;

/// Whoever knows the addresses of names.
pub trait Resolve: fmt::Debug + Send + Sync {
    /// The addresses of a name. Each is checked before anything is sent there, whatever the name.
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a>;
}

/// The system's resolver. Each lookup takes a thread until it ends, whoever has given up waiting for it; so many take one at a time.
#[derive(Debug)]
struct System(Arc<Semaphore>);

impl Resolve for System {
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a> {
        Box::pin(async move {
            let place = Arc::clone(&self.0).acquire_owned().await;
            let place = place.map_err(io::Error::other)?;
            let name = name.to_owned();
            let looked = tokio::task::spawn_blocking(move || {
                let found = (name.as_str(), 0).to_socket_addrs();
                drop(place);
                found
            });
            Ok(looked.await??.map(|address| address.ip()).collect())
        })
    }
}

/// A connection, plain or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What the gates of one runtime have in common.
pub(crate) struct Outward {
    resolver: Arc<dyn Resolve>,
    /// PEM file of roots that are trusted instead of the system's.
    ca: Option<PathBuf>,
    tls: OnceCell<Arc<ClientConfig>>,
    /// Set once the log is there, which is after the first components are.
    audit: OnceLock<Audit>,
    /// Held by whoever moves or links files.
    moves: Arc<Mutex<()>>,
    /// What no component is given.
    own: Own,
}

impl Outward {
    pub(crate) fn new(
        resolver: Option<Arc<dyn Resolve>>,
        ca: Option<PathBuf>,
        own: Own,
    ) -> Arc<Self> {
        Arc::new(Self {
            resolver: resolver.unwrap_or_else(|| {
                Arc::new(System(Arc::new(Semaphore::new(COMPONENT_LOOKUP_COUNT_MAX))))
            }),
            ca,
            tls: OnceCell::new(),
            audit: OnceLock::new(),
            moves: Arc::default(),
            own,
        })
    }

    /// The rule that keeps a path to the server, if it is one of its own.
    pub(super) fn own(&self, path: &str) -> Option<By> {
        self.own.rule(path)
    }

    /// The right to move or link files, which one has at a time.
    pub(super) async fn moving(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.moves).lock_owned().await
    }

    /// Whether it was the first to be set.
    pub(crate) fn set_audit(&self, audit: Audit) -> bool {
        self.audit.set(audit).is_ok()
    }

    pub(super) fn audit(&self) -> Option<&Audit> {
        self.audit.get()
    }

    /// The addresses of a name, those that map to IPv4 as IPv4.
    pub(super) async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, Error> {
        let found = timeout(COMPONENT_LOOKUP_DEADLINE, self.resolver.resolve(name)).await;
        let found = found.map_err(|_| Error::DnsTimeout)?;
        let unknown = || Error::DnsError {
            rcode: Some("address not available".to_owned()),
            info_code: None,
        };
        let mut addresses = Vec::new();
        for address in found.map_err(|_| unknown())? {
            let address = address.to_canonical();
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        match addresses.is_empty() {
            true => Err(unknown()),
            false => Ok(addresses),
        }
    }

    /// A connection to the first of these addresses that answers.
    pub(super) async fn connect(
        &self,
        addresses: &[SocketAddr],
        deadline: Option<Duration>,
    ) -> Result<TcpStream, Error> {
        let deadline = bounded(deadline);
        let mut last = Error::DestinationUnavailable;
        for address in addresses.iter().take(COMPONENT_CONNECT_COUNT_MAX) {
            last = match timeout(deadline, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // A request waits for nothing behind it.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    Error::ConnectionRefused
                }
                Ok(Err(_)) => Error::DestinationUnavailable,
                Err(_) => Error::ConnectionTimeout,
            };
        }
        Err(last)
    }

    /// TLS with whoever can show that it is `name`.
    pub(super) async fn secure(
        &self,
        stream: TcpStream,
        name: ServerName<'static>,
        deadline: Option<Duration>,
    ) -> Result<impl Stream + use<>, Error> {
        let tls = self.tls.get_or_try_init(|| self.client()).await?;
        let handshake = TlsConnector::from(Arc::clone(tls)).connect(name, stream);
        match timeout(bounded(deadline), handshake).await {
            Err(_) => Err(Error::ConnectionTimeout),
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(refused(&error)),
        }
    }

    async fn client(&self) -> Result<Arc<ClientConfig>, Error> {
        let ca = self.ca.clone();
        let read = tokio::task::spawn_blocking(move || client(ca)).await;
        match read {
            Ok(Ok(client)) => Ok(client),
            Ok(Err(problem)) => {
                tracing::error!("components have no TLS: {problem}");
                Err(Error::ConfigurationError)
            }
            Err(_) => Err(Error::InternalError(None)),
        }
    }
}

fn bounded(deadline: Option<Duration>) -> Duration {
    let bound = COMPONENT_CONNECT_DEADLINE;
    deadline.map_or(bound, |deadline| deadline.min(bound))
}

fn refused(error: &io::Error) -> Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            Error::TlsCertificateError
        }
        _ => Error::TlsProtocolError,
    }
}

fn client(ca: Option<PathBuf>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    match ca {
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Some(path) => {
            let problem = |error: &dyn fmt::Display| format!("{}: {error}", path.display());
            let file = CertificateDer::pem_file_iter(&path).map_err(|error| problem(&error))?;
            for certificate in file {
                let certificate = certificate.map_err(|error| problem(&error))?;
                roots.add(certificate).map_err(|error| problem(&error))?;
            }
        }
    }
    if roots.is_empty() {
        return Err("there are no root certificates; install ca-certificates".to_owned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(client))
}

impl fmt::Debug for Outward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outward")
            .field("resolver", &self.resolver)
            .field("ca", &self.ca)
            .finish_non_exhaustive()
    }
}
