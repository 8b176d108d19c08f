//! Tokens that must not be accepted, each with the reason for which it is not.

use jsonwebtoken::Algorithm as Library;
use serde_json::{Value, json};

use super::super::*;
use super::forge::*;

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

#[test]
fn what_is_not_understood_is_not_passed_over() {
    let inner = good();
    let count = run(vec![
        (
            "crit with something unknown",
            with_header(&json!({"crit": ["exp2"], "exp2": 1})),
            is_unsupported,
        ),
        (
            "crit that names what is known",
            with_header(&json!({"crit": ["alg"]})),
            is_unsupported,
        ),
        (
            "an empty crit",
            with_header(&json!({"crit": []})),
            is_unsupported,
        ),
        (
            "crit that is null",
            with_header(&json!({"crit": null})),
            is_unsupported,
        ),
        (
            "a payload that is not encoded",
            with_header(&json!({"b64": false, "crit": ["b64"]})),
            is_unsupported,
        ),
        (
            "b64 without crit",
            with_header(&json!({"b64": false})),
            is_unsupported,
        ),
        (
            "b64 that is true",
            with_header(&json!({"b64": true})),
            is_unsupported,
        ),
        (
            "a compressed payload",
            with_header(&json!({"zip": "DEF"})),
            is_unsupported,
        ),
        (
            "a token in a token",
            token_of(
                &pairs().p256,
                Library::ES256,
                &header(&json!({"cty": "JWT"})).to_string(),
                &inner,
            ),
            is_unsupported,
        ),
        (
            "a token in a token that does not say so",
            token_of(
                &pairs().p256,
                Library::ES256,
                &header(&json!({})).to_string(),
                &inner,
            ),
            is_form,
        ),
        (
            "an encrypted token",
            format!("{}.a.b.c.d", encode(r#"{"alg":"dir","enc":"A256GCM"}"#)),
            is_unsupported,
        ),
        (
            "an encrypted token in three parts",
            with_header(&json!({"enc": "A256GCM"})),
            is_unsupported,
        ),
        (
            "a token for logging out",
            with_header(&json!({"typ": "logout+jwt"})),
            is_unsupported,
        ),
        (
            "a security event",
            with_header(&json!({"typ": "secevent+jwt"})),
            is_unsupported,
        ),
        (
            "a proof of possession",
            with_header(&json!({"typ": "dpop+jwt"})),
            is_unsupported,
        ),
        (
            "a client's assertion",
            with_header(&json!({"typ": "client-authentication+jwt"})),
            is_unsupported,
        ),
        (
            "a typ that is a number",
            with_header(&json!({"typ": 1})),
            is_unsupported,
        ),
        (
            "a typ that is null",
            with_header(&json!({"typ": null})),
            is_unsupported,
        ),
        (
            "an empty typ",
            with_header(&json!({"typ": ""})),
            is_unsupported,
        ),
    ]);
    assert_eq!(count, 19);
}

#[test]
fn no_token_counts_that_is_for_others_out_of_its_time_or_of_nobody() {
    let count = run(vec![
        (
            "no audience",
            with_claims(&json!({"aud": null})),
            is_audience,
        ),
        (
            "another audience",
            with_claims(&json!({"aud": "https://other.example/mcp"})),
            is_audience,
        ),
        (
            "the audience with a slash",
            with_claims(&json!({"aud": "https://mcp.example/mcp/"})),
            is_audience,
        ),
        (
            "the audience's host alone",
            with_claims(&json!({"aud": "https://mcp.example"})),
            is_audience,
        ),
        (
            "the audience and more",
            with_claims(&json!({"aud": "https://mcp.example/mcp2"})),
            is_audience,
        ),
        (
            "the audience in capitals",
            with_claims(&json!({"aud": "HTTPS://MCP.EXAMPLE/mcp"})),
            is_audience,
        ),
        (
            "the audience without TLS",
            with_claims(&json!({"aud": "http://mcp.example/mcp"})),
            is_audience,
        ),
        (
            "the audience with a dot segment",
            with_claims(&json!({"aud": "https://mcp.example/x/../mcp"})),
            is_audience,
        ),
        (
            "the audience with an encoded letter",
            with_claims(&json!({"aud": "https://mcp.example/%6dcp"})),
            is_audience,
        ),
        (
            "the audience behind a user's name",
            with_claims(&json!({"aud": "https://mcp.example@evil.example/mcp"})),
            is_audience,
        ),
        (
            "any audience",
            with_claims(&json!({"aud": "*"})),
            is_audience,
        ),
        (
            "no audience in a list",
            with_claims(&json!({"aud": []})),
            is_audience,
        ),
        (
            "others in a list",
            with_claims(&json!({"aud": ["a", "b"]})),
            is_audience,
        ),
        (
            "a number in the list",
            with_claims(&json!({"aud": [AUDIENCE, 1]})),
            is_claim,
        ),
        (
            "a list in the list",
            with_claims(&json!({"aud": [[AUDIENCE]]})),
            is_claim,
        ),
        (
            "an object as audience",
            with_claims(&json!({"aud": {AUDIENCE: true}})),
            is_claim,
        ),
        (
            "the client's id as audience",
            with_claims(&json!({"aud": "client-1", "azp": AUDIENCE})),
            is_audience,
        ),
        ("no end", with_claims(&json!({"exp": null})), is_claim),
        (
            "an end that is a text",
            with_claims(&json!({"exp": "9999999999"})),
            is_claim,
        ),
        (
            "an end that is true",
            with_claims(&json!({"exp": true})),
            is_claim,
        ),
        (
            "an end that is a list",
            with_claims(&json!({"exp": [9_999_999_999_u64]})),
            is_claim,
        ),
        (
            "an end before all time",
            with_claims(&json!({"exp": -1})),
            is_time,
        ),
        (
            "an end that is over",
            with_claims(&json!({"exp": NOW - 60})),
            is_time,
        ),
        (
            "a begin that is a text",
            with_claims(&json!({"nbf": "0"})),
            is_claim,
        ),
        (
            "a begin to come",
            with_claims(&json!({"nbf": NOW + 61})),
            is_time,
        ),
        (
            "made in the future",
            with_claims(&json!({"iat": NOW + 61})),
            is_time,
        ),
        (
            "made at no time",
            with_claims(&json!({"iat": {}})),
            is_claim,
        ),
        (
            "milliseconds as seconds",
            with_claims(&json!({"iat": NOW * 1_000})),
            is_time,
        ),
        ("nobody", with_claims(&json!({"sub": null})), is_claim),
        (
            "an empty subject",
            with_claims(&json!({"sub": ""})),
            is_claim,
        ),
        (
            "a subject that is a number",
            with_claims(&json!({"sub": 1})),
            is_claim,
        ),
        (
            "a subject that is a list",
            with_claims(&json!({"sub": ["ann"]})),
            is_claim,
        ),
        (
            "a subject with a line break",
            with_claims(&json!({"sub": "ann\nroot"})),
            is_claim,
        ),
        (
            "a subject with a null byte",
            with_claims(&json!({"sub": "ann\0"})),
            is_claim,
        ),
        (
            "a subject with an escape",
            with_claims(&json!({"sub": "\u{1b}[2J"})),
            is_claim,
        ),
        (
            "a subject without an end",
            with_claims(&json!({"sub": "a".repeat(1_025)})),
            is_claim,
        ),
        (
            "scopes that are a number",
            with_claims(&json!({"scope": 1})),
            is_claim,
        ),
        (
            "scopes with a number among them",
            with_claims(&json!({"scope": null, "scp": ["a", 1]})),
            is_claim,
        ),
        (
            "scopes without an end",
            with_claims(&json!({"scope": "a ".repeat(300)})),
            is_claim,
        ),
        (
            "roles that are an object",
            with_claims(&json!({"roles": {"admin": true}})),
            is_claim,
        ),
    ]);
    assert_eq!(count, 40);
}

#[test]
fn no_changed_byte_of_a_token_passes() {
    let (verifier, good) = (verifier(), good());
    let mut accepted = 0;
    for at in 0..good.len() {
        for letter in ["A", "z", "-", ".", ""] {
            let changed = format!("{}{letter}{}", &good[..at], &good[at + 1..]);
            accepted += usize::from(changed != good && identify(&verifier, &changed).is_ok());
        }
    }
    for length in 0..good.len() {
        accepted += usize::from(identify(&verifier, &good[..length]).is_ok());
    }
    assert_eq!(accepted, 0);
}

#[test]
fn scopes_that_everybody_needs_are_asked_for_all_at_once() {
    let mut verifier = verifier();
    verifier.issuers[0].scopes_required = vec!["read".into(), "admin".into(), "x".into()];
    let fault = identify(&verifier, &good()).unwrap_err();
    assert_eq!(
        fault,
        Fault::Scopes(vec!["read".into(), "admin".into(), "x".into()])
    );
    assert_eq!(
        (fault.status(), fault.code()),
        (403, Some("insufficient_scope"))
    );
    // Not a word of it to somebody whose token is not good.
    let wrong = token_of(
        &pairs().stranger,
        Library::ES256,
        r#"{"alg":"ES256"}"#,
        &claims().to_string(),
    );
    assert_eq!(identify(&verifier, &wrong), Err(Fault::Signature));
}

#[test]
fn key_sets_have_only_what_can_be_used_and_tell_keys_apart() {
    let all = pairs();
    let with = |changes: Value| {
        let mut key = all.p256.jwk.clone();
        key.as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        key
    };
    let set = |keys: &[&Value]| KeySet::parse(&jwks(keys)).unwrap();
    for (name, key) in [
        ("for encryption", with(json!({"use": "enc"}))),
        ("for signing alone", with(json!({"key_ops": ["sign"]}))),
        (
            "for an algorithm of encryption",
            with(json!({"alg": "ECDH-ES"})),
        ),
        (
            "for another kind's algorithm",
            with(json!({"alg": "RS256"})),
        ),
        ("a short coordinate", with(json!({"x": "AAAA"}))),
        (
            "a padded coordinate",
            with(json!({"x": format!("{}=", all.p256.jwk["x"].as_str().unwrap())})),
        ),
        ("another curve's name", with(json!({"crv": "P-384"}))),
        (
            "a curve that is not read",
            with(json!({"crv": "secp256k1"})),
        ),
        ("an id that is a number", with(json!({"kid": 1}))),
        ("a secret", json!({"kty": "oct", "k": encode(SECRET)})),
        (
            "a small RSA key",
            json!({"kty": "RSA", "n": encode([0xff; 128]), "e": "AQAB"}),
        ),
        (
            "a small RSA key with zeros before it",
            json!({"kty": "RSA", "n": encode([[0; 128], [0xff; 128]].concat()), "e": "AQAB"}),
        ),
        (
            "a huge RSA key",
            json!({"kty": "RSA", "n": encode([0xff; 1_025]), "e": "AQAB"}),
        ),
        (
            "an RSA exponent of 1",
            json!({"kty": "RSA", "n": RSA_N, "e": "AQ"}),
        ),
        (
            "an even RSA exponent",
            json!({"kty": "RSA", "n": RSA_N, "e": "Ag"}),
        ),
        ("no RSA exponent", json!({"kty": "RSA", "n": RSA_N})),
        (
            "an empty RSA exponent",
            json!({"kty": "RSA", "n": RSA_N, "e": ""}),
        ),
        (
            "a short Ed25519 key",
            json!({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}),
        ),
        (
            "a key for agreement",
            json!({"kty": "OKP", "crv": "X25519", "x": encode([1; 32])}),
        ),
        ("no key at all", json!("key")),
    ] {
        let set = set(&[&key, &all.rsa.jwk]);
        assert_eq!(
            (set.len(), set.passed_over().len()),
            (1, 1),
            "{name}: {:?}",
            set.passed_over()
        );
    }
    assert_eq!(set(&[&all.p256.jwk, &all.p256.jwk]).len(), 1);
    for text in [
        "",
        "[]",
        "{}",
        r#"{"keys":{}}"#,
        r#"{"keys":[],"keys":[]}"#,
        "<html>",
    ] {
        assert!(KeySet::parse(text.as_bytes()).is_err(), "{text}");
    }
    // Two keys of one name: which of them is meant, nobody knows.
    let doubled = Verifier {
        issuers: vec![issuer_with(&[&all.p256.jwk, &all.stranger.jwk])],
        ..Verifier::default()
    };
    assert_eq!(identify(&doubled, &good()), Err(Fault::AmbiguousKey));
    // One name for two kinds is fine (RFC 7517 section 4.5).
    let other_kind = with(json!({"kid": "rsa"}));
    let both = Verifier {
        issuers: vec![issuer_with(&[&all.rsa.jwk, &other_kind])],
        ..Verifier::default()
    };
    assert!(identify(&both, &with_header(&json!({"kid": "rsa"}))).is_ok());
    // A key that says its algorithm is for no other.
    let only = json!({"kty": "RSA", "kid": "rsa", "n": RSA_N, "e": "AQAB", "alg": "PS256"});
    let only = Verifier {
        issuers: vec![issuer_with(&[&only])],
        ..Verifier::default()
    };
    let of = |algorithm: Library| {
        token_of(
            &all.rsa,
            algorithm,
            &json!({"alg": algorithm, "kid": "rsa"}).to_string(),
            &claims().to_string(),
        )
    };
    assert!(identify(&only, &of(Library::PS256)).is_ok());
    assert_eq!(identify(&only, &of(Library::RS256)), Err(Fault::UnknownKey));
    // A point beside the curve verifies nothing.
    let beside = with(json!({"x": encode([1; 32]), "y": encode([2; 32])}));
    let beside = Verifier {
        issuers: vec![issuer_with(&[&beside])],
        ..Verifier::default()
    };
    assert_eq!(identify(&beside, &good()), Err(Fault::Signature));
}
