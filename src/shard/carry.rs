//! Streams on their connections: when they are written, kept alive, and ended.

use crate::mcp::{Principal, Revision, SessionId};
use crate::mem::PoolBuffer;
use crate::metrics::Counter;
use crate::ring::{Ring, SocketKey};
use crate::wire::sse;

use super::carried::Looks;
use super::channel::Word;
use super::connection::{Connection, Phase};
use super::service::Frame;
use super::shown::Shown;
use super::stream::{Flow, Source, Stream};
use super::{Shard, millis};

/// Room for the first of what a stream writes; it grows with the rest.
const FIRST_BYTES: usize = 512;

impl<R: Ring> Shard<R> {
    /// Turns the exchange on this connection into a stream.
    pub(super) fn become_stream(
        &mut self,
        socket: SocketKey,
        source: Source,
        revision: Revision,
        principal: Principal,
        origin: Option<Vec<u8>>,
        now_ms: u64,
    ) {
        let Ok(mut out) = self.service.buffers.take(FIRST_BYTES) else {
            // It is on no connection yet that would give it back.
            let stream = Stream::of_answer(source, principal, now_ms);
            self.service.end_stream(&stream);
            self.close(socket);
            return;
        };
        let frame = Frame::of_stream(origin.as_deref());
        frame.write_stream_head(&mut out);
        self.service.begin_stream(&source, revision, &mut out);
        let stream = Stream::of_answer(source, principal, now_ms);
        let answers_a_call = matches!(stream.source, Source::Call(_));
        self.carry(socket, Box::new(stream));
        if let Some(connection) = self.connection(socket) {
            if !answers_a_call {
                connection.deadline_ms = u64::MAX;
            }
            self.transmit(socket, out, now_ms);
        }
    }

    /// Files a stream whose head is written.
    pub(super) fn carry(&mut self, socket: SocketKey, stream: Box<Stream>) {
        if let Source::Carried(carried) = &stream.source {
            self.service.carriers.insert(carried.owner, socket);
        }
        if let Some(connection) = self.connection(socket) {
            connection.phase = Phase::Streaming;
            connection.stream = Some(stream);
        }
    }

    /// Writes what a stream has to say, if its connection has nothing to send.
    pub(super) fn pump(&mut self, socket: SocketKey, now_ms: u64) {
        let Some(connection) = self.connection(socket) else {
            return;
        };
        let is_free = connection.phase == Phase::Streaming
            && connection.sending_since.is_none()
            && !connection.close_after_send;
        if !is_free {
            return;
        }
        let Some(mut stream) = connection.stream.take() else {
            return;
        };
        let Ok(mut out) = self.service.buffers.take(FIRST_BYTES) else {
            // What is not said now may never be: a client whose stream ends asks anew, one that is told nothing does not.
            self.service.end_stream(&stream);
            self.close(socket);
            return;
        };
        let flow = self.service.write_stream(&mut stream, &mut out);
        if !out.is_empty() {
            stream.written_ms = now_ms;
        }
        match flow {
            Flow::Ended => self.end_carrying(socket, &stream, out, now_ms),
            Flow::Open => {
                if let Some(connection) = self.connection(socket) {
                    connection.stream = Some(stream);
                }
                self.transmit(socket, out, now_ms);
            }
        }
    }

    /// The stream has had its last event.
    fn end_carrying(&mut self, socket: SocketKey, stream: &Stream, out: PoolBuffer, now_ms: u64) {
        self.service.end_stream(stream);
        let Some(connection) = self.connection(socket) else {
            return;
        };
        if let Some(exchange) = connection.exchange.take() {
            self.service.leave_exchange(&exchange);
        }
        self.end_reading(socket, now_ms);
        let sending = self
            .connection(socket)
            .is_some_and(|connection| connection.sending_since.is_some());
        if out.is_empty() && !sending {
            self.linger(socket, now_ms);
        } else {
            self.transmit(socket, out, now_ms);
        }
    }

    /// Ends a stream from our side, in good order.
    pub(super) fn finish_stream(&mut self, socket: SocketKey, now_ms: u64) {
        let Some(stream) = self.connection(socket).and_then(|c| c.stream.take()) else {
            return;
        };
        let Ok(mut out) = self.service.buffers.take(FIRST_BYTES) else {
            self.service.end_stream(&stream);
            self.close(socket);
            return;
        };
        stream.write_end(&mut out);
        self.end_carrying(socket, &stream, out, now_ms);
    }

    /// A word to the connection that carries a stream under this number.
    pub(super) fn hear(&mut self, owner: u64, word: Word, now_ms: u64) {
        let Some(socket) = self.service.carriers.get(&owner).copied() else {
            return;
        };
        let carried = self
            .connection(socket)
            .and_then(|connection| connection.stream.as_mut())
            .and_then(|stream| match &mut stream.source {
                Source::Carried(carried) if carried.owner == owner => Some(carried),
                _ => None,
            });
        let Some(carried) = carried else { return };
        let keeps_up = match word {
            Word::Look => true,
            Word::Take(id, message) => carried.take(id, message),
            Word::Release { through, retry_ms } => {
                carried.release(through, retry_ms);
                true
            }
            Word::Displaced => {
                carried.displaced = true;
                true
            }
        };
        if keeps_up {
            self.pump(socket, now_ms);
        } else {
            tracing::debug!(socket = socket.number(), "a reader is too slow; closing");
            self.close(socket);
        }
    }

    /// Has every stream of such sessions look.
    pub(super) fn pump_sessions(&mut self, is_it: impl Fn(SessionId) -> bool, now_ms: u64) {
        self.pump_where(now_ms, |stream| match &stream.source {
            Source::Carried(carried) => is_it(carried.session),
            Source::Call(_) | Source::Listen(_) => false,
        });
    }

    /// Has every stream look that tells of changes.
    pub(super) fn pump_changes(&mut self, now_ms: u64) {
        self.pump_where(now_ms, Stream::tells_changes);
    }

    fn pump_where(&mut self, now_ms: u64, is_it: impl Fn(&Stream) -> bool) {
        let is_it = |connection: &Connection| connection.stream.as_deref().is_some_and(&is_it);
        let sockets: Vec<SocketKey> = self
            .connections
            .iter()
            .flatten()
            .filter(|(_, connection)| is_it(connection))
            .map(|(socket, _)| *socket)
            .collect();
        for socket in sockets {
            self.pump(socket, now_ms);
        }
    }

    /// Called by the sweep: looks in case a word was lost, and breaks a long silence.
    pub(super) fn keep_stream_alive(&mut self, socket: SocketKey, now_ms: u64) {
        self.pump(socket, now_ms);
        let silence_ms = millis(self.service.shared.limits.stream_keep_alive);
        let (draining, calls) = (self.service.draining, self.service.shared.calls.taken());
        let generation = self.service.shared.authenticator.generation();
        let Some(connection) = self.connection(socket) else {
            return;
        };
        let Some(stream) = &mut connection.stream else {
            return;
        };
        let has_expired = stream.until_ms.is_some_and(|until_ms| now_ms >= until_ms);
        let is_outdated = |shown: &Shown| shown.is_outdated(generation);
        if has_expired || stream.shown.as_ref().is_some_and(is_outdated) {
            let again = stream.shown.take();
            let again = again.and_then(|shown| self.service.look_again(shown));
            // Its client comes back with a proof that is good, or not at all.
            let Some((shown, until_ms)) = again else {
                return self.finish_stream(socket, now_ms);
            };
            if let Some(stream) = self.connection(socket).and_then(|one| one.stream.as_mut()) {
                (stream.shown, stream.until_ms) = (Some(shown), until_ms);
            }
        }
        let Some(connection) = self.connection(socket) else {
            return;
        };
        let Some(stream) = &mut connection.stream else {
            return;
        };
        // A drain leaves it open for the answers of calls, wherever these run.
        if draining && calls == 0 && stream.is_plain() {
            self.finish_stream(socket, now_ms);
            return;
        }
        if now_ms < stream.written_ms + silence_ms || connection.sending_since.is_some() {
            return;
        }
        stream.written_ms = now_ms;
        let Ok(mut out) = self.service.buffers.take(FIRST_BYTES) else {
            self.close(socket);
            return;
        };
        sse::write_comment(&mut out, "keep-alive");
        self.service.metrics.add(Counter::StreamKeepAlives, 1);
        self.transmit(socket, out, now_ms);
    }
}

impl Stream {
    /// Whether it is the one stream of an HTTP+SSE session.
    pub(super) fn is_plain(&self) -> bool {
        match &self.source {
            Source::Carried(carried) => carried.looks == Looks::Plain,
            Source::Call(_) | Source::Listen(_) => false,
        }
    }
}
