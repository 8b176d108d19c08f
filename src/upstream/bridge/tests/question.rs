//! Questions and answers in both eras.

use super::*;
use crate::upstream::bridge::{ResultKind, result_kind};

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn question(key: &str, method: &str, params: &str) -> Question {
    Question {
        key: key.to_owned(),
        method: method.to_owned(),
        params: params.as_bytes().to_vec(),
    }
}

#[test]
fn the_questions_of_a_result_are_read_with_their_very_parameters() {
    let result = r#"{"resultType":"input_required","inputRequests":{
        "a\"":{"method":"elicitation/create","params":{"message":"m","n":1e400}},
        "b":{"method":"roots\/list"}},"requestState":"s\u0041"}"#;
    let asked = read_input_required(result.as_bytes()).unwrap();
    let wanted = [
        question("a\"", ELICIT, r#"{"message":"m","n":1e400}"#),
        question("b", LIST_ROOTS, "{}"),
    ];
    assert_eq!(asked.questions, wanted);
    assert_eq!(asked.state.as_deref(), Some("sA"));
    let only_state = read_input_required(br#"{"requestState":""}"#).unwrap();
    assert_eq!(
        (only_state.questions.len(), only_state.state),
        (0, Some(String::new()))
    );
}

#[test]
fn what_asks_nothing_or_not_as_it_should_is_no_question() {
    for result in [
        "{}",
        "[]",
        "",
        r#"{"inputRequests":{}}"#,
        r#"{"inputRequests":[]}"#,
        r#"{"inputRequests":{"a":{}}}"#,
        r#"{"inputRequests":{"a":{"method":7}}}"#,
        r#"{"inputRequests":{"a":{"method":"roots/list","params":[]}}}"#,
        r#"{"inputRequests":{"a":{"method":"x"},"\u0061":{"method":"y"}}}"#,
        r#"{"inputRequests":{"a":{"method":"x"}},"requestState":7}"#,
    ] {
        assert_eq!(read_input_required(result.as_bytes()), None, "{result}");
    }
}

#[test]
fn an_upstream_asks_only_so_much_at_once() {
    let asking = |count: usize| {
        let questions: Vec<Question> = (0..count)
            .map(|index| question(&index.to_string(), LIST_ROOTS, "{}"))
            .collect();
        read_input_required(&write_input_required(&questions, "s"))
            .map(|asked| asked.questions.len())
    };
    assert_eq!(asking(QUESTIONS_PER_CALL_MAX), Some(QUESTIONS_PER_CALL_MAX));
    assert_eq!(asking(QUESTIONS_PER_CALL_MAX + 1), None);
}

#[test]
fn a_result_that_asks_says_all_that_a_modern_result_says() {
    let written = write_input_required(&[question("k", SAMPLE, r#"{"maxTokens":1.0}"#)], "a\"b");
    assert_eq!(result_kind(&written), ResultKind::InputRequired);
    assert_eq!(
        text(&written),
        format!(
            r#"{{"resultType":"input_required","inputRequests":{{"k":{{"method":"sampling/createMessage","params":{{"maxTokens":1.0}}}}}},"requestState":"a\"b","_meta":{{"io.modelcontextprotocol/serverInfo":{SERVER_INFO}}}}}"#
        )
    );
    assert!(!text(&write_input_required(&[], "s")).contains("inputRequests"));
}

#[test]
fn a_client_is_asked_only_what_it_declared() {
    let all = ClientCapabilities::from_bits(0b111_1111);
    for (method, params, lacks) in [
        (ELICIT, r#"{"message":"m"}"#, "elicitation.form"),
        (ELICIT, r#"{"mode":"form"}"#, "elicitation.form"),
        (ELICIT, r#"{"mode":"\u0075rl"}"#, "elicitation.url"),
        (ELICIT, "", "elicitation.form"),
        (SAMPLE, "{}", "sampling"),
        (SAMPLE, r#"{"tools":[]}"#, "sampling"),
        (LIST_ROOTS, "{}", "roots"),
    ] {
        assert_eq!(may_ask(all, method, params.as_bytes()), Ok(()));
        let refused = may_ask(ClientCapabilities::NONE, method, params.as_bytes());
        assert_eq!(refused, Err(lacks), "{method} {params}");
    }
    let samples = ClientCapabilities::SAMPLING;
    for params in [r#"{"tools":[]}"#, r#"{"toolChoice":{}}"#] {
        assert_eq!(
            may_ask(samples, SAMPLE, params.as_bytes()),
            Err("sampling.tools")
        );
    }
    assert_eq!(
        may_ask(
            ClientCapabilities::ELICITATION_FORM,
            ELICIT,
            br#"{"mode":"url"}"#
        ),
        Err("elicitation.url")
    );
    for two in [
        r#"{"mode":"form","mode":"url"}"#,
        r#"{"mode":"url","mod\u0065":7}"#,
    ] {
        for one in [
            ClientCapabilities::ELICITATION_FORM,
            ClientCapabilities::ELICITATION_URL,
        ] {
            assert!(may_ask(one, ELICIT, two.as_bytes()).is_err(), "{two}");
        }
    }
    for method in ["ping", "tools/call", ""] {
        assert_eq!(may_ask(all, method, b"{}"), Err("unknown"));
        assert_eq!(needed_to_ask(method, b"{}"), None);
    }
}

#[test]
fn a_legacy_question_loses_what_belongs_to_a_request_of_its_own() {
    for (method, params, wanted) in [
        (
            ELICIT,
            r#"{"mode":"url","message":"m","url":"https://a","elicitationId":"e","task":{"ttl":1}}"#,
            r#"{"mode":"url","message":"m","url":"https://a"}"#,
        ),
        (
            SAMPLE,
            r#"{"messages":[],"maxTokens":1.0,"_meta":{"progressToken":1,"io.modelcontextprotocol/related-task":{"taskId":"t"}}}"#,
            r#"{"messages":[],"maxTokens":1.0}"#,
        ),
        (
            SAMPLE,
            r#"{"_meta":{"progressToken":1,"traceparent":"x"},"elicitationId":"e"}"#,
            r#"{"_meta":{"traceparent":"x"},"elicitationId":"e"}"#,
        ),
        (LIST_ROOTS, "{}", "{}"),
        (LIST_ROOTS, "7", "7"),
    ] {
        assert_eq!(text(&question_to_modern(method, params.as_bytes())), wanted);
    }
}

#[test]
fn a_modern_question_has_the_form_of_the_clients_revision() {
    let latest = Revision::V2025_11_25;
    let before = Revision::V2025_06_18;
    let form = r#"{"mode":"form","message":"m","requestedSchema":{}}"#;
    let several = r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},{"role":"user","content":{"n":1.0}}],"maxTokens":5}"#;
    for (method, params, revision, wanted) in [
        (ELICIT, form, latest, form),
        (
            ELICIT,
            form,
            before,
            r#"{"message":"m","requestedSchema":{}}"#,
        ),
        (SAMPLE, several, latest, several),
        (
            SAMPLE,
            several,
            before,
            r#"{"messages":[{"role":"user","content":{"type":"text","text":"a"}},{"role":"user","content":{"type":"text","text":"b"}},{"role":"user","content":{"n":1.0}}],"maxTokens":5}"#,
        ),
        (LIST_ROOTS, "{}", before, "{}"),
        (SAMPLE, r#"{"messages":7}"#, before, r#"{"messages":7}"#),
        (ELICIT, "[", before, "["),
    ] {
        let asked = question_to_legacy(method, params.as_bytes(), revision);
        assert_eq!(text(&asked), wanted);
    }
}

#[test]
fn a_page_gets_an_id_of_its_own_that_stays() {
    let page = |url: &str| {
        let params = format!(r#"{{"mode":"url","message":"m","url":"{url}"}}"#);
        let asked = question_to_legacy(ELICIT, params.as_bytes(), Revision::V2025_11_25);
        let object = Object::read(&asked).unwrap();
        object
            .find("elicitationId")
            .unwrap()
            .string()
            .unwrap()
            .to_cow()
            .into_owned()
    };
    assert_eq!(page("https://a").len(), 32);
    assert_eq!(page("https://a"), page("https://a"));
    assert_ne!(page("https://a"), page("https://b"));
    let named = r#"{"mode":"url","elicitationId":"e"}"#;
    let kept = question_to_legacy(ELICIT, named.as_bytes(), Revision::V2025_11_25);
    assert_eq!(text(&kept), named);
}

#[test]
fn the_answers_of_a_retry_are_read_and_put_in_again() {
    let responses =
        r#"{"a\"":{"action":"accept","content":{"n":1e400}},"b":7,"a\u0022":{},"c":{}}"#;
    let answers = read_responses(responses.as_bytes());
    let wanted = [
        (
            "a\"".to_owned(),
            br#"{"action":"accept","content":{"n":1e400}}"#.to_vec(),
        ),
        ("c".to_owned(), b"{}".to_vec()),
    ];
    assert_eq!(answers, wanted);
    for wrong in ["", "[]", "null", "{\"a\":{}"] {
        assert!(read_responses(wrong.as_bytes()).is_empty());
    }
    let many: Vec<String> = (0..=INPUT_RESPONSE_COUNT_MAX)
        .map(|n| format!("\"{n}\":{{}}"))
        .collect();
    let many = format!("{{{}}}", many.join(","));
    assert_eq!(
        read_responses(many.as_bytes()).len(),
        INPUT_RESPONSE_COUNT_MAX
    );
}

#[test]
fn a_legacy_answer_is_a_modern_one_unless_it_is_an_error() {
    let result = br#"{"action":"accept","content":{"n":1.0}}"#;
    let error = br#"{"code":-1,"message":"no"}"#;
    for method in [ELICIT, SAMPLE, LIST_ROOTS] {
        assert_eq!(
            answer_to_modern(method, Ok(result)).as_deref(),
            Some(&result[..])
        );
        assert_eq!(answer_to_modern(method, Ok(b"7")), None);
    }
    let cancelled = answer_to_modern(ELICIT, Err(error)).unwrap();
    assert_eq!(text(&cancelled), r#"{"action":"cancel"}"#);
    assert_eq!(answer_to_modern(SAMPLE, Err(error)), None);
    assert_eq!(answer_to_modern(LIST_ROOTS, Err(error)), None);
}

#[test]
fn a_modern_sample_has_one_content_where_there_was_only_one() {
    let sample =
        |content: &str| format!(r#"{{"role":"assistant","content":{content},"model":"m"}}"#);
    let texts = r#"[{"type":"text","text":"a"},{"type":"text","text":"\"b"}]"#;
    let image = r#"[{"type":"image","data":"","mimeType":"m"},{"type":"text","text":"a"}]"#;
    for (content, wanted) in [
        (
            r#"[{"type":"image","n":1.0}]"#,
            r#"{"type":"image","n":1.0}"#,
        ),
        (texts, r#"{"type":"text","text":"a\"b"}"#),
        (
            r#"{"type":"text","text":"a"}"#,
            r#"{"type":"text","text":"a"}"#,
        ),
        (image, image),
        ("7", "7"),
    ] {
        let result = sample(content);
        let to = |method, revision| {
            text(&answer_to_legacy(method, result.as_bytes(), revision)).to_owned()
        };
        assert_eq!(to(SAMPLE, Revision::V2025_06_18), sample(wanted));
        assert_eq!(to(SAMPLE, Revision::V2025_11_25), result);
        assert_eq!(to(ELICIT, Revision::V2025_06_18), result);
    }
}
