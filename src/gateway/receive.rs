//! What comes from upstreams, taken to whom it is for.

use super::Gateway;
use super::failure::Failure;
use super::link::Way;
use super::pending::Purpose;
use crate::policy::{Failed, Reached};
use crate::upstream::envelope::messages;
use crate::upstream::http::AnswerHead;
use crate::upstream::multiplex::{CallNumber, Misbehaved, Received};
use crate::upstream::transport::{ExchangeKey, TransportEvent};

/// Bytes kept of a body that is no message.
const EXCERPT_BYTES_MAX: usize = 200;
/// Times that a stream that broke off within a call is gone on with.
const RESUMPTIONS_MAX: u32 = 5;
/// How long to wait before that, where the upstream did not say.
const RESUME_MS: u64 = 100;

impl Gateway {
    /// Takes in what a transport tells.
    pub fn take(&mut self, event: TransportEvent<'_>) {
        match event {
            TransportEvent::Head { key, head } => self.head(key, head),
            TransportEvent::Message { key, text } => self.exchange_message(key, text),
            TransportEvent::Event { key, kind, data } => {
                if kind == b"endpoint" {
                    self.old_endpoint(key, data);
                }
            }
            TransportEvent::Other { key, text } => {
                let slot = self.exchanges.get(&key).copied();
                if let Some(pending) = slot.and_then(|slot| self.pending.get_mut(slot)) {
                    let text = String::from_utf8_lossy(&text[..text.len().min(EXCERPT_BYTES_MAX)]);
                    pending.excerpt = text.trim().into();
                }
            }
            TransportEvent::End {
                key,
                last_event_id,
                retry_ms,
            } => self.exchange_ended(key, last_event_id, retry_ms),
            TransportEvent::Failed {
                key,
                reached,
                failed,
                why,
                last_event_id,
                retry_ms,
            } => {
                let Some(slot) = self.exchanges.remove(&key) else {
                    return;
                };
                if reached == Reached::Answering
                    && failed == Failed::Connection
                    && self.resume_later(slot, last_event_id, retry_ms)
                {
                    return;
                }
                if let Some(pending) = self.pending.get_mut(slot) {
                    pending.exchange = None;
                }
                self.exchange_failed(slot, Failure::new(reached, failed, why));
            }
            TransportEvent::Line { stream, text } => {
                if let Some(link) = self.streams.get(&stream).copied() {
                    self.messages(link, text, None);
                }
            }
            TransportEvent::StreamEnded { stream, why } => self.stream_ended(stream, why),
        }
    }

    fn head(&mut self, key: ExchangeKey, head: &AnswerHead) {
        let now_ms = self.now_ms;
        if matches!(head.status, 401 | 403)
            && let Some(slot) = self.exchanges.get(&key).copied()
            && self.is_denied(slot, head)
        {
            return;
        }
        let Some(pending) = self
            .exchanges
            .get(&key)
            .and_then(|slot| self.pending.get_mut(*slot))
        else {
            return;
        };
        pending.status = head.status;
        pending.session_id.clone_from(&head.session_id);
        pending.retry_after_s = head.retry_after_s;
        let is_stream = matches!(pending.purpose, Purpose::Listen | Purpose::OldStream);
        let (remote, place) = (pending.remote, pending.place);
        if is_stream && head.is_success() {
            // It may last; what it says of its place it has said.
            let slot = self.exchanges.get(&key).copied();
            return slot.map_or((), |slot| self.release_place(slot, Some(true)));
        }
        let Some(pending) = self
            .exchanges
            .get(&key)
            .and_then(|slot| self.pending.get_mut(*slot))
        else {
            return;
        };
        if let (Purpose::Caller(_), Some(place)) = (&pending.purpose, place) {
            let latency_us = now_ms.saturating_sub(pending.sent_ms).max(1) * 1_000;
            if let Some(state) = self.routes[remote].places.get_mut(place) {
                state.latency.observe(latency_us, now_ms);
            }
        }
    }

    fn exchange_message(&mut self, key: ExchangeKey, text: &[u8]) {
        let Some(slot) = self.exchanges.get(&key).copied() else {
            return;
        };
        if let Some(link) = self.pending.get(slot).and_then(|pending| pending.link) {
            self.messages(link, text, Some(slot));
        }
    }

    /// Takes one body, line or event: one message, or a batch.
    fn messages(&mut self, link: u64, text: &[u8], on: Option<u64>) {
        let own = on.and_then(|slot| Some((slot, self.pending.get(slot)?)));
        // What comes on a call's own exchange is its own, whatever becomes of the call meanwhile; on the streams of a link there are
        // the answers to all of its calls.
        let on_exchange = own.map(|(slot, pending)| match pending.purpose {
            Purpose::Listen | Purpose::OldStream => (slot, None),
            _ => (slot, Some(pending.number.unwrap_or(CallNumber::NONE))),
        });
        match messages(text, self.limits.json_depth_max) {
            Ok(found) => {
                for message in found {
                    self.message(link, message, on_exchange);
                }
            }
            Err(_) => self.misbehaved(link, on, "it sent what is not JSON"),
        }
    }

    fn message(&mut self, link: u64, text: &[u8], on: Option<(u64, Option<CallNumber>)>) {
        let (on, number) = (on.map(|(slot, _)| slot), on.and_then(|(_, number)| number));
        let is_own = number.is_some();
        let Some(found) = self.links.get_mut(link) else {
            return;
        };
        match found.multiplexer.receive(text, number) {
            // The id is known where the call is.
            Ok(Received::Answer {
                caller, envelope, ..
            }) => {
                self.prove(link);
                self.answer(caller, &envelope);
            }
            Ok(Received::Told {
                caller,
                change,
                envelope,
            }) => self.told(caller, change, &envelope),
            Ok(Received::Notification(envelope)) => self.notified(link, on, &envelope),
            Ok(Received::Ask {
                number,
                caller,
                envelope,
            }) => {
                // On an exchange of its own it is certain whose call asks; else it is looked at who it can be.
                let caller = caller.filter(|_| is_own);
                self.asked(link, number, caller, &envelope);
            }
            Ok(Received::AskWithdrawn { number, .. }) => self.ask_withdrawn(link, number),
            Ok(Received::Late) => self.stray(link),
            Err(misbehaved) => {
                if misbehaved == Misbehaved::TooManyAsks {
                    return self.stray(link);
                }
                self.misbehaved(link, on, &misbehaved.to_string());
            }
        }
    }

    pub(super) fn stray(&mut self, link: u64) {
        if let Some(found) = self.links.get(link) {
            self.routes[found.remote].numbers.strays += 1;
        }
    }

    /// An upstream sent what it must not. On an exchange of its own it is clear whose call that ends; on a stream nobody's.
    fn misbehaved(&mut self, link: u64, on: Option<u64>, why: &str) {
        self.stray(link);
        let Some(found) = self.links.get(link) else {
            return;
        };
        let remote = found.remote;
        tracing::debug!(
            upstream = self.routes[remote].remote.name(),
            why,
            "misbehaves"
        );
        let Some(slot) = on else { return };
        let is_stream = self
            .pending
            .get(slot)
            .is_none_or(|pending| matches!(pending.purpose, Purpose::Listen | Purpose::OldStream));
        if !is_stream {
            // What it answered with a bad status is told by that.
            let status = self.pending.get(slot).map_or(0, |pending| pending.status);
            let failure = match status {
                0 | 200..300 => Failure::new(Reached::Answering, Failed::Answer, why),
                _ => self.of_status(slot),
            };
            if let Some(exchange) = self
                .pending
                .get_mut(slot)
                .and_then(|pending| pending.exchange.take())
            {
                self.abandon(exchange);
            }
            self.exchange_failed(slot, failure);
        }
    }

    /// An exchange is over as HTTP has it.
    fn exchange_ended(&mut self, key: ExchangeKey, last_event_id: &[u8], retry_ms: Option<u64>) {
        let Some(slot) = self.exchanges.remove(&key) else {
            return;
        };
        let Some(pending) = self.pending.get_mut(slot) else {
            return;
        };
        let (status, link) = (pending.status, pending.link);
        let is_old = link.is_some_and(|link| self.is_old(link));
        let Some(pending) = self.pending.get_mut(slot) else {
            return;
        };
        let is_good = (200..300).contains(&status);
        match pending.purpose {
            Purpose::Initialized | Purpose::Message if is_good => {
                let is_handshake = matches!(pending.purpose, Purpose::Initialized);
                self.end(slot, Some(true));
                if let (true, Some(link)) = (is_handshake, link) {
                    self.prepared(link);
                }
                return;
            }
            // The answer comes on the link's stream.
            Purpose::OldStream => {}
            _ if is_good && is_old => {
                pending.exchange = None;
                return;
            }
            _ => {}
        }
        if is_good && self.resume_later(slot, last_event_id, retry_ms) {
            return;
        }
        if let Some(pending) = self.pending.get_mut(slot) {
            pending.exchange = None;
        }
        let failure = match is_good {
            true => Failure::new(
                Reached::Answering,
                Failed::Answer,
                "it ended its answer without a response",
            ),
            false => self.of_status(slot),
        };
        self.exchange_failed(slot, failure);
    }

    /// Whether the stream of a call goes on elsewhere: a legacy upstream keeps its events, and is asked for the rest.
    fn resume_later(&mut self, slot: u64, last_event_id: &[u8], retry_ms: Option<u64>) -> bool {
        let now_ms = self.now_ms;
        let Some(pending) = self.pending.get_mut(slot) else {
            return false;
        };
        let is_call = matches!(pending.purpose, Purpose::Caller(_) | Purpose::List(..));
        let has_session = pending.session_number.is_some();
        if !is_call
            || !has_session
            || last_event_id.is_empty()
            || pending.resumptions >= RESUMPTIONS_MAX
        {
            return false;
        }
        pending.resumptions += 1;
        pending.exchange = None;
        let wait_ms = retry_ms.unwrap_or(RESUME_MS);
        pending.resume = Some((now_ms.saturating_add(wait_ms), last_event_id.into()));
        self.stalled.push(slot);
        true
    }

    /// What an exchange was for has failed.
    pub(super) fn exchange_failed(&mut self, slot: u64, failure: Failure) {
        let Some(pending) = self.pending.get(slot) else {
            return;
        };
        let (remote, link, status) = (pending.remote, pending.link, pending.status);
        if pending
            .hold
            .as_ref()
            .is_some_and(|hold| hold.answer.is_some())
        {
            // It has been answered; its client comes back for that.
            return;
        }
        match pending.purpose {
            Purpose::Caller(_) | Purpose::List(..) => self.call_failed(slot, failure),
            Purpose::Discover if self.routes[remote].remote.is_stdio() => match failure.failed {
                Failed::Deadline => self.child_discovered(slot, None),
                _ => self.end(slot, None),
            },
            Purpose::Discover if status != 0 && failure.is_answer() => self.discovered(slot, None),
            Purpose::Discover => {
                self.end(slot, Some(false));
                self.era_failed(remote, &failure);
            }
            Purpose::Initialize => self.initialize_failed(slot, failure),
            Purpose::Initialized => {
                if let Some(link) = link {
                    self.session_lost(link, slot);
                }
                self.end(slot, Some(!failure.blames));
                if let Some(link) = link {
                    self.handshake_failed(link, &failure);
                }
            }
            Purpose::SetLevel => {
                self.end(slot, Some(!failure.blames));
                if let Some(link) = link {
                    self.prepared(link);
                }
            }
            Purpose::Message => {
                self.end(slot, Some(!failure.blames));
                if let (404, Some(link)) = (status, link) {
                    self.session_lost(link, slot);
                }
            }
            Purpose::Check { place } => {
                self.end(slot, None);
                let is_well = self.is_well(remote, status);
                self.checked(remote, place, is_well);
            }
            Purpose::Twin(of) => self.twin_failed(slot, of, failure),
            Purpose::Feed => {
                self.end(slot, None);
                self.feed_failed(remote, &failure);
            }
            // It is tried again when the stream is opened again.
            Purpose::Follow(_) => self.end(slot, None),
            Purpose::Listen => self.listening_ended(slot, status),
            Purpose::OldStream => self.old_stream_ended(slot, failure),
        }
    }

    /// The handshake was refused over HTTP: by what answers so, there may be the old pair of endpoints.
    fn initialize_failed(&mut self, slot: u64, failure: Failure) {
        let Some(pending) = self.pending.get(slot) else {
            return;
        };
        let status = pending.status;
        let Some(link) = pending.link else { return };
        let is_unsure = matches!(
            self.links.get(link).map(|link| &link.way),
            Some(Way::Exchanges)
        );
        self.end(slot, Some(!failure.blames));
        if is_unsure && matches!(status, 400 | 404 | 405) {
            if let Some(found) = self.links.get_mut(link) {
                found.way = Way::Old {
                    stream: None,
                    endpoint: None,
                };
                found.place = None;
            }
            return self.open_old_stream(link);
        }
        self.handshake_failed(link, &failure);
    }

    pub(super) fn is_old(&self, link: u64) -> bool {
        let way = self.links.get(link).map(|link| &link.way);
        matches!(way, Some(Way::Old { .. }))
    }
}
