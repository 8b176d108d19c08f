//! Words about tasks, as the bodies of answers.

use crate::mcp::{Era, Method, Reason, Refusal, code, reply};
use crate::task::{Refused, Word, wire};

use super::calls::{Away, Stop};

/// What is told of an answer beside its body.
pub(in super::super) struct Told {
    pub(in super::super) status: u16,
    pub(in super::super) outcome: &'static str,
}

/// Appends the answer that a word of the engine is.
pub(in super::super) fn write_word<P>(out: &mut Vec<u8>, away: &Away<P>, word: &Word) -> Told {
    let (id, era) = (&away.id, away.revision.era());
    match (away.method, era, word) {
        (_, _, Word::Refused(why)) => return refuse(out, away, why),
        (Method::CallTool, _, Word::Done(record)) => {
            wire::created(out, id, era, record);
            return Told {
                status: 200,
                outcome: "task",
            };
        }
        (Method::CancelTask, Era::Legacy, Word::Done(record)) => wire::got(out, id, era, record),
        (Method::CancelTask, Era::Legacy, Word::Ended(record)) => {
            let status = wire::status(era, &record.state);
            return refuse_for(out, away, Reason::TaskEnded { status });
        }
        _ => wire::acknowledged(out, id),
    }
    Told {
        status: 200,
        outcome: "ok",
    }
}

/// Appends the answer to whoever waited for a task that has ended.
pub(in super::super) fn write_wait<P>(out: &mut Vec<u8>, away: &Away<P>) -> Told {
    let Stop::Wait(wait) = &away.cancel else {
        return refuse_for(out, away, Reason::Internal);
    };
    if !wire::result(out, &away.id, &wait.record()) {
        return refuse(out, away, &Refused::Unknown);
    }
    Told {
        status: 200,
        outcome: "ok",
    }
}

fn refuse<P>(out: &mut Vec<u8>, away: &Away<P>, why: &Refused) -> Told {
    let (status, number, text) = match why {
        Refused::Full { limit, value } => {
            let (limit, value) = (*limit, *value);
            return refuse_for(out, away, Reason::Overloaded { limit, value });
        }
        Refused::Unknown => (
            200,
            code::INVALID_PARAMS,
            "the task does not exist any more: its ttl is over",
        ),
        Refused::TooLarge => (
            200,
            code::INVALID_PARAMS,
            "the answers are more than the task may keep; answer in fewer words, or have the operator raise limits.body_bytes_max",
        ),
        Refused::NotStored => (
            503,
            code::INTERNAL_ERROR,
            "the task could not be stored, so nothing has changed; try again later",
        ),
        Refused::Ending => (
            503,
            code::OVERLOADED,
            "the server is ending; try again in a moment",
        ),
    };
    reply::error(out, Some(&away.id), number, text, None);
    Told {
        status,
        outcome: "refused",
    }
}

fn refuse_for<P>(out: &mut Vec<u8>, away: &Away<P>, reason: Reason<'_>) -> Told {
    let refusal = Refusal::new(reason, None);
    let text = refusal.reason.to_string();
    reply::error(out, Some(&away.id), refusal.code, &text, None);
    Told {
        status: refusal.http_status,
        outcome: "refused",
    }
}
