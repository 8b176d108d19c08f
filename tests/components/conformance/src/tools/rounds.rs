//! Calls that take several rounds, by the names of the revision in which a question ends the call and the retry runs it
//! again. With a session the same code waits for its answers in one run.

use super::Entry;
use crate::content::{Outcome, said};
use crate::margay::host::ask::{Answer, ask};
use crate::margay::host::{context, state};
use crate::questions::{ask_one, describe, field, form, list_roots, one_choice, one_text, sample};
use serde_json::Value;

pub const TOOLS: &[Entry] = &[
    Entry::new(
        "test_input_required_result_elicitation",
        "Asks for a name",
        |_| {
            said(greeting(&ask_one(form(
                "user_name",
                "What is your name?",
                &one_text("name"),
            ))))
        },
    ),
    Entry::new(
        "test_input_required_result_sampling",
        "Has the client's model name a capital",
        |_| {
            said(describe(&ask_one(sample(
                "capital_question",
                "What is the capital of France?",
                100,
            ))))
        },
    ),
    Entry::new(
        "test_input_required_result_list_roots",
        "Asks for the client's roots",
        |_| said(describe(&ask_one(list_roots("client_roots")))),
    ),
    Entry::new(
        "test_input_required_result_request_state",
        "Finds its state again after a question",
        keep_state,
    ),
    Entry::new(
        "test_input_required_result_tampered_state",
        "As the one that finds its state again",
        keep_state,
    ),
    Entry::new(
        "test_input_required_result_multiple_inputs",
        "Asks three questions at once",
        three_at_once,
    ),
    Entry::new(
        "test_input_required_result_multi_round",
        "Asks a second question after the first",
        two_rounds,
    ),
    Entry::new(
        "test_input_required_result_capabilities",
        "Asks only what the client can answer",
        within_capabilities,
    ),
];

fn greeting(answer: &Answer) -> String {
    match field(answer, "name").as_ref().and_then(Value::as_str) {
        Some(name) => format!("Hello, {name}!"),
        None => format!("Nobody to greet ({})", describe(answer)),
    }
}

fn keep_state(_: &Value) -> Outcome {
    const MARK: &[u8] = b"set before the question";
    let earlier = state::get();
    state::set(MARK);
    let answer = ask_one(form("confirm", "Please confirm", &one_choice("ok")));
    let found = match earlier.as_deref() {
        Some(MARK) => "state-ok",
        Some(_) => "another state than was set",
        None => "no earlier run",
    };
    said(format!("{found}: {}", describe(&answer)))
}

fn three_at_once(_: &Value) -> Outcome {
    let answers = ask(&[
        form("user_name", "What is your name?", &one_text("name")),
        sample("greeting", "Generate a greeting", 50),
        list_roots("client_roots"),
    ]);
    said(answers.iter().map(describe).collect::<Vec<_>>().join("; "))
}

fn two_rounds(_: &Value) -> Outcome {
    let run = state::get()
        .and_then(|state| state.first().copied())
        .unwrap_or(0)
        + 1;
    state::set(&[run]);
    let name = ask_one(form(
        "step1",
        "Step 1: What is your name?",
        &one_text("name"),
    ));
    let color = ask_one(form(
        "step2",
        "Step 2: What is your favorite color?",
        &one_text("color"),
    ));
    said(format!(
        "Run {run}: {}; {}",
        describe(&name),
        describe(&color)
    ))
}

fn within_capabilities(_: &Value) -> Outcome {
    use context::ClientCapabilities as Can;
    let can = context::get_request().capabilities;
    let possible = [
        (Can::SAMPLING, sample("greeting", "Generate a greeting", 50)),
        (
            Can::ELICITATION_FORM,
            form("user_name", "What is your name?", &one_text("name")),
        ),
    ];
    let questions: Vec<_> = possible
        .into_iter()
        .filter(|(needed, _)| can.contains(*needed))
        .map(|(_, question)| question)
        .collect();
    if questions.is_empty() {
        return said("The client can answer nothing, and is asked nothing");
    }
    said(
        ask(&questions)
            .iter()
            .map(describe)
            .collect::<Vec<_>>()
            .join("; "),
    )
}
