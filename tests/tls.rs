//! TLS on both listeners, with real sockets, files and signals: who may not be trusted is not served, and who is served is never
//! cut off by a new certificate.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustls::{ClientConfig, ClientConnection};
use serde_json::json;

use crate::harness::authority::{Authority, Signed};
use crate::harness::{Answer, Appliance, Client, Secured, binary, scratch};

/// Certificates in files.
struct Secrets {
    authority: Authority,
    folder: std::path::PathBuf,
}

impl Secrets {
    fn new() -> Self {
        let secrets = Self {
            authority: Authority::new(),
            folder: scratch("tls"),
        };
        secrets.renew();
        secrets.write("ca.pem", &secrets.authority.pem);
        secrets
    }

    /// Writes a file whole: nobody ever sees half of it.
    fn write(&self, name: &str, text: &str) {
        let (path, new) = (self.folder.join(name), self.folder.join("new"));
        std::fs::write(&new, text).unwrap();
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::rename(new, path).unwrap();
    }

    /// Another certificate and key for the same name.
    fn renew(&self) -> Signed {
        let signed = self.authority.sign("localhost");
        self.write("cert.pem", &signed.cert);
        self.write("key.pem", &signed.key);
        signed
    }

    fn section(&self, name: &str, more: &str) -> String {
        let folder = self.folder.display();
        format!("{name}: {{cert: {folder}/cert.pem, key: {folder}/key.pem{more}}}\n")
    }

    fn serve(&self, more: &str) -> Appliance {
        Appliance::with(&[], &self.section("tls", more))
    }

    fn client(&self) -> Arc<ClientConfig> {
        self.authority.client()
    }

    fn client_of(&self, own: &Signed) -> Arc<ClientConfig> {
        let versions = rustls::ALL_VERSIONS;
        self.authority
            .client_with(versions, &["http/1.1"], Some(own))
    }
}

fn echo<S: Read + Write>(client: &mut Client<S>, text: &str) {
    let result = client.call("echo", json!({ "text": text }));
    assert!(result["structuredContent"]["result"] == text, "{result}");
}

/// Whether a connection with this configuration is served.
fn is_served(address: SocketAddr, config: &Arc<ClientConfig>) -> bool {
    let mut client = Client::secure(address, config);
    let sent = client
        .stream
        .write_all(b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut first = [0; 9];
    sent.is_ok() && client.stream.read_exact(&mut first).is_ok() && &first == b"HTTP/1.1 "
}

#[test]
fn calls_large_bodies_and_streams_pass_over_tls_and_the_urls_say_https() {
    let secrets = Secrets::new();
    for io in ["uring", "epoll"] {
        let appliance = Appliance::with(&["--io", io], &secrets.section("tls", ""));
        let mut client = Client::secure(appliance.address, &secrets.client());
        echo(&mut client, "hello");
        echo(&mut client, &"x".repeat(1 << 20));
        let params = json!({"notifications": {"toolsListChanged": true}});
        let (body, headers) = crate::harness::modern(5, "subscriptions/listen", params);
        client.send(crate::harness::request(&body, &headers));
        assert!(client.head().starts_with("HTTP/1.1 200 "));
        assert_eq!(
            client.event()["method"],
            "notifications/subscriptions/acknowledged"
        );
        assert_eq!(appliance.metric("margay_tls_handshakes_total", "full"), 1.0);
        let expiry = "margay_tls_certificate_expiry_timestamp_seconds";
        assert!(appliance.metric(expiry, "") > 2e9);
    }
}

#[test]
fn every_version_that_is_allowed_is_spoken_and_no_other() {
    let secrets = Secrets::new();
    let newest = secrets.serve(", min_version: 1.3");
    let both = secrets.serve("");
    for version in rustls::ALL_VERSIONS {
        let config = secrets.authority.client_with(&[version], &[], None);
        let is_newest = version.version == rustls::ProtocolVersion::TLSv1_3;
        assert!(is_served(both.address, &config));
        assert_eq!(is_served(newest.address, &config), is_newest);
    }
    let h2 = secrets
        .authority
        .client_with(rustls::ALL_VERSIONS, &["h2"], None);
    assert!(!is_served(both.address, &h2));
}

#[test]
fn plain_http_on_the_port_of_tls_is_told_what_is_spoken_there() {
    let secrets = Secrets::new();
    let appliance = secrets.serve("");
    let mut client = appliance.connect();
    client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let answer = client.answer();
    assert_eq!(answer.status, 400);
    assert!(
        answer.json()["error"]
            .as_str()
            .unwrap()
            .contains("https://")
    );
    assert!(client.rest().is_empty());
    // And whoever speaks TLS to a plain port is refused as any garbage is.
    let plain = Appliance::start();
    assert!(!is_served(plain.address, &secrets.client()));
}

#[test]
fn clients_without_a_good_certificate_are_not_served_where_one_is_required() {
    let secrets = Secrets::new();
    let ca = format!(", client_ca: {}/ca.pem", secrets.folder.display());
    let required = secrets.serve(&ca);
    let optional = secrets.serve(&format!("{ca}, client_certificates: optional"));
    let good = secrets.client_of(&secrets.authority.sign("someone"));
    let stranger = secrets.client_of(&Authority::new().sign("someone"));
    let expired = secrets.client_of(&secrets.authority.sign_expired("someone"));
    for (config, when_required, when_optional) in [
        (&good, true, true),
        (&secrets.client(), false, true),
        (&stranger, false, false),
        (&expired, false, false),
    ] {
        assert_eq!(is_served(required.address, config), when_required);
        assert_eq!(is_served(optional.address, config), when_optional);
    }
    required.eventually("the failures are counted", || {
        required.metric("margay_tls_handshakes_total", "failed") >= 3.0
    });
}

#[test]
fn clients_come_back_with_a_ticket() {
    let secrets = Secrets::new();
    let appliance = secrets.serve("");
    let config = secrets.client();
    for _ in 0..3 {
        echo(&mut Client::secure(appliance.address, &config), "again");
    }
    assert_eq!(appliance.metric("margay_tls_handshakes_total", "full"), 1.0);
    assert_eq!(
        appliance.metric("margay_tls_handshakes_total", "resumed"),
        2.0
    );
}

/// Calls until it is told to stop, on connections of `per_connection` calls each; how many.
fn load(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    per_connection: usize,
    stop: &AtomicBool,
) -> usize {
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut client = Client::secure(address, config);
        for _ in 0..per_connection {
            echo(&mut client, "under load");
            count += 1;
        }
    }
    count
}

#[test]
fn certificates_are_exchanged_under_load_and_nobody_is_cut_off() {
    let secrets = Secrets::new();
    let appliance = secrets.serve("");
    let (address, config) = (appliance.address, secrets.client());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let loads = [1, 7, 1_000_000].map(|per_connection| {
            let (config, stop) = (&config, &stop);
            scope.spawn(move || {
                if per_connection < 1_000 {
                    return load(address, config, per_connection, stop);
                }
                // One connection for all of the time.
                let (mut client, mut count) = (Client::secure(address, config), 0);
                while !stop.load(Ordering::Relaxed) {
                    echo(&mut client, "still here");
                    count += 1;
                }
                count
            })
        });
        for round in 0..4 {
            let der = secrets.renew().der().to_vec();
            if round % 2 == 1 {
                appliance.signal("HUP");
            }
            appliance.eventually("the new certificate is shown", || {
                let mut client = Client::secure(address, &secrets.client());
                echo(&mut client, "new");
                client.certificate() == der
            });
        }
        stop.store(true, Ordering::Relaxed);
        for load in loads {
            assert!(load.join().unwrap() > 10, "nothing was asked meanwhile");
        }
    });
}

#[test]
fn a_broken_certificate_is_not_used_and_said_to_be_broken() {
    let secrets = Secrets::new();
    let appliance = secrets.serve("");
    let before = {
        let mut client = Client::secure(appliance.address, &secrets.client());
        echo(&mut client, "before");
        client.certificate()
    };
    secrets.write("key.pem", &secrets.authority.sign("localhost").key);
    appliance.eventually("it is said", || {
        let said = appliance.stderr();
        said.contains("the one before it still is") && said.contains("key.pem")
    });
    let mut client = Client::secure(appliance.address, &secrets.client());
    echo(&mut client, "after");
    assert_eq!(client.certificate(), before);
    // And the next good one is.
    let der = secrets.renew().der().to_vec();
    appliance.eventually("the next one is used", || {
        let mut client = Client::secure(appliance.address, &secrets.client());
        echo(&mut client, "next");
        client.certificate() == der
    });
}

#[test]
fn slow_and_silent_clients_are_closed_at_the_deadlines() {
    let secrets = Secrets::new();
    let limits = "limits: {handshake_deadline: 500ms, head_deadline: 1s, write_deadline: 1s}\n";
    let config = secrets.section("tls", "") + limits;
    let appliance = Appliance::with(&[], &config);
    let ends = |stream: &mut TcpStream| {
        let begun = Instant::now();
        let _ = stream.read_to_end(&mut Vec::new());
        begun.elapsed() < Duration::from_secs(5)
    };
    let mut silent = appliance.connect().stream;
    let mut half = appliance.connect().stream;
    half.write_all(&[22, 3, 1]).unwrap();
    assert!(ends(&mut silent) && ends(&mut half));
    assert_eq!(
        appliance.metric("margay_connection_deadlines_total", "handshake"),
        2.0
    );
    // One that asks for much and reads nothing.
    let mut deaf = Client::secure(appliance.address, &secrets.client());
    echo(&mut deaf, "x");
    let (body, headers) = crate::harness::modern(
        1,
        "tools/call",
        json!({"name": "echo", "arguments": {"text": "y".repeat(1 << 20)}}),
    );
    let asked = crate::harness::request(&body, &headers);
    let _ = deaf
        .stream
        .sock
        .set_write_timeout(Some(Duration::from_millis(50)));
    // It goes on asking for as long as that takes: a slow server must first have read more than the kernels hold of its answers.
    let mut sent = 0;
    appliance.eventually("the deaf one is closed", || {
        let rest = &asked.as_bytes()[sent % asked.len()..];
        sent += deaf.stream.write(rest).unwrap_or(0);
        appliance.metric("margay_connection_deadlines_total", "write") >= 1.0
    });
    // Everybody else is served.
    echo(
        &mut Client::secure(appliance.address, &secrets.client()),
        "x",
    );
}

#[test]
fn a_half_closed_client_has_its_answer_and_a_goodbye() {
    let secrets = Secrets::new();
    let appliance = secrets.serve("");
    let mut client = Client::secure(appliance.address, &secrets.client());
    echo(&mut client, "first");
    client.send("GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.stream.conn.send_close_notify();
    client.stream.flush().unwrap();
    client.stream.sock.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.answer().status, 404);
    assert!(client.rest().is_empty());
    let state = client.stream.conn.process_new_packets().unwrap();
    assert!(state.peer_has_closed(), "it ended without a goodbye");
}

fn asks_admin(address: SocketAddr, config: &Arc<ClientConfig>) -> Option<Answer> {
    is_served(address, config).then(|| Client::secure(address, config).get("/healthz"))
}

#[test]
fn the_admin_listener_speaks_tls_with_whom_it_is_told_to() {
    let secrets = Secrets::new();
    let ca = format!(", client_ca: {}/ca.pem", secrets.folder.display());
    let config = secrets.section("admin_tls", &ca);
    let appliance = Appliance::with(&[], &config);
    let operator = secrets.client_of(&secrets.authority.sign("operator"));
    let answer = asks_admin(appliance.admin, &operator).unwrap();
    assert_eq!(answer.status, 200);
    for other in [
        secrets.client(),
        secrets.client_of(&Authority::new().sign("operator")),
        secrets.client_of(&secrets.authority.sign_expired("operator")),
    ] {
        assert!(asks_admin(appliance.admin, &other).is_none());
    }
    // Plain HTTP is not served either, and who is silent keeps nobody out.
    let mut plain = Client::connect(appliance.admin);
    plain.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(!plain.rest().starts_with(b"HTTP/"));
    let _silent: Vec<Client> = (0..10).map(|_| Client::connect(appliance.admin)).collect();
    assert!(asks_admin(appliance.admin, &operator).is_some());
    // Its certificate is exchanged as the other one's is.
    let mut old = Client::secure(appliance.admin, &operator);
    assert_eq!(old.get("/healthz").status, 200);
    let der = secrets.renew().der().to_vec();
    appliance.eventually("the new certificate is shown", || {
        let mut client = Client::secure(appliance.admin, &operator);
        client.get("/healthz").status == 200 && client.certificate() == der
    });
    assert_eq!(old.get("/healthz").status, 200);
    // MCP is plain all the same.
    let mut client = appliance.connect();
    echo(&mut client, "plain");
}

/// What `serve` says when it cannot start.
fn refusal(cert: &Path, key: &Path) -> (Option<i32>, String) {
    let output = Command::new(binary())
        .args(["serve", "--listen", "127.0.0.1:0", "--admin", "off"])
        .arg("--tls-cert")
        .arg(cert)
        .arg("--tls-key")
        .arg(key)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

#[test]
fn a_start_without_a_usable_certificate_is_refused_with_the_file_and_the_remedy() {
    let secrets = Secrets::new();
    let path = |name: &str| secrets.folder.join(name);
    secrets.write("other.pem", &secrets.authority.sign("localhost").key);
    let (code, said) = refusal(&path("cert.pem"), &path("other.pem"));
    assert_eq!(code, Some(78), "{said}");
    assert!(
        said.contains("other.pem: is not the key of the certificate"),
        "{said}"
    );
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(path("key.pem"), open).unwrap();
    let (code, said) = refusal(&path("cert.pem"), &path("key.pem"));
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("chmod o="), "{said}");
    let (code, said) = refusal(&path("none.pem"), &path("other.pem"));
    assert_eq!(code, Some(66), "{said}");
    assert!(said.contains("none.pem"), "{said}");
}

#[test]
fn a_drain_says_goodbye_to_who_is_idle() {
    let secrets = Secrets::new();
    let mut appliance = secrets.serve("");
    let mut client: Client<Secured> = Client::secure(appliance.address, &secrets.client());
    echo(&mut client, "x");
    appliance.signal("TERM");
    assert!(client.rest().is_empty());
    let conn: &mut ClientConnection = &mut client.stream.conn;
    assert!(conn.process_new_packets().unwrap().peer_has_closed());
    drop(client);
    assert_eq!(appliance.wait(), Some(0));
}
