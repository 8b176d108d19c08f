//! The two endpoints of 2024-11-05, where an operator wants them: a GET opens the one stream of a session, messages are posted beside it,
//! and everything is answered on the stream, on whatever shard that is.
//!
//! Source: MCP 2024-11-05 basic/transports, "HTTP with SSE". Host and origin are checked before this, as for every path (CVE-2026-34742).

use std::rc::Rc;

use crate::mcp::route::{self, Batch, HttpFacts, is_batch, sse_message, sse_session};
use crate::mcp::sessions::SessionFacts;
use crate::mcp::{
    EventId, Invocation, Message, Principal, Reason, Refusal, Route, SessionId, Shape, StreamClaim,
    StreamId, scan,
};
use crate::metrics::Counter;
use crate::wire::sse;

use super::super::carried::{Carried, Looks};
use super::super::channel::Channel;
use super::super::dispatch::Made;
use super::super::endpoint::query_value;
use super::super::stream::Source;
use super::frame::Frame;
use super::request::{Request, is_encoded};
use super::{Circumstances, Place, Served, Service, target_of};

/// Where messages of a session are posted to, up to its id.
const ENDPOINT: &str = "/messages?sessionId=";

impl Service {
    /// A GET: a client opens its stream, and with it its session.
    pub(super) fn get_sse(&mut self, request: &Request<'_, '_>, out: &mut Vec<u8>) -> Served {
        if let Err(refusal) = route::admit_sse(&request.facts()) {
            return self.refuse(request, &refusal, out);
        }
        if !self.shared.streams.enter() {
            return self.refuse_for(request, self.streams_full(), out);
        }
        match self.open_sse(request.principal(), request.arrival.now_ms) {
            Ok(carried) => self.begin_sse(request, carried, out),
            Err(reason) => {
                self.shared.streams.leave();
                self.refuse_for(request, reason, out)
            }
        }
    }

    fn open_sse(&mut self, principal: Principal, now_ms: u64) -> Result<Carried, Reason<'static>> {
        let random = Self::session_random().ok_or(Reason::Internal)?;
        let owner = self.next_owner();
        let sessions = &self.shared.sessions;
        let full = Reason::Overloaded {
            limit: "limits.session_count_max",
            value: self.shared.limits.session_count_max,
        };
        let created = sessions.create_sse(random, principal, now_ms);
        let session = created.map_err(|_| full)?;
        // Nobody else has its id yet.
        let claimed = sessions.claim_stream(session, principal, owner) == StreamClaim::Claimed;
        let events = sessions.events(session, principal).filter(|_| claimed);
        let events = events.ok_or(Reason::Internal)?;
        let attached = events.attach(StreamId::SESSION, owner);
        attached.map_err(|_| Reason::Internal)?;
        self.metrics.add(Counter::SessionsOpened, 1);
        let from = EventId {
            stream: StreamId::SESSION,
            seq: 0,
        };
        Ok(Carried::new(session, events, from, owner, Looks::Plain))
    }

    fn begin_sse(
        &mut self,
        request: &Request<'_, '_>,
        carried: Carried,
        out: &mut Vec<u8>,
    ) -> Served {
        let began = out.len();
        Frame::new(request, 200).write_stream_head(out);
        let mut address = ENDPOINT.as_bytes().to_vec();
        address.extend_from_slice(&carried.session.text());
        sse::write_event(out, None, Some("endpoint"), &address);
        self.metrics.add(Counter::StreamsOpened, 1);
        let source = Source::Carried(Box::new(carried));
        self.opened(request, source, "GET", out.len() - began)
    }

    /// A POST: one message of a session, or, in the revision that has them, several.
    pub(super) fn post_sse(
        &mut self,
        request: &Request<'_, '_>,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Served {
        if is_encoded(request.head) {
            let reason = "the body has a Content-Encoding, and none is read here; send it plain";
            return self.plain(request, 415, reason, out);
        }
        // The answer is not here: nobody has to accept it.
        let facts = HttpFacts {
            accept: None,
            ..request.facts()
        };
        let named = query_value(request.head.target, b"sessionId");
        let (sessions, principal) = (&self.shared.sessions, request.principal());
        let found = route::admit_post(&facts)
            .and_then(|_| sse_session(named, sessions, principal, request.arrival.now_ms));
        let (session, facts) = match found {
            Ok(found) => found,
            Err(refusal) => return self.refuse(request, &refusal, out),
        };
        let limits = &self.shared.limits;
        let (depth_max, count_max) = (limits.json_depth_max, limits.batch_count_max);
        let Some(events) = sessions.events(session, principal) else {
            return self.refuse_for(request, Reason::UnknownSession, out);
        };
        let channel = Rc::new(Channel::of_session(events));
        if is_batch(body) && facts.revision.has_batches() {
            match Batch::read(body, depth_max, count_max) {
                Ok(batch) => {
                    for message in batch.messages() {
                        self.take_sse(request, session, &facts, message, &channel);
                    }
                }
                Err(refusal) => return self.refuse(request, &refusal, out),
            }
        } else {
            match scan(body, depth_max) {
                Ok(message) => self.take_sse(request, session, &facts, Ok(message), &channel),
                Err(refusal) => return self.refuse(request, &refusal, out),
            }
        }
        self.accepted(request, "message", out)
    }

    fn take_sse(
        &mut self,
        request: &Request<'_, '_>,
        session: SessionId,
        facts: &SessionFacts,
        message: Result<Message<'_>, Refusal<'_>>,
        channel: &Rc<Channel>,
    ) {
        let (sessions, principal) = (&self.shared.sessions, request.principal());
        let routed = message.and_then(|message| {
            match (
                sse_message(session, facts, &message, sessions, principal),
                message.shape,
            ) {
                (Err(_), Shape::Notification | Shape::Response) => Ok(None),
                (routed, _) => routed.map(Some),
            }
        });
        match routed {
            Ok(None) => {}
            Ok(Some(Route::Notice(notice))) => self.notice(&notice),
            Ok(Some(Route::Response(response))) => self.response(request.principal(), &response),
            Ok(Some(Route::Invoke(invocation))) => self.answer_sse(request, &invocation, channel),
            Err(refusal) => self.refuse_sse(&refusal, channel),
        }
    }

    fn answer_sse(
        &mut self,
        request: &Request<'_, '_>,
        invocation: &Invocation<'_>,
        channel: &Rc<Channel>,
    ) {
        self.count_operation(invocation);
        let circumstances = Circumstances {
            caller: request.caller,
            place: Place::Channel(Rc::clone(channel)),
            hears: Ok(()),
            started: request.arrival.started,
            request_bytes: request.body_bytes,
        };
        let refuse = |reason| Refusal::new(reason, Some(invocation.id));
        let trail = match self.authorize(request.caller, invocation) {
            Ok(trail) => trail,
            Err(denied) => return self.refuse_sse(&refuse(denied.reason), channel),
        };
        let mut body = Vec::new();
        match self.dispatch(invocation, circumstances, &mut body) {
            Ok(Made::Body { status, call, said }) => {
                let outcome = call.map_or("ok", |report| report.outcome.as_str());
                let started = request.arrival.started;
                let target = target_of(&invocation.operation);
                self.tell_answered(
                    trail.as_deref(),
                    invocation.method().name(),
                    &target,
                    outcome,
                );
                self.log_made(started, invocation, outcome, status, body.len());
                self.say(channel, said);
                self.write_channel(channel, &body);
            }
            Ok(Made::Later(ticket)) => self.keep_trail(ticket, trail),
            Ok(Made::Listen(_)) => {
                let reason = Reason::NotOffered {
                    method: invocation.method(),
                    revision: invocation.revision,
                };
                self.refuse_sse(&refuse(reason), channel);
            }
            Err(reason) => self.refuse_sse(&refuse(reason), channel),
        }
    }

    fn refuse_sse(&mut self, refusal: &Refusal<'_>, channel: &Channel) {
        let mut body = Vec::new();
        refusal.write(&mut body);
        self.write_channel(channel, &body);
    }
}
