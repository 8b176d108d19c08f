//! MCP 2026-07-28 over HTTP.

use serde_json::json;

use crate::harness::{Appliance, modern, request};

#[test]
fn discover_says_what_there_is() {
    let appliance = Appliance::start();
    let result = appliance
        .connect()
        .modern("server/discover", json!({}))
        .json()["result"]
        .clone();
    assert_eq!(result["resultType"], "complete");
    assert!(
        result["supportedVersions"]
            .as_array()
            .unwrap()
            .contains(&json!("2026-07-28"))
    );
    assert_eq!(result["capabilities"]["tools"]["listChanged"], true);
    assert!(result["ttlMs"].is_u64() && result["cacheScope"].is_string());
}

#[test]
fn tools_are_listed_and_called() {
    let appliance = Appliance::start();
    let mut client = appliance.connect();
    let result = client.modern("tools/list", json!({})).json()["result"].clone();
    let tools = result["tools"].as_array().unwrap();
    let names: Vec<&str> = tools
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    assert!(
        names.contains(&"echo") && names.contains(&"time") && names.len() >= 3,
        "{names:?}"
    );
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(names, sorted, "the order is the same each time");
    for text in [
        "",
        "hello",
        "ünï \u{1F43E} \"quoted\" \\ \n\t",
        &"long ".repeat(50_000),
    ] {
        let result = client.call("echo", json!({"text": text}));
        assert_eq!(result["structuredContent"]["result"], text);
        assert_eq!(result["content"][0], json!({"type": "text", "text": text}));
        assert_ne!(result["isError"], true);
    }
    assert_ne!(client.call("time", json!({}))["isError"], true);
}

#[test]
fn an_id_comes_back_as_it_was() {
    let appliance = Appliance::start();
    let mut client = appliance.connect();
    let (body, headers) = modern(7, "tools/list", json!({}));
    for id in [
        "0",
        "-1",
        "1795428102880",
        "123456789012345678901234567890",
        "\"\"",
        "\"a\\u0062\\\"c\"",
        "\"é\"",
    ] {
        let body = body.replace("\"id\":7", &format!("\"id\":{id}"));
        let answer = client.post(&body, &headers);
        let text = String::from_utf8(answer.body).unwrap();
        assert!(
            text.contains(&format!("\"id\":{id},")),
            "{id}: {}",
            &text[..100]
        );
    }
    for id in ["null", "1.5", "true", "[]", "{}", "1e2"] {
        let body = body.replace("\"id\":7", &format!("\"id\":{id}"));
        let answer = client.post(&body, &headers);
        assert_eq!(answer.status, 400, "{id}");
        assert_eq!(answer.json()["error"]["code"], -32600, "{id}");
    }
}

#[test]
fn header_and_body_must_agree() {
    let appliance = Appliance::start();
    let mut client = appliance.connect();
    let (body, headers) = modern(
        1,
        "tools/call",
        json!({"name": "echo", "arguments": {"text": "x"}}),
    );
    assert_eq!(client.post(&body, &headers).status, 200);
    let cases = [
        headers.replace("Mcp-Name: echo", "Mcp-Name: time"),
        headers.replace("Mcp-Name: echo\r\n", ""),
        headers.replace("Mcp-Method: tools/call", "Mcp-Method: TOOLS/CALL"),
        headers.replace("Mcp-Method: tools/call\r\n", ""),
        headers.replace("2026-07-28", "2025-11-25"),
        headers.replace("Mcp-Name: echo", "Mcp-Name: =?base64?SGVsbG8?="),
    ];
    for headers in cases {
        let answer = client.post(&body, &headers);
        assert_eq!(
            (answer.status, &answer.json()["error"]["code"]),
            (400, &json!(-32020)),
            "{headers}"
        );
    }
    let encoded = headers.replace("Mcp-Name: echo", "mcp-name:  =?base64?ZWNobw==?=  ");
    assert_eq!(client.post(&body, &encoded).status, 200);
    // Two readers could each take another `name`: neither is served.
    let doubled = body.replace("\"name\":\"echo\"", "\"name\":\"echo\",\"name\":\"time\"");
    assert_eq!(client.post(&doubled, &headers).status, 400);
}

#[test]
fn what_is_not_served_says_so() {
    let appliance = Appliance::start();
    let mut client = appliance.connect();
    for method in [
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "no/such",
    ] {
        let answer = client.modern(method, json!({}));
        assert_eq!(
            (answer.status, &answer.json()["error"]["code"]),
            (404, &json!(-32601)),
            "{method}"
        );
    }
    let answer = client.modern(
        "tools/call",
        json!({"name": "no-such-tool", "arguments": {}}),
    );
    assert_eq!(answer.json()["error"]["code"], -32602);
    let answer = client.modern("tools/list", json!({"cursor": "nonsense"}));
    assert_eq!(answer.json()["error"]["code"], -32602);
    let (body, headers) = modern(1, "tools/list", json!({}));
    let unknown = |text: &str| text.replace("2026-07-28", "v999.0.0");
    let answer = client.post(&unknown(&body), &unknown(&headers));
    assert_eq!(
        (answer.status, &answer.json()["error"]["code"]),
        (400, &json!(-32022))
    );
    assert!(answer.json()["error"]["data"]["supported"].is_array());
    for wrong in [
        "{",
        "[]",
        "1",
        "\u{feff}{}",
        "{\"jsonrpc\":\"2.0\",\"id\":1}",
    ] {
        assert_eq!(client.post(wrong, "").status, 400, "{wrong}");
    }
    client.send("GET /mcp HTTP/1.1\r\nHost: localhost\r\nMCP-Protocol-Version: 2026-07-28\r\n\r\n");
    assert_eq!(client.answer().status, 405);
}

#[test]
fn bad_arguments_are_a_tool_error_that_names_the_place() {
    let appliance = Appliance::start();
    let mut client = appliance.connect();
    for (arguments, needle) in [
        (json!({}), "text"),
        (json!({"text": 1}), "/text"),
        (json!({"text": "", "txet": 1}), "txet"),
    ] {
        let result = client.call("echo", arguments.clone());
        assert_eq!(result["isError"], true, "{arguments}");
        let text = result["content"][0]["text"].as_str().unwrap();
        assert!(text.contains(needle), "{arguments}: {text}");
    }
}

#[test]
fn a_listener_is_acknowledged_and_its_stream_ends_with_a_drain() {
    let mut appliance = Appliance::start();
    let mut client = appliance.connect();
    let (body, headers) = modern(
        42,
        "subscriptions/listen",
        json!({"notifications": {"toolsListChanged": true}}),
    );
    client.send(request(&body, &headers));
    let head = client.head();
    assert!(head.contains("text/event-stream"), "{head}");
    let first = client.event();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(
        first["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"],
        42
    );
    appliance.signal("TERM");
    let last = client.event();
    assert_eq!(
        (&last["id"], &last["result"]["resultType"]),
        (&json!(42), &json!("complete"))
    );
    assert_eq!(appliance.wait(), Some(0));
}
