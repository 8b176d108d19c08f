use super::super::bindings::exports::margay::host::prompts::PromptArgument;
use super::*;
use crate::mcp::headers::ParamKind;
use serde_json::json;

fn tool(name: &str) -> Tool {
    Tool {
        name: name.to_owned(),
        title: None,
        description: None,
        input_schema: r#"{"type":"object"}"#.to_owned(),
        output_schema: None,
        annotations: None,
        icons: vec![],
        task_support: tools::TaskSupport::Forbidden,
        meta: None,
    }
}

fn limits() -> Limits {
    Limits::default()
}

/// The names that are listed, and the definitions.
fn listed(tools: Vec<Tool>) -> Definitions {
    let limits = limits();
    let mut lists = Lists::new("test", &limits);
    lists.tools(&ToolList { tools, hints: None }).unwrap();
    lists.finish(false)
}

fn names(definitions: &Definitions) -> Vec<&str> {
    definitions.tools.iter().map(|tool| &*tool.name).collect()
}

#[test]
fn a_tool_is_written_as_clients_read_it_and_its_schema_stays_as_it_is() {
    let mut one = tool("one");
    one.title = Some("One".to_owned());
    one.description = Some("Does".to_owned());
    one.input_schema =
        "{\n  \"type\": \"object\",\n  \"x\": [1.50, 12345678901234567890123]\n}".to_owned();
    one.output_schema = Some(r#"{"type":"object"}"#.to_owned());
    one.annotations = Some(ToolAnnotations {
        title: None,
        read_only: Some(true),
        destructive: Some(false),
        idempotent: None,
        open_world: None,
    });
    one.task_support = tools::TaskSupport::Deferred;
    one.meta = Some("{\"a\":1}".to_owned());
    let definitions = listed(vec![one]);
    let tool = &definitions.tools[0];
    assert_eq!(
        &*tool.entry.members,
        r#""title":"One","description":"Does","inputSchema":{"type":"object","x":[1.50,12345678901234567890123]},"outputSchema":{"type":"object"},"annotations":{"readOnlyHint":true,"destructiveHint":false},"_meta":{"a":1}"#
    );
    assert_eq!(tool.task_support, TaskSupport::Deferred);
    assert!(tool.has_output_schema);
}

#[test]
fn tools_that_no_client_could_use_are_left_out_and_the_others_are_not() {
    let with_schema = |name: &str, schema: &str| Tool {
        input_schema: schema.to_owned(),
        ..tool(name)
    };
    let definitions = listed(vec![
        tool("b.ok-1_2"),
        tool(""),
        tool("has space"),
        tool("has/slash"),
        tool(&"x".repeat(65)),
        tool(&"x".repeat(64)),
        tool("a"),
        tool("a"),
        with_schema("array", "[]"),
        with_schema("nothing", "{}"),
        with_schema("text", r#"{"type":"string"}"#),
        with_schema("broken", "{"),
        with_schema(
            "header",
            r#"{"type":"object","properties":{"a":{"type":"number","x-mcp-header":"A"}}}"#,
        ),
        Tool {
            output_schema: Some("1".to_owned()),
            ..tool("output")
        },
        Tool {
            meta: Some("1".to_owned()),
            ..tool("meta")
        },
    ]);
    assert_eq!(names(&definitions), ["a", "b.ok-1_2", &"x".repeat(64)]);
}

#[test]
fn arguments_in_headers_are_found() {
    let mut one = tool("one");
    one.input_schema =
        r#"{"type":"object","properties":{"r":{"type":"string","x-mcp-header":"Region"}}}"#
            .to_owned();
    let definitions = listed(vec![one]);
    let bindings = &definitions.tools[0].header_bindings;
    assert_eq!(bindings.len(), 1);
    assert_eq!(
        (bindings[0].header.as_str(), bindings[0].kind),
        ("Region", ParamKind::Text)
    );
    assert!(definitions.tools[0].entry.members.contains("x-mcp-header"));
}

#[test]
fn an_output_schema_that_legacy_clients_refuse_is_not_told() {
    let mut one = tool("one");
    one.output_schema = Some(r#"{"type":"array"}"#.to_owned());
    let definitions = listed(vec![one]);
    assert!(!definitions.tools[0].has_output_schema);
    assert!(!definitions.tools[0].entry.members.contains("outputSchema"));
}

#[test]
fn lists_that_are_too_long_or_too_large_are_refused_as_a_whole() {
    let many = (0..=DEFINITIONS_PER_COMPONENT_MAX)
        .map(|number| tool(&number.to_string()))
        .collect();
    let default = limits();
    let list = ToolList {
        tools: many,
        hints: None,
    };
    assert!(Lists::new("test", &default).tools(&list).is_err());
    let small = Limits {
        definition_bytes_max: 100,
        ..limits()
    };
    let list = ToolList {
        tools: vec![tool("one"), tool("two"), tool("three"), tool("four")],
        hints: None,
    };
    let refused = Lists::new("test", &small).tools(&list).unwrap_err();
    assert!(refused.contains("limits.definition_bytes_max"), "{refused}");
}

#[test]
fn prompts_resources_and_templates_are_written() {
    let limits = limits();
    let mut lists = Lists::new("test", &limits);
    let prompt = |name: &str| Prompt {
        name: name.to_owned(),
        title: None,
        description: None,
        arguments: vec![PromptArgument {
            name: "x".to_owned(),
            title: None,
            description: None,
            required: true,
        }],
        icons: vec![],
        meta: None,
    };
    let list = PromptList {
        prompts: vec![prompt("p"), prompt(""), prompt("a\nb")],
        hints: Some(types::CacheHints {
            ttl_ms: 7,
            scope: types::CacheScope::Private,
        }),
    };
    lists.prompts(&list).unwrap();
    let template = |text: &str| ResourceTemplate {
        uri_template: text.to_owned(),
        name: "T".to_owned(),
        title: None,
        description: None,
        mime_type: Some("text/plain".to_owned()),
        annotations: None,
        icons: vec![],
        meta: None,
    };
    let resource = |uri: &str| types::ResourceInfo {
        uri: uri.to_owned(),
        name: "R".to_owned(),
        title: None,
        description: None,
        mime_type: None,
        size: None,
        annotations: None,
        icons: vec![],
        meta: None,
    };
    let list = ResourceList {
        resources: vec![resource("a:b"), resource("has space"), resource("")],
        templates: vec![template("a:{x}")],
        hints: None,
    };
    lists.resources(&list).unwrap();
    let definitions = lists.finish(true);
    assert_eq!(definitions.prompts.len(), 1);
    assert_eq!(
        definitions.prompts[0].entry.to_value(),
        json!({"arguments": [{"name": "x", "required": true}]})
    );
    assert_eq!(definitions.prompt_hints.unwrap().ttl_ms, 7);
    assert_eq!(definitions.resources.len(), 1);
    assert_eq!(
        definitions.resources[0].entry.to_value(),
        json!({"name": "R"})
    );
    assert_eq!(
        definitions.templates[0].entry.to_value(),
        json!({"name": "T", "mimeType": "text/plain"})
    );
    assert!(definitions.has_completion && definitions.has_prompts && definitions.has_resources);
}
