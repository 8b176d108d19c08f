//! What has to hold for any text, for fuzzing and property tests.

use std::borrow::Cow;

use super::object::Object;
use super::*;
use crate::mcp::{ClientCapabilities, Era, LogLevel, Method, Revision};
use crate::wire::json::{DEPTH_CAP, validate};

/// Nesting of a message; some texts are put deeper into another.
const DEPTH_MAX: usize = 32;

/// Whatever may go, get another value or another name.
const TOUCHED: [&str; 24] = [
    "_meta",
    "cacheScope",
    "code",
    "content",
    "createdAt",
    "elicitationId",
    "error",
    "inputRequests",
    "inputResponses",
    "messages",
    "mode",
    "params",
    "pollInterval",
    "pollIntervalMs",
    "ref",
    "requestState",
    "result",
    "resultType",
    "structuredContent",
    "task",
    "taskId",
    "tasks",
    "ttl",
    "ttlMs",
];

/// Holds everything here to its promises, with any bytes as any of its texts: nothing panics, what was JSON stays JSON, what
/// cannot be read stays as it is, and a member that no era gives a meaning stays with its very text.
pub fn check(text: &[u8]) {
    let is_json = validate(text, DEPTH_MAX).is_ok();
    let is_read = is_json || validate(text, DEPTH_CAP).is_ok();
    let who = Who {
        capabilities: ClientCapabilities::from_bits(u32::from(
            text.first().copied().unwrap_or(0) & 0x7f,
        )),
        client_info: is_json.then_some(text),
        log_level: Some(LogLevel::Info),
    };
    let same = |new: &[u8]| {
        if is_json {
            validate(new, DEPTH_CAP).expect("what was JSON stays JSON");
        } else if !is_read {
            assert_eq!(new, text, "what cannot be read stays as it is");
        }
        keeps(text, new);
    };
    same(&params_to_legacy(text));
    same(&params_to_modern(Some(text), &who));
    same(&params_to_legacy(&params_to_modern(Some(text), &who)));
    same(&set_task_id(text, "a.\"b"));
    same(&set_reference(text, "a\\b"));
    check_made(&who);
    for method in Method::all() {
        // Two answers say less of a task in the other era.
        let is_whole = !matches!(
            method,
            Method::GetTask | Method::CancelTask | Method::CallTool
        );
        let both = [
            result_to_modern(method, text),
            result_to_legacy(method, text),
        ];
        for new in both {
            if is_whole || !is_read {
                same(&new);
            } else if is_json {
                validate(&new, DEPTH_CAP).expect("what was JSON stays JSON");
            }
        }
    }
    for era in [Era::Legacy, Era::Modern] {
        same(&error_to(era, Method::ReadResource, text));
        assert!(matches!(error_status(era, text), 200 | 400 | 404));
        for method in ["notifications/progress", "notifications/x"] {
            let told = notification_to(era, method, text);
            same(&told.expect("every era has it"));
        }
    }
    check_questions(text, &same);
    check_tasks(text, &same);
}

fn check_made(who: &Who<'_>) {
    for revision in Revision::ALL {
        let capabilities = capabilities_text(who.capabilities, revision);
        let again = ClientCapabilities::read(&capabilities, DEPTH_MAX);
        let again = again.expect("it is an object");
        let sampling = who.capabilities.with(ClientCapabilities::SAMPLING);
        assert_eq!(again.missing_from(sampling), ClientCapabilities::NONE);
    }
    let made = params_to_modern(None, who);
    validate(&made, DEPTH_CAP).expect("it is made of JSON");
    assert_eq!(&*params_to_legacy(&made), b"{}", "there and back");
}

fn check_questions(text: &[u8], same: &impl Fn(&[u8])) {
    let _ = result_kind(text);
    for method in ["elicitation/create", "sampling/createMessage", "roots/list"] {
        same(&question_to_modern(method, text));
        for revision in [Revision::V2025_06_18, Revision::V2025_11_25] {
            same(&question_to_legacy(method, text, revision));
            same(&answer_to_legacy(method, text, revision));
        }
        let needed = needed_to_ask(method, text).expect("each can be asked");
        assert_eq!(may_ask(needed, method, text), Ok(()));
        assert!(may_ask(ClientCapabilities::NONE, method, text).is_err());
        let failed = answer_to_modern(method, Err(text));
        assert_eq!(failed.is_some(), method == "elicitation/create");
    }
    if let Some(asked) = read_input_required(text) {
        let state = asked.state.clone().unwrap_or_default();
        let written = write_input_required(&asked.questions, &state);
        let again = read_input_required(&written).expect("it was written as one");
        assert_eq!(again.questions, asked.questions);
        assert_eq!(again.state.as_deref(), Some(&*state));
        assert_eq!(result_kind(&written), ResultKind::InputRequired);
    }
    let answers = read_responses(text);
    let retry = with_responses(text, &answers, Some("s\""));
    same(&retry);
    if let Some(retry) = Object::read(&retry) {
        let back = retry
            .find("inputResponses")
            .map(|member| read_responses(member.value));
        assert_eq!(back.unwrap_or_default(), answers);
    }
}

fn check_tasks(text: &[u8], same: &impl Fn(&[u8])) {
    let untouched = rename_tasks(text, &mut |_| None);
    assert!(matches!(untouched, Cow::Borrowed(kept) if kept == text));
    let mut seen = Vec::new();
    let there = rename_tasks(text, &mut |id| {
        seen.push(id.to_owned());
        Some(format!("n.{id}.m"))
    });
    same(&there);
    let mut found = Vec::new();
    let _ = rename_tasks(&there, &mut |id| {
        let id = id.strip_prefix("n.").and_then(|id| id.strip_suffix(".m"));
        found.extend(id.map(str::to_owned));
        None
    });
    if matches!(there, Cow::Owned(_)) {
        assert_eq!(found, seen, "each id is found again, in its place");
    }
}

/// Members without a meaning are there in their order, with the very text of their values.
fn keeps(old: &[u8], new: &[u8]) {
    let (Some(old), Some(new)) = (Object::read(old), Object::read(new)) else {
        return;
    };
    let mut left = new.members().iter();
    for member in old.members() {
        if member.is_one_of(&TOUCHED) {
            continue;
        }
        let kept = left
            .any(|other| other.key.to_cow() == member.key.to_cow() && other.value == member.value);
        assert!(kept, "a member that has no meaning here went or changed");
    }
}

#[cfg(test)]
#[path = "tests/check.rs"]
mod tests;
