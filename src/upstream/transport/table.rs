//! The table of one thread: what each socket is, and what a completion does to it.

use super::connection::{Connection, HeldEnd, Outcome, Stage};
use super::exchange::Exchange;
use super::failure::Failure;
use super::map::NumberMap;
use super::options::{TransportOptions, TransportStats};
use super::origin::Origin;
use super::stream::LineStream;
use super::{ExchangeKey, Sink, StreamKey};
use crate::ring::{Completion, Ring, SocketKey};

/// The exchanges and streams of one thread, with the sockets that carry them.
pub struct Transport {
    pub(super) options: TransportOptions,
    /// Where the places of each remote begin in `origins`, by the remote's index.
    pub(super) by_remote: Vec<Option<usize>>,
    pub(super) origins: Vec<Origin>,
    pub(super) sockets: NumberMap<SocketKey, Entry>,
    pub(super) exchanges: NumberMap<ExchangeKey, Whereabouts>,
    pub(super) streams: NumberMap<StreamKey, SocketKey>,
    /// Exchanges of all origins that wait for a connection.
    pub(super) waiting_count: usize,
    pub(super) long_count: usize,
    /// Sockets with something to do at the end of the turn: held bytes that are wanted now, lines to write.
    pub(super) due: Vec<SocketKey>,
    /// What could not be told where it happened.
    pub(super) failures: Vec<Failure>,
    pub(super) is_draining: bool,
    /// The ring had no room in this turn; it may have in the next.
    pub(super) is_cramped: bool,
    /// Room for plain text.
    pub(super) scratch: Vec<u8>,
    /// Room for the keys that a sweep finds.
    pub(super) found: Vec<SocketKey>,
    pub(super) chance: u64,
    pub(super) stats: TransportStats,
}

/// What a socket is.
pub(super) enum Entry {
    Http(Box<Connection>),
    Lines(Box<LineStream>),
    /// It says goodbye, and is closed once that is sent.
    Parting {
        until_ms: u64,
    },
    /// The ring was told to close it.
    Closing,
}

/// Where an exchange is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whereabouts {
    /// In the queue of this origin.
    Waiting(usize),
    /// On this connection, which may still be in the making.
    On(SocketKey),
}

impl Transport {
    /// A table without exchanges and streams.
    pub fn new(options: TransportOptions) -> Self {
        Self {
            chance: options.seed,
            options,
            by_remote: Vec::new(),
            origins: Vec::new(),
            sockets: NumberMap::default(),
            exchanges: NumberMap::default(),
            streams: NumberMap::default(),
            waiting_count: 0,
            long_count: 0,
            due: Vec::new(),
            failures: Vec::new(),
            is_draining: false,
            is_cramped: false,
            scratch: Vec::new(),
            found: Vec::new(),
            stats: TransportStats::default(),
        }
    }

    /// Whether a completion of this socket belongs here.
    pub fn owns(&self, socket: SocketKey) -> bool {
        self.sockets.contains_key(&socket)
    }

    /// Whether there is nothing: no exchange, no stream, no connection.
    pub fn is_idle(&self) -> bool {
        self.sockets.is_empty() && self.exchanges.is_empty() && self.failures.is_empty()
    }

    /// Counters and gauges.
    pub fn stats(&self) -> TransportStats {
        TransportStats {
            open: self.sockets.len() - self.streams.len(),
            idle: self
                .origins
                .iter()
                .map(|origin| origin.pool.idle_count())
                .sum(),
            waiting: self.waiting_count,
            long: self.long_count,
            streams: self.streams.len(),
            ..self.stats
        }
    }

    /// Takes what became of a socket, and tells what that means. Nothing here calls for a second turn: what is left to do is
    /// done by [`Transport::flush`].
    pub fn complete(
        &mut self,
        ring: &mut impl Ring,
        completion: Completion,
        now_ms: u64,
        sink: &mut Sink<'_>,
    ) {
        match completion {
            Completion::Received { socket, bytes } => {
                self.received(ring, socket, &bytes, now_ms, sink);
            }
            Completion::Sent { socket } => self.sent(ring, socket, now_ms),
            Completion::Connected { socket } => self.connected(ring, socket, now_ms),
            Completion::EndOfStream { socket } => {
                self.ended(ring, socket, HeldEnd::EndOfStream, now_ms, sink);
            }
            Completion::Failed { socket, error } => {
                self.ended(ring, socket, HeldEnd::Failed(error), now_ms, sink);
            }
            Completion::Closed { socket } => {
                self.sockets.remove(&socket);
            }
            Completion::Accepted { .. } | Completion::AcceptFailed { .. } => {}
        }
    }

    fn received(
        &mut self,
        ring: &mut impl Ring,
        socket: SocketKey,
        bytes: &[u8],
        now_ms: u64,
        sink: &mut Sink<'_>,
    ) {
        let count = bytes.len() as u64;
        match self.sockets.get_mut(&socket) {
            Some(Entry::Http(connection)) if connection.is_holding() => {
                connection.held.extend_from_slice(bytes);
            }
            Some(Entry::Http(connection)) if connection.is_ready() => {
                let outcome = connection.take(bytes, &mut self.scratch, now_ms, sink);
                self.settle(ring, socket, outcome, now_ms, sink);
            }
            Some(Entry::Http(_)) => self.shake_hands(ring, socket, bytes, now_ms),
            Some(Entry::Lines(stream)) => {
                let taken = stream.take(bytes, sink);
                self.settle_stream(ring, socket, taken, sink);
            }
            Some(Entry::Parting { .. } | Entry::Closing) | None => return,
        }
        self.stats.bytes_received += count;
    }

    /// Does what comes of bytes.
    pub(super) fn settle(
        &mut self,
        ring: &mut impl Ring,
        socket: SocketKey,
        outcome: Outcome,
        now_ms: u64,
        sink: &mut Sink<'_>,
    ) {
        if self.connection(socket).is_some_and(|c| c.tls.is_some()) {
            // Keys are renewed, and a failure is told to the other side.
            self.pump(ring, socket);
        }
        match outcome {
            Outcome::More => {}
            Outcome::Over => self.over(ring, socket, now_ms, sink),
            Outcome::Broken(broken) => self.broken(ring, socket, &broken, now_ms, sink),
        }
    }

    fn sent(&mut self, ring: &mut impl Ring, socket: SocketKey, now_ms: u64) {
        match self.sockets.get_mut(&socket) {
            Some(Entry::Http(connection)) => {
                connection.is_sending = false;
                self.pump(ring, socket);
                let settled = self.connection(socket).is_some_and(|connection| {
                    matches!(connection.stage, Stage::Settling { .. }) && connection.is_quiet()
                });
                if settled {
                    self.rest(ring, socket, now_ms);
                }
            }
            Some(Entry::Lines(stream)) => {
                stream.sent();
                if stream.note_due() {
                    self.due.push(socket);
                }
            }
            Some(Entry::Parting { .. }) => self.close(ring, socket),
            Some(Entry::Closing) | None => {}
        }
    }

    fn ended(
        &mut self,
        ring: &mut impl Ring,
        socket: SocketKey,
        end: HeldEnd,
        now_ms: u64,
        sink: &mut Sink<'_>,
    ) {
        match self.sockets.get_mut(&socket) {
            Some(Entry::Http(connection)) => {
                if connection.is_holding() {
                    connection.held_end = Some(end);
                } else {
                    self.end_connection(ring, socket, end, now_ms, sink);
                }
            }
            Some(Entry::Lines(stream)) => {
                if stream.is_holding() {
                    stream.hold_end(end);
                } else {
                    self.end_stream(ring, socket, end, sink);
                }
            }
            // What failed is not closed by itself.
            Some(Entry::Parting { .. }) => self.close(ring, socket),
            Some(Entry::Closing) | None => {}
        }
    }

    pub(super) fn connection(&mut self, socket: SocketKey) -> Option<&mut Connection> {
        match self.sockets.get_mut(&socket) {
            Some(Entry::Http(connection)) => Some(connection),
            _ => None,
        }
    }

    /// Closes a socket whose entry is counted nowhere any more.
    pub(super) fn close(&mut self, ring: &mut impl Ring, socket: SocketKey) {
        self.sockets.insert(socket, Entry::Closing);
        ring.close(socket);
    }

    /// The exchange with this key, wherever it is.
    pub(super) fn exchange(&mut self, key: ExchangeKey) -> Option<(Whereabouts, &mut Exchange)> {
        let place = *self.exchanges.get(&key)?;
        let exchange = match place {
            Whereabouts::Waiting(origin) => self
                .origins
                .get_mut(origin)?
                .waiting
                .iter_mut()
                .find(|exchange| exchange.request.key == key)?,
            Whereabouts::On(socket) => match self.sockets.get_mut(&socket)? {
                Entry::Http(connection) => connection.exchange.as_mut()?,
                _ => return None,
            },
        };
        Some((place, exchange))
    }

    /// A number that differs from thread to thread.
    pub(super) fn draw(&mut self) -> u64 {
        self.chance = self
            .chance
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.chance >> 33
    }
}
