use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::mcp::Method;
use crate::policy::Proof;
use crate::policy::pattern::Pattern;

mod arguments;

fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| Pattern::new(text)).collect()
}

fn rule(name: &str, effect: Effect) -> RuleSpec {
    RuleSpec {
        name: name.to_owned(),
        effect,
        who: Who::default(),
        what: What::default(),
        arguments: Vec::new(),
        needs_scopes: Vec::new(),
        show_without_scopes: false,
    }
}

fn tools(texts: &[&str]) -> What {
    What {
        tools: patterns(texts),
        ..What::default()
    }
}

fn set(rules: Vec<RuleSpec>) -> RuleSet {
    compile(RuleOptions {
        rules,
        ..RuleOptions::default()
    })
}

fn compile(options: RuleOptions) -> RuleSet {
    let default = options.default_effect(false, false);
    RuleSet::compile(&options, default).unwrap()
}

fn ann() -> Identity {
    let claims = json!({"department": "sales", "groups": ["ops", "dev"], "level": 42, "org": {"unit": "a/b"}});
    Identity {
        principal: Identity::principal_of(Proof::Jwt, Some("https://issuer"), "ann"),
        subject: "ann".into(),
        issuer: Some("https://issuer".into()),
        proof: Proof::Jwt,
        scopes: vec!["mcp:read".into()],
        roles: vec!["reader".into()],
        claims: claims.as_object().unwrap().clone(),
        ..Identity::anonymous()
    }
}

fn call<'r>(tool: &'r str, arguments: &'r str) -> Request<'r> {
    Request {
        tool: Some(tool),
        component: Some("files"),
        arguments: Some(arguments.as_bytes()),
        ..Request::new(Method::CallTool)
    }
}

fn is_allowed(rules: &RuleSet, request: &Request<'_>) -> bool {
    matches!(rules.decide(&ann(), request), Decision::Allow { .. })
}

#[test]
fn without_rules_a_loopback_listener_is_open_and_any_other_is_shut() {
    let none = RuleOptions::default();
    assert_eq!(none.default_effect(false, false), Effect::Allow);
    assert_eq!(none.default_effect(true, false), Effect::Deny);
    assert_eq!(none.default_effect(false, true), Effect::Deny);
    let said = RuleOptions {
        default: Some(Effect::Allow),
        ..RuleOptions::default()
    };
    assert_eq!(said.default_effect(true, true), Effect::Allow);
    assert!(RuleSet::allow_all().is_open());
    let shut = RuleSet::without_rules(Effect::Deny);
    assert!(!shut.is_open());
    let denied = Decision::Deny { rule: None };
    assert_eq!(shut.decide(&ann(), &call("x", "{}")), denied);
    assert!(is_allowed(&shut, &Request::new(Method::ListTools)));
}

#[test]
fn a_deny_beats_every_allow_wherever_it_stands() {
    for names in [["get_*"], ["get_x"]] {
        for denied in [["*x"], ["get_x"]] {
            let allow = RuleSpec {
                what: tools(&names),
                ..rule("yes", Effect::Allow)
            };
            let deny = RuleSpec {
                what: tools(&denied),
                ..rule("no", Effect::Deny)
            };
            for rules in [vec![allow.clone(), deny.clone()], vec![deny, allow]] {
                let rules = set(rules);
                let decision = rules.decide(&ann(), &call("get_x", "{}"));
                assert_eq!(decision, Decision::Deny { rule: Some("no") });
                assert!(!rules.shows(&ann(), List::Tools, "get_x", Owned::Component("files")));
            }
        }
    }
}

#[test]
fn a_deny_of_a_caller_covers_the_protocols_own_methods() {
    let mut mallory = ann();
    mallory.subject = "mallory".into();
    let rules = set(vec![
        RuleSpec {
            who: Who {
                subjects: patterns(&["mal*"]),
                ..Who::default()
            },
            ..rule("out", Effect::Deny)
        },
        rule("rest", Effect::Allow),
    ]);
    for method in Method::all() {
        let request = Request::new(method);
        assert_eq!(
            rules.decide(&mallory, &request),
            Decision::Deny { rule: Some("out") }
        );
        assert!(is_allowed(&rules, &request));
    }
}

#[test]
fn everything_that_is_said_of_a_caller_has_to_hold() {
    let one = |claim: &str, value| {
        let matcher = Matcher::one_of(vec![value]);
        vec![(Pointer::parse(claim).unwrap(), matcher)]
    };
    let right = [
        Who {
            subjects: patterns(&["bob", "a*"]),
            ..Who::default()
        },
        Who {
            issuers: patterns(&["https://issuer"]),
            ..Who::default()
        },
        Who {
            proofs: vec![Proof::ApiKey, Proof::Jwt],
            ..Who::default()
        },
        Who {
            scopes: vec!["mcp:read".to_owned()],
            ..Who::default()
        },
        Who {
            roles: vec!["writer".to_owned(), "reader".to_owned()],
            ..Who::default()
        },
        Who {
            claims: one("/department", json!("sales")),
            ..Who::default()
        },
        Who {
            claims: one("/groups", json!("dev")),
            ..Who::default()
        },
        Who {
            claims: one("/level", json!(42.0)),
            ..Who::default()
        },
        Who {
            claims: one("/org/unit", json!("a/b")),
            ..Who::default()
        },
    ];
    let wrong = [
        Who {
            subjects: patterns(&["b*"]),
            ..Who::default()
        },
        Who {
            issuers: patterns(&["https://issuer.evil"]),
            ..Who::default()
        },
        Who {
            proofs: vec![Proof::Certificate],
            ..Who::default()
        },
        Who {
            scopes: vec!["mcp:read".to_owned(), "mcp:write".to_owned()],
            ..Who::default()
        },
        Who {
            roles: vec!["writer".to_owned()],
            ..Who::default()
        },
        Who {
            claims: one("/department", json!("Sales")),
            ..Who::default()
        },
        Who {
            claims: one("/groups", json!("de")),
            ..Who::default()
        },
        Who {
            claims: one("/level", json!("42")),
            ..Who::default()
        },
        Who {
            claims: one("/missing", json!(null)),
            ..Who::default()
        },
        Who {
            subjects: patterns(&["ann"]),
            proofs: vec![Proof::ApiKey],
            ..Who::default()
        },
    ];
    for (whose, expected) in right
        .iter()
        .map(|w| (w, true))
        .chain(wrong.iter().map(|w| (w, false)))
    {
        let who = whose.clone();
        let rules = set(vec![RuleSpec {
            who,
            ..rule("r", Effect::Allow)
        }]);
        assert_eq!(is_allowed(&rules, &call("x", "{}")), expected, "{whose:?}");
    }
    // Who has no issuer meets no pattern for issuers, not even `*`.
    let who = Who {
        issuers: patterns(&["*"]),
        ..Who::default()
    };
    let rules = set(vec![RuleSpec {
        who,
        ..rule("r", Effect::Allow)
    }]);
    let decision = rules.decide(&Identity::anonymous(), &call("x", "{}"));
    assert_eq!(decision, Decision::Deny { rule: None });
}

#[test]
fn methods_owners_and_names_narrow_a_rule() {
    let what = What {
        methods: patterns(&["tools/*"]),
        upstreams: patterns(&["docs"]),
        components: patterns(&["weather"]),
        ..tools(&["docs__*", "now"])
    };
    let rules = set(vec![RuleSpec {
        what,
        ..rule("r", Effect::Allow)
    }]);
    let of = |tool, upstream, component| Request {
        tool: Some(tool),
        upstream,
        component,
        ..Request::new(Method::CallTool)
    };
    assert!(is_allowed(&rules, &of("docs__x", Some("docs"), None)));
    assert!(is_allowed(&rules, &of("now", None, Some("weather"))));
    assert!(!is_allowed(&rules, &of("now", None, Some("docs"))));
    assert!(!is_allowed(&rules, &of("now", None, None)));
    assert!(!is_allowed(&rules, &of("later", Some("docs"), None)));
    let prompt = Request {
        prompt: Some("now"),
        upstream: Some("docs"),
        ..Request::new(Method::GetPrompt)
    };
    assert!(!is_allowed(&rules, &prompt));
}

#[test]
fn a_rule_for_tools_says_nothing_of_resources_and_prompts() {
    let rules = set(vec![RuleSpec {
        what: tools(&["*"]),
        ..rule("r", Effect::Allow)
    }]);
    let read = Request {
        resource: Some("file:///x"),
        ..Request::new(Method::ReadResource)
    };
    assert!(!is_allowed(&rules, &read));
    assert!(is_allowed(&rules, &call("x", "{}")));
    // To hear of a resource's changes is to use it.
    let listen = Request {
        resource: Some("file:///x"),
        ..Request::new(Method::Listen)
    };
    assert!(!is_allowed(&rules, &listen));
    assert!(is_allowed(&rules, &Request::new(Method::Listen)));
}

#[test]
fn resources_in_doubt_meet_a_deny_and_no_allow() {
    let what = What {
        resources: patterns(&["file:///srv/*"]),
        ..What::default()
    };
    let allow = set(vec![RuleSpec {
        what: what.clone(),
        ..rule("r", Effect::Allow)
    }]);
    let deny = set(vec![
        RuleSpec {
            what,
            ..rule("r", Effect::Deny)
        },
        rule("rest", Effect::Allow),
    ]);
    for (uri, allowed, denied) in [
        ("file:///srv/x", true, true),
        ("file:///etc/x", false, false),
        ("file:///srv/../etc/x", false, true),
        ("file:///etc/%2e%2e/srv/x", false, true),
        ("FILE:///srv/x", false, true),
    ] {
        let read = Request {
            resource: Some(uri),
            ..Request::new(Method::ReadResource)
        };
        assert_eq!(is_allowed(&allow, &read), allowed, "{uri}");
        assert_eq!(!is_allowed(&deny, &read), denied, "{uri}");
    }
}

#[test]
fn who_lacks_scopes_is_told_all_of_them_unless_another_rule_allows() {
    let write = RuleSpec {
        what: tools(&["put"]),
        needs_scopes: vec!["mcp:read".to_owned(), "mcp:write".to_owned()],
        ..rule("write", Effect::Allow)
    };
    let rules = set(vec![write.clone()]);
    let needs = Decision::NeedsScopes {
        scopes: "mcp:read mcp:write",
        rule: "write",
    };
    assert_eq!(rules.decide(&ann(), &call("put", "{}")), needs);
    assert!(!rules.shows(&ann(), List::Tools, "put", Owned::Component("files")));
    let mut full = ann();
    full.scopes.push("mcp:write".into());
    assert_eq!(
        rules.decide(&full, &call("put", "{}")),
        Decision::Allow {
            rule: Some("write")
        }
    );
    let shown = set(vec![RuleSpec {
        show_without_scopes: true,
        ..write.clone()
    }]);
    assert!(shown.shows(&ann(), List::Tools, "put", Owned::Component("files")));
    let other = RuleSpec {
        what: tools(&["p*"]),
        ..rule("other", Effect::Allow)
    };
    let rules = set(vec![write, other]);
    assert_eq!(
        rules.decide(&ann(), &call("put", "{}")),
        Decision::Allow {
            rule: Some("other")
        }
    );
}

#[test]
fn a_scope_that_contains_another_is_as_good() {
    let options = RuleOptions {
        rules: vec![RuleSpec {
            needs_scopes: vec!["read".to_owned()],
            ..rule("r", Effect::Allow)
        }],
        scope_hierarchy: [
            (
                "admin".to_owned(),
                vec!["write".to_owned(), "admin".to_owned()],
            ),
            (
                "write".to_owned(),
                vec!["read".to_owned(), "admin".to_owned()],
            ),
        ]
        .into(),
        ..RuleOptions::default()
    };
    let rules = compile(options);
    let mut boss = ann();
    boss.scopes = vec!["admin".into()];
    assert_eq!(
        rules.decide(&boss, &call("x", "{}")),
        Decision::Allow { rule: Some("r") }
    );
    boss.scopes = vec!["mcp:read".into()];
    assert!(matches!(
        rules.decide(&boss, &call("x", "{}")),
        Decision::NeedsScopes { scopes: "read", .. }
    ));
}

#[test]
fn roles_are_given_by_keys_and_tokens_or_by_who_somebody_is() {
    let options = RuleOptions {
        roles: [
            (
                "reader".to_owned(),
                RoleSpec {
                    who: None,
                    what: tools(&["get_*"]),
                },
            ),
            (
                "ops".to_owned(),
                RoleSpec {
                    who: Some(Who {
                        claims: vec![(
                            Pointer::parse("/groups").unwrap(),
                            Matcher::one_of(vec![json!("ops")]),
                        )],
                        ..Who::default()
                    }),
                    what: What {
                        methods: patterns(&["*"]),
                        ..What::default()
                    },
                },
            ),
            ("empty".to_owned(), RoleSpec::default()),
        ]
        .into(),
        ..RuleOptions::default()
    };
    let rules = compile(options);
    assert_eq!(
        rules.names().collect::<Vec<_>>(),
        ["role ops", "role reader"]
    );
    assert_eq!(
        rules.decide(&ann(), &call("drop", "{}")),
        Decision::Allow {
            rule: Some("role ops")
        }
    );
    let mut reader = ann();
    reader.claims.clear();
    assert_eq!(
        rules.decide(&reader, &call("get_x", "{}")),
        Decision::Allow {
            rule: Some("role reader")
        }
    );
    assert_eq!(
        rules.decide(&reader, &call("drop", "{}")),
        Decision::Deny { rule: None }
    );
    reader.roles = vec!["empty".into()];
    assert_eq!(
        rules.decide(&reader, &call("get_x", "{}")),
        Decision::Deny { rule: None }
    );
}

#[test]
fn lists_show_what_may_be_used_with_some_arguments() {
    let condition = |value| vec![(Pointer::parse("/v").unwrap(), Matcher::one_of(vec![value]))];
    let rules = set(vec![
        RuleSpec {
            what: tools(&["some"]),
            arguments: condition(json!(1)),
            ..rule("a", Effect::Allow)
        },
        RuleSpec {
            what: tools(&["most"]),
            ..rule("b", Effect::Allow)
        },
        RuleSpec {
            what: tools(&["most"]),
            arguments: condition(json!(2)),
            ..rule("c", Effect::Deny)
        },
        RuleSpec {
            what: What {
                resources: patterns(&["file:///srv/*"]),
                ..What::default()
            },
            ..rule("d", Effect::Allow)
        },
        RuleSpec {
            what: What {
                prompts: patterns(&["p*"]),
                upstreams: patterns(&["u"]),
                ..What::default()
            },
            ..rule("e", Effect::Allow)
        },
    ]);
    let (here, there) = (Owned::Component("c"), Owned::Upstream("u"));
    for (list, name, owner, shown) in [
        (List::Tools, "some", here, true),
        (List::Tools, "most", here, true),
        (List::Tools, "none", here, false),
        (List::Resources, "file:///srv/x", here, true),
        (List::Resources, "file:///etc/x", here, false),
        (List::Templates, "file:///{path}", here, true),
        (List::Templates, "file:///srv/{path}", here, true),
        (List::Templates, "file:///etc/{path}", here, false),
        (List::Templates, "db://{x}", here, false),
        (List::Prompts, "p1", there, true),
        (List::Prompts, "p1", here, false),
        (List::Prompts, "q", there, false),
    ] {
        assert_eq!(
            rules.shows(&ann(), list, name, owner),
            shown,
            "{list:?} {name}"
        );
    }
}

#[test]
fn callers_of_one_class_are_shown_the_same_and_others_are_told_apart() {
    for padding in [0, 100] {
        let mut rules: Vec<RuleSpec> = (0..padding)
            .map(|n| rule(&format!("r{n}"), Effect::Deny))
            .collect();
        for rule in &mut rules {
            rule.who.subjects = patterns(&["nobody"]);
        }
        let who = Who {
            subjects: patterns(&["a*"]),
            ..Who::default()
        };
        rules.push(RuleSpec {
            who,
            needs_scopes: vec!["w".to_owned()],
            ..rule("r", Effect::Allow)
        });
        let rules = set(rules);
        let (mut anton, mut bob, mut full) = (ann(), ann(), ann());
        anton.subject = "anton".into();
        bob.subject = "bob".into();
        full.scopes.push("w".into());
        let classes = [ann(), anton, bob, full].map(|one| rules.class(&one));
        assert_eq!(classes[0], classes[1]);
        assert!(classes[0] != classes[2] && classes[0] != classes[3] && classes[2] != classes[3]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_shown_is_what_may_be_called(
        rules in proptest::collection::vec((any::<bool>(), 0..5_usize, 0..3_usize, any::<bool>()), 0..6),
        tool in prop_oneof![Just("a"), Just("ab"), Just("b")],
        is_open in any::<bool>(),
    ) {
        let names = ["a", "a*", "*", "b", "?b"];
        let subjects = ["ann", "*", "bob"];
        let specs = rules.iter().enumerate().map(|(n, (allow, name, subject, scoped))| RuleSpec {
            what: tools(&[names[*name]]),
            who: Who { subjects: patterns(&[subjects[*subject]]), ..Who::default() },
            needs_scopes: scoped.then(|| "w".to_owned()).into_iter().collect(),
            ..rule(&format!("r{n}"), if *allow { Effect::Allow } else { Effect::Deny })
        });
        let default = if is_open { Effect::Allow } else { Effect::Deny };
        let options = RuleOptions { rules: specs.collect(), ..RuleOptions::default() };
        let set = RuleSet::compile(&options, default).unwrap();
        let may = is_allowed(&set, &call(tool, "{}"));
        prop_assert_eq!(set.shows(&ann(), List::Tools, tool, Owned::Component("files")), may);
        // The definition, without an index.
        let about = |(_, name, subject, _): &&(bool, usize, usize, bool)| {
            Pattern::new(names[*name]).matches(tool) && Pattern::new(subjects[*subject]).matches("ann")
        };
        let denied = rules.iter().filter(about).any(|rule| !rule.0);
        let allowed = rules.iter().filter(about).any(|rule| rule.0 && !rule.3);
        let lacking = rules.iter().filter(about).any(|rule| rule.0 && rule.3);
        prop_assert_eq!(may, !denied && (allowed || (is_open && !lacking)));
    }
}

#[test]
fn who_may_not_read_a_resource_or_not_follow_it_by_any_name_hears_of_no_change() {
    let about = |methods: &[&str]| What {
        methods: patterns(methods),
        resources: patterns(&["docs:*"]),
        ..What::default()
    };
    let with = |name: &str, effect, methods: &[&str]| RuleSpec {
        what: about(methods),
        ..rule(name, effect)
    };
    let all = || with("all", Effect::Allow, &[]);
    let hears = |rules: Vec<RuleSpec>, uri: &str| {
        let set = set(rules);
        let of = |method| {
            let request = Request {
                resource: Some(uri),
                ..Request::new(method)
            };
            let decision = set.decide_following(&ann(), &request);
            match decision {
                Decision::Allow { .. } => "allowed".to_owned(),
                Decision::Deny { rule } => rule.unwrap_or("no rule").to_owned(),
                Decision::NeedsScopes { scopes, .. } => scopes.to_owned(),
            }
        };
        assert_eq!(of(Method::Listen), of(Method::Subscribe), "one thing");
        of(Method::Listen)
    };
    assert_eq!(hears(vec![all()], "docs:a"), "allowed");
    assert_eq!(hears(vec![all()], "etc:a"), "no rule");
    for method in [
        "resources/read",
        "resources/subscribe",
        "subscriptions/listen",
    ] {
        let rules = vec![with("none", Effect::Deny, &[method]), all()];
        assert_eq!(hears(rules, "docs:a"), "none", "{method}");
    }
    for (methods, said) in [
        (&["resources/read"][..], "no rule"),
        (&["resources/subscribe", "subscriptions/listen"], "no rule"),
        (&["resources/read", "resources/subscribe"], "allowed"),
        (&["resources/read", "subscriptions/listen"], "allowed"),
    ] {
        let rules = vec![with("some", Effect::Allow, methods)];
        assert_eq!(hears(rules, "docs:a"), said, "{methods:?}");
    }
    let needs = RuleSpec {
        needs_scopes: vec!["follow".into()],
        ..with("step-up", Effect::Allow, &["subscriptions/listen"])
    };
    let reads = with("reads", Effect::Allow, &["resources/read"]);
    assert_eq!(hears(vec![needs, reads], "docs:a"), "follow");
}
