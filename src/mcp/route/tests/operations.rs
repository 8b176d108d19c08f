use super::*;

/// The operation of a request, modern or in a session, or the code and text of its refusal.
fn operation<'b>(
    revision: Revision,
    capabilities: ClientCapabilities,
    body: &'b str,
) -> Result<Operation<'b>, (i32, String)> {
    let message = scan(body.as_bytes(), 64).unwrap_or_else(|refusal| panic!("{}", refusal.reason));
    let setting = Setting {
        revision,
        session: None,
        capabilities,
        log_level: None,
        accept: Some((Accept::ALL, b"*/*")),
    };
    match invoke(setting, &message) {
        Ok(Route::Invoke(invocation)) => {
            assert_eq!(invocation.method().name(), message.method.unwrap().to_cow());
            Ok(invocation.operation)
        }
        Ok(other) => panic!("{other:?}"),
        Err(refusal) => Err((refusal.code, refusal.reason.to_string())),
    }
}

fn body(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{params}}}}}"#)
}

/// The debug text of an operation, or a refusal's code.
fn shown(revision: Revision, method: &str, params: &str) -> Result<String, i32> {
    let tasks = ClientCapabilities::TASKS;
    operation(revision, tasks, &body(method, params))
        .map(|operation| format!("{operation:?}"))
        .map_err(|(code, _)| code)
}

const MODERN: Revision = Revision::V2026_07_28;
const LATEST: Revision = Revision::V2025_11_25;

/// Parameters that each method takes.
const GOOD: [(&str, &str); 20] = [
    ("tools/call", r#""name":"echo""#),
    ("tools/list", ""),
    ("resources/read", r#""uri":"a:b""#),
    ("prompts/get", r#""name":"p","arguments":{"a":"b"}"#),
    ("ping", ""),
    (
        "initialize",
        r#""protocolVersion":"2025-06-18","capabilities":{}"#,
    ),
    ("server/discover", ""),
    ("resources/list", r#""cursor":"c""#),
    ("resources/templates/list", ""),
    ("prompts/list", ""),
    (
        "completion/complete",
        r#""ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"a","value":""}"#,
    ),
    ("resources/subscribe", r#""uri":"a:b""#),
    ("resources/unsubscribe", r#""uri":"a:b""#),
    ("logging/setLevel", r#""level":"error""#),
    ("subscriptions/listen", r#""notifications":{}"#),
    ("tasks/get", r#""taskId":"t""#),
    ("tasks/result", r#""taskId":"t""#),
    ("tasks/list", ""),
    ("tasks/update", r#""taskId":"t","inputResponses":{}"#),
    ("tasks/cancel", r#""taskId":"t""#),
];

/// Every method is served in the revisions that have it, and nowhere else.
#[test]
fn each_revision_serves_its_methods() {
    for (method, params) in GOOD {
        let known = Method::all().find(|known| known.name() == method).unwrap();
        for revision in Revision::ALL {
            let expected = if known.is_in(revision) { 0 } else { -32601 };
            let code = shown(revision, method, params).map_or_else(|code| code, |_| 0);
            assert_eq!(code, expected, "{method} in {revision:?}");
        }
    }
    let requests = Method::all().filter(|method| method.is_request()).count();
    assert_eq!(requests, GOOD.len(), "each has its line above");
}

#[test]
fn a_parameter_that_is_missing_or_wrong_is_named() {
    let long = format!(r#""uri":"{}""#, "a".repeat(8193));
    for (method, params, named) in [
        ("tools/call", "", "params.name"),
        ("tools/call", r#""name":1"#, "params.name"),
        (
            "tools/call",
            r#""name":"x","arguments":[]"#,
            "params.arguments",
        ),
        ("tools/list", r#""cursor":1"#, "params.cursor"),
        ("resources/list", r#""cursor":{}"#, "params.cursor"),
        (
            "resources/templates/list",
            r#""cursor":[]"#,
            "params.cursor",
        ),
        ("prompts/list", r#""cursor":false"#, "params.cursor"),
        ("resources/read", "", "params.uri"),
        ("resources/read", &long, "8192 bytes"),
        ("prompts/get", "", "params.name"),
        (
            "prompts/get",
            r#""name":"p","arguments":{"a":1}"#,
            "params.arguments",
        ),
        (
            "prompts/get",
            r#""name":"p","arguments":{"a":"1","a":"2"}"#,
            "no name twice",
        ),
        (
            "prompts/get",
            r#""name":"p","arguments":"a""#,
            "params.arguments",
        ),
        ("completion/complete", "", "params.ref"),
        (
            "completion/complete",
            r#""ref":{"type":"ref/x"}"#,
            "params.ref.type",
        ),
        (
            "completion/complete",
            r#""ref":{"type":"ref/prompt","name":"p"}"#,
            "params.argument",
        ),
        ("tasks/get", "", "params.taskId"),
        ("tasks/cancel", r#""taskId":7"#, "params.taskId"),
        ("tasks/update", r#""taskId":"t""#, "params.inputResponses"),
        (
            "tasks/update",
            r#""taskId":"t","inputResponses":[]"#,
            "params.inputResponses",
        ),
        ("subscriptions/listen", "", "params.notifications"),
    ] {
        let text = body(method, params);
        let (code, text) = operation(MODERN, ClientCapabilities::TASKS, &text).unwrap_err();
        assert!(
            code == -32602 && text.contains(named),
            "{method} {params}: {text}"
        );
    }
    for (method, params, named) in [
        ("resources/subscribe", "", "params.uri"),
        ("resources/subscribe", &long, "8192 bytes"),
        ("resources/unsubscribe", r#""uri":null"#, "params.uri"),
        ("logging/setLevel", "", "params.level"),
        ("logging/setLevel", r#""level":"loud""#, "`loud`"),
        ("tasks/result", "", "params.taskId"),
        ("tasks/list", r#""cursor":1"#, "params.cursor"),
    ] {
        let text = body(method, params);
        let (code, text) = operation(LATEST, ClientCapabilities::NONE, &text).unwrap_err();
        assert!(
            code == -32602 && text.contains(named),
            "{method} {params}: {text}"
        );
    }
}

#[test]
fn a_retry_is_modern_and_typed() {
    let calls = [
        ("tools/call", r#""name":"x""#),
        ("prompts/get", r#""name":"x""#),
        ("resources/read", r#""uri":"x:y""#),
    ];
    let retried = r#""inputResponses":{"a":{"action":"accept"},"b":{}},"requestState":"s""#;
    for (method, params) in calls {
        let text = body(method, &format!("{params},{retried}"));
        for revision in Revision::ALL {
            let found = operation(revision, ClientCapabilities::NONE, &text).unwrap();
            let (Operation::CallTool { retry, .. }
            | Operation::GetPrompt { retry, .. }
            | Operation::ReadResource { retry, .. }) = found
            else {
                panic!("{found:?}")
            };
            let Some(retry) = retry else {
                assert_ne!(revision, MODERN, "{method}");
                continue;
            };
            assert_eq!(revision, MODERN, "only there it means something");
            assert!(retry.request_state.unwrap().eq_str("s"));
            let answers: Vec<_> = retry
                .answers()
                .map(|(key, answer)| (key.to_cow().into_owned(), answer))
                .collect();
            assert_eq!(
                answers,
                [
                    ("a".to_owned(), br#"{"action":"accept"}"#.as_slice()),
                    ("b".to_owned(), b"{}")
                ]
            );
        }
        for half in [
            r#""inputResponses":{},"requestState":null"#,
            r#""requestState":"""#,
        ] {
            let found = shown(MODERN, method, &format!("{params},{half}")).unwrap();
            assert!(found.contains("retry: Some"), "{found}");
        }
        let none = r#""inputResponses":null,"requestState":null"#;
        let found = shown(MODERN, method, &format!("{params},{none}")).unwrap();
        assert!(found.contains("retry: None"), "{found}");
        let many: Vec<String> = (0..65).map(|index| format!(r#""{index}":{{}}"#)).collect();
        let many = format!(r#""inputResponses":{{{}}}"#, many.join(","));
        for wrong in [
            r#""inputResponses":[]"#,
            r#""inputResponses":{"a":1}"#,
            r#""inputResponses":{"a":null}"#,
            r#""inputResponses":{"a":{},"a":{}}"#,
            r#""inputResponses":{"a":{},"\u0061":{}}"#,
            r#""requestState":{}"#,
            r#""requestState":7"#,
            &many,
        ] {
            let code = shown(MODERN, method, &format!("{params},{wrong}"));
            assert_eq!(code, Err(-32602), "{method} {wrong}");
            assert!(shown(LATEST, method, &format!("{params},{wrong}")).is_ok());
        }
    }
}

#[test]
fn a_call_is_a_task_only_where_the_core_has_tasks() {
    let task = |revision, params: &str| {
        let text = body("tools/call", &format!(r#""name":"x",{params}"#));
        match operation(revision, ClientCapabilities::NONE, &text) {
            Ok(Operation::CallTool { task, .. }) => Ok(task),
            Ok(other) => panic!("{other:?}"),
            Err((code, _)) => Err(code),
        }
    };
    let with = |ttl_ms| Ok(Some(TaskRequest { ttl_ms }));
    assert_eq!(task(LATEST, r#""task":{}"#), with(None));
    assert_eq!(task(LATEST, r#""task":{"ttl":null,"x":1}"#), with(None));
    assert_eq!(task(LATEST, r#""task":{"ttl":0}"#), with(Some(0)));
    assert_eq!(task(LATEST, r#""task":{"ttl":6.0e4}"#), with(Some(60_000)));
    assert_eq!(task(LATEST, r#""task":null"#), Ok(None));
    for wrong in [
        r#""task":true"#,
        r#""task":{"ttl":-1}"#,
        r#""task":{"ttl":1.5}"#,
        r#""task":{"ttl":"60"}"#,
        r#""task":{"ttl":1e99}"#,
    ] {
        assert_eq!(task(LATEST, wrong), Err(-32602), "{wrong}");
        for other in Revision::ALL.into_iter().filter(|other| *other != LATEST) {
            assert_eq!(task(other, wrong), Ok(None), "{wrong} in {other:?}");
        }
    }
    assert_eq!(task(LATEST, r#""task":{"ttl":1,"ttl":2}"#), Err(-32600));
}

#[test]
fn a_completion_is_for_a_prompt_or_a_template() {
    let complete = |revision, reference: &str, rest: &str| {
        let params = format!(r#""ref":{reference},"argument":{{"name":"a","value":"v"}}{rest}"#);
        shown(revision, "completion/complete", &params)
    };
    let prompt = r#"{"type":"ref/prompt","name":"p","title":"t"}"#;
    let template = r#"{"type":"ref/resource","uri":"a://{b}"}"#;
    assert!(complete(MODERN, prompt, "").unwrap().contains("Prompt("));
    assert!(
        complete(MODERN, template, "")
            .unwrap()
            .contains("Template(")
    );
    for wrong in [
        "{}",
        "[]",
        r#"{"type":"ref/prompt"}"#,
        r#"{"type":"ref/resource","name":"p"}"#,
        r#"{"type":"ref/tool","name":"p"}"#,
        r#"{"type":1,"name":"p"}"#,
    ] {
        assert_eq!(complete(MODERN, wrong, ""), Err(-32602), "{wrong}");
    }
    let doubled = r#"{"type":"ref/prompt","name":"p","n\u0061me":"q"}"#;
    assert_eq!(complete(MODERN, doubled, ""), Err(-32600));
    let context = r#","context":{"arguments":{"x":"1"}}"#;
    assert!(
        !complete(MODERN, prompt, context)
            .unwrap()
            .contains("context: None")
    );
    let old = complete(Revision::V2025_03_26, prompt, r#","context":7"#).unwrap();
    assert!(old.contains("context: None"), "it knows none: {old}");
    for wrong in [
        r#","context":7"#,
        r#","context":{"arguments":[]}"#,
        r#","context":{"arguments":{"x":1}}"#,
    ] {
        assert_eq!(complete(LATEST, prompt, wrong), Err(-32602), "{wrong}");
    }
    assert!(
        complete(LATEST, prompt, r#","context":{}"#)
            .unwrap()
            .contains("context: None")
    );
    for argument in ["{}", r#"{"name":"a"}"#, r#"{"name":1,"value":""}"#, "[]"] {
        let params = format!(r#""ref":{prompt},"argument":{argument}"#);
        assert_eq!(
            shown(MODERN, "completion/complete", &params),
            Err(-32602),
            "{argument}"
        );
    }
}

#[test]
fn a_listen_names_resources_and_with_the_extension_tasks() {
    let listen = |capabilities, filter: &str| {
        let text = body(
            "subscriptions/listen",
            &format!(r#""notifications":{filter}"#),
        );
        match operation(MODERN, capabilities, &text) {
            Ok(Operation::Listen { filter }) => {
                let owned = |strings: Strings<'_>| -> Vec<String> {
                    strings.map(|string| string.to_cow().into_owned()).collect()
                };
                Ok((
                    owned(filter.resource_subscriptions()),
                    owned(filter.task_ids()),
                ))
            }
            Ok(other) => panic!("{other:?}"),
            Err((code, _)) => Err(code),
        }
    };
    let (none, tasks) = (ClientCapabilities::NONE, ClientCapabilities::TASKS);
    let uris = r#"{"resourceSubscriptions":["a:b","\u0063:d"]}"#;
    assert_eq!(
        listen(none, uris),
        Ok((vec!["a:b".to_owned(), "c:d".to_owned()], vec![]))
    );
    assert_eq!(listen(none, "{}"), Ok((vec![], vec![])));
    assert_eq!(
        listen(tasks, r#"{"taskIds":["t"]}"#),
        Ok((vec![], vec!["t".to_owned()]))
    );
    // Who does not declare the extension is told so, whatever the ids.
    assert_eq!(listen(none, r#"{"taskIds":["t"]}"#), Err(-32021));
    assert_eq!(listen(none, r#"{"taskIds":[]}"#), Err(-32021));
    let long = format!(r#"{{"resourceSubscriptions":["{}"]}}"#, "a".repeat(8193));
    for wrong in [
        r#"{"resourceSubscriptions":"a:b"}"#,
        r#"{"resourceSubscriptions":[1]}"#,
        r#"{"resourceSubscriptions":null}"#,
        r#"{"taskIds":{}}"#,
        r#"{"taskIds":[null]}"#,
        &long,
    ] {
        assert_eq!(listen(tasks, wrong), Err(-32602), "{wrong}");
    }
    let doubled = r#"{"toolsListChanged":true,"toolsListChanged":false}"#;
    assert_eq!(listen(none, doubled), Err(-32600));
}

/// The methods of the tasks extension are refused to whoever does not declare it, with what is missing.
#[test]
fn modern_task_methods_need_the_extension_and_legacy_ones_do_not() {
    for (method, params) in [
        ("tasks/get", r#""taskId":"t""#),
        ("tasks/update", r#""taskId":"t","inputResponses":{}"#),
        ("tasks/cancel", r#""taskId":"t""#),
    ] {
        let text = body(method, params);
        let (code, text) = operation(MODERN, ClientCapabilities::SAMPLING, &text).unwrap_err();
        assert!(
            code == -32021 && text.contains("io.modelcontextprotocol/tasks"),
            "{text}"
        );
        assert!(shown(MODERN, method, params).is_ok());
    }
    let server = Server::new();
    let told = server.modern("tasks/get", r#""taskId":"t""#, &[("mcp-name", "t")]);
    assert_eq!((told.status, told.code), (400, -32021));
    let get = body("tasks/get", r#""taskId":"t""#);
    assert!(operation(LATEST, ClientCapabilities::NONE, &get).is_ok());
}

#[test]
fn the_name_header_repeats_what_its_method_is_about() {
    let server = Server::new();
    for (method, params, name) in [
        ("tools/call", r#""name":"n1""#, "n1"),
        ("prompts/get", r#""name":"n2""#, "n2"),
        ("resources/read", r#""uri":"a:b""#, "a:b"),
        ("tasks/get", r#""taskId":"t1""#, "t1"),
        ("tasks/update", r#""taskId":"t2","inputResponses":{}"#, "t2"),
        ("tasks/cancel", r#""taskId":"t3""#, "t3"),
    ] {
        let code = |header| server.modern(method, params, &[("mcp-name", header)]).code;
        // The tasks' methods get past the header, and then lack their extension.
        let passes = if method.starts_with("tasks/") {
            -32021
        } else {
            0
        };
        assert_eq!(code(name), passes, "{method}");
        assert_eq!(code("other"), -32020, "{method}");
        assert_eq!(server.modern(method, params, &[]).code, -32020, "{method}");
    }
    for (method, params) in [("resources/list", ""), ("prompts/list", "")] {
        assert_eq!(server.modern(method, params, &[]).code, 0, "{method}");
    }
}

#[test]
fn what_a_request_says_of_its_client_and_its_trace_is_handed_on() {
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",
        "io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"c"},
        "traceparent":"00-a-b-01","tracestate":"x=1","baggage":7}"#;
    let text = body("tools/list", meta);
    let message = scan(text.as_bytes(), 64).unwrap();
    let Ok(Route::Invoke(invocation)) = route_stdio(&mut Process::default(), &message) else {
        panic!("it is served")
    };
    assert_eq!(invocation.client_info, Some(br#"{"name":"c"}"#.as_slice()));
    assert!(invocation.trace.traceparent.unwrap().eq_str("00-a-b-01"));
    assert!(invocation.trace.tracestate.unwrap().eq_str("x=1"));
    assert!(invocation.trace.baggage.is_none(), "it is no string");
    assert_eq!(
        invocation.log_level, None,
        "a modern request hears what it asks for"
    );
}

#[test]
fn a_legacy_session_hears_from_info_on_until_it_says_otherwise() {
    let server = Server::new();
    let session = server.session(LATEST);
    let fields = [("mcp-session-id", session.as_str())];
    let level = || server.post(&fields, &request("tools/list")).text;
    assert!(level().contains("log_level: Some(Info)"));
    let set = body("logging/setLevel", r#""level":"critical""#);
    assert_eq!(server.post(&fields, &set).status, 200);
    assert!(level().contains("log_level: Some(Critical)"));
    let wrong = body("logging/setLevel", r#""level":"loud""#);
    assert_eq!(server.post(&fields, &wrong).code, -32602);
    assert!(level().contains("log_level: Some(Critical)"), "it stays");

    let mut process = Process::default();
    let mut line = |body: &str| {
        told(scan(body.as_bytes(), 64).and_then(|message| route_stdio(&mut process, &message)))
    };
    line(INITIALIZE);
    assert!(
        line(&request("ping"))
            .text
            .contains("log_level: Some(Info)")
    );
    assert_eq!(line(&set).status, 200);
    assert!(
        line(&request("ping"))
            .text
            .contains("log_level: Some(Critical)")
    );
}

#[test]
fn a_legacy_client_tells_of_its_roots_and_of_its_progress() {
    let server = Server::new();
    let session = server.session(LATEST);
    let fields = [("mcp-session-id", session.as_str())];
    let notify = |method: &str, params: &str| {
        let body = format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{{{params}}}}}"#);
        server.post(&fields, &body).text
    };
    assert!(notify("notifications/roots/list_changed", "").contains("RootsChanged"));
    let progress = notify(
        "notifications/progress",
        r#""progressToken":7,"progress":1"#,
    );
    assert!(progress.contains("Progress {"), "{progress}");
    assert!(notify("notifications/progress", r#""progress":1"#).contains("Other"));
    // The modern era has neither, and no session that they could be about.
    let body = r#"{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}"#;
    let told = server.post(&[("mcp-protocol-version", "2026-07-28")], body);
    assert!(told.text.contains("Other"), "{told:?}");
}

#[test]
fn an_answer_is_matched_by_its_number() {
    let number = |id: &str| {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#);
        let message = scan(body.as_bytes(), 64).unwrap();
        match response(None, &message) {
            Route::Response(response) => response.number(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(number("7"), Some(7));
    for other in [r#""7""#, "-7", "123456789012345678901234567890"] {
        assert_eq!(number(other), None, "{other}");
    }
}

#[test]
fn a_progress_token_is_as_short_as_an_id() {
    let call = |token: &str| {
        let params = format!(r#""name":"x","_meta":{{"progressToken":{token}}}"#);
        shown(LATEST, "tools/call", &params)
    };
    assert!(call(&format!("\"{}\"", "x".repeat(254))).is_ok());
    assert_eq!(call(&format!("\"{}\"", "x".repeat(255))), Err(-32602));
    assert_eq!(call("1.5"), Err(-32602));
    assert!(call("null").is_ok());
}
