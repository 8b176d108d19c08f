//! One client on standard input and output: the same requests as over HTTP, one message a line.
//!
//! Lines are served in order by one thread; only a call that leaves for a worker lets later lines overtake it. Nothing but MCP is ever
//! written to the output. At the end of the input the calls in flight are still answered, but for those that wait for an answer of
//! the client, who has none to give any longer; then the server ends.

mod batch;
mod client;
mod guard;
mod reader;

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::task::Waker;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::component::{CallOutcome, Outgoing};
use crate::gateway::Word as UpstreamWord;
use crate::mcp::reply;
use crate::mcp::route::{ListenFilter, Process, is_batch, route_stdio};
use crate::mcp::{
    Era, InlineId, Invocation, Message, Method, News, Notice, Operation, Principal, Reason,
    Refusal, Revision, Route, scan,
};
use crate::metrics::ShardMetrics;
use crate::task::Word;

use super::Shared;
use super::audience::Audience;
use super::dispatch::{
    Asker, Conversation, Dispatcher, Ending, Made, Origin, answer_question, refuse_questions,
    write_ending, write_wait, write_word,
};
use super::known::Caller;
use super::listen::Listen;
use super::service::target_of;
use batch::Line;
use client::Client;
use reader::Event;

/// Instances made or disposed of after each event.
const MAINTAIN_BUDGET: usize = 8;

/// The server of one client.
pub struct StdioServer<W> {
    shared: Arc<Shared>,
    dispatcher: Dispatcher<Line>,
    events: Receiver<Event>,
    waker: Waker,
    process: Process,
    client: Client,
    /// Whoever started this process.
    caller: Caller,
    metrics: ShardMetrics,
    catalog_generation: u64,
    changes_generation: u64,
    ended: bool,
    out: Vec<u8>,
    output: W,
}

impl<W: Write> StdioServer<W> {
    /// Starts reading `input` on a thread of its own. Of `shared`, the first port is this server's.
    ///
    /// Call it, and [`StdioServer::run`], inside a tokio runtime that runs on other threads: components may wait there.
    /// Errors: the reading thread cannot be made.
    pub fn start(
        shared: Arc<Shared>,
        input: impl Read + Send + 'static,
        output: W,
    ) -> io::Result<Self> {
        let (events, bell) = reader::start(input, shared.limits.body_bytes_max)?;
        let waker = bell.waker();
        let mut dispatcher = Dispatcher::new(Arc::clone(&shared), 0, move || bell.ring());
        dispatcher.follow_catalog();
        Ok(Self {
            dispatcher,
            events,
            waker,
            process: Process::default(),
            client: Client::new(Arc::clone(&shared)),
            caller: Caller::anonymous(),
            metrics: ShardMetrics::new(),
            catalog_generation: shared.snapshot.load().catalog.generation(),
            changes_generation: 0,
            ended: false,
            out: Vec::new(),
            output,
            shared,
        })
    }

    /// Serves until the input ends and the last call is answered.
    ///
    /// Errors: the output is closed or broken.
    pub fn run(&mut self) -> io::Result<()> {
        while !self.ended || !self.dispatcher.calls.is_empty() {
            // The order matters: first ask to be woken, then look.
            if let Some(port) = self.shared.ports.first() {
                port.register(&self.waker);
            }
            self.look();
            self.flush()?;
            self.dispatcher.pool.maintain(MAINTAIN_BUDGET);
            if self.ended && self.dispatcher.calls.is_empty() {
                break;
            }
            match self.events.recv() {
                Ok(Event::Line(line)) => self.serve(&line),
                Ok(Event::TooLong) => {
                    let reason = Reason::TooLong {
                        limit: "limits.body_bytes_max",
                        value: self.shared.limits.body_bytes_max,
                    };
                    self.refuse(&Refusal::new(reason, None));
                }
                Ok(Event::Wake) => {}
                Ok(Event::End) | Err(_) => self.end(),
            }
            self.flush()?;
        }
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.out.is_empty() {
            self.output.write_all(&self.out)?;
            self.output.flush()?;
            self.out.clear();
        }
        Ok(())
    }

    /// Looks at what has happened elsewhere.
    fn look(&mut self) {
        while let Some(ticket) = self.dispatcher.next_signal() {
            if let Some(away) = self.dispatcher.calls.get(ticket) {
                let said = away.said();
                self.say(said);
            }
        }
        while let Some(finished) = self.dispatcher.next_finished() {
            let becomes_task = finished.report.outcome == CallOutcome::BecomeTask;
            let asked = finished.asked.as_deref();
            if becomes_task && self.dispatcher.become_task(finished.ticket, asked) {
                continue;
            }
            let Some(away) = self.dispatcher.forget(finished.ticket) else {
                continue;
            };
            self.say(away.said());
            if away.followed && finished.report.outcome != CallOutcome::Ok {
                self.client.unfollow(&away.target);
            }
            let ending = Ending {
                members: &finished.members,
                report: &finished.report,
                asked: finished.asked.as_deref(),
            };
            self.tell_answered(
                away.trail.as_deref(),
                away.method,
                &away.target,
                finished.report.outcome.as_str(),
            );
            let seal = self.dispatcher.seal(away.binding.as_deref(), unix_ms());
            let mut body = Vec::with_capacity(finished.members.len() + 256);
            write_ending(&mut body, &away.id, away.revision, &ending, seal);
            let harmless = self.shared.neutral(away.method, &body);
            away.place.answer(Some(&harmless), &mut self.out);
        }
        self.look_at_upstreams();
        self.look_at_tasks();
        self.notice_changes();
    }

    fn look_at_upstreams(&mut self) {
        let shared = Arc::clone(&self.shared);
        let Some(port) = shared.ports.first() else {
            return;
        };
        while let Some(word) = port.next_word() {
            let UpstreamWord::Done { ticket, done } = word else {
                continue;
            };
            let Some(away) = self.dispatcher.forget(ticket) else {
                continue;
            };
            self.say(away.said());
            if away.followed && done.outcome != "ok" {
                self.client.unfollow(&away.target);
            }
            self.tell_answered(
                away.trail.as_deref(),
                away.method,
                &away.target,
                done.outcome,
            );
            let harmless = self.shared.neutral(away.method, &done.body);
            away.place.answer(Some(&harmless), &mut self.out);
        }
    }

    fn look_at_tasks(&mut self) {
        while let Some((ticket, word)) = self.dispatcher.next_word() {
            let Some(away) = self.dispatcher.forget(ticket) else {
                continue;
            };
            if away.given_up {
                self.dispatcher.unheard(&away, &word);
                away.place.answer(None, &mut self.out);
                continue;
            }
            self.say(away.said());
            self.tell_answered(away.trail.as_deref(), away.method, &away.target, "task");
            let mut body = Vec::new();
            write_word(&mut body, &away, &word);
            away.place.answer(Some(&body), &mut self.out);
            if let (Method::CallTool, Era::Legacy, Word::Done(record)) =
                (away.method, away.revision.era(), &word)
            {
                self.client.follow_task(record);
            }
        }
        if !self.dispatcher.has_task_news() {
            return;
        }
        for ticket in self.dispatcher.look_at_tasks() {
            if let Some(away) = self.dispatcher.forget(ticket) {
                let mut body = Vec::new();
                write_wait(&mut body, &away);
                away.place.answer(Some(&body), &mut self.out);
            }
        }
        self.write_news();
        if self.ended {
            self.give_up_questions();
        }
    }

    fn notice_changes(&mut self) {
        let generation = self.shared.snapshot.load().catalog.generation();
        if generation != self.catalog_generation {
            self.catalog_generation = generation;
            self.dispatcher.follow_catalog();
        }
        let changes = self.shared.sessions.changes().generation();
        if changes != self.changes_generation {
            self.changes_generation = changes;
            self.write_news();
        }
    }

    fn write_news(&mut self) {
        let is_initialized = self.process.is_initialized();
        let snapshot = self.shared.snapshot.load();
        let audience = Audience {
            rules: &self.shared.rules,
            catalog: &snapshot.catalog,
            identity: &self.caller.known.identity,
        };
        let hears = |news: News<'_>| audience.hears(news);
        self.client.write_news(is_initialized, hears, &mut self.out);
    }

    /// The input has ended: nobody answers questions any longer.
    fn end(&mut self) {
        self.ended = true;
        self.give_up_questions();
    }

    fn give_up_questions(&mut self) {
        let calls = &self.dispatcher.calls;
        for ticket in calls.select(|away| away.cancel.is_for_answers()) {
            self.give_up(ticket);
        }
    }

    /// A call that is given up gets no answer.
    fn give_up(&mut self, ticket: u64) {
        if let Some(away) = self.dispatcher.calls.get_mut(ticket)
            && away.is_the_engines()
        {
            away.given_up = true;
        } else if let Some(away) = self.dispatcher.forget(ticket) {
            away.cancel.cancel();
            if away.followed {
                self.client.unfollow(&away.target);
            }
            away.place.answer(None, &mut self.out);
        }
    }

    fn say(&mut self, said: Vec<Outgoing>) {
        if self.ended {
            refuse_questions(&self.shared, None, &said);
        }
        for said in said {
            if let Outgoing::Message(message) = said {
                let message = self.shared.harmless(&message);
                self.out.extend_from_slice(&message);
                self.out.push(b'\n');
            }
        }
    }

    fn serve(&mut self, line: &[u8]) {
        let shared = Arc::clone(&self.shared);
        let has_batches = self.process.revision().is_some_and(Revision::has_batches);
        if has_batches && is_batch(line) {
            return self.serve_batch(line);
        }
        match scan(line, shared.limits.json_depth_max) {
            Ok(message) => self.take(&message, &Line::Alone),
            Err(refusal) => self.refuse(&refusal),
        }
    }

    /// Acts on one message; the answer, if it gets one, goes where `line` says.
    fn take(&mut self, message: &Message<'_>, line: &Line) {
        match route_stdio(&mut self.process, message) {
            Ok(Route::Invoke(invocation)) => self.answer(&invocation, line),
            Ok(Route::Notice(Notice::Cancelled { request, .. })) => {
                self.cancel(&InlineId::new(&request));
            }
            Ok(Route::Notice(_)) => {}
            Ok(Route::Response(response)) => {
                answer_question(&self.shared, Principal::ANONYMOUS, &response);
            }
            Err(refusal) => self.refuse_on(line, &refusal),
        }
    }

    fn refuse(&mut self, refusal: &Refusal<'_>) {
        self.refuse_on(&Line::Alone, refusal);
    }

    fn refuse_on(&mut self, line: &Line, refusal: &Refusal<'_>) {
        let mut body = Vec::new();
        refusal.write(&mut body);
        line.answer(Some(&body), &mut self.out);
    }

    fn answer(&mut self, invocation: &Invocation<'_>, line: &Line) {
        if let Operation::Initialize { .. } = invocation.operation {
            self.client.begin(invocation.client_info());
        }
        let trail = match self.authorize(invocation) {
            Ok(trail) => trail,
            Err(reason) => {
                return self.refuse_on(line, &Refusal::new(reason, Some(invocation.id)));
            }
        };
        let asker = Asker {
            caller: &self.caller,
            principal: Principal::ANONYMOUS,
            hears: Ok(()),
            unix_ms: unix_ms(),
        };
        let origin = Origin {
            place: line.clone(),
            principal: Principal::ANONYMOUS,
            started: 0,
            request_bytes: 0,
        };
        let mut body = Vec::new();
        let (client, metrics) = (&mut self.client, &mut self.metrics);
        let made = self
            .dispatcher
            .serve(invocation, asker, origin, client, metrics, &mut body);
        match made {
            Ok(Made::Body { said, call, .. }) => {
                let outcome = call.map_or("ok", |report| report.outcome.as_str());
                let target = target_of(&invocation.operation);
                self.tell_answered(trail.as_deref(), invocation.method(), &target, outcome);
                self.say(said);
                let harmless = self.shared.neutral(invocation.method(), &body);
                line.answer(Some(&harmless), &mut self.out);
            }
            Ok(Made::Later(ticket)) => {
                if let Some(away) = self.dispatcher.calls.get_mut(ticket) {
                    away.trail = trail;
                }
            }
            Ok(Made::Listen(filter)) => self.listen(invocation, &filter, line),
            Err(reason) => self.refuse_on(line, &Refusal::new(reason, Some(invocation.id))),
        }
    }

    fn listen(&mut self, invocation: &Invocation<'_>, filter: &ListenFilter<'_>, line: &Line) {
        let snapshot = self.shared.snapshot.load_full();
        let principal = Principal::ANONYMOUS;
        let catalog = &snapshot.catalog;
        let audience = Audience {
            rules: &self.shared.rules,
            catalog,
            identity: &self.caller.known.identity,
        };
        let (heard, withheld) = audience.ask(|hears| {
            let id = &invocation.id;
            Listen::new(&self.shared, catalog, principal, id, filter, hears)
        });
        for withheld in withheld {
            self.tell_denied(&withheld.request(), &withheld.reason(), withheld.rule());
        }
        let begun = heard.and_then(|(listen, followed)| {
            let mark = self.out.len();
            reply::acknowledged(&mut self.out, &listen.id, &listen.honoured(&followed));
            self.out.push(b'\n');
            self.client
                .listen(listen)
                .inspect_err(|_| self.out.truncate(mark))
        });
        match begun {
            Ok(()) => {
                // Its result comes when it ends, and on a line of its own.
                line.answer(None, &mut self.out);
                // How the tasks stand that it listens to.
                self.write_news();
            }
            Err(reason) => self.refuse_on(line, &Refusal::new(reason, Some(invocation.id))),
        }
    }

    /// A cancelled call gets no answer, and a cancelled listener hears nothing more.
    fn cancel(&mut self, id: &InlineId) {
        self.client.unlisten(id);
        let calls = &self.dispatcher.calls;
        for ticket in calls.select(|away| away.id.as_bytes() == id.as_bytes()) {
            if let Some(away) = self.dispatcher.calls.get_mut(ticket)
                && away.is_the_engines()
            {
                away.given_up = true;
                continue;
            }
            self.give_up(ticket);
        }
    }
}

/// Milliseconds since 1970-01-01 UTC.
fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}
