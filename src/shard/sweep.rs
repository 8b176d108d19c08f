//! Deadlines: every connection is looked at a few times a second, a slice of them at a time.

use crate::metrics::Counter;
use crate::ring::{Ring, SocketKey};

use super::Shard;
use super::connection::Phase;

/// How often every connection's deadline is looked at. A deadline is met at most this much late.
const SWEEP_PERIOD_MS: u64 = 250;
/// A sweep is done in this many slices, so that no turn looks at all connections.
const SWEEP_SLICES: u64 = 5;
impl<R: Ring> Shard<R> {
    /// Looks at a slice of the connections for deadlines.
    pub(super) fn sweep(&mut self, now_ms: u64) {
        if now_ms < self.sweep_at_ms {
            return;
        }
        self.sweep_at_ms = now_ms + SWEEP_PERIOD_MS / SWEEP_SLICES;
        self.sweep_slice = (self.sweep_slice + 1) % SWEEP_SLICES;
        let drained = self
            .drain_until_ms
            .is_some_and(|until_ms| now_ms >= until_ms);
        let mut index = self.sweep_slice as usize;
        while index < self.connections.len() {
            if let Some((socket, connection)) = &self.connections[index] {
                let socket = *socket;
                if drained || connection.is_overdue(now_ms) {
                    self.overdue(socket, now_ms, drained);
                } else if connection.phase == Phase::Streaming {
                    self.keep_stream_alive(socket, now_ms);
                }
            }
            index += SWEEP_SLICES as usize;
        }
        if self.service.shared.connections.taken() < self.service.shared.limits.connection_count_max
        {
            for listener in &self.listeners {
                self.ring.resume_listening(*listener);
            }
        }
    }

    fn overdue(&mut self, socket: SocketKey, now_ms: u64, drained: bool) {
        let Some(connection) = self.connection(socket) else {
            return;
        };
        let late_with_write = now_ms >= connection.write_deadline_ms;
        let phase = connection.phase;
        if !drained && !late_with_write && self.waits_on(socket, now_ms) {
            return;
        }
        let Some(connection) = self.connection(socket) else {
            return;
        };
        let answers = !drained && !late_with_write && connection.sending_since.is_none();
        let counter = match phase {
            _ if late_with_write => Some(Counter::DeadlineWrite),
            Phase::Handshake => Some(Counter::DeadlineHandshake),
            Phase::Head => Some(Counter::DeadlineHead),
            Phase::Body => Some(Counter::DeadlineBody),
            Phase::Idle => Some(Counter::DeadlineIdle),
            Phase::Calling | Phase::Streaming | Phase::Lingering | Phase::Closing => None,
        };
        if let Some(counter) = counter {
            self.service.metrics.add(counter, 1);
        }
        match phase {
            Phase::Head | Phase::Body if answers => self.refuse_slow_request(socket, phase, now_ms),
            Phase::Idle if !drained && !late_with_write => self.part(socket, now_ms),
            _ => self.close(socket),
        }
    }

    /// Whether the calls of this connection have time left after all, because they waited for answers meanwhile.
    fn waits_on(&mut self, socket: SocketKey, now_ms: u64) -> bool {
        let Some(Some((_, connection))) = self.connections.get(socket.index()) else {
            return false;
        };
        let Some(exchange) = &connection.exchange else {
            return false;
        };
        let deadline_ms = self.exchange_deadline_ms(exchange, now_ms);
        if let Some(connection) = self.connection(socket) {
            connection.deadline_ms = deadline_ms;
        }
        deadline_ms > now_ms
    }
}
