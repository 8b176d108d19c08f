//! Ids of tasks, wherever they stand.

use super::*;

fn renamed(text: &str) -> (String, Vec<String>) {
    let mut seen = Vec::new();
    let new = rename_tasks(text.as_bytes(), &mut |id| {
        seen.push(id.to_owned());
        (id != "keep").then(|| format!("up.{id}.mac"))
    });
    (String::from_utf8(new.into_owned()).unwrap(), seen)
}

#[test]
fn every_id_of_a_task_is_renamed_and_nothing_else_is() {
    for (text, wanted) in [
        // A task that was made, in both forms.
        (
            r#"{"resultType":"task","taskId":"t","ttlMs":1e3}"#,
            r#"{"resultType":"task","taskId":"up.t.mac","ttlMs":1e3}"#,
        ),
        (
            r#"{"task":{"taskId":"t","ttl":null}}"#,
            r#"{"task":{"taskId":"up.t.mac","ttl":null}}"#,
        ),
        // Lists.
        (
            r#"{"tasks":[{"taskId":"a"},7,{"taskId":"b"}, [ ]],"nextCursor":"a"}"#,
            r#"{"tasks":[{"taskId":"up.a.mac"},7,{"taskId":"up.b.mac"}, [ ]],"nextCursor":"a"}"#,
        ),
        // What belongs to a task: a result, a question, a notification.
        (
            r#"{"content":[],"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"t"}}}"#,
            r#"{"content":[],"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"up.t.mac"}}}"#,
        ),
        (
            r#"{"taskId":"t","result":{"content":[],"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"t"}}}}"#,
            r#"{"taskId":"up.t.mac","result":{"content":[],"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"up.t.mac"}}}}"#,
        ),
        (
            r#"{"inputRequests":{"taskId":{"method":"x","params":{"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"t"}}}}}}"#,
            r#"{"inputRequests":{"taskId":{"method":"x","params":{"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"up.t.mac"}}}}}}"#,
        ),
        // An id with escapes.
        (r#"{"taskId":"\u0074"}"#, r#"{"taskId":"up.t.mac"}"#),
        (r#"{"task\u0049d":"t"}"#, r#"{"task\u0049d":"up.t.mac"}"#),
    ] {
        assert_eq!(renamed(text).0, wanted);
    }
}

#[test]
fn what_only_looks_like_an_id_stays() {
    for text in [
        r#"{"structuredContent":{"taskId":"t","task":{"taskId":"t"}},"content":[{"taskId":"t"}]}"#,
        r#"{"taskId":7,"task":"t","tasks":{"taskId":"t"},"_meta":{"taskId":"t"}}"#,
        r#"{"result":{"taskId":"t"},"inputRequests":{"k":{"taskId":"t","params":{"taskId":"t"}}}}"#,
        r#"[{"taskId":"t"}]"#,
        r#"{"taskId":"t""#,
        r#"{"taskId":"t"}x"#,
        r#"{"taskId":"keep"}"#,
        "",
    ] {
        let same = rename_tasks(text.as_bytes(), &mut |id| (id != "keep").then(String::new));
        assert!(
            matches!(same, Cow::Borrowed(kept) if kept.as_ptr() == text.as_ptr()),
            "{text}"
        );
    }
}

#[test]
fn each_id_is_asked_for_once_and_in_order() {
    let (text, seen) = renamed(r#"{"tasks":[{"taskId":"a"},{"taskId":"keep"},{"taskId":"b"}]}"#);
    assert_eq!(seen, ["a", "keep", "b"]);
    assert_eq!(
        text,
        r#"{"tasks":[{"taskId":"up.a.mac"},{"taskId":"keep"},{"taskId":"up.b.mac"}]}"#
    );
}
