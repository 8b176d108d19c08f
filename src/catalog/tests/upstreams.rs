//! Upstreams in the catalogue.

use std::collections::BTreeMap;

use super::*;
use crate::gateway::RawListing;
use crate::upstream::era::Spoken;
use crate::upstream::naming::{Glob, NameRules, Prefix};

struct Upstream {
    remote: Remote,
    spoken: Spoken,
    facts: Value,
    pages: Vec<(Kind, Vec<u8>)>,
}

fn upstream(name: &str, index: usize) -> Upstream {
    Upstream {
        remote: Remote {
            index,
            ..Remote::sample(name)
        },
        spoken: Spoken::Legacy,
        facts: json!({}),
        pages: Vec::new(),
    }
}

impl Upstream {
    fn rules(mut self, rules: NameRules) -> Self {
        self.remote.settings.names = rules;
        self
    }

    fn prefix(self, prefix: Prefix) -> Self {
        self.rules(NameRules {
            prefix,
            ..NameRules::default()
        })
    }

    fn page(mut self, kind: Kind, entries: Value) -> Self {
        let page = json!({ kind.key(): entries });
        self.pages.push((kind, page.to_string().into_bytes()));
        self
    }

    fn tools(self, names: &[&str]) -> Self {
        let tool = |name: &&str| json!({"name": name, "inputSchema": {"type": "object"}});
        let tools = names.iter().map(tool).collect();
        self.page(Kind::Tools, tools)
    }

    fn prompts(self, names: &[&str]) -> Self {
        let prompts = names.iter().map(|name| json!({"name": name})).collect();
        self.page(Kind::Prompts, prompts)
    }

    fn resources(self, uris: &[&str]) -> Self {
        let resources = uris.iter().map(|uri| json!({"uri": uri, "name": "x"}));
        let resources = resources.collect();
        self.page(Kind::Resources, resources)
    }

    fn offer(self) -> Arc<UpstreamOffer> {
        let listing = RawListing {
            spoken: self.spoken,
            facts: self.facts.to_string().into_bytes(),
            pages: self.pages,
            announced: Vec::new(),
        };
        Arc::new(UpstreamOffer::read(
            &Arc::new(self.remote),
            &listing,
            10_000,
        ))
    }
}

fn catalog(components: &[Arc<Component>], offers: &[Arc<UpstreamOffer>]) -> Catalog {
    let sources = Sources {
        components,
        offers,
        unlisted: &[],
        missing: &[],
        ..Sources::default()
    };
    Catalog::build_of(sources, 1, 500)
}

/// Whose a tool is, and what it is called there.
fn target(catalog: &Catalog, name: &str) -> Option<(String, String)> {
    let tool = catalog.tool(name)?;
    let known = match &tool.target {
        Target::Upstream { name, .. } | Target::Host { name, .. } => name.to_string(),
        Target::Function { component, index } => component.tools()[*index].name().to_owned(),
    };
    Some((tool.owner_name().to_owned(), known))
}

fn is_of(catalog: &Catalog, name: &str, owner: &str, known: &str) {
    let expected = Some((owner.to_owned(), known.to_owned()));
    assert_eq!(target(catalog, name), expected, "{name}");
}

#[test]
fn only_a_name_that_several_have_gets_the_upstream_s_in_front() {
    let runtime = runtime();
    let component = runtime
        .load("comp", &tools(&["echo", "own"]).build())
        .unwrap();
    let catalog = catalog(
        &[component],
        &[
            upstream("a", 0).tools(&["echo", "only-a", "both"]).offer(),
            upstream("b", 1).tools(&["both"]).offer(),
        ],
    );
    let expected = [
        "a__both",
        "a__echo",
        "b__both",
        "comp__echo",
        "only-a",
        "own",
    ];
    assert_eq!(catalog.names(), expected);
    assert_eq!(page_names(&catalog, Kind::Tools), expected);
    is_of(&catalog, "a__both", "a", "both");
    is_of(&catalog, "b__both", "b", "both");
    is_of(&catalog, "comp__echo", "comp", "echo");
    is_of(&catalog, "only-a", "a", "only-a");
}

#[test]
fn a_prefix_stands_always_or_never_if_the_operator_says_so() {
    let catalog = catalog(
        &[],
        &[
            upstream("a", 0)
                .prefix(Prefix::Always)
                .tools(&["echo"])
                .offer(),
            upstream("b", 1)
                .prefix(Prefix::Never)
                .tools(&["echo", "time"])
                .offer(),
            upstream("c", 2)
                .prefix(Prefix::Never)
                .tools(&["time", "last"])
                .offer(),
        ],
    );
    assert_eq!(catalog.names(), ["a__echo", "echo", "last", "time"]);
    is_of(&catalog, "echo", "b", "echo");
    is_of(&catalog, "time", "b", "time");
}

#[test]
fn what_is_not_offered_takes_no_name_from_others() {
    let rules = NameRules {
        allow: vec![Glob::new("get_*"), Glob::new("echo")],
        deny: vec![Glob::new("*_secret")],
        rename: BTreeMap::from([("get_old".to_owned(), "fetch".to_owned())]),
        ..NameRules::default()
    };
    let names = ["get_a", "get_secret", "get_old", "put_a", "echo"];
    let catalog = catalog(
        &[],
        &[
            upstream("a", 0).rules(rules).tools(&names).offer(),
            upstream("b", 1).tools(&["put_a", "get_old"]).offer(),
        ],
    );
    assert_eq!(
        catalog.names(),
        ["echo", "fetch", "get_a", "get_old", "put_a"]
    );
    is_of(&catalog, "fetch", "a", "get_old");
    is_of(&catalog, "put_a", "b", "put_a");
    assert_eq!(catalog.tool_entry("fetch")["name"], "fetch");
}

#[test]
fn a_name_that_is_like_another_s_with_its_prefix_makes_way() {
    let catalog = catalog(
        &[],
        &[
            upstream("a", 0).tools(&["x"]).offer(),
            upstream("b", 1).tools(&["x", "a__x"]).offer(),
        ],
    );
    assert_eq!(catalog.names(), ["a__x", "b__a__x", "b__x"]);
    is_of(&catalog, "a__x", "a", "x");
    is_of(&catalog, "b__a__x", "b", "a__x");
}

#[test]
fn prompts_are_named_as_tools_are() {
    let runtime = runtime();
    let component = Module::default().lists_prompts(&["greet"]);
    let component = runtime.load("comp", &component.build()).unwrap();
    let offers = [upstream("a", 0).prompts(&["greet", "ask"]).offer()];
    let catalog = catalog(&[component], &offers);
    assert_eq!(
        page_names(&catalog, Kind::Prompts),
        ["a__greet", "ask", "comp__greet"]
    );
    let prompt = catalog.prompt("a__greet").unwrap();
    assert_eq!((prompt.owner.name(), &*prompt.name), ("a", "greet"));
}

#[test]
fn of_an_address_that_several_have_the_first_counts() {
    let runtime = runtime();
    let component = Module::default().lists_resources(&["a:1"], &["b:{id}"]);
    let component = runtime.load("comp", &component.build()).unwrap();
    let template =
        json!([{"uriTemplate": "b:{id}", "name": "x"}, {"uriTemplate": "c:{id}", "name": "x"}]);
    let offers = [
        upstream("a", 0)
            .resources(&["a:1", "a:2"])
            .page(Kind::Templates, template)
            .offer(),
        upstream("b", 1).resources(&["a:2", "a:3"]).offer(),
    ];
    let catalog = catalog(&[component], &offers);
    assert_eq!(page_names(&catalog, Kind::Resources), ["a:1", "a:2", "a:3"]);
    let owner = |uri: &str| catalog.resource(uri).map(|owner| owner.name().to_owned());
    for (uri, expected) in [
        ("a:1", "comp"),
        ("a:2", "a"),
        ("a:3", "b"),
        ("b:7", "comp"),
        ("c:7", "a"),
    ] {
        assert_eq!(owner(uri).as_deref(), Some(expected), "{uri}");
    }
}

#[test]
fn an_upstream_completes_what_is_its_own_if_it_can() {
    let mut loud = upstream("loud", 0).prompts(&["greet"]);
    loud.facts = json!({"capabilities": {"completions": {}}});
    let silent = upstream("silent", 1).prompts(&["greet"]);
    let catalog = catalog(&[], &[loud.offer(), silent.offer()]);
    let of = |name: &str| catalog.completer(&CompletionRef::Prompt(name.into()));
    let Some(Completer::Upstream(remote, known)) = of("loud__greet") else {
        panic!("nobody completes it");
    };
    assert_eq!(remote.name(), "loud");
    assert_eq!(known, CompletionRef::Prompt("greet".into()));
    assert!(matches!(of("silent__greet"), Some(Completer::Nobody)));
    assert!(of("greet").is_none());
    assert!(catalog.offer().completions);
}

#[test]
fn capabilities_are_those_of_all_together() {
    let mut up = upstream("a", 0).resources(&["a:1"]);
    up.facts = json!({"capabilities": {"logging": {}, "prompts": {}}});
    let catalog = catalog(&[], &[up.offer()]);
    let capabilities: Value = serde_json::from_str(catalog.capabilities(Era::Legacy)).unwrap();
    assert_eq!(
        capabilities,
        json!({
            "tools": {"listChanged": true},
            "prompts": {"listChanged": true},
            "resources": {"subscribe": true, "listChanged": true},
            "logging": {},
        })
    );
    assert_eq!(page_names(&catalog, Kind::Prompts), [] as [String; 0]);
}

#[test]
fn lists_with_an_upstream_are_kept_no_longer_than_it_allows() {
    let modern = |ttl_ms: u64| {
        let mut up = upstream("a", 0);
        up.spoken = Spoken::Modern;
        let page = json!({"tools": [], "ttlMs": ttl_ms, "cacheScope": "public"});
        up.pages.push((Kind::Tools, page.to_string().into_bytes()));
        up.offer()
    };
    let hints = |offers: &[Arc<UpstreamOffer>]| catalog(&[], offers).hints(Kind::Tools);
    assert_eq!(
        hints(&[modern(700)]),
        CacheHints {
            ttl_ms: 700,
            scope: CacheScope::Public
        }
    );
    let legacy = upstream("b", 1).tools(&["x"]).offer();
    assert_eq!(hints(&[Arc::clone(&legacy)]), build::DEFAULT_HINTS);
    assert_eq!(hints(&[modern(700), legacy]), CacheHints::NONE);
}

#[test]
fn lists_are_refused_while_an_upstream_is_missed_that_must_not_be() {
    let (missing, other) = (
        upstream("a", 0).tools(&["x"]).offer(),
        upstream("b", 1).tools(&["y"]).prompts(&["p"]).offer(),
    );
    let remotes = [Arc::clone(&missing.remote)];
    let offers = [missing, other];
    let known = Sources {
        offers: &offers,
        missing: &remotes,
        ..Sources::default()
    };
    let known = Catalog::build_of(known, 1, 500);
    assert_eq!(known.refused(Kind::Tools), Some("a"));
    assert_eq!(known.refused(Kind::Prompts), None, "it has none");
    assert!(
        known.tool("x").is_some(),
        "a call says better what is wrong"
    );
    let unknown = Sources {
        offers: &offers[1..],
        missing: &remotes,
        ..Sources::default()
    };
    let unknown = Catalog::build_of(unknown, 1, 500);
    assert_eq!(unknown.refused(Kind::Prompts), Some("a"));
    assert_eq!(unknown.refused(Kind::Tasks), None);
    let whole = catalog(&[], &offers);
    assert_eq!(whole.refused(Kind::Tools), None);
    assert!(!whole.lists_the_same_of(Kind::Tools, &known));
    assert!(whole.lists_the_same_of(Kind::Prompts, &known));
}

#[test]
fn legacy_clients_are_told_of_tasks_and_modern_ones_are_not() {
    let tool = json!([{"name": "x", "inputSchema": {"type": "object"}, "execution": {"taskSupport": "optional"}}]);
    let mut up = upstream("a", 0).page(Kind::Tools, tool);
    up.facts = json!({"capabilities": {"tasks": {"requests": {"tools": {"call": {}}}}}});
    let catalog = catalog(&[], &[up.offer()]);
    let text = |era| {
        let page = catalog.page_in(era, Kind::Tools, None).unwrap();
        String::from_utf8(page.json.into_owned()).unwrap()
    };
    assert!(!text(Era::Modern).contains("execution"));
    assert!(text(Era::Legacy).contains(r#""execution":{"taskSupport":"optional"}"#));
    assert_eq!(
        catalog.tool("x").unwrap().task_support,
        crate::component::TaskSupport::Optional
    );
    assert!(catalog.offer().tasks && !catalog.offer().task_list);
}
