//! What YAML can do to a policy that a person would not see in it.

use std::path::Path;

use super::{Access, Ask, Decide, Policy};

fn parse(text: &str) -> Result<Policy, String> {
    Policy::parse(text, "p.yaml", Path::new("/base")).map_err(|fault| fault.to_string())
}

#[test]
fn a_key_that_stands_twice_is_refused_wherever_it_is() {
    for text in [
        "version: \"1.0\"\nversion: \"1.0\"\npermissions: {}\n",
        "version: \"1.0\"\npermissions: {}\npermissions: {network: {allow: [{host: a.com}]}}\n",
        "version: \"1.0\"\npermissions:\n  network: {deny: [{host: a.com}]}\n  network: {allow: [{host: a.com}]}\n",
        "version: \"1.0\"\npermissions:\n  network:\n    deny: [{host: a.com}]\n    deny: []\n",
        "version: \"1.0\"\npermissions:\n  network:\n    allow: [{host: a.com, host: \"*\"}]\n",
        "version: \"1.0\"\npermissions:\n  storage:\n    allow: [{uri: \"fs:///a\", access: [read], access: [write]}]\n",
        "version: \"1.0\"\npermissions:\n  resources: {cpu_time_ms: 5, cpu_time_ms: 5000}\n",
    ] {
        let fault = parse(text).expect_err(text);
        assert!(fault.contains("duplicate"), "{fault}");
    }
}

#[test]
fn a_policy_is_one_document() {
    let deny = "version: \"1.0\"\npermissions: {network: {deny: [{host: a.com}]}}\n";
    let allow = "version: \"1.0\"\npermissions: {network: {allow: [{host: a.com}]}}\n";
    for text in [
        format!("{allow}---\n{deny}"),
        format!("---\n{allow}---\n{deny}"),
        format!("{allow}...\n{deny}"),
        format!("{allow}...\n---\n{deny}"),
    ] {
        assert!(parse(&text).is_err(), "{text}");
    }
    assert!(parse(&format!("---\n{allow}")).is_ok());
    assert!(parse(&format!("{allow}...\n")).is_ok());
}

#[test]
fn what_is_merged_or_multiplied_is_refused() {
    let merged = "version: \"1.0\"\npermissions:\n  network:\n    allow:\n    - &a {host: a.com}\n    - {<<: *a, ports: [80]}\n";
    assert!(parse(merged).is_err());
    let mut bomb = "version: \"1.0\"\ndescription: &a0 \"lol\"\n$schema:\n  - &a1 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 2..12 {
        let names = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("  - &a{level} [{names}]\n"));
    }
    bomb.push_str("permissions: {}\n");
    let started = std::time::Instant::now();
    assert!(parse(&bomb).is_err());
    assert!(started.elapsed() < std::time::Duration::from_secs(5));
    let deep = format!(
        "version: \"1.0\"\n$schema: {}{}\npermissions: {{}}\n",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert!(parse(&deep).is_err());
}

#[test]
fn a_word_that_yaml_takes_for_another_thing_is_not_guessed_at() {
    for text in [
        "version: 1.0\npermissions: {network: {allow: [{host: [a.com]}]}}\n",
        "version: 1.0\npermissions: {network: {allow: {host: a.com}}}\n",
        "version: 1.0\npermissions: {network: {allow: [a.com]}}\n",
        "version: 1.0\npermissions: {storage: {allow: [{uri: \"fs:///a\", access: read}]}}\n",
        "version: 1.0\npermissions: {storage: {allow: [{uri: \"fs:///a\", access: [Read]}]}}\n",
        "version: 1.0\npermissions: {storage: {allow: [{uri: \"file:///a\", access: [read]}]}}\n",
        "version: 1.0\npermissions: {environment: {allow: [{key: ~}]}}\n",
        "version: 1.0\npermissions: {environment: {deny: [{key: A}]}}\n",
        "version: 1.0\npermissions: {resources: {cpu_time_ms: -5}}\n",
        "version: 1.0\npermissions: {resources: {http_requests: many}}\n",
        "version: 1.0\npermissions: [network]\n",
        "version: 1.0\n",
        "permissions: {}\n",
        "",
    ] {
        let fault = parse(text).expect_err(text);
        assert!(!fault.contains('\n'), "{fault}");
    }
}

#[test]
fn a_file_that_was_cut_off_is_read_as_it_stands_or_not_at_all_and_never_panics() {
    let whole = "version: \"1.0\"\npermissions:\n  storage:\n    deny: [{uri: \"fs:///d/private\", access: [read]}]\n    allow: [{uri: \"fs:///d\", access: [read]}]\n";
    let ask = Ask::Path {
        access: Access::Read,
        path: "/d/private/key",
    };
    for end in 0..whole.len() {
        if let Ok(policy) = parse(&whole[..end]) {
            assert!(!policy.decide(&ask).is_allowed, "{}", &whole[..end]);
        }
    }
}
