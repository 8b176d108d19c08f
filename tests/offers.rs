//! Resources, prompts, suggestions, pages of lists, and arguments that are repeated in headers.

use serde_json::{Value, json};

use crate::harness::sse::Session;
use crate::harness::{Appliance, everything, modern, scratch};

fn appliance() -> Appliance {
    Appliance::with(&[everything().to_str().unwrap()], "")
}

/// The same request in each era; both results, the modern one first.
fn both(appliance: &Appliance, method: &str, params: &Value) -> [Value; 2] {
    let (body, headers) = modern(1, method, params.clone());
    let session = Session::open(appliance, "2025-11-25");
    [
        appliance.connect().post(&body, &headers).json(),
        session.send(1, method, params.clone()).answer().json(),
    ]
}

#[test]
fn what_a_component_lists_is_listed_in_both_eras() {
    let appliance = appliance();
    for (method, key, name) in [
        (
            "resources/list",
            "resources",
            json!({"uri": "a:b", "name": "R"}),
        ),
        ("prompts/list", "prompts", json!({"name": "p"})),
    ] {
        let [modern, legacy] = both(&appliance, method, &json!({}));
        for answer in [&modern, &legacy] {
            let entries = answer["result"][key].as_array().unwrap();
            assert_eq!(entries.len(), 1, "{answer}");
            for (member, value) in name.as_object().unwrap() {
                assert_eq!(&entries[0][member], value);
            }
        }
        assert_eq!(modern["result"]["resultType"], "complete");
        assert!(modern["result"]["ttlMs"].is_u64(), "{modern}");
        assert!(legacy["result"].get("ttlMs").is_none(), "{legacy}");
    }
    let [modern, legacy] = both(&appliance, "resources/templates/list", &json!({}));
    for answer in [modern, legacy] {
        assert_eq!(answer["result"]["resourceTemplates"], json!([]));
    }
}

#[test]
fn a_resource_is_read_and_one_that_is_not_there_has_each_eras_own_code() {
    let appliance = appliance();
    let [modern, legacy] = both(&appliance, "resources/read", &json!({"uri": "a:b"}));
    for answer in [&modern, &legacy] {
        assert_eq!(
            answer["result"]["contents"],
            json!([{"uri": "a:b", "text": "held"}])
        );
    }
    assert!(modern["result"]["ttlMs"].is_u64() && modern["result"]["cacheScope"].is_string());
    let [modern, legacy] = both(&appliance, "resources/read", &json!({"uri": "no:where"}));
    assert_eq!(modern["error"]["code"], -32602);
    assert_eq!(modern["error"]["data"]["uri"], "no:where");
    assert_eq!(legacy["error"]["code"], -32002);
}

#[test]
fn a_prompt_is_made_and_arguments_are_suggested() {
    let appliance = appliance();
    for answer in both(&appliance, "prompts/get", &json!({"name": "p"})) {
        let message = &answer["result"]["messages"][0];
        assert_eq!(
            *message,
            json!({"role": "user", "content": {"type": "text", "text": "prompted"}})
        );
    }
    for answer in both(&appliance, "prompts/get", &json!({"name": "q"})) {
        assert_eq!(answer["error"]["code"], -32602);
    }
    let params = json!({"ref": {"type": "ref/prompt", "name": "p"}, "argument": {"name": "a", "value": "o"}});
    for answer in both(&appliance, "completion/complete", &params) {
        assert_eq!(
            answer["result"]["completion"]["values"],
            json!(["one", "two"])
        );
    }
    let params =
        json!({"ref": {"type": "ref/prompt", "name": "q"}, "argument": {"name": "a", "value": ""}});
    for answer in both(&appliance, "completion/complete", &params) {
        assert_eq!(answer["error"]["code"], -32602);
    }
}

#[test]
fn what_is_declared_is_served_and_what_is_not_is_not() {
    let full = appliance();
    let capabilities = |appliance: &Appliance| {
        let discovered = appliance.connect().modern("server/discover", json!({}));
        discovered.json()["result"]["capabilities"].clone()
    };
    let declared = capabilities(&full);
    assert_eq!(
        declared["resources"],
        json!({"subscribe": true, "listChanged": true})
    );
    assert_eq!(declared["prompts"], json!({"listChanged": true}));
    assert!(declared["completions"].is_object());
    let plain = Appliance::start();
    assert_eq!(
        capabilities(&plain),
        json!({"tools": {"listChanged": true}})
    );
    for method in ["resources/list", "resources/templates/list", "prompts/list"] {
        let [modern, legacy] = both(&plain, method, &json!({}));
        assert_eq!(modern["error"]["code"], -32601, "{method}");
        assert_eq!(legacy["error"]["code"], -32601, "{method}");
    }
}

#[test]
fn a_long_list_comes_in_pages_and_a_cursor_is_good_for_its_own_list() {
    let appliance = Appliance::with(
        &[everything().to_str().unwrap()],
        "limits:\n  list_page_max: 4\n",
    );
    let mut names = Vec::new();
    let mut params = json!({});
    let mut pages = 0;
    loop {
        let [modern, legacy] = both(&appliance, "tools/list", &params);
        assert_eq!(modern["result"]["tools"], legacy["result"]["tools"]);
        assert_eq!(
            modern["result"]["nextCursor"],
            legacy["result"]["nextCursor"]
        );
        let tools = modern["result"]["tools"].as_array().unwrap().clone();
        assert!(tools.len() <= 4);
        names.extend(
            tools
                .iter()
                .map(|tool| tool["name"].as_str().unwrap().to_owned()),
        );
        pages += 1;
        match &modern["result"]["nextCursor"] {
            Value::Null => break,
            cursor => params = json!({ "cursor": cursor }),
        }
    }
    assert_eq!((names.len(), pages), (7, 2));
    assert!(names.is_sorted());
    let [modern, _] = both(&appliance, "tools/list", &json!({}));
    let cursor = modern["result"]["nextCursor"].clone();
    for wrong in [cursor, json!(""), json!("nonsense")] {
        for answer in both(&appliance, "prompts/list", &json!({ "cursor": wrong })) {
            assert_eq!(answer["error"]["code"], -32602);
        }
    }
}

#[test]
fn an_argument_that_is_repeated_in_a_header_has_to_agree() {
    let appliance = appliance();
    let call = |region: &str, header: Option<&str>| {
        let params = json!({"name": "header", "arguments": {"region": region}});
        let (body, mut headers) = modern(1, "tools/call", params);
        if let Some(value) = header {
            headers += &format!("Mcp-Param-Region: {value}\r\n");
        }
        let answer = appliance.connect().post(&body, &headers);
        (answer.status, answer.json()["error"]["code"].clone())
    };
    assert_eq!(call("Hello", Some("Hello")), (200, Value::Null));
    assert_eq!(
        call("Hello", Some("=?base64?SGVsbG8=?=")),
        (200, Value::Null)
    );
    for wrong in [None, Some("hello"), Some("=?base64?SGVsbG8?=")] {
        assert_eq!(call("Hello", wrong), (400, json!(-32020)), "{wrong:?}");
    }
    let session = Session::open(&appliance, "2025-11-25");
    let mut client = session.call(1, "header");
    assert_eq!(
        client.answer().status,
        200,
        "only the modern era has these headers"
    );
}

#[test]
fn each_method_has_its_line_in_the_access_log() {
    let log = scratch("access").join("access.jsonl");
    let arguments = [
        everything().to_string_lossy().into_owned(),
        "--access-log".to_owned(),
        log.to_string_lossy().into_owned(),
    ];
    let mut appliance = Appliance::with(&arguments.each_ref().map(String::as_str), "");
    both(&appliance, "resources/read", &json!({"uri": "a:b"}));
    both(&appliance, "prompts/get", &json!({"name": "p"}));
    both(&appliance, "resources/list", &json!({}));
    let session = Session::open(&appliance, "2025-11-25");
    session.call(1, "say").read_exchange();
    appliance.signal("TERM");
    assert_eq!(appliance.wait(), Some(0));
    let text = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let count = |method: &str, key: &str, target: Value| {
        let is_it = |line: &&Value| line["method"] == method && line[key] == target;
        lines.iter().filter(is_it).count()
    };
    assert_eq!(count("resources/read", "target", json!("a:b")), 2, "{text}");
    assert_eq!(count("prompts/get", "target", json!("p")), 2, "{text}");
    assert_eq!(count("resources/list", "target", Value::Null), 2, "{text}");
    assert_eq!(count("tools/call", "tool", json!("say")), 1, "{text}");
    assert!(
        lines
            .iter()
            .all(|line| line["status"].is_u64() && line["outcome"].is_string())
    );
}
