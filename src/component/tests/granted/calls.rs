//! Variables, budgets, and calls that are made for somebody who may less.

use super::guest::{ACCESS, DENIED, Guest, READ};
use super::*;

const VARIABLES: &str =
    "  environment:\n    allow: [{key: LANG}, {key: TOKEN, secret: {secret: api}}, {key: ABSENT}]";

#[test]
fn only_granted_variables_are_there_and_no_arguments() {
    let mut court = Court::new();
    let mut guest = Guest::default();
    guest.environment();
    guest.config("PATH");
    guest.config("HOME");
    guest.config("LANG");
    let component = court.load(&guest, "  {}");
    assert_eq!(court.answer_of(&component), "000---");
    let refusals = court.refusals(&component);
    let expected = ["PATH", "HOME", "LANG"].map(|key| {
        (
            "env read".to_owned(),
            key.to_owned(),
            "no rule allows it".to_owned(),
        )
    });
    assert_eq!(refusals, expected);
    let component = court.load(&guest, VARIABLES);
    assert_eq!(
        court.answer_of(&component),
        "<LANG><en><TOKEN><s3cr3t>000--<en>"
    );
    assert_eq!(court.refusals(&component).len(), 2);
}

#[test]
fn what_is_printed_is_no_answer_and_there_is_nothing_to_be_read() {
    let mut court = Court::new();
    let mut guest = Guest::default();
    guest.print("printed");
    // `B`: closed.
    assert_eq!(court.answer(&guest, "  {}"), ".B");
}

#[test]
fn a_secret_that_is_given_is_told_to_the_audit_log_and_not_its_value() {
    let mut court = Court::new();
    let mut guest = Guest::default();
    guest.config("TOKEN");
    assert_eq!(court.answer(&guest, VARIABLES), "<s3cr3t>");
    let told = court.log.0.lock().unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].kind, Kind::SensitiveDataAccess);
    assert!(!format!("{told:?}").contains("s3cr3t"));
}

#[test]
fn a_narrowed_caller_sees_and_reaches_what_both_allow() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().canonicalize().unwrap();
    std::fs::write(data.join("open"), "open").unwrap();
    std::fs::write(data.join("key"), "key").unwrap();
    let mut court = Court::new();
    let (mut guest, root) = Guest::in_directory();
    guest.environment();
    guest.config("TOKEN");
    let open = guest.open(root, "open", 0, READ);
    guest.read(open);
    guest.open(root, "key", 0, READ);
    guest.get("127.0.0.1:1", "/");
    let at = data.display();
    let permissions = format!(
        "{VARIABLES}\n  storage:\n    allow: [{{uri: \"fs://{at}\", access: [read]}}]\n  network:\n    allow: [{{cidr: 127.0.0.0/8}}]"
    );
    let component = court.load(&guest, &permissions);
    // Instances that were made before anybody called are there, and are not for this caller.
    court.bench.pool.follow(std::slice::from_ref(&component));
    while court.bench.pool.maintain(8) {}
    let narrow = format!(
        "  environment:\n    allow: [{{key: LANG}}]\n  storage:\n    deny: [{{uri: \"fs://{at}/key\", access: [read]}}]\n  network:\n    deny: [{{host: \"*\"}}]"
    );
    let (outcome, result) = court.call_for(&component, 0, Some(narrowing(&narrow)));
    assert_eq!(outcome, CallOutcome::Ok, "{result}");
    assert_eq!(
        text(&result),
        format!("<LANG><en>000-..<open>{ACCESS}{DENIED}")
    );
    let principals: Vec<_> = {
        let told = court.log.0.lock().unwrap();
        told.iter().map(|told| told.principal.clone()).collect()
    };
    assert_eq!(principals, ["api-key:guest"; 3]);
    let refusals = court.refusals(&component);
    assert_eq!(refusals[0].2, "no rule allows it");
    assert!(refusals[1].2.starts_with("guests.yaml:"), "{refusals:?}");
    assert!(refusals[2].2.starts_with("guests.yaml:"), "{refusals:?}");
    // The next caller is not narrowed by this one.
    let (_, result) = court.call_for(&component, 0, None);
    assert!(
        text(&result).starts_with("<LANG><en><TOKEN><s3cr3t>000<s3cr3t>..<open>.G"),
        "{result}"
    );
}

#[test]
fn a_living_instance_that_was_shown_more_does_not_serve_a_narrowed_caller() {
    let mut court = Court::new();
    let mut guest = Guest::default();
    guest.config("LANG");
    let component = court.load_as(&guest, VARIABLES, InstanceMode::Singleton);
    let (outcome, _) = court.call_for(&component, 0, None);
    assert_eq!(outcome, CallOutcome::Ok);
    let narrow = "  environment:\n    allow: [{key: LANG}]";
    let (outcome, result) = court.call_for(&component, 0, Some(narrowing(narrow)));
    assert_eq!(outcome, CallOutcome::ToolError);
    assert!(text(&result).contains("serves several callers"), "{result}");
    let (outcome, _) = court.call_for(&component, 0, Some(narrowing("  storage: {deny: []}")));
    assert_eq!(outcome, CallOutcome::Ok);
    assert_eq!(court.call_for(&component, 0, None).0, CallOutcome::Ok);
}

#[test]
fn a_tool_that_fails_says_what_was_refused_and_by_which_rule() {
    let mut court = Court::new();
    let mut guest = Guest::default();
    guest.get("metadata.internal", "/");
    let component = court.load(&guest, "  network:\n    deny: [{host: \"*.internal\"}]");
    // The second tool answers with an error.
    let (outcome, result) = court.call_for(&component, 1, None);
    assert_eq!(outcome, CallOutcome::ToolError, "{result}");
    let said = result["content"][1]["text"].as_str().unwrap();
    assert!(
        said.contains("http GET http://metadata.internal:80/ was refused: probe.policy.yaml:4"),
        "{said}"
    );
    guest.then("(unreachable)");
    let component = court.load(&guest, "  {}");
    let (outcome, result) = court.call_for(&component, 0, None);
    assert_eq!(outcome, CallOutcome::Trap);
    assert!(
        text(&result).contains("was refused: no rule allows it"),
        "{result}"
    );
}

#[test]
fn time_on_a_processor_beyond_the_budget_ends_the_call() {
    let mut court = Court::new();
    let mut guest = Guest::default();
    guest.then("(loop $spin (br $spin))");
    let component = court.load(&guest, "  resources: {cpu_time_ms: 30}");
    let started = Instant::now();
    let (outcome, result) = court.call_for(&component, 0, None);
    assert_eq!(outcome, CallOutcome::Budget, "{result}");
    assert!(text(&result).contains("cpu_time_ms of 30"), "{result}");
    assert!(started.elapsed() < Duration::from_secs(10));
    // A caller's own budget holds beside it.
    let (outcome, result) = court.call_for(
        &component,
        0,
        Some(narrowing("  resources: {cpu_time_ms: 5}")),
    );
    assert_eq!(outcome, CallOutcome::Budget);
    assert!(text(&result).contains("cpu_time_ms of 5"), "{result}");
}

#[test]
fn memory_beyond_the_budget_is_refused_and_the_budget_named() {
    let mut court = Court::new();
    let mut guest = Guest::default();
    guest.then("(if (i32.eq (memory.grow (i32.const 32)) (i32.const -1)) (then (unreachable)))");
    assert_eq!(court.answer(&guest, "  {}"), "");
    let component = court.load(&guest, "  resources: {memory_bytes: 5000000}");
    let (outcome, result) = court.call_for(&component, 0, None);
    assert_eq!(outcome, CallOutcome::Memory, "{result}");
    assert!(text(&result).contains("may have 5000000"), "{result}");
    assert!(
        text(&result).contains("permissions.resources.memory_bytes"),
        "{result}"
    );
}

#[test]
fn a_component_without_imports_keeps_to_its_memory_too() {
    let court = Court::new();
    let mut bench = court.bench;
    let guest = super::super::guests::text_tool(
        "(if (i32.eq (memory.grow (i32.const 4)) (i32.const -1)) (then (unreachable))) (i32.store (i32.const 0) (i32.const 0)) (i32.store (i32.const 4) (i32.const 0)) (i32.const 0)",
    );
    let load = |permissions: &str| {
        let grants = Grants::of(&policy(permissions), &Secrets, &|_| None).unwrap();
        let (options, grants) = (ComponentOptions::default(), Some(Arc::new(grants)));
        let loaded = bench
            .runtime
            .load_granted("x", guest.as_bytes(), options, grants);
        loaded.unwrap()
    };
    let (free, bound) = (load("  {}"), load("  resources: {memory_bytes: 200000}"));
    assert_eq!(bench.call(&free, r#"{"text":"x"}"#).0, CallOutcome::Ok);
    assert_eq!(bench.call(&bound, r#"{"text":"x"}"#).0, CallOutcome::Memory);
}
