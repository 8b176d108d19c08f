//! Event streams on connections.
//!
//! A stream pulls: whenever its connection has nothing to send, it is asked what comes next. What waits is kept where it comes from, within
//! the bounds of that place: the outbox of a call, the events of a session, the versions of what changes. So a reader that is slow
//! costs one piece, and one that does not read is closed by its write deadline.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use crate::component::{Outbox, Outgoing};
use crate::mcp::{News, Principal, reply};
use crate::metrics::Counter;
use crate::wire::sse;

use super::Shared;
use super::audience::Audience;
use super::carried::Carried;
use super::known::Known;
use super::listen::Listen;
use super::service::Service;
use super::shown::Shown;

/// Bytes that a stream writes at a time, about.
pub(super) const PIECE_BYTES: usize = 64 << 10;

/// One open stream.
pub(super) struct Stream {
    pub(super) source: Source,
    pub(super) principal: Principal,
    /// Who hears what changes, if it tells of that.
    pub(super) hearer: Option<Rc<Known>>,
    /// When something was last written, on the shard's clock.
    pub(super) written_ms: u64,
    /// When what its client showed of itself is worth nothing any longer, on the shard's clock: then it ends.
    pub(super) until_ms: Option<u64>,
    /// What that is; none for the stream of an answer, which ends with it, and where nobody is asked.
    pub(super) shown: Option<Shown>,
    /// Whether it has one of the places of `limits.stream_count_max`.
    pub(super) has_place: bool,
}

/// Where its events come from.
pub(super) enum Source {
    /// A call of the modern era, whose answer it is.
    Call(CallStream),
    /// A stream of a session.
    Carried(Box<Carried>),
    /// What changes: a `subscriptions/listen`.
    Listen(Box<Listen>),
}

/// Whether there can be more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// There can.
    Open,
    /// That was the last.
    Ended,
}

/// What a modern call says, then its answer.
pub(super) struct CallStream {
    outbox: Option<Arc<Outbox>>,
    /// Taken from the outbox already.
    pub(super) said: VecDeque<Outgoing>,
    /// The answer, once it is there.
    pub(super) last: Option<Vec<u8>>,
}

impl CallStream {
    pub(super) fn new(outbox: Option<Arc<Outbox>>, said: Vec<Outgoing>) -> Self {
        Self {
            outbox,
            said: said.into(),
            last: None,
        }
    }

    fn next(&mut self) -> Option<Outgoing> {
        let outbox = self.outbox.as_ref();
        self.said
            .pop_front()
            .or_else(|| outbox.and_then(|outbox| outbox.take()))
    }

    fn write(&mut self, shared: &Shared, out: &mut Vec<u8>) -> (usize, Flow) {
        let mut count = 0;
        while out.len() < PIECE_BYTES {
            match self.next() {
                // A modern client has nothing to come back with.
                Some(Outgoing::Release { .. }) => {}
                Some(Outgoing::Message(message)) => {
                    write_event(out, &shared.harmless(&message));
                    count += 1;
                }
                None => match self.last.take() {
                    Some(answer) => {
                        write_event(out, &answer);
                        return (count + 1, Flow::Ended);
                    }
                    None => break,
                },
            }
        }
        (count, Flow::Open)
    }
}

impl Stream {
    /// The stream of an answer, which takes no place of its own: its call has one.
    pub(super) fn of_answer(source: Source, principal: Principal, now_ms: u64) -> Self {
        Self {
            source,
            principal,
            hearer: None,
            written_ms: now_ms,
            until_ms: None,
            shown: None,
            has_place: false,
        }
    }

    /// Whether it ends with a call, and not by our own decision.
    pub(super) fn is_an_answer(&self) -> bool {
        match &self.source {
            Source::Call(_) => true,
            Source::Carried(carried) => !carried.is_sessions_own(),
            Source::Listen(_) => false,
        }
    }

    /// Whether it tells of changes.
    pub(super) fn tells_changes(&self) -> bool {
        match &self.source {
            Source::Call(_) => false,
            Source::Carried(carried) => carried.is_sessions_own(),
            Source::Listen(_) => true,
        }
    }

    /// Appends what ends it in good order, when we end it.
    pub(super) fn write_end(&self, out: &mut Vec<u8>) {
        if let Source::Listen(listen) = &self.source {
            let mut message = Vec::new();
            reply::listen_result(&mut message, &listen.id);
            write_event(out, &message);
        }
    }
}

/// Appends one event with a message.
///
/// The body of a stream has no length and no chunks: it ends with the connection, which nothing else could follow anyway.
pub(super) fn write_event(out: &mut Vec<u8>, message: &[u8]) {
    sse::write_event(out, None, Some("message"), message);
}

impl Service {
    /// Appends what a stream has to say next.
    pub(super) fn write_stream(&mut self, stream: &mut Stream, out: &mut Vec<u8>) -> Flow {
        let (count, flow) = match &mut stream.source {
            Source::Call(call) => call.write(&self.shared, out),
            Source::Carried(carried) => {
                self.write_carried(carried, stream.principal, stream.hearer.as_ref(), out)
            }
            Source::Listen(listen) => {
                let mut count = 0;
                let snapshot = self.dispatcher.snapshot.load();
                let hears = |news: News<'_>| match &stream.hearer {
                    None => true,
                    Some(known) => Audience {
                        rules: &self.shared.rules,
                        catalog: &snapshot.catalog,
                        identity: &known.identity,
                    }
                    .hears(news),
                };
                listen.news(self.shared.sessions.changes(), hears, |message| {
                    let fits = out.len() < PIECE_BYTES;
                    if fits {
                        write_event(out, message);
                        count += 1;
                    }
                    fits
                });
                (count, Flow::Open)
            }
        };
        self.metrics.add(Counter::StreamEvents, count as u64);
        flow
    }
}
