//! Tokens that are for others, out of their time, or of nobody.

use super::*;

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
