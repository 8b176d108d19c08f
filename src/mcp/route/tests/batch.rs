use super::*;

const COUNT_MAX: usize = 3;

fn ping(id: u32) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#)
}

/// The codes of the messages of a batch, 0 for those that are not refused, or the refusal of the whole.
fn read(body: &str) -> Result<Vec<i32>, (i32, String)> {
    let batch = Batch::read(body.as_bytes(), 32, COUNT_MAX)
        .map_err(|refusal| (refusal.code, refusal.reason.to_string()))?;
    let codes: Vec<i32> = batch
        .messages()
        .map(|message| message.map_or_else(|refusal| refusal.code, |_| 0))
        .collect();
    assert_eq!(codes.len(), batch.len());
    Ok(codes)
}

#[test]
fn each_message_of_a_batch_has_its_own_verdict() {
    let mixed = format!(
        "[ {} , 1,\n{}]",
        ping(1),
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#
    );
    assert_eq!(read(&mixed), Ok(vec![0, -32600, 0]));
    let nested = format!("[[{}],{}]", ping(1), INITIALIZE);
    assert_eq!(read(&nested), Ok(vec![-32600, -32600]));
    let body = format!("[[],{INITIALIZE}]");
    let batch = Batch::read(body.as_bytes(), 32, COUNT_MAX).unwrap();
    let refusals: Vec<_> = batch.messages().map(Result::unwrap_err).collect();
    assert!(matches!(refusals[0].reason, Reason::BatchNested));
    assert!(matches!(refusals[1].reason, Reason::BatchInitialize));
    assert!(refusals[1].id.is_some(), "its sender learns of it");
}

#[test]
fn a_batch_keeps_to_its_bounds() {
    let (code, text) = read(" [ ] ").unwrap_err();
    assert!(code == -32600 && text.contains("empty"), "{text}");
    let many = vec![ping(1); COUNT_MAX + 1].join(",");
    let (code, text) = read(&format!("[{many}]")).unwrap_err();
    assert!(code == -32600 && text.contains("batch_count_max"), "{text}");
    let most = vec![ping(1); COUNT_MAX].join(",");
    assert_eq!(read(&format!("[{most}]")), Ok(vec![0; COUNT_MAX]));
    for broken in ["[", "[1,]", "[1] 2", "[}", "{}", "[\"\u{1}\"]"] {
        assert_eq!(read(broken).unwrap_err().0, -32700, "{broken}");
    }
    let deep = format!("[{}{}]", "[".repeat(40), "]".repeat(40));
    assert_eq!(read(&deep).unwrap_err().0, -32700);
}

#[test]
fn only_sessions_of_the_one_revision_may_send_batches() {
    assert!(is_batch(b" \r\n\t[") && !is_batch(b" {") && !is_batch(b""));
    let server = Server::new();
    let may = |fields: &[(&str, &str)]| {
        let facts = facts(fields);
        batch_session(&facts, &server.sessions, Principal::ANONYMOUS, 0)
            .map(|_| ())
            .map_err(|refusal| (refusal.http_status, refusal.code))
    };
    for revision in Revision::ALL.into_iter().filter(|one| one.over_http()) {
        if revision.era() == Era::Modern {
            continue;
        }
        let session = server.session(revision);
        let fields = [("mcp-session-id", session.as_str())];
        let expected = if revision == Revision::V2025_03_26 {
            Ok(())
        } else {
            Err((400, -32600))
        };
        assert_eq!(may(&fields), expected, "{revision:?}");
        let modern = [fields[0], ("mcp-protocol-version", "2026-07-28")];
        assert_eq!(may(&modern), Err((400, -32600)));
        let unknown = [fields[0], ("mcp-protocol-version", "1999-01-01")];
        assert_eq!(may(&unknown), Err((400, -32022)));
    }
    assert_eq!(may(&[]), Err((400, -32600)));
    assert_eq!(may(&[("mcp-session-id", "nonsense")]), Err((404, -32600)));
}

/// A body that is an array and comes alone is refused as before, and told what to do.
#[test]
fn an_array_where_one_message_belongs_is_refused_with_the_remedy() {
    let server = Server::new();
    let session = server.session(Revision::V2025_06_18);
    let told = server.post(
        &[("mcp-session-id", &session)],
        r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
    );
    assert_eq!((told.status, told.code), (400, -32600));
    assert!(told.text.contains("one message at a time"));
}
