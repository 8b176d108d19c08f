//! What it costs to ask whether a request may be made, rules and rates, and to show somebody what he may ask for.
//!
//! The promise: a call costs the same however many rules name other tools, and with ten rules that have patterns, rules and rates
//! together stay below a microsecond. Each rule with a pattern is tried, so a hundred of them take one to two. A page of a list that
//! was composed for a class of callers costs the others of that class no question at all.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use margay::catalog::{Catalog, Kind, Sources, UpstreamOffer};
use margay::gateway::RawListing;
use margay::mcp::{Era, List, Method, Principal};
use margay::policy::pattern::Pattern;
use margay::policy::rate::{Keys, Limiter, NamedRate, Per, Rate, RateOptions};
use margay::policy::rule::{
    Effect, Matcher, Pointer, Request, RuleOptions, RuleSet, RuleSpec, What, Who,
};
use margay::policy::{Identity, Proof};
use margay::upstream::era::Spoken;
use margay::upstream::remote::Remote;
use margay::upstream::settings::{Transport, Upstream};
use margay::upstream::tls::TlsOptions;

const ARGUMENTS: &[u8] = br#"{"path":"/srv/data/report.txt","count":3,"mode":"read"}"#;

fn identity() -> Identity {
    Identity {
        principal: Identity::principal_of(Proof::Jwt, Some("https://issuer"), "ann"),
        subject: "ann".into(),
        issuer: Some("https://issuer".into()),
        proof: Proof::Jwt,
        scopes: vec!["mcp:read".into(), "mcp:write".into()],
        roles: vec!["reader".into()],
        ..Identity::anonymous()
    }
}

fn rule(name: String, tools: &str) -> RuleSpec {
    RuleSpec {
        name,
        effect: Effect::Allow,
        who: Who {
            roles: vec!["reader".to_owned()],
            ..Who::default()
        },
        what: What {
            tools: vec![Pattern::new(tools)],
            ..What::default()
        },
        arguments: Vec::new(),
        needs_scopes: Vec::new(),
        show_without_scopes: false,
    }
}

/// So many rules, of which the last is about the tool: with conditions or without; the others have names or patterns.
fn rules(count: usize, others: &str, has_conditions: bool) -> RuleSet {
    let mut specs: Vec<RuleSpec> = (1..count)
        .map(|number| rule(format!("r{number}"), &format!("other{number}{others}")))
        .collect();
    if count > 0 {
        let mut last = rule("last".to_owned(), "docs__*");
        if has_conditions {
            let path = Matcher {
                glob: vec![Pattern::new("/srv/*")],
                ..Matcher::default()
            };
            let most = Matcher {
                max: Some(10.0),
                ..Matcher::default()
            };
            let pointer = |text| Pointer::parse(text).expect("a pointer");
            last.arguments = vec![(pointer("/path"), path), (pointer("/count"), most)];
        }
        specs.push(last);
    }
    let options = RuleOptions {
        rules: specs,
        ..RuleOptions::default()
    };
    let default = options.default_effect(false, false);
    RuleSet::compile(&options, default).expect("few rules can be compiled")
}

fn decide(criterion: &mut Criterion) {
    let (ann, request) = (
        identity(),
        Request {
            tool: Some("docs__read"),
            upstream: Some("docs"),
            arguments: Some(ARGUMENTS),
            ..Request::new(Method::CallTool)
        },
    );
    let mut group = criterion.benchmark_group("decide");
    for count in [0, 10, 100] {
        for (kind, others, conditions) in [
            ("names", "", false),
            ("patterns", "_*", false),
            ("patterns, arguments", "_*", true),
        ] {
            let rules = rules(count, others, conditions);
            group.bench_function(BenchmarkId::new(kind, count), |bencher| {
                bencher.iter(|| black_box(rules.decide(black_box(&ann), black_box(&request))));
            });
        }
    }
    let hundred = rules(100, "_*", true);
    group.bench_function("no tool, 100", |bencher| {
        let ping = Request::new(Method::Ping);
        bencher.iter(|| black_box(hundred.decide(&ann, black_box(&ping))));
    });
    group.bench_function("class, 100", |bencher| {
        bencher.iter(|| black_box(hundred.class(black_box(&ann))));
    });
    group.finish();
}

/// A catalogue of so many tools of one server, of some 300 bytes each.
fn catalog(tool_count: usize) -> Catalog {
    let tool = |number: usize| {
        let text = "What it does, at some length. ".repeat(6);
        format!(
            r#"{{"name":"docs__{number:04}","description":"{text}","inputSchema":{{"type":"object","properties":{{"path":{{"type":"string"}}}}}}}}"#
        )
    };
    let tools: Vec<String> = (0..tool_count).map(tool).collect();
    let page = format!(r#"{{"tools":[{}]}}"#, tools.join(","));
    let transport = Transport::Http {
        replicas: Vec::new(),
        headers: Vec::new(),
        tls: TlsOptions::default(),
    };
    let remote = Remote::new(0, Upstream::new("docs", transport), Vec::new());
    let listing = RawListing {
        spoken: Spoken::Legacy,
        facts: b"{}".to_vec(),
        announced: Vec::new(),
        pages: vec![(List::Tools, page.into_bytes())],
    };
    let offer = UpstreamOffer::read(&Arc::new(remote), &listing, 10_000);
    let sources = Sources {
        offers: &[Arc::new(offer)],
        ..Sources::default()
    };
    Catalog::build_of(sources, 1, 1_000)
}

fn page(criterion: &mut Criterion) {
    let ann = identity();
    let mut group = criterion.benchmark_group("page");
    for tool_count in [10, 200, 1_000] {
        for rule_count in [10, 100] {
            let rules = rules(rule_count, "_*", false);
            let show = |catalog: &Catalog| {
                let shows = |name: &str| {
                    let owner = catalog.owner_of(Kind::Tools, name);
                    owner.is_some_and(|owner| rules.shows(&ann, Kind::Tools, name, owner))
                };
                let class = rules.class(&ann);
                let page = catalog.page_for(Era::Modern, Kind::Tools, None, class, shows);
                page.map_or(0, |page| page.json.len())
            };
            let id = |kind: &str| {
                BenchmarkId::new(kind, format!("{tool_count} tools, {rule_count} rules"))
            };
            let kept = catalog(tool_count);
            let bytes = show(&kept);
            assert!(bytes > tool_count * 200, "all are shown: {bytes}");
            group.bench_function(id("kept"), |bencher| {
                bencher.iter(|| black_box(show(black_box(&kept))));
            });
            // Other classes have all places.
            let full = catalog(tool_count);
            for _ in 0..10_000 {
                let other = RuleSet::without_rules(Effect::Deny).class(&ann);
                full.page_for(Era::Modern, Kind::Tools, None, other, |_| false);
            }
            group.bench_function(id("composed anew"), |bencher| {
                bencher.iter(|| black_box(show(black_box(&full))));
            });
        }
    }
    group.finish();
}

fn limit(criterion: &mut Criterion) {
    // So much that nothing is refused however long it runs.
    let much = Rate {
        interval_ns: 1,
        burst: 1_000_000,
    };
    let named = |pattern: &str| {
        vec![NamedRate {
            pattern: Pattern::new(pattern),
            rate: much,
            per: Per::Everybody,
        }]
    };
    let one = RateOptions {
        global: Some(much),
        ..RateOptions::default()
    };
    let all = RateOptions {
        address: Some(much),
        principal: Some(much),
        session: Some(much),
        methods: named("tools/call"),
        tools: named("docs__*"),
        upstreams: named("docs"),
        ..one.clone()
    };
    let keys = |number: u128| Keys {
        principal: Principal(number),
        address: Some("192.0.2.1".parse().expect("an address")),
        tool: Some("docs__read"),
        upstream: Some("docs"),
        ..Keys::new(Method::CallTool)
    };
    let mut group = criterion.benchmark_group("limit");
    for (kind, options) in [("global", &one), ("six", &all)] {
        let limiter = Limiter::new(options, 100_000);
        for number in 1..=10_000 {
            let _ = limiter.check(0, &keys(number));
        }
        let mut now_ns = 1_000_000_000;
        group.bench_function(kind, |bencher| {
            bencher.iter(|| {
                now_ns += 1_000;
                let number = u128::from(now_ns / 1_000 % 10_000) + 1;
                black_box(limiter.check(now_ns, &keys(number)).is_ok())
            });
        });
    }
    let few = RateOptions {
        principal: Some(Rate::per_hour(1)),
        ..all
    };
    group.bench_function("six, refused by the third", |bencher| {
        let limiter = Limiter::new(&few, 100_000);
        let _ = limiter.check(0, &keys(1));
        bencher.iter(|| black_box(limiter.check(1, &keys(1)).is_err()));
    });
    group.bench_function("sweep of 100,000 keys", |bencher| {
        let full = || {
            let limiter = Limiter::new(&few, 100_000);
            for number in 1..=100_000 {
                let _ = limiter.check(0, &keys(number));
            }
            limiter
        };
        bencher.iter_batched(full, |limiter| limiter.sweep(1), BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, decide, page, limit);
criterion_main!(benches);
