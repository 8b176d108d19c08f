//! Parameters in both eras.

use super::*;

const MODERN: &str = r#"{"name":"x","arguments":{"n":1e400,"io.modelcontextprotocol/logLevel":1},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","progressToken":9223372036854775808,"io.modelcontextprotocol/clientCapabilities":{},"traceparent":"00-1-2-03","io.modelcontextprotocol/clientInfo":{"name":"c","version":"1"},"example.com/k":1.0,"io.modelcontextprotocol/logLevel":"debug"},"inputResponses":{"a":{}},"requestState":"s","unknown":[-0]}"#;

fn who(client_info: Option<&[u8]>) -> Who<'_> {
    Who {
        capabilities: ClientCapabilities::ROOTS.with(ClientCapabilities::TASKS),
        client_info,
        log_level: Some(LogLevel::Warning),
    }
}

fn legacy(params: &str) -> String {
    String::from_utf8(params_to_legacy(params.as_bytes()).into_owned()).unwrap()
}

fn modern(params: Option<&str>, who: &Who<'_>) -> String {
    String::from_utf8(params_to_modern(params.map(str::as_bytes), who)).unwrap()
}

#[test]
fn a_legacy_upstream_gets_nothing_that_only_the_modern_era_has() {
    assert_eq!(
        legacy(MODERN),
        r#"{"name":"x","arguments":{"n":1e400,"io.modelcontextprotocol/logLevel":1},"_meta":{"progressToken":9223372036854775808,"traceparent":"00-1-2-03","example.com/k":1.0},"unknown":[-0]}"#
    );
    for (params, wanted) in [
        (r#"{"_meta":{},"a":1}"#, r#"{"a":1}"#),
        (
            r#"{"_meta":{"io.modelcontextprotocol\/logLevel":"info"}}"#,
            "{}",
        ),
        (r#"{"_meta":null}"#, r#"{"_meta":null}"#),
        (r#"{"task":{"ttl":1},"name":"x"}"#, r#"{"name":"x"}"#),
        (r#"{"request\u0053tate":1}"#, "{}"),
        ("[1.0]", "[1.0]"),
        (r#"{"task":1"#, r#"{"task":1"#),
    ] {
        assert_eq!(legacy(params), wanted, "{params}");
    }
}

#[test]
fn parameters_that_have_nothing_modern_are_the_very_bytes() {
    for params in [
        "{}",
        r#"{ "name" : "x", "_meta" : { "progressToken" : 1 } }"#,
        "",
        "{",
    ] {
        let same = params_to_legacy(params.as_bytes());
        assert!(matches!(same, Cow::Borrowed(text) if text.as_ptr() == params.as_ptr()));
    }
}

#[test]
fn a_modern_upstream_gets_what_every_modern_request_says() {
    let info = br#"{"name":"c","version":"1.0"}"#;
    let said = concat!(
        r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
        r#""io.modelcontextprotocol/clientCapabilities":{"roots":{},"extensions":{"io.modelcontextprotocol/tasks":{}}},"#,
        r#""io.modelcontextprotocol/clientInfo":{"name":"c","version":"1.0"},"#,
        r#""io.modelcontextprotocol/logLevel":"warning""#
    );
    let who = who(Some(info));
    for (params, wanted) in [
        (None, format!(r#"{{"_meta":{{{said}}}}}"#)),
        (Some("{}"), format!(r#"{{"_meta":{{{said}}}}}"#)),
        (
            Some(r#"{"cursor":"","n":2.50}"#),
            format!(r#"{{"cursor":"","n":2.50,"_meta":{{{said}}}}}"#),
        ),
        (
            Some(
                r#"{"_meta":{"progressToken": 1, "io.modelcontextprotocol/logLevel":"x"},"name":"t","task":{"ttl":5}}"#,
            ),
            format!(r#"{{"_meta":{{{said},"progressToken": 1}},"name":"t"}}"#),
        ),
        (Some(r#"{"_meta":7}"#), format!(r#"{{"_meta":{{{said}}}}}"#)),
        (Some("[]"), "[]".to_owned()),
    ] {
        assert_eq!(modern(params, &who), wanted, "{params:?}");
    }
}

#[test]
fn a_client_that_does_not_say_who_it_is_is_named_after_us() {
    let us = format!(
        r#""io.modelcontextprotocol/clientInfo":{{"name":"margay","version":"{}"}}"#,
        env!("CARGO_PKG_VERSION")
    );
    for info in [None, Some(&b"7"[..]), Some(b"{"), Some(b"{}{}")] {
        let made = modern(None, &who(info));
        assert!(made.contains(&us), "{made}");
    }
    let mut quiet = who(None);
    quiet.log_level = None;
    assert!(!modern(None, &quiet).contains("logLevel"));
}

#[test]
fn what_is_made_modern_and_legacy_again_is_what_it_was() {
    for params in [
        "{}",
        r#"{"name":"x","arguments":{"n":1e400}}"#,
        r#"{"_meta":{"progressToken":"a\u0062"},"uri":"a:b"}"#,
        "null",
    ] {
        assert_eq!(legacy(&modern(Some(params), &who(None))), params);
    }
}

#[test]
fn capabilities_are_declared_in_the_words_of_the_revision() {
    let all = ClientCapabilities::from_bits(0b111_1111);
    let with = ClientCapabilities::with;
    let form = ClientCapabilities::ELICITATION_FORM;
    let url = ClientCapabilities::ELICITATION_URL;
    for (capabilities, revision, wanted) in [
        (ClientCapabilities::NONE, Revision::V2025_11_25, "{}"),
        (ClientCapabilities::NONE, Revision::MODERN, "{}"),
        (all, Revision::V2024_11_05, r#"{"roots":{},"sampling":{}}"#),
        (
            all,
            Revision::V2025_06_18,
            r#"{"roots":{},"sampling":{},"elicitation":{}}"#,
        ),
        (
            all,
            Revision::V2025_11_25,
            r#"{"roots":{},"sampling":{"tools":{},"context":{}},"elicitation":{"form":{},"url":{}},"tasks":{}}"#,
        ),
        (
            all,
            Revision::MODERN,
            r#"{"roots":{},"sampling":{"tools":{},"context":{}},"elicitation":{"form":{},"url":{}},"extensions":{"io.modelcontextprotocol/tasks":{}}}"#,
        ),
        (url, Revision::V2025_06_18, "{}"),
        (
            with(url, ClientCapabilities::SAMPLING_TOOLS),
            Revision::V2025_11_25,
            r#"{"sampling":{"tools":{}},"elicitation":{"url":{}}}"#,
        ),
        (form, Revision::V2025_03_26, "{}"),
    ] {
        let text = capabilities_text(capabilities, revision);
        assert_eq!(String::from_utf8(text).unwrap(), wanted, "{revision:?}");
    }
}

#[test]
fn every_set_reads_back_from_the_latest_revision_of_each_era() {
    for bits in 0..=0b111_1111 {
        let set = ClientCapabilities::from_bits(bits);
        for revision in [Revision::V2025_11_25, Revision::MODERN] {
            let again = ClientCapabilities::read(&capabilities_text(set, revision), 8).unwrap();
            assert!(again.contains(set), "{set} {revision:?}");
        }
    }
}

#[test]
fn a_retry_has_its_own_answers_and_state_and_no_others() {
    let answers = |pairs: &[(&str, &str)]| -> Vec<(String, Vec<u8>)> {
        let owned = |(key, text): &(&str, &str)| ((*key).to_owned(), text.as_bytes().to_vec());
        pairs.iter().map(owned).collect()
    };
    let put = |params: &str, responses: &[(&str, &str)], state| {
        let text = with_responses(params.as_bytes(), &answers(responses), state);
        String::from_utf8(text).unwrap()
    };
    let old = r#"{"inputResponses":{"x":{}},"name":"t","requestState":"old"}"#;
    assert_eq!(put(old, &[], None), r#"{"name":"t"}"#);
    assert_eq!(
        put(old, &[("a\"", r#"{"n":1.0}"#), ("b", "{}")], Some("s\\")),
        r#"{"name":"t","inputResponses":{"a\"":{"n":1.0},"b":{}},"requestState":"s\\"}"#
    );
    assert_eq!(put("{}", &[], Some("s")), r#"{"requestState":"s"}"#);
    assert_eq!(put("[]", &[], Some("s")), "[]");
}

#[test]
fn ids_and_references_are_named_anew_where_they_stand() {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    assert_eq!(
        text(set_task_id(br#"{"taskId":"a","n":1.0}"#, "b\"")),
        r#"{"taskId":"b\"","n":1.0}"#
    );
    assert_eq!(text(set_task_id(b"{}", "b")), r#"{"taskId":"b"}"#);
    assert_eq!(text(set_task_id(b"7", "b")), "7");
    let prompt = r#"{"ref":{"type":"ref/prompt","name":"a","title":"A"},"argument":{"name":"n","value":"v"}}"#;
    assert_eq!(
        text(set_reference(prompt.as_bytes(), "b")),
        prompt.replace(r#""name":"a""#, r#""name":"b""#)
    );
    for other in [
        r#"{"ref":{"type":"ref/resource","uri":"a:{b}"}}"#,
        r#"{"ref":"a","name":"a"}"#,
        "{}",
        "",
    ] {
        assert_eq!(text(set_reference(other.as_bytes(), "b")), other);
    }
}
