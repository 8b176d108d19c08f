//! API keys, and what may stand in the header.

use super::super::*;
use super::forge::NOW;
use crate::policy::Proof;

fn key(name: &str) -> (String, ApiKey) {
    let text = key_text(name, &[name.len() as u8; KEY_RANDOM_BYTES]);
    let digest = parse_hash(&hash_of(&text)).unwrap();
    (text, ApiKey::new(name, digest))
}

fn identify(verifier: &Verifier, header: &[u8]) -> Result<Identity, Fault> {
    verifier.identify(Some(header), None, NOW)
}

#[test]
fn a_key_names_its_owner_and_no_other_text_does() {
    let (text, mut ann) = key("ann");
    ann.scopes = vec!["read".into()];
    ann.tier = Some("premium".into());
    let others = (4..500_usize).map(|length| key(&"x".repeat(length % 60 + 4)).1);
    let keys: Vec<ApiKey> = others.chain([ann]).collect();
    let verifier = Verifier {
        keys: keys.into(),
        ..Verifier::default()
    };
    let found = identify(&verifier, format!("Bearer {text}").as_bytes()).unwrap();
    assert_eq!(
        (&*found.subject, found.proof, found.tier.as_deref()),
        ("ann", Proof::ApiKey, Some("premium"))
    );
    assert!(found.has_scope("read") && found.expires_unix_s.is_none());
    for wrong in [
        format!("Bearer {}", &text[..text.len() - 1]),
        format!("Bearer {text}A"),
        format!("Bearer {}", text.to_uppercase()),
        format!("Bearer {}", hash_of(&text)),
        "Bearer ann".to_owned(),
        "Bearer mgy_ann_".to_owned(),
        format!("Bearer {text}."),
    ] {
        assert!(identify(&verifier, wrong.as_bytes()).is_err(), "{wrong}");
    }
}

#[test]
fn a_key_ends_with_the_second_that_it_names() {
    let (text, mut ann) = key("ann");
    ann.expires_unix_s = Some(NOW);
    let verifier = Verifier {
        keys: vec![ann].into(),
        ..Verifier::default()
    };
    let header = format!("Bearer {text}");
    let at = |now| {
        verifier
            .identify(Some(header.as_bytes()), None, now)
            .map(|_| ())
    };
    assert_eq!((at(NOW - 1), at(NOW)), (Ok(()), Err(Fault::Expired)));
}

#[test]
fn a_revoked_key_is_refused_at_once() {
    let (text, ann) = key("ann");
    let header = format!("Bearer {text}");
    let authenticator = Authenticator::new(
        Verifier {
            keys: vec![ann].into(),
            ..Verifier::default()
        },
        None,
    );
    let now = || {
        authenticator
            .identify(Some(header.as_bytes()), None, NOW)
            .map(|_| ())
    };
    assert_eq!((now(), now()), (Ok(()), Ok(())));
    authenticator.exchange(Verifier::default());
    assert_eq!(now(), Err(Fault::Unknown));
}

#[test]
fn hashes_are_read_as_they_are_written_and_in_no_other_form() {
    let hash = hash_of("abc");
    // SHA-256 of "abc", FIPS 180-2 appendix B.1.
    assert_eq!(
        hash,
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    assert!(parse_hash(&hash).is_some());
    for wrong in [
        "",
        "sha256:",
        &hash[7..],
        &hash[..70],
        &format!("{hash}0"),
        &hash.replace('b', "g"),
        &hash.replace("sha256", "SHA256"),
    ] {
        assert_eq!(parse_hash(wrong), None, "{wrong}");
    }
}

#[test]
fn a_header_of_the_wrong_form_is_no_request_and_one_of_another_kind_is_no_proof() {
    let verifier = Verifier {
        keys: vec![key("ann").1].into(),
        ..Verifier::default()
    };
    for (value, status, code) in [
        (&b"Basic YW5uOnBhc3M="[..], 401, None),
        (b"Digest x", 401, None),
        (b"Negotiate", 401, None),
        (b"Bearerx abc", 401, None),
        (b"", 400, Some("invalid_request")),
        (b" ", 400, Some("invalid_request")),
        (b"Bearer", 400, Some("invalid_request")),
        (b"Bearer ", 400, Some("invalid_request")),
        (b"Bearer\tabc", 400, Some("invalid_request")),
        (b"Bearer \tabc", 400, Some("invalid_request")),
        (b"Bearer abc def", 400, Some("invalid_request")),
        (b"Bearer abc,def", 400, Some("invalid_request")),
        (b"Bearer abc, Bearer def", 400, Some("invalid_request")),
        (b"Bearer \"abc\"", 400, Some("invalid_request")),
        (b"Bearer a\0b", 400, Some("invalid_request")),
        (b"Bearer a\r\nX: y", 400, Some("invalid_request")),
        (b"Bearer \xff\xfe", 400, Some("invalid_request")),
        ("Bearer ключ".as_bytes(), 400, Some("invalid_request")),
        (b"Bearer a=b", 400, Some("invalid_request")),
        (b"Bearer ===", 400, Some("invalid_request")),
        (b"Bearer: abc", 400, Some("invalid_request")),
        (b"Bearer abc", 401, Some("invalid_token")),
        (b"Bearer abc==", 401, Some("invalid_token")),
    ] {
        let fault = identify(&verifier, value).unwrap_err();
        let shown = String::from_utf8_lossy(value);
        assert_eq!((fault.status(), fault.code()), (status, code), "{shown}");
    }
    let long = |length: usize| [b"Bearer ", "a".repeat(length).as_bytes()].concat();
    assert_eq!(
        identify(&verifier, &long(BEARER_BYTES_MAX)),
        Err(Fault::Unknown)
    );
    assert_eq!(
        identify(&verifier, &long(BEARER_BYTES_MAX + 1))
            .unwrap_err()
            .status(),
        400
    );
    assert_eq!(verifier.identify(None, None, NOW), Err(Fault::Missing));
}

#[test]
fn where_nobody_is_asked_everybody_is_nobody_in_particular() {
    let verifier = Verifier::anonymous();
    for header in [None, Some(&b"Bearer abc"[..]), Some(b"rubbish \0")] {
        assert_eq!(
            verifier.identify(header, None, NOW),
            Ok(Identity::anonymous())
        );
    }
    // Where keys are asked for, too, a wrong one is wrong.
    let verifier = Verifier {
        keys: vec![key("ann").1].into(),
        ..Verifier::anonymous()
    };
    assert_eq!(
        verifier.identify(None, None, NOW),
        Ok(Identity::anonymous())
    );
    assert_eq!(identify(&verifier, b"Bearer abc"), Err(Fault::Unknown));
}

#[test]
fn what_a_caller_is_told_does_not_say_which_keys_there_are() {
    let secretive = [
        Fault::Unknown,
        Fault::UnknownIssuer,
        Fault::Algorithm,
        Fault::UnknownKey,
        Fault::AmbiguousKey,
        Fault::Signature,
    ];
    for fault in &secretive {
        assert_eq!(fault.told(), Fault::Unknown.told());
        assert_eq!((fault.status(), fault.code()), (401, Some("invalid_token")));
    }
    let details: std::collections::BTreeSet<_> = secretive.iter().map(Fault::detail).collect();
    assert_eq!(details.len(), secretive.len());
}
