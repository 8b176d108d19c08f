//! What a call says before its answer, and a call whose client goes away and comes back.

use super::Entry;
use crate::content::{Outcome, said};
use crate::margay::host::context::{LogLevel, log, progress, release_stream};
use crate::questions::{ask_one, describe, form, one_text};
use serde_json::{Value, json};
use std::thread::sleep;
use std::time::Duration;

pub const TOOLS: &[Entry] = &[
    Entry::new(
        "test_tool_with_progress",
        "Reports its progress three times",
        with_progress,
    ),
    Entry::new(
        "test_tool_with_logging",
        "Logs three messages",
        with_logging,
    ),
    Entry::new("test_logging_tool", "Logs at each level", at_each_level),
    Entry::new(
        "test_streaming_elicitation",
        "Reports progress, then asks",
        streaming_elicitation,
    ),
    Entry::new(
        "test_reconnection",
        "Lets its stream end before it has the answer",
        reconnection,
    ),
];

const PAUSE: Duration = Duration::from_millis(50);

fn with_progress(_: &Value) -> Outcome {
    progress(0.0, Some(100.0), Some("Begun"));
    sleep(PAUSE);
    progress(50.0, Some(100.0), Some("Half way"));
    sleep(PAUSE);
    progress(100.0, Some(100.0), Some("Done"));
    // One client forgets who listens for progress as soon as it reads the answer, which may come in the same piece.
    sleep(PAUSE);
    said("The work is done")
}

fn with_logging(_: &Value) -> Outcome {
    info("Tool execution started");
    sleep(PAUSE);
    info("Tool processing data");
    sleep(PAUSE);
    info("Tool execution completed");
    said("Three messages are logged")
}

fn info(message: &str) {
    log(
        LogLevel::Info,
        Some("conformance"),
        &json!(message).to_string(),
    );
}

fn at_each_level(_: &Value) -> Outcome {
    for (level, name) in [
        (LogLevel::Debug, "debug"),
        (LogLevel::Info, "info"),
        (LogLevel::Notice, "notice"),
        (LogLevel::Warning, "warning"),
        (LogLevel::Error, "error"),
        (LogLevel::Critical, "critical"),
        (LogLevel::Alert, "alert"),
        (LogLevel::Emergency, "emergency"),
    ] {
        log(level, None, &json!({ "level": name }).to_string());
    }
    said("One message is logged at each level")
}

fn streaming_elicitation(_: &Value) -> Outcome {
    progress(1.0, None, Some("About to ask"));
    let answer = ask_one(form("user_name", "What is your name?", &one_text("name")));
    said(format!("The answer: {}", describe(&answer)))
}

/// What is sent after the stream was let go reaches the client when it comes back for it.
fn reconnection(_: &Value) -> Outcome {
    progress(1.0, Some(2.0), Some("Before the stream ends"));
    release_stream(100);
    sleep(Duration::from_millis(300));
    progress(2.0, Some(2.0), Some("After the stream has ended"));
    said("Reconnection test completed: the answer came over another stream")
}
