use super::*;

#[test]
fn an_excerpt_is_bounded_and_shows_no_control_characters() {
    let long = [b'a'; 500];
    assert_eq!(
        Excerpt(&long).to_string().chars().count(),
        EXCERPT_BYTES_MAX + 1
    );
    let shown = Excerpt(b"a\x1b[31m\r\n\xff\xe2\x80\xaeb").to_string();
    assert_eq!(shown, "a\u{fffd}[31m\u{fffd}\u{fffd}\u{fffd}\u{fffd}b");
}

#[test]
fn a_refusal_is_json_whatever_it_quotes() {
    let nasty = b"\"\\\x00\x1f\xff\xed\xa0\x80</script>";
    for reason in [
        Reason::Host { value: Some(nasty) },
        Reason::HeaderMalformed {
            header: "Mcp-Name",
            value: nasty,
        },
        Reason::Version {
            requested: Requested::Header(nasty),
        },
    ] {
        let mut out = Vec::new();
        Refusal::new(reason, None).write(&mut out);
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["jsonrpc"], "2.0");
        assert!(value.get("id").is_none());
        assert!(!value["error"]["message"].as_str().unwrap().is_empty());
    }
}

#[test]
fn an_unsupported_version_lists_the_supported_ones_and_repeats_the_asked_one() {
    let mut out = Vec::new();
    Refusal::new(
        Reason::Version {
            requested: Requested::Header(b"v999.0.0"),
        },
        None,
    )
    .write(&mut out);
    let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(value["error"]["code"], -32022);
    assert_eq!(value["error"]["data"]["requested"], "v999.0.0");
    assert_eq!(value["error"]["data"]["supported"][0], "2026-07-28");
}

fn written(reason: Reason<'_>) -> (u16, serde_json::Value) {
    let refusal = Refusal::new(reason, None);
    let mut out = Vec::new();
    refusal.write(&mut out);
    let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
    (refusal.http_status, value["error"].clone())
}

fn text(quoted: &str) -> Str<'_> {
    json::Reader::from_text(quoted, 0).string().unwrap()
}

#[test]
fn each_era_has_its_own_code_for_a_resource_that_is_not_there() {
    for (era, code) in [(Era::Legacy, -32002), (Era::Modern, -32602)] {
        let uri = text(r#""a:\u00e9\"""#);
        let (status, error) = written(Reason::UnknownResource { uri, era });
        assert_eq!((status, &error["code"]), (200, &serde_json::json!(code)));
        assert_eq!(error["data"]["uri"], "a:é\"");
    }
    let long = format!("\"{}\"", "a".repeat(5_000));
    let uri = text(&long);
    let era = Era::Modern;
    let (_, error) = written(Reason::UnknownResource { uri, era });
    assert!(
        error["data"]["uri"].as_str().unwrap().len() < 100,
        "it is cut"
    );
}

#[test]
fn a_missing_capability_is_named_as_it_is_declared() {
    let required = ClientCapabilities::ELICITATION_FORM.with(ClientCapabilities::TASKS);
    let (status, error) = written(Reason::Capability { required });
    assert_eq!((status, &error["code"]), (400, &serde_json::json!(-32021)));
    assert_eq!(
        error["data"]["requiredCapabilities"],
        serde_json::json!({"elicitation": {"form": {}}, "extensions": {"io.modelcontextprotocol/tasks": {}}})
    );
}

#[test]
fn what_is_not_there_any_longer_and_what_is_not_taken_have_their_codes() {
    let name = text("\"x\"");
    let value = b"9-9".as_slice();
    let modern = Revision::V2026_07_28;
    let legacy = Revision::V2025_11_25;
    let method = Method::ListPrompts;
    for (reason, status, code) in [
        (Reason::UnknownPrompt { name }, 200, -32602),
        (Reason::UnknownTemplate { template: name }, 200, -32602),
        (Reason::UnknownTask { task: name }, 200, -32602),
        (Reason::UnknownLevel { level: name }, 200, -32602),
        (Reason::TaskEnded { status: "failed" }, 200, -32602),
        (
            Reason::TaskSupport {
                name,
                required: true,
            },
            200,
            -32601,
        ),
        (
            Reason::TaskSupport {
                name,
                required: false,
            },
            200,
            -32601,
        ),
        (
            Reason::NotOffered {
                method,
                revision: modern,
            },
            404,
            -32601,
        ),
        (
            Reason::NotOffered {
                method,
                revision: legacy,
            },
            200,
            -32601,
        ),
        (
            Reason::State {
                fault: StateFault::Forged,
            },
            200,
            -32602,
        ),
        (
            Reason::State {
                fault: StateFault::Expired,
            },
            200,
            -32602,
        ),
        (
            Reason::State {
                fault: StateFault::OtherRequest,
            },
            200,
            -32602,
        ),
        (Reason::EventId { value }, 400, -32600),
        (Reason::EventsGone { value }, 410, -32600),
        (Reason::BatchTooLong { count_max: 7 }, 400, -32600),
        (Reason::NoSseSession, 400, -32600),
    ] {
        let (found, error) = written(reason);
        assert_eq!(
            (found, &error["code"]),
            (status, &serde_json::json!(code)),
            "{reason:?}"
        );
        assert!(!error["message"].as_str().unwrap().is_empty(), "{reason:?}");
    }
}

#[test]
fn a_list_without_all_of_its_upstreams_names_the_one_that_is_missing() {
    let upstream = ShortName::new("files");
    let (status, error) = written(Reason::ListIncomplete { upstream });
    assert_eq!((status, &error["code"]), (200, &serde_json::json!(-32603)));
    let message = error["message"].as_str().unwrap();
    for part in ["upstream files", "upstreams.files.fail", "try again later"] {
        assert!(message.contains(part), "{part} is missing in {message}");
    }
    let long = "é".repeat(20);
    assert_eq!(ShortName::new(&long).as_str(), "é".repeat(16), "cut");
}
