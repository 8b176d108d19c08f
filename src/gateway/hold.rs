//! Calls of modern clients whose legacy upstreams ask something: the call waits at the upstream, its client goes away with the
//! questions, and comes back with the answers.
//!
//! What the client brings back names the call by 128 random bits; it opens nothing for another principal, or for another request.

use super::pending::{Hold, Pending, Purpose};
use super::word::{Call, Done};
use super::{Action, Gateway, millis, text};
use crate::limits::QUESTIONS_PER_CALL_MAX;
use crate::mcp::{Era, code, reply};
use crate::upstream::bridge::{self, Question};
use crate::upstream::envelope::Envelope;
use crate::upstream::multiplex::{AskNumber, IdText};

/// What a held call's state begins with.
const PREFIX: &str = "margay-held.";
/// Hexadecimal digits of a handle.
const HANDLE_DIGITS: usize = 32;

/// A question that a held call waits for.
#[derive(Debug)]
pub(super) struct HeldQuestion {
    pub(super) key: String,
    pub(super) number: AskNumber,
    pub(super) method: String,
    pub(super) params: Vec<u8>,
}

/// The port of the home that holds the call that a client's `requestState` names; none where it names no such call.
pub fn home_of_state(state: &str) -> Option<u16> {
    read_state(state).map(|(port, _)| port)
}

fn read_state(state: &str) -> Option<(u16, u128)> {
    let (port, handle) = state.strip_prefix(PREFIX)?.split_once('.')?;
    let port = port.parse().ok()?;
    let is_whole = handle.len() == HANDLE_DIGITS;
    let handle = u128::from_str_radix(handle, 16).ok().filter(|_| is_whole)?;
    Some((port, handle))
}

impl Gateway {
    /// Has the client of a call come back with an answer.
    pub(super) fn hold(
        &mut self,
        slot: u64,
        number: AskNumber,
        method: &str,
        params: Option<&[u8]>,
    ) {
        let Some(pending) = self.pending.get_mut(slot) else {
            return;
        };
        let link = pending.link;
        let hold = match &mut pending.hold {
            Some(hold) => hold,
            None => {
                let handle = random_handle();
                self.held.insert(handle, slot);
                pending.hold.insert(Box::new(Hold {
                    handle,
                    asked: Vec::new(),
                    count: 0,
                    until_ms: None,
                    answer: None,
                }))
            }
        };
        if hold.asked.len() >= QUESTIONS_PER_CALL_MAX {
            return self.refuse_ask(link, number, "one call may not ask more at once");
        }
        hold.count += 1;
        hold.asked.push(HeldQuestion {
            key: format!("q{}", hold.count),
            number,
            method: method.to_owned(),
            params: bridge::question_to_modern(method, params.unwrap_or(b"{}")).into_owned(),
        });
        // One that is away is given it when it comes back.
        if hold.until_ms.is_none() {
            self.send_away(slot);
        }
    }

    /// Gives a client the questions of its call.
    fn send_away(&mut self, slot: u64) {
        let until_ms = self.now_ms + millis(self.limits.ask_deadline);
        let port = self.port;
        let Some(pending) = self.pending.get_mut(slot) else {
            return;
        };
        let (Some(caller), Some(hold)) = (pending.caller(), &mut pending.hold) else {
            return;
        };
        hold.until_ms = Some(until_ms);
        let state = format!("{PREFIX}{port}.{:032x}", hold.handle);
        let questions: Vec<Question> = hold
            .asked
            .iter()
            .map(|asked| Question {
                key: asked.key.clone(),
                method: asked.method.clone(),
                params: asked.params.clone(),
            })
            .collect();
        pending.due_ms = until_ms;
        let result = bridge::write_input_required(&questions, &state);
        let body = text::response(&pending.id, Ok(&result));
        self.callers.remove(&caller);
        self.release_place(slot, Some(true));
        let done = Done {
            status: 200,
            outcome: "input_required",
            body,
        };
        self.act(Action::Done(caller, done));
    }

    /// Goes on with a held call, where this is its client coming back; gives back what is a call of its own.
    pub(super) fn resume_held(&mut self, call: Box<Call>) -> Option<Box<Call>> {
        if call.revision.era() == Era::Legacy {
            return Some(call);
        }
        let params = super::facts::member(&call.message, "params")?.to_vec();
        let state = super::facts::text(&params, "requestState");
        let Some((_, handle)) = state.as_deref().and_then(read_state) else {
            return Some(call);
        };
        let slot = self.held.get(&handle).copied();
        let is_its = |pending: &Pending| {
            pending.is_held()
                && pending.call().is_some_and(|held| {
                    held.principal == call.principal
                        && held.method == call.method
                        && held.target == call.target
                        && held.remote.index == call.remote.index
                })
        };
        let found = slot.filter(|slot| self.pending.get(*slot).is_some_and(is_its));
        let Some(slot) = found else {
            self.refuse_state(&call);
            return None;
        };
        let timeout = millis(call.timeout());
        let due_ms = self.now_ms + timeout;
        let caller = call.caller;
        let responses = super::facts::member(&params, "inputResponses").unwrap_or(b"{}");
        let responses = bridge::read_responses(responses);
        let token = Envelope::read(&call.message, self.limits.json_depth_max)
            .ok()
            .and_then(|envelope| IdText::new(envelope.meta_progress_token?.text));
        let pending = self.pending.get_mut(slot)?;
        pending.retold = Some(token);
        pending.id = id_of(&call, self.limits.json_depth_max);
        pending.due_ms = due_ms;
        pending.purpose = Purpose::Caller(call);
        self.callers.insert(caller, slot);
        self.take_responses(slot, responses);
        None
    }

    fn take_responses(&mut self, slot: u64, responses: Vec<(String, Vec<u8>)>) {
        let Some(pending) = self.pending.get_mut(slot) else {
            return;
        };
        let link = pending.link;
        let Some(hold) = &mut pending.hold else {
            return;
        };
        hold.until_ms = None;
        let mut answered = Vec::new();
        for (key, answer) in responses {
            if let Some(place) = hold.asked.iter().position(|asked| asked.key == key) {
                answered.push((hold.asked.remove(place).number, answer));
            }
        }
        let (answer, is_open) = (hold.answer.take(), !hold.asked.is_empty());
        if let Some(link) = link {
            for (number, answer) in answered {
                self.answer_upstream(link, number, Ok(&answer));
            }
        }
        match answer {
            Some(answer) => self.answer_held(slot, &answer),
            // What was not answered, or was asked in the meantime, is asked again.
            None if is_open => self.send_away(slot),
            None => {}
        }
    }

    /// Whether a client brings back a state, to an upstream that never gave one.
    pub(super) fn has_foreign_state(&self, slot: u64) -> bool {
        let Some(pending) = self.pending.get(slot) else {
            return false;
        };
        pending.hold.is_none()
            && pending.call().is_some_and(|call| {
                call.revision.era() == Era::Modern
                    && super::facts::member(&call.message, "params")
                        .and_then(|params| super::facts::member(params, "requestState"))
                        .is_some()
            })
    }

    pub(super) fn refuse_foreign_state(&mut self, slot: u64) {
        let Some(pending) = self.pending.get(slot) else {
            return;
        };
        if let Some(done) = pending
            .call()
            .map(|call| (call.caller, refused_state(&pending.id)))
        {
            self.act(Action::Done(done.0, done.1));
        }
        self.end(slot, None);
    }

    fn refuse_state(&mut self, call: &Call) {
        let id = id_of(call, self.limits.json_depth_max);
        self.act(Action::Done(call.caller, refused_state(&id)));
    }
}

/// The answer to a request whose state opens nothing.
fn refused_state(id: &IdText) -> Done {
    let mut body = Vec::new();
    let text = "params.requestState names no call of yours that waits for an answer: it has ended, or waited longer than limits.ask_deadline; make the request again without requestState";
    reply::error(&mut body, Some(id), code::INVALID_PARAMS, text, None);
    Done {
        status: 200,
        outcome: "refused",
        body,
    }
}

/// The id of a client's request, which was read before.
pub(super) fn id_of(call: &Call, depth_max: usize) -> IdText {
    crate::upstream::envelope::Envelope::read(&call.message, depth_max)
        .ok()
        .and_then(|envelope| IdText::new(envelope.id?.text))
        .unwrap_or_else(|| IdText::of_number(0))
}

fn random_handle() -> u128 {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("a kernel that runs io_uring has a random source");
    u128::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_states_name_a_home() {
        let digits = "0".repeat(31) + "7";
        assert_eq!(read_state(&format!("margay-held.3.{digits}")), Some((3, 7)));
        for other in [
            "",
            "margay-held.3.7",
            "margay-held.x.7",
            "other",
            "margay-held.3",
        ] {
            assert_eq!(home_of_state(other), None, "{other}");
        }
    }
}
