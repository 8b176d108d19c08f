//! The clock: deadlines, what is due, and what nobody uses any longer.

use super::Gateway;
use super::failure::Failure;
use super::link::Scope;
use super::pending::Purpose;
use crate::policy::{Failed, Reached};

/// Between two looks at the clock.
const SWEEP_MS: u64 = 20;
/// Links of clients without sessions are kept for this time after their last use.
const OPEN_IDLE_MS: u64 = 300_000;

impl Gateway {
    /// Looks at the clock. To be called every turn; it looks at most every few milliseconds.
    pub fn sweep(&mut self) {
        self.unstall();
        if self.now_ms < self.swept_ms + SWEEP_MS && self.swept_ms != 0 {
            return;
        }
        self.swept_ms = self.now_ms.max(1);
        self.end_overdue();
        self.hedge();
        self.restart_broken();
        self.relisten();
        self.run_feeds();
        self.check_places();
        self.end_idle();
    }

    fn end_overdue(&mut self) {
        let now_ms = self.now_ms;
        let overdue: Vec<u64> = self
            .pending
            .iter()
            .filter(|(_, pending)| now_ms >= pending.due_ms)
            .map(|(slot, _)| slot)
            .collect();
        for slot in overdue {
            self.overdue(slot);
        }
    }

    fn overdue(&mut self, slot: u64) {
        let Some(pending) = self.pending.get(slot) else {
            return;
        };
        if pending.is_held() {
            self.withdraw(slot, "its client did not come back");
            return self.end(slot, None);
        }
        let remote = pending.remote;
        let settings = &self.routes[remote].remote.settings;
        let (key, timeout) = match &pending.purpose {
            Purpose::Caller(call) if call.timeout() != settings.timeouts.call => {
                ("tools", call.timeout())
            }
            Purpose::Caller(call) => ("call", call.timeout()),
            Purpose::Check { .. } => ("health", settings.health.timeout),
            _ => ("head", settings.timeouts.head),
        };
        let reached = match pending.number {
            Some(_) => Reached::Sent,
            None => Reached::Nothing,
        };
        let why = format!(
            "it did not answer within {} ms (upstreams.{}.timeouts.{key})",
            timeout.as_millis(),
            settings.name
        );
        if let Some(exchange) = pending.exchange
            && pending.caller().is_none()
        {
            self.abandon(exchange);
        }
        self.forget_waiting(slot);
        self.fail(slot, Failure::new(reached, Failed::Deadline, &why));
    }

    /// A request that waited for its link waits no longer.
    fn forget_waiting(&mut self, slot: u64) {
        let link = self.pending.get(slot).and_then(|pending| pending.link);
        if let Some(found) = link.and_then(|link| self.links.get_mut(link)) {
            found.waiting.retain(|waiting| *waiting != slot);
        }
    }

    fn end_idle(&mut self) {
        let now_ms = self.now_ms;
        let idle: Vec<u64> = self
            .links
            .iter()
            .filter(|(_, link)| {
                matches!(link.scope, Scope::Open(..))
                    && link.is_quiet()
                    && now_ms >= link.used_ms + OPEN_IDLE_MS
            })
            .map(|(key, _)| key)
            .collect();
        for link in idle {
            self.end_link(link, "it was not used");
        }
    }

    /// Ends every link: sessions are deleted, children stopped. The calls that are left fail.
    pub fn end_all(&mut self) {
        let links: Vec<u64> = self.links.iter().map(|(key, _)| key).collect();
        for link in links {
            self.end_link(link, "this server is ending");
        }
    }
}
