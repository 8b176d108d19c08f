//! What authorization servers and clients are told about this server.

use serde_json::{Value, json};

use super::super::*;

fn resource(uri: &str) -> Result<Resource, &'static str> {
    Resource::new(
        uri,
        vec!["https://login.example".into()],
        vec!["read".into(), "offline_access".into()],
    )
}

#[test]
fn the_metadata_says_who_we_are_and_where_tokens_are_had() {
    let document: Value =
        serde_json::from_str(resource("HTTPS://MCP.Example:443/mcp/").unwrap().document()).unwrap();
    assert_eq!(
        document,
        json!({
            "resource": "https://mcp.example/mcp",
            "authorization_servers": ["https://login.example"],
            "bearer_methods_supported": ["header"],
            "resource_name": "Margay",
            "scopes_supported": ["read"],
        })
    );
}

#[test]
fn it_is_found_at_both_places_and_at_no_other() {
    let resource = resource("https://mcp.example/tools/mcp").unwrap();
    for (path, is_there) in [
        ("/.well-known/oauth-protected-resource", true),
        ("/.well-known/oauth-protected-resource/", true),
        ("/.well-known/oauth-protected-resource/tools/mcp", true),
        ("/.well-known/oauth-protected-resource/mcp", true),
        ("/.well-known/oauth-protected-resource/other", false),
        ("/.well-known/oauth-protected-resources", false),
        ("/.well-known/oauth-authorization-server", false),
        ("/x/.well-known/oauth-protected-resource", false),
        ("/mcp", false),
    ] {
        assert_eq!(resource.is_described_at(path), is_there, "{path}");
    }
}

#[test]
fn addresses_that_name_no_resource_are_refused() {
    for wrong in [
        "",
        "mcp.example/mcp",
        "ftp://mcp.example",
        "https://mcp.example/#x",
        "https://mcp.example/?x",
        "https://ann:pw@mcp.example/",
        "urn:x",
    ] {
        assert!(resource(wrong).is_err(), "{wrong}");
    }
    assert!(Resource::new("https://mcp.example", Vec::new(), Vec::new()).is_err());
    assert_eq!(
        &*resource("https://mcp.example/").unwrap().uri,
        "https://mcp.example"
    );
    assert_eq!(
        resource("https://mcp.example").unwrap().audiences(),
        ["https://mcp.example".into(), "https://mcp.example/".into()]
    );
    assert_eq!(
        resource("http://[::1]:8080/mcp").unwrap().audiences(),
        ["http://[::1]:8080/mcp".into()]
    );
}

#[test]
fn a_challenge_says_where_to_go_and_what_is_wrong() {
    let resource = resource("https://mcp.example/mcp").unwrap();
    let metadata =
        "resource_metadata=\"https://mcp.example/.well-known/oauth-protected-resource/mcp\"";
    assert_eq!(
        challenge(Some(&resource), &Fault::Missing, &[]),
        format!("Bearer {metadata}, scope=\"read\"")
    );
    let expired = challenge(Some(&resource), &Fault::Expired, &[]);
    assert!(
        expired.starts_with(&format!(
            "Bearer {metadata}, scope=\"read\", error=\"invalid_token\", error_description=\""
        )),
        "{expired}"
    );
    let needed = ["read".into(), "write".into(), "offline_access".into()];
    let scopes = challenge(Some(&resource), &Fault::Scopes(needed.to_vec()), &needed);
    assert!(
        scopes.contains("scope=\"read write\", error=\"insufficient_scope\""),
        "{scopes}"
    );
    assert_eq!(challenge(None, &Fault::Missing, &[]), "Bearer");
    for fault in [
        Fault::Scheme,
        Fault::Malformed("x"),
        Fault::Form("x"),
        Fault::Unknown,
        Fault::Expired,
        Fault::NotYet,
        Fault::Audience,
        Fault::KeysStale,
    ] {
        let text = challenge(Some(&resource), &fault, &[]);
        // Quotes are in pairs, and nothing ends the header.
        assert_eq!(text.matches('"').count() % 2, 0, "{text}");
        assert!(
            text.is_ascii() && !text.contains(['\r', '\n', '\\']),
            "{text}"
        );
    }
}
