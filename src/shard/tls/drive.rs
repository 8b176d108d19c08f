//! Connections that speak TLS, as their shard moves them.

use rustls::HandshakeKind;

use crate::mem::{Output, PoolBuffer};
use crate::metrics::Counter;
use crate::ring::{Ring, SocketKey};

use super::super::connection::Phase;
use super::super::{LINGER_MS, Shard, endpoint, millis};
use super::connection::{Tls, TlsFault};

/// Times in one turn that a handshake is moved on. One step of it costs up to a millisecond (a signature with an RSA key), so more
/// of them would hold up the requests of everybody else.
const HANDSHAKES_PER_TURN_MAX: usize = 16;

/// Which handshakes may go on in this turn.
#[derive(Default)]
pub(in super::super) struct Handshakes {
    moved: usize,
    waiting: std::collections::VecDeque<SocketKey>,
}

impl<R: Ring> Shard<R> {
    /// Makes a fresh connection one that speaks TLS, if this listener does. Returns false if it cannot be served.
    pub(in super::super) fn begin_tls(&mut self, socket: SocketKey, now_ms: u64) -> bool {
        let Some(setup) = self.service.shared.tls().map(|listener| listener.setup()) else {
            return true;
        };
        let until_ms = now_ms + millis(self.service.shared.limits.handshake_deadline);
        let tls = Tls::new(setup);
        let Some(connection) = self.connection(socket) else {
            return false;
        };
        match tls {
            Ok(tls) => {
                connection.tls = Some(Box::new(tls));
                connection.phase = Phase::Handshake;
                connection.deadline_ms = until_ms;
                true
            }
            Err(error) => {
                tracing::error!(%error, "a TLS connection cannot begin; look at the certificate");
                false
            }
        }
    }

    /// Bytes of a connection that speaks TLS.
    pub(in super::super) fn received_secure(
        &mut self,
        socket: SocketKey,
        bytes: &[u8],
        now_ms: u64,
    ) {
        let pool = self.service.buffers.clone();
        let turn_is_full = self.handshakes.moved >= HANDSHAKES_PER_TURN_MAX;
        let Some(connection) = self.connection(socket) else {
            return;
        };
        let (phase, deaf) = (connection.phase, connection.is_deaf());
        if deaf && (phase != Phase::Streaming || connection.close_after_send) {
            return;
        }
        let Some(tls) = &mut connection.tls else {
            return;
        };
        let mut out = None;
        if phase == Phase::Handshake && (turn_is_full || tls.queued) {
            let held = tls.hold(bytes, &pool);
            let joins = held.is_ok() && !std::mem::replace(&mut tls.queued, true);
            if joins {
                self.handshakes.waiting.push_back(socket);
            } else if let Err(fault) = held {
                self.fail_tls(socket, out, &fault, now_ms);
            }
            return;
        }
        let inbox = &mut connection.inbox;
        let taken = tls.take(bytes, &pool, &mut out, |plain| match deaf {
            // A stream is not asked anything; but its end is heard, and new keys are taken.
            true => Ok(()),
            false => inbox.push_plain(plain, &pool),
        });
        let (ended, done) = (tls.has_ended(), !tls.is_handshaking());
        self.handshakes.moved += usize::from(phase == Phase::Handshake);
        if let Err(fault) = taken {
            self.fail_tls(socket, out, &fault, now_ms);
            return;
        }
        if let Some(out) = out {
            self.queue(socket, out, now_ms);
        }
        if phase == Phase::Handshake && done {
            self.end_handshake(socket, now_ms);
        }
        if done {
            self.advance_secure(socket, now_ms);
        }
        if ended {
            self.peer_ended(socket, now_ms);
        }
    }

    /// Goes on with the handshakes that the turn before had no time for.
    pub(in super::super) fn resume_handshakes(&mut self, now_ms: u64) {
        self.handshakes.moved = 0;
        while self.handshakes.moved < HANDSHAKES_PER_TURN_MAX
            && let Some(socket) = self.handshakes.waiting.pop_front()
        {
            let tls = self.connection(socket).and_then(|c| c.tls.as_mut());
            if let Some(tls) = tls {
                tls.queued = false;
                self.received_secure(socket, &[], now_ms);
            }
        }
    }

    /// Whether handshakes wait for the next turn.
    pub(in super::super) fn has_handshakes(&self) -> bool {
        !self.handshakes.waiting.is_empty()
    }

    fn end_handshake(&mut self, socket: SocketKey, now_ms: u64) {
        let until_ms = now_ms + millis(self.service.shared.limits.idle_deadline);
        let Some(connection) = self.connection(socket) else {
            return;
        };
        if connection.phase != Phase::Handshake {
            return;
        }
        connection.phase = Phase::Idle;
        connection.deadline_ms = until_ms;
        let kind = connection.tls.as_ref().and_then(|tls| tls.kind());
        let counter = match kind {
            Some(HandshakeKind::Resumed) => Counter::TlsResumed,
            _ => Counter::TlsHandshakes,
        };
        self.service.metrics.add(counter, 1);
    }

    /// Serves what was decrypted. Part of a record is as good as part of a head: the rest has to come in time.
    fn advance_secure(&mut self, socket: SocketKey, now_ms: u64) {
        let idle_until_ms = now_ms + millis(self.service.shared.limits.idle_deadline);
        let head_until_ms = now_ms + millis(self.service.shared.limits.head_deadline);
        let Some(connection) = self.connection(socket) else {
            return;
        };
        if !connection.inbox.unread().is_empty() {
            self.advance(socket, now_ms);
            return;
        }
        let has_part = connection.tls.as_ref().is_some_and(|tls| tls.has_part());
        match (connection.phase, has_part) {
            (Phase::Idle, true) => {
                connection.phase = Phase::Head;
                connection.deadline_ms = head_until_ms;
            }
            // What came was no request.
            (Phase::Head, false) => {
                connection.phase = Phase::Idle;
                connection.deadline_ms = idle_until_ms;
            }
            _ => {}
        }
    }

    /// Tells the peer why, as far as it understands us, and closes.
    fn fail_tls(
        &mut self,
        socket: SocketKey,
        out: Option<PoolBuffer>,
        fault: &TlsFault,
        now_ms: u64,
    ) {
        let peer = self.ring.peer(socket);
        let Some(connection) = self.connection(socket) else {
            return;
        };
        let handshaking = connection.phase == Phase::Handshake;
        let stream = connection.stream.is_some();
        let level = if handshaking {
            "handshake"
        } else {
            "connection"
        };
        tracing::debug!(socket = socket.number(), ?peer, %fault, "a TLS {level} failed");
        if handshaking {
            self.service.metrics.add(Counter::TlsFailures, 1);
        }
        match fault {
            TlsFault::PlainHttp => {
                if let Some(connection) = self.connection(socket) {
                    connection.tls = None;
                }
                self.leave_reading(socket, now_ms);
                self.send(socket, endpoint::PLAIN_HTTP.into(), now_ms);
            }
            TlsFault::Memory(_) if !handshaking && !stream => {
                self.refuse_overload(socket, now_ms);
            }
            _ => match out.filter(|out| !out.is_empty()) {
                Some(alert) => {
                    self.leave_reading(socket, now_ms);
                    self.queue(socket, alert, now_ms);
                }
                None => self.close(socket),
            },
        }
    }

    /// A connection is over as soon as it has sent what is still to be sent.
    fn leave_reading(&mut self, socket: SocketKey, now_ms: u64) {
        let Some(connection) = self.connection(socket) else {
            return;
        };
        let left = connection.leave();
        connection.phase = Phase::Idle;
        self.service.left(left);
        self.end_reading(socket, now_ms);
    }

    /// Encrypts an answer and sends it.
    pub(in super::super) fn transmit_secure(
        &mut self,
        socket: SocketKey,
        out: PoolBuffer,
        now_ms: u64,
    ) {
        let pool = self.service.buffers.clone();
        let tls = self.connection(socket).and_then(|c| c.tls.as_mut());
        let Some(tls) = tls else { return };
        let encrypted = tls.encrypt(&out, &pool);
        // Home before anything else wants a buffer.
        drop(out);
        match encrypted {
            Ok(Some(encrypted)) if !encrypted.is_empty() => {
                self.queue(socket, encrypted, now_ms);
            }
            Ok(_) => self.close(socket),
            Err(error) => {
                tracing::debug!(socket = socket.number(), %error, "an answer cannot be encrypted; closing");
                self.close(socket);
            }
        }
    }

    /// The constant answer of a server without buffers, encrypted; none: nothing can be said.
    pub(in super::super) fn overloaded_secure(&mut self, socket: SocketKey) -> Option<Output> {
        let pool = self.service.buffers.clone();
        let tls = self.connection(socket).and_then(|c| c.tls.as_mut())?;
        let encrypted = tls.encrypt(endpoint::OVERLOADED, &pool).ok()??;
        Some(encrypted.into())
    }

    /// Closes in good order where TLS has an order for it; at once where it has none.
    pub(in super::super) fn part(&mut self, socket: SocketKey, now_ms: u64) {
        let Some(connection) = self.connection(socket) else {
            return;
        };
        let says_goodbye = connection.tls.is_some()
            && connection.sending_since.is_none()
            && !matches!(
                connection.phase,
                Phase::Handshake | Phase::Lingering | Phase::Closing
            );
        if !says_goodbye {
            return self.close(socket);
        }
        let left = connection.leave();
        connection.queued = None;
        connection.body = None;
        connection.close_after_send = true;
        self.service.left(left);
        self.linger(socket, now_ms);
    }

    /// Says that nothing more will be sent, as the last thing that is.
    pub(in super::super) fn say_goodbye(&mut self, socket: SocketKey, now_ms: u64) {
        let pool = self.service.buffers.clone();
        let tls = self.connection(socket).and_then(|c| c.tls.as_mut());
        let goodbye = tls.and_then(|tls| tls.say_goodbye(&pool));
        if let Some(goodbye) = goodbye.filter(|goodbye| !goodbye.is_empty()) {
            self.send(socket, goodbye.into(), now_ms);
            if let Some(connection) = self.connection(socket) {
                connection.write_deadline_ms = now_ms + LINGER_MS;
            }
        }
    }
}
