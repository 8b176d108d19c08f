use serde_json::{Value, json};

use super::*;
use crate::mcp::CacheScope;

fn read(listing: &RawListing, entry_count_max: usize) -> UpstreamOffer {
    UpstreamOffer::read(&Arc::new(Remote::sample("up")), listing, entry_count_max)
}

fn listing(spoken: Spoken, facts: Value, pages: &[(List, &str)]) -> RawListing {
    let page = |(list, text): &(List, &str)| (*list, text.as_bytes().to_vec());
    RawListing {
        spoken,
        facts: facts.to_string().into_bytes(),
        announced: Vec::new(),
        pages: pages.iter().map(page).collect(),
    }
}

fn legacy(pages: &[(List, &str)]) -> UpstreamOffer {
    read(&listing(Spoken::Legacy, json!({}), pages), 1_000)
}

fn names(offered: &[Offered]) -> Vec<&str> {
    offered.iter().map(|one| &*one.name).collect()
}

fn tool_names(offer: &UpstreamOffer) -> Vec<&str> {
    offer.tools.iter().map(|tool| &*tool.name).collect()
}

const SCHEMA: &str = r#""inputSchema":{"type":"object"}"#;

#[test]
fn an_entry_keeps_every_member_as_it_was_written() {
    let page = format!(
        "{{\"tools\":[{{ \"x-own\" : [1.0e2,\r\n 10000000000000000001], \"name\":\"\\u0061\", \"description\":\"line\\nbreak\", {SCHEMA} }}]}}"
    );
    let offer = legacy(&[(List::Tools, &page)]);
    assert_eq!(&*offer.tools[0].name, "a", "unescaped");
    assert_eq!(
        &*offer.tools[0].entry.members,
        r#""x-own":[1.0e2,   10000000000000000001],"description":"line\nbreak","inputSchema":{"type":"object"}"#
    );
    assert_eq!(offer.tools[0].legacy_entry, None);
}

#[test]
fn what_is_no_entry_is_left_out_and_the_others_stand() {
    let long = "x".repeat(NAME_BYTES_MAX + 1);
    let tools = format!(
        r#"{{"tools":[1,null,[],{{}},{{"name":7,{SCHEMA}}},{{"name":"",{SCHEMA}}},{{"name":"{long}",{SCHEMA}}},
        {{"name":"no schema"}},{{"name":"array","inputSchema":{{"type":"array"}}}},{{"name":"text","inputSchema":"{{}}"}},
        {{"name":"double","name":"double",{SCHEMA}}},
        {{"name":"good",{SCHEMA}}},{{"name":"good",{SCHEMA},"title":"again"}},{{"name":"last",{SCHEMA}}}]}}"#
    );
    let resources = r#"{"resources":[{"uri":"a:1","name":"one"},{"uri":"a:2"},{"name":"three"}]}"#;
    let templates = r#"{"resourceTemplates":[{"uriTemplate":"b:{id}","name":"b"},{"uriTemplate":7,"name":"c"}]}"#;
    let prompts = r#"{"prompts":[{"name":"greet"},"greet",{"name":null}]}"#;
    let offer = legacy(&[
        (List::Tools, &tools),
        (List::Resources, resources),
        (List::Templates, templates),
        (List::Prompts, prompts),
    ]);
    assert_eq!(tool_names(&offer), ["good", "last"]);
    assert_eq!(&*offer.tools[0].entry.members, SCHEMA, "the first counts");
    assert_eq!(names(&offer.resources), ["a:1"]);
    assert_eq!(names(&offer.templates), ["b:{id}"]);
    assert_eq!(names(&offer.prompts), ["greet"]);
}

#[test]
fn what_some_client_cannot_read_does_not_cost_it_the_whole_list() {
    let deep = "[".repeat(200) + &"]".repeat(200);
    let tools = format!(
        r#"{{"tools":[{{"name":"deep",{SCHEMA},"x":{deep}}},
        {{"name":"large",{SCHEMA},"x":1e999}},{{"name":"good",{SCHEMA}}}]}}"#
    );
    assert_eq!(tool_names(&legacy(&[(List::Tools, &tools)])), ["good"]);
}

#[test]
fn a_page_that_is_none_leaves_the_other_pages() {
    let good = format!(r#"{{"tools":[{{"name":"good",{SCHEMA}}}]}}"#);
    for bad in [
        "",
        "7",
        "[]",
        "{}",
        r#"{"tools":{}}"#,
        r#"{"tools":[{"name":"cut"#,
        "\u{feff}{}",
    ] {
        let offer = legacy(&[(List::Tools, bad), (List::Tools, &good)]);
        assert_eq!(tool_names(&offer), ["good"], "{bad}");
    }
    let mut bytes = listing(Spoken::Legacy, json!({}), &[(List::Tools, &good)]);
    bytes.pages[0].1.push(0xff);
    assert!(tool_names(&read(&bytes, 10)).is_empty());
}

#[test]
fn more_entries_than_an_upstream_may_have_are_not_offered() {
    let tools = |first: usize| {
        let tools: Vec<String> = (first..first + 3)
            .map(|number| format!(r#"{{"name":"t{number}",{SCHEMA}}}"#))
            .collect();
        format!(r#"{{"tools":[{}]}}"#, tools.join(","))
    };
    let prompts = r#"{"prompts":[{"name":"greet"}]}"#;
    let (first, second) = (tools(0), tools(3));
    let pages = [
        (List::Tools, first.as_str()),
        (List::Tools, &second),
        (List::Prompts, prompts),
    ];
    let listing = listing(Spoken::Legacy, json!({}), &pages);
    let offer = read(&listing, 4);
    assert_eq!(tool_names(&offer), ["t0", "t1", "t2", "t3"]);
    assert!(offer.prompts.is_empty());
    assert_eq!(read(&listing, 7).prompts.len(), 1);
}

#[test]
fn a_modern_tool_whose_header_annotation_nobody_can_follow_is_left_out() {
    let page = r#"{"tools":[
        {"name":"bad","inputSchema":{"type":"object","properties":{"a":{"type":"string","x-mcp-header":"not a header"}}}},
        {"name":"good","inputSchema":{"type":"object","properties":{"a":{"type":"string","x-mcp-header":"Region"}}}}]}"#;
    let modern = read(
        &listing(Spoken::Modern, json!({}), &[(List::Tools, page)]),
        9,
    );
    assert_eq!(tool_names(&modern), ["good"]);
    assert_eq!(modern.tools[0].header_bindings.len(), 1);
    let legacy = legacy(&[(List::Tools, page)]);
    assert_eq!(
        tool_names(&legacy),
        ["bad", "good"],
        "to a legacy server it means nothing"
    );
    assert!(legacy.tools[0].header_bindings.is_empty());
}

#[test]
fn hints_are_the_least_of_all_pages() {
    let page = |hints: &str| format!(r#"{{"prompts":[]{hints}}}"#);
    let hints = |spoken, pages: &[&str]| {
        let pages: Vec<String> = pages.iter().map(|hints| page(hints)).collect();
        let pages: Vec<_> = pages
            .iter()
            .map(|page| (List::Prompts, page.as_str()))
            .collect();
        let offer = read(&listing(spoken, json!({}), &pages), 9);
        offer.hints[List::Prompts as usize].map(|hints| (hints.ttl_ms, hints.scope))
    };
    let long = r#","ttlMs":9000,"cacheScope":"public""#;
    let (brief, private) = (
        r#","ttlMs":1e1,"cacheScope":"public""#,
        r#","ttlMs":9000,"cacheScope":"private""#,
    );
    let modern = |pages: &[&str]| hints(Spoken::Modern, pages);
    assert_eq!(modern(&[long, brief]), Some((10, CacheScope::Public)));
    assert_eq!(modern(&[private, long]), Some((9000, CacheScope::Private)));
    assert_eq!(modern(&[""]), Some((0, CacheScope::Private)));
    assert_eq!(
        modern(&[r#","ttlMs":-1,"cacheScope":"public""#]),
        Some((0, CacheScope::Private))
    );
    assert_eq!(
        hints(Spoken::Legacy, &[long]),
        None,
        "that era has no hints"
    );
}

#[test]
fn capabilities_are_read_in_the_form_of_their_era() {
    let of = |spoken, facts: Value| read(&listing(spoken, facts, &[]), 9).capabilities;
    let legacy = json!({"capabilities": {
        "tools": {}, "prompts": {"listChanged": true}, "logging": {}, "completions": {},
        "tasks": {"requests": {"tools": {"call": {}}}}, "resources": true,
    }});
    let found = of(Spoken::Legacy, legacy.clone());
    assert!(
        found.tools && found.prompts && found.logging && found.completions && found.tasks,
        "{found:?}"
    );
    assert!(!found.resources && !found.task_list, "{found:?}");
    assert!(
        !of(Spoken::Modern, legacy).tasks,
        "that is the legacy form of them"
    );
    let modern =
        json!({"capabilities": {"extensions": {"io.modelcontextprotocol/tasks": {}}, "tools": {}}});
    assert!(of(Spoken::Modern, modern).tasks);
    let oldest = json!({"protocolVersion": "2024-11-05", "capabilities": {"prompts": {}}});
    assert!(of(Spoken::HttpSse, oldest).completions);
    assert_eq!(of(Spoken::Legacy, json!([1])), Offer::default());
}

#[test]
fn what_a_tool_says_of_tasks_is_for_legacy_clients() {
    let page = format!(
        r#"{{"tools":[{{"name":"a",{SCHEMA},"execution":{{"taskSupport":"required"}}}},
        {{"name":"b",{SCHEMA},"execution":{{"taskSupport":"sometimes"}}}}]}}"#
    );
    let facts = json!({"capabilities": {"tasks": {"requests": {"tools": {"call": {}}}}}});
    let pages = [(List::Tools, page.as_str())];
    let offer = read(&listing(Spoken::Legacy, facts, &pages), 9);
    let [first, second] = offer.tools.as_slice() else {
        panic!("{offer:?}");
    };
    assert_eq!(first.task_support, TaskSupport::Required);
    assert_eq!(&*first.entry.members, SCHEMA);
    let legacy = first.legacy_entry.as_ref().unwrap();
    assert_eq!(
        &*legacy.members,
        format!(r#"{SCHEMA},"execution":{{"taskSupport":"required"}}"#)
    );
    assert_eq!(second.task_support, TaskSupport::Forbidden);
    assert_eq!(second.legacy_entry, None);
    let without = read(&listing(Spoken::Legacy, json!({}), &pages), 9);
    assert_eq!(without.tools[0].task_support, TaskSupport::Forbidden);
}

#[test]
fn an_output_schema_that_legacy_clients_refuse_is_kept_from_them() {
    let page =
        format!(r#"{{"tools":[{{"name":"a",{SCHEMA},"outputSchema":{{"type":"string"}}}}]}}"#);
    let offer = read(
        &listing(Spoken::Modern, json!({}), &[(List::Tools, &page)]),
        9,
    );
    assert!(offer.tools[0].entry.members.contains("outputSchema"));
    let legacy = offer.tools[0].legacy_entry.as_ref().unwrap();
    assert_eq!(&*legacy.members, SCHEMA);
}

#[test]
fn a_tool_may_be_called_again_if_it_says_so() {
    let page = |hints: &str| {
        let page = format!(r#"{{"tools":[{{"name":"a",{SCHEMA},"annotations":{hints}}}]}}"#);
        legacy(&[(List::Tools, &page)])
            .tools
            .first()
            .map(|tool| tool.is_repeatable)
    };
    assert_eq!(page(r#"{"readOnlyHint":true}"#), Some(true));
    assert_eq!(page(r#"{"idempotentHint":true}"#), Some(true));
    assert_eq!(page(r#"{"readOnlyHint":"true"}"#), Some(false));
    assert_eq!(page("{}"), Some(false));
    assert_eq!(page("[]"), None, "clients would refuse the whole list");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(256))]
    #[test]
    fn what_an_upstream_says_becomes_lists_whatever_it_says(
        names in proptest::collection::vec("[a-c_. \\PC]{0,6}", 0..6),
        cut in 0_usize..400,
        garbage in proptest::collection::vec(proptest::num::u8::ANY, 0..64),
    ) {
        let entries: Vec<Value> = names
            .iter()
            .map(|name| json!({"name": name, "uri": name, "uriTemplate": name, "inputSchema": {"type": "object"}}))
            .collect();
        let page = json!({
            "tools": entries, "prompts": entries, "resources": entries, "resourceTemplates": entries,
        });
        let text = page.to_string();
        crate::catalog::check(text.as_bytes());
        let cut = cut.min(text.len());
        crate::catalog::check(&[&text.as_bytes()[..cut], &garbage].concat());
        crate::catalog::check(&garbage);
    }
}

#[test]
fn the_seed_of_the_fuzz_target_holds() {
    crate::catalog::check(include_bytes!(
        "../../../fuzz/corpus/upstream_listing/everything"
    ));
}
