//! Calls that may run as tasks, and one that may not.

use super::Entry;
use crate::content::{Outcome, failed, said};
use crate::exports::margay::host::tools::TaskSupport;
use crate::margay::host::ask::ask;
use crate::margay::host::context::{become_task, is_cancelled, progress};
use crate::margay::host::types::Error;
use crate::questions::{ask_one, describe, field, form, one_choice, one_text};
use serde_json::Value;
use std::thread::sleep;
use std::time::Duration;

pub const TOOLS: &[Entry] = &[
    Entry::new("greet", "Greets by name, at once", greet)
        .takes(r#"{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}"#),
    Entry::new("slow_compute", "Takes as many seconds as it is told", slow_compute)
        .takes(
            r#"{"type":"object","properties":{"seconds":{"type":"number","minimum":0},"label":{"type":"string"}},"required":["seconds"]}"#,
        )
        .task_support(TaskSupport::Optional),
    Entry::new("failing_job", "Runs for a second and fails", |_| {
        sleep(Duration::from_secs(1));
        failed("The job failed, as it always does")
    })
    .task_support(TaskSupport::Required),
    Entry::new("protocol_error_job", "Has no result but an error of the protocol", |_| {
        Err(Error::Internal("the job broke, as it always does".into()))
    })
    .task_support(TaskSupport::Optional),
    Entry::new("confirm_delete", "Asks before it deletes", confirm_delete)
        .takes(r#"{"type":"object","properties":{"filename":{"type":"string"}},"required":["filename"]}"#)
        .task_support(TaskSupport::Optional),
    Entry::new("multi_input", "Asks two questions at once", multi_input).task_support(TaskSupport::Optional),
    Entry::new("test_tool_with_task", "Asks first, then works as a task", ask_then_work)
        .task_support(TaskSupport::Deferred),
];

fn greet(arguments: &Value) -> Outcome {
    said(format!(
        "Hello, {}!",
        arguments["name"].as_str().unwrap_or("stranger")
    ))
}

/// Works in short steps and looks up between them, so that a caller who has given up is not worked for.
fn slow_compute(arguments: &Value) -> Outcome {
    const STEP: Duration = Duration::from_millis(50);
    let Ok(whole) = Duration::try_from_secs_f64(arguments["seconds"].as_f64().unwrap_or(0.0))
    else {
        return Err(Error::InvalidParams(
            "`seconds` is to be a number of seconds, 0 or more".into(),
        ));
    };
    let label = arguments["label"].as_str().unwrap_or("unlabelled");
    let mut worked = Duration::ZERO;
    while worked < whole {
        if is_cancelled() {
            return failed(format!("{label}: given up after {worked:?}"));
        }
        let step = STEP.min(whole - worked);
        sleep(step);
        worked += step;
        progress(worked.as_secs_f64(), Some(whole.as_secs_f64()), None);
    }
    said(format!("{label}: done after {whole:?}"))
}

fn confirm_delete(arguments: &Value) -> Outcome {
    let filename = arguments["filename"].as_str().unwrap_or("nothing");
    let answer = ask_one(form(
        "confirm",
        &format!("Delete {filename}?"),
        &one_choice("confirm"),
    ));
    match field(&answer, "confirm") {
        Some(Value::Bool(true)) => said(format!("{filename} is deleted")),
        _ => said(format!("{filename} is kept ({})", describe(&answer))),
    }
}

fn multi_input(_: &Value) -> Outcome {
    let answers = ask(&[
        form("first", "What is the first name?", &one_text("name")),
        form("second", "What is the second name?", &one_text("name")),
    ]);
    said(answers.iter().map(describe).collect::<Vec<_>>().join("; "))
}

/// The question goes to the client before there is a task; the work is done by the task, which finds the answer there.
fn ask_then_work(_: &Value) -> Outcome {
    let answer = ask_one(form("user_name", "Who is this for?", &one_text("name")));
    become_task();
    sleep(Duration::from_millis(200));
    match field(&answer, "name").as_ref().and_then(Value::as_str) {
        Some(name) => said(format!("The work is done for {name}")),
        None => said(format!(
            "The work is done for nobody ({})",
            describe(&answer)
        )),
    }
}
