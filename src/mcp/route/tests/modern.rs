use super::*;

#[test]
fn modern_requests_stand_alone() {
    let server = Server::new();
    for (method, params, extra) in [
        ("server/discover", "", None),
        ("tools/list", "", None),
        ("tools/list", r#""cursor":"abc""#, None),
        (
            "tools/call",
            r#""name":"echo","arguments":{"text":"hi"}"#,
            Some(("mcp-name", "echo")),
        ),
        (
            "tools/call",
            r#""name":"echo""#,
            Some(("mcp-name", "  echo\t")),
        ),
        (
            "subscriptions/listen",
            r#""notifications":{"toolsListChanged":true}"#,
            None,
        ),
    ] {
        let change: Vec<_> = extra.into_iter().collect();
        let told = server.modern(method, params, &change);
        assert_eq!(
            (told.status, told.id.as_deref()),
            (200, Some("41")),
            "{method} {told:?}"
        );
        // A session id, of this server or not, means nothing to them.
        let mut change = change;
        change.push(("mcp-session-id", "whatever"));
        assert_eq!(
            server.modern(method, params, &change).status,
            200,
            "{method}"
        );
    }
}

#[test]
fn a_modern_request_without_its_meta_keys_is_told_which_one_is_missing() {
    let server = Server::new();
    let version = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28""#;
    let capabilities = r#""io.modelcontextprotocol/clientCapabilities":{}"#;
    for (params, missing) in [
        ("{}".to_owned(), "protocolVersion"),
        ("{\"_meta\":{}}".to_owned(), "protocolVersion"),
        (
            format!("{{\"_meta\":{{{capabilities}}}}}"),
            "protocolVersion",
        ),
        (format!("{{\"_meta\":{{{version}}}}}"), "clientCapabilities"),
        (
            format!(
                "{{\"_meta\":{{{version},\"io.modelcontextprotocol/clientCapabilities\":true}}}}"
            ),
            "clientCapabilities",
        ),
        (
            format!(
                "{{\"_meta\":{{\"io.modelcontextprotocol/protocolVersion\":3,{capabilities}}}}}"
            ),
            "protocolVersion",
        ),
        (
            format!(
                "{{\"_meta\":{{{version},{capabilities},\"io.modelcontextprotocol/logLevel\":\"loud\"}}}}"
            ),
            "logLevel",
        ),
    ] {
        let body =
            format!(r#"{{"jsonrpc":"2.0","id":101,"method":"server/discover","params":{params}}}"#);
        let told = server.post(
            &[
                ("mcp-protocol-version", "2026-07-28"),
                ("mcp-method", "server/discover"),
            ],
            &body,
        );
        assert_eq!(
            (told.status, told.code, told.id.as_deref()),
            (400, -32602, Some("101")),
            "{params} {told:?}"
        );
        assert!(told.text.contains(missing), "{}", told.text);
    }
    let body = r#"{"jsonrpc":"2.0","id":101,"method":"server/discover"}"#;
    let told = server.post(
        &[
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", "server/discover"),
        ],
        body,
    );
    assert_eq!((told.status, told.code), (400, -32602));
}

#[test]
fn an_unknown_version_and_a_differing_one_are_told_apart() {
    let server = Server::new();
    let body = |version: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":301,"method":"server/discover","params":{{"_meta":{{
            "io.modelcontextprotocol/protocolVersion":"{version}","io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#
        )
    };
    let post = |header: Option<&str>, version: &str| {
        let mut fields = vec![("mcp-method", "server/discover")];
        fields.extend(header.map(|header| ("mcp-protocol-version", header)));
        server.post(&fields, &body(version))
    };
    let verdict = |told: Told| (told.status, told.code, told.id);
    let id = Some("301".to_owned());
    assert_eq!(
        verdict(post(Some("v999.0.0"), "v999.0.0")),
        (400, -32022, id.clone())
    );
    assert_eq!(
        verdict(post(Some("2026-07-28"), "v999.0.0")),
        (400, -32020, id.clone())
    );
    assert_eq!(
        verdict(post(Some("v999.0.0"), "2026-07-28")),
        (400, -32020, id.clone())
    );
    assert_eq!(
        verdict(post(Some("2025-11-25"), "2026-07-28")),
        (400, -32020, id.clone())
    );
    assert_eq!(verdict(post(None, "2026-07-28")), (400, -32020, id.clone()));
    assert_eq!(
        verdict(post(Some(" 2026-07-28 "), "2026-07-28")),
        (200, 0, id)
    );
}

#[test]
fn methods_that_are_removed_or_unknown_are_not_found_in_the_modern_era() {
    let server = Server::new();
    for method in [
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
        "unknown/method",
        "Tools/List",
        "",
        "notifications/cancelled",
    ] {
        let told = server.modern(method, "", &[]);
        assert_eq!(
            (told.status, told.code, told.id.as_deref()),
            (404, -32601, Some("41")),
            "{method} {told:?}"
        );
    }
    for removed in ["tasks/result", "tasks/list", "notifications/progress"] {
        assert_eq!(server.modern(removed, "", &[]).code, -32601, "{removed}");
    }
}

#[test]
fn the_method_header_has_to_be_the_bodys_letter_for_letter() {
    let server = Server::new();
    for (header, accepted) in [
        ("tools/list", true),
        ("  tools/list ", true),
        ("prompts/list", false),
        ("TOOLS/LIST", false),
        ("tools/list,tools/list", false),
        ("=?base64?dG9vbHMvbGlzdA==?=", false),
        ("", false),
        ("(none)", false),
    ] {
        let told = server.modern("tools/list", "", &[("Mcp-Method", header)]);
        let expected = if accepted { (200, 0) } else { (400, -32020) };
        assert_eq!(
            (told.status, told.code, told.id.as_deref()),
            (expected.0, expected.1, Some("41")),
            "{header}"
        );
    }
}

#[test]
fn the_name_header_has_to_be_the_bodys_once_decoded() {
    let server = Server::new();
    for (body, header, accepted) in [
        ("echo", "echo", true),
        ("echo", "=?base64?ZWNobw==?=", true),
        ("\\u0065cho", "echo", true),
        ("é", "=?base64?w6k=?=", true),
        ("\\u00e9", "=?base64?w6k=?=", true),
        ("echo", "Echo", false),
        ("echo", "echo2", false),
        ("echo", "(none)", false),
        ("echo", "", false),
        ("echo", "=?base64?ZWNobw=?=", false),
        ("é", "é", false),
        ("=?base64?ZWNobw==?=", "=?base64?ZWNobw==?=", false),
        ("echo", "echo, echo", false),
    ] {
        let told = server.modern(
            "tools/call",
            &format!(r#""name":"{body}""#),
            &[("mcp-name", header)],
        );
        let expected = if accepted { (200, 0) } else { (400, -32020) };
        assert_eq!(
            (told.status, told.code),
            expected,
            "{body} {header} {told:?}"
        );
    }
    assert_eq!(
        server
            .modern("tools/call", "", &[("mcp-name", "echo")])
            .code,
        -32020
    );
    assert_eq!(server.modern("tools/call", r#""name":1"#, &[]).code, -32602);
}

/// The canary: one forbidden tool, named where only one of two readers would look. It may never be run under another name, and
/// whatever is run is what the header said.
#[test]
fn no_trick_makes_head_and_body_name_two_tools() {
    let server = Server::new();
    let meta = MODERN_META;
    let smuggled = [
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"safe","name":"canary",{meta}}}}}"#
        ),
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"canary","name":"safe",{meta}}}}}"#
        ),
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"n\u0061me":"canary","name":"safe",{meta}}}}}"#
        ),
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"safe",{meta}}},"params":{{"name":"canary"}}}}"#
        ),
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"canary",{meta}}}}}"#
        ),
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"safe\u0000canary",{meta}}}}}"#
        ),
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"safe",{meta},{meta}}}}}"#
        ),
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call","params":{{"name":"safe",{meta}}}}}"#
        ),
        format!(
            r#"[{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"safe",{meta}}}}}]"#
        ),
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"safe",{meta}}}}}{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"canary"}}}}"#
        ),
    ];
    let head = [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "safe"),
    ];
    for body in &smuggled {
        let told = server.post(&head, body);
        assert!(told.status >= 400, "{body} was run: {told:?}");
        assert!(
            matches!(told.code, -32020 | -32600 | -32700),
            "{body} {told:?}"
        );
    }
    // The canary itself sings: asked for openly it is run, so the refusals above are not refusals of everything.
    let open = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"canary",{meta}}}}}"#
    );
    let told = server.post(&[head[0], head[1], ("mcp-name", "canary")], &open);
    assert_eq!(told.status, 200);
    assert!(told.text.contains("canary"));
}

#[test]
fn modern_notifications_are_accepted_and_responses_are_not() {
    let server = Server::new();
    let fields = [("mcp-protocol-version", "2026-07-28")];
    let notice = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    let told = server.post(&fields, notice);
    assert_eq!(told.status, 202);
    assert!(
        told.text.contains("Other"),
        "an id alone cancels nobody's request: {told:?}"
    );
    assert_eq!(
        server
            .post(&[fields[0], ("mcp-method", "notifications/x")], notice)
            .code,
        -32020
    );
    let told = server.post(&fields, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    assert_eq!((told.status, told.code, told.id), (400, -32600, None));
}

#[test]
fn a_listen_says_what_it_wants_and_nothing_else_counts() {
    let server = Server::new();
    let listen = |filter: &str| {
        server.modern(
            "subscriptions/listen",
            &format!(r#""notifications":{filter}"#),
            &[],
        )
    };
    assert!(
        listen(r#"{"toolsListChanged":true,"x":1}"#)
            .text
            .contains("tools: true, prompts: false")
    );
    assert!(
        listen(r#"{"toolsListChanged":false,"promptsListChanged":true}"#)
            .text
            .contains("tools: false, prompts: true")
    );
    for wrong in ["[]", "true", r#"{"toolsListChanged":1}"#, "null"] {
        assert_eq!(listen(wrong).code, -32602, "{wrong}");
    }
    assert_eq!(server.modern("subscriptions/listen", "", &[]).code, -32602);
}
