//! Who asks, as the admin listener knows it.

use std::io::{Read, Write};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::super::listener::Bounded;
use super::*;
use authority::{Authority, Signed, server};

#[allow(dead_code, clippy::duplicate_mod)]
#[path = "../../../../tests/harness/authority.rs"]
mod authority;

/// Tells who asks: the length of the certificate that it has shown.
async fn who(ConnectInfo(peer): ConnectInfo<Peer>) -> String {
    assert!(peer.address.ip().is_loopback());
    peer.certificate()
        .map_or_else(|| "nobody".to_owned(), |der| der.len().to_string())
}

fn ask(address: SocketAddr, config: &Arc<ClientConfig>) -> String {
    let name = "localhost".try_into().unwrap();
    let client = ClientConnection::new(Arc::clone(config), name).unwrap();
    let stream = std::net::TcpStream::connect(address).unwrap();
    let mut stream = StreamOwned::new(client, stream);
    let asked = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut answer = String::new();
    let _ = stream.write_all(asked);
    let _ = stream.read_to_string(&mut answer);
    let body = answer.split_once("\r\n\r\n");
    body.map_or("refused", |(_, body)| body).to_owned()
}

fn client(authority: &Authority, own: Option<&Signed>) -> Arc<ClientConfig> {
    authority.client_with(rustls::ALL_VERSIONS, &["http/1.1"], own)
}

#[test]
fn who_asks_is_known_by_its_certificate_also_with_a_ticket() {
    let authority = Authority::new();
    let clients = Some(authority.verifier(false));
    let setup = |clients: &Option<Arc<_>>, config| TlsSetup {
        config: Arc::new(config),
        clients: clients.clone(),
        expires_unix_s: None,
    };
    let config = server(&authority.sign("localhost"), clients.clone());
    let tickets = Arc::clone(&config.ticketer);
    let tls = Arc::new(TlsListener::new(setup(&clients, config)));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let bound = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
    let bound = bound.unwrap();
    let address = bound.local_addr().unwrap();
    let bounded = Bounded::new(bound, 2, Duration::from_secs(5)).with_tls(Some(Arc::clone(&tls)));
    let router = Router::new().route("/", get(who));
    let service = router.into_make_service_with_connect_info::<Peer>();
    runtime.spawn(async move { axum::serve(bounded, service).await });

    let operator = authority.sign("operator");
    let known = client(&authority, Some(&operator));
    let length = operator.der().len().to_string();
    for _ in 0..3 {
        assert_eq!(ask(address, &known), length);
    }
    assert_eq!(ask(address, &client(&authority, None)), "nobody");
    let stranger = Authority::new().sign("operator");
    assert_eq!(
        ask(address, &client(&authority, Some(&stranger))),
        "refused"
    );
    // Who is trusted changes; the tickets are still good, and what they bring along is not.
    let clients = Some(Authority::new().verifier(false));
    let mut config = server(&authority.sign("localhost"), clients.clone());
    config.ticketer = tickets;
    tls.exchange(setup(&clients, config));
    assert_eq!(ask(address, &known), "refused");
}
