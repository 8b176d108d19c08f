//! What has to hold for any arguments, as a function that panics where it does not: for fuzzing and property tests.

use serde_json::Value;

use super::{
    Decision, Effect, Matcher, Pointer, Request, RuleOptions, RuleSet, RuleSpec, What, Who,
};
use crate::mcp::Method;
use crate::policy::Identity;
use crate::policy::pattern::Pattern;
use crate::wire::json::validate;

/// Depth of the texts that are taken, as a listener would.
const DEPTH_MAX: usize = 64;

/// Holds any valid object as arguments against rules of each effect: an allow for paths under `/srv/` only ever passes what every
/// reader takes for such a path, and a deny for them passes nothing that some reader takes for one.
pub fn check(data: &[u8]) {
    if validate(data, DEPTH_MAX).is_err() {
        return;
    }
    // The first of two equal keys, and the last: two readers.
    let Ok(Value::Object(last)) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    let identity = Identity::anonymous();
    let request = Request {
        tool: Some("read"),
        arguments: Some(data),
        ..Request::new(Method::CallTool)
    };
    let is_below = |value: &Value| {
        value
            .as_str()
            .is_some_and(|path| path.starts_with("/srv/") && !path.split('/').any(|s| s == ".."))
    };
    let is_few = |value: &Value| value.as_f64().is_some_and(|count| count <= 10.0);
    if let Decision::Allow { rule: Some(_) } = rules(Effect::Allow).decide(&identity, &request) {
        assert!(last.get("path").is_some_and(is_below), "a path elsewhere");
        assert!(last.get("count").is_some_and(is_few), "a count too high");
        let twice = last
            .keys()
            .filter(|key| key.eq_ignore_ascii_case("path"))
            .count();
        assert_eq!(twice, 1, "two paths");
    }
    let denies = rules(Effect::Deny);
    let denied = denies.decide(&identity, &request);
    if last.get("path").is_some_and(is_below) && last.get("count").is_some_and(is_few) {
        assert!(
            matches!(denied, Decision::Deny { rule: Some(_) }),
            "a way around a deny"
        );
    }
}

fn rules(effect: Effect) -> RuleSet {
    let path = Matcher {
        glob: vec![Pattern::new("/srv/*")],
        ..Matcher::default()
    };
    let count = Matcher {
        max: Some(10.0),
        ..Matcher::default()
    };
    let condition = |pointer: &str, matcher| Some((Pointer::parse(pointer).ok()?, matcher));
    let conditions = [condition("/path", path), condition("/count", count)];
    let rule = RuleSpec {
        name: "paths".to_owned(),
        effect,
        who: Who::default(),
        what: What::default(),
        arguments: conditions.into_iter().flatten().collect(),
        needs_scopes: Vec::new(),
        show_without_scopes: false,
    };
    let options = RuleOptions {
        rules: vec![rule],
        ..RuleOptions::default()
    };
    let other = match effect {
        Effect::Allow => Effect::Deny,
        Effect::Deny => Effect::Allow,
    };
    RuleSet::compile(&options, other).expect("one rule can be compiled")
}
