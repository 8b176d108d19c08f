//! What a component lists, and what it answers for resources, prompts and arguments.

use super::host::{modern, run};
use super::hosted::{Module, words};
use super::*;
use crate::mcp::Revision;

/// Knows the resource `a:b`, whose text is "held"; any other is not found, under the name that was asked for.
fn library() -> Vec<u8> {
    let mut module = Module::default();
    let resource = module.resource("a:b");
    let resource = module.put(&resource);
    let list = module.put(&[words(&[resource, 1, 0, 0, 0, 0]), words(&[0; 4])].concat());
    let contents = [
        module.string("a:b"),
        words(&[0; 3]),
        words(&[0]),
        module.string("held"),
        words(&[0; 3]),
    ]
    .concat();
    assert_eq!(contents.len(), 44);
    let contents = module.put(&contents);
    let found = module.put(&[words(&[0, 0, contents, 1]), words(&[0; 6])].concat());
    let missing = module.put(&words(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
    let refused = module.put(&words(&[1, 0, 0, 0, 0, 0, 0, 0]));
    let known = "(i32.eq (local.get $length) (i32.const 3))";
    let params = "(param $uri i32) (param $length i32) (result i32)";
    module
        .export("resources", "list-resources", &format!("(result i32) (i32.const {list})"))
        .export(
            "resources",
            "read-resource",
            &format!(
                "{params} (if {known} (then (return (i32.const {found}))))
                 (i32.store (i32.const {}) (local.get $uri)) (i32.store (i32.const {}) (local.get $length))
                 (i32.const {missing})",
                missing + 12,
                missing + 16
            ),
        )
        .export(
            "resources",
            "subscribe",
            &format!(
                "{params} (if {known} (then (return (i32.const 64))))
                 (i32.store (i32.const {}) (local.get $uri)) (i32.store (i32.const {}) (local.get $length))
                 (i32.const {refused})",
                refused + 8,
                refused + 12
            ),
        )
        .build()
}

fn read(uri: &str) -> Job {
    Job::ReadResource { uri: uri.into() }
}

#[test]
fn a_component_of_resources_alone_is_served() {
    let mut bench = Bench::new();
    let component = bench.load_bytes(&library());
    assert!(component.tools().is_empty());
    let definitions = component.definitions();
    assert!(definitions.has_resources && !definitions.has_prompts);
    assert_eq!(&*definitions.resources[0].uri, "a:b");
    let ended = bench.invoke(&component, read("a:b"), modern(Asking::Never("")));
    assert_eq!(ended.outcome, CallOutcome::Ok);
    assert_eq!(
        ended.value(),
        json!({"contents": [{"uri": "a:b", "text": "held"}], "ttlMs": 0, "cacheScope": "private"})
    );
    let legacy = Caller::silent("resources/read", Revision::V2025_11_25);
    let ended = bench.invoke(&component, read("a:b"), legacy);
    assert_eq!(
        ended.value(),
        json!({"contents": [{"uri": "a:b", "text": "held"}]})
    );
}

#[test]
fn a_resource_that_is_not_there_has_each_eras_own_code() {
    let mut bench = Bench::new();
    let component = bench.load_bytes(&library());
    for (revision, code) in [(Revision::V2025_06_18, -32002), (Revision::MODERN, -32602)] {
        for job in [
            read("no:where"),
            Job::Subscribe {
                uri: "no:where".into(),
            },
        ] {
            let caller = Caller::silent("resources/read", revision);
            let ended = bench.invoke(&component, job, caller);
            assert_eq!(ended.outcome, CallOutcome::Error);
            let error = ended.value();
            assert_eq!(error["code"], code);
            assert_eq!(error["data"], json!({"uri": "no:where"}));
        }
    }
}

#[test]
fn a_subscription_that_is_accepted_says_nothing() {
    let mut bench = Bench::new();
    let component = bench.load_bytes(&library());
    let job = Job::Subscribe { uri: "a:b".into() };
    let ended = bench.invoke(&component, job, modern(Asking::Never("")));
    assert_eq!((ended.outcome, ended.members.len()), (CallOutcome::Ok, 0));
}

#[test]
fn what_a_component_does_not_export_is_an_error() {
    let mut bench = Bench::new();
    let component = bench.load_bytes(&library());
    for job in [
        run(),
        Job::GetPrompt {
            name: "p".into(),
            arguments: vec![],
        },
        Job::Complete {
            of: CompletionRef::Prompt("p".into()),
            argument: "a".into(),
            value: "".into(),
            arguments: vec![],
        },
    ] {
        let ended = bench.invoke(&component, job, modern(Asking::Never("")));
        assert_eq!(ended.outcome, CallOutcome::Error);
        assert_eq!(ended.value()["code"], -32603);
    }
}

/// A tool that ends with this case of `error`, whose payload is these words.
fn failing(case: u32, payload: &[u32], message: &str) -> Vec<u8> {
    let mut module = Module::default();
    let at = module.put(message.as_bytes());
    let payload: Vec<u32> = payload
        .iter()
        .map(|word| if *word == u32::MAX { at } else { *word })
        .collect();
    let mut result = words(&[1, case]);
    result.extend(words(&payload));
    result.resize(64, 0);
    let result = module.put(&result);
    module.one_tool(&format!("(i32.const {result})")).build()
}

#[test]
fn a_components_errors_are_those_of_the_protocol() {
    let mut bench = Bench::new();
    let text = u32::MAX;
    for (component, code, message) in [
        (failing(0, &[text, 4], "that"), -32602, "unknown tool: that"),
        (failing(1, &[text, 4], "that"), -32602, "that"),
        (failing(2, &[text, 4], "that"), -32603, "that"),
        (failing(3, &[-5_i32 as u32, text, 4], "that"), -5, "that"),
    ] {
        let component = bench.load_bytes(&component);
        let ended = bench.invoke(&component, run(), modern(Asking::Never("")));
        assert_eq!(ended.outcome, CallOutcome::Error);
        assert_eq!(ended.value(), json!({"code": code, "message": message}));
    }
}

#[test]
fn codes_that_the_protocol_keeps_for_itself_are_no_components() {
    let mut bench = Bench::new();
    for code in [-32_020, -32_099, -32_021, -32_002, -32_042] {
        let component = failing(3, &[code as u32, u32::MAX, 4], "that");
        let component = bench.load_bytes(&component);
        let ended = bench.invoke(&component, run(), modern(Asking::Never("")));
        assert_eq!(ended.value()["code"], -32603, "{code}");
    }
}

#[test]
fn a_tool_that_promises_structure_and_gives_none_has_failed() {
    let mut bench = Bench::new();
    let module = Module::default().lists_tools(&[(
        "run",
        r#"{"type":"object"}"#,
        Some(r#"{"type":"object"}"#),
    )]);
    let component = module
        .export(
            "tools",
            "call-tool",
            "(param i32 i32 i32 i32) (result i32) (call $said (local.get 2) (local.get 3))",
        )
        .build();
    let component = bench.load_bytes(&component);
    assert!(component.definitions().tools[0].has_output_schema);
    let ended = bench.invoke(&component, run(), modern(Asking::Never("")));
    assert_ne!(ended.outcome, CallOutcome::Ok);
    let value = ended.value();
    assert_eq!(value["isError"], true);
    assert!(text(&value).contains("output-schema"), "{value}");
}

#[test]
fn a_trap_in_a_read_is_an_error_and_no_result() {
    let mut bench = Bench::new();
    let mut module = Module::default();
    let list = module.put(&words(&[0; 12]));
    let component = module
        .lists_tools(&[("run", r#"{"type":"object"}"#, None)])
        .export(
            "tools",
            "call-tool",
            "(param i32 i32 i32 i32) (result i32) (unreachable)",
        )
        .export(
            "resources",
            "list-resources",
            &format!("(result i32) (i32.const {list})"),
        )
        .export(
            "resources",
            "read-resource",
            "(param i32 i32) (result i32) (unreachable)",
        )
        .export(
            "resources",
            "subscribe",
            "(param i32 i32) (result i32) (unreachable)",
        )
        .build();
    let component = bench.load_bytes(&component);
    let ended = bench.invoke(&component, run(), modern(Asking::Never("")));
    assert_eq!(ended.outcome, CallOutcome::Trap);
    let ended = bench.invoke(&component, read("a:b"), modern(Asking::Never("")));
    assert_eq!(
        (ended.outcome, &ended.value()["code"]),
        (CallOutcome::Error, &json!(-32603))
    );
}

#[test]
fn a_component_that_lists_nothing_or_cannot_list_is_refused() {
    let bench = Bench::new();
    let nothing = Module::default().lists_tools(&[]).export(
        "tools",
        "call-tool",
        "(param i32 i32 i32 i32) (result i32) (unreachable)",
    );
    let refused = bench.runtime.load("test", &nothing.build()).unwrap_err();
    assert!(matches!(refused, LoadError::NoTools(_)), "{refused}");
    let broken = Module::default()
        .export("tools", "list-tools", "(result i32) (unreachable)")
        .export(
            "tools",
            "call-tool",
            "(param i32 i32 i32 i32) (result i32) (unreachable)",
        );
    let refused = bench.runtime.load("test", &broken.build()).unwrap_err();
    assert!(matches!(refused, LoadError::Lists(_)), "{refused}");
}

#[test]
fn a_job_without_a_shard_ends_where_it_is_told_to() {
    let bench = Bench::new();
    let component = bench.load_bytes(&library());
    let (sender, ended) = std::sync::mpsc::sync_channel(8);
    let deadline = Instant::now() + Duration::from_secs(10);
    let started = bench.runtime.run_detached(
        &component,
        read("a:b"),
        Arc::new(modern(Asking::Never(""))),
        deadline,
        Box::new(move |ending| sender.send(ending).unwrap()),
    );
    assert!(started.is_ok());
    let ending = ended.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!(ending.report.outcome, CallOutcome::Ok);
    assert_eq!(object(&ending.members)["contents"][0]["text"], "held");
}
