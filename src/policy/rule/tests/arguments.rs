//! What arguments are to rules, however they are spelt.

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// One condition on `/v`, as an allow and as a deny of an otherwise open set.
fn with_condition(pointer: &str, matcher: Matcher) -> (RuleSet, RuleSet) {
    let of = |effect| {
        let conditions = vec![(Pointer::parse(pointer).unwrap(), matcher.clone())];
        let options = RuleOptions {
            rules: vec![RuleSpec {
                arguments: conditions,
                ..rule("condition", effect)
            }],
            default: Some(match effect {
                Effect::Allow => Effect::Deny,
                Effect::Deny => Effect::Allow,
            }),
            ..RuleOptions::default()
        };
        compile(options)
    };
    (of(Effect::Allow), of(Effect::Deny))
}

#[test]
fn arguments_are_read_as_their_values_however_they_are_spelt() {
    let path = Matcher {
        glob: patterns(&["/srv/*"]),
        ..Matcher::default()
    };
    let (allow, deny) = with_condition("/path", path);
    for (arguments, allowed, denied) in [
        (r#"{"path":"/srv/a"}"#, true, true),
        (r#"{"pa\u0074h":"/srv/a"}"#, true, true),
        (r#"{"path":"\/srv\/a"}"#, true, true),
        (r#"{"path":"\u002fsrv/a"}"#, true, true),
        (r#"{"path":"/etc/a"}"#, false, false),
        (r#"{}"#, false, false),
        (r#"{"path":null}"#, false, false),
        // Two readers could take each another.
        (r#"{"path":"/etc/a","path":"/srv/a"}"#, false, true),
        (r#"{"path":"/srv/a","pa\u0074h":"/etc/a"}"#, false, true),
        (r#"{"path":"/srv/a","PATH":"/etc/a"}"#, false, true),
        (r#"{"Path":"/srv/a"}"#, false, true),
        (r#"{"path":["/srv/a"]}"#, false, true),
        (r#"{"path":{"x":1}}"#, false, true),
        // A path that is elsewhere.
        (r#"{"path":"/srv/../etc/a"}"#, false, true),
        (r#"{"path":"/srv/%2e%2e/etc/a"}"#, false, true),
        (r#"{"path":"/srv/a\u0000"}"#, false, true),
        // What is deeper is another value.
        (r#"{"x":{"path":"/srv/a"}}"#, false, false),
    ] {
        assert_eq!(
            is_allowed(&allow, &call("t", arguments)),
            allowed,
            "allow {arguments}"
        );
        assert_eq!(
            !is_allowed(&deny, &call("t", arguments)),
            denied,
            "deny {arguments}"
        );
    }
}

#[test]
fn keys_in_other_letters_are_in_doubt_in_every_script() {
    let (allow, deny) = with_condition("/ask", Matcher::one_of(vec![json!(1)]));
    for arguments in [
        "{\"ask\":1,\"a\u{17f}k\":2}",
        "{\"ask\":1,\"as\u{212a}\":2}",
        r#"{"ask":1,"a\u017fk":2}"#,
    ] {
        assert!(!is_allowed(&allow, &call("t", arguments)), "{arguments}");
        assert!(!is_allowed(&deny, &call("t", arguments)), "{arguments}");
    }
    assert!(is_allowed(
        &allow,
        &call("t", "{\"ask\":1,\"aſ\":2,\"âsk\":3}")
    ));
}

#[test]
fn numbers_are_compared_by_value_and_texts_that_look_like_them_are_in_doubt() {
    let matcher = Matcher {
        max: Some(10.0),
        ..Matcher::default()
    };
    let (allow, deny) = with_condition("/n", matcher);
    for (value, allowed, denied) in [
        ("10", true, true),
        ("10.0", true, true),
        ("1e1", true, true),
        ("-5", true, true),
        ("11", false, false),
        ("1e400", false, false),
        ("10.00000000000000000001", false, true),
        ("\"10\"", false, true),
        ("\"many\"", false, false),
        // One, and nothing, to some readers.
        ("true", false, true),
        ("null", false, true),
        ("\"\"", false, true),
        ("\"0x5\"", false, true),
        ("\"1_0\"", false, true),
        ("\"5 apples\"", false, true),
        ("\"５\"", false, true),
    ] {
        let arguments = format!("{{\"n\":{value}}}");
        assert_eq!(
            is_allowed(&allow, &call("t", &arguments)),
            allowed,
            "allow {value}"
        );
        assert_eq!(
            !is_allowed(&deny, &call("t", &arguments)),
            denied,
            "deny {value}"
        );
    }
    let (allow, deny) = with_condition(
        "/n",
        Matcher::one_of(vec![json!(42), json!("x"), json!(true)]),
    );
    for (value, allowed, denied) in [
        ("42", true, true),
        ("42.0", true, true),
        ("4.2e1", true, true),
        ("\"42\"", false, true),
        ("\"x\"", true, true),
        ("true", true, true),
        ("\"true\"", false, true),
        // True, to readers to whom what is something is.
        ("43", false, true),
        ("0", false, false),
        ("null", false, false),
    ] {
        let arguments = format!("{{\"n\":{value}}}");
        assert_eq!(
            is_allowed(&allow, &call("t", &arguments)),
            allowed,
            "allow {value}"
        );
        assert_eq!(
            !is_allowed(&deny, &call("t", &arguments)),
            denied,
            "deny {value}"
        );
    }
}

#[test]
fn of_a_list_every_element_has_to_be_allowed_and_one_is_enough_to_deny() {
    let (allow, deny) = with_condition("/tags/*", Matcher::one_of(vec![json!("a"), json!("b")]));
    for (value, allowed, denied) in [
        (r#"["a","b"]"#, true, true),
        (r#"["a","c"]"#, false, true),
        (r#"["c"]"#, false, false),
        ("[]", false, false),
        (r#"{"x":"a","y":"b"}"#, true, true),
        (r#""a""#, false, true),
        (r#""c""#, false, false),
    ] {
        let arguments = format!("{{\"tags\":{value}}}");
        assert_eq!(
            is_allowed(&allow, &call("t", &arguments)),
            allowed,
            "allow {value}"
        );
        assert_eq!(
            !is_allowed(&deny, &call("t", &arguments)),
            denied,
            "deny {value}"
        );
    }
    let (allow, _) = with_condition("/rows/1/id", Matcher::one_of(vec![json!(7)]));
    assert!(is_allowed(
        &allow,
        &call("t", r#"{"rows":[{"id":1},{"id":7}]}"#)
    ));
    assert!(!is_allowed(&allow, &call("t", r#"{"rows":[{"id":7}]}"#)));
}

#[test]
fn absence_is_absence_in_every_spelling() {
    let (allow, deny) = with_condition(
        "/force",
        Matcher {
            absent: Some(true),
            ..Matcher::default()
        },
    );
    for (arguments, allowed, denied) in [
        ("{}", true, true),
        (r#"{"x":1}"#, true, true),
        (r#"{"force":false}"#, false, false),
        (r#"{"force":null}"#, false, true),
        (r#"{"f\u006frce":1}"#, false, false),
        (r#"{"FORCE":1}"#, false, true),
    ] {
        assert_eq!(
            is_allowed(&allow, &call("t", arguments)),
            allowed,
            "allow {arguments}"
        );
        assert_eq!(
            !is_allowed(&deny, &call("t", arguments)),
            denied,
            "deny {arguments}"
        );
    }
    let none = Request {
        arguments: None,
        ..call("t", "{}")
    };
    assert!(is_allowed(&allow, &none));
    let (allow, _) = with_condition(
        "/id",
        Matcher {
            absent: Some(false),
            ..Matcher::default()
        },
    );
    assert!(is_allowed(&allow, &call("t", r#"{"id":[]}"#)) && !is_allowed(&allow, &none));
}

#[test]
fn many_conditions_are_read_in_one_pass_and_too_many_keys_are_refused() {
    let conditions = |count: usize| {
        let one = |n: usize| {
            (
                Pointer::parse(&format!("/k{n}")).unwrap(),
                Matcher::one_of(vec![json!(n)]),
            )
        };
        (0..count).map(one).collect::<Vec<_>>()
    };
    let mut twice = conditions(64);
    twice.extend(conditions(64));
    let rules = set(vec![RuleSpec {
        arguments: twice,
        ..rule("r", Effect::Allow)
    }]);
    let arguments = |last: usize| {
        let members: Vec<String> = (0..64)
            .map(|n| format!("\"k{n}\":{}", if n == 63 { last } else { n }))
            .collect();
        format!("{{{}}}", members.join(","))
    };
    assert!(is_allowed(&rules, &call("t", &arguments(63))));
    assert!(!is_allowed(&rules, &call("t", &arguments(0))));
    let options = RuleOptions {
        rules: vec![RuleSpec {
            arguments: conditions(65),
            ..rule("r", Effect::Allow)
        }],
        ..RuleOptions::default()
    };
    assert_eq!(
        RuleSet::compile(&options, Effect::Deny).unwrap_err(),
        CompileError::TooManyKeys("r".to_owned())
    );
}

#[test]
fn a_decision_allocates_nothing() {
    let path = Matcher {
        glob: patterns(&["/srv/*"]),
        ..Matcher::default()
    };
    let rules = set(vec![RuleSpec {
        what: tools(&["read_*"]),
        arguments: vec![(Pointer::parse("/path").unwrap(), path)],
        ..rule("r", Effect::Allow)
    }]);
    let (ann, request) = (ann(), call("read_file", r#"{"path":"/srv/a","count":3}"#));
    let counted = allocation_counter::measure(|| {
        assert!(matches!(
            rules.decide(&ann, &request),
            Decision::Allow { .. }
        ));
    });
    assert_eq!(counted.count_total, 0);
}

/// Small objects in which the keys that rules ask for come often, twice, and in other letters.
fn arguments() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        Just("path"),
        Just("count"),
        Just("Path"),
        Just("pa\\u0074h"),
        Just("COUNT"),
        Just("x")
    ];
    let value = prop_oneof![
        Just(r#""/srv/a""#),
        Just(r#""/srv/../a""#),
        Just(r#""/etc/a""#),
        Just(r#""\/srv/b""#),
        Just("3"),
        Just("10.0"),
        Just("1e1"),
        Just("11"),
        Just("\"3\""),
        Just("null"),
        Just("[\"/srv/a\"]"),
        Just("{\"path\":3}"),
        Just("10.00000000000000000001"),
    ];
    let member = (key, value).prop_map(|(key, value)| format!("\"{key}\":{value}"));
    proptest::collection::vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(",")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_spelling_of_arguments_leads_around_a_rule(arguments in arguments()) {
        check(arguments.as_bytes());
    }
}

/// What a deny meets, however a lenient reader takes it; none of it meets an allow.
fn is_in_doubt(pointer: &str, matcher: &Matcher, arguments: &[&str]) {
    let (allow, deny) = with_condition(pointer, matcher.clone());
    for arguments in arguments {
        let request = call("t", arguments);
        assert!(!is_allowed(&deny, &request), "deny {arguments}");
        assert!(!is_allowed(&allow, &request), "allow {arguments}");
    }
}

/// Whole families of servers read a text as the JSON that it holds, and one value as a list of it.
#[test]
fn a_list_in_a_text_and_a_value_without_its_list_are_no_way_around_a_deny() {
    let secret = Matcher {
        glob: patterns(&["/etc/*"]),
        ..Matcher::default()
    };
    is_in_doubt(
        "/paths/*",
        &secret,
        &[
            r#"{"paths":"[\"/etc/passwd\"]"}"#,
            r#"{"paths":"/etc/passwd"}"#,
            r#"{"paths":" [\"\\u002fetc/passwd\"]"}"#,
        ],
    );
    is_in_doubt(
        "/options/force",
        &Matcher::one_of(vec![json!(true)]),
        &[
            r#"{"options":"{\"force\":true}"}"#,
            r#"{"options":{"force":1}}"#,
            r#"{"options":{"force":"yes"}}"#,
            r#"{"options":{"force":"on"}}"#,
            r#"{"options":{"force":[true]}}"#,
        ],
    );
    let (allow, deny) = with_condition("/paths/*", secret);
    for harmless in [
        r#"{"paths":"/srv/a"}"#,
        r#"{"paths":[]}"#,
        r#"{"paths":null}"#,
    ] {
        assert!(is_allowed(&deny, &call("t", harmless)), "{harmless}");
        assert!(!is_allowed(&allow, &call("t", harmless)), "{harmless}");
    }
}

#[test]
fn what_is_null_is_neither_there_nor_absent() {
    for absent in [true, false] {
        let matcher = Matcher {
            absent: Some(absent),
            ..Matcher::default()
        };
        is_in_doubt("/reason", &matcher, &[r#"{"reason":null}"#]);
    }
}

#[test]
fn a_path_in_another_notation_is_no_way_around_a_deny() {
    let path = |glob| Matcher {
        glob: patterns(&[glob]),
        ..Matcher::default()
    };
    let secrets = [
        r#"{"p":"//etc/shadow"}"#,
        r#"{"p":"/etc//shadow"}"#,
        r#"{"p":"\\etc\\shadow"}"#,
    ];
    is_in_doubt("/p", &path("/etc/*"), &secrets);
    is_in_doubt("/p", &path("C:\\secret\\*"), &[r#"{"p":"C:/secret/x"}"#]);
    let addresses = [
        r#"{"p":"HTTPS://internal/x"}"#,
        r#"{"p":"https://INTERNAL/x"}"#,
        r#"{"p":"https://a@internal/x"}"#,
        r#"{"p":"https://internal:443/x"}"#,
        r#"{"p":"https:\\\\internal\\x"}"#,
        r#"{"p":" https://internal/x"}"#,
        r#"{"p":"https://%69nternal/x"}"#,
    ];
    is_in_doubt("/p", &path("https://internal/*"), &addresses);
    let (allow, _) = with_condition("/p", path("https://example.com:8080/*"));
    let plain = r#"{"p":"https://example.com:8080/a%20b?c=d"}"#;
    assert!(is_allowed(&allow, &call("t", plain)));
    let (allow, _) = with_condition("/p", path("C:\\data\\*"));
    assert!(is_allowed(&allow, &call("t", r#"{"p":"C:\\data\\x"}"#)));
}
