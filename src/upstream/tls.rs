//! TLS between the ring's bytes and a client's: no socket, no thread, bytes in and bytes out.
//!
//! ```text
//!   ring ─ciphertext▶ receive ─plain▶ http            http ─plain▶ send ─▶ take_output ─ciphertext▶ ring
//! ```
//!
//! The other side must prove its name with a certificate that leads to a root which is trusted: the system's, or those of a
//! file instead. There is no switch that leaves this out. A connection that ends without saying so may have been cut: what
//! is delimited by its end is incomplete then.

use std::fmt;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// What is trusted, and who we say we are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// PEM file of the roots that are trusted instead of the system's.
    pub ca: Option<PathBuf>,
    /// PEM files of our own certificate, with those that lead from it to a root, and of its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Why TLS cannot be set up; for an operator.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsSetupError {
    /// A file cannot be read, or has not in it what it should.
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The system has no roots where they are looked for.
    NoRoots(String),
    /// Certificate and key do not go together, or are of a kind that is not supported.
    Identity(String),
}

impl fmt::Display for TlsSetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, problem } => write!(f, "{}: {problem}", path.display()),
            Self::NoRoots(problem) => write!(
                f,
                "the system has no root certificates ({problem}); install ca-certificates, or name a file in tls.ca"
            ),
            Self::Identity(problem) => write!(f, "tls.cert and tls.key: {problem}"),
        }
    }
}

impl std::error::Error for TlsSetupError {}

/// Why a connection is given up.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsError(rustls::Error);

impl TlsError {
    /// Whether the other side's certificate is the reason: trying again does not help.
    pub fn is_certificate(&self) -> bool {
        matches!(
            self.0,
            rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented
        )
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TLS: {}", self.0)
    }
}

impl std::error::Error for TlsError {}

/// What connections to one upstream have in common; cheap to clone.
#[derive(Clone, Debug)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
}

impl TlsClient {
    /// Reads the files, or the system's roots. Blocks; for start-up and reloads.
    ///
    /// Errors: what is wrong with which file.
    pub fn new(options: &TlsOptions) -> Result<Self, TlsSetupError> {
        let roots = match &options.ca {
            Some(path) => file_roots(path)?,
            None => system_roots()?,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsSetupError::Identity(error.to_string()))?
            .with_root_certificates(roots);
        let mut config = match &options.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = certificates(certificate)?;
                let key =
                    PrivateKeyDer::from_pem_file(key).map_err(|error| TlsSetupError::File {
                        path: key.clone(),
                        problem: format!("has no private key in PEM form: {error}"),
                    })?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| TlsSetupError::Identity(error.to_string()))?
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            config: Arc::new(config),
        })
    }

    /// The same for a client that is not ours.
    pub(crate) fn config(&self) -> ClientConfig {
        ClientConfig::clone(&self.config)
    }

    /// What requests of control's own trust, as to an authorization server: the system's roots, and those of this file beside
    /// them. On a system without any, nobody is trusted. Blocks.
    ///
    /// Errors: what is wrong with the file.
    pub fn beside_system(ca: Option<&Path>) -> Result<ClientConfig, TlsSetupError> {
        let mut roots = system_roots().unwrap_or_else(|_| RootCertStore::empty());
        if let Some(path) = ca {
            roots.extend(file_roots(path)?.roots);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsSetupError::Identity(error.to_string()))?;
        Ok(builder.with_root_certificates(roots).with_no_client_auth())
    }

    /// A connection to `host`, a name or an address, which the other side's certificate has to have.
    ///
    /// Errors: it is neither.
    pub fn connect(&self, host: &str) -> Result<TlsConnection, TlsError> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| TlsError(rustls::Error::General(format!("{host} is no host name"))))?;
        let mut connection =
            ClientConnection::new(Arc::clone(&self.config), name).map_err(TlsError)?;
        // A request that is sent before the handshake is over waits in it; it is bounded where it is made.
        connection.set_buffer_limit(None);
        Ok(TlsConnection { connection })
    }
}

fn file_roots(path: &Path) -> Result<RootCertStore, TlsSetupError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| TlsSetupError::File {
                path: path.to_owned(),
                problem: error.to_string(),
            })?;
    }
    Ok(roots)
}

fn system_roots() -> Result<RootCertStore, TlsSetupError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Among the system's there may be some that are malformed; the others count.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let problem = found
            .errors
            .first()
            .map_or_else(|| "none found".to_owned(), ToString::to_string);
        return Err(TlsSetupError::NoRoots(problem));
    }
    Ok(roots)
}

/// The certificates of a PEM file; at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsSetupError> {
    let problem = |problem: String| TlsSetupError::File {
        path: path.to_owned(),
        problem,
    };
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .map_err(|error| problem(error.to_string()))?
        .collect();
    let found = found.map_err(|error| problem(error.to_string()))?;
    if found.is_empty() {
        return Err(problem("has no certificate in PEM form".to_owned()));
    }
    Ok(found)
}

/// One connection.
#[derive(Debug)]
pub struct TlsConnection {
    connection: ClientConnection,
}

impl TlsConnection {
    /// Whether nothing can be received yet. What is sent waits.
    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Takes in what arrived, and appends what it says to `plain`.
    ///
    /// Shape: take the output afterwards, also after an error: it tells the other side why. What came before an error is appended.
    /// Errors: close the connection.
    pub fn receive(&mut self, mut input: &[u8], plain: &mut Vec<u8>) -> Result<(), TlsError> {
        while !input.is_empty() {
            // Fails only when what was decrypted is not read, which it is below.
            self.connection.read_tls(&mut input).map_err(general)?;
            let state = match self.connection.process_new_packets() {
                Ok(state) => state,
                Err(error) => {
                    // What was said before the failure was said, however its bytes came; that there is no more is no error here.
                    let _ = self.connection.reader().read_to_end(plain);
                    return Err(TlsError(error));
                }
            };
            let before = plain.len();
            plain.resize(before + state.plaintext_bytes_to_read(), 0);
            self.connection
                .reader()
                .read_exact(&mut plain[before..])
                .map_err(general)?;
            if state.peer_has_closed() {
                break;
            }
        }
        Ok(())
    }

    /// Encrypts; take the output afterwards.
    ///
    /// Errors: the connection is closed for sending.
    pub fn send(&mut self, plain: &[u8]) -> Result<(), TlsError> {
        self.connection.writer().write_all(plain).map_err(general)
    }

    /// Says that no more will be sent; take the output afterwards.
    pub fn close(&mut self) {
        self.connection.send_close_notify();
    }

    /// Whether there is something to be sent now.
    pub fn wants_output(&self) -> bool {
        self.connection.wants_write()
    }

    /// Appends what is to be sent now; whether there was anything.
    pub fn take_output(&mut self, out: &mut Vec<u8>) -> bool {
        let before = out.len();
        while self.connection.wants_write() {
            // Writing into memory cannot fail.
            if self.connection.write_tls(out).is_err() {
                break;
            }
        }
        out.len() > before
    }

    /// Whether the other side said that it would send no more. Where its bytes end without that, they may have been cut.
    pub fn ended(&mut self) -> bool {
        self.connection
            .process_new_packets()
            .is_ok_and(|state| state.peer_has_closed())
    }
}

fn general(error: io::Error) -> TlsError {
    TlsError(rustls::Error::General(error.to_string()))
}

#[cfg(test)]
#[path = "tls/tests.rs"]
pub(super) mod tests;
