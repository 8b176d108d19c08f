//! From answers to bytes on the wire: the writing half of a connection.

use crate::mem::{Output, PoolBuffer};
use crate::metrics::{Counter, Phase as Timed};
use crate::ring::{Ring, SocketKey};

use super::connection::Phase;
use super::{LINGER_MS, Shard, millis};

/// Bytes that may wait behind a send in flight. An event stream whose reader is slower than that is closed.
const QUEUED_BYTES_MAX: usize = 256 << 10;

impl<R: Ring> Shard<R> {
    /// Sends now, or behind the send in flight.
    pub(super) fn transmit(&mut self, socket: SocketKey, out: PoolBuffer, now_ms: u64) {
        if out.is_empty() {
            return;
        }
        let Some(connection) = self.connection(socket) else {
            return;
        };
        if connection.phase == Phase::Closing {
            return;
        }
        match connection.tls {
            None => self.queue(socket, out, now_ms),
            Some(_) => self.transmit_secure(socket, out, now_ms),
        }
    }

    /// Sends bytes as they are, now or behind the send in flight.
    pub(super) fn queue(&mut self, socket: SocketKey, out: PoolBuffer, now_ms: u64) {
        let Some(connection) = self.connection(socket) else {
            return;
        };
        if connection.phase == Phase::Closing || out.is_empty() {
            return;
        }
        if connection.sending_since.is_none() {
            self.send(socket, out.into(), now_ms);
            return;
        }
        let queued = match connection.queued.take() {
            None => Some(out),
            Some(mut queued) => {
                let fits = queued.len() + out.len() <= QUEUED_BYTES_MAX
                    && queued.try_reserve(out.len()).is_ok();
                fits.then(|| {
                    queued.extend_from_slice(&out);
                    queued
                })
            }
        };
        match queued {
            Some(queued) => connection.queued = Some(queued),
            None => {
                tracing::debug!(
                    socket = socket.number(),
                    bytes_max = QUEUED_BYTES_MAX,
                    "a reader is too slow; closing"
                );
                self.close(socket);
            }
        }
    }

    /// Gives the ring an output, where it has none of this connection's.
    pub(super) fn send(&mut self, socket: SocketKey, output: Output, now_ms: u64) {
        let write_until_ms = now_ms + millis(self.service.shared.limits.write_deadline);
        let clock = self.service.clock();
        let Some(connection) = self.connection(socket) else {
            return;
        };
        connection.sending_since = Some(clock);
        connection.write_deadline_ms = write_until_ms;
        self.service
            .metrics
            .add(Counter::BytesSent, output.len() as u64);
        self.ring.send(socket, output);
    }

    /// The kernel has taken the output.
    pub(super) fn sent(&mut self, socket: SocketKey, now_ms: u64) {
        let clock = self.service.clock();
        let write_ms = millis(self.service.shared.limits.write_deadline);
        let draining = self.service.draining;
        let Some(connection) = self.connection(socket) else {
            return;
        };
        let since = connection.sending_since.take();
        // What the peer was to send meanwhile, it is given the time for.
        let began_ms = connection.write_deadline_ms.saturating_sub(write_ms);
        let sending_ms = now_ms.saturating_sub(began_ms);
        if !matches!(connection.phase, Phase::Handshake | Phase::Lingering) {
            connection.deadline_ms = connection.deadline_ms.saturating_add(sending_ms);
        }
        connection.write_deadline_ms = u64::MAX;
        if let Some(since) = since {
            let nanos = self.service.nanos_between(since, clock);
            self.service.metrics.record(Timed::Write, nanos);
        }
        let Some(connection) = self.connection(socket) else {
            return;
        };
        if connection.phase == Phase::Lingering {
            // That was the goodbye.
            if connection.peer_ended {
                self.close(socket);
            }
            return;
        }
        if let Some(queued) = connection.queued.take() {
            self.send(socket, queued.into(), now_ms);
            return;
        }
        if connection.close_after_send {
            self.linger(socket, now_ms);
            return;
        }
        if connection.phase == Phase::Streaming {
            self.pump(socket, now_ms);
        } else if connection.is_reading() {
            self.advance(socket, now_ms);
        }
        // Nobody is left to ask, or nobody is to ask any more.
        let over = self.connection(socket).is_some_and(|connection| {
            let ended = connection.peer_ended || (draining && connection.is_quiet());
            ended && connection.sending_since.is_none()
        });
        if over {
            self.part(socket, now_ms);
        }
    }

    /// After the answer now being written, nothing more is read from this peer.
    pub(super) fn end_reading(&mut self, socket: SocketKey, now_ms: u64) {
        let until_ms = now_ms + millis(self.service.shared.limits.write_deadline);
        if let Some(connection) = self.connection(socket) {
            connection.close_after_send = true;
            connection.body = None;
            connection.deadline_ms = until_ms;
        }
    }

    /// Closes our side and waits a moment for the peer to read the answer: closing with unread bytes would reset the
    /// connection, and the peer could lose the answer that says why (RFC 9112 section 9.6).
    pub(super) fn linger(&mut self, socket: SocketKey, now_ms: u64) {
        let Some(connection) = self.connection(socket) else {
            return;
        };
        if connection.peer_ended && connection.tls.is_none() {
            self.close(socket);
            return;
        }
        connection.phase = Phase::Lingering;
        connection.inbox.clear();
        connection.deadline_ms = now_ms + LINGER_MS;
        if connection.paused {
            connection.paused = false;
            self.ring.receive(socket);
        }
        self.say_goodbye(socket, now_ms);
        self.ring.shutdown(socket);
        let over = self
            .connection(socket)
            .is_some_and(|connection| connection.peer_ended && connection.sending_since.is_none());
        if over {
            self.close(socket);
        }
    }

    /// The answer to what left the shard is there: the connection goes on after it.
    pub(super) fn resume(
        &mut self,
        socket: SocketKey,
        out: PoolBuffer,
        keep_alive: bool,
        now_ms: u64,
    ) {
        if !keep_alive {
            self.end_reading(socket, now_ms);
        } else {
            let idle_until_ms = now_ms + millis(self.service.shared.limits.idle_deadline);
            if let Some(connection) = self.connection(socket) {
                connection.deadline_ms = idle_until_ms;
            }
        }
        if let Some(connection) = self.connection(socket) {
            connection.phase = Phase::Idle;
        }
        self.transmit(socket, out, now_ms);
    }
}
