//! What it costs to ask whether a request may be made: rules, and rates.
//!
//! The promise: a call that no rule is about costs the same however many rules there are for others, and rules and rates together
//! stay below a microsecond.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use margay::mcp::{Method, Principal};
use margay::policy::pattern::Pattern;
use margay::policy::rate::{Keys, Limiter, NamedRate, Per, Rate, RateOptions};
use margay::policy::rule::{
    Effect, Matcher, Pointer, Request, RuleOptions, RuleSet, RuleSpec, What, Who,
};
use margay::policy::{Identity, Proof};

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

criterion_group!(benches, decide, limit);
criterion_main!(benches);
