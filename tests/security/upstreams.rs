//! What comes over the wire names no program, no address and no header of an upstream.

use serde_json::{Value, json};

use crate::harness::key::Key;
use crate::harness::upstream::Script;
use crate::harness::{Appliance, Client, modern};

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

/// GHSA-g53w-w6mj-hrpp: a header meant for the inside of a gateway, and a secret that everybody knows, were as good as a token.
#[test]
fn no_header_stands_for_a_proof_and_there_is_no_proof_that_everybody_knows() {
    let ann = Key::new("ann");
    let admin = Key::new("admin");
    let config = format!(
        "auth: {{api_keys: [{}]}}\nadmin_auth: {{api_keys: [{}]}}\n",
        ann.entry(""),
        admin.entry("")
    );
    let appliance = Appliance::with(&[], &config);
    let (body, headers) = modern(1, "tools/list", json!({}));
    let listeners = [appliance.address, appliance.admin];
    let claims = [
        "X-Margay-Principal: api-key:ann",
        "X-Margay-Internal: 1",
        "X-Forwarded-User: ann",
        "X-Remote-User: ann",
        "X-Forwarded-For: 127.0.0.1",
        "X-Forwarded-Client-Cert: Subject=\"CN=ann\"",
        "X-Ssl-Client-Verify: SUCCESS",
        "X-Api-Key: ann",
        "X-Internal-Token: secret",
        "Proxy-Authorization: Bearer admin",
        "Cookie: token=ann",
    ];
    let mut tried: Vec<String> = claims.map(|line| format!("{line}\r\n")).to_vec();
    tried.extend(PRIVILEGED[1..].iter().map(|line| format!("{line}\r\n")));
    for guess in [
        "admin",
        "secret",
        "margay",
        "ann",
        "null",
        "undefined",
        &ann.hash,
        "",
    ] {
        tried.push(format!("Authorization: Bearer {guess}\r\n"));
    }
    for address in listeners {
        for lines in &tried {
            let mut client = Client::connect(address);
            let request = format!(
                "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n{headers}{lines}Content-Length: {}\r\n\r\n{body}",
                body.len()
            );
            client.send(request);
            let status = client.answer().status;
            assert!(matches!(status, 400 | 401), "{lines:?} is {status}");
        }
    }
    // Each listener has its own keys.
    for (address, key) in [(appliance.admin, &ann), (appliance.address, &admin)] {
        let mut client = Client::connect(address);
        client.send(format!(
            "GET /{} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{}\r\n",
            if address == appliance.admin {
                "metrics"
            } else {
                "mcp"
            },
            key.header()
        ));
        assert_eq!(client.answer().status, 401);
    }
    let answer = appliance
        .connect()
        .post(&body, &format!("{headers}{}", ann.header()));
    assert_eq!(answer.status, 200);
}

/// What a caller shows is for us alone.
#[test]
fn a_callers_own_proof_is_in_no_request_log_metric_answer_or_file_of_ours() {
    for script in [Script::legacy("docs"), Script::modern("docs")] {
        let ann = Key::new("ann");
        let upstream = script.http();
        let folder = crate::harness::scratch("proof");
        let config = format!(
            "state_dir: {dir}/state\naccess_log: {dir}/access.jsonl\naudit: {{dir: {dir}/audit}}\nlog_level: trace\n\
             auth: {{api_keys: [{}]}}\nupstreams: {{docs: {{url: \"{}\", prefix: never}}}}\n",
            ann.entry(""),
            upstream.url(),
            dir = folder.display()
        );
        let mut appliance = Appliance::with(&[], &config);
        let call = |name: &str, arguments: Value| {
            let params = json!({"name": name, "arguments": arguments});
            let (body, headers) = modern(1, "tools/call", params);
            appliance
                .connect()
                .post(&body, &format!("{headers}{}", ann.header()))
        };
        appliance.eventually("its tools are offered", || {
            call("who", json!({})).json()["result"].is_object()
        });
        let mut seen = String::new();
        for (name, arguments) in [
            ("repeat", json!({"text": "hello"})),
            ("meta", json!({})),
            ("fail", json!({})),
            ("error", json!({})),
            ("nobody", json!({})),
        ] {
            seen += &String::from_utf8_lossy(&call(name, arguments).body);
        }
        let wrong = format!("{}Authorization: Bearer {}x\r\n", "", ann.text);
        let (body, headers) = modern(1, "tools/list", json!({}));
        let answer = appliance
            .connect()
            .post(&body, &format!("{headers}{wrong}"));
        seen += &answer.head;
        seen += &String::from_utf8_lossy(&answer.body);
        seen += &String::from_utf8_lossy(&Client::connect(appliance.admin).get("/metrics").body);
        appliance.signal("TERM");
        appliance.wait();
        seen += &appliance.stderr();
        seen += &Value::from(upstream.entries()).to_string();
        let mut files = vec![folder.clone(), appliance.folder.join("state")];
        let mut count = 0;
        while let Some(path) = files.pop() {
            match std::fs::read_dir(&path) {
                Ok(entries) => files.extend(entries.map(|entry| entry.unwrap().path())),
                Err(_) => {
                    count += 1;
                    let bytes = std::fs::read(&path).unwrap_or_default();
                    seen += &String::from_utf8_lossy(&bytes);
                }
            }
        }
        assert!(count >= 3 && seen.contains("api-key:ann") && seen.contains("hello"));
        let secret = ann.text.strip_prefix("mgy_ann_").unwrap();
        assert!(secret.len() >= 40, "{secret}");
        assert!(!seen.contains(secret), "it is shown somewhere");
    }
}
