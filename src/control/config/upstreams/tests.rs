//! Upstreams as operators write them.

use super::super::Config;
use super::*;
use crate::policy::permission::Policy;
use crate::policy::{BudgetRules, HealthRules};
use crate::secret::SecretRef;
use crate::upstream::http::PoolRules;
use crate::upstream::settings::Probe;
use std::path::Path;
use std::time::Duration;

fn parse(text: &str, flags: &[&str]) -> Result<Vec<Upstream>, String> {
    let overrides = Overrides {
        upstreams: flags.iter().map(|flag| (*flag).to_owned()).collect(),
        ..Overrides::default()
    };
    Config::parse(text, Path::new("/etc/margay/margay.yaml"), &overrides)
        .map(|config| config.upstreams)
        .map_err(|problem| problem.to_string())
}

const WHOLE: &str = "
upstreams:
  docs:
    replicas:
      - https://a.example.com/mcp
      - url: http://10.0.0.1:8080/mcp
        weight: 3
    headers:
      Authorization: {env: DOCS_TOKEN}
      X-Team: red
    tls: {ca: ca.pem, cert: cert.pem, key: /keys/key.pem}
    era: legacy
    balance: ConsistentHash
    breaker: {failure_threshold: 7, recovery_time: 3s, probes: 2}
    health: {interval: 5s, timeout: 500ms, rise: 1, fall: 4, path: /healthz}
    outlier: {consecutive_failures: 9, max_ejected_percent: 10}
    retry: {budget_percent: 5, min_per_second: 0}
    timeouts: {connect: 1s, head: 2s, call: 3s, silence: 4s}
    connection_pool: {min_idle: 1, max_idle: 2, max_active: 3, idle_timeout: 4s}
    prefix: always
    allow: ['get_*']
    deny: ['*_secret']
    rename: {get_old: fetch}
    fail: closed
    sharing: per-session
    fallback: files
  files:
    command: npx
    args: ['-y', server-filesystem, /data]
    env: {MODE: fast}
    pass_env: [API_KEY]
    cwd: data
    limits: {memory: 512MiB, open_files: 256, cpu: 1h, processes: 50}
";

#[test]
fn every_key_is_read() {
    let found = parse(WHOLE, &[]).unwrap();
    assert_eq!(found.len(), 2);
    let docs = &found[0];
    let Transport::Http {
        replicas,
        headers,
        tls,
    } = &docs.transport
    else {
        panic!("{docs:?}");
    };
    let urls: Vec<(String, u32)> = replicas
        .iter()
        .map(|replica| (replica.url.to_string(), replica.weight))
        .collect();
    assert_eq!(
        urls,
        [
            ("https://a.example.com/mcp".to_owned(), 1),
            ("http://10.0.0.1:8080/mcp".to_owned(), 3)
        ]
    );
    assert_eq!(
        headers[0],
        (
            "Authorization".to_owned(),
            HeaderValue::Secret(SecretRef::Environment("DOCS_TOKEN".to_owned()))
        )
    );
    assert_eq!(tls.ca.as_deref(), Some(Path::new("/etc/margay/ca.pem")));
    assert_eq!(tls.identity.as_ref().unwrap().1, Path::new("/keys/key.pem"));
    assert_eq!(
        (docs.era, docs.balance),
        (EraChoice::Legacy, Strategy::ConsistentHash)
    );
    assert_eq!(
        (
            docs.breaker.failure_threshold,
            docs.breaker.recovery_ms,
            docs.breaker.probe_count
        ),
        (7, 3_000, 2)
    );
    assert_eq!(
        docs.health.rules,
        Some(HealthRules {
            interval_ms: 5_000,
            rise: 1,
            fall: 4
        })
    );
    assert_eq!(
        (&docs.health.probe, docs.health.timeout),
        (
            &Probe::Http("/healthz".to_owned()),
            Duration::from_millis(500)
        )
    );
    assert_eq!(
        (
            docs.outlier.consecutive_failures,
            docs.outlier.ejected_percent_max
        ),
        (9, 10)
    );
    assert_eq!(
        docs.retry,
        BudgetRules {
            percent: 5,
            per_second_min: 0
        }
    );
    assert_eq!(
        (docs.timeouts.connect, docs.timeouts.silence),
        (Duration::from_secs(1), Duration::from_secs(4))
    );
    assert_eq!(
        docs.pool,
        PoolRules {
            min_idle: 1,
            max_idle: 2,
            max_active: 3,
            idle_timeout_ms: 4_000
        }
    );
    assert!(
        docs.names.offers("get_x") && !docs.names.offers("get_secret") && !docs.names.offers("put")
    );
    assert_eq!(
        docs.names.offered_name("docs", "get_old", |_| false),
        "fetch"
    );
    assert_eq!(
        (docs.fail, docs.sharing, docs.fallback.as_deref()),
        (FailMode::Closed, Sharing::PerSession, Some("files"))
    );
    let Transport::Stdio(command) = &found[1].transport else {
        panic!("{:?}", found[1]);
    };
    assert_eq!(
        (command.program.to_str(), command.arguments.len()),
        (Some("npx"), 3)
    );
    assert_eq!(command.environment["MODE"], "fast");
    assert_eq!(command.pass_environment, ["API_KEY"]);
    assert_eq!(
        command.directory.as_deref(),
        Some(Path::new("/etc/margay/data"))
    );
    let limits = ResourceLimits {
        memory_bytes: Some(512 << 20),
        open_files: Some(256),
        cpu_seconds: Some(3_600),
        processes: Some(50),
    };
    assert_eq!(command.limits, limits);
}

#[test]
fn one_line_is_an_upstream_and_the_rest_is_default() {
    let found = parse("upstreams:\n  a: {url: 'http://localhost:1/mcp'}\n", &[]).unwrap();
    let flagged = parse("", &["a=http://localhost:1/mcp"]).unwrap();
    assert_eq!(found, flagged, "a flag is the same as a key");
    assert_eq!(
        (found[0].balance, found[0].fail),
        (Strategy::P2c, FailMode::Open)
    );
    assert!(found[0].health.rules.is_some());
}

#[test]
fn a_flag_has_a_command_too_and_wins_over_the_file() {
    let found = parse(
        WHOLE,
        &[
            "files=stdio:node 'my server.js' --dir=\"/a b\" c\\ d",
            "x=http://h/",
        ],
    )
    .unwrap();
    let names: Vec<&str> = found
        .iter()
        .map(|upstream| upstream.name.as_str())
        .collect();
    assert_eq!(names, ["docs", "files", "x"]);
    let Transport::Stdio(command) = &found[1].transport else {
        panic!("{:?}", found[1]);
    };
    assert_eq!(command.program, "node");
    assert_eq!(
        command.arguments,
        ["my server.js", "--dir=/a b", "c d"].map(OsString::from)
    );
    assert!(command.environment.is_empty());
    for (flag, told) in [
        ("x", "--upstream: x: is not NAME=URL"),
        ("=http://h/", "is no name"),
        ("a b=http://h/", "is no name"),
        ("a__b=http://h/", "is no name"),
        ("a=h", "the URL must start with http"),
        ("a=stdio:", "names no program"),
        ("a=stdio:  ", "names no program"),
        ("a=stdio:sh 'x", "quote that is not closed"),
        ("a=stdio:sh \\", "ends in a backslash"),
    ] {
        let text = parse("", &[flag]).unwrap_err();
        assert!(text.contains(told), "{flag}: {text}");
    }
    let text = parse("", &["a=http://user:secret@h/"]).unwrap_err();
    assert!(
        text.contains("user name or password") && !text.contains("secret"),
        "{text}"
    );
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    for (body, told) in [
        ("{}", "upstreams.a: needs either a url"),
        ("{url: 'http://h/', command: x}", "needs either a url"),
        (
            "{url: 'ftp://h/'}",
            "upstreams.a.url: ftp://h/: must start with http",
        ),
        ("{url: 'http://u:secret@h/'}", "must not have a user name"),
        ("{replicas: []}", "must have 1 to 64 replicas"),
        ("{replicas: ['http://h/', x]}", "upstreams.a.replicas: x"),
        (
            "{url: 'http://h/', args: [x]}",
            "upstreams.a.args: is for upstreams with a command",
        ),
        (
            "{command: x, tls: {}}",
            "upstreams.a.tls: is for upstreams with a url",
        ),
        (
            "{command: x, headers: {}}",
            "upstreams.a.headers: is for upstreams with a url",
        ),
        (
            "{command: x, health: {path: /h}}",
            "health.path: /h: is for upstreams with a url",
        ),
        ("{command: ' '}", "upstreams.a.command"),
        (
            "{command: x, env: {'A=B': c}}",
            "is no name of an environment variable",
        ),
        (
            "{url: 'http://h/', headers: {Host: x}}",
            "cannot be sent as a header name",
        ),
        (
            "{url: 'http://h/', headers: {X: \"a\\nb\"}}",
            "control character",
        ),
        (
            "{url: 'http://h/', tls: {cert: c.pem}}",
            "cert and key go together",
        ),
        (
            "{url: 'http://h/', balance: Random}",
            "is not a valid value",
        ),
        ("{url: 'http://h/', era: old}", "is not a valid value"),
        (
            "{url: 'http://h/', breaker: {probes: 0}}",
            "breaker.probes: 0: must be between 1 and 100",
        ),
        ("{url: 'http://h/', timeouts: {call: 0s}}", "timeouts.call"),
        ("{url: 'http://h/', timeouts: {call: 5}}", "has no unit"),
        (
            "{url: 'http://h/', connection_pool: {min_idle: 20}}",
            "min_idle: 20: must not be above max_idle",
        ),
        (
            "{url: 'http://h/', health: {path: healthz}}",
            "is no path of a URL",
        ),
        ("{url: 'http://h/', rename: {x: 'a b'}}", "is no tool name"),
        (
            "{url: 'http://h/', rename: {x: a, y: a}}",
            "is given to two tools",
        ),
        (
            "{url: 'http://h/', fallback: a}",
            "upstreams.a.fallback: a: is not another upstream",
        ),
        ("{url: 'http://h/', fallback: b}", "is not another upstream"),
        ("{url: 'http://h/', breaker: {treshold: 1}}", "`treshold`"),
        ("{uri: 'http://h/'}", "did you mean `url`?"),
    ] {
        let text = parse(&format!("upstreams:\n  a: {body}\n"), &[]).unwrap_err();
        assert!(text.contains(told), "{body}: {text}");
        assert!(text.contains("margay.yaml line 2"), "{body}: {text}");
        assert!(!text.contains("secret"), "{text}");
    }
    let text = parse("upstreams:\n  a__b: {command: x}\n", &[]).unwrap_err();
    assert!(text.contains("is no name for an upstream"), "{text}");
    let text = parse("upstreams:\n  a: {command: x}\n  a: {command: y}\n", &[]).unwrap_err();
    assert!(text.contains("duplicate"), "{text}");
}

#[test]
fn a_default_gives_way_to_what_was_given() {
    let found = parse(
        "upstreams:\n  a: {url: 'http://h/', connection_pool: {max_active: 4}}\n",
        &[],
    )
    .unwrap();
    assert_eq!((found[0].pool.max_active, found[0].pool.max_idle), (4, 4));
}

#[test]
fn secrets_are_not_shown() {
    let text = "upstreams:\n  a: {url: 'http://h/', headers: {Authorization: Bearer hush}}\n  b: {command: x, env: {KEY: hush}}\n";
    let found = parse(text, &[]).unwrap();
    assert!(!format!("{found:?}").contains("hush"));
}

#[test]
fn what_is_said_for_all_upstreams_holds_where_one_says_nothing_else() {
    let text = "
performance:
  connection_pool: {min_idle: 2, max_idle: 3, max_active: 4, idle_timeout: 5s}
  batching: {enabled: false, batch_size: 7, batch_timeout: 0s}
upstreams:
  own:
    url: http://127.0.0.1:1/mcp
    connection_pool: {max_idle: 1}
  plain:
    url: http://127.0.0.1:2/mcp
";
    let found = parse(text, &["typed=http://127.0.0.1:3/mcp"]).unwrap();
    let said = PoolRules {
        min_idle: 2,
        max_idle: 3,
        max_active: 4,
        idle_timeout_ms: 5_000,
    };
    let own = PoolRules {
        min_idle: 1,
        max_idle: 1,
        ..said
    };
    let pools: Vec<PoolRules> = found.iter().map(|upstream| upstream.pool).collect();
    assert_eq!(pools, [own, said, said]);
    let batching = Batching {
        enabled: false,
        size_max: 7,
    };
    assert!(found.iter().all(|upstream| upstream.batching == batching));
    let default = parse("", &["typed=http://127.0.0.1:3/mcp"]).unwrap();
    assert!(default[0].batching.enabled, "it costs no time");
    assert_eq!(default[0].pool, PoolRules::default());
}

#[test]
fn what_is_said_for_all_upstreams_is_checked() {
    for (text, expected) in [
        (
            "performance:\n  batching: {batch_timeout: 10ms}\n",
            "line 2: performance.batching.batch_timeout: 10ms: must be 0s",
        ),
        (
            "performance:\n  batching: {batch_size: 0}\n",
            "performance.batching.batch_size",
        ),
        (
            "performance:\n  connection_pool: {max_active: 0}\n",
            "performance.connection_pool.max_active",
        ),
        (
            "performance:\n  connection_pool: {min_idle: 9, max_idle: 8}\n",
            "must not be above max_idle",
        ),
    ] {
        let said = parse(text, &[]).unwrap_err();
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn what_the_readme_shows_is_a_configuration() {
    let readme = include_str!("../../../../README.md");
    let shown: Vec<&str> = readme
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    let (policies, configurations): (Vec<_>, Vec<_>) =
        shown.iter().partition(|text| text.starts_with("version:"));
    assert!(!policies.is_empty());
    for text in policies {
        let policy = Policy::parse(text, "README.md", Path::new("/"));
        policy.unwrap_or_else(|fault| panic!("{fault}\n{text}"));
    }
    let read = configurations
        .iter()
        .map(|text| parse(text, &[]).unwrap_or_else(|error| panic!("{error}\n{text}")));
    let with_upstreams: Vec<_> = read.filter(|upstreams| !upstreams.is_empty()).collect();
    assert!(shown.len() > 1 && with_upstreams.len() == 1);
    for upstreams in with_upstreams {
        assert_eq!(upstreams.len(), 2);
        assert_eq!(
            upstreams[0].call_timeout(Some("export_all")),
            Duration::from_secs(300)
        );
        assert_eq!(
            upstreams[0].call_timeout(Some("search")),
            Duration::from_secs(30)
        );
    }
}

#[test]
fn credentials_are_read_from_where_they_are_kept() {
    let auth = |auth: &str| {
        let text = format!("upstreams:\n  a: {{url: 'https://h/mcp', auth: {{{auth}}}}}\n");
        parse(&text, &[]).map(|found| format!("{:?}", found[0].auth.as_ref().unwrap()))
    };
    let client = "client_id: me, client_secret: {file: s.txt}";
    for (text, part) in [
        ("header: {name: X-Key, value: {secret: docs}}".to_owned(), "Stored(\"docs\")"),
        (format!("client_credentials: {{{client}}}"), "/etc/margay/s.txt"),
        (
            format!("client_credentials: {{{client}, auth_method: post, scopes: [a, b], issuer: 'https://as'}}"),
            "Post",
        ),
        (
            "client_credentials: {client_id: me, private_key_jwt: {key: {credential: k}, algorithm: ES256, kid: k1}}".to_owned(),
            "Es256",
        ),
        ("authorization_code: {redirect_uri: 'http://127.0.0.1:81/cb'}".to_owned(), "127.0.0.1"),
        (
            "token_exchange: {token_endpoint: 'https://as/t', audience: docs, subject_token: {file: /run/t}}".to_owned(),
            "access_token",
        ),
    ] {
        let found = auth(&text).unwrap();
        assert!(found.contains(part), "{part} is missing in {found}");
    }
    for (text, part) in [
        ("".to_owned(), "needs one of header"),
        (
            format!("client_credentials: {{{client}}}, authorization_code: {{}}"),
            "needs one of header",
        ),
        (
            "client_credentials: {client_id: me}".to_owned(),
            "anybody could be us",
        ),
        (
            format!(
                "client_credentials: {{{client}, private_key_jwt: {{key: {{env: K}}, algorithm: RS256}}}}"
            ),
            "has both",
        ),
        (
            "client_credentials: {client_id: me, client_secret: {env: A, file: b}}".to_owned(),
            "needs one of env, file, credential and secret",
        ),
        (
            format!("client_credentials: {{{client}, token_endpoint: 'http://as/t'}}"),
            "is not https",
        ),
        (
            format!("client_credentials: {{{client}, scopes: ['a b']}}"),
            "is no scope",
        ),
        (
            "authorization_code: {redirect_uri: 'http://me/cb'}".to_owned(),
            "neither https nor on this machine",
        ),
        (
            "authorization_code: {client_secret: {env: S}}".to_owned(),
            "give client_id",
        ),
        (
            "authorization_code: {client_metadata_url: 'https://me'}".to_owned(),
            "with a path",
        ),
        (
            "header: {name: Host, value: {env: K}}".to_owned(),
            "headers",
        ),
    ] {
        let said = auth(&text).unwrap_err();
        assert!(said.contains(part), "{part} is missing in {said}");
    }
    let twice = "upstreams:\n  a: {url: 'https://h/', headers: {authorization: x}, auth: {authorization_code: {}}}\n";
    assert!(parse(twice, &[]).unwrap_err().contains("beside an auth"));
    let child = "upstreams:\n  a: {command: x, auth: {authorization_code: {}}}\n";
    assert!(
        parse(child, &[])
            .unwrap_err()
            .contains("is for upstreams with a url")
    );
}
