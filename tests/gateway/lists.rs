//! One catalogue of components and upstreams.

use serde_json::{Value, json};

use super::{Front, Talker, listed, offered};
use crate::harness::upstream::{Mode, Script};
use crate::harness::{Appliance, everything};

fn names(appliance: &Appliance, part: &str) -> Vec<String> {
    let mut names = offered(appliance);
    names.retain(|name| name.contains(part));
    names
}

#[test]
fn components_and_upstreams_share_one_catalogue_in_order_of_name() {
    let (one, two) = (
        Script::legacy("one")
            .with_tools(&["repeat", "who"])
            .with_all_kinds()
            .http(),
        Script::modern("two")
            .with_tools(&["who", "meta"])
            .with_all_kinds()
            .child(),
    );
    let component = everything();
    let front = Front::default()
        .http("one", &one, "era: auto")
        .stdio("two", &two, "era: auto");
    let appliance = front
        .with(&[component.to_str().unwrap()])
        .start(&["repeat", "meta", "say"]);
    let offered = offered(&appliance);
    for name in ["ask", "say", "repeat", "meta", "one__who", "two__who"] {
        assert_eq!(
            offered.iter().filter(|other| *other == name).count(),
            1,
            "{name} in {offered:?}"
        );
    }
    assert!(!offered.contains(&"who".to_owned()), "{offered:?}");
    assert!(offered.is_sorted(), "{offered:?}");
    for talker in Talker::both(&appliance) {
        assert_eq!(talker.text("one__who", json!({})), "one");
        assert_eq!(talker.text("two__who", json!({})), "two");
        assert_eq!(talker.text("repeat", json!({"text": "Grüße"})), "Grüße");
        assert_eq!(talker.text("header", json!({})), "{}");
    }
    let uris: Vec<Value> = listed(&appliance, "resources/list", "resources")
        .iter()
        .map(|resource| resource["uri"].clone())
        .collect();
    for uri in ["a:b", "one:held", "two:held"] {
        assert!(uris.contains(&json!(uri)), "{uri} in {uris:?}");
    }
    let templates = listed(&appliance, "resources/templates/list", "resourceTemplates");
    assert_eq!(templates.len(), 2, "{templates:?}");
    let prompts: Vec<Value> = listed(&appliance, "prompts/list", "prompts")
        .iter()
        .map(|prompt| prompt["name"].clone())
        .collect();
    for name in ["p", "one__greet", "two__greet"] {
        assert!(prompts.contains(&json!(name)), "{name} in {prompts:?}");
    }
}

#[test]
fn resources_prompts_and_completions_go_to_whose_they_are() {
    let one = Script::legacy("one")
        .with_tools(&["who"])
        .with_all_kinds()
        .http();
    let two = Script::modern("two")
        .with_tools(&["who"])
        .with_all_kinds()
        .http();
    let front =
        Front::default()
            .http("one", &one, "prefix: always")
            .http("two", &two, "prefix: always");
    let appliance = front.start(&["one__who", "two__who"]);
    for talker in Talker::both(&appliance) {
        for name in ["one", "two"] {
            let read = |uri: String| {
                let params = json!({"uri": uri});
                talker.exchange("1", "resources/read", params).messages()[0].clone()
            };
            let held = read(format!("{name}:held"));
            assert_eq!(
                held["result"]["contents"][0]["text"], "text of held",
                "{held}"
            );
            let numbered = read(format!("{name}:numbered/7"));
            assert_eq!(
                numbered["result"]["contents"][0]["text"], "text of numbered/7",
                "{numbered}"
            );
            let params = json!({"name": format!("{name}__greet"), "arguments": {"whom": "you"}});
            let prompt = talker.exchange("2", "prompts/get", params).messages()[0].clone();
            let text = &prompt["result"]["messages"][0]["content"]["text"];
            assert_eq!(*text, format!("\"greet\" of {name}"), "{prompt}");
            let reference = json!({"type": "ref/prompt", "name": format!("{name}__greet")});
            let params = json!({"ref": reference, "argument": {"name": "whom", "value": ""}});
            let completion = talker
                .exchange("3", "completion/complete", params)
                .messages()[0]
                .clone();
            assert_eq!(
                completion["result"]["completion"]["values"],
                json!([name]),
                "{completion}"
            );
            let is_modern = talker.session.is_none();
            assert_eq!(
                held["result"]["resultType"] == "complete",
                is_modern,
                "{held}"
            );
            assert_eq!(held["result"]["ttlMs"].is_u64(), is_modern, "{held}");
        }
        let unknown = talker.exchange("4", "resources/read", json!({"uri": "one:nothing"}));
        let code = if talker.session.is_some() {
            -32002
        } else {
            -32602
        };
        assert_eq!(
            unknown.messages()[0]["error"]["code"],
            code,
            "{}",
            talker.era()
        );
    }
}

#[test]
fn a_prefix_stands_always_never_or_where_two_would_be_the_same() {
    let script = |name: &str| Script::legacy(name).with_tools(&["who", "repeat"]);
    let (a, b, c) = (script("a").http(), script("b").http(), script("c").http());
    let never = Front::default()
        .http("a", &a, "prefix: never")
        .http("b", &b, "prefix: never");
    let appliance = never.start(&["who"]);
    assert_eq!(names(&appliance, "who"), ["who"]);
    assert_eq!(
        Talker::legacy(&appliance).text("who", json!({})),
        "a",
        "the first in order of name"
    );
    let always = Front::default()
        .http("c", &c, "prefix: always")
        .start(&["c__who"]);
    assert_eq!(names(&always, "who"), ["c__who"]);
    let auto = Front::default()
        .http("c", &c, "prefix: auto")
        .start(&["who"]);
    assert_eq!(names(&auto, "who"), ["who"]);
}

#[test]
fn what_is_denied_or_not_allowed_can_neither_be_seen_nor_called() {
    let upstream = Script::legacy("up").http();
    let keys = r#"prefix: always, allow: ["r*", who, fail], deny: ["roots", "*ai*"], rename: {who: "the.name"}"#;
    let appliance = Front::default()
        .http("up", &upstream, keys)
        .start(&["the.name", "up__repeat"]);
    let mut seen = names(&appliance, "up__");
    seen.extend(names(&appliance, "the.name"));
    assert_eq!(seen, ["up__raw", "up__repeat", "the.name"]);
    for talker in Talker::both(&appliance) {
        assert_eq!(talker.text("the.name", json!({})), "up");
        for hidden in ["up__roots", "up__fail", "up__hang", "up__who", "who"] {
            assert_eq!(
                talker.call(hidden, json!({}))["error"]["code"],
                -32602,
                "{hidden}"
            );
        }
    }
    let called = upstream.messages("tools/call");
    assert!(
        called.iter().all(|call| call["params"]["name"] == "who"),
        "{called:?}"
    );
}

#[test]
fn lists_in_pages_are_fetched_whole_and_served_in_pages_of_ours() {
    let tools: Vec<String> = (0..95).map(|number| format!("tool-{number:02}")).collect();
    let tools: Vec<&str> = tools.iter().map(String::as_str).collect();
    let one = Script::legacy("one")
        .with_tools(&tools)
        .with_page(10)
        .http();
    let two = Script::modern("two")
        .with_tools(&tools)
        .with_page(7)
        .child();
    let front =
        Front::default()
            .http("one", &one, "prefix: always")
            .stdio("two", &two, "prefix: always");
    let appliance = front
        .configured("limits: {list_page_max: 20}\n")
        .start(&["one__tool-94", "two__tool-94"]);
    let mut offered = offered(&appliance);
    offered.retain(|name| name.contains("__tool-"));
    assert_eq!(offered.len(), 190);
    assert!(offered.is_sorted());
    let first = appliance.connect().modern("tools/list", json!({})).json();
    assert_eq!(first["result"]["tools"].as_array().unwrap().len(), 20);
    assert!(
        first["result"]["ttlMs"].is_u64() && first["result"]["cacheScope"].is_string(),
        "{first}"
    );
}

#[test]
fn a_dead_upstream_is_left_out_while_the_rest_is_served() {
    let alive = Script::legacy("alive").with_tools(&["who"]).http();
    let dead = Script::legacy("dead").with_tools(&["repeat"]).http();
    let front = Front::default()
        .http("alive", &alive, "prefix: always")
        .http("dead", &dead, "prefix: always, fail: open, health: {interval: 100ms, timeout: 500ms, fall: 2, rise: 1}");
    let appliance = front.start(&["alive__who", "dead__repeat"]);
    let (script, port) = dead.stop();
    appliance.eventually("its tools are offered no longer", || {
        names(&appliance, "dead__").is_empty()
    });
    for talker in Talker::both(&appliance) {
        assert_eq!(talker.text("alive__who", json!({})), "alive");
    }
    let back = crate::harness::upstream::HttpUpstream::at(script, port);
    appliance.eventually("they are offered again", || {
        !names(&appliance, "dead__").is_empty()
    });
    for talker in Talker::both(&appliance) {
        assert_eq!(talker.text("dead__repeat", json!({"text": "back"})), "back");
    }
    drop(back);
}

#[test]
fn a_dead_upstream_that_must_not_be_missing_fails_the_lists_and_says_which_it_is() {
    let alive = Script::legacy("alive").with_tools(&["who"]).http();
    let dead = Script::legacy("needed").with_tools(&["repeat"]).http();
    let front = Front::default()
        .http("alive", &alive, "prefix: always")
        .http("needed", &dead, "prefix: always, fail: closed, health: {interval: 100ms, timeout: 500ms, fall: 2, rise: 1}");
    let appliance = front.start(&["alive__who", "needed__repeat"]);
    dead.set(Mode::Status(503));
    let list = || {
        Talker::legacy(&appliance)
            .exchange("1", "tools/list", json!({}))
            .messages()[0]
            .clone()
    };
    appliance.eventually("the list fails", || !list()["error"].is_null());
    let message = list()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("needed"), "{message}");
    for talker in Talker::both(&appliance) {
        assert_eq!(
            talker.text("alive__who", json!({})),
            "alive",
            "calls are not lists"
        );
    }
    dead.set(Mode::Good);
    appliance.eventually("the list is back", || list()["error"].is_null());
}

#[test]
fn tools_that_need_a_client_that_can_be_asked_are_offered() {
    let scripts = [
        Script::legacy("up"),
        Script::modern("up"),
        Script::old("up"),
    ];
    let http = scripts
        .clone()
        .map(|script| script.with_conditions().http());
    let children =
        [&scripts[0], &scripts[1]].map(|script| script.clone().with_conditions().child());
    let mut front = Front::default();
    for (name, upstream) in ["a", "b", "c"].into_iter().zip(&http) {
        front = front.http(name, upstream, "prefix: always");
    }
    for (name, child) in ["d", "e"].into_iter().zip(&children) {
        front = front.stdio(name, child, "prefix: always");
    }
    let appliance = front.start(&["a__who", "b__who", "c__who", "d__who", "e__who"]);
    for tool in ["ask", "sample", "roots"] {
        assert_eq!(
            names(&appliance, &format!("__{tool}")).len(),
            5,
            "{:?}",
            offered(&appliance)
        );
    }
}

/// The list of tools changes, or only is said to, and whoever listens is told.
fn changes(appliance: &Appliance) {
    appliance.eventually("it is offered", || {
        names(appliance, "up__change").len() == 1
    });
    let talker = Talker::legacy(appliance);
    let mut stream = talker.session().stream(None);
    let params = json!({"notifications": {"toolsListChanged": true}});
    let mut listener = Talker::modern(appliance).send("\"a\"", "subscriptions/listen", params);
    listener.head();
    assert_eq!(
        listener.event()["method"],
        "notifications/subscriptions/acknowledged"
    );
    // The third time nothing is different, but who says so may mean what no list shows.
    for has in [true, false, false] {
        assert_eq!(talker.text("up__change", json!({"has": has})), "changed");
        appliance.eventually("the list follows", || {
            names(appliance, "up__extra").len() == usize::from(has)
        });
        assert_eq!(stream.event()["method"], "notifications/tools/list_changed");
        let told = listener.event();
        assert_eq!(told["method"], "notifications/tools/list_changed");
        let subscription = &told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"];
        assert_eq!(*subscription, "a", "{told}");
    }
}

#[test]
fn what_an_upstream_over_http_offers_anew_is_offered_and_told() {
    for script in [Script::legacy("up"), Script::modern("up")] {
        let upstream = script.http();
        changes(
            &Front::default()
                .http("up", &upstream, "prefix: always")
                .start(&["up__who"]),
        );
    }
}

#[test]
fn what_a_child_offers_anew_is_offered_and_told() {
    for script in [Script::legacy("up"), Script::modern("up")] {
        let child = script.child();
        changes(
            &Front::default()
                .stdio("up", &child, "prefix: always")
                .start(&["up__who"]),
        );
    }
}
