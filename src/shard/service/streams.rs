//! Event streams that a client opens: who may, and what they begin with.

use std::rc::Rc;

use crate::audit::Kind;
use crate::mcp::reply;
use crate::mcp::route::{self, ListenFilter, OpenStream};
use crate::mcp::{EventId, Principal, RawId, Reason, Refusal, SessionId, StreamClaim, StreamId};
use crate::metrics::Counter;
use crate::policy::Identity;
use crate::wire::http1::response::Body;

use super::super::access::Answer;
use super::super::carried::{Carried, Looks};
use super::super::channel::Word;
use super::super::known::Caller;
use super::super::listen::{Followed, Listen};
use super::super::stream::{Source, Stream, write_event};
use super::channels::prime;
use super::frame::Frame;
use super::request::Request;
use super::{Served, Service};

impl Service {
    /// A GET: a legacy client opens its session's own stream, or comes back to one that it lost.
    pub(super) fn get_stream(&mut self, request: &Request<'_, '_>, out: &mut Vec<u8>) -> Served {
        let opened = route::get(
            &request.facts(),
            &self.shared.sessions,
            request.principal(),
            request.arrival.now_ms,
        );
        let open = match opened {
            Ok(open) => open,
            Err(refusal) => return self.refuse(request, &refusal, out),
        };
        if !self.shared.streams.enter() {
            return self.refuse_for(request, self.streams_full(), out);
        }
        let owner = self.next_owner();
        let attached = match open.last_event_id.filter(|value| !value.is_empty()) {
            None => self.attach_own(&open, request.principal(), owner),
            Some(value) => self.attach_again(&open, request.principal(), value, owner),
        };
        match attached {
            Ok(carried) => self.begin_get(request, &open, carried, out),
            Err(reason) => {
                self.shared.streams.leave();
                self.refuse_for(request, reason, out)
            }
        }
    }

    /// The session's own stream, which has one carrier; the first one keeps it.
    fn attach_own<'b>(
        &self,
        open: &OpenStream<'b>,
        principal: Principal,
        owner: u64,
    ) -> Result<Carried, Reason<'b>> {
        let sessions = &self.shared.sessions;
        let events = sessions.events(open.session, principal);
        let events = events.ok_or(Reason::UnknownSession)?;
        match sessions.claim_stream(open.session, principal, owner) {
            StreamClaim::Claimed => {}
            StreamClaim::Taken => return Err(Reason::StreamTaken),
            StreamClaim::Unknown => return Err(Reason::UnknownSession),
        }
        let last = events.last(StreamId::SESSION);
        let attached = events.attach(StreamId::SESSION, owner);
        attached.map_err(|_| Reason::UnknownSession)?;
        let from = EventId {
            stream: StreamId::SESSION,
            seq: last,
        };
        Ok(Carried::new(
            open.session,
            events,
            from,
            owner,
            Looks::Numbered,
        ))
    }

    /// A stream that the client lost, behind the event that it got last. Whoever still carries it does so no longer: that the
    /// connection is dead is known to its client first.
    fn attach_again<'b>(
        &mut self,
        open: &OpenStream<'b>,
        principal: Principal,
        value: &'b [u8],
        owner: u64,
    ) -> Result<Carried, Reason<'b>> {
        let from = EventId::parse(value).ok_or(Reason::EventId { value })?;
        let gone = Reason::EventsGone { value };
        let session = open.session;
        let events = self.shared.sessions.events_if_any(session, principal);
        let events = events.ok_or(gone)?;
        // Not taken from anybody on the word of a number that was never given.
        events
            .read_after(from.stream, from.seq, 0)
            .map_err(|_| gone)?;
        let attached = events.attach(from.stream, owner).map_err(|_| gone)?;
        self.tell(attached.displaced, Word::Displaced);
        if from.stream == StreamId::SESSION {
            let sessions = &self.shared.sessions;
            sessions.release_stream(session, principal, attached.displaced, self.now_ms);
            // Another GET at the same moment: one of both is the last, and is told that it is not alone.
            if sessions.claim_stream(session, principal, owner) != StreamClaim::Claimed {
                events.detach(from.stream, owner);
                return Err(Reason::StreamTaken);
            }
        }
        self.metrics.add(Counter::StreamsResumed, 1);
        let carried = Carried::new(session, events, from, owner, Looks::Numbered);
        Ok(carried.again())
    }

    fn begin_get(
        &mut self,
        request: &Request<'_, '_>,
        open: &OpenStream<'_>,
        carried: Carried,
        out: &mut Vec<u8>,
    ) -> Served {
        let began = out.len();
        Frame::new(request, 200).write_stream_head(out);
        if open.last_event_id.is_none() {
            prime(&carried, open.revision, out);
        }
        self.metrics.add(Counter::StreamsOpened, 1);
        let source = Source::Carried(Box::new(carried));
        self.opened(request, source, "GET", out.len() - began)
    }

    /// Opens the stream of a `subscriptions/listen`.
    pub(super) fn listen(
        &mut self,
        request: &Request<'_, '_>,
        id: RawId<'_>,
        filter: &ListenFilter<'_>,
        out: &mut Vec<u8>,
    ) -> Served {
        let (listen, followed) = match self.heard(&id, request.caller, filter) {
            Ok(heard) => heard,
            Err(reason) => return self.refuse(request, &Refusal::new(reason, Some(id)), out),
        };
        if !self.shared.streams.enter() {
            let refusal = Refusal::new(self.streams_full(), Some(id));
            return self.refuse(request, &refusal, out);
        }
        let began = out.len();
        Frame::new(request, 200).write_stream_head(out);
        let mut message = Vec::new();
        reply::acknowledged(&mut message, &listen.id, &listen.honoured(&followed));
        write_event(out, &message);
        self.metrics.add(Counter::StreamsOpened, 1);
        self.metrics.add(Counter::StreamEvents, 1);
        let source = Source::Listen(Box::new(listen));
        self.opened(request, source, "subscriptions/listen", out.len() - began)
    }

    /// What of a filter can be heard of here.
    pub(super) fn heard(
        &mut self,
        id: &RawId<'_>,
        caller: &Caller,
        filter: &ListenFilter<'_>,
    ) -> Result<(Listen, Followed), Reason<'static>> {
        let principal = caller.principal();
        self.with_audience(caller, |service, catalog, hears| {
            Listen::new(&service.shared, catalog, principal, id, filter, hears)
        })
    }

    pub(super) fn opened(
        &mut self,
        request: &Request<'_, '_>,
        source: Source,
        method: &'static str,
        bytes: usize,
    ) -> Served {
        let answer = Answer {
            method,
            target: "",
            status: 200,
            outcome: "stream",
            bytes,
        };
        self.note(request.arrival.started, request.body_bytes, &answer);
        Served::Stream(Box::new(Stream {
            source,
            principal: request.principal(),
            hearer: Some(Rc::clone(&request.caller.known)),
            written_ms: request.arrival.now_ms,
            until_ms: self.expiry_ms(&request.caller.known.identity),
            shown: self.shown(request),
            has_place: true,
        }))
    }

    /// When a caller's proof expires, on the shard's clock.
    pub(in super::super) fn expiry_ms(&self, identity: &Identity) -> Option<u64> {
        let expires_unix_s = identity.expires_unix_s?;
        let unix_ms = expires_unix_s.saturating_mul(1_000);
        Some(unix_ms.saturating_sub(self.unix_offset_ms))
    }

    /// Ends a session, on this shard and on all others.
    pub(super) fn delete(&mut self, request: &Request<'_, '_>, out: &mut Vec<u8>) -> Served {
        let deleted = route::delete(
            &request.facts(),
            &self.shared.sessions,
            request.principal(),
            request.arrival.now_ms,
        );
        match deleted {
            Ok((session, _)) => {
                self.end_everywhere(session);
                self.tell_session(request.caller, Kind::SessionTerminated);
                let began = out.len();
                Frame::new(request, 204).write_head(out, Body::Empty);
                self.answered_plainly(request, 204, "session-ended", out.len() - began)
            }
            Err(refusal) => self.refuse(request, &refusal, out),
        }
    }

    /// The session is no more: what lives for it, anywhere, ends.
    pub(super) fn end_everywhere(&mut self, session: SessionId) {
        self.shared.runtime.end_session(session);
        // The shards see by themselves that the table has it no longer.
        self.shared.wake();
    }

    pub(super) fn streams_full(&self) -> Reason<'static> {
        Reason::Overloaded {
            limit: "limits.stream_count_max",
            value: self.shared.streams.limit(),
        }
    }
}
