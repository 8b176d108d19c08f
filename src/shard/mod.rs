//! One thread wired together: ring, connections, protocol, components.
//!
//! ```text
//!   ring ──Received──▶ inbox ──head, body──▶ Service ──bytes──▶ ring.send
//!                                              │  ▲
//!                              InstancePool.call  Finished (mailbox) from a worker
//! ```
//!
//! Everything happens in [`Shard::turn`]: reap completions, read the mail, look at deadlines. A turn never blocks and never
//! waits; time comes in as a parameter, so that a simulated ring with a simulated clock runs the code that production runs.
//!
//! Invariants: a connection has at most one request in service; an answer is written once, in request order; every accepted request is
//! answered or its connection closed by a deadline; nothing that a peer sends makes a turn longer than its batch.
//!
//! A shard never parses twice what it can keep, never shares memory with another shard, and never waits for the recorder.
#![forbid(unsafe_code)]

mod access;
mod audience;
mod away;
mod carried;
mod carry;
mod channel;
mod connection;
mod dispatch;
mod endpoint;
mod exchange;
mod inbox;
mod known;
mod listen;
mod memo;
mod receive;
mod refusals;
mod relay;
mod run;
mod service;
mod shared;
mod shown;
mod stdio;
mod stream;
mod sweep;
mod tls;
mod trail;
mod transmit;

#[cfg(test)]
mod tests;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use crate::limits::COMPLETIONS_PER_TURN_MAX;
use crate::metrics::{Counter, Gauge, ShardMetrics};
use crate::ring::{Completion, ListenerKey, Ring, SocketKey};

pub use channel::Word;
use connection::{Connection, Phase};
use relay::{Relay, socket_of};
pub use run::{IoKind, ListenOptions, ShardThread, bind_listeners};
pub use service::{Service, ServiceOptions};
pub use shared::{Gate, HomeNumbers, Message, Port, Shared, Snapshot, Upstreams};
pub use stdio::StdioServer;
use tls::Handshakes;
pub use tls::{TlsListener, TlsSetup};

/// Time without anything to do after which a shard frees the buffers that it keeps at hand.
const TRIM_IDLE_MS: u64 = 10_000;
/// Instances made or disposed of in one idle moment.
const MAINTAIN_IDLE: usize = 16;
/// The same after a turn that had work.
const MAINTAIN_BUSY: usize = 64;
/// Time a closed conversation may linger for the peer to read the last answer (RFC 9112 section 9.6).
const LINGER_MS: u64 = 2_000;

/// What a turn found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// There was something to do: turn again.
    Busy,
    /// Nothing to do until the ring, the mail or the clock says so.
    Idle,
    /// A drain is over: no connection is left.
    Drained,
}

/// One shard.
pub struct Shard<R: Ring> {
    ring: R,
    service: Service,
    /// By [`SocketKey::index`]; a key of an earlier tenant finds the socket's number different.
    connections: Vec<Option<(SocketKey, Box<Connection>)>>,
    completions: Vec<Completion>,
    listeners: Vec<ListenerKey>,
    open_count: usize,
    sweep_at_ms: u64,
    sweep_slice: u64,
    drain_until_ms: Option<u64>,
    /// When there was last something to do; none: the buffers are freed since.
    busy_ms: Option<u64>,
    catalog_generation: u64,
    changes_generation: u64,
    /// Sessions that had ended while they were in use, when the shard last looked.
    bereaved: u64,
    /// The ways to upstreams that this thread owns.
    relay: Option<Relay>,
    handshakes: Handshakes,
}

impl<R: Ring> Shard<R> {
    /// A shard that serves with `service` on `ring`.
    pub fn new(ring: R, mut service: Service) -> Self {
        service.follow_catalog();
        let relay = Relay::new(
            &service.shared,
            service.index,
            &service.buffers,
            service.head_limits(),
            service.chunk_limits(),
        );
        let catalog_generation = service.catalog_generation();
        Self {
            ring,
            service,
            connections: Vec::new(),
            completions: Vec::with_capacity(2 * COMPLETIONS_PER_TURN_MAX),
            listeners: Vec::new(),
            open_count: 0,
            sweep_at_ms: 0,
            sweep_slice: 0,
            drain_until_ms: None,
            busy_ms: None,
            catalog_generation,
            changes_generation: 0,
            bereaved: 0,
            relay,
            handshakes: Handshakes::default(),
        }
    }

    /// Accepts from this listener.
    ///
    /// Errors: the ring's table of listeners is full.
    pub fn listen(&mut self, listener: TcpListener) -> io::Result<()> {
        self.listeners.push(self.ring.listen(listener)?);
        Ok(())
    }

    /// Reaps, answers, and looks at the mail and the clock.
    ///
    /// Units: `now_ms` is milliseconds of the clock that [`Shared::now_ms`] reads.
    /// Errors: the ring is unusable; the shard cannot go on.
    pub fn turn(&mut self, now_ms: u64) -> io::Result<Turn> {
        self.service.begin_turn(now_ms);
        let mut completions = std::mem::take(&mut self.completions);
        let reaped = self.ring.turn(&mut completions);
        let mut busy = !completions.is_empty() || self.has_handshakes();
        self.resume_handshakes(now_ms);
        for completion in completions.drain(..) {
            self.complete(completion, now_ms);
        }
        self.completions = completions;
        reaped?;
        busy |= self.read_mail(now_ms);
        busy |= self.relay(now_ms);
        self.notice_changes(now_ms);
        self.sweep(now_ms);
        self.service.give_up_the_unheard(now_ms);
        if busy {
            // A shard that is never idle still has to get rid of what it used.
            self.service.maintain(MAINTAIN_BUSY);
            self.busy_ms = Some(now_ms);
        } else if self
            .busy_ms
            .is_some_and(|busy_ms| now_ms >= busy_ms + TRIM_IDLE_MS)
        {
            self.busy_ms = None;
            self.service.buffers.trim();
        }
        if let Some(until_ms) = self.drain_until_ms
            && self.open_count == 0
            && (now_ms >= until_ms || !self.service.is_waited_for())
            && self.relay_has_ended(now_ms, until_ms)
        {
            return Ok(Turn::Drained);
        }
        Ok(if busy { Turn::Busy } else { Turn::Idle })
    }

    /// Work for an idle moment: refills and disposes of instances. Returns whether some is left.
    pub fn rest(&mut self) -> bool {
        self.service.maintain(MAINTAIN_IDLE)
    }

    /// Whether the catalogue, or anything that streams tell of, changed since the last turn.
    pub fn sees_news(&self) -> bool {
        let shared = &self.service.shared;
        shared.snapshot.load().catalog.generation() != self.catalog_generation
            || shared.sessions.changes().generation() != self.changes_generation
            || shared.sessions.bereaved() != self.bereaved
            || (shared.is_draining() && self.drain_until_ms.is_none())
            || self.service.dispatcher.has_task_news()
    }

    /// The ring, to wait on.
    pub fn ring_mut(&mut self) -> &mut R {
        &mut self.ring
    }

    /// The protocol side.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// Connections that are not closed yet.
    pub fn open_connections(&self) -> usize {
        self.open_count
    }

    fn connection(&mut self, socket: SocketKey) -> Option<&mut Connection> {
        match self.connections.get_mut(socket.index()) {
            Some(Some((key, connection))) if *key == socket => Some(connection),
            _ => None,
        }
    }

    fn complete(&mut self, completion: Completion, now_ms: u64) {
        if let Some(relay) = &mut self.relay
            && socket_of(&completion).is_some_and(|socket| relay.owns(socket))
        {
            return relay.complete(&mut self.ring, completion, now_ms);
        }
        match completion {
            Completion::Accepted { socket, .. } => self.accepted(socket, now_ms),
            // Only what leads to upstreams connects.
            Completion::Connected { .. } => {}
            Completion::AcceptFailed { errno, .. } => {
                self.service.metrics.add(Counter::AcceptErrors, 1);
                tracing::warn!(
                    errno,
                    "accepting a connection failed; if it is EMFILE (24), raise the limit of open files"
                );
            }
            Completion::Received { socket, bytes } => self.received(socket, bytes, now_ms),
            Completion::EndOfStream { socket } => self.peer_ended(socket, now_ms),
            Completion::Failed { socket, error } => {
                self.service.metrics.add(Counter::ConnectionErrors, 1);
                tracing::debug!(socket = socket.number(), %error, "connection failed");
                self.close(socket);
            }
            Completion::Sent { socket } => self.sent(socket, now_ms),
            Completion::Closed { socket } => self.closed(socket),
        }
    }

    fn accepted(&mut self, socket: SocketKey, now_ms: u64) {
        let deadline_ms = now_ms + millis(self.service.shared.limits.idle_deadline);
        let index = socket.index();
        if index >= self.connections.len() {
            self.connections.resize_with(index + 1, || None);
        }
        let address = self.ring.peer(socket).map(|peer| peer.ip().to_canonical());
        let connection = Connection::new(address, deadline_ms);
        self.connections[index] = Some((socket, Box::new(connection)));
        self.open_count += 1;
        self.service.metrics.add(Counter::ConnectionsAccepted, 1);
        // The gate counts refused connections too, until they are closed: `closed` leaves it once for each.
        if !self.service.shared.connections.enter() {
            self.service.metrics.add(Counter::ConnectionsRefused, 1);
            if let Some(connection) = self.connection(socket) {
                connection.uncounted = true;
            }
            match self.service.shared.tls() {
                None => self.refuse_connection(socket, now_ms),
                // It would take a handshake to tell it why.
                Some(_) => self.close(socket),
            }
            return;
        }
        if self.drain_until_ms.is_some() {
            self.close(socket);
            return;
        }
        if !self.begin_tls(socket, now_ms) {
            self.close(socket);
            return;
        }
        self.ring.receive(socket);
    }

    /// Closes, stopping whatever was being done for the peer.
    fn close(&mut self, socket: SocketKey) {
        let Some(connection) = self.connection(socket) else {
            return;
        };
        if connection.phase == Phase::Closing {
            return;
        }
        connection.phase = Phase::Closing;
        connection.deadline_ms = u64::MAX;
        connection.write_deadline_ms = u64::MAX;
        connection.inbox.clear();
        connection.body = None;
        connection.queued = None;
        let left = connection.leave();
        self.service.left(left);
        self.ring.close(socket);
    }

    fn closed(&mut self, socket: SocketKey) {
        let Some(slot) = self.connections.get_mut(socket.index()) else {
            return;
        };
        match slot {
            Some((key, connection)) if *key == socket => {
                let counted = !connection.uncounted;
                let left = connection.leave();
                *slot = None;
                self.service.left(left);
                if counted {
                    self.service.shared.connections.leave();
                }
                self.open_count -= 1;
                self.service.metrics.add(Counter::ConnectionsClosed, 1);
            }
            _ => {}
        }
    }

    fn read_mail(&mut self, now_ms: u64) -> bool {
        let mut busy = false;
        while let Some(ticket) = self.service.dispatcher.next_signal() {
            busy = true;
            self.call_spoke(ticket, now_ms);
        }
        while let Some(finished) = self.service.dispatcher.next_finished() {
            busy = true;
            self.call_finished(finished, now_ms);
        }
        while let Some((ticket, word)) = self.service.dispatcher.next_word() {
            busy = true;
            self.task_answered(ticket, &word, now_ms);
        }
        while let Some(word) = self.service.next_upstream_word() {
            busy = true;
            match (word, &mut self.relay) {
                (crate::gateway::Word::Done { ticket, done }, _) => {
                    self.upstream_answered(ticket, done, now_ms);
                }
                (word, Some(relay)) => relay.hear(word, now_ms),
                (_, None) => {}
            }
        }
        while let Some(message) = self.service.next_message() {
            busy = true;
            match message {
                Message::Metrics(reply) => {
                    let _ = reply.send(Box::new(self.metrics()));
                }
                Message::Cancel { session, id } => {
                    self.service.shared.away.stop(session, &id);
                }
                Message::Carrier { owner, word } => self.hear(owner, word, now_ms),
            }
        }
        while let Some(ticket) = self.service.dispatcher.next_unwanted() {
            busy = true;
            self.cancel_call(ticket, now_ms);
        }
        if self.drain_until_ms.is_none() && self.service.shared.is_draining() {
            busy = true;
            self.drain(now_ms);
        }
        // What was said above, and what the requests of this turn have said.
        while !self.service.words.is_empty() {
            busy = true;
            for (owner, word) in std::mem::take(&mut self.service.words) {
                self.hear(owner, word, now_ms);
            }
        }
        busy
    }

    /// Stops accepting; closes what is quiet; what is in service finishes until the deadline.
    fn drain(&mut self, now_ms: u64) {
        self.drain_until_ms = Some(now_ms + millis(self.service.shared.limits.drain_deadline));
        self.service.draining = true;
        for listener in std::mem::take(&mut self.listeners) {
            self.ring.stop_listening(listener);
        }
        for socket in self.sockets() {
            let Some(connection) = self.connection(socket) else {
                continue;
            };
            let stream = connection.stream.as_deref();
            // Answers are still finished; so is what an HTTP+SSE session waits for.
            let is_over = stream.is_some_and(|stream| !stream.is_an_answer() && !stream.is_plain());
            if connection.is_quiet() || connection.phase == Phase::Handshake {
                self.part(socket, now_ms);
            } else if is_over {
                self.finish_stream(socket, now_ms);
            }
        }
    }

    /// Does what upstreams want done, and answers the calls of this thread that they have answered.
    fn relay(&mut self, now_ms: u64) -> bool {
        let Some(relay) = &mut self.relay else {
            return false;
        };
        let mut busy = relay.turn(&mut self.ring, now_ms);
        for (ticket, done) in relay.take_done() {
            busy = true;
            self.upstream_answered(ticket, done, now_ms);
        }
        busy
    }

    fn relay_has_ended(&mut self, now_ms: u64, until_ms: u64) -> bool {
        self.relay
            .as_mut()
            .is_none_or(|relay| relay.say_farewell(&mut self.ring, now_ms >= until_ms, now_ms))
    }

    fn sockets(&self) -> Vec<SocketKey> {
        self.connections
            .iter()
            .flatten()
            .map(|(socket, _)| *socket)
            .collect()
    }

    /// Learns of a new catalogue and of sessions that ended, and has streams tell their clients what has changed.
    fn notice_changes(&mut self, now_ms: u64) {
        let generation = self.service.catalog_generation();
        if generation != self.catalog_generation {
            self.catalog_generation = generation;
            self.service.follow_catalog();
        }
        let bereaved = self.service.shared.sessions.bereaved();
        if bereaved != self.bereaved {
            self.bereaved = bereaved;
            self.end_bereaved(now_ms);
        }
        let changes = self.service.shared.sessions.changes().generation();
        let mut tells = changes != self.changes_generation;
        self.changes_generation = changes;
        if self.service.dispatcher.has_task_news() {
            self.notice_tasks(now_ms);
            tells = true;
        }
        if tells {
            self.pump_changes(now_ms);
        }
    }

    fn metrics(&mut self) -> ShardMetrics {
        let stats = self.ring.stats();
        let streams = self
            .connections
            .iter()
            .flatten()
            .filter(|(_, c)| c.phase == Phase::Streaming)
            .count();
        let calling = self
            .connections
            .iter()
            .flatten()
            .filter(|(_, c)| c.phase == Phase::Calling)
            .count();
        self.service.collect();
        let metrics = &mut self.service.metrics;
        metrics.set_counter(Counter::RingSubmissions, stats.submitted);
        metrics.set_counter(Counter::RingCompletions, stats.events);
        metrics.set_counter(Counter::RingEnters, stats.enters);
        metrics.set_counter(Counter::ReceiveStarved, stats.starved);
        metrics.set(Gauge::OperationsInFlight, stats.in_flight as u64);
        metrics.set(Gauge::ConnectionsOpen, self.open_count as u64);
        metrics.set(Gauge::StreamsOpen, streams as u64);
        metrics.set(Gauge::RequestsInFlight, calling as u64);
        metrics.clone()
    }
}

/// A duration on the shard's clock.
fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 2)
}

/// What every shard thread holds of the process.
pub type SharedRef = Arc<Shared>;
