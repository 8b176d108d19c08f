//! What is done once a turn, and once in a while.

use super::connect::millis;
use super::connection::{Connection, Purpose, Stage};
use super::failure::Late;
use super::table::{Entry, Transport};
use super::{Sink, TransportEvent};
use crate::policy::Reached;
use crate::ring::{Ring, SocketKey};
use crate::upstream::settings::Timeouts;

/// Capacity kept of the room for plain text: what was held back may need much more for once.
const SCRATCH_BYTES_KEPT: usize = 64 << 10;

/// What is to be done with a socket whose time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overdue {
    Late(Late),
    /// The next address is tried.
    Slow,
    /// Its last request never went out.
    Unsettled,
    Parted,
}

impl Transport {
    /// The end of a turn: puts what waits on connections, sends what is queued with one write each, tells what was held back.
    pub fn flush(&mut self, ring: &mut impl Ring, now_ms: u64, sink: &mut Sink<'_>) {
        self.is_cramped = false;
        self.place_waiting(ring, now_ms);
        while !self.due.is_empty() {
            let mut due = std::mem::take(&mut self.due);
            for socket in due.drain(..) {
                match self.sockets.get(&socket) {
                    Some(Entry::Http(_)) => self.flush_connection(ring, socket, now_ms, sink),
                    Some(Entry::Lines(_)) => self.flush_stream(ring, socket, sink),
                    Some(Entry::Parting { .. } | Entry::Closing) | None => {}
                }
            }
            // What they set free is used in the same turn; the room is kept.
            self.place_waiting(ring, now_ms);
            if self.due.is_empty() {
                self.due = due;
                break;
            }
        }
        self.tell_failures(sink);
    }

    /// Tells what came while an exchange was paused.
    fn flush_connection(
        &mut self,
        ring: &mut impl Ring,
        socket: SocketKey,
        now_ms: u64,
        sink: &mut Sink<'_>,
    ) {
        let Some(Entry::Http(connection)) = self.sockets.get_mut(&socket) else {
            return;
        };
        if connection.stage != Stage::Busy || connection.is_paused() {
            return;
        }
        let held = std::mem::take(&mut connection.held);
        let held_end = connection.held_end.take();
        ring.receive(socket);
        if !held.is_empty() {
            let outcome = connection.take(&held, &mut self.scratch, now_ms, sink);
            self.scratch.shrink_to(SCRATCH_BYTES_KEPT);
            self.settle(ring, socket, outcome, now_ms, sink);
        }
        if let Some(end) = held_end {
            self.end_connection(ring, socket, end, now_ms, sink);
        }
    }

    /// Looks at the time: deadlines, idle connections, connections made ahead of need. Cheap; to be called every
    /// [`crate::limits::TIMER_TICK`] or so.
    pub fn sweep(&mut self, ring: &mut impl Ring, now_ms: u64, sink: &mut Sink<'_>) {
        self.sweep_waiting(now_ms, sink);
        let mut found = std::mem::take(&mut self.found);
        found.extend(
            self.sockets
                .iter()
                .filter(|(_, entry)| self.overdue(entry, now_ms).is_some())
                .map(|(socket, _)| *socket),
        );
        for socket in found.drain(..) {
            let what = self
                .sockets
                .get(&socket)
                .and_then(|entry| self.overdue(entry, now_ms));
            match what {
                Some(Overdue::Late(late)) => self.late(ring, socket, late, now_ms, sink),
                Some(Overdue::Slow) => self.slow(ring, socket, now_ms),
                Some(Overdue::Unsettled) => self.let_go(ring, socket, now_ms),
                Some(Overdue::Parted) => self.close(ring, socket),
                None => {}
            }
        }
        self.found = found;
        for index in 0..self.origins.len() {
            while let Some(socket) = self.origins[index].pool.expired(now_ms) {
                self.part(ring, socket, now_ms);
            }
            let count = match self.is_draining {
                true => 0,
                false => self.origins[index].warm(now_ms),
            };
            for _ in 0..count {
                self.connect(ring, index, Purpose::Warm, None, now_ms);
            }
        }
        self.tell_failures(sink);
    }

    fn overdue(&self, entry: &Entry, now_ms: u64) -> Option<Overdue> {
        match entry {
            Entry::Http(connection) => {
                let origin = &self.origins[connection.origin];
                connection.overdue(&origin.remote.settings.timeouts, now_ms)
            }
            Entry::Parting { until_ms } => (now_ms >= *until_ms).then_some(Overdue::Parted),
            Entry::Lines(_) | Entry::Closing => None,
        }
    }

    /// Those that waited for a connection all their time.
    fn sweep_waiting(&mut self, now_ms: u64, sink: &mut Sink<'_>) {
        if self.waiting_count == 0 {
            return;
        }
        for origin in &mut self.origins {
            let before = origin.waiting.len();
            origin.waiting.retain(|exchange| {
                let is_late = now_ms >= exchange.until_ms;
                if is_late {
                    self.exchanges.remove(&exchange.request.key);
                    self.stats.failures += 1;
                    sink(TransportEvent::Failed {
                        key: exchange.request.key,
                        reached: Reached::Nothing,
                        failed: Late::Waiting.failed(),
                        why: &Late::Waiting.why(&origin.remote, exchange.request.call_ms),
                        last_event_id: &[],
                        retry_ms: None,
                    });
                }
                !is_late
            });
            self.waiting_count -= before - origin.waiting.len();
        }
    }

    /// Closes what is idle, and keeps no connection any longer. Exchanges that have begun go on.
    pub fn drain(&mut self, ring: &mut impl Ring, now_ms: u64) {
        self.is_draining = true;
        for index in 0..self.origins.len() {
            let idle: Vec<SocketKey> = self.origins[index].pool.drain().collect();
            for socket in idle {
                self.part(ring, socket, now_ms);
            }
        }
    }
}

impl Connection {
    fn overdue(&self, timeouts: &Timeouts, now_ms: u64) -> Option<Overdue> {
        match self.stage {
            Stage::Connecting | Stage::Handshaking => {
                (now_ms >= self.attempt.until_ms).then_some(Overdue::Slow)
            }
            Stage::Idle => None,
            Stage::Settling { until_ms } => (now_ms >= until_ms).then_some(Overdue::Unsettled),
            Stage::Busy => {
                let exchange = self.exchange.as_ref()?;
                let is_long = exchange.request.is_long;
                let has_head = exchange.media.is_some();
                let bound = match (has_head, exchange.is_stream()) {
                    (false, _) => Some((self.asked_ms, timeouts.head, Late::Head)),
                    (true, true) if !is_long => {
                        Some((self.heard_ms, timeouts.silence, Late::Silence))
                    }
                    (true, _) => None,
                };
                if now_ms >= exchange.until_ms && !(is_long && has_head) {
                    return Some(Overdue::Late(Late::Call));
                }
                // Whom nobody listens to is not silent.
                let (since_ms, bound, late) = bound.filter(|_| !exchange.is_paused)?;
                let is_late = now_ms >= since_ms.saturating_add(millis(bound));
                is_late.then_some(Overdue::Late(late))
            }
        }
    }
}
