//! Client certificates on the listener that everybody uses: whom they make known, and what a header beside one means.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use margay::policy::auth::hash_of;
use rustls::ClientConfig;
use serde_json::json;

use crate::harness::authority::Authority;
use crate::harness::{Appliance, Client, modern, scratch};

const KEY: &str = "a-key-of-some-length-0123456789-0123456789";

/// A server that knows ann and bob by their certificates and a program by its key; ann and the program may call one tool each.
fn serve(authority: &Authority, asked: &str) -> Appliance {
    let folder = scratch("certificates");
    let own = authority.sign("localhost");
    for (name, text) in [
        ("cert.pem", &own.cert),
        ("key.pem", &own.key),
        ("ca.pem", &authority.pem),
    ] {
        fs::write(folder.join(name), text).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let (folder, hash) = (folder.display(), hash_of(KEY));
    let config = format!(
        "tls: {{cert: {folder}/cert.pem, key: {folder}/key.pem, client_ca: {folder}/ca.pem, client_certificates: {asked}}}
auth:
  mtls: {{clients: [{{name: ann, roles: [echoer]}}, {{name: bob}}]}}
  api_keys: [{{name: program, hash: '{hash}'}}]
rules:
  - {{name: echoes, allow: true, who: {{roles: [echoer], proofs: [certificate]}}, tools: [echo]}}
  - {{name: times, allow: true, who: {{subjects: [program]}}, tools: [time]}}
"
    );
    Appliance::with(&[], &config)
}

fn of(authority: &Authority, name: &str) -> Arc<ClientConfig> {
    let own = authority.sign(name);
    authority.client_with(rustls::ALL_VERSIONS, &["http/1.1"], Some(&own))
}

/// The status of a call; none where there is no connection to call on.
fn call(appliance: &Appliance, config: &Arc<ClientConfig>, tool: &str, shown: &str) -> Option<u16> {
    let arguments = match tool {
        "echo" => json!({"text": "hi"}),
        _ => json!({}),
    };
    let (body, headers) = modern(
        1,
        "tools/call",
        json!({"name": tool, "arguments": arguments}),
    );
    let request = crate::harness::request(&body, &format!("{headers}{shown}"));
    let mut client = Client::secure(appliance.address, config);
    let mut start = [0; 12];
    client.stream.write_all(request.as_bytes()).ok()?;
    client.stream.read_exact(&mut start).ok()?;
    std::str::from_utf8(&start[9..]).unwrap().parse().ok()
}

#[test]
fn a_certificate_makes_its_owner_known_and_rules_are_asked_about_him() {
    let authority = Authority::new();
    for asked in ["required", "optional"] {
        let appliance = serve(&authority, asked);
        let [ann, bob, carol] = ["ann", "bob", "carol"].map(|name| of(&authority, name));
        // The second time he is remembered.
        for _ in 0..2 {
            assert_eq!(call(&appliance, &ann, "echo", ""), Some(200), "{asked}");
            assert_eq!(call(&appliance, &ann, "time", ""), Some(403), "{asked}");
            assert_eq!(call(&appliance, &bob, "echo", ""), Some(403), "{asked}");
            // Her certificate is good, and she is nobody who is known.
            assert_eq!(call(&appliance, &carol, "echo", ""), Some(401), "{asked}");
        }
    }
}

#[test]
fn without_a_good_certificate_nobody_is_known_by_one() {
    let authority = Authority::new();
    let stranger = Authority::new().sign("ann");
    let expired = authority.sign_expired("ann");
    let [stranger, expired] = [stranger, expired]
        .map(|own| authority.client_with(rustls::ALL_VERSIONS, &["http/1.1"], Some(&own)));
    for (asked, without) in [("required", None), ("optional", Some(401))] {
        let appliance = serve(&authority, asked);
        let none = authority.client();
        assert_eq!(call(&appliance, &none, "echo", ""), without, "{asked}");
        assert_eq!(call(&appliance, &stranger, "echo", ""), None, "{asked}");
        assert_eq!(call(&appliance, &expired, "echo", ""), None, "{asked}");
    }
}

#[test]
fn a_header_counts_before_the_certificate_beside_it_and_is_not_made_good_by_it() {
    let authority = Authority::new();
    let appliance = serve(&authority, "optional");
    let ann = of(&authority, "ann");
    let key = format!("Authorization: Bearer {KEY}\r\n");
    for _ in 0..2 {
        assert_eq!(call(&appliance, &ann, "time", &key), Some(200));
        assert_eq!(call(&appliance, &ann, "echo", &key), Some(403));
        assert_eq!(call(&appliance, &ann, "echo", ""), Some(200));
    }
    for wrong in [format!("Bearer {KEY}x"), "Basic YTpi".to_owned()] {
        let shown = format!("Authorization: {wrong}\r\n");
        assert_eq!(call(&appliance, &ann, "echo", &shown), Some(401), "{wrong}");
    }
    // Where certificates are optional a key alone does, too.
    assert_eq!(
        call(&appliance, &authority.client(), "time", &key),
        Some(200)
    );
}
