//! Properties of policies, over many of them.

use std::path::Path;

use proptest::prelude::*;

use super::*;

const ENTRIES: [&str; 16] = [
    "{host: \"*\"}",
    "{host: a.com}",
    "{host: \"*.a.com\"}",
    "{host: b.a.com, ports: [443]}",
    "{host: https://a.com}",
    "{host: a.com, methods: [GET]}",
    "{host: a.com, paths: [/v1/]}",
    "{host: a.com, paths: [/v1]}",
    "{host: 10.0.0.1}",
    "{host: localhost}",
    "{cidr: 10.0.0.0/8}",
    "{cidr: 0.0.0.0/0}",
    "{cidr: 127.0.0.0/8, ports: [80]}",
    "{cidr: \"64:ff9b::/96\"}",
    "{host: 8.8.8.8, protocols: [udp]}",
    "{host: \"http://b.a.com:81/x/\"}",
];

fn policy(allow: &[usize], deny: &[usize]) -> Policy {
    let list = |places: &[usize]| {
        places
            .iter()
            .map(|at| ENTRIES[*at])
            .collect::<Vec<_>>()
            .join(", ")
    };
    let text = format!(
        "version: \"1.0\"\npermissions: {{network: {{allow: [{}], deny: [{}]}}}}",
        list(allow),
        list(deny)
    );
    Policy::parse(&text, "p", Path::new("/")).unwrap()
}

fn asks() -> impl Strategy<Value = (usize, usize, usize, usize, usize, usize)> {
    (
        0..6_usize,
        0..5_usize,
        0..3_usize,
        0..3_usize,
        0..8_usize,
        0..6_usize,
    )
}

const HOSTS: [&str; 6] = [
    "a.com",
    "b.a.com",
    "10.0.0.1",
    "localhost",
    "c.org",
    "0x7f.1",
];
const PATHS: [&str; 5] = ["/", "/v1", "/v1/a", "/v1/../x", "/x/%2e"];
const PORTS: [u16; 3] = [443, 80, 81];
const METHODS: [&str; 3] = ["GET", "POST", "get"];
const ADDRESSES: [&str; 8] = [
    "10.0.0.1",
    "127.0.0.1",
    "8.8.8.8",
    "::ffff:10.2.0.1",
    "64:ff9b::a00:1",
    "1.1.1.1",
    "::1",
    "169.254.169.254",
];

fn ask(
    (host, path, port, method, address, kind): (usize, usize, usize, usize, usize, usize),
) -> Ask<'static> {
    let (host, port) = (HOSTS[host], PORTS[port]);
    let address = ADDRESSES[address].parse().unwrap();
    let scheme = if path % 2 == 0 { "https" } else { "http" };
    let protocol = if method == 2 {
        Protocol::Udp
    } else {
        Protocol::Tcp
    };
    match kind {
        0 | 1 => Ask::Http {
            method: METHODS[method],
            scheme,
            host,
            port,
            path: PATHS[path],
        },
        2 => Ask::Resolve { name: host },
        3 => Ask::Address {
            host: None,
            address,
            port,
            scheme: None,
            protocol,
        },
        4 => Ask::Address {
            host: Some(host),
            address,
            port,
            scheme: Some(scheme),
            protocol: Protocol::Tcp,
        },
        _ => Ask::Address {
            host: Some(host),
            address,
            port,
            scheme: None,
            protocol,
        },
    }
}

proptest! {
    #[test]
    fn a_deny_more_never_allows_more_and_an_allow_more_never_less(
        allow in prop::collection::vec(0..ENTRIES.len(), 0..5),
        deny in prop::collection::vec(0..ENTRIES.len(), 0..3),
        more in 0..ENTRIES.len(),
        question in asks(),
    ) {
        let ask = ask(question);
        let before = policy(&allow, &deny).decide(&ask).is_allowed;
        let denied: Vec<usize> = deny.iter().copied().chain([more]).collect();
        let allowed: Vec<usize> = allow.iter().copied().chain([more]).collect();
        prop_assert!(before || !policy(&allow, &denied).decide(&ask).is_allowed);
        prop_assert!(!before || policy(&allowed, &deny).decide(&ask).is_allowed);
        prop_assert!(!policy(&[], &deny).decide(&ask).is_allowed);
    }

    #[test]
    fn the_order_of_lines_does_not_matter(
        allow in prop::collection::vec(0..ENTRIES.len(), 0..6),
        deny in prop::collection::vec(0..ENTRIES.len(), 0..4),
        question in asks(),
    ) {
        let ask = ask(question);
        let back = |list: &[usize]| list.iter().rev().copied().collect::<Vec<_>>();
        let (one, other) = (policy(&allow, &deny), policy(&back(&allow), &back(&deny)));
        prop_assert_eq!(one.decide(&ask).is_allowed, other.decide(&ask).is_allowed);
        prop_assert!(one.beyond(&other).is_empty() && other.beyond(&one).is_empty());
    }

    #[test]
    fn what_a_policy_does_not_allow_beyond_another_it_does_not_allow_where_the_other_denies(
        left in prop::collection::vec(0..ENTRIES.len(), 0..4),
        right in prop::collection::vec(0..ENTRIES.len(), 0..4),
        deny in prop::collection::vec(0..ENTRIES.len(), 0..2),
        question in asks(),
    ) {
        let ask = ask(question);
        let (left, right) = (policy(&left, &deny), policy(&right, &deny));
        if left.beyond(&right).is_empty() && left.decide(&ask).is_allowed {
            prop_assert!(right.decide(&ask).is_allowed);
        }
    }

    #[test]
    fn several_policies_allow_what_each_allows(
        lists in prop::collection::vec(prop::collection::vec(0..ENTRIES.len(), 0..4), 1..4),
        question in asks(),
    ) {
        let ask = ask(question);
        let policies: Vec<Arc<Policy>> = lists.iter().map(|list| Arc::new(policy(list, &[]))).collect();
        let each = policies.iter().all(|policy| policy.decide(&ask).is_allowed);
        let all = Effective::new(Some(Arc::clone(&policies[0])), policies[1..].to_vec().into());
        prop_assert_eq!(all.decide(&ask).is_allowed, each);
    }

    #[test]
    fn globs_match_what_their_expansion_matches(
        pattern in prop::collection::vec(prop::sample::select(vec!["a", "b", "*", "**", "a*", "*b"]), 1..6),
        path in prop::collection::vec(prop::sample::select(vec!["a", "b", "ab", "c"]), 0..6),
    ) {
        let uri = format!("fs:///{}", pattern.join("/"));
        let text = format!("version: \"1.0\"\npermissions: {{storage: {{allow: [{{uri: \"{uri}\", access: [read]}}]}}}}");
        let policy = Policy::parse(&text, "p", Path::new("/")).unwrap();
        let literal = pattern.iter().all(|segment| !segment.contains('*'));
        let mut whole = pattern.clone();
        if literal {
            whole.push("**");
        }
        let whole_path = format!("/{}", path.join("/"));
        let verdict = policy.decide(&Ask::Path { access: Access::Read, path: &whole_path });
        prop_assert_eq!(verdict.is_allowed, expanded(&whole, &path), "{} {}", uri, whole_path);
    }

    #[test]
    fn nothing_that_is_read_panics(text in ".{0,40}\n(version: 1.0\npermissions:\n( {0,6}(network|storage|allow|deny|host|uri|- |a.com|\\*|:|\\{|\\}|\n)){0,20})?") {
        check(text.as_bytes());
    }
}

/// The same by its definition, however long it takes.
fn expanded(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((&"**", rest)), _) => {
            expanded(rest, path)
                || path
                    .split_first()
                    .is_some_and(|(_, below)| expanded(pattern, below))
        }
        (Some((segment, rest)), Some((name, below))) => {
            let fits = match segment.split_once('*') {
                None => segment == name,
                Some((before, after)) => {
                    name.len() >= before.len() + after.len()
                        && name.starts_with(before)
                        && name.ends_with(after)
                }
            };
            fits && expanded(rest, below)
        }
        _ => false,
    }
}
