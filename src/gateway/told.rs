//! What upstreams say before an answer, or beside all of them.

use super::link::Scope;
use super::{Action, Gateway};
use crate::component::Outgoing;
use crate::mcp::{Era, List, LogLevel};
use crate::upstream::bridge;
use crate::upstream::envelope::{Envelope, Place};
use crate::upstream::era::Spoken;
use crate::upstream::multiplex::IdText;
use crate::wire::json::Reader;

/// Messages that wait for room in one client's outbox: what one read of a socket brings, and no more, because its exchange is
/// paused then.
const BLOCKED_COUNT_MAX: usize = 4_096;

impl Gateway {
    /// A notification of one call.
    pub(super) fn told(&mut self, slot: u64, change: (Place<'_>, IdText), envelope: &Envelope<'_>) {
        let pending = self.pending.get(slot);
        if let Some(pending) = pending
            && matches!(pending.purpose, super::pending::Purpose::Listen)
            && let Some(link) = pending.link
        {
            return self.notified(link, None, envelope);
        }
        let token = match pending.and_then(|pending| pending.retold.as_ref()) {
            None => &change.1,
            Some(Some(token)) => token,
            Some(None) => return,
        };
        let mut message = Vec::with_capacity(envelope.body().len() + 32);
        envelope.write(&mut message, &[(&change.0, token.as_bytes())]);
        self.tell(slot, message);
    }

    /// A notification that names no call.
    pub(super) fn notified(&mut self, link: u64, on: Option<u64>, envelope: &Envelope<'_>) {
        let Some(method) = envelope.method else {
            return;
        };
        let Some(found) = self.links.get(link) else {
            return;
        };
        let (remote, scope, principal) = (found.remote, found.scope, found.principal);
        match &*method.to_cow() {
            "notifications/tools/list_changed" => {
                return self.feed_changed(remote, Some(List::Tools));
            }
            "notifications/prompts/list_changed" => {
                return self.feed_changed(remote, Some(List::Prompts));
            }
            "notifications/resources/list_changed" => {
                return self.feed_changed(remote, Some(List::Resources));
            }
            "notifications/resources/updated" => {
                if let Some(uri) = envelope.uri.as_ref().and_then(|uri| decoded(uri.text)) {
                    self.act(Action::Updated(uri));
                }
                return;
            }
            "notifications/subscriptions/acknowledged" | "notifications/initialized" => return,
            _ => {}
        }
        let method_name = method.to_cow();
        if method_name.starts_with("notifications/tasks/") {
            return self.task_notified(link, envelope);
        }
        let is_call = |slot: &u64| {
            self.pending
                .get(*slot)
                .is_some_and(|pending| pending.caller().is_some())
        };
        let about = on.filter(is_call).or_else(|| self.only_call(link));
        match (about, scope) {
            (Some(slot), _) => {
                if self.wants(slot, envelope) {
                    self.tell(slot, envelope.body().to_vec());
                }
            }
            (None, Scope::Session(session)) => {
                let message = envelope.body().to_vec();
                self.act(Action::Tell(session, principal, message));
            }
            // Nobody knows whose it is.
            _ => self.stray(link),
        }
    }

    /// The status of a task: for the session that it belongs to, under the id that its client has.
    fn task_notified(&mut self, link: u64, envelope: &Envelope<'_>) {
        let Some(found) = self.links.get(link) else {
            return;
        };
        let (Scope::Session(session), principal) = (found.scope, found.principal) else {
            // Whose it is, is not known; who follows it asks.
            return;
        };
        let name = self.routes[found.remote].remote.name();
        let Some(params) = &envelope.params else {
            return;
        };
        let renamed = bridge::rename_tasks(params.text, &mut |theirs| {
            self.task_ids.outward(name, principal, theirs)
        });
        let mut message = Vec::with_capacity(envelope.body().len() + 64);
        envelope.write(&mut message, &[(params, &renamed)]);
        self.act(Action::Tell(session, principal, message));
    }

    /// The one call of a client that is on its way on a link, if there is just one.
    pub(super) fn only_call(&self, link: u64) -> Option<u64> {
        let is_its = |(_, pending): &(u64, &super::pending::Pending)| {
            pending.link == Some(link) && pending.number.is_some() && pending.caller().is_some()
        };
        let mut calls = self.pending.iter().filter(is_its);
        let (slot, pending) = calls.next()?;
        let call = pending.call()?;
        let owner = (call.principal, call.session);
        let is_clear = self.links.get(link)?.can_be_of(owner, self.now_ms);
        (is_clear && calls.next().is_none()).then_some(slot)
    }

    /// Whether a call's client wants a log message of this level; anything else it does.
    fn wants(&self, slot: u64, envelope: &Envelope<'_>) -> bool {
        if !envelope
            .method
            .is_some_and(|method| method.eq_str("notifications/message"))
        {
            return true;
        }
        let Some(call) = self
            .pending
            .get(slot)
            .and_then(super::pending::Pending::call)
        else {
            return false;
        };
        let params = envelope.params.as_ref().map(|params| params.text);
        let level = params.and_then(|params| super::facts::member(params, "level"));
        let level = level.and_then(|level| LogLevel::parse(Reader::new(level, 1).string().ok()?));
        match (call.log_level, level) {
            (None, _) => false,
            (Some(wanted), Some(level)) => level >= wanted,
            (Some(_), None) => true,
        }
    }

    /// Tells a call's client something before its answer.
    fn tell(&mut self, slot: u64, message: Vec<u8>) {
        let Some(pending) = self.pending.get_mut(slot) else {
            return;
        };
        let spoken = pending.link.and_then(|link| self.spoken_on(link));
        let Some(pending) = self.pending.get_mut(slot) else {
            return;
        };
        let (exchange, is_held) = (pending.exchange, pending.is_held());
        let Some(call) = pending.call() else { return };
        let Ok(outbox) = &call.outbox else { return };
        let era = call.revision.era();
        let crosses = (spoken == Some(Spoken::Modern)) != (era == Era::Modern);
        let message = match crosses {
            true => match translated(era, &message) {
                Some(message) => message,
                None => return,
            },
            false => message,
        };
        if is_held {
            return;
        }
        let is_first = pending.blocked.is_empty();
        if is_first && outbox.offer(Outgoing::Message(message.clone())) {
            return;
        }
        // One call must not hold up what it shares a stream with: there, what may be missed is.
        let Some(exchange) = exchange else { return };
        if pending.blocked.len() < BLOCKED_COUNT_MAX {
            pending.blocked.push(message);
        }
        if is_first {
            self.stalled.push(slot);
            self.act(Action::Pause(exchange));
        }
    }

    /// Goes on with calls whose clients have room again, and with streams that broke off. To be called every turn.
    pub(super) fn unstall(&mut self) {
        for slot in std::mem::take(&mut self.stalled) {
            self.unstall_one(slot);
        }
    }

    fn unstall_one(&mut self, slot: u64) {
        let now_ms = self.now_ms;
        let Some(pending) = self.pending.get_mut(slot) else {
            return;
        };
        if let Some(due_ms) = pending.advance_ms {
            if now_ms < due_ms {
                return self.stalled.push(slot);
            }
            pending.advance_ms = None;
            return self.advance(slot);
        }
        if let Some((due_ms, last_event_id)) = &pending.resume {
            if now_ms < *due_ms {
                return self.stalled.push(slot);
            }
            let last_event_id = last_event_id.clone();
            pending.resume = None;
            if let Some(link) = pending.link {
                self.open_stream(slot, link, Some(last_event_id));
            }
            return;
        }
        let mut blocked = std::mem::take(&mut pending.blocked);
        let Some(Ok(outbox)) = pending.call().map(|call| &call.outbox) else {
            return;
        };
        let is_told = |message: &Vec<u8>| outbox.offer(Outgoing::Message(message.clone()));
        let told = blocked
            .iter()
            .take_while(|message| is_told(message))
            .count();
        blocked.drain(..told);
        let exchange = pending.exchange;
        match (blocked.is_empty(), exchange) {
            (true, Some(exchange)) => self.act(Action::Resume(exchange)),
            (true, None) => {}
            (false, _) => {
                pending.blocked = blocked;
                self.stalled.push(slot);
            }
        }
    }

    /// Whether something waits for a client, and will be tried again in the next turn.
    pub fn is_stalled(&self) -> bool {
        !self.stalled.is_empty()
    }
}

fn translated(era: Era, message: &[u8]) -> Option<Vec<u8>> {
    let method = super::facts::text(message, "method")?;
    bridge::notification_to(era, &method, message).map(std::borrow::Cow::into_owned)
}

/// The text of a JSON string.
fn decoded(text: &[u8]) -> Option<String> {
    Some(Reader::new(text, 1).string().ok()?.to_cow().into_owned())
}
