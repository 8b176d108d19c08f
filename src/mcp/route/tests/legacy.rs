use super::*;
use crate::mcp::sessions::StreamClaim;

#[test]
fn initialize_opens_a_session_at_the_negotiated_revision() {
    let server = Server::new();
    for fields in [&[][..], &[("mcp-protocol-version", "2025-11-25")]] {
        let facts = facts(fields);
        let message = scan(INITIALIZE.as_bytes(), 64).unwrap();
        let route = post(
            &facts,
            Accept::ALL,
            &message,
            &server.sessions,
            Principal::ANONYMOUS,
            0,
        );
        let Ok(Route::Invoke(invocation)) = route else {
            panic!("{route:?}")
        };
        let Operation::Initialize {
            negotiated,
            capabilities,
        } = invocation.operation
        else {
            panic!("{invocation:?}")
        };
        assert_eq!(
            invocation.client_info,
            Some(br#"{"name":"t","version":"1"}"#.as_slice())
        );
        assert_eq!(
            (negotiated, invocation.revision),
            (Revision::V2025_06_18, Revision::V2025_06_18)
        );
        assert_eq!(capabilities, ClientCapabilities::ELICITATION_FORM);
        assert_eq!(
            (invocation.session, invocation.respond),
            (None, Respond::Json)
        );
    }
    let told = server.post(&[], &INITIALIZE.replace("2025-06-18", "1999-01-01"));
    assert!(told.text.contains("V2025_11_25"), "{told:?}");
    assert_eq!(server.post(&[], &request("initialize")).code, -32602);
}

#[test]
fn a_legacy_request_needs_its_session() {
    let server = Server::new();
    let session = server.session(Revision::V2025_06_18);
    let list = request("tools/list");
    let fields = [("mcp-session-id", session.as_str())];
    assert_eq!(server.post(&fields, &list).status, 200);
    assert!(server.post(&fields, &list).text.contains("V2025_06_18"));
    for header in ["2025-11-25", "2025-06-18", "2025-03-26"] {
        assert_eq!(
            server
                .post(&[fields[0], ("mcp-protocol-version", header)], &list)
                .status,
            200
        );
    }
    // Unsupported versions, among them the one that has no Streamable HTTP.
    for header in ["1999-01-01", "2024-11-05", "", "2025-06-18, 2025-06-18"] {
        let told = server.post(&[fields[0], ("mcp-protocol-version", header)], &list);
        assert_eq!((told.status, told.code), (400, -32022), "{header}");
    }
    assert_eq!(server.post(&[], &list).status, 400);
    assert_eq!(
        server
            .post(&[("mcp-protocol-version", "2025-11-25")], &list)
            .status,
        400
    );
    for unknown in ["", "nonsense", "00000000000000000000000000000000"] {
        let told = server.post(&[("mcp-session-id", unknown)], &list);
        assert_eq!(
            (told.status, told.id.as_deref()),
            (404, Some("\"q\"")),
            "{unknown}"
        );
    }
    // In a session, a modern header without modern keys is a modern request that lacks them.
    let told = server.post(&[fields[0], ("mcp-protocol-version", "2026-07-28")], &list);
    assert_eq!((told.status, told.code), (400, -32602));
}

#[test]
fn a_session_serves_pings_tools_and_nothing_modern() {
    let server = Server::new();
    let session = server.session(Revision::V2025_11_25);
    let fields = [
        ("mcp-session-id", session.as_str()),
        ("mcp-protocol-version", "2025-11-25"),
    ];
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":null,"_meta":{"progressToken":9}}}"#;
    assert_eq!(server.post(&fields, &request("ping")).status, 200);
    assert_eq!(server.post(&fields, call).status, 200);
    for (method, code) in [
        ("server/discover", -32601),
        ("subscriptions/listen", -32601),
        ("tasks/update", -32601),
        ("no/such", -32601),
        ("tools/call", -32602),
    ] {
        let told = server.post(&fields, &request(method));
        assert_eq!(
            (told.status, told.code, told.id.as_deref()),
            (200, code, Some("\"q\"")),
            "{method}"
        );
    }
    let told = server.post(&fields, INITIALIZE);
    assert_eq!((told.status, told.code), (400, -32600));
}

#[test]
fn legacy_notifications_and_responses_are_accepted_in_a_session_only() {
    let server = Server::new();
    let session = server.session(Revision::V2025_11_25);
    let id = SessionId::parse(session.as_bytes()).unwrap();
    let fields = [("mcp-session-id", session.as_str())];
    let bodies = [
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"x","reason":"r"}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/of/our/own"}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":""}}"#,
    ];
    assert!(
        !server
            .sessions
            .get(id, Principal::ANONYMOUS)
            .unwrap()
            .initialized
    );
    for body in bodies {
        assert_eq!(server.post(&fields, body).status, 202, "{body}");
        let told = server.post(&[], body);
        assert_eq!((told.status, told.id), (400, None), "{body}");
    }
    assert!(
        server
            .sessions
            .get(id, Principal::ANONYMOUS)
            .unwrap()
            .initialized
    );
    assert!(server.post(&fields, bodies[1]).text.contains("Cancelled"));
}

#[test]
fn a_get_opens_the_sessions_stream_once() {
    let server = Server::new();
    let session = server.session(Revision::V2025_11_25);
    let get = |fields: &[(&str, &str)]| {
        let facts = facts(fields);
        super::get(&facts, &server.sessions, Principal::ANONYMOUS, 0)
            .map(|stream| stream.session)
            .map_err(|refusal| refusal.http_status)
    };
    let good = [
        ("mcp-session-id", session.as_str()),
        ("accept", "text/event-stream"),
    ];
    let id = get(&good).unwrap();
    let claim = |owner| {
        server
            .sessions
            .claim_stream(id, Principal::ANONYMOUS, owner)
    };
    assert_eq!(
        (claim(1), claim(2)),
        (StreamClaim::Claimed, StreamClaim::Taken)
    );
    assert_eq!(Refusal::new(Reason::StreamTaken, None).http_status, 409);
    assert_eq!(get(&[good[0], ("accept", "application/json")]), Err(406));
    assert_eq!(get(&[good[1]]), Err(400));
    assert_eq!(get(&[good[1], ("mcp-session-id", "nonsense")]), Err(404));
    assert_eq!(
        get(&[good[0], good[1], ("mcp-protocol-version", "2026-07-28")]),
        Err(405)
    );
    assert_eq!(
        get(&[good[0], good[1], ("mcp-protocol-version", "1999-01-01")]),
        Err(400)
    );
}

#[test]
fn a_delete_ends_the_session_and_later_requests_get_404() {
    let server = Server::new();
    let session = server.session(Revision::V2025_11_25);
    let fields = [
        ("mcp-session-id", session.as_str()),
        ("mcp-protocol-version", "2025-11-25"),
    ];
    let delete = |fields: &[(&str, &str)]| {
        let facts = facts(fields);
        super::delete(&facts, &server.sessions, Principal::ANONYMOUS, 0)
            .map(|(_, owner)| owner)
            .map_err(|refusal| refusal.http_status)
    };
    assert_eq!(delete(&[fields[1]]), Err(400));
    assert_eq!(
        delete(&[fields[0], ("mcp-protocol-version", "2026-07-28")]),
        Err(405)
    );
    assert_eq!(delete(&fields), Ok(0));
    assert_eq!(delete(&fields), Err(404));
    assert_eq!(server.post(&fields, &request("tools/list")).status, 404);
}

#[test]
fn a_session_of_another_principal_is_unknown() {
    let server = Server::new();
    let session = server.session(Revision::V2025_11_25);
    let facts = facts(&[("mcp-session-id", session.as_str())]);
    let list = request("tools/list");
    let message = scan(list.as_bytes(), 64).unwrap();
    let mallory = Principal(7);
    let status = |route: Result<Route<'_>, Refusal<'_>>| told(route).status;
    assert_eq!(
        status(post(
            &facts,
            Accept::ALL,
            &message,
            &server.sessions,
            mallory,
            0
        )),
        404
    );
    assert!(get(&facts, &server.sessions, mallory, 0).is_err());
    assert!(delete(&facts, &server.sessions, mallory, 0).is_err());
    assert_eq!(
        status(post(
            &facts,
            Accept::ALL,
            &message,
            &server.sessions,
            Principal::ANONYMOUS,
            0
        )),
        200
    );
}
