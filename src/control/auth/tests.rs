use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use jsonwebtoken::Algorithm as Library;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::fetch::Fetcher;
use super::*;
use crate::control::secrets::{Secrets, StorePlace};
use crate::policy::auth::tests::forge::*;
use crate::policy::auth::{Algorithm, ApiKey, Fault, hash_of, parse_hash};
use crate::secret::SecretRef;

/// A server that answers every request with the same bytes, until they are changed.
struct Server {
    address: SocketAddr,
    answer: Arc<Mutex<Vec<u8>>>,
    asked: Arc<AtomicUsize>,
}

fn ok(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

impl Server {
    fn start(answer: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            answer: Arc::new(Mutex::new(answer)),
            asked: Arc::default(),
        };
        let (answer, asked) = (Arc::clone(&server.answer), Arc::clone(&server.asked));
        // It ends with the process: nobody waits for it.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let _ = stream.read(&mut [0; 4_096]);
                asked.fetch_add(1, Ordering::Relaxed);
                let answer = answer.lock().unwrap().clone();
                let _ = stream.write_all(&answer);
            }
        });
        server
    }

    fn answer(&self, answer: Vec<u8>) {
        *self.answer.lock().unwrap() = answer;
    }

    fn url(&self) -> url::Url {
        url::Url::parse(&format!("http://{}/keys", self.address)).unwrap()
    }
}

fn issuer_of(source: KeySource, refresh: Duration, max_stale: Duration) -> IssuerOptions {
    IssuerOptions {
        name: ISSUER.into(),
        audiences: vec![AUDIENCE.into()],
        algorithms: match source {
            KeySource::Secret(_) => vec![Algorithm::with_secret()],
            _ => Algorithm::asymmetric(),
        },
        leeway: Duration::ZERO,
        roles_claim: "roles".into(),
        scopes_required: Vec::new(),
        source,
        refresh,
        max_stale,
    }
}

fn options(issuers: Vec<IssuerOptions>) -> AuthOptions {
    AuthOptions {
        issuers,
        admits_anonymous: false,
        ..AuthOptions::none()
    }
}

/// Secrets of files alone.
fn secrets() -> Secrets {
    Secrets::with_environment(StorePlace::of(Path::new("/nowhere")), |_| None)
}

/// What is kept while this lives.
struct Running {
    authenticator: Arc<Authenticator>,
    _runtime: Runtime,
}

fn run(options: &AuthOptions) -> Running {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let entered = runtime.enter();
    let mut kept = Kept::new("auth", options, None, &secrets()).unwrap();
    drop(entered);
    let authenticator = kept.authenticator();
    runtime.block_on(kept.fetch_all());
    runtime.spawn(async move { kept.keep().await });
    Running {
        authenticator,
        _runtime: runtime,
    }
}

impl Running {
    fn ask(&self, proof: &str) -> Result<(), Fault> {
        let header = format!("Bearer {proof}");
        let found = self
            .authenticator
            .identify(Some(header.as_bytes()), None, now_unix_s());
        found.map(|_| ())
    }

    fn becomes(&self, proof: &str, expected: &Result<(), Fault>, within: Duration) -> Duration {
        let begun = Instant::now();
        loop {
            let found = self.ask(proof);
            if found == *expected {
                return begun.elapsed();
            }
            assert!(begun.elapsed() < within, "{found:?} and not {expected:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A token of now, signed by this pair under this key id.
fn token_now(pair: &Pair, kid: &str) -> String {
    let claims = claims_with(&json!({"exp": now_unix_s() + 600, "nbf": null, "iat": null}));
    let header = json!({"alg": "ES256", "kid": kid}).to_string();
    token_of(pair, Library::ES256, &header, &claims)
}

fn key_with_id(pair: &Pair, kid: &str) -> Value {
    let mut key = pair.jwk.clone();
    key["kid"] = kid.into();
    key
}

const SOON: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn keys_that_rotate_are_followed_and_those_that_are_gone_verify_nothing() {
    let (old, new) = (&pairs().p256, &pairs().stranger);
    let server = Server::start(ok(&jwks(&[&old.jwk])));
    let source = KeySource::Url {
        url: server.url(),
        ca: None,
    };
    let running = run(&options(vec![issuer_of(
        source,
        Duration::from_millis(300),
        HOUR,
    )]));
    let (from_old, from_new) = (token_now(old, "p256"), token_now(new, "new"));
    assert_eq!(running.ask(&from_old), Ok(()));
    assert_eq!(running.ask(&from_new), Err(Fault::UnknownKey));
    server.answer(ok(&jwks(&[&old.jwk, &key_with_id(new, "new")])));
    running.becomes(&from_new, &Ok(()), SOON);
    assert_eq!(running.ask(&from_old), Ok(()));
    server.answer(ok(&jwks(&[&key_with_id(new, "new")])));
    running.becomes(&from_old, &Err(Fault::UnknownKey), SOON);
    assert_eq!(running.ask(&from_new), Ok(()));
}

#[test]
fn in_an_outage_keys_are_used_for_their_time_and_then_nobody_is_let_in() {
    let pair = &pairs().p256;
    let server = Server::start(ok(&jwks(&[&pair.jwk])));
    let source = KeySource::Url {
        url: server.url(),
        ca: None,
    };
    let max_stale = Duration::from_secs(3);
    let running = run(&options(vec![issuer_of(
        source,
        Duration::from_millis(200),
        max_stale,
    )]));
    let token = token_now(pair, "p256");
    assert_eq!(running.ask(&token), Ok(()));
    server.answer(
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            .to_vec(),
    );
    let begun = Instant::now();
    // While they are good, they are good.
    while begun.elapsed() < Duration::from_millis(1_500) {
        assert_eq!(running.ask(&token), Ok(()));
        thread::sleep(Duration::from_millis(50));
    }
    running.becomes(&token, &Err(Fault::KeysStale), SOON);
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "{:?}",
        begun.elapsed()
    );
    for _ in 0..5 {
        assert_eq!(running.ask(&token), Err(Fault::KeysStale));
        thread::sleep(Duration::from_millis(50));
    }
    server.answer(ok(&jwks(&[&pair.jwk])));
    running.becomes(&token, &Ok(()), SOON);
}

#[test]
fn keys_that_never_came_let_nobody_in_until_they_do() {
    let pair = &pairs().p256;
    let server = Server::start(b"rubbish".to_vec());
    let source = KeySource::Url {
        url: server.url(),
        ca: None,
    };
    let running = run(&options(vec![issuer_of(source, HOUR, HOUR)]));
    let token = token_now(pair, "p256");
    assert_eq!(running.ask(&token), Err(Fault::KeysStale));
    server.answer(ok(&jwks(&[&pair.jwk])));
    running.becomes(&token, &Ok(()), SOON);
}

#[test]
fn a_token_with_a_new_key_has_the_keys_fetched_and_many_of_them_do_so_once() {
    let (old, new) = (&pairs().p256, &pairs().stranger);
    let server = Server::start(ok(&jwks(&[&old.jwk])));
    let source = KeySource::Url {
        url: server.url(),
        ca: None,
    };
    let running = run(&options(vec![issuer_of(source, HOUR, HOUR)]));
    assert_eq!(server.asked.load(Ordering::Relaxed), 1);
    server.answer(ok(&jwks(&[&old.jwk, &key_with_id(new, "new")])));
    running.becomes(&token_now(new, "new"), &Ok(()), SOON);
    let asked = server.asked.load(Ordering::Relaxed);
    assert_eq!(asked, 2);
    let rubbish = token_now(new, "none");
    for _ in 0..2_000 {
        assert_eq!(running.ask(&rubbish), Err(Fault::UnknownKey));
    }
    thread::sleep(Duration::from_millis(500));
    assert!(server.asked.load(Ordering::Relaxed) <= asked + 1);
}

#[test]
fn a_revoked_key_is_refused_within_a_second_and_a_new_one_let_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.yaml");
    let entry =
        |name: &str, key: &str| format!("  - {{name: {name}, hash: \"{}\"}}\n", hash_of(key));
    let (ann, bob) = (
        "ann-key-0123456789012345678901",
        "bob-key-0123456789012345678901",
    );
    let write = |text: String| {
        let temporary = folder.path().join("new");
        fs::write(&temporary, text).unwrap();
        fs::rename(&temporary, &path).unwrap();
    };
    write(format!("api_keys:\n{}", entry("ann", ann)));
    let options = AuthOptions {
        keys_file: Some(path.clone()),
        ..options(Vec::new())
    };
    let running = run(&options);
    assert_eq!(
        (running.ask(ann), running.ask(bob)),
        (Ok(()), Err(Fault::Unknown))
    );
    write(format!("api_keys:\n{}", entry("bob", bob)));
    let took = running.becomes(bob, &Ok(()), SOON);
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(running.ask(ann), Err(Fault::Unknown));
    // Written in place, with the same length.
    fs::write(&path, format!("api_keys:\n{}", entry("ann", ann))).unwrap();
    running.becomes(ann, &Ok(()), SOON);
    assert_eq!(running.ask(bob), Err(Fault::Unknown));
    // What is wrong changes nothing for a while.
    fs::write(&path, "api_keys: [{").unwrap();
    thread::sleep(Duration::from_millis(1_200));
    assert_eq!(running.ask(ann), Ok(()));
    write("api_keys: []\n".to_owned());
    running.becomes(ann, &Err(Fault::Unknown), SOON);
}

#[test]
fn a_file_that_stays_wrong_is_worth_nothing_after_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.yaml");
    fs::write(
        &path,
        format!("api_keys: [{{name: ann, hash: \"{}\"}}]", hash_of("x")),
    )
    .unwrap();
    let s = Duration::from_secs;
    let mut file = keys::KeyFile::of_api_keys(&path, s(60));
    assert_eq!(file.look(s(0)), Ok(true));
    assert_eq!(file.look(s(1)), Ok(false));
    fs::remove_file(&path).unwrap();
    assert!(file.look(s(2)).is_err());
    assert_eq!((file.look(s(61)), file.content().len()), (Ok(false), 1));
    assert_eq!((file.look(s(62)), file.content().len()), (Ok(true), 0));
    assert_eq!(file.look(s(63)), Ok(false));
    fs::write(&path, "rubbish: true").unwrap();
    assert!(file.look(s(64)).is_err());
    fs::write(
        &path,
        format!("api_keys: [{{name: ann, hash: \"{}\"}}]", hash_of("y")),
    )
    .unwrap();
    assert_eq!((file.look(s(65)), file.content().len()), (Ok(true), 1));
}

#[test]
fn an_issuers_file_is_read_again_when_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    let (old, new) = (&pairs().p256, &pairs().stranger);
    fs::write(&path, jwks(&[&old.jwk])).unwrap();
    let running = run(&options(vec![issuer_of(
        KeySource::File(path.clone()),
        HOUR,
        HOUR,
    )]));
    let (from_old, from_new) = (token_now(old, "p256"), token_now(new, "new"));
    assert_eq!(running.ask(&from_old), Ok(()));
    fs::write(&path, jwks(&[&key_with_id(new, "new")])).unwrap();
    running.becomes(&from_new, &Ok(()), SOON);
    assert_eq!(running.ask(&from_old), Err(Fault::UnknownKey));
}

#[test]
fn only_a_whole_answer_of_the_right_size_from_the_right_place_is_taken() {
    let body = jwks(&[&pairs().p256.jwk]);
    let elsewhere = Server::start(ok(&body));
    let redirect = format!(
        "HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        elsewhere.url()
    );
    let cut = ok(&body)[..ok(&body).len() - 10].to_vec();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for (answer, words) in [
        (redirect.into_bytes(), "302"),
        (
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec(),
            "404",
        ),
        (ok(&vec![b' '; 300 << 10]), "longer than"),
        (cut, ""),
        (b"rubbish\r\n\r\n".to_vec(), ""),
        (Vec::new(), ""),
    ] {
        let server = Server::start(answer);
        let fetcher = Fetcher::new(server.url(), None).unwrap();
        let error = runtime.block_on(fetcher.fetch()).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
    assert_eq!(elsewhere.asked.load(Ordering::Relaxed), 0);
    let fetcher = Fetcher::new(elsewhere.url(), None).unwrap();
    assert_eq!(runtime.block_on(fetcher.fetch()), Ok(body));
}

#[test]
fn a_secret_has_to_be_long_and_nobody_elses() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _entered = runtime.enter();
    let kept = |secret: &[u8], mode: u32| {
        fs::write(&path, secret).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let source = KeySource::Secret(SecretRef::File(path.clone()));
        let kept = Kept::new(
            "auth",
            &options(vec![issuer_of(source, HOUR, HOUR)]),
            None,
            &secrets(),
        );
        fs::remove_file(&path).unwrap();
        kept.map_err(|problem| problem.to_string())
    };
    assert!(kept(SECRET, 0o604).err().unwrap().contains("mode 604"));
    let short = kept(&SECRET[..31], 0o600).err().unwrap();
    assert!(
        short.contains("32 bytes") && !short.contains("0123456789"),
        "{short}"
    );
    let kept = kept(&[SECRET, &b"\n"[..]].concat(), 0o640).unwrap();
    let claims = claims_with(&json!({"exp": now_unix_s() + 600, "nbf": null, "iat": null}));
    let header = format!(
        "Bearer {}",
        secret_token(SECRET, Library::HS256, r#"{"alg":"HS256"}"#, &claims)
    );
    let found = kept
        .authenticator()
        .identify(Some(header.as_bytes()), None, now_unix_s());
    assert!(found.is_ok(), "{found:?}");
    let missing = KeySource::Secret(SecretRef::File(Path::new("/nowhere/secret").to_owned()));
    let problem = Kept::new(
        "auth",
        &options(vec![issuer_of(missing, HOUR, HOUR)]),
        None,
        &secrets(),
    );
    assert!(
        problem
            .err()
            .unwrap()
            .to_string()
            .contains("/nowhere/secret")
    );
}

#[test]
fn a_key_of_the_configuration_counts_before_one_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.yaml");
    fs::write(
        &path,
        format!(
            "api_keys: [{{name: ann, hash: \"{}\", roles: [file]}}]",
            hash_of("file")
        ),
    )
    .unwrap();
    let own = ApiKey::new("ann", parse_hash(&hash_of("own")).unwrap());
    let options = AuthOptions {
        keys: vec![own],
        keys_file: Some(path),
        ..options(Vec::new())
    };
    let running = run(&options);
    assert_eq!(
        (running.ask("own"), running.ask("file")),
        (Ok(()), Err(Fault::Unknown))
    );
}
