//! Tokens that must not be accepted, each with the reason for which it is not.

use jsonwebtoken::Algorithm as Library;
use serde_json::{Value, json};

use super::super::*;
use super::forge::*;

mod claims;

/// One attack: its name, the token, and whether this is the fault that is found.
type Attack = (&'static str, String, fn(&Fault) -> bool);

fn run(attacks: Vec<Attack>) -> usize {
    let verifier = verifier();
    let authenticator = Authenticator::new(self::verifier(), None);
    // The forger's tools work: what it makes without a fault is accepted.
    assert!(identify(&verifier, &good()).is_ok());
    let count = attacks.len();
    for (name, token, is_expected) in attacks {
        let fault = identify(&verifier, &token).expect_err(name);
        assert!(is_expected(&fault), "{name}: {fault:?}");
        let header = format!("Bearer {token}");
        assert!(
            authenticator
                .identify(Some(header.as_bytes()), None, NOW)
                .is_err(),
            "{name}"
        );
    }
    count
}

fn header(changes: &Value) -> Value {
    let mut header = json!({"alg": "ES256", "kid": "p256", "typ": "JWT"});
    header
        .as_object_mut()
        .unwrap()
        .extend(changes.as_object().unwrap().clone());
    header
}

fn with_header(changes: &Value) -> String {
    token(&header(changes), &claims().to_string())
}

fn with_claims(changes: &Value) -> String {
    token(&header(&json!({})), &claims_with(changes))
}

/// With this text as its header, whatever it is.
fn raw_header(text: &str) -> String {
    token_of(&pairs().p256, Library::ES256, text, &claims().to_string())
}

fn raw_claims(text: &str) -> String {
    token_of(
        &pairs().p256,
        Library::ES256,
        &header(&json!({})).to_string(),
        text,
    )
}

/// The good token with its parts changed.
fn parts(change: impl Fn(&mut [String; 3])) -> String {
    let good = good();
    let mut parts: [String; 3] = good
        .split('.')
        .map(str::to_owned)
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    change(&mut parts);
    parts.join(".")
}

fn is_signature(fault: &Fault) -> bool {
    *fault == Fault::Signature
}
fn is_algorithm(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::Algorithm | Fault::Unsupported("the token's algorithm is not taken here")
    )
}
fn is_form(fault: &Fault) -> bool {
    matches!(fault, Fault::Form(_))
}
fn is_malformed(fault: &Fault) -> bool {
    matches!(fault, Fault::Malformed(_) | Fault::Form(_) | Fault::Unknown)
}
fn is_unsupported(fault: &Fault) -> bool {
    matches!(fault, Fault::Unsupported(_))
}
fn is_key(fault: &Fault) -> bool {
    matches!(fault, Fault::UnknownKey | Fault::AmbiguousKey)
}
fn is_claim(fault: &Fault) -> bool {
    matches!(fault, Fault::Claim(_))
}
fn is_issuer(fault: &Fault) -> bool {
    *fault == Fault::UnknownIssuer
}
fn is_audience(fault: &Fault) -> bool {
    *fault == Fault::Audience
}
fn is_time(fault: &Fault) -> bool {
    matches!(fault, Fault::Expired | Fault::NotYet)
}

#[test]
fn no_other_algorithm_than_that_of_the_key_is_believed() {
    let all = pairs();
    let unsigned = |alg: &str| {
        let message = format!(
            "{}.{}",
            encode(json!({"alg": alg}).to_string()),
            encode(claims().to_string())
        );
        format!("{message}.")
    };
    let renamed = |alg: Value| raw_header(&json!({"alg": alg, "kid": "p256"}).to_string());
    let hmac = |secret: &[u8], algorithm, name: &str, kid: &str| {
        secret_token(
            secret,
            algorithm,
            &json!({"alg": name, "kid": kid}).to_string(),
            &claims().to_string(),
        )
    };
    let modulus = super::forge::RSA_N;
    let x = all.p256.jwk["x"].as_str().unwrap();
    let point = {
        use base64::Engine as _;
        let decode = |name: &str| {
            base64::engine::general_purpose::URL_SAFE_NO_PAD
                .decode(all.p256.jwk[name].as_str().unwrap())
                .unwrap()
        };
        [&[4][..], &decode("x"), &decode("y")].concat()
    };
    let jwk = all.rsa.jwk.to_string();
    let count = run(vec![
        ("alg none, no signature", unsigned("none"), is_algorithm),
        ("alg None", unsigned("None"), is_algorithm),
        ("alg NONE", unsigned("NONE"), is_algorithm),
        ("alg nOnE", unsigned("nOnE"), is_algorithm),
        (
            "alg none, with a signature",
            renamed(json!("none")),
            is_algorithm,
        ),
        ("alg empty", renamed(json!("")), is_algorithm),
        ("alg missing", raw_header(r#"{"kid":"p256"}"#), is_algorithm),
        ("alg null", renamed(Value::Null), is_algorithm),
        ("alg a number", renamed(json!(256)), is_algorithm),
        ("alg a list", renamed(json!(["ES256"])), is_algorithm),
        ("alg in lower case", renamed(json!("es256")), is_algorithm),
        ("alg with a space", renamed(json!("ES256 ")), is_algorithm),
        (
            "alg with a null byte",
            renamed(json!("ES256\0")),
            is_algorithm,
        ),
        (
            "alg with a look-alike letter",
            renamed(json!("ЕS256")),
            is_algorithm,
        ),
        ("alg of another curve", renamed(json!("ES384")), is_key),
        (
            "alg of a curve that is not read",
            renamed(json!("ES512")),
            is_algorithm,
        ),
        (
            "alg of a coin's curve",
            renamed(json!("ES256K")),
            is_algorithm,
        ),
        ("alg of another family", renamed(json!("RS256")), is_key),
        (
            "alg of an encryption",
            renamed(json!("RSA-OAEP")),
            is_algorithm,
        ),
        ("alg dir", renamed(json!("dir")), is_algorithm),
        (
            "a secret that is the RSA modulus",
            hmac(modulus.as_bytes(), Library::HS256, "HS256", "rsa"),
            is_algorithm,
        ),
        (
            "a secret that is the RSA key's JWK",
            hmac(jwk.as_bytes(), Library::HS256, "HS256", "rsa"),
            is_algorithm,
        ),
        (
            "a secret that is the public point",
            hmac(&point, Library::HS256, "HS256", "p256"),
            is_algorithm,
        ),
        (
            "a secret that is the text of x",
            hmac(x.as_bytes(), Library::HS512, "HS512", "p256"),
            is_algorithm,
        ),
        (
            "an empty secret",
            hmac(b"", Library::HS256, "HS256", "p256"),
            is_algorithm,
        ),
        (
            "another issuer's secret",
            hmac(SECRET, Library::HS256, "HS256", "p256"),
            is_algorithm,
        ),
        (
            "the other padding of RSA",
            token_of(
                &all.rsa,
                Library::PS256,
                r#"{"alg":"RS256","kid":"rsa"}"#,
                &claims().to_string(),
            ),
            is_signature,
        ),
        (
            "another hash of RSA",
            token_of(
                &all.rsa,
                Library::RS512,
                r#"{"alg":"RS256","kid":"rsa"}"#,
                &claims().to_string(),
            ),
            is_signature,
        ),
        (
            "a public key's signature for the issuer with a secret",
            token(
                &header(&json!({})),
                &claims_with(&json!({"iss": "https://secret.example"})),
            ),
            is_algorithm,
        ),
    ]);
    assert_eq!(count, 29);
}

#[test]
fn no_key_is_believed_but_the_issuers_own() {
    let all = pairs();
    let stranger = |header: Value| {
        token_of(
            &all.stranger,
            Library::ES256,
            &header.to_string(),
            &claims().to_string(),
        )
    };
    let own = &all.stranger.jwk;
    let count = run(vec![
        (
            "a stranger's key",
            stranger(json!({"alg": "ES256", "kid": "p256"})),
            is_signature,
        ),
        (
            "a stranger's key without its id",
            stranger(json!({"alg": "ES256"})),
            is_signature,
        ),
        (
            "an embedded key (jwk)",
            stranger(json!({"alg": "ES256", "kid": "p256", "jwk": own})),
            is_signature,
        ),
        (
            "an embedded key without kid",
            stranger(json!({"alg": "ES256", "jwk": own})),
            is_signature,
        ),
        (
            "an address of keys (jku)",
            stranger(json!({"alg": "ES256", "kid": "p256", "jku": "https://evil.example/jwks"})),
            is_signature,
        ),
        (
            "an address of keys that is local",
            stranger(json!({"alg": "ES256", "kid": "p256", "jku": "file:///etc/passwd"})),
            is_signature,
        ),
        (
            "an address of a certificate (x5u)",
            stranger(json!({"alg": "ES256", "kid": "p256", "x5u": "https://evil.example/c.pem"})),
            is_signature,
        ),
        (
            "a certificate (x5c)",
            stranger(json!({"alg": "ES256", "kid": "p256", "x5c": ["MIIB"]})),
            is_signature,
        ),
        (
            "an unknown kid",
            with_header(&json!({"kid": "other"})),
            is_key,
        ),
        ("an empty kid", with_header(&json!({"kid": ""})), is_key),
        (
            "a kid in other letters",
            with_header(&json!({"kid": "P256"})),
            is_key,
        ),
        (
            "a kid with a null byte",
            with_header(&json!({"kid": "p256\0"})),
            is_key,
        ),
        (
            "a kid that is a path",
            with_header(&json!({"kid": "../../../../dev/null"})),
            is_key,
        ),
        (
            "a kid that is SQL",
            with_header(&json!({"kid": "x' UNION SELECT 'key"})),
            is_key,
        ),
        (
            "a kid that is a command",
            with_header(&json!({"kid": "p256|id"})),
            is_key,
        ),
        (
            "a kid that is a number",
            with_header(&json!({"kid": 1})),
            is_form,
        ),
        (
            "a kid that is a list",
            with_header(&json!({"kid": ["p256"]})),
            is_form,
        ),
        (
            "a kid that is null",
            with_header(&json!({"kid": null})),
            is_form,
        ),
        (
            "a kid without an end",
            with_header(&json!({"kid": "p".repeat(600)})),
            is_form,
        ),
        (
            "the kid of a key of another kind",
            with_header(&json!({"kid": "rsa"})),
            is_key,
        ),
        (
            "the kid of another curve",
            with_header(&json!({"kid": "p384"})),
            is_key,
        ),
        (
            "another issuer",
            with_claims(&json!({"iss": "https://evil.example"})),
            is_issuer,
        ),
        (
            "the issuer with a slash",
            with_claims(&json!({"iss": "https://login.example/"})),
            is_issuer,
        ),
        (
            "the issuer in capitals",
            with_claims(&json!({"iss": "https://LOGIN.example"})),
            is_issuer,
        ),
        (
            "the issuer and more",
            with_claims(&json!({"iss": "https://login.example.evil.example"})),
            is_issuer,
        ),
        (
            "the issuer with a port",
            with_claims(&json!({"iss": "https://login.example:443"})),
            is_issuer,
        ),
        (
            "the issuer as a list",
            with_claims(&json!({"iss": [ISSUER]})),
            is_claim,
        ),
        ("no issuer", with_claims(&json!({"iss": null})), is_claim),
        (
            "an empty issuer",
            with_claims(&json!({"iss": ""})),
            is_claim,
        ),
        (
            "the other issuer that has no such key",
            with_claims(&json!({"iss": "https://secret.example"})),
            is_algorithm,
        ),
    ]);
    assert_eq!(count, 30);
}

#[test]
fn nothing_is_read_that_two_readers_could_read_differently() {
    let plain = claims().to_string();
    let doubled = |more: &str| format!("{},{more}}}", &plain[..plain.len() - 1]);
    let count = run(vec![
        (
            "two alg",
            raw_header(r#"{"alg":"none","alg":"ES256","kid":"p256"}"#),
            is_form,
        ),
        (
            "two kid",
            raw_header(r#"{"alg":"ES256","kid":"x","kid":"p256"}"#),
            is_form,
        ),
        (
            "two alg, one of them escaped",
            raw_header(r#"{"alg":"ES256","\u0061lg":"none"}"#),
            is_form,
        ),
        ("two sub", raw_claims(&doubled(r#""sub":"root""#)), is_form),
        (
            "two sub, one of them escaped",
            raw_claims(&doubled(r#""su\u0062":"root""#)),
            is_form,
        ),
        (
            "two aud",
            raw_claims(&doubled(&format!(r#""aud":"{AUDIENCE}""#))),
            is_form,
        ),
        (
            "two exp",
            raw_claims(&doubled(r#""exp":9999999999"#)),
            is_form,
        ),
        (
            "two roles deep inside",
            raw_claims(&doubled(r#""a":{"roles":[],"roles":["admin"]}"#)),
            is_form,
        ),
        (
            "two members in a list's object",
            raw_claims(&doubled(r#""a":[{"b":1,"b":2}]"#)),
            is_form,
        ),
        (
            "a header that is no object",
            raw_header(r#"["ES256"]"#),
            is_form,
        ),
        ("a header that is no JSON", raw_header("alg=ES256"), is_form),
        ("an empty header", raw_header(""), is_form),
        (
            "a header with more behind it",
            raw_header(r#"{"alg":"ES256"}{"alg":"none"}"#),
            is_form,
        ),
        (
            "a header with a comment",
            raw_header(r#"{"alg":"ES256"/**/}"#),
            is_form,
        ),
        (
            "a header with a comma too many",
            raw_header(r#"{"alg":"ES256",}"#),
            is_form,
        ),
        (
            "a header with a byte order mark",
            raw_header("\u{feff}{\"alg\":\"ES256\"}"),
            is_form,
        ),
        ("claims that are no object", raw_claims(r#""ann""#), is_form),
        ("claims that are no JSON", raw_claims("sub=ann"), is_form),
        ("empty claims", raw_claims(""), is_form),
        (
            "claims nested without an end",
            raw_claims(&format!("{{\"a\":{}{}}}", "[".repeat(500), "]".repeat(500))),
            is_form,
        ),
        (
            "claims with half a surrogate",
            raw_claims(r#"{"sub":"\ud800"}"#),
            is_form,
        ),
        (
            "claims with a number beyond all",
            raw_claims(&doubled(r#""x":1e999"#)),
            is_form,
        ),
        (
            "claims that are not UTF-8",
            {
                let pair = &pairs().p256;
                let message = format!(
                    "{}.{}",
                    encode(r#"{"alg":"ES256"}"#),
                    encode(b"{\"sub\":\"\xff\"}")
                );
                format!("{message}.{}", pair.sign(Library::ES256, &message))
            },
            is_form,
        ),
        (
            "padding behind the header",
            parts(|parts| parts[0].push('=')),
            is_malformed,
        ),
        (
            "padding behind the signature",
            parts(|parts| parts[2].push_str("==")),
            is_malformed,
        ),
        (
            "bits beyond the last byte",
            parts(|parts| {
                // 64 bytes leave four bits of the last letter unused.
                let last = parts[2].pop().unwrap();
                parts[2].push(match last {
                    'A' => 'B',
                    'Q' => 'R',
                    'g' => 'h',
                    _ => 'x',
                });
            }),
            is_malformed,
        ),
        (
            "the other base64",
            parts(|parts| parts[1] = parts[1].replace('-', "+").replace('_', "/") + "+/"),
            is_malformed,
        ),
        (
            "a line break within",
            parts(|parts| parts[1].insert(4, '\n')),
            is_malformed,
        ),
        (
            "a space within",
            parts(|parts| parts[1].insert(4, ' ')),
            is_malformed,
        ),
        (
            "a null byte within",
            parts(|parts| parts[1].insert(4, '\0')),
            is_malformed,
        ),
        (
            "no signature",
            parts(|parts| parts[2].clear()),
            is_signature,
        ),
        ("no claims", parts(|parts| parts[1].clear()), is_form),
        (
            "two parts",
            good().rsplit_once('.').unwrap().0.to_owned(),
            is_form,
        ),
        ("four parts", good() + ".x", is_form),
        ("a point at the end", good() + ".", is_form),
        ("a point at the begin", ".".to_owned() + &good(), is_form),
        ("three points and nothing else", "...".to_owned(), is_form),
        ("two points and nothing else", "..".to_owned(), is_form),
        (
            "one that is too long",
            with_claims(&json!({"x": "x".repeat(13_000)})),
            is_malformed,
        ),
        (
            "the JSON form of a signature",
            json!({"payload": "e30", "signature": ""}).to_string(),
            is_malformed,
        ),
    ]);
    assert_eq!(count, 40);
}
