//! Tokens signed with keys of others, and key sets with keys that are none.

use super::*;

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
