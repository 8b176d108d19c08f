//! Handshakes with a server in memory, its certificate made for the test.

use std::net::IpAddr;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls::server::WebPkiClientVerifier;
use rustls::{ServerConfig, ServerConnection};

use super::*;

/// An authority and what it signs.
pub(in crate::upstream) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// Certificate and key in PEM form.
    pub fn sign(&self, name: &str) -> (String, String) {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params
            .subject_alt_names
            .push(SanType::IpAddress(IpAddr::from([127, 0, 0, 1])));
        let key = KeyPair::generate().unwrap();
        (
            params.signed_by(&key, &self.issuer).unwrap().pem(),
            key.serialize_pem(),
        )
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap())
            .unwrap();
        roots
    }
}

pub(in crate::upstream) struct Files(tempfile::TempDir);

impl Files {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

/// A server for `localhost`; with `clients`, one that wants a certificate of theirs.
pub(in crate::upstream) fn server(
    authority: &Authority,
    clients: Option<&Authority>,
) -> ServerConnection {
    let (certificate, key) = authority.sign("localhost");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => builder.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(Arc::new(clients.roots()), provider)
                .build()
                .unwrap(),
        ),
    };
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = builder.with_single_cert(chain, key).unwrap();
    ServerConnection::new(Arc::new(config)).unwrap()
}

/// What both sides read, and how it ended.
struct Talk {
    client: TlsConnection,
    server: ServerConnection,
    to_client: Vec<u8>,
    to_server: Vec<u8>,
    piece_bytes: usize,
}

impl Talk {
    fn new(client: TlsConnection, server: ServerConnection, piece_bytes: usize) -> Self {
        Self {
            client,
            server,
            to_client: Vec::new(),
            to_server: Vec::new(),
            piece_bytes,
        }
    }

    /// Moves bytes both ways, in pieces, until none is left.
    fn run(&mut self) -> Result<(), TlsError> {
        loop {
            let (mut up, mut down) = (Vec::new(), Vec::new());
            self.client.take_output(&mut up);
            for mut piece in up.chunks(self.piece_bytes) {
                while !piece.is_empty() {
                    self.server.read_tls(&mut piece).unwrap();
                    if self.server.process_new_packets().is_err() {
                        break;
                    }
                    let _ = self.server.reader().read_to_end(&mut self.to_server);
                }
            }
            while self.server.wants_write() {
                self.server.write_tls(&mut down).unwrap();
            }
            if up.is_empty() && down.is_empty() {
                return Ok(());
            }
            for piece in down.chunks(self.piece_bytes) {
                self.client.receive(piece, &mut self.to_client)?;
            }
        }
    }
}

fn client(options: &TlsOptions, host: &str) -> TlsConnection {
    TlsClient::new(options).unwrap().connect(host).unwrap()
}

#[test]
fn bytes_pass_both_ways_at_any_split_and_ends_are_told_apart() {
    let (authority, files) = (Authority::new(), Files::new());
    let options = TlsOptions {
        ca: Some(files.write("ca.pem", &authority.pem)),
        identity: None,
    };
    let request: Vec<u8> = (0..200_000_u32).map(|at| (at % 251) as u8).collect();
    for piece_bytes in [1, 7, 1_000, usize::MAX] {
        for host in ["localhost", "127.0.0.1"] {
            let mut talk = Talk::new(
                client(&options, host),
                server(&authority, None),
                piece_bytes,
            );
            talk.client.send(&request).unwrap();
            assert!(talk.client.is_handshaking());
            talk.run().unwrap();
            assert!(!talk.client.is_handshaking());
            assert_eq!(talk.to_server, request);
            assert_eq!(talk.server.alpn_protocol(), None, "the server offers none");
            talk.server.set_buffer_limit(None);
            talk.server.writer().write_all(&request[..100_000]).unwrap();
            talk.run().unwrap();
            assert_eq!(talk.to_client, request[..100_000]);
            assert!(!talk.client.ended(), "an end now would be a cut");
            talk.server.send_close_notify();
            talk.run().unwrap();
            assert!(talk.client.ended());
            talk.client.close();
            assert!(talk.client.take_output(&mut Vec::new()));
        }
    }
}

#[test]
fn who_cannot_prove_its_name_is_not_talked_to() {
    let (authority, other, files) = (Authority::new(), Authority::new(), Files::new());
    let ca = |authority: &Authority, name: &str| TlsOptions {
        ca: Some(files.write(name, &authority.pem)),
        identity: None,
    };
    for (options, host) in [
        (ca(&other, "other.pem"), "localhost"),
        (ca(&authority, "ca.pem"), "example.com"),
        (ca(&authority, "ca.pem"), "10.0.0.1"),
    ] {
        let mut talk = Talk::new(client(&options, host), server(&authority, None), usize::MAX);
        talk.client.send(b"secret").unwrap();
        let error = talk.run().unwrap_err();
        assert!(error.is_certificate(), "{host}: {error}");
        let mut alert = Vec::new();
        assert!(
            talk.client.take_output(&mut alert),
            "the other side is told"
        );
        assert!(talk.to_server.is_empty(), "and nothing else");
    }
}

#[test]
fn a_client_certificate_is_shown_to_those_who_want_one() {
    let (authority, clients, files) = (Authority::new(), Authority::new(), Files::new());
    let (certificate, key) = clients.sign("client");
    let mut options = TlsOptions {
        ca: Some(files.write("ca.pem", &authority.pem)),
        identity: Some((
            files.write("cert.pem", &certificate),
            files.write("key.pem", &key),
        )),
    };
    let mut talk = Talk::new(
        client(&options, "localhost"),
        server(&authority, Some(&clients)),
        100,
    );
    talk.client.send(b"hello").unwrap();
    talk.run().unwrap();
    assert_eq!(talk.to_server, b"hello");
    options.identity = None;
    let mut talk = Talk::new(
        client(&options, "localhost"),
        server(&authority, Some(&clients)),
        100,
    );
    talk.client.send(b"hello").unwrap();
    let error = talk.run().unwrap_err();
    assert!(
        !error.is_certificate() && error.to_string().contains("ertificate"),
        "{error}"
    );
    assert!(talk.to_server.is_empty());
}

#[test]
fn what_is_no_tls_is_an_error() {
    let (authority, files) = (Authority::new(), Files::new());
    let options = TlsOptions {
        ca: Some(files.write("ca.pem", &authority.pem)),
        identity: None,
    };
    let mut plain = Vec::new();
    let mut connection = client(&options, "localhost");
    assert!(
        connection
            .receive(b"HTTP/1.1 400 Bad Request\r\n\r\n", &mut plain)
            .is_err()
    );
    assert!(plain.is_empty());
    assert!(
        TlsClient::new(&options)
            .unwrap()
            .connect("not a name")
            .is_err()
    );
}

#[test]
fn a_wrong_file_is_named() {
    let (authority, files) = (Authority::new(), Files::new());
    let ca = files.write("ca.pem", &authority.pem);
    let (certificate, key) = authority.sign("a");
    let (_, other_key) = authority.sign("b");
    let certificate = files.write("cert.pem", &certificate);
    let of = |ca: &Path, identity: Option<(&Path, &Path)>| {
        let options = TlsOptions {
            ca: Some(ca.to_owned()),
            identity: identity.map(|(certificate, key)| (certificate.to_owned(), key.to_owned())),
        };
        TlsClient::new(&options)
            .map(drop)
            .map_err(|error| error.to_string())
    };
    assert_eq!(
        of(&ca, Some((&certificate, &files.write("key.pem", &key)))),
        Ok(())
    );
    let missing = of(Path::new("/nonexistent/ca.pem"), None).unwrap_err();
    assert!(missing.contains("/nonexistent/ca.pem"), "{missing}");
    let empty = of(&files.write("empty.pem", "nothing"), None).unwrap_err();
    assert!(empty.contains("empty.pem: has no certificate"), "{empty}");
    let keyless = of(&ca, Some((&certificate, &ca))).unwrap_err();
    assert!(keyless.contains("ca.pem: has no private key"), "{keyless}");
    let strange = of(
        &ca,
        Some((&certificate, &files.write("other.pem", &other_key))),
    )
    .unwrap_err();
    assert!(strange.starts_with("tls.cert and tls.key"), "{strange}");
}
