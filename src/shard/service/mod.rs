//! From a request's bytes to its answer's bytes: the part of a shard that knows MCP, tools and components, and no socket.
//!
//! The steady path of a tool call is here, and it allocates nothing: the message is scanned in place, the tool is looked up by a borrowed
//! name, and the answer is written once into the buffer that will be sent.

mod audit;
mod authorize;
mod batch;
mod channels;
mod frame;
mod http;
mod identify;
mod made;
mod post;
mod refuse;
mod request;
mod sse;
mod streams;

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::component::Finished;
use crate::limits::BUFFER_CLASS_BYTES;
use crate::mcp::SessionId;
use crate::mem::{BufferPool, ByteBudget};
use crate::metrics::{Counter, Gauge, Phase, ShardMetrics};
use crate::ring::SocketKey;
use crate::tape::{AuditLane, LogProducer};
use crate::wire::chunked::ChunkLimits;
use crate::wire::http1::HeadLimits;

use super::access::Answer;
use super::channel::{Channel, Word};
use super::dispatch::{Away, Dispatcher, Ending, write_ending};
use super::exchange::Exchange;
use super::known::Known;
use super::memo::Memo;
use super::stream::Stream;
use super::{Message, Shared};

pub(super) use authorize::{Refused, Subject, judge};
pub(super) use frame::Frame;
use made::Circumstances;
pub(super) use made::target_of;
pub(super) use request::{Arrival, Request};

/// How often the host's clock is looked at. The shard's own stands still while the host sleeps, and is not set right with it:
/// tokens would be good for longer than they say.
const CLOCK_PERIOD_MS: u64 = 1_000;

/// Buffers that stay ready on each shard, by class: what a burst needs without asking the allocator.
const READY_BUFFERS: [usize; 3] = [256, 64, 8];

/// What a shard's service needs beside what all shards share.
pub struct ServiceOptions {
    /// The process's budget of buffer bytes.
    pub buffers: Arc<ByteBudget>,
    /// The access log, if one is wanted.
    pub access_log: Option<LogProducer>,
    /// The way to the audit log, if one is kept.
    pub audit: Option<AuditLane>,
}

/// Where the answer of a call goes that has left the shard.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// To the exchange that waits on this connection.
    Exchange(SocketKey),
    /// To a stream of its session, which somebody may carry on any shard.
    Channel(Rc<Channel>),
    /// Nowhere: its client went away before it had a stream to come back to.
    Nowhere,
}

/// What became of a request.
pub(super) enum Served {
    /// The answer is written.
    Answered {
        /// Whether another request may follow.
        keep_alive: bool,
    },
    /// The answer comes later; nothing is written yet.
    Pending(Box<Exchange>),
    /// The head of an event stream is written, and perhaps its first event.
    Stream(Box<Stream>),
}

/// The protocol side of one shard.
pub struct Service {
    pub(super) index: usize,
    pub(super) shared: Arc<Shared>,
    pub(super) dispatcher: Dispatcher<Place>,
    pub(super) buffers: BufferPool,
    pub(super) metrics: ShardMetrics,
    pub(super) draining: bool,
    /// The connections that carry streams of sessions, by their numbers.
    pub(super) carriers: HashMap<u64, SocketKey>,
    /// Words to carriers of this shard that are still to be heard.
    pub(super) words: Vec<(u64, Word)>,
    /// Where nobody is asked.
    anonymous: Rc<Known>,
    /// Whoever was not asked yet.
    nobody: Rc<Known>,
    /// Whether that is so for everybody; looked at once a turn.
    asks_nobody: bool,
    /// Whether everybody may do everything, and as often as he likes.
    is_open: bool,
    auth_generation: u64,
    memo: Memo,
    /// Whether any tool wants arguments repeated in headers.
    has_param_headers: bool,
    clock: quanta::Clock,
    log: Option<LogProducer>,
    /// The way to the audit log, if one is kept.
    pub audit: Option<AuditLane>,
    line: Vec<u8>,
    /// Milliseconds since 1970 when the shard's clock was zero.
    unix_offset_ms: u64,
    /// When that is looked at again.
    clock_at_ms: u64,
    now_ms: u64,
    owner_count: u64,
    /// When it is next looked for calls that nobody hears.
    unheard_at_ms: u64,
}

impl Service {
    /// The service of shard `index`.
    pub fn new(index: usize, shared: Arc<Shared>, options: ServiceOptions) -> Self {
        let waking = Arc::clone(&shared);
        let dispatcher = Dispatcher::new(Arc::clone(&shared), index, move || {
            waking.ports[index].wake()
        });
        let unix_offset_ms = unix_offset_ms(&shared);
        Self {
            index,
            dispatcher,
            buffers: BufferPool::new(options.buffers, READY_BUFFERS),
            metrics: ShardMetrics::new(),
            draining: false,
            carriers: HashMap::new(),
            words: Vec::new(),
            anonymous: Known::anonymous(),
            nobody: Known::nobody(),
            asks_nobody: shared.authenticator.asks_nobody(),
            is_open: shared.rules.is_open() && shared.limiter.is_open(),
            auth_generation: shared.authenticator.generation(),
            memo: Memo::new(),
            has_param_headers: false,
            clock: quanta::Clock::new(),
            log: options.access_log,
            audit: options.audit,
            line: Vec::with_capacity(512),
            unix_offset_ms,
            clock_at_ms: 0,
            now_ms: 0,
            owner_count: 0,
            unheard_at_ms: 0,
            shared,
        }
    }

    pub(super) fn begin_turn(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        let generation = self.shared.authenticator.generation();
        if generation != self.auth_generation {
            self.auth_generation = generation;
            self.asks_nobody = self.shared.authenticator.asks_nobody();
        }
        if now_ms >= self.clock_at_ms {
            self.clock_at_ms = now_ms + CLOCK_PERIOD_MS;
            self.unix_offset_ms = unix_offset_ms(&self.shared);
        }
        self.metrics.add(Counter::LoopTurns, 1);
    }

    /// The generation of the catalogue in force.
    pub fn catalog_generation(&self) -> u64 {
        self.shared.snapshot.load().catalog.generation()
    }

    /// Whether a call that is away has ended, or said something, that was not looked at yet.
    pub fn has_finished(&self) -> bool {
        self.dispatcher.has_mail()
    }

    pub(super) fn next_message(&mut self) -> Option<Message> {
        self.shared.ports[self.index].receive()
    }

    pub(super) fn next_upstream_word(&mut self) -> Option<crate::gateway::Word> {
        self.shared.ports[self.index].next_word()
    }

    /// Refills and disposes of up to `budget` instances; returns whether some work is left.
    pub(super) fn maintain(&mut self, budget: usize) -> bool {
        self.dispatcher.pool.maintain(budget)
    }

    /// Learns of the components of a new catalogue.
    pub(super) fn follow_catalog(&mut self) {
        self.dispatcher.follow_catalog();
        let catalog = &self.dispatcher.snapshot.load().catalog;
        let mut tools = catalog
            .names()
            .into_iter()
            .filter_map(|name| catalog.tool(name));
        self.has_param_headers = tools.any(|tool| !tool.header_bindings.is_empty());
    }

    /// The shard's clock at this turn.
    pub(super) fn now_ms(&self) -> u64 {
        self.now_ms
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

    /// Writes the answer to a call that has ended elsewhere; the HTTP status that goes with it.
    pub(super) fn write_ending(
        &self,
        away: &Away<Place>,
        finished: &Finished,
        out: &mut Vec<u8>,
    ) -> u16 {
        let ending = Ending {
            members: &finished.members,
            report: &finished.report,
            asked: finished.asked.as_deref(),
        };
        let unix_ms = self.unix_offset_ms + self.now_ms;
        let seal = self.dispatcher.seal(away.binding.as_deref(), unix_ms);
        write_ending(out, &away.id, away.revision, &ending, seal)
    }

    /// Counts and logs the answer to a call that has ended elsewhere.
    pub(super) fn note_call(
        &mut self,
        away: &Away<Place>,
        status: u16,
        outcome: &str,
        bytes: usize,
    ) {
        let answer = Answer {
            method: away.method.name(),
            target: &away.target,
            status,
            outcome,
            bytes,
        };
        match away.place {
            Place::Exchange(_) => self.note(away.started, away.request_bytes, &answer),
            Place::Channel(_) | Place::Nowhere => {
                self.log(away.started, away.request_bytes, &answer);
            }
        }
        self.tell_answered(
            away.trail.as_deref(),
            away.method.name(),
            &away.target,
            outcome,
        );
        self.metrics.record(Phase::Total, self.since(away.started));
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
        let pool = self.dispatcher.pool.stats();
        self.metrics.set(Gauge::InstancesReady, pool.ready as u64);
        self.metrics
            .set_counter(Counter::LeaseReady, pool.calls_ready);
        self.metrics
            .set_counter(Counter::LeaseCold, pool.calls_fresh);
    }

    /// The id of a fresh session.
    fn session_random() -> Option<[u8; 16]> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).ok()?;
        Some(random)
    }

    /// Stops a call of this session, wherever it runs.
    fn cancel_everywhere(&mut self, session: SessionId, id: &[u8]) {
        if self.shared.away.stop(session, id) {
            return;
        }
        // It may be in its first slice, where only its own shard knows of it: that one looks again behind the slice. Most often
        // there is no such call, so this keeps to the room that nobody else needs.
        for (index, port) in self.shared.ports.iter().enumerate() {
            if index != self.index && port.has_room() {
                let id = id.to_vec();
                let _ = port.send(Message::Cancel { session, id });
            }
        }
    }
}

/// Milliseconds since 1970 when the shards' clock was zero, by the host's clock.
fn unix_offset_ms(shared: &Shared) -> u64 {
    let unix_ms = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0));
    unix_ms.saturating_sub(shared.now_ms())
}

#[cfg(test)]
impl Service {
    /// What the host's clock was an hour ago.
    pub(super) fn fall_back(&mut self) {
        self.unix_offset_ms -= 3_600_000;
    }
}

const _: () = assert!(BUFFER_CLASS_BYTES.len() == READY_BUFFERS.len());
