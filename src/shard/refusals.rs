//! Answers of the transport itself: to what cannot be read, is too large, too slow, or too much.

use crate::mem::PoolBuffer;
use crate::metrics::Counter;
use crate::ring::{Ring, SocketKey};
use crate::wire::chunked::ChunkError;
use crate::wire::http1::HeadError;

use super::access::Answer;
use super::connection::Phase;
use super::{Shard, endpoint};

impl<R: Ring> Shard<R> {
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
        self.note_refusal(status, reason, text.len());
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
        let Some(connection) = self.connection(socket) else {
            return;
        };
        // Behind half an answer, or in a stream, it would be no answer.
        if connection.sending_since.is_some() || connection.stream.is_some() {
            self.close(socket);
            return;
        }
        let secure = connection.tls.is_some();
        let answer = match secure {
            false => Some(endpoint::OVERLOADED.into()),
            true => self.overloaded_secure(socket),
        };
        let (Some(answer), Some(connection)) = (answer, self.connection(socket)) else {
            // There is no handshake yet, or no buffer: whoever is there reads nothing that we could say.
            self.close(socket);
            return;
        };
        let exchange = connection.exchange.take();
        connection.phase = Phase::Idle;
        if let Some(exchange) = exchange {
            self.service.leave_exchange(&exchange);
        }
        self.note_refusal(503, "overloaded", endpoint::OVERLOADED.len());
        self.send(socket, answer, now_ms);
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

    fn note_refusal(&mut self, status: u16, reason: &str, bytes: usize) {
        let answer = Answer {
            method: "",
            target: "",
            status,
            outcome: reason,
            bytes,
        };
        let started = self.service.clock();
        self.service.note(started, 0, &answer);
    }
}
