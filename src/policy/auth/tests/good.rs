//! What has to be accepted, however it is written.

use jsonwebtoken::Algorithm as Library;
use serde_json::json;

use super::super::*;
use super::forge::*;
use crate::policy::Proof;

#[test]
fn every_algorithm_is_verified_with_its_kind_of_key() {
    let (all, verifier) = (pairs(), verifier());
    for (pair, algorithm) in [
        (&all.rsa, Library::RS256),
        (&all.rsa, Library::RS384),
        (&all.rsa, Library::RS512),
        (&all.rsa, Library::PS256),
        (&all.rsa, Library::PS384),
        (&all.rsa, Library::PS512),
        (&all.p256, Library::ES256),
        (&all.p384, Library::ES384),
        (&all.ed25519, Library::EdDSA),
    ] {
        let header = json!({"alg": algorithm, "kid": pair.jwk["kid"]}).to_string();
        let token = token_of(pair, algorithm, &header, &claims().to_string());
        let identity = identify(&verifier, &token).unwrap();
        assert_eq!(&*identity.subject, "ann", "{algorithm:?}");
    }
    let header = json!({"alg": "Ed25519"}).to_string();
    let token = token_of(&all.ed25519, Library::EdDSA, &header, &claims().to_string());
    assert!(identify(&verifier, &token).is_ok());
}

#[test]
fn a_secret_serves_the_issuer_that_has_it_and_longer_hashes_where_they_are_named() {
    let mut verifier = verifier();
    let claims = claims_with(&json!({"iss": "https://secret.example"}));
    let of = |algorithm: Library, name: &str| {
        secret_token(
            SECRET,
            algorithm,
            &json!({"alg": name}).to_string(),
            &claims,
        )
    };
    assert!(identify(&verifier, &of(Library::HS256, "HS256")).is_ok());
    assert_eq!(
        identify(&verifier, &of(Library::HS512, "HS512")),
        Err(Fault::Algorithm)
    );
    verifier.issuers[1].algorithms = vec![Algorithm::named("HS512").unwrap()];
    assert!(identify(&verifier, &of(Library::HS512, "HS512")).is_ok());
}

#[test]
fn a_token_says_who_it_is_and_what_for() {
    let identity = identify(&verifier(), &good()).unwrap();
    assert_eq!((&*identity.subject, identity.proof), ("ann", Proof::Jwt));
    assert_eq!(identity.issuer.as_deref(), Some(ISSUER));
    assert!(
        identity.has_scope("read") && identity.has_scope("write") && !identity.has_scope("rea")
    );
    assert_eq!(identity.roles, ["admin".into()]);
    assert_eq!(identity.expires_unix_s, Some(NOW + 660));
    assert_eq!(identity.claims["sub"], "ann");
    assert_eq!(
        identity.principal,
        Identity::principal_of(Proof::Jwt, Some(ISSUER), "ann")
    );
}

#[test]
fn scopes_and_roles_are_read_in_each_of_their_writings() {
    let mut verifier = verifier();
    for (claims, scopes) in [
        (json!({"scope": "a  b "}), &["a", "b"][..]),
        (json!({"scope": ""}), &[]),
        (json!({"scope": null}), &[]),
        (json!({"scope": null, "scp": ["a", "b c"]}), &["a", "b c"]),
        (json!({"scope": null, "scp": "a b"}), &["a", "b"]),
        (json!({"scope": "a", "scp": ["b"]}), &["a"]),
    ] {
        let token = token(&json!({"alg": "ES256"}), &claims_with(&claims));
        let found = identify(&verifier, &token).unwrap().scopes;
        assert_eq!(
            found.iter().map(|scope| &**scope).collect::<Vec<_>>(),
            scopes,
            "{claims}"
        );
    }
    for (claim, claims) in [
        (
            "realm_access.roles",
            json!({"realm_access": {"roles": ["x"]}}),
        ),
        (
            "https://example.com/roles",
            json!({"https://example.com/roles": "x"}),
        ),
        ("a.b", json!({"a.b": ["x"], "a": {"b": ["y"]}})),
    ] {
        verifier.issuers[0].roles_claim = claim.into();
        let token = token(&json!({"alg": "ES256"}), &claims_with(&claims));
        assert_eq!(
            identify(&verifier, &token).unwrap().roles,
            ["x".into()],
            "{claim}"
        );
    }
}

#[test]
fn harmless_variations_are_no_faults() {
    let verifier = verifier();
    let plain = claims().to_string();
    let header = |more: serde_json::Value| {
        let mut header = json!({"alg": "ES256", "kid": "p256"});
        header
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        header
    };
    for (name, token) in [
        ("no typ", token(&header(json!({})), &plain)),
        ("typ JWT", token(&header(json!({"typ": "JWT"})), &plain)),
        ("typ jwt", token(&header(json!({"typ": "jwt"})), &plain)),
        (
            "typ AT+JWT",
            token(&header(json!({"typ": "AT+JWT"})), &plain),
        ),
        (
            "typ application/at+jwt",
            token(&header(json!({"typ": "application/at+jwt"})), &plain),
        ),
        (
            "no kid, one key that fits",
            token(&json!({"alg": "ES256"}), &plain),
        ),
        (
            "unknown header members",
            token(
                &header(json!({"x5t": "abc", "nonce": 1, "jku": "https://evil.example/"})),
                &plain,
            ),
        ),
        (
            "aud list",
            token(
                &header(json!({})),
                &claims_with(&json!({"aud": ["other", AUDIENCE]})),
            ),
        ),
        (
            "no nbf and iat",
            token(
                &header(json!({})),
                &claims_with(&json!({"nbf": null, "iat": null})),
            ),
        ),
        (
            "fractions of a second",
            token(
                &header(json!({})),
                &claims_with(&json!({"exp": NOW as f64 + 1.5, "nbf": NOW as f64 - 0.25})),
            ),
        ),
        (
            "no end in sight",
            token(&header(json!({})), &claims_with(&json!({"exp": 1e300}))),
        ),
        (
            "other alphabets",
            token(
                &header(json!({})),
                &claims_with(&json!({"sub": "Ærøskøbing ☃ 名前"})),
            ),
        ),
        (
            "white space",
            token_of(
                &pairs().p256,
                Library::ES256,
                "{\r\n \"alg\" : \"ES256\" }\n",
                &plain,
            ),
        ),
        (
            "escapes",
            token_of(
                &pairs().p256,
                Library::ES256,
                r#"{"\u0061lg":"\u0045S256"}"#,
                &plain,
            ),
        ),
        (
            "the same names in other objects",
            token(
                &header(json!({})),
                &claims_with(&json!({"a": {"sub": "x"}, "b": [{"sub": "y"}, {"sub": "z"}]})),
            ),
        ),
    ] {
        assert!(
            identify(&verifier, &token).is_ok(),
            "{name}: {:?}",
            identify(&verifier, &token)
        );
    }
    for header in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        let value = format!("{header}  {} ", good());
        assert!(
            verifier.identify(Some(value.as_bytes()), None, NOW).is_ok(),
            "{header}"
        );
    }
}

#[test]
fn what_the_fuzzer_begins_with_is_held_to_what_it_promises() {
    for text in [
        good(),
        "Bearer abc".to_owned(),
        String::from_utf8(jwks(&[&pairs().rsa.jwk])).unwrap(),
    ] {
        check(text.as_bytes());
    }
}
