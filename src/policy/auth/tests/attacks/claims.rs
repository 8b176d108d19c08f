//! What tokens say of themselves: extensions, audiences, times, names, and every byte of them.

use super::*;

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
