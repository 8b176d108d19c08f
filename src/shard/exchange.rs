//! Requests whose answers are still to come, on the connection that waits for them.
//!
//! An exchange begins as one that will be answered with JSON. Once a call of it has something to say before its answer it becomes a
//! stream: in the modern era one that ends with its connection, in the legacy era a stream of the session, which the call writes
//! to whether or not anybody is there, and a client can come back to.

use std::rc::Rc;

use crate::component::{CallOutcome, Finished, Outgoing};
use crate::gateway::Done;
use crate::mcp::{Era, InlineId, Invocation, Principal, Respond, Revision, SessionId, code, reply};
use crate::metrics::Counter;
use crate::ring::{Ring, SocketKey};
use crate::task::Word;

use super::channel::Channel;
use super::dispatch::{Away, refuse_questions, write_wait, write_word};
use super::service::{Frame, Place, Request};
use super::stream::{CallStream, Source};
use super::{Shard, millis};

/// How much longer than a call's deadline a shard waits for the worker's word before it closes the connection.
const WORKER_GRACE_MS: u64 = 2_000;

/// What an answer takes beside the members of its result.
const ANSWER_BYTES: usize = 1024;

/// What the answers of one batch may take together, in outputs of the longest kind. More become errors.
const BATCH_OUTPUTS_MAX: usize = 2;

/// What the caller of a cancelled call reads. The client passes it over; the exchange still has to end.
const CANCELLED: &[u8] =
    br#""content":[{"type":"text","text":"the call was cancelled by its client"}],"isError":true"#;

/// What the client takes, and what its answer needs of its request.
pub(super) struct Form {
    pub(super) respond: Respond,
    pub(super) keep_alive: bool,
    pub(super) origin: Option<Vec<u8>>,
}

impl Form {
    pub(super) fn new(request: &Request<'_, '_>, respond: Respond) -> Self {
        Self {
            respond,
            keep_alive: request.keep_alive,
            origin: request.head.origin.map(<[u8]>::to_vec),
        }
    }
}

/// The answers that a connection waits for.
pub(super) struct Exchange {
    /// Of the calls that are away.
    pub(super) tickets: Vec<u64>,
    pub(super) form: Form,
    pub(super) revision: Revision,
    pub(super) session: Option<SessionId>,
    /// Whose it is.
    pub(super) principal: Principal,
    /// The answers of a batch that are there, each behind a comma; none: there is one request.
    pub(super) batch: Option<Vec<u8>>,
    /// When it began, on the shard's clock.
    pub(super) since_ms: u64,
}

impl Exchange {
    /// Of one request.
    pub(super) fn new(ticket: u64, invocation: &Invocation<'_>, request: &Request<'_, '_>) -> Self {
        Self {
            tickets: vec![ticket],
            form: Form::new(request, invocation.respond),
            revision: invocation.revision,
            session: invocation.session,
            principal: request.principal(),
            batch: None,
            since_ms: request.arrival.now_ms,
        }
    }

    fn frame(&self, status: u16, keep_alive: bool) -> Frame<'_> {
        Frame {
            status,
            respond: self.form.respond,
            keep_alive,
            origin: self.form.origin.as_deref(),
            extra: None,
        }
    }

    fn end(&mut self, ticket: u64) {
        self.tickets.retain(|other| *other != ticket);
    }
}

/// An answer that has come.
struct Answer<'a> {
    status: u16,
    outcome: &'static str,
    body: &'a [u8],
}

impl<R: Ring> Shard<R> {
    /// A call that is away has something to say.
    pub(super) fn call_spoke(&mut self, ticket: u64, now_ms: u64) {
        let Some(away) = self.service.dispatcher.calls.get(ticket) else {
            return;
        };
        let Place::Exchange(socket) = away.place else {
            self.service.forward(ticket);
            return;
        };
        match away.revision.era() {
            Era::Modern => {
                self.begin_call_stream(socket, ticket, Vec::new(), now_ms);
                self.pump(socket, now_ms);
            }
            Era::Legacy => {
                self.open_channel(socket, now_ms);
                self.service.forward(ticket);
            }
        }
    }

    /// A worker has finished a call.
    pub(super) fn call_finished(&mut self, finished: Finished, now_ms: u64) {
        let becomes_task = finished.report.outcome == CallOutcome::BecomeTask;
        let dispatcher = &mut self.service.dispatcher;
        if becomes_task && dispatcher.become_task(finished.ticket, finished.asked.as_deref()) {
            return;
        }
        let Some(away) = self.service.dispatcher.forget(finished.ticket) else {
            return;
        };
        let ticket = finished.ticket;
        self.service.count_call(away.method, &finished.report);
        if finished.report.outcome != CallOutcome::Ok {
            self.service.unfollow(&away);
        }
        let mut body = Vec::with_capacity(finished.members.len() + ANSWER_BYTES);
        let status = self.service.write_ending(&away, &finished, &mut body);
        let answer = Answer {
            status,
            outcome: finished.report.outcome.as_str(),
            body: &body,
        };
        // What it said last comes before its answer.
        let said = away.said();
        self.deliver(ticket, &away, said, &answer, now_ms);
    }

    /// The engine of the tasks has answered a request.
    pub(super) fn task_answered(&mut self, ticket: u64, word: &Word, now_ms: u64) {
        let Some(away) = self.service.dispatcher.forget(ticket) else {
            return;
        };
        if away.given_up {
            self.service.dispatcher.unheard(&away, word);
            return;
        }
        let mut body = Vec::new();
        let told = write_word(&mut body, &away, word);
        let answer = Answer {
            status: told.status,
            outcome: told.outcome,
            body: &body,
        };
        let said = away.said();
        self.deliver(ticket, &away, said, &answer, now_ms);
    }

    /// An upstream has answered a request, or failed to.
    pub(super) fn upstream_answered(&mut self, ticket: u64, done: Done, now_ms: u64) {
        let Some(away) = self.service.dispatcher.forget(ticket) else {
            return;
        };
        if done.outcome != "ok" {
            self.service.unfollow(&away);
        }
        self.service.count_forwarded(&away, done.outcome);
        let answer = Answer {
            status: done.status,
            outcome: done.outcome,
            body: &done.body,
        };
        let said = away.said();
        self.deliver(ticket, &away, said, &answer, now_ms);
    }

    /// Looks at the tasks that requests wait for, and answers those whose tasks have ended.
    pub(super) fn notice_tasks(&mut self, now_ms: u64) {
        for ticket in self.service.dispatcher.look_at_tasks() {
            let Some(away) = self.service.dispatcher.forget(ticket) else {
                continue;
            };
            let mut body = Vec::new();
            let told = write_wait(&mut body, &away);
            let answer = Answer {
                status: told.status,
                outcome: told.outcome,
                body: &body,
            };
            // Questions that were not asked yet are no longer open.
            self.deliver(ticket, &away, Vec::new(), &answer, now_ms);
        }
    }

    /// The client cancelled a call: it is stopped, and whoever waits for it is told so.
    pub(super) fn cancel_call(&mut self, ticket: u64, now_ms: u64) {
        let calls = &self.service.dispatcher.calls;
        if calls.get(ticket).is_some_and(Away::is_the_engines) {
            // It is answered in a moment. A task is given up by its own request.
            return;
        }
        let Some(away) = self.service.dispatcher.forget(ticket) else {
            return;
        };
        away.cancel.cancel();
        self.service.unfollow(&away);
        self.service.metrics.add(Counter::CallCancelled, 1);
        let mut body = Vec::new();
        reply::call_result(&mut body, &away.id, away.revision.era(), CANCELLED);
        let answer = Answer {
            status: 200,
            outcome: "cancelled",
            body: &body,
        };
        self.deliver(ticket, &away, Vec::new(), &answer, now_ms);
    }

    /// Sessions are no more: their calls are stopped, and their streams look and end.
    pub(super) fn end_bereaved(&mut self, now_ms: u64) {
        let shared = std::sync::Arc::clone(&self.service.shared);
        let is_over = |session: SessionId| !shared.sessions.contains(session);
        let is_its = |away: &Away<Place>| away.session.is_some_and(is_over);
        for ticket in self.service.dispatcher.calls.select(is_its) {
            self.cancel_call(ticket, now_ms);
        }
        self.pump_sessions(is_over, now_ms);
        shared.end_upstream_sessions();
    }

    /// Takes an answer to where it is waited for.
    fn deliver(
        &mut self,
        ticket: u64,
        away: &Away<Place>,
        said: Vec<Outgoing>,
        answer: &Answer<'_>,
        now_ms: u64,
    ) {
        let harmless = self.service.shared.neutral(away.method, answer.body);
        let answer = &Answer {
            body: &harmless,
            ..*answer
        };
        self.service
            .note_call(away, answer.status, answer.outcome, answer.body.len());
        match &away.place {
            Place::Nowhere => refuse_questions(&self.service.shared, away.session, &said),
            Place::Channel(channel) => {
                self.service.say(channel, said);
                self.service.answer_channel(channel, answer.body);
            }
            Place::Exchange(socket) => {
                self.answer_exchange(*socket, ticket, away, said, answer, now_ms);
            }
        }
    }

    fn answer_exchange(
        &mut self,
        socket: SocketKey,
        ticket: u64,
        away: &Away<Place>,
        said: Vec<Outgoing>,
        answer: &Answer<'_>,
        now_ms: u64,
    ) {
        if away.revision.era() == Era::Modern {
            if !said.is_empty() {
                self.begin_call_stream(socket, ticket, said, now_ms);
            }
            if self.end_call_stream(socket, ticket, answer.body) {
                self.pump(socket, now_ms);
                return;
            }
        } else if !said.is_empty()
            && let Some(channel) = self.open_channel(socket, now_ms)
        {
            self.service.say(&channel, said);
            self.service.answer_channel(&channel, answer.body);
            return;
        }
        self.answer_json(socket, ticket, &away.id, answer, now_ms);
    }

    /// Answers with JSON: at once, or once the last of a batch is there.
    fn answer_json(
        &mut self,
        socket: SocketKey,
        ticket: u64,
        id: &InlineId,
        answer: &Answer<'_>,
        now_ms: u64,
    ) {
        let batch_bytes_max = BATCH_OUTPUTS_MAX * self.service.shared.limits.output_bytes_max;
        let Some(exchange) = self.connection(socket).and_then(|c| c.exchange.as_mut()) else {
            return;
        };
        exchange.end(ticket);
        if let Some(batch) = &mut exchange.batch {
            batch.push(b',');
            if batch.len() + answer.body.len() <= batch_bytes_max {
                batch.extend_from_slice(answer.body);
            } else {
                write_too_long(batch, id, batch_bytes_max);
            }
        }
        if !exchange.tickets.is_empty() {
            return;
        }
        let Some(exchange) = self.connection(socket).and_then(|c| c.exchange.take()) else {
            return;
        };
        let keep_alive = exchange.form.keep_alive && !self.service.draining;
        let bytes = answer.body.len() + exchange.batch.as_ref().map_or(0, Vec::len);
        let Ok(mut out) = self.service.buffers.take(bytes + ANSWER_BYTES) else {
            self.refuse_overload(socket, now_ms);
            return;
        };
        match &exchange.batch {
            Some(batch) => {
                let frame = exchange.frame(200, keep_alive);
                frame.write(&mut out, |out| write_array(out, batch));
            }
            None => {
                let frame = exchange.frame(answer.status, keep_alive);
                frame.write(&mut out, |out| out.extend_from_slice(answer.body));
            }
        }
        self.resume(socket, out, keep_alive, now_ms);
    }

    /// Turns a modern exchange into a stream, if it is none yet.
    fn begin_call_stream(
        &mut self,
        socket: SocketKey,
        ticket: u64,
        said: Vec<Outgoing>,
        now_ms: u64,
    ) {
        let outbox = self
            .service
            .dispatcher
            .calls
            .get(ticket)
            .and_then(|away| away.outbox.clone());
        let Some(connection) = self.connection(socket) else {
            return;
        };
        match &mut connection.stream {
            Some(stream) => {
                if let Source::Call(call) = &mut stream.source {
                    call.said.extend(said);
                }
            }
            None => {
                let Some(exchange) = connection.exchange.as_ref() else {
                    return;
                };
                let (principal, origin) = (exchange.principal, exchange.form.origin.clone());
                let source = Source::Call(CallStream::new(outbox, said));
                self.become_stream(socket, source, Revision::MODERN, principal, origin, now_ms);
            }
        }
    }

    /// Gives a modern stream its last event; whether there is one.
    fn end_call_stream(&mut self, socket: SocketKey, ticket: u64, body: &[u8]) -> bool {
        let Some(connection) = self.connection(socket) else {
            return false;
        };
        let Some(stream) = &mut connection.stream else {
            return false;
        };
        let Source::Call(call) = &mut stream.source else {
            return false;
        };
        call.last = Some(body.to_vec());
        if let Some(exchange) = &mut connection.exchange {
            exchange.end(ticket);
        }
        true
    }

    /// Turns a legacy exchange into a stream of its session, to which its calls write from now on.
    ///
    /// Shape: none if the session is no more.
    fn open_channel(&mut self, socket: SocketKey, now_ms: u64) -> Option<Rc<Channel>> {
        let exchange = self.connection(socket)?.exchange.take()?;
        let (revision, owed) = (exchange.revision, exchange.tickets.len());
        let opened = exchange
            .session
            .and_then(|session| self.service.open_channel(session, exchange.principal, owed));
        let Some((channel, carried)) = opened else {
            // Its calls are being stopped already. What they ask until then, nobody hears.
            self.service.leave_exchange(&exchange);
            self.close(socket);
            return None;
        };
        for ticket in &exchange.tickets {
            if let Some(away) = self.service.dispatcher.calls.get_mut(*ticket) {
                away.place = Place::Channel(Rc::clone(&channel));
            }
        }
        if let Some(batch) = exchange.batch.as_ref().filter(|batch| !batch.is_empty()) {
            let mut answers = Vec::with_capacity(batch.len() + 1);
            write_array(&mut answers, batch);
            self.service.write_channel(&channel, &answers);
        }
        let source = Source::Carried(Box::new(carried));
        let (principal, origin) = (exchange.principal, exchange.form.origin);
        self.become_stream(socket, source, revision, principal, origin, now_ms);
        Some(channel)
    }
}

impl<R: Ring> Shard<R> {
    /// Until when an exchange waits for the workers' word. Time that its calls wait for answers does not count.
    pub(super) fn exchange_deadline_ms(&self, exchange: &Exchange, now_ms: u64) -> u64 {
        let call_ms = millis(self.service.shared.limits.call_deadline);
        let calls = &self.service.dispatcher.calls;
        let deadline = |away: &Away<Place>| match away.cancel.extension() {
            Some(extension) => exchange.since_ms + call_ms + millis(extension) + WORKER_GRACE_MS,
            // It waits for one now.
            None => now_ms + call_ms + WORKER_GRACE_MS,
        };
        let tickets = exchange.tickets.iter();
        let deadlines = tickets
            .filter_map(|ticket| calls.get(*ticket))
            .map(deadline);
        deadlines.max().unwrap_or(now_ms)
    }
}

/// Writes answers that stand each behind a comma as an array.
pub(super) fn write_array(out: &mut Vec<u8>, answers: &[u8]) {
    out.push(b'[');
    out.extend_from_slice(answers.strip_prefix(b",").unwrap_or(answers));
    out.push(b']');
}

fn write_too_long(out: &mut Vec<u8>, id: &InlineId, bytes_max: usize) {
    let text = format!(
        "the answers of this batch are longer than {bytes_max} bytes together (twice limits.output_bytes_max): send the request by itself"
    );
    reply::error(out, Some(id), code::OVERLOADED, &text, None);
}
