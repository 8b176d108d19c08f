//! From answers to bytes on the wire: the writing half of a connection.

use crate::component::Finished;
use crate::mem::{Output, PoolBuffer};
use crate::metrics::{Counter, Phase as Timed};
use crate::ring::{Ring, SocketKey};
use crate::wire::chunked::ChunkError;
use crate::wire::http1::HeadError;

use super::connection::Phase;
use super::endpoint;
use super::{LINGER_MS, Shard, millis};

/// Bytes that may wait behind a send in flight. An event stream whose reader is slower than that is closed.
const QUEUED_BYTES_MAX: usize = 256 << 10;

impl<R: Ring> Shard<R> {
    /// Sends now, or behind the send in flight.
    pub(super) fn transmit(&mut self, socket: SocketKey, out: PoolBuffer, now_ms: u64) {
        if out.is_empty() {
            return;
        }
        let write_until_ms = now_ms + millis(self.service.shared.limits.write_deadline);
        let clock = self.service.clock();
        let Some(connection) = self.connection(socket) else {
            return;
        };
        if connection.phase == Phase::Closing {
            return;
        }
        if connection.sending_since.is_none() {
            connection.sending_since = Some(clock);
            connection.write_deadline_ms = write_until_ms;
            self.service
                .metrics
                .add(Counter::BytesSent, out.len() as u64);
            self.ring.send(socket, Output::from(out));
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
        connection.deadline_ms = connection.deadline_ms.saturating_add(sending_ms);
        connection.write_deadline_ms = u64::MAX;
        if let Some(since) = since {
            let nanos = self.service.nanos_between(since, clock);
            self.service.metrics.record(Timed::Write, nanos);
        }
        let Some(connection) = self.connection(socket) else {
            return;
        };
        if let Some(queued) = connection.queued.take() {
            self.transmit(socket, queued, now_ms);
            return;
        }
        if connection.close_after_send {
            self.linger(socket, now_ms);
            return;
        }
        if connection.is_reading() {
            self.advance(socket, now_ms);
        }
        // Nobody is left to ask, or nobody is to ask any more.
        let over = self.connection(socket).is_some_and(|connection| {
            let ended = connection.peer_ended || (draining && connection.is_quiet());
            ended && connection.sending_since.is_none()
        });
        if over {
            self.close(socket);
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
    fn linger(&mut self, socket: SocketKey, now_ms: u64) {
        let Some(connection) = self.connection(socket) else {
            return;
        };
        if connection.peer_ended {
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
        self.ring.shutdown(socket);
    }

    /// Answers a request whose framing cannot be trusted, or that breaks a limit, and closes.
    pub(super) fn refuse(
        &mut self,
        socket: SocketKey,
        out: &mut Option<PoolBuffer>,
        status: u16,
        reason: &str,
        now_ms: u64,
    ) {
        let mut text = Vec::new();
        endpoint::write_error(&mut text, status, reason);
        self.service.count_status(status);
        self.service.log_refusal(status, reason, text.len());
        if let Some(buffer) = self.output(out, text.len()) {
            buffer.extend_from_slice(&text);
        }
        self.end_reading(socket, now_ms);
    }

    /// Answers a head that breaks the grammar, or a limit, which is then named with its value.
    pub(super) fn refuse_head(
        &mut self,
        socket: SocketKey,
        out: &mut Option<PoolBuffer>,
        error: HeadError,
        now_ms: u64,
    ) {
        self.service.metrics.add(Counter::RefusedHead, 1);
        let limits = self.service.head_limits();
        let limit = match error {
            HeadError::TargetTooLong | HeadError::HeadTooLarge => Some(limits.bytes_max),
            HeadError::TooManyFields => Some(limits.count_max),
            _ => None,
        };
        self.refuse_limit(socket, out, error.status(), error.reason(), limit, now_ms);
    }

    /// The same for a chunked body.
    pub(super) fn refuse_chunks(
        &mut self,
        socket: SocketKey,
        out: &mut Option<PoolBuffer>,
        error: ChunkError,
        now_ms: u64,
    ) {
        let limits = self.service.chunk_limits();
        if error == ChunkError::DataTooLarge {
            self.refuse_body_size(socket, out, limits.data_bytes_max, now_ms);
            return;
        }
        self.service.metrics.add(Counter::RefusedHead, 1);
        let limit = (error == ChunkError::TooMuchOverhead).then_some(limits.overhead_bytes_max);
        self.refuse_limit(socket, out, error.status(), error.reason(), limit, now_ms);
    }

    fn refuse_limit(
        &mut self,
        socket: SocketKey,
        out: &mut Option<PoolBuffer>,
        status: u16,
        reason: &'static str,
        limit: Option<usize>,
        now_ms: u64,
    ) {
        match limit {
            None => self.refuse(socket, out, status, reason, now_ms),
            Some(limit) => {
                let reason = format!("{reason}; the limit is {limit}");
                self.refuse(socket, out, status, &reason, now_ms);
            }
        }
    }

    pub(super) fn refuse_body_size(
        &mut self,
        socket: SocketKey,
        out: &mut Option<PoolBuffer>,
        limit: usize,
        now_ms: u64,
    ) {
        self.service.metrics.add(Counter::RefusedSize, 1);
        let reason = format!(
            "the body is longer than {limit} bytes; send less, or have the operator raise limits.body_bytes_max"
        );
        self.refuse(socket, out, 413, &reason, now_ms);
    }

    pub(super) fn refuse_overload_into(
        &mut self,
        socket: SocketKey,
        out: &mut Option<PoolBuffer>,
        now_ms: u64,
    ) {
        self.service.metrics.add(Counter::RefusedOverload, 1);
        self.refuse(socket, out, 503, "out of buffers; try again later", now_ms);
    }

    /// The buffer pool is exhausted: the answer is part of the program, so that it costs none.
    pub(super) fn refuse_overload(&mut self, socket: SocketKey, now_ms: u64) {
        self.service.metrics.add(Counter::RefusedOverload, 1);
        self.refuse_connection(socket, now_ms);
    }

    /// Sends the constant 503 and closes.
    pub(super) fn refuse_connection(&mut self, socket: SocketKey, now_ms: u64) {
        self.end_reading(socket, now_ms);
        let write_until_ms = now_ms + millis(self.service.shared.limits.write_deadline);
        let clock = self.service.clock();
        let Some(connection) = self.connection(socket) else {
            return;
        };
        // Behind half an answer, or in a stream, it would be no answer.
        if connection.sending_since.is_some() || connection.stream.is_some() {
            self.close(socket);
            return;
        }
        let call = connection.call.take();
        connection.phase = Phase::Idle;
        if let Some(call) = call {
            self.service.abandon(*call);
        }
        let Some(connection) = self.connection(socket) else {
            return;
        };
        connection.sending_since = Some(clock);
        connection.write_deadline_ms = write_until_ms;
        self.service.count_status(503);
        self.ring.send(socket, Output::from(endpoint::OVERLOADED));
    }

    pub(super) fn refuse_slow_request(&mut self, socket: SocketKey, phase: Phase, now_ms: u64) {
        let limits = &self.service.shared.limits;
        let reason = match phase {
            Phase::Body => format!(
                "the body took longer than {} s; send it faster",
                limits.body_deadline.as_secs()
            ),
            _ => format!(
                "the head took longer than {} s; send it faster",
                limits.head_deadline.as_secs()
            ),
        };
        let mut out = None;
        self.refuse(socket, &mut out, 408, &reason, now_ms);
        match out {
            Some(out) => self.transmit(socket, out, now_ms),
            None => self.close(socket),
        }
    }

    /// A worker has finished a call.
    pub(super) fn call_finished(&mut self, finished: Finished, now_ms: u64) {
        let Some(socket) = self.service.caller_of(finished.ticket) else {
            return;
        };
        let Some(connection) = self.connection(socket) else {
            return;
        };
        let matches = connection
            .call
            .as_ref()
            .is_some_and(|call| call.ticket == finished.ticket);
        if !matches {
            return;
        }
        let Some(call) = connection.call.take() else {
            return;
        };
        connection.phase = Phase::Idle;
        self.service.forget_call(finished.ticket);
        let keep_alive = call.keep_alive && !self.service.draining;
        let Ok(mut out) = self.service.buffers.take(finished.members.len() + 1024) else {
            self.refuse_overload(socket, now_ms);
            return;
        };
        self.service
            .answer_finished(&call, &finished, keep_alive, &mut out);
        self.resume_after_call(socket, out, keep_alive, now_ms);
    }

    /// The caller's session cancelled the call: it is stopped, and the caller told so.
    pub(super) fn call_cancelled(&mut self, socket: SocketKey, now_ms: u64) {
        let Some(connection) = self.connection(socket) else {
            return;
        };
        let Some(call) = connection.call.take() else {
            return;
        };
        connection.phase = Phase::Idle;
        let keep_alive = call.keep_alive && !self.service.draining;
        let Ok(mut out) = self.service.buffers.take(1024) else {
            self.service.abandon(*call);
            self.refuse_overload(socket, now_ms);
            return;
        };
        self.service.answer_cancelled(&call, keep_alive, &mut out);
        self.service.abandon(*call);
        self.resume_after_call(socket, out, keep_alive, now_ms);
    }

    fn resume_after_call(
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
        self.transmit(socket, out, now_ms);
    }
}
