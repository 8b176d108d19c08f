//! Signed tokens on a running server: who is let in, who is not, and what follows when keys change.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use margay::policy::auth::hash_of;
use rcgen::{KeyPair, PublicKeyData};
use serde_json::{Value, json};

use crate::harness::{Answer, Appliance, modern, scratch};

const ISSUER: &str = "https://login.example";
const RESOURCE: &str = "https://mcp.example/mcp";

/// Whoever signs.
struct Signer {
    pair: KeyPair,
    id: &'static str,
}

impl Signer {
    fn new(id: &'static str) -> Self {
        let pair = KeyPair::generate().unwrap();
        Self { pair, id }
    }

    fn jwk(&self) -> Value {
        let (x, y) = self.pair.der_bytes()[1..].split_at(32);
        let [x, y] = [x, y].map(|part| URL_SAFE_NO_PAD.encode(part));
        json!({"kty": "EC", "crv": "P-256", "kid": self.id, "use": "sig", "x": x, "y": y})
    }

    fn sign(&self, changes: &Value) -> String {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let mut claims = json!({"iss": ISSUER, "sub": "ann", "aud": RESOURCE, "exp": now + 300, "iat": now, "scope": "read"});
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": self.id});
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(&header), encode(&claims));
        let key = EncodingKey::from_ec_der(&self.pair.serialize_der());
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::ES256);
        format!("{message}.{}", signature.unwrap())
    }
}

/// Replaces a file as an operator's tools do.
fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).unwrap();
    fs::rename(beside, path).unwrap();
}

fn key_set(signers: &[&Signer]) -> String {
    let keys: Vec<Value> = signers.iter().map(|signer| signer.jwk()).collect();
    json!({"keys": keys}).to_string()
}

fn serve(signers: &[&Signer]) -> (Appliance, PathBuf) {
    let path = scratch("jwks").join("jwks.json");
    fs::write(&path, key_set(signers)).unwrap();
    let config = format!(
        "resource: {RESOURCE}\nscopes_supported: [read, write]\nauth: {{jwt: [{{issuer: {ISSUER}, jwks: {{file: {}}}, scopes_required: [read]}}]}}\n",
        path.display()
    );
    (Appliance::with(&[], &config), path)
}

fn call(appliance: &Appliance, token: &str) -> Answer {
    let params = json!({"name": "echo", "arguments": {"text": "hi"}});
    let (body, headers) = modern(1, "tools/call", params);
    let headers = format!("{headers}Authorization: Bearer {token}\r\n");
    appliance.connect().post(&body, &headers)
}

#[test]
fn a_good_token_is_let_in_and_each_bad_one_is_told_what_to_get() {
    let (ours, stranger) = (Signer::new("ours"), Signer::new("ours"));
    let (appliance, _) = serve(&[&ours]);
    let good = ours.sign(&json!({}));
    for _ in 0..3 {
        assert_eq!(call(&appliance, &good).status, 200);
    }
    for (name, token, status, code) in [
        (
            "expired",
            ours.sign(&json!({"exp": 1_000_000_000})),
            401,
            "invalid_token",
        ),
        (
            "to come",
            ours.sign(&json!({"nbf": 9_999_999_999_u64})),
            401,
            "invalid_token",
        ),
        (
            "for another",
            ours.sign(&json!({"aud": "https://other.example/mcp"})),
            401,
            "invalid_token",
        ),
        (
            "of another",
            ours.sign(&json!({"iss": "https://evil.example"})),
            401,
            "invalid_token",
        ),
        ("forged", stranger.sign(&json!({})), 401, "invalid_token"),
        (
            "cut",
            good[..good.len() - 4].to_owned(),
            401,
            "invalid_token",
        ),
        (
            "without the scope",
            ours.sign(&json!({"scope": "write"})),
            403,
            "insufficient_scope",
        ),
    ] {
        let answer = call(&appliance, &token);
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        assert_eq!(answer.status, status, "{name}: {challenge}");
        assert!(
            challenge.contains(&format!("error=\"{code}\"")),
            "{name}: {challenge}"
        );
        assert!(
            challenge.contains(
                "resource_metadata=\"https://mcp.example/.well-known/oauth-protected-resource/mcp\""
            ),
            "{name}: {challenge}"
        );
        let payload = token.split('.').nth(1).unwrap();
        assert!(
            !appliance.stderr().contains(payload),
            "{name}: {}",
            appliance.stderr()
        );
    }
    assert_eq!(call(&appliance, &good).status, 200);
    let document = appliance
        .connect()
        .get("/.well-known/oauth-protected-resource/mcp")
        .json();
    assert_eq!(document["authorization_servers"], json!([ISSUER]));
    assert_eq!(document["scopes_supported"], json!(["read", "write"]));
}

#[test]
fn when_the_keys_of_an_issuer_change_its_old_tokens_are_worth_nothing() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let (appliance, path) = serve(&[&old]);
    let [from_old, from_new] = [&old, &new].map(|signer| signer.sign(&json!({})));
    assert_eq!(call(&appliance, &from_old).status, 200);
    assert_eq!(call(&appliance, &from_new).status, 401);
    replace(&path, &key_set(&[&old, &new]));
    appliance.eventually("the new key is known", || {
        call(&appliance, &from_new).status == 200
    });
    assert_eq!(call(&appliance, &from_old).status, 200);
    replace(&path, &key_set(&[&new]));
    appliance.eventually("the old key is gone", || {
        call(&appliance, &from_old).status == 401
    });
    assert_eq!(call(&appliance, &from_new).status, 200);
}

#[test]
fn a_revoked_api_key_is_refused_on_a_connection_that_has_used_it() {
    let path = scratch("keys").join("keys.yaml");
    let key = "a-key-of-some-length-0123456789-0123456789";
    let entry = format!("api_keys: [{{name: ann, hash: '{}'}}]\n", hash_of(key));
    fs::write(&path, &entry).unwrap();
    let config = format!("auth: {{api_keys_file: {}}}\n", path.display());
    let appliance = Appliance::with(&[], &config);
    let (body, headers) = modern(
        1,
        "tools/call",
        json!({"name": "echo", "arguments": {"text": "hi"}}),
    );
    let headers = format!("{headers}Authorization: Bearer {key}\r\n");
    let mut connection = appliance.connect();
    assert_eq!(connection.post(&body, &headers).status, 200);
    replace(&path, "api_keys: []\n");
    let mut last = 200;
    appliance.eventually("the key is revoked", || {
        last = connection.post(&body, &headers).status;
        last != 200
    });
    assert_eq!(last, 401);
    replace(&path, &entry);
    appliance.eventually("the key is back", || call(&appliance, key).status == 200);
}

/// Whatever was opened with a key ends with it, also where nobody asks for anything on it any longer.
#[test]
fn a_stream_ends_with_the_key_that_opened_it_and_no_other_does() {
    let path = scratch("keys").join("keys.yaml");
    let (ann, bob) = (
        "key-of-ann-0123456789-0123456789",
        "key-of-bob-0123456789-0123456789",
    );
    let entry = |name: &str, key: &str| format!("{{name: {name}, hash: '{}'}}", hash_of(key));
    let both = [entry("ann", ann), entry("bob", bob)];
    fs::write(&path, format!("api_keys: [{}]\n", both.join(", "))).unwrap();
    let audit = scratch("audit");
    let config = format!(
        "auth: {{api_keys_file: {}}}\naudit: {{dir: {}}}\n",
        path.display(),
        audit.display()
    );
    let appliance = Appliance::with(&[], &config);
    let listen = |key: &str| {
        let wants = json!({"notifications": {"toolsListChanged": true}});
        let (body, headers) = modern(1, "subscriptions/listen", wants);
        let mut client = appliance.connect();
        client.send(format!(
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
             Authorization: Bearer {key}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        assert!(client.head().starts_with("HTTP/1.1 200"));
        client.event();
        client
    };
    let (mut of_ann, mut of_bob) = (listen(ann), listen(bob));
    replace(&path, &format!("api_keys: [{}]\n", both[1]));
    let last = String::from_utf8(of_ann.rest()).unwrap();
    assert!(last.contains("\"result\""), "it ends in good order: {last}");
    of_bob
        .stream
        .set_read_timeout(Some(std::time::Duration::from_millis(600)))
        .unwrap();
    assert!(
        of_bob.rest().is_empty() && !of_bob.is_closed(),
        "bob hears on"
    );
    assert_eq!(call(&appliance, bob).status, 200);
    let log = || fs::read_to_string(audit.join("audit.0001.jsonl")).unwrap_or_default();
    appliance.eventually("the log says why", || {
        let log = log();
        let mut lines = log.lines();
        lines.any(|line| line.contains("api-key:ann") && line.contains("\"denied\""))
    });
    assert!(!log().contains(ann));
}
