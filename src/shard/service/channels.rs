//! Streams of sessions from the side of the service: opened for calls, carried by connections, written across shards.

use std::rc::Rc;
use std::sync::Arc;

use crate::component::Outgoing;
use crate::mcp::{Era, EventId, Invocation, Principal, Revision, SessionId};
use crate::metrics::Counter;
use crate::wire::sse;

use super::super::access::Answer;
use super::super::carried::{Carried, Looks, RETRY_MS};
use super::super::channel::{CARRIER_SHARD_SHIFT, Channel, Word, carrier_shard};
use super::super::connection::Left;
use super::super::dispatch::{Away, refuse_questions};
use super::super::exchange::Exchange;
use super::super::stream::{Source, Stream, write_event};
use super::super::{Message, millis};
use super::frame::Frame;
use super::request::Request;
use super::{Place, Served, Service, target_of};

/// How often it is looked for calls that nobody hears.
const UNHEARD_PERIOD_MS: u64 = 250;

impl Service {
    /// A stream of a session for the answers of so many calls, and its connection's side of it.
    pub(in super::super) fn open_channel(
        &mut self,
        session: SessionId,
        principal: Principal,
        owed: usize,
    ) -> Option<(Rc<Channel>, Carried)> {
        let events = self.shared.sessions.events(session, principal)?;
        let owner = self.next_owner();
        let stream = events.open(owner)?;
        let channel = Channel::of_answers(Arc::clone(&events), stream, owed);
        let from = EventId { stream, seq: 0 };
        let carried = Carried::new(session, events, from, owner, Looks::Numbered);
        Some((Rc::new(channel), carried))
    }

    /// Appends what a stream begins with.
    pub(in super::super) fn begin_stream(
        &mut self,
        source: &Source,
        revision: Revision,
        out: &mut Vec<u8>,
    ) {
        self.metrics.add(Counter::StreamsOpened, 1);
        if let Source::Carried(carried) = source {
            prime(carried, revision, out);
        }
    }

    /// Answers a request whose call had something to say, and has ended already.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn answer_after(
        &mut self,
        request: &Request<'_, '_>,
        invocation: &Invocation<'_>,
        frame: &Frame<'_>,
        said: Vec<Outgoing>,
        body: &[u8],
        outcome: &str,
        out: &mut Vec<u8>,
    ) -> Served {
        let began = out.len();
        let target = target_of(&invocation.operation);
        let answer = |bytes| Answer {
            method: invocation.method().name(),
            target: &target,
            status: 200,
            outcome,
            bytes,
        };
        if let Some(session) = invocation.session
            && let Some((channel, carried)) = self.open_channel(session, request.principal(), 1)
        {
            self.say(&channel, said);
            self.answer_channel(&channel, body);
            frame.write_stream_head(out);
            let source = Source::Carried(Box::new(carried));
            self.begin_stream(&source, invocation.revision, out);
            let started = request.arrival.started;
            self.note(started, request.body_bytes, &answer(out.len() - began));
            let now_ms = request.arrival.now_ms;
            return Served::Stream(Box::new(Stream::of_answer(
                source,
                request.principal(),
                now_ms,
            )));
        }
        let mut events = Vec::with_capacity(body.len() + 64);
        for message in said {
            if let Outgoing::Message(message) = message {
                write_event(&mut events, &self.shared.harmless(&message));
                self.metrics.add(Counter::StreamEvents, 1);
            }
        }
        write_event(&mut events, body);
        self.metrics.add(Counter::StreamEvents, 1);
        frame.write_events(&events, out);
        self.answered(request, &answer(out.len() - began))
    }

    /// Takes what a call has waiting to where it is heard, if it is anywhere.
    pub(in super::super) fn forward(&mut self, ticket: u64) {
        let Some(away) = self.dispatcher.calls.get(ticket) else {
            return;
        };
        let (said, session, place) = (away.said(), away.session, away.place.clone());
        match place {
            Place::Channel(channel) => self.say(&channel, said),
            // Nobody can hear it, where its exchange could not become a stream.
            Place::Nowhere | Place::Exchange(_) => {
                refuse_questions(&self.shared, session, &said);
            }
        }
    }

    /// Whether a connection of another shard waits for a call of this one.
    pub(in super::super) fn is_waited_for(&self) -> bool {
        let waits = |place: &Place| match place {
            Place::Channel(channel) => channel.is_carried(),
            Place::Exchange(_) | Place::Nowhere => false,
        };
        !self
            .dispatcher
            .calls
            .select(|away| waits(&away.place))
            .is_empty()
    }

    /// Settles what a connection left.
    pub(in super::super) fn left(&mut self, left: Left) {
        if let Some(exchange) = left.exchange {
            self.leave_exchange(&exchange);
        }
        if let Some(stream) = left.stream {
            self.end_stream(&stream);
        }
    }

    /// Nobody waits on this exchange any longer. A modern client has given its calls up by that; a legacy one has not.
    pub(in super::super) fn leave_exchange(&mut self, exchange: &Exchange) {
        for ticket in &exchange.tickets {
            match exchange.revision.era() {
                Era::Modern => {
                    if let Some(away) = self.dispatcher.calls.get_mut(*ticket)
                        && away.is_the_engines()
                    {
                        away.given_up = true;
                        continue;
                    }
                    if let Some(away) = self.dispatcher.forget(*ticket) {
                        away.cancel.cancel();
                        self.metrics.add(Counter::CallCancelled, 1);
                    }
                }
                Era::Legacy => self.detach_call(*ticket),
            }
        }
    }

    /// Nobody hears this legacy call any longer: it goes on without, unless it only waits.
    pub(super) fn detach_call(&mut self, ticket: u64) {
        let away = self.dispatcher.calls.get(ticket);
        if away.is_some_and(Away::is_a_wait) {
            drop(self.dispatcher.forget(ticket));
            return;
        }
        self.metrics.add(Counter::CallsDetached, 1);
        if let Some(away) = self.dispatcher.calls.get_mut(ticket) {
            away.place = Place::Nowhere;
        }
        self.forward(ticket);
    }

    /// Looks at the calls whose streams nobody carries, wherever that would be: one that only waits is given back, and what one asks
    /// is given up once nobody has come back for long enough. Cheap until it is time again.
    pub(in super::super) fn give_up_the_unheard(&mut self, now_ms: u64) {
        if now_ms < self.unheard_at_ms {
            return;
        }
        self.unheard_at_ms = now_ms + UNHEARD_PERIOD_MS;
        let deadline_ms = millis(self.shared.limits.ask_unheard_deadline);
        let calls = &mut self.dispatcher.calls;
        let waits = |away: &Away<Place>| away.is_a_wait() || away.cancel.is_for_answers();
        let mut given_up = Vec::new();
        for ticket in calls.select(|away| away.unheard_since_ms.is_some() || waits(away)) {
            let Some(away) = calls.get_mut(ticket) else {
                continue;
            };
            let is_unheard = match &away.place {
                Place::Channel(channel) => waits(away) && !channel.is_carried(),
                Place::Exchange(_) | Place::Nowhere => false,
            };
            if !is_unheard {
                away.unheard_since_ms = None;
            } else if away.is_a_wait() {
                given_up.push(ticket);
            } else if now_ms >= *away.unheard_since_ms.get_or_insert(now_ms) + deadline_ms {
                away.cancel.give_up_questions();
            }
        }
        for ticket in given_up {
            if let Some(away) = self.dispatcher.forget(ticket)
                && let Place::Channel(channel) = &away.place
            {
                channel.forgo();
            }
        }
    }

    /// Gives back what a stream holds.
    pub(in super::super) fn end_stream(&mut self, stream: &Stream) {
        if stream.has_place {
            self.shared.streams.leave();
        }
        let Source::Carried(carried) = &stream.source else {
            return;
        };
        self.carriers.remove(&carried.owner);
        carried.events.detach(carried.stream, carried.owner);
        if carried.is_sessions_own() {
            let sessions = &self.shared.sessions;
            let (session, owner) = (carried.session, carried.owner);
            sessions.release_stream(session, stream.principal, owner, self.now_ms);
        }
        // Without its one stream such a session has no way to be answered.
        if carried.looks == Looks::Plain {
            let ended = self
                .shared
                .sessions
                .remove(carried.session, stream.principal);
            if ended.is_some() {
                self.end_everywhere(carried.session);
            }
        }
    }

    /// A word to whoever carries a stream under this number; nobody does under 0.
    pub(in super::super) fn tell(&mut self, owner: u64, word: Word) {
        let Some(shard) = carrier_shard(owner) else {
            return;
        };
        if shard == self.index {
            self.words.push((owner, word));
            return;
        }
        if let Some(port) = self.shared.ports.get(shard) {
            // Where there is no room the carrier's sweep finds out a moment later.
            let _ = port.send(Message::Carrier { owner, word });
        }
    }

    /// A number for a carrier that no other one of the process has.
    pub(super) fn next_owner(&mut self) -> u64 {
        self.owner_count += 1;
        ((self.index as u64 + 1) << CARRIER_SHARD_SHIFT) | self.owner_count
    }
}

/// Begins a stream with an id for the client to come back with, even if nothing else ever comes (2025-11-25 only: clients of the
/// revisions before it read every event as a message).
pub(super) fn prime(carried: &Carried, revision: Revision, out: &mut Vec<u8>) {
    if revision < Revision::V2025_11_25 || carried.looks == Looks::Plain {
        return;
    }
    let id = EventId {
        stream: carried.stream,
        seq: carried.after,
    };
    sse::write_event(out, Some(&id.to_string()), None, b"");
    sse::write_retry(out, RETRY_MS);
}
