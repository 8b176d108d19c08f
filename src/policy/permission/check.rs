//! What must hold of any policy and any question, for fuzzing and for tests.

use std::net::IpAddr;
use std::path::Path;

use super::address::special;
use super::host::{Host, canonical};
use super::{Access, Ask, By, Change, Decide, Policy, Protocol, edit};

/// Reads the first line as a question's word and the rest as a policy, and holds both to what is promised: nothing panics, a fault is one line,
/// whatever is allowed is allowed by a line, no inner address without a line that names it, no path that is not canonical, and a grant
/// makes a policy that can be read.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (word, policy) = text.split_once('\n').unwrap_or((text, ""));
    let policy_text = policy;
    let policy = match Policy::parse(policy, "p", Path::new("/base")) {
        Ok(policy) => policy,
        Err(fault) => {
            let shown = fault.to_string();
            assert!(
                !shown.is_empty() && !shown.contains('\n'),
                "not one line: {shown:?}"
            );
            return;
        }
    };
    for access in [Access::Read, Access::Write] {
        let verdict = policy.decide(&Ask::Path { access, path: word });
        assert!(
            !verdict.is_allowed
                || (word.starts_with('/')
                    && !word.split('/').any(|name| matches!(name, "." | "..")))
        );
    }
    ask_network(&policy, word);
    let _ = policy.decide(&Ask::Environment { key: word });
    let _ = (policy.roots(), policy.budgets(), policy.beyond(&policy));
    let change = Change::GrantNetwork {
        host: "granted.example".to_owned(),
    };
    if let Ok(edited) = edit(policy_text, &change) {
        let read = Policy::parse(&edited.text, "p", Path::new("/base"));
        let fits = |policy: &Policy| {
            policy
                .network()
                .allow
                .iter()
                .any(|rule| rule.text.ends_with("host granted.example"))
        };
        assert!(
            read.is_ok_and(|read| fits(&read)),
            "a grant is lost:\n{}",
            edited.text
        );
    }
}

fn ask_network(policy: &Policy, word: &str) {
    let (host, path) = word.split_at(word.find('/').unwrap_or(word.len()));
    for scheme in ["http", "https"] {
        let ask = Ask::Http {
            method: "GET",
            scheme,
            host,
            port: 443,
            path,
        };
        let verdict = policy.decide(&ask);
        assert_eq!(
            verdict.is_allowed,
            verdict.is_allowed && matches!(verdict.by, By::Line { .. })
        );
        if let (true, Some(Host::Address(address))) = (verdict.is_allowed, Host::parse(host)) {
            assert_named(policy, address);
        }
        let _ = policy.injections_for(&ask);
    }
    let _ = policy.decide(&Ask::Resolve { name: host });
    for address in [
        "127.0.0.1",
        "169.254.169.254",
        "10.0.0.1",
        "fd00::1",
        "64:ff9b::a00:1",
        "8.8.8.8",
    ] {
        let Ok(address) = address.parse::<IpAddr>() else {
            continue;
        };
        for (host, scheme) in [
            (None, None),
            (Some(host), Some("https")),
            (Some("localhost"), None),
        ] {
            let protocol = Protocol::Tcp;
            let verdict = policy.decide(&Ask::Address {
                host,
                address,
                port: 443,
                scheme,
                protocol,
            });
            if verdict.is_allowed {
                assert_named(policy, address);
            }
        }
    }
}

fn assert_named(policy: &Policy, address: IpAddr) {
    let address = canonical(address);
    let names = policy
        .network()
        .allow
        .iter()
        .any(|rule| rule.names_address(address, None));
    assert!(
        special(address).is_none() || names,
        "{address} is allowed and no line names it"
    );
}
