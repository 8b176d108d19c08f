//! How an answer goes wrong.

use serde_json::Value;

/// One way.
///
/// - `reset`, `close`, `stall`: after `at` bytes of the whole answer, head included, the connection is reset, ends, or nothing more comes. A child exits for the first two.
/// - `garbage`: what comes is no JSON. `noise`: over HTTP, it is no HTTP either.
/// - `wrong_id`, `string_id`: the answer names another request, or the right number as a string.
/// - `twice`: the answer comes two times as two messages. `twice_http`: as two HTTP answers.
/// - `huge`: `at` bytes of a message that has no end.
/// - `endless`: events without an answer, for as long as somebody listens.
/// - `no_answer`: the stream ends without the answer. `accepted`: 202 for a request.
/// - `status`: HTTP status `at`. `redirect`, `compressed`: what the names say.
/// - `break`: the stream breaks off after an event with an id, and the answer can be fetched.
#[derive(Clone, Debug)]
pub struct Fault {
    pub kind: String,
    pub at: usize,
}

impl Fault {
    pub fn read(arguments: &Value) -> Self {
        Self {
            kind: arguments["kind"].as_str().unwrap_or_default().to_owned(),
            at: arguments["at"].as_u64().unwrap_or(0) as usize,
        }
    }

    /// The answer with another id, where the fault is one of its text.
    pub fn changed(&self, answer: &str) -> Option<String> {
        let mut message: Value = serde_json::from_str(answer).ok()?;
        match self.kind.as_str() {
            "garbage" => return Some("{\"jsonrpc\":\"2.0\",\"id\": this is no JSON".to_owned()),
            "wrong_id" => message["id"] = Value::from(987_654_321),
            "string_id" => message["id"] = Value::from(message["id"].to_string()),
            "no_result" => drop(message.as_object_mut()?.remove("result")),
            "no_object" => return Some("[1, 2, 3]".to_owned()),
            _ => return None,
        }
        Some(message.to_string())
    }
}
