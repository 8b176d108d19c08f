//! Header and body disagree: whoever decides by the one and acts by the other is deceived. Neither is served.

use serde_json::json;

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
