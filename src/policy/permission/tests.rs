use std::net::IpAddr;
use std::path::Path;

use super::*;

fn policy(permissions: &str) -> Policy {
    let text = format!("version: \"1.0\"\npermissions:\n{permissions}");
    Policy::parse(&text, "t.policy.yaml", Path::new("/base"))
        .unwrap_or_else(|fault| panic!("{fault}\n{text}"))
}

fn network(lines: &str) -> Policy {
    policy(&format!("  network:\n{lines}"))
}

fn fault(text: &str) -> Fault {
    Policy::parse(text, "t.policy.yaml", Path::new("/base")).expect_err(text)
}

/// `GET https://a.b:8443/x?y` as a component would ask it.
fn request(policy: &dyn Decide, method: &str, url: &str) -> Verdict {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = if path.is_empty() {
        "/"
    } else {
        path.split('?').next().unwrap()
    };
    let own = if scheme == "http" { 80 } else { 443 };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().unwrap()),
        _ => (authority, own),
    };
    policy.decide(&Ask::Http {
        method,
        scheme,
        host,
        port,
        path,
    })
}

fn get(policy: &dyn Decide, url: &str) -> bool {
    request(policy, "GET", url).is_allowed
}

/// Where a name that was asked for over HTTPS leads.
fn leads(policy: &dyn Decide, host: &str, address: &str, port: u16) -> Verdict {
    let address: IpAddr = address.parse().unwrap();
    policy.decide(&Ask::Address {
        host: Some(host),
        address,
        port,
        scheme: Some("https"),
        protocol: Protocol::Tcp,
    })
}

fn socket(policy: &dyn Decide, address: &str, port: u16, protocol: Protocol) -> bool {
    let address: IpAddr = address.parse().unwrap();
    policy
        .decide(&Ask::Address {
            host: None,
            address,
            port,
            scheme: None,
            protocol,
        })
        .is_allowed
}

fn resolves(policy: &dyn Decide, name: &str) -> bool {
    policy.decide(&Ask::Resolve { name }).is_allowed
}

#[test]
fn a_policy_as_wassette_reads_it_is_read_with_what_is_not_enforced_remarked_on() {
    let text = r##"
$schema: https://raw.githubusercontent.com/microsoft/policy-mcp/main/schema/policy-v1.0.schema.json
version: "1.0"
description: "the weather"
permissions:
  storage:
    allow:
      - {uri: "fs://notes/**", access: [read, write]}
    deny:
      - {uri: "fs://notes/keys/**", access: [read, write]}
  network:
    allow:
      - host: "api.x.com"
      - host: "*.y.com"
      - host: "https://z.com"
      - cidr: "10.0.0.0/8"
    deny:
      - cidr: "10.1.0.0/16"
  environment:
    allow:
      - {key: "API_KEY"}
  runtime:
    docker: {security: {privileged: false, capabilities: {drop: [ALL]}}}
  resources:
    cpu: 50.5
    io: 1000
    limits: {cpu: 500m, memory: 512Mi}
  ipc:
    allow: [{uri: "pipe://x"}]
"##;
    let policy = Policy::parse(text, "w.policy.yaml", Path::new("/data")).unwrap();
    assert_eq!(policy.description(), Some("the weather"));
    assert_eq!(policy.budgets().memory_bytes, Some(512 << 20));
    let lines: Vec<u64> = policy.remarks().iter().map(|remark| remark.line).collect();
    assert_eq!(policy.remarks().len(), 5, "{:?}", policy.remarks());
    assert!(lines.iter().all(|line| *line > 20), "{lines:?}");
    assert!(get(&policy, "https://api.x.com/a") && get(&policy, "http://a.b.y.com:81/"));
    let roots = policy.roots();
    assert_eq!(
        (
            roots.len(),
            roots[0].guest.as_str(),
            roots[0].path.as_path()
        ),
        (1, "notes", Path::new("/data/notes"))
    );
    assert!(roots[0].may_read && roots[0].may_write);
    let read = |path| {
        policy.decide(&Ask::Path {
            access: Access::Read,
            path,
        })
    };
    assert!(read("/data/notes/a/b").is_allowed);
    let denied = read("/data/notes/keys/a");
    assert_eq!(
        denied.by.to_string(),
        "w.policy.yaml:10 (deny storage fs://notes/keys/** read,write)"
    );
}

#[test]
fn permissions_may_be_empty_and_then_allow_nothing() {
    for permissions in ["{}", "null", ""] {
        let text = format!("version: 1.0\npermissions: {permissions}\n");
        let policy = Policy::parse(&text, "p", Path::new("/")).unwrap();
        assert!(
            !get(&policy, "https://a.b/") && !resolves(&policy, "a.b") && policy.roots().is_empty()
        );
        assert_eq!(request(&policy, "GET", "https://a.b/").by, By::NoRule);
    }
}

#[test]
fn each_mistake_is_told_with_its_line_and_what_to_write() {
    for (text, line, words) in [
        ("permissions: {}", None, "`version`"),
        ("version: \"2.0\"\npermissions: {}", Some(1), "is a version"),
        ("version: \"1.0\"", None, "`permissions`"),
        (
            "version: \"1.0\"\npermision: {}",
            Some(2),
            "did you mean `permissions`",
        ),
        (
            "version: \"1.0\"\npermissions:\n  netwrok: {}",
            Some(3),
            "did you mean `network`",
        ),
        (
            "version: \"1.0\"\npermissions:\n  network:\n    alow: []",
            Some(4),
            "did you mean `allow`",
        ),
        (
            "version: \"1.0\"\npermissions:\n  network:\n    allow:\n    - hots: x",
            Some(5),
            "did you mean `host`",
        ),
        (
            "version: \"1.0\"\npermissions:\n  network:\n    allow:\n    - {host: a.b, cidr: 10.0.0.0/8}",
            Some(5),
            "two entries",
        ),
        (
            "version: \"1.0\"\npermissions:\n  network:\n    allow:\n    - {ports: [1]}",
            Some(5),
            "neither host nor cidr",
        ),
        (
            "version: \"1.0\"\npermissions:\n  storage:\n    allow:\n    - {uri: \"fs://a\", access: []}",
            Some(5),
            "no access",
        ),
        (
            "version: \"1.0\"\npermissions:\n  storage:\n    allow:\n    - {uri: \"fs://a\", access: [raed]}",
            Some(5),
            "use one of: read, write",
        ),
        (
            "version: \"1.0\"\npermissions:\n  environment:\n    allow:\n    - {key: \"A*\"}",
            Some(5),
            "no wildcards",
        ),
        (
            "version: \"1.0\"\npermissions:\n  resources: {memory: 1, limits: {memory: 1Mi}}",
            Some(3),
            "keep one",
        ),
        (
            "version: \"1.0\"\npermissions:\n  resources: {memory: many}",
            Some(3),
            "512Mi",
        ),
        (
            "version: \"1.0\"\nversion: \"1.0\"\npermissions: {}",
            Some(2),
            "duplicate",
        ),
    ] {
        let fault = fault(text);
        assert_eq!(fault.line, line.or(fault.line), "{text}: {fault}");
        assert!(fault.to_string().contains(words), "{words}: {fault}");
        assert!(!fault.to_string().contains('\n'));
    }
}

#[test]
fn values_that_mean_nothing_are_refused() {
    for entry in [
        "host: \"\"",
        "host: \"**.x.com\"",
        "host: \"a.*.com\"",
        "host: \"*.\"",
        "host: \"x.com.\"",
        "host: \"*x.com\"",
        "host: \"*.10.0.0.1\"",
        "host: \"ftp://x.com\"",
        "host: \"x.com/v1\"",
        "host: \"https://a:b@x.com\"",
        "host: \"x.com:0\"",
        "host: \"x.com:99999\"",
        "host: \"x.com:\"",
        "host: \"x y\"",
        "host: \"a..b\"",
        "host: \"https://x.com/../a\"",
        "host: \"https://x.com/v1?a=b\"",
        "cidr: \"10.0.0.1\"",
        "cidr: \"10.0.0.1/8\"",
        "cidr: \"10.0.0.0/33\"",
        "cidr: \"x/8\"",
        "{host: x.com, ports: []}",
        "{host: x.com, ports: [9-8]}",
        "{host: x.com, ports: [0]}",
        "{host: \"x.com:1\", ports: [2]}",
        "{host: \"https://x.com\", schemes: [http]}",
        "{host: x.com, methods: [\"G T\"]}",
        "{host: x.com, paths: [v1]}",
        "{host: x.com, paths: [\"/v1/*\"]}",
        "{host: x.com, paths: [\"/a/%2e%2e/b\"]}",
        "{host: x.com, schemes: [gopher]}",
        "{host: x.com, protocols: [udp], paths: [/a]}",
        "{host: \"*\", inject: {header: A, secret: {env: X}}}",
        "{cidr: 1.0.0.0/8, inject: {header: A, secret: {env: X}}}",
        "{host: x.com, inject: {header: Host, secret: {env: X}}}",
        "{host: x.com, inject: {header: A, value: no, secret: {env: X}}}",
        "{host: x.com, inject: {header: A, secret: {env: X, file: y}}}",
        "{host: x.com, inject: {header: A, secret: {}}}",
        "{host: x.com, inject: {header: A, value: \"a\\r\\n{secret}\", secret: {env: X}}}",
    ] {
        let text =
            format!("version: \"1.0\"\npermissions:\n  network:\n    allow:\n    - {entry}\n");
        assert_eq!(fault(&text).line, Some(5), "{entry}");
    }
    for uri in [
        "",
        "notes",
        "fs://",
        "fs://a/***",
        "fs://a**/b",
        "fs://a*b*c",
        "fs://../a",
        "fs://a/./b",
        "fs://a//b",
        "file:///a",
        "fs://a\\\\b",
    ] {
        let text = format!(
            "version: \"1.0\"\npermissions:\n  storage:\n    allow:\n    - {{uri: \"{uri}\", access: [read]}}\n"
        );
        assert_eq!(fault(&text).line, Some(5), "{uri}");
    }
}

#[test]
fn a_deny_beats_every_allow() {
    let policy = network(
        "    allow: [{host: \"*\"}, {host: a.x.com}]\n    deny: [{host: \"*.x.com\"}, {host: x.com, methods: [POST]}]\n",
    );
    assert!(
        !get(&policy, "https://a.x.com/")
            && get(&policy, "https://x.com/")
            && get(&policy, "https://y.com/")
    );
    assert!(!request(&policy, "POST", "https://x.com/").is_allowed);
    assert!(!request(&policy, "post", "https://x.com/").is_allowed);
    assert!(!resolves(&policy, "a.x.com") && resolves(&policy, "x.com"));
    let none = network("    allow: [{host: a.b}]\n    deny: [{host: \"*\"}]\n");
    assert!(!get(&none, "https://a.b/"));
}

#[test]
fn a_wildcard_covers_names_below_and_not_the_name_itself_or_one_that_ends_alike() {
    let policy = network("    allow: [{host: \"*.x.com\"}]\n");
    for (host, is_allowed) in [
        ("a.x.com", true),
        ("a.b.x.com", true),
        ("A.X.Com.", true),
        ("x.com", false),
        ("evilx.com", false),
        ("x.com.evil.com", false),
        (".x.com", false),
        ("a.x.com..", false),
        ("a.x.com@evil.com", false),
    ] {
        assert_eq!(
            get(&policy, &format!("https://{host}/")),
            is_allowed,
            "{host}"
        );
        assert_eq!(resolves(&policy, host), is_allowed, "{host}");
    }
}

#[test]
fn names_are_compared_in_one_notation() {
    let policy = network("    allow: [{host: Bücher.example}, {host: API.x.com}]\n");
    for host in [
        "bücher.example",
        "xn--bcher-kva.example",
        "BÜCHER.EXAMPLE",
        "XN--BCHER-KVA.example.",
        "api.X.com",
        "api.x.com.",
        "api。x.com",
    ] {
        assert!(get(&policy, &format!("https://{host}/")), "{host}");
    }
    for host in [
        "bucher.example",
        "api.x.com.evil",
        "xn--.example",
        "",
        "a b",
    ] {
        assert!(!get(&policy, &format!("https://{host}/")), "{host}");
    }
}

#[test]
fn ports_schemes_methods_and_paths_limit_a_line() {
    let policy = network(
        "    allow:\n    - {host: a.com, ports: [443, 8000-9000], methods: [GET, head], paths: [/v1/, /health]}\n    - host: https://b.com\n    - host: localhost:8080\n    - host: https://c.com:8443/v1/\n    - {host: d.com, schemes: [http]}\n",
    );
    for (method, url, is_allowed) in [
        ("GET", "https://a.com/v1/x", true),
        ("GET", "http://a.com:8500/health", true),
        ("HEAD", "https://a.com/v1/", true),
        ("POST", "https://a.com/v1/x", false),
        ("get", "https://a.com/v1/x", false),
        ("GET", "https://a.com:444/v1/x", false),
        ("GET", "https://a.com/v1", false),
        ("GET", "https://a.com/v1evil", false),
        ("GET", "https://a.com/healthy", false),
        ("GET", "https://a.com/v1/../admin", false),
        ("GET", "https://a.com/v1/%2e%2e/admin", false),
        ("GET", "https://a.com/v1%2f..%2fadmin", false),
        ("GET", "https://b.com/", true),
        ("GET", "https://b.com:8443/", false),
        ("GET", "http://b.com/", false),
        ("GET", "http://b.com:443/", false),
        ("GET", "http://localhost:8080/", true),
        ("GET", "http://localhost/", false),
        ("GET", "https://c.com:8443/v1/a", true),
        ("GET", "https://c.com:8443/v2", false),
        ("GET", "https://c.com/v1/a", false),
        ("GET", "http://d.com:81/", true),
        ("GET", "https://d.com/", false),
        ("GET", "ftp://d.com/", false),
    ] {
        assert_eq!(
            request(&policy, method, url).is_allowed,
            is_allowed,
            "{method} {url}"
        );
    }
}

#[test]
fn a_path_that_is_read_differently_by_servers_meets_every_deny_with_paths() {
    let policy =
        network("    allow: [{host: a.com}]\n    deny: [{host: a.com, paths: [/admin/]}]\n");
    for path in [
        "/admin/x",
        "/admin",
        "/ADMIN/x",
        "/%61dmin/",
        "/x/../admin",
        "//admin",
        "/admin;a/x",
        "/x%2f..%2fadmin",
        "/x\\..\\admin",
    ] {
        assert!(!get(&policy, &format!("https://a.com{path}")), "{path}");
    }
    assert!(get(&policy, "https://a.com/administrator") && get(&policy, "https://a.com/x"));
}

#[test]
fn an_address_is_that_address_in_every_notation() {
    let denied = network("    allow: [{host: \"*\"}]\n");
    let granted = network("    allow: [{host: 127.0.0.1}]\n");
    let local = network("    allow: [{host: localhost}]\n");
    for host in [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "017700000001",
        "0177.0.0.1",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "127.0.0.1.",
        "１２７.0.0.1",
        "127。0。0。1",
    ] {
        let url = format!("http://{host}/");
        let verdict = request(&denied, "GET", &url);
        assert!(
            !verdict.is_allowed && matches!(verdict.by, By::BuiltIn(_)),
            "{host}: {verdict:?}"
        );
        assert!(get(&granted, &url), "{host}");
        assert!(get(&local, &url), "{host}");
    }
    assert!(
        !get(&granted, "http://127.0.0.2/")
            && get(&local, "http://127.0.0.2/")
            && get(&local, "http://[::1]/")
    );
    assert!(!get(&granted, "http://[::1]/") && !get(&granted, "http://localhost/"));
}

#[test]
fn a_name_leads_to_no_inner_address_that_no_line_names() {
    let policy = network("    allow: [{host: \"*\"}, {host: a.com}]\n");
    for address in [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "::1",
        "fd00:ec2::254",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::",
        "fe80::1",
        "0.0.0.0",
        "100.64.0.1",
    ] {
        let verdict = leads(&policy, "a.com", address, 443);
        assert!(
            !verdict.is_allowed && matches!(verdict.by, By::BuiltIn(_)),
            "{address}: {verdict:?}"
        );
        assert!(!socket(&policy, address, 443, Protocol::Tcp), "{address}");
    }
    assert!(leads(&policy, "a.com", "93.184.216.34", 443).is_allowed);
    assert!(
        !leads(
            &network("    allow: [{host: b.com}]\n"),
            "a.com",
            "93.184.216.34",
            443
        )
        .is_allowed
    );
}

#[test]
fn an_inner_address_is_granted_by_its_network_by_itself_or_by_localhost() {
    let policy = network(
        "    allow: [{host: a.com}, {cidr: 10.0.0.0/8, ports: [443]}, {host: 192.168.1.7}, {host: localhost}]\n    deny: [{cidr: 10.1.0.0/16}]\n",
    );
    assert!(leads(&policy, "a.com", "10.2.0.1", 443).is_allowed);
    assert!(leads(&policy, "a.com", "::ffff:10.2.0.1", 443).is_allowed);
    assert!(!leads(&policy, "a.com", "10.2.0.1", 80).is_allowed);
    assert!(!leads(&policy, "a.com", "10.1.0.1", 443).is_allowed);
    assert!(
        !leads(&policy, "b.com", "10.2.0.1", 443).is_allowed,
        "the name is granted by no line"
    );
    assert!(leads(&policy, "a.com", "192.168.1.7", 443).is_allowed);
    assert!(
        !leads(&policy, "a.com", "127.0.0.1", 443).is_allowed,
        "localhost is another name"
    );
    assert!(
        leads(&policy, "localhost", "127.0.0.1", 443).is_allowed
            && socket(&policy, "::1", 1, Protocol::Tcp)
    );
    assert!(!leads(&policy, "localhost", "10.9.9.9", 80).is_allowed);
}

#[test]
fn everything_is_not_a_grant_by_address() {
    let policy = network("    allow: [{cidr: 0.0.0.0/0}, {cidr: \"::/0\"}]\n");
    assert!(
        socket(&policy, "8.8.8.8", 53, Protocol::Tcp)
            && socket(&policy, "2606:4700::1111", 53, Protocol::Tcp)
    );
    for inner in ["10.0.0.1", "127.0.0.1", "169.254.169.254", "::1", "fd00::1"] {
        assert!(!socket(&policy, inner, 53, Protocol::Tcp), "{inner}");
    }
}

#[test]
fn a_denied_network_is_denied_in_every_form_that_carries_it() {
    let policy = network(
        "    allow: [{host: a.com}, {cidr: \"64:ff9b::/96\"}, {cidr: \"2002::/16\"}]\n    deny: [{cidr: 8.0.0.0/8}]\n",
    );
    for address in [
        "8.8.8.8",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "2002:808:808::1",
    ] {
        assert!(
            !leads(&policy, "a.com", address, 443).is_allowed,
            "{address}"
        );
        assert!(!socket(&policy, address, 443, Protocol::Tcp), "{address}");
    }
    assert!(socket(&policy, "64:ff9b::101:101", 443, Protocol::Tcp));
}

#[test]
fn a_bare_socket_is_not_allowed_by_a_line_of_http_and_is_denied_by_one() {
    let policy = network(
        "    allow: [{host: https://1.1.1.1}, {cidr: 9.9.9.0/24, protocols: [udp]}, {host: 2.2.2.2}, {host: 3.3.3.3}]\n    deny: [{host: 3.3.3.3, methods: [POST]}]\n",
    );
    assert!(get(&policy, "https://1.1.1.1/") && !socket(&policy, "1.1.1.1", 443, Protocol::Tcp));
    assert!(
        socket(&policy, "9.9.9.9", 53, Protocol::Udp)
            && !socket(&policy, "9.9.9.9", 53, Protocol::Tcp)
    );
    assert!(
        socket(&policy, "2.2.2.2", 1, Protocol::Tcp)
            && !socket(&policy, "2.2.2.2", 1, Protocol::Udp)
    );
    assert!(!socket(&policy, "3.3.3.3", 1, Protocol::Tcp) && get(&policy, "https://3.3.3.3/"));
}

#[test]
fn a_literal_address_of_a_request_leads_to_itself_only() {
    let policy = network("    allow: [{host: 1.2.3.4}, {cidr: 10.0.0.0/8}]\n");
    assert!(leads(&policy, "1.2.3.4", "1.2.3.4", 443).is_allowed);
    assert!(!leads(&policy, "1.2.3.4", "10.0.0.1", 443).is_allowed);
}

#[test]
fn limits_of_requests_to_an_address_are_not_gone_round_by_a_name() {
    let policy = network(
        "    allow: [{host: a.com}, {host: 10.0.0.5, paths: [/v1/]}]\n    deny: [{host: 8.8.8.8, paths: [/x]}]\n",
    );
    assert!(get(&policy, "http://10.0.0.5/v1/a") && !get(&policy, "http://10.0.0.5/admin"));
    assert!(!leads(&policy, "a.com", "10.0.0.5", 443).is_allowed);
    assert!(!leads(&policy, "a.com", "8.8.8.8", 443).is_allowed);
    assert!(leads(&policy, "10.0.0.5", "10.0.0.5", 443).is_allowed);
}

#[test]
fn only_names_that_a_line_covers_are_looked_up() {
    let policy = network("    allow: [{host: \"https://api.x.com/v1\"}, {cidr: 9.9.9.0/24}]\n");
    assert!(resolves(&policy, "api.x.com") && resolves(&policy, "API.x.com."));
    assert!(
        !resolves(&policy, "secret.api.x.com")
            && !resolves(&policy, "x.com")
            && resolves(&policy, "9.9.9.9")
    );
}

#[test]
fn paths_that_are_not_canonical_are_not_opened() {
    let policy = policy("  storage:\n    allow: [{uri: \"fs:///**\", access: [read]}]\n");
    for path in ["", "a", "/a/../b", "/a/./b", "/a//b", "/a/", "/..", "/a\0"] {
        assert!(
            !policy
                .decide(&Ask::Path {
                    access: Access::Read,
                    path
                })
                .is_allowed,
            "{path:?}"
        );
    }
    assert!(
        policy
            .decide(&Ask::Path {
                access: Access::Read,
                path: "/"
            })
            .is_allowed
    );
}

#[test]
fn variables_are_granted_by_name_with_their_source() {
    let policy = policy(
        "  environment:\n    allow: [{key: A}, {key: B, value_from: PROD_B}, {key: C, secret: {file: c.txt}}]\n",
    );
    let sources: Vec<_> = policy
        .environment()
        .iter()
        .map(|variable| variable.source.clone())
        .collect();
    let file = crate::secret::SecretRef::File("/base/c.txt".into());
    assert_eq!(
        sources,
        [
            Source::Own,
            Source::Variable("PROD_B".into()),
            Source::Secret(file)
        ]
    );
    let sees = |key| policy.decide(&Ask::Environment { key }).is_allowed;
    assert!(sees("A") && sees("B") && !sees("a") && !sees("PROD_B") && !sees("D"));
}

#[test]
fn a_secret_is_added_to_requests_of_its_line_and_never_in_the_clear() {
    let policy = network(
        "    allow:\n    - {host: a.com, paths: [/v1/], inject: {header: Authorization, value: \"Bearer {secret}\", secret: {env: T}}}\n    - {host: \"*.a.com\"}\n    - {host: a.com}\n    - {host: b.com, schemes: [http], inject: {header: X-Key, secret: {secret: k}}}\n",
    );
    let headers = |scheme, host, path| {
        let ask = Ask::Http {
            method: "GET",
            scheme,
            host,
            port: 443,
            path,
        };
        policy
            .injections_for(&ask)
            .iter()
            .map(|found| found.header.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(headers("https", "a.com", "/v1/x"), ["authorization"]);
    assert_eq!(headers("https", "a.com", "/v2"), [""; 0]);
    assert_eq!(headers("https", "x.a.com", "/v1/x"), [""; 0]);
    assert_eq!(headers("http", "a.com", "/v1/x"), [""; 0]);
    assert_eq!(headers("http", "b.com", "/"), ["x-key"]);
    for method in ["TRACE", "trace", "Trace"] {
        // The answer to it is the request, with all its headers.
        let ask = Ask::Http {
            method,
            scheme: "https",
            host: "a.com",
            port: 443,
            path: "/v1/x",
        };
        assert!(policy.decide(&ask).is_allowed && policy.injections_for(&ask).is_empty());
    }
    let first = policy.injections().next().unwrap();
    assert_eq!(
        first.value(&crate::secret::Secret::new("s")).reveal(),
        "Bearer s"
    );
}

#[test]
fn several_policies_must_all_allow_and_the_one_that_denies_is_named() {
    let own = policy(
        "  network: {allow: [{host: \"*.x.com\"}, {cidr: 10.0.0.0/8}]}\n  environment: {allow: [{key: A}, {key: B}]}\n  resources: {http_requests: 5, open_files: 3}\n",
    );
    let narrowing = |permissions: &str| {
        let text = format!("version: \"1.0\"\npermissions: {permissions}\n");
        Arc::new(Policy::parse_narrowing(&text, "guests", Path::new("/")).unwrap())
    };
    let first = narrowing(
        "{network: {allow: [{host: a.x.com}, {host: b.x.com}]}, resources: {http_requests: 2}}",
    );
    let second = narrowing(
        "{network: {deny: [{host: b.x.com}]}, environment: {allow: [{key: B}, {key: C}]}}",
    );
    let all = Effective::new(Some(Arc::new(own)), [first, second].into());
    assert!(
        get(&all, "https://a.x.com/")
            && !get(&all, "https://c.x.com/")
            && !get(&all, "https://y.com/")
    );
    assert_eq!(
        request(&all, "GET", "https://b.x.com/").by.to_string(),
        "guests:2 (deny host b.x.com)"
    );
    assert_eq!(
        request(&all, "GET", "https://a.x.com/").by.to_string(),
        "t.policy.yaml:3 (allow host *.x.com)"
    );
    let keys: Vec<&str> = all.environment().map(|variable| &*variable.key).collect();
    assert_eq!(keys, ["B"]);
    assert_eq!(
        (all.budgets().http_requests, all.budgets().open_files),
        (Some(2), Some(3))
    );
    let nothing = Effective::new(None, Arc::default());
    assert!(!get(&nothing, "https://a.x.com/") && nothing.roots().is_empty());
}

#[test]
fn what_fuzzing_begins_with_keeps_the_promises() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/permission_policy");
    let mut count = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        check(&std::fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count >= 5);
}
