//! Answers of upstreams, and what they become for whoever waits.

use super::pending::{Pending, Purpose};
use super::word::{Call, Done};
use super::{Action, Gateway, text};
use crate::mcp::{Era, Method, code, reply};
use crate::upstream::bridge::{self, ResultKind};
use crate::upstream::envelope::Envelope;
use crate::upstream::era::Spoken;
use crate::upstream::multiplex::IdText;
use crate::upstream::task_id::TaskIds;

/// Times that one call may be asked something.
const ROUNDS_MAX: u32 = 16;

impl Gateway {
    /// The answer to a request has come.
    pub(super) fn answer(&mut self, slot: u64, envelope: &Envelope<'_>) {
        let Some(pending) = self.pending.get_mut(slot) else {
            return;
        };
        // The multiplexer has forgotten it.
        pending.number = None;
        let (remote, link) = (pending.remote, pending.link);
        match pending.purpose {
            Purpose::Caller(_) => self.answer_client(slot, envelope),
            Purpose::Twin(of) => self.twin_answered(slot, of, envelope),
            Purpose::Discover => self.discovered(slot, Some(envelope)),
            Purpose::Initialize => self.initialized(slot, envelope),
            // What is refused is not the list, but the session.
            Purpose::List(..) if pending.status == 404 && pending.session_number.is_some() => {
                let failure = self.of_status(slot);
                self.fail(slot, failure);
            }
            Purpose::List(list, look) => self.listed(slot, list, look, envelope),
            Purpose::SetLevel => {
                self.end(slot, Some(true));
                if let Some(link) = link {
                    self.prepared(link);
                }
            }
            Purpose::Check { place } => {
                self.end(slot, Some(true));
                self.checked(remote, place, true);
            }
            Purpose::Listen => self.listen_answered(slot),
            Purpose::Message
            | Purpose::Initialized
            | Purpose::OldStream
            | Purpose::Feed
            | Purpose::Follow(_) => {
                self.end(slot, Some(true));
            }
        }
    }

    pub(super) fn answer_client(&mut self, slot: u64, envelope: &Envelope<'_>) {
        let Some(pending) = self.pending.get(slot) else {
            return;
        };
        let Some(call) = pending.call() else { return };
        let spoken = pending.link.and_then(|link| self.spoken_on(link));
        let is_modern = spoken == Some(Spoken::Modern);
        if let (Some(result), true) = (&envelope.result, is_modern)
            && call.revision.era() == Era::Legacy
            && bridge::result_kind(result.text) != ResultKind::Complete
        {
            return self.ask_for_upstream(slot, result.text);
        }
        // A status that says "not now" is a failure whatever stands in it, and may be made good elsewhere.
        if matches!(pending.status, 429 | 503) {
            let failure = self.of_status(slot);
            return self.fail(slot, failure);
        }
        // An upstream that no longer knows the session says so in an error; the call can be made in a new one.
        if pending.status == 404 && pending.session_number.is_some() {
            let failure = self.of_status(slot);
            return self.fail(slot, failure);
        }
        let (status, remote, link) = (pending.status, pending.remote, pending.link);
        if let Some(found) = link.and_then(|link| self.links.get_mut(link)) {
            found.session.proved();
        }
        if status == 400 && envelope.error.is_some() {
            // So does a server of the other era answer.
            self.doubt_era(remote);
            self.feed_changed(remote, None);
        }
        self.note_subscription(slot, envelope);
        let Some(pending) = self.pending.get_mut(slot) else {
            return;
        };
        if let Some(hold) = &mut pending.hold
            && hold.until_ms.is_some()
        {
            // Its client is not here: it comes back for it.
            hold.answer = Some(envelope.body().to_vec());
            return;
        }
        let name = self.routes[pending.remote].remote.name();
        let done = pending.call().map(|call| {
            let done = translated(call, &pending.id, envelope, is_modern, &self.task_ids, name);
            (call.caller, done)
        });
        if let Some((caller, done)) = done {
            self.act(Action::Done(caller, done));
        }
        self.end(slot, Some(status < 500));
    }

    /// Answers a call whose answer came while its client was away.
    pub(super) fn answer_held(&mut self, slot: u64, text: &[u8]) {
        let Ok(envelope) = Envelope::read(text, self.limits.json_depth_max) else {
            return self.end(slot, None);
        };
        let Some(pending) = self.pending.get_mut(slot) else {
            return;
        };
        if let Some(hold) = &mut pending.hold {
            hold.until_ms = None;
        }
        self.answer_client(slot, &envelope);
    }

    /// A modern upstream asks a legacy client something before it answers.
    fn ask_for_upstream(&mut self, slot: u64, result: &[u8]) {
        let Some(pending) = self.pending.get_mut(slot) else {
            return;
        };
        pending.rounds += 1;
        let is_over = pending.rounds > ROUNDS_MAX;
        let asked = bridge::read_input_required(result).filter(|_| !is_over);
        match asked {
            Some(asked) => self.collect(slot, asked),
            None => {
                let why = match is_over {
                    true => "asks more rounds of questions than one call may have",
                    false => "answered with what a client of this revision cannot be given",
                };
                self.answer_with_error(slot, why);
            }
        }
    }

    /// Answers a call with an error that is the upstream's fault, though its place works.
    pub(super) fn answer_with_error(&mut self, slot: u64, why: &str) {
        let Some(pending) = self.pending.get(slot) else {
            return;
        };
        let text = format!(
            "the upstream `{}` {why}",
            self.routes[pending.remote].remote.name()
        );
        if let Some(caller) = pending.caller() {
            let mut body = Vec::new();
            reply::error(
                &mut body,
                Some(&pending.id),
                code::INTERNAL_ERROR,
                &text,
                None,
            );
            let done = Done {
                status: 200,
                outcome: "error",
                body,
            };
            self.act(Action::Done(caller, done));
        }
        self.end(slot, Some(true));
    }

    /// Remembers what a session follows, for the next session in its place.
    fn note_subscription(&mut self, slot: u64, envelope: &Envelope<'_>) {
        let Some(pending) = self.pending.get(slot) else {
            return;
        };
        let (Some(call), Some(link)) = (pending.call(), pending.link) else {
            return;
        };
        let (method, uri) = (call.method, call.target.clone());
        if envelope.result.is_none() {
            return self.undo_follow(slot);
        }
        if !matches!(method, Method::Subscribe | Method::Unsubscribe) {
            return;
        }
        if let Some(found) = self.links.get_mut(link) {
            match method {
                Method::Subscribe => {
                    found.session.subscribe(&uri);
                }
                _ => found.session.unsubscribe(&uri),
            }
        }
        self.listen_if_worth(link);
    }
}

/// The answer as the client takes it.
fn translated(
    call: &Call,
    id: &IdText,
    envelope: &Envelope<'_>,
    is_modern: bool,
    task_ids: &TaskIds,
    name: &str,
) -> Done {
    let era = call.revision.era();
    let crosses = is_modern != (era == Era::Modern);
    if let Some(error) = &envelope.error {
        let text = match crosses {
            true => bridge::error_to(era, call.method, error.text),
            false => error.text.into(),
        };
        return Done {
            status: bridge::error_status(era, error.text),
            outcome: "error",
            body: text::response(id, Err(&text)),
        };
    }
    let Some(result) = &envelope.result else {
        return Done {
            status: 200,
            outcome: "error",
            body: Vec::new(),
        };
    };
    let mut text = match (crosses, era) {
        (false, _) => result.text.into(),
        (true, Era::Modern) => bridge::result_to_modern(call.method, result.text),
        (true, Era::Legacy) => bridge::result_to_legacy(call.method, result.text),
    };
    if may_name_tasks(call, &text) {
        let renamed = bridge::rename_tasks(&text, &mut |theirs| {
            task_ids.outward(name, call.principal, theirs)
        });
        text = renamed.into_owned().into();
    }
    let body = match (&envelope.id, crosses) {
        // Nothing else changes: the bytes that came.
        (Some(place), false) if matches!(text, std::borrow::Cow::Borrowed(_)) => {
            let mut body = Vec::with_capacity(envelope.body().len() + 64);
            envelope.write(&mut body, &[(place, id.as_bytes())]);
            body
        }
        _ => text::response(id, Ok(&text)),
    };
    let is_error = call.method == Method::CallTool && says_is_error(&text);
    Done {
        status: 200,
        outcome: if is_error { "tool_error" } else { "ok" },
        body,
    }
}

/// Whether there may be ids of tasks in a result: only what can make or name one is looked through.
fn may_name_tasks(call: &Call, result: &[u8]) -> bool {
    match call.method {
        Method::GetTask
        | Method::TaskResult
        | Method::UpdateTask
        | Method::CancelTask
        | Method::ListTasks => true,
        Method::CallTool => match call.revision.era() {
            Era::Modern => bridge::result_kind(result) == ResultKind::Task,
            Era::Legacy => super::facts::member(&call.message, "params")
                .is_some_and(|params| super::facts::has(params, "task")),
        },
        _ => false,
    }
}

fn says_is_error(result: &[u8]) -> bool {
    // Only what is short is worth a second look for a log.
    const LOOKED_AT_MAX: usize = 4 << 10;
    result.len() <= LOOKED_AT_MAX && super::facts::member(result, "isError") == Some(b"true")
}

impl Pending {
    /// Whether nobody may take its answer now.
    pub(super) fn is_held(&self) -> bool {
        self.hold
            .as_ref()
            .is_some_and(|hold| hold.until_ms.is_some())
    }
}
