//! From when and until when a proof is good, to the second; and what is remembered of it.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use serde_json::json;

use super::super::*;
use super::forge::*;

fn at(now: u64, changes: &serde_json::Value) -> Result<Identity, Fault> {
    let token = token(&json!({"alg": "ES256"}), &claims_with(changes));
    verifier().identify(Some(format!("Bearer {token}").as_bytes()), None, now)
}

#[test]
fn a_token_is_good_from_its_first_second_to_its_last_with_the_leeway_on_both_sides() {
    for (now, exp, expected) in [
        (NOW, NOW + 1, Ok(())),
        (NOW, NOW, Ok(())),
        (NOW, NOW - 59, Ok(())),
        (NOW, NOW - 60, Err(Fault::Expired)),
        (NOW, NOW - 61, Err(Fault::Expired)),
        (NOW, 0, Err(Fault::Expired)),
    ] {
        assert_eq!(
            at(now, &json!({"exp": exp})).map(|_| ()),
            expected,
            "exp {exp}"
        );
    }
    for name in ["nbf", "iat"] {
        for (from, expected) in [
            (NOW, Ok(())),
            (NOW + 60, Ok(())),
            (NOW + 61, Err(Fault::NotYet)),
            (NOW + 1_000_000, Err(Fault::NotYet)),
        ] {
            assert_eq!(
                at(NOW, &json!({name: from})).map(|_| ()),
                expected,
                "{name} {from}"
            );
        }
    }
}

#[test]
fn without_leeway_the_second_of_the_end_is_no_longer_good() {
    let mut verifier = verifier();
    verifier.issuers[0].leeway_s = 0;
    let token = token(
        &json!({"alg": "ES256"}),
        &claims_with(&json!({"exp": NOW + 10, "nbf": NOW})),
    );
    let at = |now| {
        verifier
            .identify(Some(format!("Bearer {token}").as_bytes()), None, now)
            .map(|_| ())
    };
    assert_eq!(at(NOW - 1), Err(Fault::NotYet));
    assert_eq!((at(NOW), at(NOW + 9)), (Ok(()), Ok(())));
    assert_eq!(at(NOW + 10), Err(Fault::Expired));
}

#[test]
fn keys_that_are_too_old_let_nobody_in_and_end_what_was_verified_with_them() {
    let mut verifier = verifier();
    verifier.issuers[0].keys.until_unix_s = Some(NOW + 5);
    let authenticator = Authenticator::new(verifier, None);
    let header = format!("Bearer {}", good());
    let at = |now| authenticator.identify(Some(header.as_bytes()), None, now);
    assert_eq!(at(NOW).unwrap().expires_unix_s, Some(NOW + 5));
    assert!(at(NOW + 4).is_ok());
    assert_eq!(at(NOW + 5), Err(Fault::KeysStale));
}

#[test]
fn a_verified_token_is_remembered_until_it_expires_or_the_keys_change() {
    let authenticator = Authenticator::new(verifier(), None);
    let header = format!("Bearer {}", good());
    let at = |now| authenticator.identify(Some(header.as_bytes()), None, now);
    let first = at(NOW).unwrap();
    assert!(Arc::ptr_eq(&first, &at(NOW + 1).unwrap()));
    assert!(Arc::ptr_eq(&first, &at(NOW + 659).unwrap()));
    assert_eq!(at(NOW + 660), Err(Fault::Expired));
    let generation = authenticator.generation();
    authenticator.exchange(verifier());
    assert_ne!(authenticator.generation(), generation);
    assert!(!Arc::ptr_eq(&first, &at(NOW).unwrap()));
    let mut without = verifier();
    without.issuers.remove(0);
    authenticator.exchange(without);
    assert_eq!(at(NOW), Err(Fault::UnknownIssuer));
}

#[test]
fn nothing_is_remembered_of_what_was_refused() {
    let authenticator = Authenticator::new(verifier(), None);
    for number in 0..200 {
        let header = format!("Bearer {}{number}", good());
        assert!(
            authenticator
                .identify(Some(header.as_bytes()), None, NOW)
                .is_err()
        );
    }
    assert_eq!(authenticator.remembered(), 0);
}

#[test]
fn a_key_that_is_not_there_is_wanted_of_its_issuer_and_of_nobody_else() {
    let authenticator = Authenticator::new(verifier(), None);
    let mut context = Context::from_waker(Waker::noop());
    let mut wanted = |token: &str| {
        let header = format!("Bearer {token}");
        let _ = authenticator.identify(Some(header.as_bytes()), None, NOW);
        match authenticator.poll_wanted(&mut context) {
            Poll::Ready(issuer) => Some(issuer),
            Poll::Pending => None,
        }
    };
    let kid = json!({"alg": "ES256", "kid": "other"});
    assert_eq!(
        wanted(&token(&kid, &claims().to_string())).as_deref(),
        Some(ISSUER)
    );
    let stranger = claims_with(&json!({"iss": "https://evil.example"}));
    assert_eq!(wanted(&token(&kid, &stranger)), None);
    let wrong = token_of(
        &pairs().stranger,
        jsonwebtoken::Algorithm::ES256,
        r#"{"alg":"ES256"}"#,
        &claims().to_string(),
    );
    assert_eq!(wanted(&wrong), None);
    assert_eq!(wanted(&good()), None);
    // However many are sent, what waits is bounded.
    for _ in 0..1_000 {
        let header = format!(
            "Bearer {}",
            token_of(
                &pairs().stranger,
                jsonwebtoken::Algorithm::ES256,
                r#"{"alg":"ES256","kid":"x"}"#,
                &claims().to_string()
            )
        );
        let _ = authenticator.identify(Some(header.as_bytes()), None, NOW);
    }
    let waiting = std::iter::from_fn(|| match authenticator.poll_wanted(&mut context) {
        Poll::Ready(issuer) => Some(issuer),
        Poll::Pending => None,
    });
    assert!(waiting.count() <= 16);
}
