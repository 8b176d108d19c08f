//! Answers to what components ask of clients.

use crate::component::Outgoing;
use crate::mcp::message::Value;
use crate::mcp::route::ClientResponse;
use crate::mcp::{Principal, RawId, SessionId, Shape, scan};
use crate::shard::Shared;
use crate::task::wire;

/// The error of a client that answered nothing that can be read.
const UNREADABLE: &[u8] =
    br#"{"code":-32603,"message":"the client answered with neither a result nor an error object"}"#;

/// The error of a question that nobody hears.
const UNHEARD: &[u8] = br#"{"code":-32603,"message":"the client went away before it was asked"}"#;

/// Brings a client's answer to the call that waits for it; whether one did.
pub(in super::super) fn answer_question(
    shared: &Shared,
    principal: Principal,
    response: &ClientResponse<'_>,
) -> bool {
    let Some(id) = &response.id else { return false };
    let answer = match (response.result, response.error) {
        (Value::Object(result), Value::Absent) => Ok(result),
        (_, Value::Object(error)) => Err(error),
        _ => Err(UNREADABLE),
    };
    match id {
        RawId::Text(text) => answer_task(shared, principal, &text.to_cow(), answer),
        RawId::Integer(_) => shared.runtime.asks().answer(response.session, id, answer),
    }
}

/// The same for a question of a task. Who was asked had its id, which nobody can guess.
fn answer_task(
    shared: &Shared,
    principal: Principal,
    id: &str,
    answer: Result<&[u8], &[u8]>,
) -> bool {
    let found = || {
        let (task, mark) = wire::read_question_id(id)?;
        let tasks = shared.tasks()?;
        let record = tasks.table().find(task, principal)?.record();
        let key = wire::marked_key(&record, mark)?.to_owned();
        Some((tasks, record.id, key))
    };
    let Some((tasks, id, key)) = found() else {
        return false;
    };
    let text = match answer {
        Ok(result) => result.to_vec(),
        // No result of any question: to the component, the client could not answer.
        Err(error) => [b"{\"error\":", error, b"}"].concat(),
    };
    // Nobody waits for a word about a response. One that is lost is asked for again by whoever waits for the task.
    tasks.update(id, [(key, text)].into(), Box::new(|_| ()));
    true
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
