use std::path::Path;
use std::time::Duration;

use crate::control::auth::KeySource;
use crate::control::config::{Config, Overrides};
use crate::error::exit;
use crate::policy::auth::{Algorithm, NameFrom, hash_of};

fn parse(text: &str) -> Result<Config, crate::error::Problem> {
    Config::parse(text, Path::new("/etc/m/margay.yaml"), &Overrides::default())
}

#[test]
fn everything_that_can_be_said_is_read() {
    let hash = hash_of("key");
    let config = parse(&format!(
        "listen: 0.0.0.0:8080
tls: {{cert: cert.pem, key: key.pem, client_ca: ca.pem}}
resource: HTTPS://MCP.example.com/mcp/
scopes_supported: [read, write]
auth:
  api_keys:
    - {{name: ci, hash: \"{hash}\", scopes: [read], roles: [bot], tier: premium, expires: 2030-12-31}}
  api_keys_file: keys.yaml
  jwt:
    - {{issuer: https://login.example.com, jwks: {{url: https://login.example.com/keys, ca: ca.pem}}, algorithms: [ES256, RS256], leeway: 30s, refresh: 10m, max_stale: 2h, roles_claim: realm_access.roles, scopes_required: [read]}}
    - {{issuer: other, audience: [a, b], jwks: {{file: jwks.json}}}}
    - {{issuer: secret, audience: c, secret: {{env: SECRET}}}}
  mtls: {{name_from: uri, clients: [{{name: \"spiffe://example/ann\", roles: [admin]}}]}}
"
    ))
    .unwrap();
    let resource = config.resource.unwrap();
    assert_eq!(&*resource.uri, "https://mcp.example.com/mcp");
    assert_eq!(
        resource.authorization_servers,
        ["https://login.example.com".into()]
    );
    let auth = &config.auth;
    assert!(!auth.admits_anonymous);
    assert_eq!(
        (auth.keys[0].expires_unix_s, auth.keys[0].tier.as_deref()),
        (Some(1_924_905_600), Some("premium"))
    );
    assert_eq!(
        auth.keys_file.as_deref(),
        Some(Path::new("/etc/m/keys.yaml"))
    );
    let first = &auth.issuers[0];
    assert_eq!(first.audiences, ["https://mcp.example.com/mcp".into()]);
    assert_eq!(
        first.algorithms,
        ["ES256", "RS256"].map(|name| Algorithm::named(name).unwrap())
    );
    assert_eq!(
        (first.leeway, first.refresh, first.max_stale),
        (
            Duration::from_secs(30),
            Duration::from_secs(600),
            Duration::from_secs(7_200)
        )
    );
    assert!(
        matches!(&first.source, KeySource::Url { ca: Some(ca), .. } if ca == Path::new("/etc/m/ca.pem"))
    );
    assert_eq!(auth.issuers[1].algorithms, Algorithm::asymmetric());
    assert_eq!(auth.issuers[2].algorithms, [Algorithm::with_secret()]);
    assert_eq!(auth.certificates.as_ref().unwrap().name_from, NameFrom::Uri);
    assert_eq!(auth.files().count(), 3);
}

#[test]
fn whoever_says_nothing_is_served_on_loopback_and_nowhere_else() {
    assert!(parse("").unwrap().auth.admits_anonymous);
    assert!(parse("auth: {none: true}").unwrap().auth.admits_anonymous);
    assert!(parse("listen: \"[::1]:80\"\nadmin: off").is_ok());
    for (text, key) in [
        ("listen: 0.0.0.0:80", "listen"),
        ("listen: \"[::]:80\"", "listen"),
        ("listen: 192.0.2.1:80", "listen"),
        ("listen: 0.0.0.0:80\nauth: {none: true}", "listen"),
        ("admin: 0.0.0.0:91", "admin"),
        ("admin: 0.0.0.0:91\nauth: {api_keys_file: k}", "admin"),
    ] {
        let problem = parse(text).unwrap_err();
        let shown = problem.to_string();
        assert_eq!(problem.exit_code, exit::CONFIG, "{text}");
        assert!(
            shown.contains(&format!("{key}: ")) && shown.contains("margay key new"),
            "{shown}"
        );
    }
    let overrides = Overrides {
        listen: Some("0.0.0.0:80".to_owned()),
        ..Overrides::default()
    };
    let problem = Config::parse("", Path::new("m.yaml"), &overrides).unwrap_err();
    assert_eq!(problem.exit_code, exit::CONFIG);
    assert!(parse("admin: 0.0.0.0:91\nadmin_auth: {api_keys_file: k}").is_ok());
    // Somebody who may show nothing is nobody, whatever else there is.
    assert!(parse("listen: 0.0.0.0:80\nauth: {none: true, api_keys_file: k}").is_err());
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_line() {
    let jwt =
        |entry: &str| format!("resource: https://m.example/mcp\nauth:\n  jwt:\n    - {entry}\n");
    let with_keys = |more: &str| {
        jwt(&format!(
            "{{issuer: \"https://i.example\", jwks: {{file: k}}, {more}}}"
        ))
    };
    let key = |entry: &str| format!("auth:\n  api_keys:\n    - {entry}\n");
    let hash = hash_of("key");
    for (text, words) in [
        ("auth: {}".to_owned(), "names no way"),
        ("auth: {apikeys: []}".to_owned(), "did you mean `api_keys`?"),
        ("authorization_servers: [\"https://i.example\"]".to_owned(), "line 1: authorization_servers"),
        ("resource: https://m.example/mcp".to_owned(), "no authorization server"),
        ("resource: m.example\nauthorization_servers: [\"https://i.example\"]".to_owned(), "line 1: resource"),
        ("resource: https://m.example\nauthorization_servers: [i.example]".to_owned(), "line 2: authorization_servers"),
        (key("{name: ann, hash: abc}"), "line 3: auth.api_keys.hash"),
        (key(&format!("{{name: \"a b\", hash: \"{hash}\"}}")), "no name of a key"),
        (key(&format!("{{name: a, hash: \"{hash}\", expires: tomorrow}}")), "is no date"),
        (key(&format!("{{name: a, hash: \"{hash}\", scopes: [\"a b\"]}}")), "is no scope"),
        (key(&format!("{{name: a, hash: \"{hash}\"}}\n    - {{name: b, hash: \"{hash}\"}}")), "line 4: auth.api_keys.name: b: stands twice"),
        (jwt("{issuer: \"https://i.example\"}"), "has no keys"),
        (jwt("{issuer: \"https://i.example\", jwks: {file: k}, secret: {env: S}}"), "never mixed"),
        (jwt("{issuer: \"https://i.example\", jwks: {file: k, url: \"https://i.example\"}}"), "one jwks"),
        (jwt("{issuer: \"https://i.example\", jwks: {url: \"http://i.example/keys\"}}"), "in the clear"),
        (jwt("{issuer: \"https://i.example\", jwks: {url: \"https://ann:pw@i.example/keys\"}}"), "has a password"),
        (jwt("{issuer: \"https://i.example\", jwks: {url: \"file:///etc/keys\"}}"), "is not https"),
        (with_keys("algorithms: [none]"), "no algorithm"),
        (with_keys("algorithms: [HS256]"), "verifies with a secret"),
        (with_keys("algorithms: []"), "is empty"),
        (with_keys("leeway: 10m"), "between"),
        (with_keys("refresh: 1s"), "between"),
        (with_keys("refresh: 1h, max_stale: 30m"), "between"),
        (jwt("{issuer: \"https://i.example\", secret: {env: S}, algorithms: [RS256]}"), "verifies with a public key"),
        (jwt("{issuer: \"https://i.example\", secret: {env: S, file: f}}"), "exactly one"),
        ("auth:\n  jwt:\n    - {issuer: \"https://i.example\", jwks: {file: k}}".to_owned(), "line 3: auth.jwt.audience"),
        // A token for the tools is none for the operator's listener.
        ("resource: https://m.example\nauth: {jwt: [{issuer: \"https://i.example\", jwks: {file: k}}]}\nadmin_auth: {jwt: [{issuer: \"https://i.example\", jwks: {file: k}}]}".to_owned(), "admin_auth.jwt.audience"),
        // Nobody would be asked for the certificate by which he is to be known.
        ("auth:\n  api_keys_file: k\n  mtls: {}".to_owned(), "line 3: auth.mtls: wants certificates that nobody is asked for; name a PEM file in tls.client_ca"),
        ("auth: {mtls: {}}\ntls: {cert: a, key: b}".to_owned(), "tls.client_ca"),
        ("auth: {mtls: {}}\ntls: {cert: a, key: b}\nadmin_tls: {cert: a, key: b, client_ca: c}".to_owned(), "auth.mtls"),
        ("admin_auth: {mtls: {}}\ntls: {cert: a, key: b, client_ca: c}".to_owned(), "admin_tls.client_ca"),
    ] {
        let problem = parse(&text).unwrap_err();
        let shown = problem.to_string();
        assert!(shown.contains(words), "{text}\n{shown}");
        assert!(!shown.contains("pw@") && problem.exit_code == exit::CONFIG, "{shown}");
    }
}

#[test]
fn certificates_are_read_where_they_are_asked_for() {
    for text in [
        "auth: {mtls: {}}\ntls: {cert: a, key: b, client_ca: c}",
        "auth: {mtls: {}}\ntls: {cert: a, key: b, client_ca: c, client_certificates: optional}",
        "admin_auth: {mtls: {}}\nadmin_tls: {cert: a, key: b, client_ca: c}",
        // Where nothing listens it does not matter.
        "admin: off\nadmin_auth: {mtls: {}}",
    ] {
        assert!(parse(text).is_ok(), "{text}");
    }
}

#[test]
fn keys_are_fetched_in_the_clear_from_this_machine_alone() {
    for url in [
        "http://127.0.0.1:8/k",
        "http://[::1]:8/k",
        "http://localhost:8/k",
        "https://login.example/k",
    ] {
        let text = format!("auth: {{jwt: [{{issuer: i, audience: a, jwks: {{url: \"{url}\"}}}}]}}");
        assert!(parse(&text).is_ok(), "{url}");
    }
    for url in [
        "http://127.0.0.1.evil.example/k",
        "http://localhost.evil.example/k",
        "http://10.0.0.1/k",
        "http://0.0.0.0/k",
    ] {
        let text = format!("auth: {{jwt: [{{issuer: i, audience: a, jwks: {{url: \"{url}\"}}}}]}}");
        assert!(parse(&text).is_err(), "{url}");
    }
}
