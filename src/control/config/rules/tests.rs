use std::path::Path;

use serde_json::json;

use super::super::{Config, Overrides};
use super::*;

fn parse(text: &str) -> Result<Config, Problem> {
    Config::parse(text, Path::new("/etc/margay.yaml"), &Overrides::default())
}

#[track_caller]
fn refused(text: &str, line: u64, parts: &[&str]) {
    let shown = parse(text).expect_err("it must be refused").to_string();
    assert!(
        shown.contains(&format!("margay.yaml line {line}")),
        "{shown}"
    );
    for part in parts {
        assert!(shown.contains(part), "{part} in: {shown}");
    }
}

#[test]
fn the_whole_shape_is_read() {
    let config = parse(
        r#"
roles:
  reader: {tools: ["get_*"]}
  admin: {methods: ["*"], who: {claims: {"/groups": ops}}}
rules:
  - name: sales-may-write
    allow: true
    who: {subjects: ["ann*"], issuers: ["https://i"], proofs: [jwt, api-key], scopes: ["mcp:read"], roles: [reader],
          claims: {"/department": [sales, support], "/level": {min: 3}, "/ok": true}}
    methods: ["tools/call"]
    tools: ["docs__*"]
    upstreams: [docs]
    arguments: {"/path": {glob: ["/srv/*", "/tmp/*"]}, "/count": {min: 1, max: 10}, "/mode": {one_of: [r, w]}, "/x": {absent: true}, "/n": 42, "/t": null, "/s": {bytes_max: 9}}
    needs_scopes: ["mcp:write"]
    show_without_scopes: true
  - deny: true
    components: [weather]
    resources: ["file:///*"]
    prompts: ["p*"]
scope_hierarchy: {"mcp:admin": ["mcp:write"]}
default_rule: deny
"#,
    )
    .unwrap();
    let rules = config.rules;
    assert_eq!(rules.default, Some(Effect::Deny));
    assert_eq!(rules.roles.len(), 2);
    assert!(rules.roles["admin"].who.is_some() && rules.roles["reader"].who.is_none());
    assert_eq!(rules.scope_hierarchy["mcp:admin"], ["mcp:write"]);
    let first = &rules.rules[0];
    assert_eq!(
        (first.name.as_str(), first.effect),
        ("sales-may-write", Effect::Allow)
    );
    assert_eq!(first.who.proofs, [Proof::Jwt, Proof::ApiKey]);
    assert_eq!(first.who.claims.len(), 3);
    let argument = |pointer: &str| {
        let found = first
            .arguments
            .iter()
            .find(|(one, _)| one.to_string() == pointer);
        found.unwrap().1.clone()
    };
    assert_eq!(argument("/path").glob.len(), 2);
    assert_eq!(
        (argument("/count").min, argument("/count").max),
        (Some(1.0), Some(10.0))
    );
    assert_eq!(argument("/mode").one_of, [json!("r"), json!("w")]);
    assert_eq!(argument("/x").absent, Some(true));
    assert_eq!(argument("/n").one_of, [json!(42)]);
    assert_eq!(argument("/t").one_of, [json!(null)]);
    assert_eq!(argument("/s").bytes_max, Some(9));
    assert!(first.show_without_scopes && first.needs_scopes == ["mcp:write"]);
    let second = &rules.rules[1];
    assert_eq!(
        (second.name.as_str(), second.effect),
        ("line 16", Effect::Deny)
    );
    assert_eq!(second.what.components.len(), 1);
    assert_eq!(parse("").unwrap().rules, RuleOptions::default());
}

#[test]
fn what_a_rule_cannot_mean_is_refused_with_its_line() {
    for (text, line, parts) in [
        (
            "rules:\n  - tools: [x]\n",
            2,
            ["rules[0]", "one of allow: true"],
        ),
        (
            "rules:\n  - allow: true\n    deny: true\n",
            2,
            ["rules[0]", "one of allow: true"],
        ),
        (
            "rules:\n  - allow: false\n",
            2,
            ["rules[0]", "not what a rule is for"],
        ),
        (
            "rules:\n  - allow: true\n    tools: []\n",
            2,
            ["rules[0].tools", "must not be empty"],
        ),
        (
            "rules:\n  - allow: true\n    tools:\n      - ''\n",
            4,
            ["rules[0].tools", "1 to 256 bytes"],
        ),
        (
            "rules:\n  - allow: true\n    methods: [tool/call]\n",
            3,
            ["is no method", "did you mean `tools/call`?"],
        ),
        (
            "rules:\n  - allow: true\n    tool: [x]\n",
            3,
            ["`tool`", "did you mean `tools`?"],
        ),
        (
            "rules:\n  - {allow: true, name: a}\n  - {allow: true, name: a}\n",
            3,
            ["rules[1].name", "the rule in line 2"],
        ),
        (
            "rules:\n  - deny: true\n    needs_scopes: [a]\n",
            2,
            ["needs_scopes", "allows only"],
        ),
        (
            "rules:\n  - allow: true\n    needs_scopes: ['a b']\n",
            3,
            ["needs_scopes", "is no scope"],
        ),
        (
            "rules:\n  - allow: true\n    needs_scopes: ['a\"b']\n",
            3,
            ["needs_scopes", "is no scope"],
        ),
        (
            "rules:\n  - allow: true\n    show_without_scopes: true\n",
            3,
            ["show_without_scopes", "beside needs_scopes"],
        ),
        (
            "rules:\n  - allow: true\n    arguments:\n      path: x\n",
            4,
            ["rules[0].arguments", "begin with a slash"],
        ),
        (
            "rules:\n  - allow: true\n    arguments:\n      /p: {}\n",
            4,
            ["rules[0].arguments./p", "says nothing"],
        ),
        (
            "rules:\n  - allow: true\n    arguments:\n      /p: {globb: x}\n",
            4,
            ["`globb`", "did you mean `glob`?"],
        ),
        (
            "rules:\n  - allow: true\n    arguments:\n      /p: [[x]]\n",
            4,
            ["/p", "single values"],
        ),
        (
            "rules:\n  - allow: true\n    arguments:\n      /p: {min: 3, max: 1}\n",
            4,
            ["/p", "above the max"],
        ),
        (
            "rules:\n  - allow: true\n    arguments:\n      /p: {absent: true, min: 3}\n",
            4,
            ["/p", "keep one"],
        ),
        (
            "rules:\n  - allow: true\n    who: {proofs: [kerberos]}\n",
            3,
            ["`kerberos`", "api-key"],
        ),
        (
            "rules:\n  - allow: true\n    who: {roles: []}\n",
            2,
            ["who.roles", "must not be empty"],
        ),
        (
            "roles:\n  a:\n    who: {roles: [b]}\n",
            3,
            ["roles.a.who.roles", "not given by roles"],
        ),
        (
            "scope_hierarchy:\n  'a b': [c]\n",
            2,
            ["scope_hierarchy.a b", "is no scope"],
        ),
        ("default_rule: maybe\n", 1, ["`maybe`", "allow, deny"]),
    ] {
        refused(text, line, &parts);
    }
}

#[test]
fn conditions_on_too_many_keys_are_refused() {
    let keys: Vec<String> = (0..65).map(|n| format!("/k{n}: 1")).collect();
    let text = format!(
        "rules:\n  - {{allow: true, arguments: {{{}}}}}\n",
        keys.join(", ")
    );
    refused(&text, 2, &["rules", "more than 64 keys"]);
}
