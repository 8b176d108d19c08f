use super::*;
use crate::secret::Secret;
use crate::upstream::http::Url;

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn server(more: &str) -> Server {
    let text = format!(
        r#"{{"issuer":"https://as","authorization_endpoint":"https://as/a?x=1","token_endpoint":"https://as/t"{more}}}"#
    );
    Server::read(text.as_bytes(), "https://as/.well-known", "https://as").unwrap()
}

#[test]
fn the_bearer_challenge_is_found_among_others() {
    let parse = |text: &str| Challenge::parse(text.as_bytes());
    let full = parse(
        r#"Basic realm="a, b", Negotiate abc==, bearer error="insufficient_scope", scope = "a b" , resource_metadata="https://x/\"y" "#,
    )
    .unwrap();
    assert_eq!(full.resource_metadata.as_deref(), Some("https://x/\"y"));
    assert_eq!(full.scope.as_deref(), Some("a b"));
    assert!(full.is_insufficient());
    assert_eq!(parse("Bearer"), Some(Challenge::default()));
    assert_eq!(
        parse("Bearer scope=one").unwrap().scope.as_deref(),
        Some("one")
    );
    for none in [
        "",
        "Basic realm=\"x\"",
        "Bearer scope=\"a\", scope=\"b\"",
        "Bearer scope=\"open",
        "Bearer scope=\"a\u{7}\"",
        "\"Bearer\"",
    ] {
        assert_eq!(parse(none), None, "{none}");
    }
    assert_eq!(Challenge::parse(b"Bearer scope=\"\xff\""), None);
}

#[test]
fn documents_are_looked_for_in_their_order() {
    assert_eq!(
        resource_documents(&url("https://h:8443/a/mcp?x")),
        [
            "https://h:8443/.well-known/oauth-protected-resource/a/mcp",
            "https://h:8443/.well-known/oauth-protected-resource"
        ]
    );
    assert_eq!(resource_documents(&url("https://h/")).len(), 1);
    assert_eq!(
        server_documents(&url("https://h/tenant1/")),
        [
            "https://h/.well-known/oauth-authorization-server/tenant1",
            "https://h/.well-known/openid-configuration/tenant1",
            "https://h/tenant1/.well-known/openid-configuration"
        ]
    );
    assert_eq!(
        server_documents(&url("https://h")),
        [
            "https://h/.well-known/oauth-authorization-server",
            "https://h/.well-known/openid-configuration"
        ]
    );
}

#[test]
fn a_document_about_another_resource_is_refused() {
    let used = url("https://h/a/mcp");
    let read = |resource: &str| {
        let text = format!(r#"{{"resource":"{resource}","authorization_servers":["https://as"]}}"#);
        Resource::read(text.as_bytes(), "at", &used)
    };
    for fine in [
        "https://h/a/mcp",
        "HTTPS://H/a/mcp/",
        "https://h",
        "https://h/a",
        "https://h:443/a/mcp",
    ] {
        assert_eq!(read(fine).unwrap().resource, fine, "as published");
    }
    for other in [
        "https://evil/a/mcp",
        "http://h/a/mcp",
        "https://h:1/a/mcp",
        "https://h/a/mc",
        "https://h/a/mcp/more",
        "https://h/b",
        "",
        "mcp",
    ] {
        assert!(
            matches!(read(other), Err(Refusal::OtherResource { .. })),
            "{other}"
        );
    }
    let none = Resource::read(br#"{"resource":"https://h/a/mcp"}"#, "at", &used);
    assert!(
        none.unwrap_err()
            .to_string()
            .contains("authorization_servers")
    );
}

#[test]
fn a_document_of_another_issuer_is_refused_letter_by_letter() {
    let read = |issuer: &str| Server::read(br#"{"issuer":"https://as"}"#, "at", issuer);
    assert!(read("https://as").is_ok());
    for other in ["https://as/", "https://AS", "https://as:443", "http://as"] {
        assert!(
            matches!(read(other), Err(Refusal::OtherIssuer { .. })),
            "{other}"
        );
    }
    assert!(read("https://as").unwrap().token_endpoint().is_err());
}

#[test]
fn without_s256_no_authorization_begins() {
    let randoms = Randoms {
        state: [1; 32],
        verifier: [2; 32],
    };
    let begin = |server: &Server| {
        Attempt::begin(
            server,
            "me",
            "http://127.0.0.1:1/c",
            "https://h/mcp",
            &Scopes::default(),
            &randoms,
        )
    };
    for without in ["", r#","code_challenge_methods_supported":["plain"]"#] {
        assert_eq!(
            begin(&server(without)).unwrap_err(),
            Refusal::NoPkce("https://as".to_owned())
        );
    }
    let attempt = begin(&server(
        r#","code_challenge_methods_supported":["plain","S256"]"#,
    ))
    .unwrap();
    assert!(
        attempt
            .url
            .starts_with("https://as/a?x=1&response_type=code&client_id=me&")
    );
    assert!(attempt.url.contains("code_challenge_method=S256"));
    assert!(attempt.url.contains("resource=https%3A%2F%2Fh%2Fmcp"));
    assert!(!attempt.url.contains("scope="), "none is no scope");
    assert!(!attempt.url.contains(attempt.verifier.reveal()));
}

/// RFC 7636 appendix B.
#[test]
fn the_challenge_is_that_of_the_standard() {
    assert_eq!(
        authorization::challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
        "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    );
}

#[test]
fn an_answer_counts_only_for_its_own_authorization_and_issuer() {
    let begin = |more: &str| {
        let server = server(&format!(
            r#","code_challenge_methods_supported":["S256"]{more}"#
        ));
        let randoms = Randoms {
            state: [1; 32],
            verifier: [2; 32],
        };
        let redirect = "http://127.0.0.1:1/c";
        Attempt::begin(
            &server,
            "me",
            redirect,
            "https://h",
            &Scopes::default(),
            &randoms,
        )
        .unwrap()
    };
    let silent = begin("");
    let promised = begin(r#","authorization_response_iss_parameter_supported":true"#);
    let state = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";
    let with = |rest: &str| format!("state={state}{rest}");
    assert_eq!(silent.code(&with("&code=x%20y")).unwrap().reveal(), "x y");
    assert!(silent.code(&with("&code=x&iss=https%3A%2F%2Fas")).is_ok());
    assert!(promised.code(&with("&code=x&iss=https%3A%2F%2Fas")).is_ok());
    for (attempt, query) in [
        (&silent, "code=x".to_owned()),
        (&silent, "state=other&code=x".to_owned()),
        (&silent, with("")),
        (&silent, with("&code=")),
        (&silent, with("&code=x&code=y")),
        (&silent, with("&code=x&iss=https%3A%2F%2Fas%2F")),
        (&silent, with("&code=x&iss=https%3A%2F%2Fevil")),
        (&promised, with("&code=x")),
        (&promised, with("&code=x&iss=")),
    ] {
        assert!(
            matches!(
                attempt.code(&query),
                Err(Refusal::Callback(_) | Refusal::Stray)
            ),
            "{query}"
        );
    }
    let refused = silent
        .code(&with("&error=access_denied&error_description=no%0Ano"))
        .unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the authorization server refuses: access_denied (nono)"
    );
}

#[test]
fn scopes_come_from_the_challenge_then_the_operator_then_the_resource() {
    let resource = |scopes: Option<&str>| Resource {
        resource: String::new(),
        servers: Vec::new(),
        scopes: scopes.map(Scopes::parse),
    };
    let ask = |challenge: Option<&str>, configured: &str, resource: &Resource, before: &str| {
        let challenge = Challenge {
            scope: challenge.map(str::to_owned),
            ..Challenge::default()
        };
        let (configured, before) = (Scopes::parse(configured), Scopes::parse(before));
        to_ask_for(
            &challenge,
            &configured,
            Some(resource),
            &server(""),
            &before,
            true,
        )
        .to_string()
    };
    let all = resource(Some("a b"));
    assert_eq!(ask(Some("c"), "", &all, ""), "c");
    assert_eq!(ask(Some("c"), "d", &all, ""), "c d");
    assert_eq!(ask(None, "d", &all, ""), "d");
    assert_eq!(ask(None, "", &all, ""), "a b");
    assert_eq!(ask(None, "", &resource(None), ""), "");
    assert_eq!(ask(Some("write"), "", &all, "read"), "read write");
    let offline = server(r#","scopes_supported":["offline_access"]"#);
    for (wants, expected) in [(true, "offline_access"), (false, "")] {
        let none = Scopes::default();
        let scopes = to_ask_for(&Challenge::default(), &none, None, &offline, &none, wants);
        assert_eq!(scopes.to_string(), expected);
    }
}

#[test]
fn registration_keeps_its_order() {
    let known = Registered {
        client_id: "k".to_owned(),
        client_secret: None,
        token_endpoint_auth_method: None,
        redirect_uri: String::new(),
    };
    let open = server(
        r#","registration_endpoint":"https://as/r","client_id_metadata_document_supported":true"#,
    );
    let asks = server(r#","registration_endpoint":"https://as/r""#);
    let document = Some("https://me/c.json");
    assert_eq!(
        choose(&open, true, document, Some(&known)),
        Ok(Registration::Configured)
    );
    assert_eq!(
        choose(&open, false, document, Some(&known)),
        Ok(Registration::Document("https://me/c.json".to_owned()))
    );
    assert_eq!(
        choose(&asks, false, document, Some(&known)),
        Ok(Registration::Known(known))
    );
    assert_eq!(
        choose(&asks, false, document, None),
        Ok(Registration::Ask("https://as/r".to_owned()))
    );
    assert!(choose(&server(""), false, document, None).is_err());
    let native = Registered::request(&asks, &url("http://127.0.0.1:9/c"), "a");
    assert!(native.contains(r#""application_type":"native""#) && native.contains("refresh_token"));
    assert!(
        Registered::request(&asks, &url("https://me/c"), "")
            .contains(r#""application_type":"web""#)
    );
}

fn body(proof: Proof, methods: &str, resource: Option<&str>) -> (String, Option<String>) {
    let server = server(methods);
    let client = Client {
        id: "m e:".to_owned(),
        proof,
    };
    let scopes = Scopes::parse("a b");
    let form = form(
        &Grant::ClientCredentials,
        (Some(&client), &server),
        resource,
        &scopes,
        100,
        "id",
    )
    .unwrap();
    (
        form.body().reveal().to_owned(),
        form.authorization.map(|value| value.reveal().to_owned()),
    )
}

#[test]
fn a_secret_is_given_as_the_server_takes_it() {
    let secret = |method| Proof::Secret(Secret::new("s:é"), method);
    let only = |name: &str| format!(r#","token_endpoint_auth_methods_supported":["{name}"]"#);
    let (plain, header) = body(secret(Method::Auto), "", Some("https://h/mcp"));
    assert_eq!(
        plain,
        "grant_type=client_credentials&scope=a+b&resource=https%3A%2F%2Fh%2Fmcp"
    );
    // `m+e%3A:s%3A%C3%A9`
    assert_eq!(header.unwrap(), "Basic bStlJTNBOnMlM0ElQzMlQTk=");
    let (form, header) = body(secret(Method::Auto), &only("client_secret_post"), None);
    assert!(form.ends_with("&client_id=m+e%3A&client_secret=s%3A%C3%A9") && header.is_none());
    let (form, header) = body(secret(Method::Auto), &only("none"), None);
    assert!(form.ends_with("&client_id=m+e%3A") && header.is_none());
    let (_, header) = body(secret(Method::Basic), &only("client_secret_post"), None);
    assert!(header.is_some(), "the operator knows better");
}

#[test]
fn a_key_signs_for_one_issuer_and_a_minute() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let pem = Secret::new(key.serialize_pem());
    assert!(SigningKey::new(&pem, SigningAlgorithm::Rs256, None).is_err());
    assert!(SigningKey::new(&Secret::new("no key"), SigningAlgorithm::Es256, None).is_err());
    let signing = SigningKey::new(&pem, SigningAlgorithm::Es256, Some("k1".to_owned())).unwrap();
    assert!(!format!("{signing:?}").contains("PRIVATE"));
    let (form, header) = body(Proof::Key(signing), "", None);
    assert!(header.is_none() && form.contains("client-assertion-type%3Ajwt-bearer"));
    let assertion = form.rsplit("client_assertion=").next().unwrap();
    let public = jsonwebtoken::DecodingKey::from_ec_pem(key.public_key_pem().as_bytes()).unwrap();
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
    validation.set_audience(&["https://as"]);
    validation.validate_exp = false;
    let token = jsonwebtoken::decode::<serde_json::Value>(assertion, &public, &validation).unwrap();
    assert_eq!(token.header.kid.as_deref(), Some("k1"));
    assert_eq!(
        (&token.claims["iss"], &token.claims["sub"]),
        (&"m e:".into(), &"m e:".into())
    );
    assert_eq!(
        (&token.claims["iat"], &token.claims["exp"]),
        (&100.into(), &160.into())
    );
}

#[test]
fn a_token_that_cannot_be_sent_is_none() {
    let read = |text: &str| Tokens::read(200, text.as_bytes());
    let full = read(r#"{"access_token":"a.b-c==","token_type":"bearer","expires_in":30.5,"refresh_token":"r","scope":"x"}"#).unwrap();
    assert_eq!(
        (full.access.reveal(), full.expires_in_s),
        ("a.b-c==", Some(30))
    );
    assert!(!format!("{full:?}").contains("a.b"));
    for wrong in [
        r#"{"access_token":"a b","token_type":"Bearer"}"#,
        r#"{"access_token":"a\r\nX: y","token_type":"Bearer"}"#,
        r#"{"access_token":"","token_type":"Bearer"}"#,
        r#"{"access_token":"a","token_type":"DPoP"}"#,
        r#"{"token_type":"Bearer"}"#,
        "a",
    ] {
        assert!(matches!(read(wrong), Err(Refusal::Token(_))), "{wrong}");
    }
    let refused = Tokens::read(
        400,
        br#"{"error":"invalid_grant","error_description":"x\u001b[2J"}"#,
    );
    assert_eq!(
        refused.unwrap_err().to_string(),
        "the authorization server refuses: invalid_grant (x[2J)"
    );
    assert!(
        Tokens::read(500, b"<html>")
            .unwrap_err()
            .to_string()
            .contains("HTTP 500")
    );
}

#[test]
fn every_spelling_of_an_inner_address_is_known() {
    let range = |text: &str| Range::of(text.parse().unwrap());
    for (text, expected) in [
        ("8.8.8.8", Range::Public),
        ("2606:4700::1111", Range::Public),
        ("127.0.0.1", Range::Loopback),
        ("127.255.255.254", Range::Loopback),
        ("::1", Range::Loopback),
        ("::ffff:127.0.0.1", Range::Loopback),
        ("64:ff9b::7f00:1", Range::Loopback),
        ("10.0.0.1", Range::Private),
        ("172.31.0.1", Range::Private),
        ("192.168.1.1", Range::Private),
        ("100.64.0.1", Range::Private),
        ("fd00::1", Range::Private),
        ("::ffff:10.0.0.1", Range::Private),
        ("2002:a00:1::", Range::Private),
        ("169.254.169.254", Range::Special),
        ("::ffff:169.254.169.254", Range::Special),
        ("64:ff9b::a9fe:a9fe", Range::Special),
        ("fe80::1", Range::Special),
        ("ff02::1", Range::Special),
        ("::", Range::Special),
        ("::808:808", Range::Special),
        ("0.0.0.0", Range::Special),
        ("224.0.0.1", Range::Special),
        ("255.255.255.255", Range::Special),
        ("192.0.2.1", Range::Special),
        ("2001:db8::1", Range::Special),
        ("fec0::1", Range::Special),
    ] {
        assert_eq!(range(text), expected, "{text}");
    }
}

#[test]
fn a_document_leads_only_where_the_upstream_itself_is() {
    let check = |guard: &Guard, text: &str, address: &str| {
        guard
            .check("x", &url(text), &[address.parse().unwrap()])
            .is_ok()
    };
    let public = Guard::new(["8.8.8.8".parse().unwrap()]);
    assert!(check(&public, "https://as/", "9.9.9.9"));
    assert!(!check(&public, "http://as/", "9.9.9.9"), "in plain text");
    for inner in [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "::ffff:10.0.0.1",
    ] {
        assert!(!check(&public, "https://as/", inner), "{inner}");
    }
    let loopback = Guard::new(["127.0.0.1".parse().unwrap()]);
    assert!(check(&loopback, "http://as:1/", "::1"));
    assert!(!check(&loopback, "https://as/", "10.0.0.1"));
    let special = Guard::new(["169.254.169.254".parse().unwrap()]);
    assert!(
        !check(&special, "https://as/", "169.254.169.254"),
        "not by its own address"
    );
    let written = public.clone().with(&url("http://as:1/t"));
    assert!(check(&written, "http://as:1/other", "10.0.0.1"));
    assert!(!check(&written, "http://as:2/", "10.0.0.1"));
    let mixed = ["9.9.9.9".parse().unwrap(), "10.0.0.1".parse().unwrap()];
    assert!(
        public.check("x", &url("https://as/"), &mixed).is_err(),
        "one is enough"
    );
    assert!(public.check("x", &url("https://as/"), &[]).is_err());
}

#[test]
fn a_form_for_a_token_endpoint_shows_nothing_of_what_is_in_it() {
    let client = Client {
        id: "me".to_owned(),
        proof: Proof::Secret(Secret::new("hunter2-hunter2"), Method::Post),
    };
    let form = form(
        &Grant::Refresh(&Secret::new("refresh-refresh")),
        (Some(&client), &server("")),
        None,
        &Scopes::default(),
        0,
        "id",
    )
    .unwrap();
    let sent = form.body().reveal().to_owned();
    assert!(sent.contains("hunter2-hunter2") && sent.contains("refresh-refresh"));
    let shown = format!("{form:?} {client:?}");
    assert!(
        !shown.contains("hunter2") && !shown.contains("refresh-"),
        "{shown}"
    );
}
