//! Results in both eras.

use super::*;

fn modern(method: Method, result: &str) -> String {
    String::from_utf8(result_to_modern(method, result.as_bytes()).into_owned()).unwrap()
}

fn legacy(method: Method, result: &str) -> String {
    String::from_utf8(result_to_legacy(method, result.as_bytes()).into_owned()).unwrap()
}

fn info() -> String {
    format!(r#""io.modelcontextprotocol/serverInfo":{SERVER_INFO}"#)
}

#[test]
fn a_modern_client_gets_what_every_modern_result_says() {
    let info = info();
    for (method, result, wanted) in [
        (
            Method::CallTool,
            r#"{"content":[],"structuredContent":{"n":1e400}}"#,
            format!(
                r#"{{"resultType":"complete","content":[],"structuredContent":{{"n":1e400}},"_meta":{{{info}}}}}"#
            ),
        ),
        (
            Method::GetPrompt,
            r#"{"messages":[],"_meta":{"k": 1.0}}"#,
            format!(r#"{{"resultType":"complete","messages":[],"_meta":{{{info},"k": 1.0}}}}"#),
        ),
        (
            Method::ReadResource,
            r#"{"contents":[]}"#,
            format!(
                r#"{{"resultType":"complete","contents":[],"ttlMs":0,"cacheScope":"private","_meta":{{{info}}}}}"#
            ),
        ),
        (
            Method::ReadResource,
            r#"{"cacheScope":"public","ttlMs":5,"contents":[],"resultType":"x"}"#,
            format!(
                r#"{{"cacheScope":"public","ttlMs":5,"contents":[],"resultType":"x","_meta":{{{info}}}}}"#
            ),
        ),
        (
            Method::Complete,
            "{}",
            format!(r#"{{"resultType":"complete","_meta":{{{info}}}}}"#),
        ),
        (Method::CallTool, "[]", "[]".to_owned()),
        (Method::CallTool, "{", "{".to_owned()),
    ] {
        assert_eq!(modern(method, result), wanted);
    }
}

#[test]
fn the_upstreams_own_name_stays() {
    let own = r#"{"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"u"}},"content":[]}"#;
    assert_eq!(
        modern(Method::CallTool, own),
        own.replacen('{', r#"{"resultType":"complete","#, 1)
    );
}

#[test]
fn a_legacy_client_gets_nothing_that_only_the_modern_era_says() {
    for (method, result, wanted) in [
        (
            Method::CallTool,
            r#"{"resultType":"complete","content":[],"structuredContent":{"n":1.0},"ttlMs":1}"#,
            r#"{"content":[],"structuredContent":{"n":1.0},"ttlMs":1}"#,
        ),
        (
            Method::CallTool,
            r#"{"content":[],"structuredContent":[1]}"#,
            r#"{"content":[]}"#,
        ),
        (
            Method::ReadResource,
            r#"{"resultType":"complete","contents":[{"ttlMs":1}],"ttlMs":5,"cacheScope":"public"}"#,
            r#"{"contents":[{"ttlMs":1}]}"#,
        ),
        (Method::CallTool, "[]", "[]"),
    ] {
        assert_eq!(legacy(method, result), wanted);
    }
    let plain = r#"{ "content" : [] }"#;
    let same = result_to_legacy(Method::CallTool, plain.as_bytes());
    assert!(matches!(same, Cow::Borrowed(text) if text.as_ptr() == plain.as_ptr()));
}

#[test]
fn what_is_made_modern_and_legacy_again_says_the_same() {
    let named = format!(r#","_meta":{{{}}}}}"#, info());
    for method in [
        Method::CallTool,
        Method::ReadResource,
        Method::GetPrompt,
        Method::ListTools,
    ] {
        for result in [
            r#"{"content":[],"n":9223372036854775808}"#,
            r#"{"a":"\u0000"}"#,
        ] {
            let back = legacy(method, &modern(method, result));
            assert_eq!(back.replace(&named, "}"), result);
        }
    }
}

#[test]
fn a_result_is_what_its_type_says() {
    use ResultKind::*;
    for (result, kind) in [
        ("{}", Complete),
        (r#"{"resultType":"complete"}"#, Complete),
        (
            r#"{"content":[{"resultType":"task"}],"resultType":"input_required"}"#,
            InputRequired,
        ),
        (r#"{"result\u0054ype":"task"}"#, Task),
        (r#"{"resultType":"other"}"#, Complete),
        (r#"{"resultType":7}"#, Complete),
        ("[]", Complete),
        ("", Complete),
    ] {
        assert_eq!(result_kind(result.as_bytes()), kind, "{result}");
    }
}

const LEGACY_TASK: &str = r#""taskId":"t","status":"working","createdAt":"2026-01-01T00:00:00Z","lastUpdatedAt":"2026-01-01T00:00:00Z","ttl":60000,"pollInterval":1000"#;
const MODERN_TASK: &str = r#""taskId":"t","status":"working","createdAt":"2026-01-01T00:00:00Z","lastUpdatedAt":"2026-01-01T00:00:00Z","ttlMs":60000,"pollIntervalMs":1000"#;

#[test]
fn a_call_that_became_a_task_has_the_form_of_the_clients_era() {
    let info = info();
    assert_eq!(
        modern(
            Method::CallTool,
            &format!(r#"{{"task":{{{LEGACY_TASK}}},"_meta":{{"k":1}}}}"#)
        ),
        format!(r#"{{"resultType":"task",{MODERN_TASK},"_meta":{{{info},"k":1}}}}"#)
    );
    assert_eq!(
        legacy(
            Method::CallTool,
            &format!(r#"{{"resultType":"task",{MODERN_TASK},"_meta":{{"k":1}}}}"#)
        ),
        format!(r#"{{"task":{{{LEGACY_TASK}}},"_meta":{{"k":1}}}}"#)
    );
    // A result that only has a member of that name is none.
    let done = r#"{"content":[],"task":{"ttl":1}}"#;
    assert!(modern(Method::CallTool, done).contains(r#""task":{"ttl":1}"#));
}

#[test]
fn a_task_that_is_looked_at_has_the_form_of_the_clients_era() {
    let info = info();
    assert_eq!(
        modern(Method::GetTask, &format!("{{{LEGACY_TASK}}}")),
        format!(r#"{{"resultType":"complete",{MODERN_TASK},"_meta":{{{info}}}}}"#)
    );
    assert_eq!(
        legacy(
            Method::GetTask,
            &format!(
                r#"{{"resultType":"complete",{MODERN_TASK},"result":{{}},"inputRequests":{{}}}}"#
            )
        ),
        format!("{{{LEGACY_TASK}}}")
    );
    assert_eq!(
        modern(Method::CancelTask, &format!("{{{LEGACY_TASK}}}")),
        format!(r#"{{"resultType":"complete","_meta":{{{info}}}}}"#)
    );
}
