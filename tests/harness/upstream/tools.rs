//! The tools of the scripted server.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::brain::{Brain, Outcome, Voice, error};
use super::faults::Fault;

/// - `repeat {text, delay_ms}`: says the text, after so long.
/// - `who`: says the server's name. It changes nothing, and says so in its annotations.
/// - `raw {result}`: the argument is the text of the whole result, as it is.
/// - `progress {count}`: so much progress, if there is a token; then "done".
/// - `log`: a log message at each of three levels, of a modern server at those that are wanted; then "done".
/// - `ask`, `sample`, `roots`: asks for a form, a completion, the roots; says the answer as JSON,
///   after `count` times progress where it was asked in a session.
/// - `hang`: never answers, and notes how it ended: "cancelled" or "gone".
/// - `fail`: its result is an error. `error`: its answer is one.
/// - `meta`: says the `_meta` of its call.
/// - `change {has}`: has the tool `extra` listed, or no longer, and says to all that the list changed.
/// - `fault {kind, at}`: its answer goes wrong, see [`Fault`].
pub const NAMES: [&str; 14] = [
    "repeat", "who", "raw", "progress", "log", "ask", "sample", "roots", "hang", "fail", "error",
    "meta", "change", "fault",
];

/// The longest that a hanging call hangs.
const HANG_MAX: Duration = Duration::from_secs(120);

pub fn definition(name: &str, words: &str) -> Value {
    let mut tool = json!({"name": name, "description": format!("does {name}{words}"), "inputSchema": {"type": "object"}});
    if name == "who" {
        tool["annotations"] = json!({"readOnlyHint": true, "idempotentHint": true});
    }
    tool
}

/// The capability that a tool needs of its client.
pub fn asks(name: &str) -> Option<&'static str> {
    match name {
        "ask" => Some("elicitation"),
        "sample" => Some("sampling"),
        "roots" => Some("roots"),
        _ => None,
    }
}

/// The form that `ask` wants filled in.
fn form(words: &str) -> Value {
    json!({"message": format!("Who?{words}"), "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}}})
}

fn prompt() -> Value {
    json!({"messages": [{"role": "user", "content": {"type": "text", "text": "Say something"}}], "maxTokens": 10})
}

pub fn call(brain: &Brain, session: &str, message: &Value, voice: &mut dyn Voice) -> Outcome {
    let (id, params) = (&message["id"], &message["params"]);
    let (name, arguments) = (
        params["name"].as_str().unwrap_or_default(),
        &params["arguments"],
    );
    let said = |text: &str| {
        let result = brain.complete(json!({"content": [{"type": "text", "text": text}]}), false);
        json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string()
    };
    let is_listed = brain.script.tools.iter().any(|tool| tool == name) || name == "extra";
    if !is_listed {
        return error(id, -32602, &format!("no tool {name}"), json!({}));
    }
    let answer = match name {
        "repeat" => {
            std::thread::sleep(Duration::from_millis(
                arguments["delay_ms"].as_u64().unwrap_or(0),
            ));
            said(arguments["text"].as_str().unwrap_or_default())
        }
        "who" | "extra" => said(&brain.script.name),
        "raw" => {
            let result = arguments["result"].as_str().unwrap_or("{}");
            format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
        }
        "progress" => {
            say_progress(params, arguments["count"].as_u64().unwrap_or(3), voice);
            said("done")
        }
        "log" => {
            let wanted = &params["_meta"]["io.modelcontextprotocol/logLevel"];
            let is_wanted = |level: &str| match wanted.as_str() {
                Some("debug") => true,
                Some("info") => level != "debug",
                Some(_) => level == "error",
                None => !brain.is_modern(),
            };
            for level in ["debug", "info", "error"] {
                if is_wanted(level) {
                    voice.say(&json!({"jsonrpc": "2.0", "method": "notifications/message",
                        "params": {"level": level, "logger": brain.script.name, "data": {"call": id}}}));
                }
            }
            said("done")
        }
        "ask" => {
            return question(
                brain,
                session,
                message,
                voice,
                "elicitation/create",
                form(&brain.script.words),
            );
        }
        "sample" => {
            return question(
                brain,
                session,
                message,
                voice,
                "sampling/createMessage",
                prompt(),
            );
        }
        "roots" => return question(brain, session, message, voice, "roots/list", json!({})),
        "change" => {
            brain.set_extra(arguments["has"] == true);
            said("changed")
        }
        "meta" => said(&params["_meta"].to_string()),
        "hang" => return hang(brain, session, id, voice),
        "fail" => {
            let result = brain.complete(
                json!({"content": [{"type": "text", "text": "it failed"}], "isError": true}),
                false,
            );
            json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string()
        }
        "error" => return error(id, -1, "it erred: \"☃\"", json!({"by": brain.script.name})),
        "fault" => return Outcome::Faulty(said("good"), Fault::read(arguments)),
        _ => said("done"),
    };
    Outcome::Answer(answer)
}

fn say_progress(params: &Value, count: u64, voice: &mut dyn Voice) {
    let token = &params["_meta"]["progressToken"];
    for count in (1..=count).filter(|_| !token.is_null()) {
        voice.say(
            &json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token,
                "progress": count, "total": 100, "message": "Grüße \"☃\""}}),
        );
    }
}

fn hang(brain: &Brain, session: &str, id: &Value, voice: &mut dyn Voice) -> Outcome {
    let start = Instant::now();
    while start.elapsed() < HANG_MAX && !brain.stopping.load(Ordering::Relaxed) {
        let how = if brain.is_cancelled(session, id) {
            "cancelled"
        } else if voice.is_gone() {
            "gone"
        } else {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        };
        brain.journal.note(json!({"note": how, "id": id}));
        break;
    }
    Outcome::Nothing
}

/// What a modern server is given back has to be exactly this.
const STATE: &str = "state \"☃\" \\ of the upstream";

fn question(
    brain: &Brain,
    session: &str,
    message: &Value,
    voice: &mut dyn Voice,
    method: &str,
    params: Value,
) -> Outcome {
    let (id, asked_with) = (&message["id"], &message["params"]);
    let capability = method.split('/').next().unwrap();
    let declared = brain.declared(session, asked_with);
    if declared[capability].is_null() {
        let data = json!({"requiredCapabilities": {capability: {}}});
        let code = if brain.is_modern() { -32021 } else { -32600 };
        return error(id, code, &format!("the client has no {capability}"), data);
    }
    let said = if brain.is_modern() {
        let answers = &asked_with["inputResponses"];
        if answers.is_null() {
            let result = json!({"resultType": "input_required", "requestState": STATE,
                "inputRequests": {"the question": {"method": method, "params": params}}});
            return Outcome::Answer(
                json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string(),
            );
        }
        if asked_with["requestState"] != STATE {
            brain.complain(format!("the state came back changed: {message}"));
        }
        answers["the question"].clone()
    } else {
        let answer = brain.ask(session, voice, method, params);
        say_progress(
            asked_with,
            asked_with["arguments"]["count"].as_u64().unwrap_or(0),
            voice,
        );
        answer.get("result").unwrap_or(&answer["error"]).clone()
    };
    let result = brain.complete(
        json!({"content": [{"type": "text", "text": said.to_string()}]}),
        false,
    );
    Outcome::Answer(json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string())
}
