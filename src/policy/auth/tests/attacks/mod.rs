//! Tokens that must not be accepted, each with the reason for which it is not.

mod algorithms;
mod claims;
mod keys;
mod writings;

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
