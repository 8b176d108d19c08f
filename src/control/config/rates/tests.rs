use std::path::Path;

use super::super::{Config, Overrides};
use super::*;

fn parse(text: &str) -> Result<Config, Problem> {
    Config::parse(text, Path::new("/etc/margay.yaml"), &Overrides::default())
}

#[test]
fn the_whole_shape_is_read() {
    let config = parse(
        "
limits: {rate_key_count_max: 5000}
rates:
  global: {per_second: 5000, burst: 10000}
  address: {per_second: 50}
  principal: {per_minute: 600, burst: 100}
  session: {per_hour: 20}
  methods: {tools/call: {per_second: 1000}}
  tools: {'export_*': {per_minute: 10, per: principal}}
  components: {weather: {per_second: 20, per: everybody}}
  upstreams: {docs: {per_second: 100}}
  tiers:
    standard: {per_second: 100, burst: 200}
    premium: {per_second: 1000, burst: 2000}
  default_tier: standard
  exempt: [127.0.0.1, 10.0.0.0/8, '::1', '::ffff:192.0.2.1']
",
    )
    .unwrap();
    let rates = config.rates;
    assert_eq!(config.limits.rate_key_count_max, 5000);
    assert_eq!(
        rates.global,
        Some(Rate::per_second(5000).with_burst(10_000))
    );
    assert_eq!(rates.address, Some(Rate::per_second(50)));
    assert_eq!(rates.session, Some(Rate::per_hour(20)));
    assert_eq!(rates.tools[0].per, Per::Principal);
    assert_eq!(rates.components[0].per, Per::Everybody);
    assert_eq!(
        rates.tiers["premium"],
        Rate::per_second(1000).with_burst(2000)
    );
    let exempt: Vec<String> = rates.exempt.iter().map(ToString::to_string).collect();
    assert_eq!(
        exempt,
        ["127.0.0.1/32", "10.0.0.0/8", "::1/128", "192.0.2.1/32"]
    );
    // What is written nowhere limits nobody but those who are not known.
    let failures = |count| RateOptions {
        auth_failure: Some(Rate::per_second(count)),
        ..RateOptions::default()
    };
    assert_eq!(parse("").unwrap().rates, failures(100));
    let text = "limits: {auth_failure_per_second_max: 7}";
    assert_eq!(parse(text).unwrap().rates, failures(7));
}

#[test]
fn what_a_limit_cannot_mean_is_refused_with_its_line() {
    for (text, line, parts) in [
        (
            "rates:\n  global: {burst: 1}\n",
            2,
            ["rates.global", "one of per_second"],
        ),
        (
            "rates:\n  global: {per_second: 1, per_hour: 1}\n",
            2,
            ["rates.global", "one of per_second"],
        ),
        (
            "rates:\n  global: {per_second: 0}\n",
            2,
            ["rates.global", "between 1 and 1000000"],
        ),
        (
            "rates:\n  global: {per_second: 1, burst: 2000000}\n",
            2,
            ["2000000", "between 1 and 1000000"],
        ),
        (
            "rates:\n  global: {per_secnd: 1}\n",
            2,
            ["`per_secnd`", "did you mean `per_second`?"],
        ),
        (
            "rates:\n  session: {per_second: 1, per: principal}\n",
            2,
            ["rates.session.per", "tools, components"],
        ),
        (
            "rates:\n  methods:\n    tool/call: {per_second: 1}\n",
            3,
            ["is no method", "did you mean `tools/call`?"],
        ),
        (
            "rates:\n  tiers: {gold: {per_second: 1}}\n  default_tier: golf\n",
            3,
            ["is not a tier", "did you mean `gold`?"],
        ),
        (
            "rates:\n  exempt:\n    - 10.0.0.0/99\n",
            3,
            ["rates.exempt", "neither an address"],
        ),
        (
            "rates:\n  tools: {'': {per_second: 1}}\n",
            2,
            ["rates.tools", "1 to 256 bytes"],
        ),
    ] {
        let shown = parse(text).expect_err("it must be refused").to_string();
        assert!(
            shown.contains(&format!("margay.yaml line {line}")),
            "{shown}"
        );
        for part in parts {
            assert!(shown.contains(part), "{part} in: {shown}");
        }
    }
}
