//! The bounds of one thread's exchanges and streams, and its numbers.

use std::fmt;

use crate::mem::BufferPool;
use crate::upstream::http::ClientLimits;

/// Exchanges that may wait for a connection to one place. More are refused at once.
pub const WAITING_COUNT_MAX: usize = 1_024;

/// Exchanges of one thread that may listen at the same time: each has a connection of its own.
pub const LONG_COUNT_MAX: usize = 128;

/// Bytes that may wait to be written to one stream. A single line may be longer.
pub const STREAM_QUEUE_BYTES_MAX: usize = 4 << 20;

/// Bounds of one thread's exchanges and streams.
#[derive(Clone)]
pub struct TransportOptions {
    /// Of answers.
    pub client: ClientLimits,
    /// Bytes of one line of a stream.
    pub line_bytes_max: usize,
    /// Bytes that may wait to be written to one stream.
    pub stream_queue_bytes_max: usize,
    /// Exchanges that may wait for a connection to one place.
    pub waiting_count_max: usize,
    /// Exchanges that may listen at the same time.
    pub long_count_max: usize,
    /// Where heads and lines are written.
    pub buffers: BufferPool,
    /// Of the source of chance: threads that share an upstream should not do the same at the same time.
    pub seed: u64,
}

impl TransportOptions {
    /// The usual bounds, for answers and lines within `client`.
    pub fn new(client: ClientLimits, buffers: BufferPool, seed: u64) -> Self {
        Self {
            client,
            line_bytes_max: client.body_bytes_max,
            stream_queue_bytes_max: STREAM_QUEUE_BYTES_MAX,
            waiting_count_max: WAITING_COUNT_MAX,
            long_count_max: LONG_COUNT_MAX,
            buffers,
            seed,
        }
    }
}

/// A stream has as much to write as may wait; the line was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueFull {
    /// Bytes that may wait.
    pub bytes_max: usize,
}

impl fmt::Display for QueueFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "it does not read: {} bytes wait to be written to it, as many as may",
            self.bytes_max
        )
    }
}

impl std::error::Error for QueueFull {}

/// Counters of one thread since its start; gauges are of now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransportStats {
    /// Exchanges that were sent.
    pub requests: u64,
    /// Those that were sent on a connection that had served before.
    pub reused: u64,
    /// Attempts to connect.
    pub connects: u64,
    /// Those that failed, handshakes included.
    pub connect_failures: u64,
    /// Exchanges that failed.
    pub failures: u64,
    /// Bytes received from upstreams, as they came over the wire.
    pub bytes_received: u64,
    /// Bytes handed over for sending.
    pub bytes_sent: u64,
    /// Gauge: connections, those being made or closed included.
    pub open: usize,
    /// Gauge: connections that wait for a request.
    pub idle: usize,
    /// Gauge: exchanges that wait for a connection.
    pub waiting: usize,
    /// Gauge: exchanges that listen.
    pub long: usize,
    /// Gauge: streams of lines.
    pub streams: usize,
}
