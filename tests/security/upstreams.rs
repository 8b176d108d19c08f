//! What comes over the wire names no program, no address and no header of an upstream.

use serde_json::{Value, json};

use crate::harness::upstream::Script;
use crate::harness::{Appliance, modern};

fn front(upstream: &crate::harness::upstream::HttpUpstream) -> Appliance {
    let config = format!(
        "upstreams:\n  docs: {{url: \"{}\", prefix: never}}\n",
        upstream.url()
    );
    let appliance = Appliance::with(&[], &config);
    appliance.eventually("its tools are offered", || {
        let answer = appliance.connect().modern("tools/list", json!({})).json();
        answer.to_string().contains("\"repeat\"")
    });
    appliance
}

/// Headers that gateways and proxies use among themselves, and those that carry a caller's own credentials.
const PRIVILEGED: [&str; 16] = [
    "Authorization: Bearer canary-5f1d",
    "Proxy-Authorization: Basic canary-5f1d",
    "Cookie: session=canary-5f1d",
    "X-Api-Key: canary-5f1d",
    "X-Auth-Token: canary-5f1d",
    "X-Forwarded-For: 127.0.0.1, canary-5f1d",
    "X-Forwarded-Host: canary-5f1d",
    "X-Real-Ip: canary-5f1d",
    "Forwarded: for=canary-5f1d",
    "X-Original-Url: /canary-5f1d",
    "X-Rewrite-Url: /canary-5f1d",
    "X-Internal-Route: canary-5f1d",
    "X-Mcp-Upstream: canary-5f1d",
    "X-Margay-Principal: canary-5f1d",
    "X-Envoy-Original-Path: /canary-5f1d",
    "Mcp-Param-Region: canary-5f1d",
];

#[test]
fn no_header_of_a_caller_reaches_an_upstream_or_the_logs() {
    for script in [Script::legacy("docs"), Script::modern("docs")] {
        let upstream = script.http();
        let appliance = front(&upstream);
        let params = json!({"name": "repeat", "arguments": {"text": "hello"}});
        let (body, headers) = modern(1, "tools/call", params);
        for line in PRIVILEGED {
            let answer = appliance
                .connect()
                .post(&body, &format!("{headers}{line}\r\n"));
            assert_eq!(answer.status, 200, "{line}");
        }
        let heard = Value::from(upstream.entries()).to_string();
        assert!(heard.contains("hello"), "it was called");
        assert!(!heard.to_lowercase().contains("canary-5f1d"), "{heard}");
        assert!(
            !appliance.stderr().contains("canary-5f1d"),
            "{}",
            appliance.stderr()
        );
    }
}

#[test]
fn nothing_in_a_message_names_a_program_or_an_address() {
    let upstream = Script::modern("docs").http();
    let appliance = front(&upstream);
    let before = children(appliance.pid());
    for extra in [
        json!({"command": "/bin/sh", "args": ["-c", "touch /tmp/canary"]}),
        json!({"url": "http://127.0.0.1:1/", "transportType": "stdio"}),
        json!({"upstream": "http://169.254.169.254/latest", "server": "file:///etc/passwd"}),
    ] {
        let mut params = json!({"name": "repeat", "arguments": {"text": "x"}});
        for (key, value) in extra.as_object().unwrap() {
            params[key] = value.clone();
            params["_meta"][key] = value.clone();
        }
        let (body, headers) = modern(1, "tools/call", params);
        let answer = appliance.connect().post(&body, &headers);
        assert!(matches!(answer.status, 200 | 400), "{}", answer.status);
    }
    assert_eq!(children(appliance.pid()), before);
}

fn children(pid: u32) -> usize {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().count()
}

#[test]
fn an_argument_that_becomes_a_header_cannot_end_it() {
    // What would end a header, begin another request, or leave a path, as an argument that is passed on.
    let upstream = Script::modern("docs").http();
    let appliance = front(&upstream);
    for text in [
        "a\r\nX-Injected: 1",
        "a\nX-Injected: 1\n\nGET / HTTP/1.1",
        "a\0b",
        "../../admin?x=1#y",
        "%0d%0aX-Injected: 1",
    ] {
        let params = json!({"name": "repeat", "arguments": {"text": text}});
        let answer = appliance.connect().modern("tools/call", params).json();
        // A null would drive nothing, but it is shown all the same.
        let shown = text.replace('\0', "␀");
        assert_eq!(answer["result"]["content"][0]["text"], shown, "{answer}");
    }
    let heard = Value::from(upstream.entries());
    for entry in heard.as_array().unwrap() {
        let headers = entry["headers"].to_string().to_lowercase();
        assert!(!headers.contains("x-injected\""), "{headers}");
    }
}
