mod upstreams;

use super::*;
use crate::component::tests::hosted::Module;
use crate::component::{Job, Runtime, RuntimeOptions};
use crate::limits::Limits;
use crate::mcp::CacheScope;
use serde_json::json;

const ANY: &str = r#"{"type":"object"}"#;

fn runtime() -> Arc<Runtime> {
    let limits = Limits {
        instance_count_max: 20,
        memory_bytes_max: 16 << 20,
        ..Limits::default()
    };
    Runtime::new(&limits, RuntimeOptions::default()).unwrap()
}

fn tools(names: &[&str]) -> Module {
    let tools: Vec<_> = names.iter().map(|name| (*name, ANY, None)).collect();
    Module::default().lists_tools(&tools).export(
        "tools",
        "call-tool",
        "(param i32 i32 i32 i32) (result i32) (unreachable)",
    )
}

fn page_names(catalog: &Catalog, kind: Kind) -> Vec<String> {
    let page = catalog.page(kind, None).unwrap();
    let entries: Vec<Value> = serde_json::from_slice(&page.json).unwrap();
    let key = match kind {
        Kind::Resources => "uri",
        Kind::Templates => "uriTemplate",
        _ => "name",
    };
    entries
        .iter()
        .map(|entry| entry[key].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_name_that_several_have_is_listed_for_each_of_them() {
    let runtime = runtime();
    let first = runtime
        .load("first", &tools(&["echo", "only"]).build())
        .unwrap();
    let second = runtime
        .load("Second One", &tools(&["echo"]).build())
        .unwrap();
    let demo = runtime.load_demo().unwrap();
    let components = [vec![first, second], demo].concat();
    let catalog = Catalog::build(&components, 1, 500);
    let names = catalog.names();
    for name in ["echo__echo", "first__echo", "second_one__echo", "only"] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    assert!(
        catalog.tool("echo").is_none(),
        "nobody could say whose it is"
    );
    let tool = catalog.tool("second_one__echo").unwrap();
    assert_eq!(tool.owner_name(), "Second One");
    assert!(matches!(&tool.target, Target::Host { name, .. } if **name == *"echo"));
    assert_eq!(page_names(&catalog, Kind::Tools), names);
    assert!(matches!(
        catalog.tool("echo__echo").unwrap().job(Vec::new()),
        Some((_, Job::Function { tool_index: 0, .. }))
    ));
    let entry = catalog.tool_entry("second_one__echo");
    assert_eq!(entry["description"], "Says something");
    assert_eq!(entry["inputSchema"], json!({"type": "object"}));
    assert_eq!(catalog.tool_entry("echo"), Value::Null);
}

#[test]
fn prompts_are_named_apart_as_tools_are() {
    let runtime = runtime();
    let load = |name| {
        let module = Module::default().lists_prompts(&["greet", name]);
        runtime.load(name, &module.build()).unwrap()
    };
    let catalog = Catalog::build(&[load("one"), load("two")], 1, 500);
    assert_eq!(
        page_names(&catalog, Kind::Prompts),
        ["one", "one__greet", "two", "two__greet"]
    );
    assert_eq!(&*catalog.prompt("two__greet").unwrap().name, "greet");
    assert!(catalog.prompt("greet").is_none());
}

#[test]
fn a_resource_is_its_first_components_and_else_the_first_that_fits() {
    let runtime = runtime();
    let load = |name: &str, uris: &[&str], templates: &[&str]| {
        let module = Module::default().lists_resources(uris, templates);
        runtime.load(name, &module.build()).unwrap()
    };
    let first = load("first", &["a:1", "a:2"], &["b:{id}", "x:{?q}"]);
    let second = load(
        "second",
        &["a:2", "b:listed"],
        &["b:{id}", "b:{other}", "c:{+path}"],
    );
    let catalog = Catalog::build(&[first, second], 1, 500);
    assert_eq!(
        page_names(&catalog, Kind::Resources),
        ["a:1", "a:2", "b:listed"]
    );
    assert_eq!(
        page_names(&catalog, Kind::Templates),
        ["b:{id}", "b:{other}", "c:{+path}", "x:{?q}"]
    );
    let owner = |uri: &str| catalog.resource(uri).map(|owner| owner.name().to_owned());
    assert_eq!(owner("a:2").as_deref(), Some("first"));
    assert_eq!(
        owner("b:listed").as_deref(),
        Some("second"),
        "listed counts before fitting"
    );
    assert_eq!(owner("b:other").as_deref(), Some("first"));
    assert_eq!(owner("c:d/e").as_deref(), Some("second"));
    assert_eq!(owner("x:?q=1"), None);
    assert_eq!(owner("d:1"), None);
}

#[test]
fn whoever_has_a_prompt_or_a_template_completes_it() {
    let runtime = runtime();
    let completing = Module::default()
        .lists_prompts(&["greet"])
        .lists_resources(&[], &["b:{id}"])
        .completes();
    let silent = Module::default().lists_prompts(&["greet", "quiet"]);
    let components = [
        runtime.load("loud", &completing.build()).unwrap(),
        runtime.load("silent", &silent.build()).unwrap(),
    ];
    let catalog = Catalog::build(&components, 1, 500);
    let prompt = |name: &str| catalog.completer(&CompletionRef::Prompt(name.into()));
    let Some(Completer::Component(component, of)) = prompt("loud__greet") else {
        panic!("nobody completes it");
    };
    assert_eq!(component.name(), "loud");
    assert_eq!(of, CompletionRef::Prompt("greet".into()), "its name there");
    assert!(matches!(prompt("quiet"), Some(Completer::Nobody)));
    assert!(prompt("unknown").is_none());
    let template = catalog.completer(&CompletionRef::Template("b:{id}".into()));
    assert!(matches!(template, Some(Completer::Component(..))));
}

#[test]
fn what_is_offered_follows_from_what_is_there() {
    let runtime = runtime();
    let plain = Catalog::build(&runtime.load_demo().unwrap(), 1, 500);
    for era in [Era::Legacy, Era::Modern] {
        assert_eq!(plain.capabilities(era), r#"{"tools":{"listChanged":true}}"#);
    }
    assert!(plain.page(Kind::Prompts, None).is_none());
    assert!(plain.page(Kind::Resources, None).is_none());
    let module = Module::default()
        .lists_prompts(&["greet"])
        .lists_resources(&["a:1"], &[])
        .completes();
    let all = runtime.load("all", &module.build()).unwrap();
    let catalog = Catalog::build(&[all], 2, 500);
    let capabilities: Value = serde_json::from_str(catalog.capabilities(Era::Legacy)).unwrap();
    for key in ["tools", "prompts", "resources", "completions", "logging"] {
        assert!(capabilities.get(key).is_some(), "{key}");
    }
    let oldest = catalog.capabilities_in(Revision::V2024_11_05);
    assert!(!oldest.contains("completions"));
    assert_eq!(page_names(&catalog, Kind::Tools), [] as [String; 0]);
    assert_eq!(page_names(&catalog, Kind::Templates), [] as [String; 0]);
}

#[test]
fn lists_are_kept_no_longer_than_any_component_allows() {
    let runtime = runtime();
    // It says one second, for everybody; the demo says nothing.
    let brief = runtime.load("brief", &tools(&["brief"]).build()).unwrap();
    let demo = runtime.load_demo().unwrap();
    let of = |components: &[Arc<Component>]| Catalog::build(components, 1, 500).hints(Kind::Tools);
    assert_eq!(of(&demo).ttl_ms, LIST_TTL_MS);
    assert_eq!(of(&[vec![brief.clone()], demo].concat()).ttl_ms, 1_000);
    assert_eq!(
        (of(&[brief]).ttl_ms, of(&[]).scope),
        (1_000, CacheScope::Public)
    );
}

#[test]
fn pages_have_at_most_as_many_entries_as_they_may() {
    let runtime = runtime();
    let component = runtime
        .load("some", &tools(&["a", "b", "c"]).build())
        .unwrap();
    let catalog = Catalog::build(&[component], 1, 2);
    let first = catalog.page(Kind::Tools, None).unwrap();
    assert_eq!(first.next, Some("b"));
    let last = catalog.page(Kind::Tools, first.next).unwrap();
    assert_eq!(last.next, None);
    let entries: Vec<Value> = serde_json::from_slice(&last.json).unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["inputSchema"], json!({"type": "object"}));
    let whole: Vec<Value> = serde_json::from_slice(&catalog.listing()).unwrap();
    assert_eq!(whole.len(), 3);
}
