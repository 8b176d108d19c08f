//! Answers to what components ask of clients.

use crate::component::{Outgoing, Runtime};
use crate::mcp::message::Value;
use crate::mcp::route::ClientResponse;
use crate::mcp::{SessionId, Shape, scan};
use crate::shard::Shared;

/// The error of a client that answered nothing that can be read.
const UNREADABLE: &[u8] =
    br#"{"code":-32603,"message":"the client answered with neither a result nor an error object"}"#;

/// The error of a question that nobody hears.
const UNHEARD: &[u8] = br#"{"code":-32603,"message":"the client went away before it was asked"}"#;

/// Brings a client's answer to the call that waits for it; whether one did.
pub(in super::super) fn answer_question(runtime: &Runtime, response: &ClientResponse<'_>) -> bool {
    let Some(id) = &response.id else { return false };
    let answer = match (response.result, response.error) {
        (Value::Object(result), Value::Absent) => Ok(result),
        (_, Value::Object(error)) => Err(error),
        _ => Err(UNREADABLE),
    };
    runtime.asks().answer(response.session, id, answer)
}

/// Nobody hears this: the questions in it are answered, so that their call does not wait.
pub(in super::super) fn refuse_questions(
    shared: &Shared,
    session: Option<SessionId>,
    said: &[Outgoing],
) {
    for said in said {
        let Outgoing::Message(message) = said else {
            continue;
        };
        let Ok(message) = scan(message, shared.limits.json_depth_max) else {
            continue;
        };
        if let (Shape::Request, Some(id)) = (message.shape, message.id) {
            shared.runtime.asks().answer(session, &id, Err(UNHEARD));
        }
    }
}
