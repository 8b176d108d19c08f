use super::*;
use crate::mcp::sessions::SessionFacts;

const ALICE: Principal = Principal(1);

struct Sse {
    sessions: Sessions,
    id: SessionId,
}

impl Sse {
    fn new() -> Self {
        let sessions = Sessions::new(10, 1000);
        let id = sessions.create_sse([1; 16], ALICE, 0).unwrap();
        Self { sessions, id }
    }

    fn find(&self, text: Option<&[u8]>, principal: Principal) -> Result<SessionFacts, u16> {
        sse_session(text, &self.sessions, principal, 0)
            .map(|(_, facts)| facts)
            .map_err(|refusal| refusal.http_status)
    }

    fn send(&self, body: &str) -> Told {
        let text = self.id.text();
        let facts = self.find(Some(&text), ALICE).unwrap();
        told(
            scan(body.as_bytes(), 64)
                .and_then(|message| sse_message(self.id, &facts, &message, &self.sessions, ALICE)),
        )
    }
}

#[test]
fn a_posted_message_needs_the_session_of_its_stream() {
    let sse = Sse::new();
    let text = sse.id.text();
    assert!(sse.find(Some(&text), ALICE).is_ok());
    assert_eq!(sse.find(Some(&text), Principal(2)), Err(404));
    assert_eq!(sse.find(None, ALICE), Err(400));
    for unknown in ["", "nonsense", "00000000000000000000000000000000"] {
        assert_eq!(sse.find(Some(unknown.as_bytes()), ALICE), Err(404));
    }
    // A session of the one transport is none of the other.
    let streamable = sse
        .sessions
        .create(NewSession {
            random: [2; 16],
            principal: ALICE,
            revision: Revision::V2025_11_25,
            capabilities: ClientCapabilities::NONE,
            client_info: None,
            now_ms: 0,
        })
        .unwrap();
    assert_eq!(sse.find(Some(&streamable.text()), ALICE), Err(404));
    let facts = HttpFacts {
        session_id: Some(&text),
        accept: Some(b"text/event-stream"),
        ..HttpFacts::default()
    };
    let refusal = get(&facts, &sse.sessions, ALICE, 0).unwrap_err();
    assert_eq!(refusal.http_status, 404);
    assert!(delete(&facts, &sse.sessions, ALICE, 0).is_err());
    assert!(sse.find(Some(&text), ALICE).is_ok(), "it is still there");
}

#[test]
fn over_sse_the_handshake_comes_first_and_once_and_settles_any_legacy_revision() {
    for (asked, settled) in [
        ("2024-11-05", Revision::V2024_11_05),
        ("2025-03-26", Revision::V2025_03_26),
        ("2025-11-25", Revision::V2025_11_25),
        ("1999-01-01", Revision::LEGACY_LATEST),
    ] {
        let sse = Sse::new();
        assert_eq!(sse.send(&request("tools/list")).code, -32600);
        assert_eq!(sse.send(&request("ping")).code, 0);
        let told = sse.send(&INITIALIZE.replace("2025-06-18", asked));
        assert_eq!(told.code, 0, "{told:?}");
        let facts = sse.sessions.get(sse.id, ALICE).unwrap();
        assert_eq!(facts.revision, settled);
        assert_eq!(facts.capabilities, ClientCapabilities::ELICITATION_FORM);
        assert_eq!(sse.send(INITIALIZE).code, -32600, "once");
        let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        assert_eq!(sse.send(initialized).status, 202);
        assert!(sse.sessions.get(sse.id, ALICE).unwrap().initialized);
        let told = sse.send(&request("tools/list"));
        assert!(told.text.contains(&format!("{settled:?}")), "{told:?}");
        assert!(told.text.contains("respond: Json"), "{told:?}");
        let answer = sse.send(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
        assert_eq!(answer.status, 202);
    }
}

#[test]
fn the_modern_era_is_not_spoken_over_sse() {
    let sse = Sse::new();
    sse.send(INITIALIZE);
    let modern =
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{{MODERN_META}}}}}"#);
    assert_eq!(sse.send(&modern).code, -32022);
    assert_eq!(
        sse.send(&modern.replace("2026-07-28", "2099-01-01")).code,
        -32022
    );
    assert_eq!(sse.send(&request("server/discover")).code, -32601);
}

#[test]
fn a_stream_is_opened_by_whoever_takes_events() {
    let admits = |accept: Option<&'static [u8]>| {
        let facts = HttpFacts {
            accept,
            ..HttpFacts::default()
        };
        admit_sse(&facts).map_err(|refusal| refusal.http_status)
    };
    assert_eq!(admits(None), Ok(()));
    assert_eq!(admits(Some(b"text/event-stream")), Ok(()));
    assert_eq!(admits(Some(b"*/*")), Ok(()));
    assert_eq!(admits(Some(b"application/json")), Err(406));
}
