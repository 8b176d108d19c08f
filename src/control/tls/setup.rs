//! From files to what connections begin with.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{Error, InconsistentKeys, RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::files;
use super::validity::{self, Validity};
use crate::control::config::{ClientCertificates, Tls, TlsVersion};
use crate::error::{Problem, exit};
use crate::shard::TlsSetup;

/// The one protocol that is spoken over TLS here (RFC 7301). Who offers others and not this one is refused.
const HTTP_1_1: &[u8] = b"http/1.1";

static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
static NEWEST: [&SupportedProtocolVersion; 1] = [&TLS13];

/// Tickets that clients come back with; their key is another every few hours, and never leaves this process.
pub(super) fn tickets() -> Result<Arc<dyn ProducesTickets>, Problem> {
    Ticketer::new().map_err(|error| {
        Problem::operator(
            exit::HOST,
            "TLS session tickets",
            "",
            error.to_string(),
            "the host must have a random source",
        )
    })
}

/// What was read, and what there is to say about it.
pub(super) struct Loaded {
    pub(super) setup: TlsSetup,
    section: &'static str,
    cert: String,
    validity: Option<Validity>,
}

impl Loaded {
    /// Tells the log.
    pub(super) fn report(&self) {
        let (section, cert) = (self.section, &self.cert);
        match &self.validity {
            None => tracing::info!(section, cert, "certificate in force"),
            Some(validity) => {
                let (subject, until) = (&validity.subject, &validity.until);
                tracing::info!(section, cert, subject, until, "certificate in force");
                if let Some(fault) = validity.fault {
                    tracing::warn!(section, cert, until, "it {fault}: clients refuse it");
                }
            }
        }
    }
}

/// Reads the files of one listener.
///
/// Errors: what is wrong with which of them.
pub(super) fn load(tls: &Tls, tickets: Arc<dyn ProducesTickets>) -> Result<Loaded, Problem> {
    let thing = |key: &str| format!("{}.{key}", tls.section);
    let chain = files::certificates(&thing("cert"), &tls.cert)?;
    let key = files::key(&thing("key"), &tls.key)?;
    let validity = validity::of(&chain[0]);
    let clients = match &tls.client_ca {
        None => None,
        Some(path) => Some(verifier(
            &thing("client_ca"),
            path,
            tls.client_certificates,
        )?),
    };
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions(tls.min_version))
        .map_err(|error| unusable(tls, &error))?;
    let builder = match &clients {
        None => builder.with_no_client_auth(),
        Some(clients) => builder.with_client_cert_verifier(Arc::clone(clients)),
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| unusable(tls, &error))?;
    config.alpn_protocols = vec![HTTP_1_1.to_vec()];
    config.ticketer = tickets;
    // Tickets are kept by the clients; nothing is kept here.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Loaded {
        setup: TlsSetup {
            config: Arc::new(config),
            clients,
            expires_unix_s: validity.as_ref().map(|validity| validity.expires_unix_s),
        },
        section: tls.section,
        cert: tls.cert.display().to_string(),
        validity,
    })
}

fn versions(lowest: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    match lowest {
        TlsVersion::V1_2 => &BOTH,
        TlsVersion::V1_3 => &NEWEST,
    }
}

fn verifier(
    thing: &str,
    path: &Path,
    asked: ClientCertificates,
) -> Result<Arc<dyn ClientCertVerifier>, Problem> {
    let remedy = "name a PEM file of the certificates of authorities";
    let mut roots = RootCertStore::empty();
    for certificate in files::certificates(thing, path)? {
        roots.add(certificate).map_err(|error| {
            let rule = format!("has a certificate in it that no authority can have: {error}");
            files::problem(thing, path, &rule, remedy)
        })?;
    }
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()));
    let builder = match asked {
        ClientCertificates::Optional => builder.allow_unauthenticated(),
        ClientCertificates::None | ClientCertificates::Required => builder,
    };
    let built = builder.build();
    built.map_err(|error| files::problem(thing, path, &error.to_string(), remedy))
}

fn unusable(tls: &Tls, error: &Error) -> Problem {
    let thing = format!("{}.key", tls.section);
    match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            let rule = format!(
                "is not the key of the certificate in {}",
                tls.cert.display()
            );
            let remedy = "name the key that the certificate was made for";
            files::problem(&thing, &tls.key, &rule, remedy)
        }
        Error::InvalidCertificate(_) => {
            let thing = format!("{}.cert", tls.section);
            let rule = format!("has no usable certificate in it: {error}");
            files::problem(&thing, &tls.cert, &rule, "have the certificate issued anew")
        }
        _ => {
            let rule = format!("cannot be used: {error}");
            let remedy = "use an ECDSA P-256 or P-384, Ed25519, or RSA key of at least 2048 bits";
            files::problem(&thing, &tls.key, &rule, remedy)
        }
    }
}
