//! Tokens that two readers could read differently, or that want what is not understood.

use super::*;

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
