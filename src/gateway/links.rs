//! Making links ready, and ending them.

use std::sync::Arc;

use super::failure::Failure;
use super::link::{Link, Scope, Way};
use super::pending::{Pending, Purpose};
use super::send::Post;
use super::word::ChildOrder;
use super::{Action, Gateway, millis};
use crate::mcp::{LogLevel, Revision};
use crate::upstream::bridge;
use crate::upstream::envelope::Envelope;
use crate::upstream::era::Spoken;
use crate::upstream::multiplex::{CallNumber, IdText, MultiplexRules};
use crate::upstream::say;
use crate::upstream::session::UpstreamFacts;
use crate::upstream::transport::{ExchangeKey, HeadFacts, Request, Verb};

/// The revision that legacy upstreams are asked for: the newest with a handshake.
const ASKED_FOR: Revision = Revision::V2025_11_25;

impl Gateway {
    /// The link of a scope, made if there is none. None: there are too many, and the request has been refused.
    pub(super) fn link(
        &mut self,
        remote: usize,
        scope: Scope,
        spoken: Spoken,
        slot: u64,
    ) -> Option<u64> {
        if let Some(link) = self.routes[remote].links.get(&scope).copied() {
            return Some(link);
        }
        let way = match spoken {
            Spoken::HttpSse => Way::Old {
                stream: None,
                endpoint: None,
            },
            _ => Way::Exchanges,
        };
        self.make_link(remote, scope, way, slot)
    }

    pub(super) fn make_link(
        &mut self,
        remote: usize,
        scope: Scope,
        way: Way,
        slot: u64,
    ) -> Option<u64> {
        let rules = MultiplexRules {
            call_count_max: self.limits.request_count_max + self.limits.ask_count_max,
            ask_count_max: self.limits.ask_count_max,
            // A shared address is used by every home, so that their numbers must differ.
            first: u64::from(self.port),
            step: u64::from(self.homes.end.max(self.port + 1)),
            depth_max: self.limits.json_depth_max,
        };
        let mut link = Link::new(remote, scope, way, rules);
        link.capabilities = self.behind(slot, scope);
        let call = self.pending.get(slot).and_then(Pending::call);
        if let Some(call) = call {
            link.principal = call.principal;
        }
        link.used_ms = self.now_ms;
        match self.links.insert(link) {
            Ok(key) => {
                self.routes[remote].links.insert(scope, key);
                Some(key)
            }
            Err(_) => {
                self.fail(
                    slot,
                    Failure::crowded(
                        "as many sessions with upstreams are open as may be; try again later",
                    ),
                );
                None
            }
        }
    }

    /// What is spoken on a link.
    pub(super) fn spoken_on(&self, link: u64) -> Option<Spoken> {
        let link = self.links.get(link)?;
        match &link.way {
            Way::Child { spoken, .. } => *spoken,
            Way::Old { .. } => Some(Spoken::HttpSse),
            Way::Exchanges if link.scope == Scope::Shared => Some(Spoken::Modern),
            Way::Exchanges => Some(Spoken::Legacy),
        }
    }

    pub(super) fn is_child(&self, link: u64) -> bool {
        let link = self.links.get(link);
        link.is_some_and(|link| matches!(link.way, Way::Child { .. }))
    }

    /// Begins a request of our own on a link.
    pub(super) fn begin_own(&mut self, link: u64, purpose: Purpose) -> Option<u64> {
        let remote = self.links.get(link)?.remote;
        let timeouts = self.routes[remote].remote.settings.timeouts;
        let due_ms = match purpose {
            Purpose::Listen | Purpose::OldStream => u64::MAX,
            _ => self.now_ms + millis(timeouts.head),
        };
        let mut pending = Pending::new(purpose, remote, IdText::of_number(0), due_ms);
        pending.link = Some(link);
        self.pending.insert(pending).ok()
    }

    /// Begins a request of our own that is answered, and writes its message with its number. None: there are too many.
    pub(super) fn begin_numbered(
        &mut self,
        link: u64,
        purpose: Purpose,
        write: impl FnOnce(&mut Vec<u8>, CallNumber),
    ) -> Option<(u64, Vec<u8>)> {
        let slot = self.begin_own(link, purpose)?;
        let found = self.links.get_mut(link)?;
        let number = found.multiplexer.number(slot, IdText::of_number(0), None);
        let Ok(number) = number else {
            self.end(slot, None);
            return None;
        };
        if let Some(pending) = self.pending.get_mut(slot) {
            pending.number = Some(number);
        }
        let mut message = Vec::new();
        write(&mut message, number);
        Some((slot, message))
    }

    /// Sends `initialize`.
    pub(super) fn initialize(&mut self, link: u64) {
        if self.is_old(link) && !self.has_old_endpoint(link) {
            return self.open_old_stream(link);
        }
        let Some(found) = self.links.get(link) else {
            return;
        };
        let remote = found.remote;
        let capabilities = bridge::capabilities_text(found.capabilities, ASKED_FOR);
        let begun = self.begin_numbered(link, Purpose::Initialize, |out, number| {
            say::initialize(out, number, ASKED_FOR, &capabilities);
        });
        let Some((slot, message)) = begun else {
            return self
                .handshake_failed(link, &Failure::crowded("too many requests are in flight"));
        };
        self.routes[remote].numbers.handshakes += 1;
        self.post(slot, link, message, Post::default());
    }

    /// The answer to `initialize` has come.
    pub(super) fn initialized(&mut self, slot: u64, envelope: &Envelope<'_>) {
        let Some(pending) = self.pending.get_mut(slot) else {
            return;
        };
        let (Some(link), session_id, place) =
            (pending.link, pending.session_id.take(), pending.place)
        else {
            return;
        };
        let remote = pending.remote;
        let now_ms = self.now_ms;
        let facts = match (&envelope.result, &envelope.error) {
            (Some(result), _) => {
                UpstreamFacts::read(result.text).map_err(|error| error.to_string())
            }
            (None, error) => {
                let message = error
                    .as_ref()
                    .and_then(|error| super::facts::text(error.text, "message"));
                Err(format!(
                    "it refused the handshake: {}",
                    message.unwrap_or_default()
                ))
            }
        };
        match facts {
            Ok(facts) => {
                self.end(slot, Some(true));
                let Some(found) = self.links.get_mut(link) else {
                    return;
                };
                if found.session.initialized(session_id, facts, now_ms) {
                    found.place = place;
                    found.level = None;
                    found.can_listen = true;
                    self.complete_handshake(link);
                }
            }
            Err(why) => {
                if envelope.error.is_some() {
                    // So does a server of the other era answer.
                    self.doubt_era(remote);
                }
                self.end(slot, Some(true));
                self.handshake_failed(link, &Failure::handshake(&why));
            }
        }
    }

    pub(super) fn complete_handshake(&mut self, link: u64) {
        let mut message = Vec::new();
        say::initialized(&mut message);
        if self.is_child(link) {
            self.send_message(link, message);
            return self.prepared(link);
        }
        // Some servers refuse what overtakes it.
        let Some(slot) = self.begin_own(link, Purpose::Initialized) else {
            return self
                .handshake_failed(link, &Failure::crowded("too many requests are in flight"));
        };
        if let Some(found) = self.links.get_mut(link) {
            found.is_preparing = true;
        }
        self.post(slot, link, message, Post::default());
    }

    /// The last request of our own on the way to a ready link is answered.
    pub(super) fn prepared(&mut self, link: u64) {
        let Some(found) = self.links.get_mut(link) else {
            return;
        };
        found.is_preparing = false;
        let waiting = std::mem::take(&mut found.waiting);
        self.repeat_subscriptions(link);
        self.listen_if_worth(link);
        self.release(waiting);
    }

    /// These go on.
    pub(super) fn release(&mut self, waiting: Vec<u64>) {
        for slot in waiting {
            self.advance(slot);
        }
    }

    /// A new session is told what the one before knew.
    fn repeat_subscriptions(&mut self, link: u64) {
        let Some(found) = self.links.get(link) else {
            return;
        };
        let uris: Vec<String> = found.session.to_repeat().1.map(str::to_owned).collect();
        for uri in uris {
            self.tell_followed(link, &uri, true);
        }
    }

    /// Has the upstream send log messages of another level.
    pub(super) fn set_level(&mut self, link: u64, level: LogLevel) {
        let begun = self.begin_numbered(link, Purpose::SetLevel, |out, number| {
            say::set_level(out, number, level.as_str());
        });
        let Some((slot, message)) = begun else {
            return self.prepared(link);
        };
        if let Some(found) = self.links.get_mut(link) {
            found.is_preparing = true;
        }
        self.post(slot, link, message, Post::default());
    }

    /// Opens the stream for what belongs to no call, where somebody may want to hear it.
    pub(super) fn listen_if_worth(&mut self, link: u64) {
        let Some(found) = self.links.get(link) else {
            return;
        };
        let is_modern = self.spoken_on(link) == Some(Spoken::Modern);
        let asks = found.capabilities != crate::mcp::ClientCapabilities::NONE;
        let follows = found.session.to_repeat().1.next().is_some();
        let is_worth = found.scope == Scope::Feed || asks || follows;
        let is_open = found.session.current().is_some() && found.relisten_ms.is_none();
        let can = matches!(found.way, Way::Exchanges) && found.can_listen && !is_modern && is_open;
        if !can || !is_worth || found.listening.is_some() {
            return;
        }
        let Some(slot) = self.begin_own(link, Purpose::Listen) else {
            return;
        };
        let key = self.open_stream(slot, link, None);
        if let Some(found) = self.links.get_mut(link) {
            found.listening = key;
        }
    }

    /// Begins a GET for a stream of a link.
    pub(super) fn open_stream(
        &mut self,
        slot: u64,
        link: u64,
        last_event_id: Option<Box<[u8]>>,
    ) -> Option<ExchangeKey> {
        let is_long = self.pending.get(slot)?.caller().is_none();
        let (remote, place) = {
            let found = self.links.get(link)?;
            (found.remote, found.place)
        };
        let place = match place {
            Some(place) => place,
            None => self.choose_place(slot, link)?,
        };
        let call_ms = match is_long {
            true => millis(self.routes[remote].remote.settings.timeouts.head),
            false => self.pending.get(slot)?.due_ms.saturating_sub(self.now_ms),
        };
        let found = self.links.get(link)?;
        let current = found.session.current();
        let request = Request {
            key: ExchangeKey(0),
            remote: Arc::clone(&self.routes[remote].remote),
            place,
            verb: Verb::Get,
            endpoint: None,
            head: HeadFacts {
                revision: current.map(|(_, _, facts)| facts.revision),
                session: current.and_then(|(_, id, _)| id.map(Arc::from)),
                last_event_id,
                ..HeadFacts::default()
            },
            body: Vec::new(),
            is_long,
            call_ms,
        };
        Some(self.exchange(slot, request))
    }

    /// The handshake failed: whoever waits is told why.
    pub(super) fn handshake_failed(&mut self, link: u64, failure: &Failure) {
        let now_ms = self.now_ms;
        let Some(found) = self.links.get_mut(link) else {
            return;
        };
        found.session.failed(now_ms);
        found.is_preparing = false;
        found.place = None;
        let waiting = std::mem::take(&mut found.waiting);
        for slot in waiting {
            self.fail(slot, failure.of_waiting());
        }
    }

    /// Ends a link and everything on it.
    pub(super) fn end_link(&mut self, link: u64, why: &str) {
        let Some(found) = self.links.get_mut(link) else {
            return;
        };
        let (remote, scope) = (found.remote, found.scope);
        let place = found.place;
        let revision = found.session.current().map(|(_, _, facts)| facts.revision);
        let session = found.session.end();
        let calls: Vec<u64> = found
            .multiplexer
            .give_up_all()
            .map(|(slot, _)| slot)
            .collect();
        let waiting = std::mem::take(&mut found.waiting);
        let streams: Vec<(u64, ExchangeKey)> = self
            .pending
            .iter()
            .filter(|(_, pending)| pending.link == Some(link))
            .filter_map(|(slot, pending)| Some((slot, pending.exchange?)))
            .collect();
        for (slot, exchange) in streams {
            self.abandon(exchange);
            self.end(slot, None);
        }
        if let (Some(session), Some(place)) = (session, place) {
            self.delete_session(remote, place, revision, session);
        }
        if let Some(found) = self.links.remove(link)
            && let Way::Child { child, stream, .. } = found.way
        {
            if let Some(stream) = stream {
                self.streams.remove(&stream);
                self.act(Action::EndInput(stream));
            }
            self.children.remove(&child.number);
            self.act(Action::Order(ChildOrder::Stop(child)));
        }
        if self.routes[remote].links.get(&scope) == Some(&link) {
            self.routes[remote].links.remove(&scope);
        }
        // Only now: what is made again is not made on what has ended.
        for slot in calls.into_iter().chain(waiting) {
            if let Some(pending) = self.pending.get_mut(slot) {
                (pending.number, pending.link) = (None, None);
            }
            self.fail(slot, Failure::ended(why).finally());
        }
    }

    fn delete_session(
        &mut self,
        remote: usize,
        place: usize,
        revision: Option<Revision>,
        session: Box<[u8]>,
    ) {
        let call_ms = millis(self.routes[remote].remote.settings.timeouts.head);
        let key = ExchangeKey(self.key());
        self.act(Action::Exchange(Box::new(Request {
            key,
            remote: Arc::clone(&self.routes[remote].remote),
            place,
            verb: Verb::Delete,
            endpoint: None,
            head: HeadFacts {
                revision,
                session: Some(Arc::from(session)),
                ..HeadFacts::default()
            },
            body: Vec::new(),
            is_long: false,
            call_ms,
        })));
    }
}
