//! From a request's bytes to its answer's bytes: the part of a shard that knows MCP, tools and components, and no socket.
//!
//! The steady path of a tool call is here, and it allocates nothing: the message is scanned in place, the tool is looked up by a borrowed
//! name, and the answer is written once into the buffer that will be sent.

mod call;
mod http;
mod message;

pub(super) use message::{CAPABILITIES, INSTRUCTIONS, LIST_HINTS};

use std::sync::Arc;

use arc_swap::Cache;

use crate::component::{Finished, InstancePool, Mailbox};
use crate::limits::BUFFER_CLASS_BYTES;
use crate::mcp::{Principal, SessionId};
use crate::mem::{BufferPool, ByteBudget, Slab};
use crate::metrics::{Counter, Gauge, ShardMetrics};
use crate::ring::SocketKey;
use crate::tape::LogProducer;
use crate::wire::chunked::ChunkLimits;
use crate::wire::http1::HeadLimits;

use super::access::Entry;
use super::connection::PendingCall;
use super::stream::{Origin, Stream};
use super::{Message, Shared, Snapshot};

/// Buffers that stay ready on each shard, by class: what a burst needs without asking the allocator.
const READY_BUFFERS: [usize; 3] = [256, 64, 8];

/// What a shard's service needs beside what all shards share.
pub struct ServiceOptions {
    /// The process's budget of buffer bytes.
    pub buffers: Arc<ByteBudget>,
    /// The access log, if one is wanted.
    pub access_log: Option<LogProducer>,
}

/// Who asks, and since when.
#[derive(Clone, Copy)]
pub(super) struct Caller {
    pub(super) socket: SocketKey,
    /// When its first bytes were looked at, on the service's clock.
    pub(super) started: u64,
    /// What reading its head took.
    pub(super) head_ns: u64,
    pub(super) now_ms: u64,
}

/// What became of a request.
pub(super) enum Served {
    /// The answer is written.
    Answered {
        /// Whether another request may follow.
        keep_alive: bool,
    },
    /// The call went to a worker; nothing is written yet.
    Moved(Box<PendingCall>),
    /// The head of an event stream is written, and perhaps its first event.
    Stream(Box<Stream>),
}

/// The protocol side of one shard.
pub struct Service {
    pub(super) index: usize,
    pub(super) shared: Arc<Shared>,
    pub(super) snapshot: Cache<Arc<arc_swap::ArcSwap<Snapshot>>, Arc<Snapshot>>,
    pub(super) buffers: BufferPool,
    pub(super) metrics: ShardMetrics,
    pub(super) draining: bool,
    pool: InstancePool,
    mailbox: Arc<Mailbox>,
    /// Calls that left the shard: ticket to socket.
    moved: Slab<SocketKey>,
    clock: quanta::Clock,
    log: Option<LogProducer>,
    line: Vec<u8>,
    /// Milliseconds since 1970 when the shard's clock was zero.
    unix_offset_ms: u64,
    now_ms: u64,
    stream_count: u64,
}

impl Service {
    /// The service of shard `index`.
    pub fn new(index: usize, shared: Arc<Shared>, options: ServiceOptions) -> Self {
        let waking = Arc::clone(&shared);
        let mailbox = shared.runtime.mailbox(move || waking.ports[index].wake());
        let unix_ms = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0));
        Self {
            index,
            snapshot: Cache::new(Arc::clone(&shared.snapshot)),
            buffers: BufferPool::new(options.buffers, READY_BUFFERS),
            metrics: ShardMetrics::new(),
            draining: false,
            pool: shared.runtime.instance_pool(Arc::clone(&mailbox)),
            mailbox,
            moved: Slab::new(shared.limits.request_count_max),
            clock: quanta::Clock::new(),
            log: options.access_log,
            line: Vec::with_capacity(512),
            unix_offset_ms: unix_ms.saturating_sub(shared.now_ms()),
            now_ms: 0,
            stream_count: 0,
            shared,
        }
    }

    pub(super) fn begin_turn(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        self.metrics.add(Counter::LoopTurns, 1);
    }

    /// The generation of the catalogue in force.
    pub fn catalog_generation(&self) -> u64 {
        self.shared.snapshot.load().catalog.generation()
    }

    /// Whether a worker has handed a result back that was not looked at yet.
    pub fn has_finished(&self) -> bool {
        !self.mailbox.is_empty()
    }

    pub(super) fn next_finished(&mut self) -> Option<Finished> {
        self.mailbox.take()
    }

    pub(super) fn next_message(&mut self) -> Option<Message> {
        self.shared.ports[self.index].receive()
    }

    /// Refills and disposes of up to `budget` instances; returns whether some work is left.
    pub(super) fn maintain(&mut self, budget: usize) -> bool {
        self.pool.maintain(budget)
    }

    /// Learns of the components of a new catalogue.
    pub(super) fn follow_catalog(&mut self) {
        let snapshot = Arc::clone(self.snapshot.load());
        self.pool.follow(snapshot.catalog.components());
    }

    /// Now, in the units of [`Service::since`].
    pub(super) fn clock(&self) -> u64 {
        self.clock.raw()
    }

    /// Nanoseconds since `started`.
    pub(super) fn since(&self, started: u64) -> u64 {
        self.nanos_between(started, self.clock.raw())
    }

    pub(super) fn nanos_between(&self, start: u64, end: u64) -> u64 {
        self.clock.delta_as_nanos(start, end)
    }

    pub(super) fn head_limits(&self) -> HeadLimits {
        HeadLimits {
            bytes_max: self.shared.limits.head_bytes_max,
            count_max: crate::limits::HEADER_COUNT_MAX,
        }
    }

    pub(super) fn chunk_limits(&self) -> ChunkLimits {
        ChunkLimits {
            data_bytes_max: self.shared.limits.body_bytes_max,
            overhead_bytes_max: self.shared.limits.chunk_overhead_bytes_max,
        }
    }

    /// Everybody, until somebody authenticates.
    pub(super) fn principal(&self) -> Principal {
        Principal::ANONYMOUS
    }

    /// A number for a stream that no other stream of the process has.
    fn next_stream_owner(&mut self) -> u64 {
        self.stream_count += 1;
        ((self.index as u64 + 1) << 48) | self.stream_count
    }

    pub(super) fn end_stream(&mut self, stream: &Stream, _socket: SocketKey) {
        self.shared.streams.leave();
        if let Origin::Session { id, owner } = stream.origin {
            self.shared
                .sessions
                .release_stream(id, stream.principal, owner, self.now_ms);
        }
    }

    pub(super) fn count_status(&mut self, status: u16) {
        self.metrics.add(
            match status {
                200..=299 => Counter::ResponsesOk,
                500.. => Counter::ResponsesServerError,
                _ => Counter::ResponsesClientError,
            },
            1,
        );
    }

    /// Writes the access log's line, if there is a log. A line that does not fit the recorder's queue is counted.
    fn log(&mut self, entry: &Entry<'_>) {
        let Some(log) = &mut self.log else { return };
        self.line.clear();
        entry.write(&mut self.line);
        if !log.try_push(&self.line) {
            self.metrics.add(Counter::AccessLogDropped, 1);
        }
    }

    pub(super) fn log_refusal(&mut self, status: u16, reason: &str, response_bytes: usize) {
        let entry = Entry {
            time_ms: self.unix_offset_ms + self.now_ms,
            shard: self.index,
            method: "",
            tool: "",
            status,
            outcome: reason,
            duration_us: 0,
            request_bytes: 0,
            response_bytes,
        };
        self.log(&entry);
    }

    /// Brings gauges up to date, before somebody reads them.
    pub(super) fn collect(&mut self) {
        let stats = self.buffers.stats();
        self.metrics
            .set(Gauge::BuffersOut, stats.checked_out as u64);
        self.metrics
            .set(Gauge::BuffersOutHigh, stats.high_water as u64);
        self.metrics.set(Gauge::BufferBytes, stats.bytes as u64);
        self.metrics
            .set_counter(Counter::BufferMisses, stats.misses);
        self.metrics
            .set_counter(Counter::BufferExhausted, stats.refused);
        let pool = self.pool.stats();
        self.metrics.set(Gauge::InstancesReady, pool.ready as u64);
        self.metrics
            .set_counter(Counter::LeaseReady, pool.calls_ready);
        self.metrics
            .set_counter(Counter::LeaseCold, pool.calls_fresh);
    }

    pub(super) fn caller_of(&self, ticket: u64) -> Option<SocketKey> {
        self.moved.get(ticket).copied()
    }

    /// The sockets whose calls have left the shard.
    pub(super) fn callers(&self) -> impl Iterator<Item = SocketKey> {
        self.moved.iter().map(|(_, socket)| *socket)
    }

    /// The call of this ticket is answered.
    pub(super) fn forget_call(&mut self, ticket: u64) {
        if self.moved.remove(ticket).is_some() {
            self.shared.calls.leave();
        }
    }

    /// Nobody waits for this call any longer: the guest is told to stop.
    pub(super) fn abandon(&mut self, call: PendingCall) {
        call.cancel.cancel();
        self.forget_call(call.ticket);
        self.metrics.add(Counter::CallCancelled, 1);
    }

    /// The id of a fresh session.
    fn session_random() -> Option<[u8; 16]> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).ok()?;
        Some(random)
    }

    /// Stops a call of this session, wherever it runs.
    fn cancel_everywhere(&mut self, session: SessionId, id: &[u8]) {
        for port in &self.shared.ports {
            // A shard whose queue is full is stuck; its calls end by their deadlines.
            let _ = port.send(Message::Cancel {
                session,
                id: id.to_vec(),
            });
        }
    }
}

const _: () = assert!(BUFFER_CLASS_BYTES.len() == READY_BUFFERS.len());
