//! The old pair of endpoints (2024-11-05): a stream that names where to post, and has the answers; and, of newer upstreams, the
//! streams that are listened to.

use std::sync::Arc;

use super::failure::Failure;
use super::link::{Scope, Way};
use super::pending::Purpose;
use super::send::Post;
use super::{Action, Gateway};
use crate::policy::{Failed, Reached};
use crate::upstream::era::Spoken;
use crate::upstream::say;
use crate::upstream::transport::ExchangeKey;

/// Before a stream that was closed is opened again.
const RELISTEN_MS: u64 = 500;
/// A stream that lasted so long was a good one.
const RELISTEN_GOOD_MS: u64 = 10_000;
/// Times that the wait doubles: up to a minute.
const RELISTEN_DOUBLED_MAX: u32 = 7;

impl Gateway {
    pub(super) fn has_old_endpoint(&self, link: u64) -> bool {
        let way = self.links.get(link).map(|link| &link.way);
        matches!(
            way,
            Some(Way::Old {
                endpoint: Some(_),
                ..
            })
        )
    }

    /// Opens the stream that names the endpoint.
    pub(super) fn open_old_stream(&mut self, link: u64) {
        let Some(slot) = self.begin_own(link, Purpose::OldStream) else {
            return self
                .handshake_failed(link, &Failure::crowded("too many requests are in flight"));
        };
        // Until the stream has said where to post, it is in a hurry.
        let due_ms = self.links.get(link).map_or(0, |link| {
            let timeouts = self.routes[link.remote].remote.settings.timeouts;
            self.now_ms + super::millis(timeouts.head)
        });
        if let Some(pending) = self.pending.get_mut(slot) {
            pending.due_ms = due_ms;
        }
        let key = self.open_stream(slot, link, None);
        let place = self.pending.get(slot).and_then(|pending| pending.place);
        if let Some(found) = self.links.get_mut(link)
            && let Way::Old { stream, .. } = &mut found.way
        {
            *stream = key;
            found.place = place;
        }
    }

    /// The stream says where to post.
    pub(super) fn old_endpoint(&mut self, key: ExchangeKey, data: &[u8]) {
        let Some(slot) = self.exchanges.get(&key).copied() else {
            return;
        };
        let Some(pending) = self.pending.get_mut(slot) else {
            return;
        };
        let (Some(link), Some(place), Purpose::OldStream) =
            (pending.link, pending.place, &pending.purpose)
        else {
            return;
        };
        pending.due_ms = u64::MAX;
        let remote = Arc::clone(&self.routes[pending.remote].remote);
        let named = std::str::from_utf8(data).ok();
        let found = named.and_then(|named| {
            let place = remote.places.get(place)?;
            let url = place.url.join(named).ok()?;
            place.endpoint_at(&url).ok()
        });
        let Some(endpoint_found) = found else {
            let why = "it names an endpoint that is not on its own origin";
            self.abandon(key);
            return self
                .old_stream_ended(slot, Failure::new(Reached::Answering, Failed::Answer, why));
        };
        if let Some(found) = self.links.get_mut(link)
            && let Way::Old { endpoint, .. } = &mut found.way
        {
            if endpoint.is_some() {
                return;
            }
            *endpoint = Some(Arc::new(endpoint_found));
            let remote = found.remote;
            let waiting = self.routes[remote].learn(Spoken::HttpSse, self.now_ms);
            self.initialize(link);
            self.release(waiting);
        }
    }

    /// The stream that all answers come on has ended: so has the session.
    pub(super) fn old_stream_ended(&mut self, slot: u64, failure: Failure) {
        let link = self.pending.get(slot).and_then(|pending| pending.link);
        self.end(slot, Some(!failure.blames));
        let Some(link) = link else { return };
        let Some(found) = self.links.get_mut(link) else {
            return;
        };
        let mut was_named = false;
        if let Way::Old { stream, endpoint } = &mut found.way {
            was_named = endpoint.is_some();
            (*stream, *endpoint) = (None, None);
        }
        if !was_named && found.session.current().is_none() {
            // There is no old pair of endpoints here: the next handshake is one of the newer kind again.
            found.way = Way::Exchanges;
        }
        let is_unlearnt = !was_named;
        let remote = found.remote;
        found.place = None;
        found.level = None;
        let calls: Vec<u64> = found
            .multiplexer
            .give_up_all()
            .map(|(slot, _)| slot)
            .collect();
        match found.session.current().map(|(number, _, _)| number) {
            Some(number) => {
                found.session.lost(number, self.now_ms);
            }
            None => self.handshake_failed(link, &failure),
        }
        if is_unlearnt {
            let waiting = self.routes[remote].unlearn_old();
            self.release(waiting);
        }
        for slot in calls {
            if let Some(pending) = self.pending.get_mut(slot) {
                pending.number = None;
            }
            self.fail(
                slot,
                Failure::ended("it closed the stream that its answers come on"),
            );
        }
    }

    /// A stream that was listened to has ended.
    pub(super) fn listening_ended(&mut self, slot: u64, status: u16) {
        let Some(pending) = self.pending.get(slot) else {
            return;
        };
        let (link, key, began_ms) = (pending.link, pending.exchange, pending.sent_ms);
        if let (404, Some(link)) = (status, link) {
            // The session is gone; whoever needs one makes another, and that one is listened to.
            self.session_lost(link, slot);
        }
        self.end(slot, None);
        let now_ms = self.now_ms;
        let Some(found) = link.and_then(|link| self.links.get_mut(link)) else {
            return;
        };
        if key.is_some() && found.listening.is_some() && found.listening != key {
            // Another has taken its place.
            return;
        }
        found.listening = None;
        found.listen_slot = None;
        // One that lasted was a good one; the others are opened ever less often.
        found.listen_failures = match now_ms.saturating_sub(began_ms) >= RELISTEN_GOOD_MS {
            true => 0,
            false => found.listen_failures.saturating_add(1),
        };
        let wait_ms = RELISTEN_MS << found.listen_failures.min(RELISTEN_DOUBLED_MAX);
        match status {
            // It has none.
            405 | 501 => found.can_listen = false,
            _ => found.relisten_ms = Some(now_ms + wait_ms),
        }
        let (remote, is_first) = (found.remote, found.listen_failures <= 1);
        if (200..300).contains(&status) && is_first {
            // What was not heard in the meantime is looked for.
            self.feed_changed(remote, None);
        }
    }

    /// A modern upstream has answered the request to be told of changes: it tells of them no longer.
    pub(super) fn listen_answered(&mut self, slot: u64) {
        let status = self.pending.get(slot).map_or(200, |pending| pending.status);
        if let Some(exchange) = self
            .pending
            .get_mut(slot)
            .and_then(|pending| pending.exchange.take())
        {
            self.exchanges.remove(&exchange);
            self.act(Action::Abandon(exchange));
        }
        let status = if status == 0 { 200 } else { status };
        self.listening_ended(slot, status);
    }

    /// Asks a modern upstream to be told of changes, or anew where what is followed has changed.
    pub(super) fn listen_modern(&mut self, link: u64) {
        let Some(found) = self.links.get(link) else {
            return;
        };
        let feeds = self.routes[found.remote].feed.is_some() && found.scope == Scope::Shared;
        let uris: Vec<String> = found.session.to_repeat().1.map(str::to_owned).collect();
        let before = (found.listen_slot, found.listening);
        if !found.can_listen || (!feeds && uris.is_empty()) {
            // Nothing is followed any longer.
            if let Some(found) = self.links.get_mut(link) {
                (found.listen_slot, found.listening) = (None, None);
            }
            if let (Some(old), _) = before {
                self.withdraw(old, "nothing is followed any longer");
                self.end(old, None);
            }
            return;
        }
        let begun = self.begin_numbered(link, Purpose::Listen, |out, number| {
            say::listen(out, number, feeds, &uris, super::era::NO_CAPABILITIES);
        });
        let Some((slot, message)) = begun else {
            return;
        };
        let post = Post {
            mirrored: Some(("subscriptions/listen", None)),
            parameters: Vec::new(),
        };
        self.post(slot, link, message, post);
        let key = self.pending.get(slot).and_then(|pending| pending.exchange);
        if let Some(found) = self.links.get_mut(link) {
            (found.listen_slot, found.listening) = (Some(slot), key);
        }
        // The new one is there before the old one goes, so that nothing falls between them.
        if let (Some(old), _) = before {
            self.withdraw(old, "another took its place");
            self.end(old, None);
        }
    }

    /// Opens what was closed, once its time has come.
    pub(super) fn relisten(&mut self) {
        let now_ms = self.now_ms;
        let due: Vec<u64> = self
            .links
            .iter()
            .filter(|(_, link)| link.relisten_ms.is_some_and(|due_ms| now_ms >= due_ms))
            .map(|(key, _)| key)
            .collect();
        for link in due {
            if let Some(found) = self.links.get_mut(link) {
                found.relisten_ms = None;
                if found.listening.is_some() {
                    continue;
                }
            }
            match self.spoken_on(link) {
                Some(Spoken::Modern) => self.listen_modern(link),
                _ => self.listen_if_worth(link),
            }
        }
    }
}
