//! Several messages in one POST, which one revision has: their answers come together, as one array.
//!
//! Source: MCP 2025-03-26 basic/transports; JSON-RPC 2.0 section 6.

use std::rc::Rc;

use crate::component::Outgoing;
use crate::mcp::headers::Accept;
use crate::mcp::route::{self, Batch, HttpFacts};
use crate::mcp::{Invocation, Reason, Refusal, Respond, Revision, Route, SessionId, Shape};
use crate::metrics::Counter;

use super::super::access::Answer;
use super::super::dispatch::Made;
use super::super::exchange::{Exchange, Form, write_array};
use super::super::stream::{Source, Stream};
use super::frame::Frame;
use super::post::hears;
use super::request::Request;
use super::{Circumstances, Place, Served, Service, target_of};

/// What has come of the messages of a batch so far.
#[derive(Default)]
struct Gathered {
    /// Answers that are there, each behind a comma.
    answers: Vec<u8>,
    /// Calls whose answers come later.
    tickets: Vec<u64>,
    /// What calls said that have ended already.
    said: Vec<Outgoing>,
}

impl Gathered {
    fn is_empty(&self) -> bool {
        self.answers.is_empty() && self.tickets.is_empty()
    }

    fn answer(&mut self, body: &[u8]) {
        self.answers.push(b',');
        self.answers.extend_from_slice(body);
    }

    fn refuse(&mut self, refusal: &Refusal<'_>) {
        self.answers.push(b',');
        refusal.write(&mut self.answers);
    }
}

impl Service {
    /// Serves a body that is an array.
    pub(super) fn post_batch(
        &mut self,
        request: &Request<'_, '_>,
        body: &[u8],
        facts: &HttpFacts<'_>,
        accept: Accept,
        out: &mut Vec<u8>,
    ) -> Served {
        let limits = &self.shared.limits;
        let (depth_max, count_max) = (limits.json_depth_max, limits.batch_count_max);
        let (sessions, principal) = (&self.shared.sessions, request.principal());
        let now_ms = request.arrival.now_ms;
        let opened = route::batch_session(facts, sessions, principal, now_ms)
            .and_then(|session| Ok((session, Batch::read(body, depth_max, count_max)?)));
        let (session, batch) = match opened {
            Ok(opened) => opened,
            Err(refusal) => return self.refuse(request, &refusal, out),
        };
        self.metrics.add(Counter::Batches, 1);
        let mut gathered = Gathered::default();
        for message in batch.messages() {
            // A batch may end its own session.
            let routed = message.and_then(|message| {
                let (sessions, principal) = (&self.shared.sessions, request.principal());
                let routed = route::post(facts, accept, &message, sessions, principal, now_ms);
                // What is no request gets no answer, whatever is wrong with it.
                match (routed, message.shape) {
                    (Err(_), Shape::Notification | Shape::Response) => Ok(None),
                    (routed, _) => routed.map(Some),
                }
            });
            match routed {
                Ok(None) => {}
                Ok(Some(Route::Notice(notice))) => self.notice(&notice),
                Ok(Some(Route::Response(response))) => {
                    self.response(request.principal(), &response)
                }
                Ok(Some(Route::Invoke(invocation))) => {
                    self.gather(request, &invocation, accept, &mut gathered);
                }
                Err(refusal) => gathered.refuse(&refusal),
            }
        }
        if gathered.is_empty() {
            return self.accepted(request, "batch", out);
        }
        self.answer_batch(request, session, accept, gathered, out)
    }

    /// Serves one request of a batch.
    fn gather(
        &mut self,
        request: &Request<'_, '_>,
        invocation: &Invocation<'_>,
        accept: Accept,
        gathered: &mut Gathered,
    ) {
        self.count_operation(invocation);
        let refuse = |reason| Refusal::new(reason, Some(invocation.id));
        let trail = match self.authorize(request.caller, invocation) {
            Ok(trail) => trail,
            Err(denied) => return gathered.refuse(&refuse(denied.reason)),
        };
        let value = self.shared.limits.output_bytes_max;
        if gathered.answers.len() > value {
            let limit = "limits.output_bytes_max";
            return gathered.refuse(&refuse(Reason::Overloaded { limit, value }));
        }
        let circumstances = Circumstances {
            caller: request.caller,
            place: Place::Exchange(request.arrival.socket),
            hears: hears(accept),
            started: request.arrival.started,
            request_bytes: 0,
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
                gathered.said.extend(said);
                gathered.answer(&body);
            }
            Ok(Made::Later(ticket)) => {
                self.keep_trail(ticket, trail);
                gathered.tickets.push(ticket);
            }
            Ok(Made::Listen(_)) => gathered.refuse(&refuse(Reason::NotOffered {
                method: invocation.method(),
                revision: invocation.revision,
            })),
            Err(reason) => gathered.refuse(&refuse(reason)),
        }
    }

    fn answer_batch(
        &mut self,
        request: &Request<'_, '_>,
        session: SessionId,
        accept: Accept,
        gathered: Gathered,
        out: &mut Vec<u8>,
    ) -> Served {
        let respond = match accept.json {
            true => Respond::Json,
            false => Respond::Events,
        };
        if !gathered.said.is_empty() {
            return self.stream_batch(request, session, gathered, out);
        }
        if gathered.tickets.is_empty() {
            let began = out.len();
            let frame = Frame {
                respond,
                ..Frame::new(request, 200)
            };
            frame.write(out, |out| write_array(out, &gathered.answers));
            return self.answered(request, &batch_answer(out.len() - began));
        }
        Served::Pending(Box::new(Exchange {
            tickets: gathered.tickets,
            form: Form::new(request, respond),
            revision: Revision::V2025_03_26,
            session: Some(session),
            principal: request.principal(),
            batch: Some(gathered.answers),
            since_ms: request.arrival.now_ms,
        }))
    }

    /// Some of its calls spoke before they ended: all of it goes on a stream.
    fn stream_batch(
        &mut self,
        request: &Request<'_, '_>,
        session: SessionId,
        gathered: Gathered,
        out: &mut Vec<u8>,
    ) -> Served {
        let owed = gathered.tickets.len() + usize::from(!gathered.answers.is_empty());
        let Some((channel, carried)) = self.open_channel(session, request.principal(), owed) else {
            for ticket in gathered.tickets {
                self.detach_call(ticket);
            }
            return self.refuse_for(request, Reason::UnknownSession, out);
        };
        for ticket in gathered.tickets {
            if let Some(away) = self.dispatcher.calls.get_mut(ticket) {
                away.place = Place::Channel(Rc::clone(&channel));
            }
            // It may have spoken before it had this place.
            self.forward(ticket);
        }
        self.say(&channel, gathered.said);
        if !gathered.answers.is_empty() {
            let mut array = Vec::with_capacity(gathered.answers.len() + 1);
            write_array(&mut array, &gathered.answers);
            self.answer_channel(&channel, &array);
        }
        let began = out.len();
        Frame::new(request, 200).write_stream_head(out);
        let source = Source::Carried(Box::new(carried));
        self.begin_stream(&source, Revision::V2025_03_26, out);
        let answer = batch_answer(out.len() - began);
        self.note(request.arrival.started, request.body_bytes, &answer);
        Served::Stream(Box::new(Stream::of_answer(
            source,
            request.principal(),
            request.arrival.now_ms,
        )))
    }
}

fn batch_answer(bytes: usize) -> Answer<'static> {
    Answer {
        method: "batch",
        target: "",
        status: 200,
        outcome: "ok",
        bytes,
    }
}
