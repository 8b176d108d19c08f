//! From bytes to requests: the reading half of a connection.

use crate::mem::PoolBuffer;
use crate::metrics::{Counter, Phase as Timed};
use crate::ring::{ReceiveBuffer, Ring, SocketKey};
use crate::wire::chunked::ChunkDecoder;
use crate::wire::http1::{self, Framing, Head, Parsed};

use super::connection::{ChunkedBody, Connection, Phase};
use super::endpoint::Early;
use super::inbox::Inbox;
use super::service::{Arrival, Served};
use super::{Shard, millis};

/// Unread bytes a connection may pile up while it is not being read; then its receive is paused.
const UNREAD_BYTES_MAX: usize = 64 << 10;
/// Answers to pipelined requests leave together, but not more than this at a time.
const PIPELINE_BYTES_MAX: usize = 64 << 10;
/// Steps over one connection's inbox before the other connections have their turn.
const PIPELINE_STEPS_MAX: usize = 32;
/// What an answer takes beside the text it repeats.
const ANSWER_OVERHEAD_BYTES: usize = 1024;

/// What to do after one step over the inbox.
enum Step {
    /// A request was answered into the output; there may be another.
    Next,
    /// More bytes are needed.
    Wait,
    /// This connection reads no further for now.
    Stop,
}

impl<R: Ring> Shard<R> {
    pub(super) fn received(&mut self, socket: SocketKey, bytes: ReceiveBuffer, now_ms: u64) {
        self.service
            .metrics
            .add(Counter::BytesReceived, bytes.len() as u64);
        let pool = self.service.buffers.clone();
        let Some(connection) = self.connection(socket) else {
            return;
        };
        if connection.tls.is_some() {
            self.received_secure(socket, &bytes, now_ms);
            return;
        }
        if connection.is_deaf() {
            return;
        }
        if connection.inbox.push(bytes, &pool).is_err() {
            self.refuse_overload(socket, now_ms);
            return;
        }
        self.advance(socket, now_ms);
    }

    pub(super) fn peer_ended(&mut self, socket: SocketKey, now_ms: u64) {
        let Some(connection) = self.connection(socket) else {
            return;
        };
        connection.peer_ended = true;
        // A peer that has asked for something and then closed its side may still be reading, so what is already being written is
        // finished; but nobody computes for it any longer.
        let finishing = connection.sending_since.is_some() && connection.exchange.is_none();
        if !finishing || connection.phase == Phase::Lingering {
            self.part(socket, now_ms);
        }
    }

    /// Serves the whole requests in the inbox, up to a batch, then sends what was written; the rest's turn comes when that is sent.
    pub(super) fn advance(&mut self, socket: SocketKey, now_ms: u64) {
        let pool = self.service.buffers.clone();
        let Some(connection) = self.connection(socket) else {
            return;
        };
        if !connection.is_reading() || connection.sending_since.is_some() {
            let full = connection.inbox.unread().len() > UNREAD_BYTES_MAX && !connection.paused;
            connection.paused |= full;
            let settled = connection.inbox.settle(&pool);
            if full {
                self.ring.pause(socket);
            }
            if settled.is_err() {
                self.refuse_overload(socket, now_ms);
            }
            return;
        }
        let mut inbox = std::mem::take(&mut connection.inbox);
        let mut out: Option<PoolBuffer> = None;
        let mut steps = 0;
        while let Step::Next = self.step(socket, &mut inbox, &mut out, now_ms) {
            steps += 1;
            let written = out.as_ref().map_or(0, |out| out.len());
            // Only a batch that has something to send may end: its end is what brings us back.
            if written >= PIPELINE_BYTES_MAX || (written > 0 && steps >= PIPELINE_STEPS_MAX) {
                break;
            }
        }
        if self.connection(socket).is_none_or(|c| c.is_deaf()) {
            inbox.clear();
        }
        let settled = inbox.settle(&pool);
        if let Some(connection) = self.connection(socket) {
            connection.inbox = inbox;
            if connection.paused && connection.inbox.unread().len() <= UNREAD_BYTES_MAX {
                connection.paused = false;
                self.ring.receive(socket);
            }
        }
        if let Some(out) = out {
            self.transmit(socket, out, now_ms);
        }
        if settled.is_err() {
            self.refuse_overload(socket, now_ms);
        }
    }

    fn step(
        &mut self,
        socket: SocketKey,
        inbox: &mut Inbox,
        out: &mut Option<PoolBuffer>,
        now_ms: u64,
    ) -> Step {
        let idle_until_ms = now_ms + millis(self.service.shared.limits.idle_deadline);
        let head_until_ms = now_ms + millis(self.service.shared.limits.head_deadline);
        let Some(connection) = self.connection(socket) else {
            return Step::Stop;
        };
        if connection.body.is_some() {
            return self.step_chunked(socket, inbox, out, now_ms);
        }
        let unread = inbox.unread();
        if unread.is_empty() {
            connection.phase = Phase::Idle;
            connection.deadline_ms = idle_until_ms;
            return Step::Wait;
        }
        if unread.len() < connection.awaiting_bytes {
            return Step::Wait;
        }
        let started = self.service.clock();
        let limits = self.service.head_limits();
        let Some(connection) = self.connection(socket) else {
            return Step::Stop;
        };
        connection.arrived.get_or_insert(started);
        match http1::parse_head_from(&mut connection.scan, unread, &limits) {
            Err(error) => {
                self.service.metrics.add(Counter::RefusedHead, 1);
                self.refuse_head(socket, out, error, now_ms);
                Step::Stop
            }
            Ok(Parsed::Partial) => {
                if connection.phase != Phase::Head {
                    connection.phase = Phase::Head;
                    connection.deadline_ms = head_until_ms;
                }
                Step::Wait
            }
            Ok(Parsed::Head(head)) => {
                let body_bytes = match head.framing {
                    Framing::None => 0,
                    Framing::Length(length) => usize::try_from(length).unwrap_or(usize::MAX),
                    Framing::Chunked => return self.begin_chunked(socket, inbox, out, now_ms),
                };
                let body_bytes_max = self.service.shared.limits.body_bytes_max;
                if body_bytes > body_bytes_max {
                    self.refuse_body_size(socket, out, body_bytes_max, now_ms);
                    return Step::Stop;
                }
                let whole = head.len + body_bytes;
                if unread.len() < whole {
                    return self.await_body(socket, inbox, out, whole, now_ms);
                }
                let body = &unread[head.len..whole];
                let step = self.serve(socket, &head, body, out, started, now_ms);
                inbox.consume(whole);
                step
            }
        }
    }

    /// The head is here, its body is not yet: refuses early what the head alone condemns, then waits.
    fn await_body(
        &mut self,
        socket: SocketKey,
        inbox: &mut Inbox,
        out: &mut Option<PoolBuffer>,
        whole: usize,
        now_ms: u64,
    ) -> Step {
        if !self.admit_head(socket, inbox, out, now_ms) {
            return Step::Stop;
        }
        let pool = self.service.buffers.clone();
        if inbox.expect(whole, &pool).is_err() {
            self.refuse_overload_into(socket, out, now_ms);
            return Step::Stop;
        }
        if let Some(connection) = self.connection(socket) {
            connection.awaiting_bytes = whole;
            // The head is read anew with its body; it is in one piece then.
            connection.scan = http1::HeadScan::default();
        }
        Step::Wait
    }

    /// Enters the body phase. Returns false when the request was refused on its head.
    fn admit_head(
        &mut self,
        socket: SocketKey,
        inbox: &Inbox,
        out: &mut Option<PoolBuffer>,
        now_ms: u64,
    ) -> bool {
        let body_until_ms = now_ms + millis(self.service.shared.limits.body_deadline);
        let limits = self.service.head_limits();
        let Ok(Parsed::Head(head)) = http1::parse_head(inbox.unread(), &limits) else {
            return false;
        };
        let address = self.connection(socket).and_then(|c| c.address);
        let started = self.service.clock();
        let arrival = Arrival {
            client_certificate: client_certificate(&self.connections, socket),
            ..Arrival::plain(socket, address, started, now_ms)
        };
        let early = self.service.early(&head, arrival);
        let started = self.service.clock();
        let expects = head.expect_continue;
        let Some(connection) = self.connection(socket) else {
            return false;
        };
        if connection.phase != Phase::Body {
            connection.phase = Phase::Body;
            connection.deadline_ms = body_until_ms;
        }
        match early {
            Early::Refuse(stranger) => {
                let Some(buffer) = self.output(out, ANSWER_OVERHEAD_BYTES) else {
                    return false;
                };
                let mut answer = std::mem::take(&mut **buffer);
                // Not kept over the changes in between: it borrows the connection.
                let arrival = Arrival {
                    client_certificate: client_certificate(&self.connections, socket),
                    ..Arrival::plain(socket, address, started, now_ms)
                };
                self.service
                    .refuse_early(&head, arrival, stranger, &mut answer);
                if let Some(buffer) = out.as_mut() {
                    **buffer = answer;
                }
                self.end_reading(socket, now_ms);
                false
            }
            Early::Admit => {
                let Some(connection) = self.connection(socket) else {
                    return false;
                };
                if expects && !connection.continued {
                    connection.continued = true;
                    if let Some(buffer) = self.output(out, 0) {
                        buffer.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                    }
                }
                true
            }
        }
    }

    fn begin_chunked(
        &mut self,
        socket: SocketKey,
        inbox: &mut Inbox,
        out: &mut Option<PoolBuffer>,
        now_ms: u64,
    ) -> Step {
        if !self.admit_head(socket, inbox, out, now_ms) {
            return Step::Stop;
        }
        let head_limits = self.service.head_limits();
        let Ok(Parsed::Head(head)) = http1::parse_head(inbox.unread(), &head_limits) else {
            return Step::Stop;
        };
        let head_bytes = head.len;
        let Ok(mut buffer) = self.service.buffers.take(inbox.unread().len()) else {
            self.refuse_overload_into(socket, out, now_ms);
            return Step::Stop;
        };
        buffer.extend_from_slice(&inbox.unread()[..head_bytes]);
        inbox.consume(head_bytes);
        let decoder = ChunkDecoder::new(self.service.chunk_limits());
        if let Some(connection) = self.connection(socket) {
            connection.body = Some(Box::new(ChunkedBody {
                buffer,
                head_bytes,
                decoder,
            }));
        }
        Step::Next
    }

    fn step_chunked(
        &mut self,
        socket: SocketKey,
        inbox: &mut Inbox,
        out: &mut Option<PoolBuffer>,
        now_ms: u64,
    ) -> Step {
        let started = self.service.clock();
        let Some(connection) = self.connection(socket) else {
            return Step::Stop;
        };
        let Some(mut body) = connection.body.take() else {
            return Step::Stop;
        };
        if body.buffer.try_reserve(inbox.unread().len()).is_err() {
            self.refuse_overload_into(socket, out, now_ms);
            return Step::Stop;
        }
        match body.decoder.decode(inbox.unread(), &mut body.buffer) {
            Err(error) => {
                self.refuse_chunks(socket, out, error, now_ms);
                Step::Stop
            }
            Ok(progress) => {
                inbox.consume(progress.consumed);
                if !progress.done {
                    if let Some(connection) = self.connection(socket) {
                        connection.body = Some(body);
                    }
                    return Step::Wait;
                }
                let limits = self.service.head_limits();
                let (head_text, data) = body.buffer.split_at(body.head_bytes);
                let Ok(Parsed::Head(head)) = http1::parse_head(head_text, &limits) else {
                    return Step::Stop;
                };
                self.serve(socket, &head, data, out, started, now_ms)
            }
        }
    }

    /// One whole request: hands it to the service and files what comes of it.
    fn serve(
        &mut self,
        socket: SocketKey,
        head: &Head<'_>,
        body: &[u8],
        out: &mut Option<PoolBuffer>,
        started: u64,
        now_ms: u64,
    ) -> Step {
        let (address, arrived) = match self.connection(socket) {
            Some(connection) => (connection.address, connection.begin_next_request()),
            None => (None, None),
        };
        let arrived = arrived.unwrap_or(started);
        let read_ns = self.service.nanos_between(arrived, started);
        self.service.metrics.record(Timed::Read, read_ns);
        if self
            .output(out, 2 * body.len() + ANSWER_OVERHEAD_BYTES)
            .is_none()
        {
            self.refuse_overload(socket, now_ms);
            return Step::Stop;
        }
        let Some(answer) = out.as_mut() else {
            return Step::Stop;
        };
        let arrival = Arrival {
            socket,
            address,
            client_certificate: client_certificate(&self.connections, socket),
            started: arrived,
            head_ns: self.service.since(started),
            now_ms,
        };
        match self.service.serve(head, body, arrival, answer) {
            Served::Answered { keep_alive: true } => Step::Next,
            Served::Answered { keep_alive: false } => {
                self.end_reading(socket, now_ms);
                Step::Stop
            }
            Served::Pending(exchange) => {
                // The workers meet the calls' deadlines; this one is for a worker that does not.
                let deadline_ms = self.exchange_deadline_ms(&exchange, now_ms);
                if let Some(connection) = self.connection(socket) {
                    connection.phase = Phase::Calling;
                    connection.deadline_ms = deadline_ms;
                    connection.exchange = Some(exchange);
                }
                Step::Stop
            }
            Served::Stream(stream) => {
                self.carry(socket, stream);
                if let Some(connection) = self.connection(socket) {
                    connection.deadline_ms = u64::MAX;
                }
                Step::Stop
            }
        }
    }

    /// The output being written, with room for `bytes` more.
    pub(super) fn output<'o>(
        &mut self,
        out: &'o mut Option<PoolBuffer>,
        bytes: usize,
    ) -> Option<&'o mut PoolBuffer> {
        match out {
            Some(buffer) => buffer.try_reserve(bytes).ok()?,
            None => *out = Some(self.service.buffers.take(bytes).ok()?),
        }
        out.as_mut()
    }
}

/// The certificate that the client of this connection has shown; none over plain HTTP.
fn client_certificate(
    connections: &[Option<(SocketKey, Box<Connection>)>],
    socket: SocketKey,
) -> Option<&[u8]> {
    let (key, connection) = connections.get(socket.index())?.as_ref()?;
    let tls = connection.tls.as_ref().filter(|_| *key == socket)?;
    tls.client_certificate()
}

impl Connection {
    /// Forgets what belonged to the request that is now complete; when its first byte was seen.
    fn begin_next_request(&mut self) -> Option<u64> {
        // A deadline belongs to one request: the next one's begins with its own first byte.
        self.phase = Phase::Idle;
        self.scan = http1::HeadScan::default();
        self.awaiting_bytes = 0;
        self.continued = false;
        self.body = None;
        self.arrived.take()
    }
}
