//! DNS rebinding: a page's name in `Host` or `Origin` is refused on every path, before the body is read.

use crate::harness::{Appliance, Client, modern};

/// Every path that is served, and some that are not, with the methods that they take.
const DATA: [(&str, &str); 9] = [
    ("POST", "/mcp"),
    ("GET", "/mcp"),
    ("DELETE", "/mcp"),
    ("GET", "/sse"),
    ("POST", "/messages?sessionId=x"),
    ("GET", "/"),
    ("GET", "/.well-known/oauth-protected-resource"),
    ("GET", "/.well-known/oauth-protected-resource/mcp"),
    ("GET", "/nothing"),
];
const ADMIN: [(&str, &str); 6] = [
    ("GET", "/metrics"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("POST", "/components/reload"),
    ("POST", "/mcp"),
    ("GET", "/nothing"),
];

const EVIL: [&str; 7] = [
    "Host: evil.example\r\n",
    "Host: evil.example:8080\r\n",
    "Host: localhost.evil.example\r\n",
    "Host: 127.0.0.1.evil.example\r\n",
    "Host: localhost\r\nOrigin: http://evil.example\r\n",
    "Host: localhost\r\nOrigin: null\r\n",
    "Host: localhost\r\nOrigin: http://localhost.evil.example\r\n",
];

#[test]
fn no_path_answers_under_the_name_of_another_site() {
    let config = "http_sse: true\nmanagement_tools: admin-listener\n";
    let folder = crate::harness::scratch("hosts");
    let config = format!("{config}component_dir: {}\n", folder.display());
    let appliance = Appliance::with(&[], &config);
    let listeners = [
        (appliance.address, &DATA[..]),
        (appliance.admin, &ADMIN[..]),
    ];
    for (address, paths) in listeners {
        for (method, path) in paths {
            for headers in EVIL {
                // The body never comes: what is refused is refused without it.
                let length = if *method == "POST" { 100 } else { 0 };
                let mut client = Client::connect(address);
                client.send(format!(
                    "{method} {path} HTTP/1.1\r\n{headers}Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\nContent-Length: {length}\r\n\r\n"
                ));
                let answer = client.answer();
                assert_eq!(answer.status, 403, "{method} {path} {headers}");
                let granted = answer.header("access-control-allow-origin");
                assert_eq!(granted, None, "{method} {path} {headers}");
            }
        }
    }
    let (body, headers) = modern(1, "tools/list", serde_json::json!({}));
    let answer = appliance.connect().post(&body, &headers);
    assert_eq!(answer.status, 200, "its own name is served");
}
