//! HTTP: by what a request says and by where it goes, with what the host adds and what it counts.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use super::guest::{CERTIFICATE, DENIED, Guest};
use super::*;

/// A server that says what it was asked, or what it is told to say.
struct Server {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    fn at(address: &str, answer: fn(&str) -> String) -> Self {
        Self::with(address, answer, None)
    }

    fn with(
        address: &str,
        answer: fn(&str) -> String,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let (heads, over) = (Arc::new(Mutex::default()), Arc::new(AtomicBool::new(false)));
        let (kept, ended) = (Arc::clone(&heads), Arc::clone(&over));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let mut stream = stream.unwrap();
                let timeout = Some(Duration::from_secs(10));
                stream.set_read_timeout(timeout).unwrap();
                match &tls {
                    None => serve(&mut stream, answer, &kept),
                    Some(config) => {
                        let mut tls = rustls::ServerConnection::new(Arc::clone(config)).unwrap();
                        serve(
                            &mut rustls::Stream::new(&mut tls, &mut stream),
                            answer,
                            &kept,
                        );
                        tls.send_close_notify();
                        let _ = tls.write_tls(&mut stream);
                    }
                }
            }
        });
        Self {
            address,
            heads,
            over,
            thread: Some(thread),
        }
    }

    fn port(&self) -> u16 {
        self.address.port()
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = std::net::TcpStream::connect(self.address);
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

fn serve(
    stream: &mut (impl std::io::Read + std::io::Write),
    answer: fn(&str) -> String,
    heads: &Mutex<Vec<String>>,
) {
    let mut request = Vec::new();
    let mut byte = [0; 512];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(count) if count > 0 => request.extend_from_slice(&byte[..count]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&request).into_owned();
    heads.lock().unwrap().push(head.clone());
    let _ = stream.write_all(answer(&head).as_bytes());
    let _ = stream.flush();
}

fn hello(_: &str) -> String {
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello".to_owned()
}

fn away(_: &str) -> String {
    "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.2:1/\r\nContent-Length: 4\r\nConnection: close\r\n\r\nmove"
        .to_owned()
}

fn long(_: &str) -> String {
    let body = "x".repeat(10_000);
    format!("HTTP/1.1 200 OK\r\nContent-Length: 10000\r\nConnection: close\r\n\r\n{body}")
}

fn at(address: [u8; 4]) -> IpAddr {
    IpAddr::from(address)
}

#[test]
fn without_a_grant_no_request_leaves_whatever_the_host_is_called() {
    let server = Server::at("127.0.0.1:0", hello);
    let port = server.port();
    let names = vec![("api.test", vec![vec![at([127, 0, 0, 1])]])];
    let mut court = Court::with(names, None);
    let hosts = [
        "api.test",
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "017700000001",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "localhost",
        "0.0.0.0",
        "169.254.169.254",
    ];
    let mut guest = Guest::default();
    for host in hosts {
        guest.get(&format!("{host}:{port}"), "/");
    }
    let component = court.load(&guest, "  {}");
    assert_eq!(
        court.answer_of(&component),
        DENIED.to_string().repeat(hosts.len())
    );
    let refusals = court.refusals(&component);
    assert_eq!(refusals.len(), hosts.len());
    for (method, target, rule) in refusals {
        assert_eq!(
            (&*method, &*rule),
            ("http GET", "no rule allows it"),
            "{target}"
        );
    }
    assert!(server.heads().is_empty());
    assert!(court.names.asked.lock().unwrap().is_empty());
}

#[test]
fn every_notation_of_a_denied_address_is_denied_by_its_line() {
    let mut court = Court::new();
    let hosts = [
        "127.1",
        "2130706433",
        "0x7f.1",
        "0177.1",
        "[::ffff:127.0.0.1]",
    ];
    let mut guest = Guest::default();
    for host in hosts {
        guest.get(host, "/");
    }
    let permissions = "  network:\n    allow: [{host: \"*\"}]\n    deny: [{host: 127.0.0.1}]";
    let component = court.load(&guest, permissions);
    assert_eq!(
        court.answer_of(&component),
        DENIED.to_string().repeat(hosts.len())
    );
    for (_, target, rule) in court.refusals(&component) {
        assert_eq!(target, "http://127.0.0.1:80/");
        assert!(rule.contains("deny"), "{rule}");
    }
}

#[test]
fn a_granted_request_is_sent_as_it_was_checked() {
    let server = Server::at("127.0.0.1:0", hello);
    let port = server.port();
    let mut court = Court::new();
    let mut guest = Guest::default();
    guest.get(&format!("127.0.0.1:{port}"), "/v1/x?q=1");
    // Another method, another path, another port, another scheme: each another request.
    guest.request(2, false, &format!("127.0.0.1:{port}"), "/v1/x");
    guest.get(&format!("127.0.0.1:{port}"), "/v2");
    guest.get(&format!("127.0.0.1:{port}"), "/v1/../v2");
    guest.get(&format!("127.0.0.1:{port}"), "/v1/%2e%2e/v2");
    guest.get("127.0.0.1:1", "/v1/x");
    guest.request(0, true, &format!("127.0.0.1:{port}"), "/v1/x");
    guest.get(&format!("user:pw@127.0.0.1:{port}"), "/v1/x");
    // The same, called otherwise.
    guest.get(&format!("0x7f.1:{port}"), "/v1/y");
    let permissions = format!(
        "  network:\n    allow: [{{host: \"http://127.0.0.1:{port}/v1\", methods: [GET]}}]"
    );
    let component = court.load(&guest, &permissions);
    let denied = DENIED.to_string();
    assert_eq!(
        court.answer_of(&component),
        "200<hello>".to_owned() + &denied.repeat(7) + "200<hello>"
    );
    let heads = server.heads();
    assert_eq!(heads.len(), 2);
    assert!(
        heads[0].starts_with("GET /v1/x?q=1 HTTP/1.1\r\n"),
        "{}",
        heads[0]
    );
    for head in heads {
        let host = format!("host: 127.0.0.1:{port}\r\n");
        assert!(head.to_lowercase().contains(&host), "{head}");
    }
    let refusals = court.refusals(&component);
    assert_eq!(refusals.len(), 7);
    assert!(
        !format!("{refusals:?}").contains("pw"),
        "a password is not told: {refusals:?}"
    );
}

#[test]
fn a_name_that_leads_inside_is_refused_unless_its_address_is_granted() {
    let server = Server::at("127.0.0.1:0", hello);
    let port = server.port();
    let names = vec![("api.test", vec![vec![at([127, 0, 0, 1])]])];
    let mut court = Court::with(names, None);
    let mut guest = Guest::default();
    guest.get(&format!("api.test:{port}"), "/");
    let component = court.load(&guest, "  network:\n    allow: [{host: api.test}]");
    assert_eq!(court.answer_of(&component), DENIED.to_string());
    let refusals = court.refusals(&component);
    assert_eq!(refusals.len(), 1);
    assert_eq!(refusals[0].1, format!("api.test (127.0.0.1:{port})"));
    assert!(
        refusals[0].2.contains("loopback addresses are refused"),
        "{refusals:?}"
    );
    assert!(server.heads().is_empty());
    let both = "  network:\n    allow: [{host: api.test}, {cidr: 127.0.0.1/32}]";
    let component = court.load(&guest, both);
    assert_eq!(court.answer_of(&component), "200<hello>");
}

#[test]
fn a_name_that_leads_elsewhere_the_next_time_is_checked_the_next_time() {
    let inside = Server::at("127.0.0.1:0", hello);
    let port = inside.port();
    let outside = Server::at(&format!("127.0.0.2:{port}"), hello);
    // What is asked for a name between the check and the connection, a rebinding resolver answers otherwise.
    let answers = vec![
        vec![at([127, 0, 0, 2])],
        vec![at([127, 0, 0, 1])],
        vec![at([127, 0, 0, 1]), at([127, 0, 0, 2])],
        vec!["::ffff:127.0.0.1".parse().unwrap()],
    ];
    let mut court = Court::with(vec![("rebind.test", answers)], None);
    let mut guest = Guest::default();
    for _ in 0..4 {
        guest.get(&format!("rebind.test:{port}"), "/");
    }
    let permissions = "  network:\n    allow: [{host: rebind.test}, {cidr: 127.0.0.2/32}]";
    let component = court.load(&guest, permissions);
    let denied = DENIED;
    assert_eq!(
        court.answer_of(&component),
        format!("200<hello>{denied}200<hello>{denied}")
    );
    assert_eq!((inside.heads().len(), outside.heads().len()), (0, 2));
    // Once for each request: what was checked is what was connected to.
    assert_eq!(court.names.asked.lock().unwrap().len(), 4);
    assert_eq!(court.refusals(&component).len(), 3);
}

#[test]
fn wildcards_cover_what_is_below_and_denies_beat_them() {
    let server = Server::at("127.0.0.1:0", hello);
    let port = server.port();
    let here = vec![vec![at([127, 0, 0, 1])]];
    let names = vec![
        ("a.good.test", here.clone()),
        ("evil.good.test", here.clone()),
        ("good.test.evil.test", here.clone()),
        ("notgood.test", here),
    ];
    let mut court = Court::with(names, None);
    let mut guest = Guest::default();
    for host in [
        "a.good.test",
        "evil.good.test",
        "good.test.evil.test",
        "notgood.test",
    ] {
        guest.get(&format!("{host}:{port}"), "/");
    }
    let permissions = "  network:\n    allow: [{host: \"*.good.test\"}, {cidr: 127.0.0.0/8}]\n    deny: [{host: evil.good.test}]";
    let component = court.load(&guest, permissions);
    assert_eq!(
        court.answer_of(&component),
        "200<hello>".to_owned() + &DENIED.to_string().repeat(3)
    );
    let refusals = court.refusals(&component);
    assert!(refusals[0].2.contains("deny"), "{refusals:?}");
    assert_eq!(refusals[1].2, "no rule allows it");
}

#[test]
fn a_redirect_is_the_guests_to_follow_and_asked_about_again() {
    let server = Server::at("127.0.0.1:0", away);
    let port = server.port();
    let mut court = Court::new();
    let mut guest = Guest::default();
    guest.get(&format!("127.0.0.1:{port}"), "/");
    guest.get("127.0.0.2:1", "/");
    let permissions = format!("  network:\n    allow: [{{host: \"127.0.0.1:{port}\"}}]");
    let component = court.load(&guest, &permissions);
    assert_eq!(court.answer_of(&component), format!("302<move>{DENIED}"));
    assert_eq!(court.refusals(&component)[0].1, "http://127.0.0.2:1/");
}

fn certificate(folder: &Path) -> (PathBuf, Arc<rustls::ServerConfig>) {
    let made = rcgen::generate_simple_self_signed(vec!["api.test".to_owned()]).unwrap();
    let ca = folder.join("ca.pem");
    std::fs::write(&ca, made.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (ca, Arc::new(config))
}

#[test]
fn a_secret_is_sent_by_the_host_to_its_host_alone_and_not_told_to_the_guest() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, tls) = certificate(folder.path());
    let server = Server::with("127.0.0.1:0", hello, Some(tls));
    let plain = Server::at("127.0.0.1:0", hello);
    let here = vec![vec![at([127, 0, 0, 1])]];
    let names = vec![("api.test", here.clone()), ("other.test", here)];
    let mut court = Court::with(names, Some(&ca));
    let port = server.port();
    let mut guest = Guest::default();
    let own = [("Authorization", "Bearer mine"), ("X-Other", "1")];
    guest.request_with(0, true, &format!("api.test:{port}"), "/", &own, None);
    // Its certificate is for another name.
    guest.request(0, true, &format!("other.test:{port}"), "/");
    // Never in the clear.
    guest.get(&format!("api.test:{}", plain.port()), "/");
    let permissions = "  network:\n    allow:\n      - {host: api.test, inject: {header: Authorization, value: \"Bearer {secret}\", secret: {secret: api}}}\n      - {host: other.test}\n      - {cidr: 127.0.0.1/32}";
    let component = court.load(&guest, permissions);
    assert_eq!(
        court.answer_of(&component),
        format!("..200<hello>{CERTIFICATE}200<hello>")
    );
    let heads = server.heads();
    let head = heads[0].to_lowercase();
    assert!(head.contains("authorization: bearer s3cr3t\r\n"), "{head}");
    assert!(
        !head.contains("mine") && head.contains("x-other: 1"),
        "{head}"
    );
    assert!(!plain.heads()[0].contains("s3cr3t"));
    let told = court.log.0.lock().unwrap();
    let given: Vec<_> = told
        .iter()
        .filter(|told| told.kind == Kind::SensitiveDataAccess)
        .collect();
    assert_eq!(given.len(), 1);
    assert_eq!(given[0].target, "api.test");
    assert!(!format!("{told:?}").contains("s3cr3t"));
}

#[test]
fn headers_that_are_not_the_guests_are_not_sent() {
    let server = Server::at("127.0.0.1:0", hello);
    let port = server.port();
    let mut court = Court::new();
    let mut guest = Guest::default();
    let headers = [
        ("Host", "evil.test"),
        ("Connection", "upgrade"),
        ("Upgrade", "h2c"),
        ("Transfer-Encoding", "chunked"),
        ("Proxy-Authorization", "x"),
        ("Proxy-Thing", "x"),
        ("TE", "trailers"),
        ("Expect", "100-continue"),
        ("X-Mine", "yes"),
    ];
    guest.request_with(0, false, &format!("127.0.0.1:{port}"), "/", &headers, None);
    let permissions = format!("  network:\n    allow: [{{host: \"127.0.0.1:{port}\"}}]");
    assert_eq!(court.answer(&guest, &permissions), "BBBBBBBB.200<hello>");
    let head = server.heads().remove(0).to_lowercase();
    assert!(
        head.contains("x-mine: yes") && !head.contains("evil") && !head.contains("upgrade"),
        "{head}"
    );
}

#[test]
fn more_requests_than_the_budget_end_the_call() {
    let server = Server::at("127.0.0.1:0", hello);
    let port = server.port();
    let mut court = Court::new();
    let mut guest = Guest::default();
    for _ in 0..3 {
        guest.get(&format!("127.0.0.1:{port}"), "/");
    }
    let network = format!("  network:\n    allow: [{{host: \"127.0.0.1:{port}\"}}]");
    let enough = format!("{network}\n  resources: {{http_requests: 3}}");
    assert_eq!(court.answer(&guest, &enough), "200<hello>".repeat(3));
    let component = court.load(
        &guest,
        &format!("{network}\n  resources: {{http_requests: 2}}"),
    );
    // Each call has its own.
    for _ in 0..2 {
        let (outcome, result) = court.bench.call(&component, "{}");
        assert_eq!(outcome, CallOutcome::Budget, "{result}");
        assert!(text(&result).contains("http_requests of 2"), "{result}");
    }
}

#[test]
fn more_bytes_than_the_budget_end_the_call_both_ways() {
    let server = Server::at("127.0.0.1:0", long);
    let port = server.port();
    let mut court = Court::new();
    let network = format!("  network:\n    allow: [{{host: \"127.0.0.1:{port}\"}}]");
    let mut guest = Guest::default();
    guest.get(&format!("127.0.0.1:{port}"), "/");
    let enough = format!("{network}\n  resources: {{http_bytes: 10000}}");
    assert!(court.answer(&guest, &enough).starts_with("200<xxx"));
    guest.then("(loop $wait (br $wait))");
    let mut sends = Guest::default();
    let body = "y".repeat(3_000);
    sends.request_with(
        2,
        false,
        &format!("127.0.0.1:{port}"),
        "/",
        &[],
        Some(&body),
    );
    sends.then("(loop $wait (br $wait))");
    for guest in [&guest, &sends] {
        let component = court.load(
            guest,
            &format!("{network}\n  resources: {{http_bytes: 2000}}"),
        );
        let (outcome, result) = court.bench.call(&component, "{}");
        assert_eq!(outcome, CallOutcome::Budget, "{result}");
        assert!(text(&result).contains("http_bytes of 2000"), "{result}");
    }
}

/// What one connection brings, to its end, whatever is answered.
fn whole(listener: TcpListener) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        let timeout = Some(Duration::from_millis(700));
        stream.set_read_timeout(timeout).unwrap();
        let (mut all, mut bytes) = (Vec::new(), [0; 512]);
        while let Ok(count) = stream.read(&mut bytes)
            && count > 0
        {
            all.extend_from_slice(&bytes[..count]);
            let _ = stream.write_all(hello("").as_bytes());
        }
        String::from_utf8_lossy(&all).into_owned()
    })
}

#[test]
fn a_body_is_never_another_request() {
    let hidden = "GET /admin HTTP/1.1\r\nHost: x\r\n\r\n";
    for length in ["0", "5"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = whole(listener);
        let mut court = Court::new();
        let mut guest = Guest::default();
        let headers = [("Content-Length", length), ("Content-Length", "999")];
        let body = format!("12345{hidden}");
        guest.request_with(
            2,
            false,
            &format!("127.0.0.1:{port}"),
            "/v1",
            &headers,
            Some(&body),
        );
        let permissions =
            format!("  network:\n    allow: [{{host: \"http://127.0.0.1:{port}/v1\"}}]");
        let component = court.load(&guest, &permissions);
        let _ = court.bench.call(&component, "{}");
        drop(component);
        let _ = std::net::TcpStream::connect(("127.0.0.1", port));
        let sent = server.join().unwrap();
        assert!(!sent.contains("/admin"), "{sent}");
        assert!(sent.matches("HTTP/1.1").count() <= 1, "{sent}");
    }
}

#[test]
fn what_could_be_read_as_another_host_or_request_is_not_sent() {
    let server = Server::at("127.0.0.1:0", hello);
    let port = server.port();
    let mut court = Court::new();
    let mut guest = Guest::default();
    for authority in [
        format!("good.test@127.0.0.1:{port}"),
        format!("good.test#@127.0.0.1:{port}"),
        format!("good.test\\@127.0.0.1:{port}"),
        format!("good.test%40127.0.0.1:{port}"),
        format!("127.0.0.1:{port}:{port}"),
        format!("127.0.0.1:{port}/../x"),
        format!(" 127.0.0.1:{port}"),
        format!("127.0.0.1\t:{port}"),
        format!("127.0.0.1.evil:{port}"),
        format!("[::ffff:127.0.0.1%25lo]:{port}"),
        format!("[::ffff:127.0.0.1:{port}"),
        "127.0.0.1:99999".to_owned(),
        String::new(),
    ] {
        guest.get(&authority, "/v1/x");
    }
    for path in [
        "/v1/x HTTP/1.1\r\nHost: evil\r\n\r\n",
        "/v1/x\r\nX: y",
        "/v1/x\ty",
        "http://evil.test/v1/x",
        "v1/x",
        "/v1/../admin",
        "/v1/%2e%2e/admin",
    ] {
        guest.get(&format!("127.0.0.1:{port}"), path);
    }
    let permissions = format!(
        "  network:\n    allow: [{{host: \"http://127.0.0.1:{port}/v1/\"}}, {{host: good.test}}]"
    );
    let component = court.load(&guest, &permissions);
    let answer = court.answer_of(&component);
    // A path that cannot be set is that of the request without one.
    assert!(!answer.contains("200"), "{answer}\n{:?}", server.heads());
    assert!(server.heads().is_empty(), "{:?}", server.heads());
}
