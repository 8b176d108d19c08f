//! Header and body disagree: whoever decides by the one and acts by the other is deceived. Neither is served.

use serde_json::json;

use crate::harness::upstream::Script;
use crate::harness::{Appliance, modern};

#[test]
fn what_headers_say_is_what_the_body_says_or_nothing_is_done() {
    let appliance = Appliance::start();
    let params = json!({"name": "echo", "arguments": {"text": "x"}});
    let (body, headers) = modern(1, "tools/call", params);
    let mut client = appliance.connect();
    assert_eq!(client.post(&body, &headers).status, 200);
    let name = "Mcp-Name: echo\r\n";
    let method = "Mcp-Method: tools/call\r\n";
    let version = "MCP-Protocol-Version: 2026-07-28\r\n";
    let cases = [
        (name, ""),
        (name, "Mcp-Name: time\r\n"),
        (name, "Mcp-Name: ECHO\r\n"),
        (name, "Mcp-Name: echo, time\r\n"),
        (name, "Mcp-Name: =?base64?dGltZQ==?=\r\n"),
        (name, "Mcp-Name: =?base64?ZWNobw=?=\r\n"),
        (name, "Mcp-Name: =?base64?ZWNobw==\r\n"),
        (name, "Mcp-Name: \"echo\"\r\n"),
        (name, "Mcp-Name: \r\n"),
        (method, ""),
        (method, "Mcp-Method: tools/list\r\n"),
        (method, "Mcp-Method: Tools/Call\r\n"),
        (version, "MCP-Protocol-Version: 2025-11-25\r\n"),
        (version, ""),
    ];
    for (right, wrong) in cases {
        assert!(headers.contains(right), "{right}");
        let answer = client.post(&body, &headers.replace(right, wrong));
        let code = answer.json()["error"]["code"].clone();
        assert_eq!((answer.status, code), (400, json!(-32020)), "{wrong:?}");
    }
}

#[test]
fn a_header_that_stands_twice_is_refused_however_it_is_spelt() {
    let appliance = Appliance::start();
    let params = json!({"name": "echo", "arguments": {"text": "x"}});
    let (body, headers) = modern(1, "tools/call", params);
    for line in [
        "Mcp-Name: echo\r\n",
        "mcp-name: time\r\n",
        "MCP-METHOD: tools/call\r\n",
        "Mcp-Protocol-Version: 2026-07-28\r\n",
        "Host: localhost\r\n",
        "Content-Type: application/json\r\n",
        "Content-Length: 1\r\n",
        "Transfer-Encoding: chunked\r\n",
    ] {
        // Framing that is in doubt ends the connection: each case has its own.
        let answer = appliance.connect().post(&body, &format!("{headers}{line}"));
        assert_eq!(answer.status, 400, "{line}");
    }
}

#[test]
fn a_member_that_stands_twice_is_refused_at_every_place_that_is_decided_by() {
    let appliance = Appliance::start();
    let params = json!({"name": "echo", "arguments": {"text": "x"}});
    let (body, headers) = modern(1, "tools/call", params);
    let mut client = appliance.connect();
    for (once, twice) in [
        ("\"name\":\"echo\"", "\"name\":\"echo\",\"name\":\"time\""),
        (
            "\"name\":\"echo\"",
            "\"name\":\"echo\",\"n\\u0061me\":\"time\"",
        ),
        ("\"method\":", "\"method\":\"tools/list\",\"method\":"),
        ("\"params\":", "\"params\":{},\"params\":"),
        ("\"arguments\":", "\"arguments\":{},\"arguments\":"),
        ("\"id\":1", "\"id\":1,\"id\":2"),
    ] {
        assert!(body.contains(once), "{once} in {body}");
        let answer = client.post(&body.replacen(once, twice, 1), &headers);
        assert_eq!(answer.status, 400, "{twice}");
    }
}

/// Rules decide about what the body says, and what the body says is what is done.
#[test]
fn a_header_talks_no_rule_into_or_out_of_anything() {
    let config = "default_rule: allow\nrules: [{name: no-clock, deny: true, tools: [time]}]\n";
    let appliance = Appliance::with(&[], config);
    let send = |name: &str, header: &str| {
        let params = json!({"name": name, "arguments": {"text": "x"}});
        let (body, headers) = modern(1, "tools/call", params);
        let right = format!("Mcp-Name: {name}\r\n");
        assert!(headers.contains(&right), "{headers}");
        let answer = appliance
            .connect()
            .post(&body, &headers.replace(&right, header));
        (answer.status, answer.json()["error"]["code"].clone())
    };
    assert_eq!(send("echo", "Mcp-Name: echo\r\n").0, 200);
    assert_eq!(send("time", "Mcp-Name: time\r\n").0, 403);
    for header in [
        "Mcp-Name: echo\r\n",
        "Mcp-Name: echo\r\nMcp-Name: time\r\n",
        "",
    ] {
        let (status, _) = send("time", header);
        assert_eq!(status, 400, "{header:?}");
    }
    assert_eq!(send("echo", "Mcp-Name: time\r\n"), (400, json!(-32020)));
}

/// A server in Go reads `Name` as `name`, and takes the last of both.
#[test]
fn a_parameter_in_other_letters_reaches_no_upstream() {
    let upstream = Script::modern("docs").with_tools(&["who", "repeat"]).http();
    let config = format!(
        "upstreams: {{docs: {{url: \"{}\", prefix: never}}}}\ndefault_rule: allow\nrules: [{{name: nobody, deny: true, tools: [repeat]}}]\n",
        upstream.url()
    );
    let appliance = Appliance::with(&[], &config);
    appliance.eventually("its tools are offered", || {
        let answer = appliance.connect().modern("tools/list", json!({})).json();
        answer.to_string().contains("\"who\"")
    });
    let (body, headers) = modern(1, "tools/call", json!({"name": "who", "arguments": {}}));
    for smuggled in [
        "\"Name\":\"repeat\",",
        "\"NAME\":\"repeat\",",
        "\"\\u004eame\":\"repeat\",",
        "\"Arguments\":{},",
        "\"argument\u{17f}\":{},",
    ] {
        let body = body.replacen("\"params\":{", &format!("\"params\":{{{smuggled}"), 1);
        assert!(body.contains(smuggled), "{body}");
        let answer = appliance.connect().post(&body, &headers);
        assert_eq!(answer.status, 400, "{smuggled}");
    }
    assert_eq!(appliance.connect().post(&body, &headers).status, 200);
    assert_eq!(
        upstream.messages("tools/call").len(),
        1,
        "the one that is plain"
    );
}

/// `42` and `42.0` are one number (2026-07-28, "Server Validation"), and nothing else is.
#[test]
fn an_argument_repeated_in_a_header_is_compared_by_its_value_and_may_not_be_missing() {
    let guest = crate::harness::everything();
    let appliance = Appliance::with(&[guest.to_str().unwrap()], "");
    let call = |region: serde_json::Value, lines: &str| {
        let params = json!({"name": "header", "arguments": {"region": region}});
        let (body, headers) = modern(1, "tools/call", params);
        appliance
            .connect()
            .post(&body, &format!("{headers}{lines}"))
            .status
    };
    assert_eq!(call(json!("eu"), "Mcp-Param-Region: eu\r\n"), 200);
    for lines in [
        "",
        "Mcp-Param-Region: EU\r\n",
        "Mcp-Param-Region: us\r\n",
        "Mcp-Param-Region: eu\r\nMcp-Param-Region: us\r\n",
        "Mcp-Param-Region: eu\r\nmcp-param-region: eu\r\n",
        "Mcp-Param-Region: eu, us\r\n",
        "Mcp-Param-Region: =?base64?dXM=?=\r\n",
    ] {
        assert_eq!(call(json!("eu"), lines), 400, "{lines:?}");
    }
}
