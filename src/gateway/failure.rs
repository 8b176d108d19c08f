//! Calls that get no answer: made again elsewhere where that is safe, else answered with why.

use std::sync::Arc;

use super::pending::{Pending, Purpose};
use super::word::Done;
use super::{Action, Gateway};
use crate::mcp::{code, reply};
use crate::policy::{Failed, Reached, may_repeat};
use crate::wire::json::{write_str, write_u64};

/// Attempts at one call, the first included.
const ATTEMPTS_MAX: u32 = 3;
/// Upstreams that one call is handed on to.
const DETOURS_MAX: u32 = 3;

/// Why a request has no answer.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) reached: Reached,
    pub(super) failed: Failed,
    /// For people; what it is about is said before it.
    pub(super) why: String,
    /// Whether it counts against the place.
    pub(super) blames: bool,
    /// Whether asking the same upstream again is in vain.
    is_final: bool,
    retry_in_ms: Option<u64>,
    outcome: &'static str,
}

impl Failure {
    pub(super) fn new(reached: Reached, failed: Failed, why: &str) -> Self {
        Self {
            reached,
            failed,
            why: without_name(why).to_owned(),
            blames: !matches!(failed, Failed::Cancelled),
            is_final: false,
            retry_in_ms: None,
            outcome: match failed {
                Failed::Deadline => "deadline",
                Failed::Connection => "unreachable",
                Failed::Refused => "refused",
                _ => "bad_answer",
            },
        }
    }

    fn here(failed: Failed, why: String, outcome: &'static str) -> Self {
        Self {
            blames: false,
            is_final: true,
            outcome,
            ..Self::new(Reached::Nothing, failed, &why)
        }
    }

    /// A limit of ours is reached.
    pub(super) fn crowded(why: &str) -> Self {
        Self::here(Failed::Refused, why.to_owned(), "overloaded")
    }

    /// Every place is down, or its breaker open.
    pub(super) fn unavailable(retry_in_ms: u64, last: &str) -> Self {
        Self {
            retry_in_ms: Some(retry_in_ms),
            ..Self::here(
                Failed::Refused,
                format!(
                    "it is not available, and is tried again in {retry_in_ms} ms: too many of its latest calls failed{}{last}",
                    if last.is_empty() { "" } else { "; " }
                ),
                "unavailable",
            )
        }
    }

    /// The upstream takes no credential that we have.
    pub(super) fn credential(why: &str) -> Self {
        Self::here(Failed::Answer, why.to_owned(), "unauthorized")
    }

    /// Handshakes fail one after the other.
    pub(super) fn handshakes_fail(retry_in_ms: u64) -> Self {
        Self {
            retry_in_ms: Some(retry_in_ms),
            ..Self::here(
                Failed::Refused,
                format!("it keeps no session, and is asked for one again in {retry_in_ms} ms"),
                "unavailable",
            )
        }
    }

    /// The handshake made no sense.
    pub(super) fn handshake(why: &str) -> Self {
        Self {
            is_final: true,
            ..Self::new(Reached::Nothing, Failed::Answer, why)
        }
    }

    /// The session that the call belongs to is over.
    pub(super) fn over() -> Self {
        Self::here(
            Failed::Cancelled,
            "the session with it has ended".to_owned(),
            "cancelled",
        )
    }

    /// What the call was on has ended.
    pub(super) fn ended(why: &str) -> Self {
        Self::new(Reached::Sent, Failed::Connection, why)
    }

    /// The same for those who waited for it: nothing of theirs was sent.
    pub(super) fn of_waiting(&self) -> Self {
        Self {
            reached: Reached::Nothing,
            ..self.clone()
        }
    }

    /// The same, and asking the same upstream again is in vain.
    pub(super) fn finally(self) -> Self {
        Self {
            is_final: true,
            ..self
        }
    }

    pub(super) fn is_answer(&self) -> bool {
        matches!(self.failed, Failed::Answer | Failed::Refused)
    }
}

/// What a transport says, without the name of the upstream before it: it is said anyway.
fn without_name(why: &str) -> &str {
    match why
        .strip_prefix("upstream ")
        .and_then(|rest| rest.split_once(": "))
    {
        Some((_, rest)) => rest,
        None => why,
    }
}

impl Gateway {
    /// A request has failed.
    pub(super) fn fail(&mut self, slot: u64, failure: Failure) {
        self.exchange_failed(slot, failure);
    }

    /// What the status of an answer without a message says.
    pub(super) fn of_status(&self, slot: u64) -> Failure {
        let Some(pending) = self.pending.get(slot) else {
            return Failure::over();
        };
        let status = pending.status;
        let (failed, what) = match status {
            401 | 403 if self.routes[pending.remote].remote.credential.is_managed() => (
                Failed::Answer,
                "it does not accept what its `auth` in the configuration gets for it; it",
            ),
            401 | 403 => (
                Failed::Answer,
                "it does not accept our credentials, which are those of its `headers` in the configuration; it",
            ),
            404 => (
                Failed::Answer,
                "it has nothing at this URL, or lost the session: it",
            ),
            429 | 503 => (Failed::Refused, "it is overloaded: it"),
            300..=399 => (
                Failed::Answer,
                "it redirects, which is not followed: configure the final URL; it",
            ),
            _ => (Failed::Answer, "it gave no answer that can be used: it"),
        };
        let excerpt = match pending.excerpt.is_empty() {
            true => String::new(),
            false => format!(": {}", pending.excerpt.escape_debug()),
        };
        let why = format!("{what} answered HTTP {status}{excerpt}");
        Failure {
            blames: status >= 500,
            retry_in_ms: pending
                .retry_after_s
                .map(|seconds| seconds.saturating_mul(1_000)),
            ..Failure::new(Reached::Answering, failed, &why)
        }
    }

    /// A call, or a page of a list, has failed.
    pub(super) fn call_failed(&mut self, slot: u64, failure: Failure) {
        let now_ms = self.now_ms;
        self.release_place(slot, Some(!failure.blames));
        let Some(pending) = self.pending.get_mut(slot) else {
            return;
        };
        if failure.blames {
            self.routes[pending.remote]
                .last_failure
                .clone_from(&failure.why);
        }
        if pending.twin.is_some_and(|twin| self.pending.contains(twin)) {
            // The second attempt may still be answered.
            return self.leave_to_twin(slot);
        }
        let Some(pending) = self.pending.get_mut(slot) else {
            return;
        };
        let is_call = matches!(pending.purpose, Purpose::Caller(_));
        let (remote, status, link) = (pending.remote, pending.status, pending.link);
        pending.status = 0;
        let due_ms = pending.due_ms;
        let has_time = now_ms < due_ms && pending.attempts < ATTEMPTS_MAX;
        let is_plain = pending.hold.is_none() && pending.collecting.is_none();
        let is_lost = status == 404
            || (failure.reached == Reached::Nothing && failure.failed == Failed::Connection);
        if let (true, true, Some(link)) = (is_lost, has_time, link)
            && self.session_lost(link, slot)
        {
            self.take_back(slot);
            return self.advance(slot);
        }
        let Some(pending) = self.pending.get_mut(slot) else {
            return;
        };
        let is_repeatable = pending.call().is_none_or(|call| call.is_repeatable);
        let may = is_plain && may_repeat(failure.reached, failure.failed, is_repeatable);
        if may && has_time && !failure.is_final && self.routes[remote].budget.withdraw(now_ms) {
            pending.avoid = pending.place.take();
            self.routes[remote].numbers.retries += 1;
            self.take_back(slot);
            return self.advance(slot);
        }
        if may && is_call && now_ms < due_ms && self.detour(slot) {
            return;
        }
        if is_call {
            self.routes[remote].numbers.failures += 1;
            self.refuse_call(slot, &failure);
        } else {
            let is_old = self.is_of_an_old_look(slot, remote);
            self.end(slot, None);
            if !is_old {
                self.feed_failed(remote, &failure);
            }
        }
    }

    fn leave_to_twin(&mut self, slot: u64) {
        self.take_back(slot);
        if let Some(pending) = self.pending.get_mut(slot) {
            pending.status = 0;
        }
    }

    /// Tells a client why its call has no answer.
    fn refuse_call(&mut self, slot: u64, failure: &Failure) {
        self.undo_follow(slot);
        let Some(pending) = self.pending.get_mut(slot) else {
            return;
        };
        let name = self.routes[pending.remote].remote.name();
        let Some(refusal) = refusal(pending, name, failure) else {
            return self.end(slot, None);
        };
        if let (Action::Done(_, done), Some(hold)) = (&refusal, &mut pending.hold)
            && hold.until_ms.is_some()
        {
            // Its client is not here: it comes back for it.
            hold.answer = Some(done.body.clone());
            return;
        }
        self.act(refusal);
        if failure.failed == Failed::Deadline {
            // The upstream may still work at it.
            self.withdraw(slot, "its time is over");
        }
        self.end(slot, None);
    }

    /// Hands a call on to the fallback of its upstream; whether there is one.
    fn detour(&mut self, slot: u64) -> bool {
        let Some(pending) = self.pending.get(slot) else {
            return false;
        };
        let from = pending.remote;
        let name = self.routes[from].remote.settings.fallback.clone();
        let found = name.and_then(|name| {
            self.routes
                .iter()
                .position(|route| route.remote.name() == name)
        });
        let Some(to) = found.filter(|to| *to != from && pending.detours < DETOURS_MAX) else {
            return false;
        };
        self.routes[from].numbers.fallbacks += 1;
        self.take_back(slot);
        let remote = Arc::clone(&self.routes[to].remote);
        if let Some(pending) = self.pending.get_mut(slot) {
            pending.detours += 1;
            pending.remote = to;
            pending.link = None;
            pending.attempts = 0;
            pending.avoid = None;
            if let Purpose::Caller(call) = &mut pending.purpose {
                call.remote = remote;
            }
        }
        self.advance(slot);
        true
    }

    /// A request is to be sent anew: what it was sent as is given up.
    pub(super) fn take_back(&mut self, slot: u64) {
        self.release_place(slot, None);
        let Some(pending) = self.pending.get_mut(slot) else {
            return;
        };
        let (number, link) = (pending.number.take(), pending.link);
        pending.place = None;
        if let Some(exchange) = pending.exchange.take() {
            self.abandon(exchange);
        }
        if let (Some(number), Some(found)) =
            (number, link.and_then(|link| self.links.get_mut(link)))
        {
            found.multiplexer.give_up(number);
        }
    }

    /// Tells the breaker of a request's place how it went.
    pub(super) fn release_place(&mut self, slot: u64, went: Option<bool>) {
        let now_ms = self.now_ms;
        let Some(pending) = self.pending.get_mut(slot) else {
            return;
        };
        if let (Some(place), Some(permit)) = (pending.place, pending.permit.take()) {
            self.routes[pending.remote].record(place, permit, went, now_ms);
        }
    }

    /// The upstream may not know the session that a request was sent in; whether it can be sent again in a new one.
    pub(super) fn session_lost(&mut self, link: u64, slot: u64) -> bool {
        let now_ms = self.now_ms;
        let Some(number) = self
            .pending
            .get(slot)
            .and_then(|pending| pending.session_number)
        else {
            return false;
        };
        let Some(found) = self.links.get_mut(link) else {
            return false;
        };
        let Some((current, _, _)) = found.session.current() else {
            // Another call has found out before.
            return true;
        };
        if current == number && found.session.lost(number, now_ms) {
            found.place = None;
            found.level = None;
            if let Some(listening) = found.listening.take() {
                let slot = self.exchanges.get(&listening).copied();
                self.abandon(listening);
                if let Some(slot) = slot {
                    self.end(slot, None);
                }
            }
            return true;
        }
        current != number
    }

    /// A request is over.
    ///
    /// Shape: `went` says whether its place works, as far as this request shows.
    pub(super) fn end(&mut self, slot: u64, went: Option<bool>) {
        self.release_place(slot, went);
        let Some(pending) = self.pending.remove(slot) else {
            return;
        };
        if let Some(caller) = pending.caller()
            && self.callers.get(&caller) == Some(&slot)
        {
            self.callers.remove(&caller);
        }
        if let (Some(number), Some(found)) = (
            pending.number,
            pending.link.and_then(|link| self.links.get_mut(link)),
        ) {
            let was_at_work = found.multiplexer.give_up(number).is_some();
            found.used_ms = self.now_ms;
            if let (true, Some(call)) = (was_at_work, pending.call()) {
                let until_ms = self.now_ms + super::millis(self.limits.ask_deadline);
                found.note_unclear(until_ms, (call.principal, call.session), self.now_ms);
            }
        }
        if let Some(twin) = pending.twin {
            self.withdraw(twin, "another attempt was answered first");
            self.end(twin, None);
        }
        if let Some(hold) = &pending.hold {
            self.held.remove(&hold.handle);
            let link = pending.link;
            for asked in &hold.asked {
                self.refuse_ask(link, asked.number, "nobody answers it any longer");
            }
        }
        if !self.asks.is_empty() {
            self.give_up_asks(slot);
        }
        if let Some(exchange) = pending.exchange
            && pending.status == 0
        {
            // Nothing of its answer has come: nobody is there to take it.
            self.abandon(exchange);
        }
    }

    /// Answers a call that was never taken in.
    pub(super) fn refuse(&mut self, pending: &Pending, failure: &Failure) {
        let name = self.routes[pending.remote].remote.name();
        let refusal = refusal(pending, name, failure);
        self.actions.extend(refusal);
    }
}

/// The answer to a call that has failed.
fn refusal(pending: &Pending, upstream: &str, failure: &Failure) -> Option<Action> {
    let caller = pending.caller()?;
    let number = match failure.failed {
        Failed::Refused => code::OVERLOADED,
        _ => code::INTERNAL_ERROR,
    };
    let text = format!("the upstream `{upstream}`: {}", failure.why);
    let mut data = br#"{"upstream":"#.to_vec();
    write_str(&mut data, upstream);
    data.extend_from_slice(br#","reason":"#);
    write_str(&mut data, failure.outcome);
    if let Some(retry_in_ms) = failure.retry_in_ms {
        data.extend_from_slice(br#","retryAfterMs":"#);
        write_u64(&mut data, retry_in_ms);
    }
    data.push(b'}');
    let mut body = Vec::new();
    reply::error(&mut body, Some(&pending.id), number, &text, Some(&data));
    let done = Done {
        status: 200,
        outcome: failure.outcome,
        body,
    };
    Some(Action::Done(caller, done))
}
