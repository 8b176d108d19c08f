//! From a client's call to the moment when its link is ready for it.

use super::failure::Failure;
use super::link::Scope;
use super::pending::{Pending, Purpose};
use super::word::{Call, CallerKey, Word};
use super::{Gateway, millis};
use crate::mcp::{ClientCapabilities, LogLevel, Method};
use crate::upstream::era::Spoken;
use crate::upstream::session::Need;
use crate::upstream::settings::Sharing;

/// What clients of ours can do, taken together.
pub(super) const ANYTHING: ClientCapabilities = ClientCapabilities::ROOTS
    .with(ClientCapabilities::SAMPLING)
    .with(ClientCapabilities::SAMPLING_TOOLS)
    .with(ClientCapabilities::ELICITATION_FORM)
    .with(ClientCapabilities::ELICITATION_URL);

/// A session that may be asked for so soon is waited for.
const SOON_MS: u64 = 1_000;

impl Gateway {
    /// Takes a word of another thread, or of control.
    pub fn hear(&mut self, word: Word) {
        match word {
            Word::Begin(call) => self.begin(call),
            Word::Cancel { caller, .. } => self.cancel(caller),
            Word::Answered { ask, answer } => self.answered(ask.number, answer),
            Word::Child { child, news } => self.child_news(child, news),
            Word::Follow(follow) => self.begin_follow(*follow),
            Word::Unheard(caller) => self.unheard(caller),
            Word::Credential(remote, news) => self.credential_news(remote, &news),
            Word::Changed(remote, list) => self.feed_changed(remote, list),
            Word::SessionEnded(session) => self.end_session(session),
            // For the thread itself.
            Word::Done { .. } => {}
        }
    }

    /// Begins a call of a client.
    pub fn begin(&mut self, call: Box<Call>) {
        let Some(call) = self.resume_held(call) else {
            return;
        };
        let (remote, caller) = (call.remote.index, call.caller);
        let id = super::hold::id_of(&call, self.limits.json_depth_max);
        let due_ms = self.now_ms + millis(call.timeout());
        self.routes[remote].numbers.calls += 1;
        self.routes[remote].budget.deposit();
        let pending = Pending::new(Purpose::Caller(call), remote, id, due_ms);
        match self.pending.insert(pending) {
            Ok(slot) => {
                self.callers.insert(caller, slot);
                self.advance(slot);
            }
            Err(full) => {
                let why = "as many requests to upstreams are in flight as may be; try again in a moment, or have the operator raise limits.request_count_max";
                self.refuse(&full.0, &Failure::crowded(why));
            }
        }
    }

    /// Brings a request as far as it gets without waiting.
    pub(super) fn advance(&mut self, slot: u64) {
        let Some(pending) = self.pending.get(slot) else {
            return;
        };
        let remote = pending.remote;
        if self.routes[remote].remote.is_stdio() {
            return self.advance_to_child(slot);
        }
        let Some(spoken) = self.routes[remote].spoken(self.now_ms) else {
            return self.ask_era(remote, slot);
        };
        let scope = self.scope(slot, spoken);
        let Some(link) = self.link(remote, scope, spoken, slot) else {
            return;
        };
        self.advance_on(slot, link, spoken);
    }

    /// The same, once its link is known.
    pub(super) fn advance_on(&mut self, slot: u64, link: u64, spoken: Spoken) {
        let now_ms = self.now_ms;
        let level = self.wanted_level(slot);
        let Some(found) = self.links.get_mut(link) else {
            return self.fail(slot, Failure::over());
        };
        found.used_ms = now_ms;
        if let Some(pending) = self.pending.get_mut(slot) {
            pending.link = Some(link);
        }
        if spoken == Spoken::Modern {
            if !self.follow(slot, link, spoken) {
                self.send(slot);
            }
            return;
        }
        if self.has_foreign_state(slot) {
            return self.refuse_foreign_state(slot);
        }
        let Some(found) = self.links.get_mut(link) else {
            return self.fail(slot, Failure::over());
        };
        if found.is_preparing {
            found.waiting.push(slot);
            return;
        }
        match found.session.need(now_ms) {
            Need::Nothing => {}
            Need::Initialize => {
                found.waiting.push(slot);
                return self.initialize(link);
            }
            Need::Wait => return found.waiting.push(slot),
            Need::Refuse { retry_in_ms } if self.is_worth_waiting(slot, retry_in_ms) => {
                // It is worth waiting for.
                return self.advance_later(slot, retry_in_ms);
            }
            Need::Refuse { retry_in_ms } => {
                return self.fail(slot, Failure::handshakes_fail(retry_in_ms));
            }
            Need::Over => return self.fail(slot, Failure::over()),
        }
        let raises = level.is_some_and(|level| found.level.is_none_or(|told| level < told));
        if raises && found.offers("logging") {
            found.waiting.push(slot);
            found.level = level;
            return self.set_level(link, level.unwrap_or(LogLevel::LEGACY_DEFAULT));
        }
        if !self.follow(slot, link, spoken) {
            self.send(slot);
        }
    }

    /// Whether a request had better wait than fail: not where another upstream takes it, or where little of its time is left.
    fn is_worth_waiting(&self, slot: u64, wait_ms: u64) -> bool {
        let Some(pending) = self.pending.get(slot) else {
            return false;
        };
        let left_ms = pending.due_ms.saturating_sub(self.now_ms);
        let has_fallback = self.routes[pending.remote]
            .remote
            .settings
            .fallback
            .is_some();
        wait_ms <= SOON_MS && wait_ms <= left_ms / 4 && !has_fallback
    }

    /// Brings a request further after a while.
    fn advance_later(&mut self, slot: u64, wait_ms: u64) {
        let due_ms = self.now_ms + wait_ms;
        if let Some(pending) = self.pending.get_mut(slot) {
            pending.advance_ms = Some(due_ms);
            self.stalled.push(slot);
        }
    }

    /// The least level of log messages that a call's client wants.
    fn wanted_level(&self, slot: u64) -> Option<LogLevel> {
        self.pending.get(slot)?.call()?.log_level
    }

    /// Whose link a request needs.
    fn scope(&self, slot: u64, spoken: Spoken) -> Scope {
        if spoken == Spoken::Modern {
            return Scope::Shared;
        }
        self.own_scope(slot)
    }

    /// The scope of what is not shared.
    pub(super) fn own_scope(&self, slot: u64) -> Scope {
        match self.pending.get(slot).and_then(Pending::call) {
            None => Scope::Feed,
            Some(call) => match call.session {
                Some(session) => Scope::Session(session),
                None => Scope::Open(call.principal, call.capabilities),
            },
        }
    }

    /// The scope of a child that a request goes to.
    pub(super) fn child_scope(&self, remote: usize, slot: u64) -> Scope {
        match self.routes[remote].remote.settings.sharing {
            Sharing::Shared => Scope::Shared,
            Sharing::PerSession => self.own_scope(slot),
        }
    }

    /// What a link says that whoever is behind it can do.
    pub(super) fn behind(&self, slot: u64, scope: Scope) -> ClientCapabilities {
        match (scope, self.pending.get(slot).and_then(Pending::call)) {
            // Whoever asks is found out when something is asked; and what some clients are shown is listed, too.
            (Scope::Shared | Scope::Feed, _) | (_, None) => ANYTHING,
            (_, Some(call)) => call.capabilities,
        }
    }

    /// A client wants its call no longer.
    pub fn cancel(&mut self, caller: CallerKey) {
        let Some(slot) = self.callers.get(&caller).copied() else {
            return;
        };
        self.withdraw(slot, "the client cancelled it");
        self.end(slot, None);
    }

    /// Tells the upstream that nobody waits for a request any longer.
    pub(super) fn withdraw(&mut self, slot: u64, reason: &str) {
        let Some(pending) = self.pending.get(slot) else {
            return;
        };
        let (Some(link), Some(number)) = (pending.link, pending.number) else {
            return;
        };
        let spoken = self.spoken_on(link);
        let is_initialize = matches!(pending.purpose, Purpose::Initialize);
        // Of a modern upstream over HTTP, the end of the connection says it.
        let says = spoken != Some(Spoken::Modern) || self.is_child(link);
        if says && !is_initialize {
            let mut message = Vec::new();
            crate::upstream::multiplex::Multiplexer::<u64>::write_cancellation(
                number,
                reason,
                &mut message,
            );
            self.send_message(link, message);
        }
        let exchange = self
            .pending
            .get_mut(slot)
            .and_then(|pending| pending.exchange.take());
        if let Some(exchange) = exchange {
            self.abandon(exchange);
        }
    }

    /// The sessions for which this holds are no more, and neither is what was kept for them.
    pub fn end_session(&mut self, session: crate::mcp::SessionId) {
        self.end_sessions(|other| other == session);
    }

    /// The same for several.
    pub fn end_sessions(&mut self, is_over: impl Fn(crate::mcp::SessionId) -> bool) {
        let is_its = |scope: Scope| matches!(scope, Scope::Session(session) if is_over(session));
        let over: Vec<u64> = self
            .links
            .iter()
            .filter(|(_, link)| is_its(link.scope))
            .map(|(key, _)| key)
            .collect();
        for link in over {
            self.end_link(link, "its client's session ended");
        }
        self.unfollow_all(is_over);
    }

    /// Whether the method reads, so that a second request changes nothing.
    pub fn reads(method: Method) -> bool {
        matches!(
            method,
            Method::ReadResource | Method::GetPrompt | Method::Complete | Method::GetTask
        )
    }
}
