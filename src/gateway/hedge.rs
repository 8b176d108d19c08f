//! A call that may be made twice and is not answered soon is made at another place, too: the first answer counts.
//!
//! Off unless configured. It costs a retry of the budget, so that an upstream that is slow as a whole is not asked twice for everything.

use super::Gateway;
use super::failure::Failure;
use super::link::Scope;
use super::pending::{Pending, Purpose};
use crate::upstream::envelope::Envelope;
use crate::upstream::multiplex::IdText;

impl Gateway {
    /// Looks for calls whose second attempt is due.
    pub(super) fn hedge(&mut self) {
        if !self
            .routes
            .iter()
            .any(|route| route.remote.settings.hedge_after.is_some())
        {
            return;
        }
        let due: Vec<u64> = self
            .pending
            .iter()
            .filter(|(_, pending)| self.is_hedge_due(pending))
            .map(|(slot, _)| slot)
            .collect();
        for slot in due {
            self.begin_twin(slot);
        }
    }

    fn is_hedge_due(&self, pending: &Pending) -> bool {
        let route = &self.routes[pending.remote];
        let Some(after) = route.remote.settings.hedge_after else {
            return false;
        };
        let is_sent = pending.exchange.is_some() && pending.status == 0;
        let is_shared = pending
            .link
            .and_then(|link| self.links.get(link))
            .is_some_and(|link| link.scope == Scope::Shared);
        pending.call().is_some_and(|call| call.is_repeatable)
            && pending.twin.is_none()
            && is_sent
            && is_shared
            && route.places.len() > 1
            && self.now_ms >= pending.sent_ms + super::millis(after)
    }

    fn begin_twin(&mut self, slot: u64) {
        let now_ms = self.now_ms;
        let Some(pending) = self.pending.get(slot) else {
            return;
        };
        let (remote, link, place, due_ms) =
            (pending.remote, pending.link, pending.place, pending.due_ms);
        if !self.routes[remote].budget.withdraw(now_ms) {
            return;
        }
        let mut twin = Pending::new(Purpose::Twin(slot), remote, IdText::of_number(0), due_ms);
        twin.link = link;
        twin.avoid = place;
        let Ok(key) = self.pending.insert(twin) else {
            return;
        };
        if let Some(pending) = self.pending.get_mut(slot) {
            pending.twin = Some(key);
        }
        self.routes[remote].numbers.retries += 1;
        self.send(key);
    }

    /// The second attempt was answered first.
    pub(super) fn twin_answered(&mut self, twin: u64, slot: u64, envelope: &Envelope<'_>) {
        let status = self.pending.get(twin).map_or(200, |twin| twin.status);
        if matches!(status, 429 | 503) {
            let failure = self.of_status(twin);
            return self.twin_failed(twin, slot, failure);
        }
        self.end(twin, Some(status < 500));
        self.take_back(slot);
        if let Some(pending) = self.pending.get_mut(slot) {
            pending.status = status;
            pending.twin = None;
            self.answer_client(slot, envelope);
        }
    }

    /// The second attempt has failed: the first goes on, if it has not failed, too.
    pub(super) fn twin_failed(&mut self, twin: u64, of: u64, failure: Failure) {
        self.end(twin, Some(!failure.blames));
        let Some(first) = self.pending.get_mut(of) else {
            return;
        };
        first.twin = None;
        if first.exchange.is_none() && first.number.is_none() {
            self.call_failed(of, failure);
        }
    }
}
