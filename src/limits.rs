//! Every bound of the appliance, with its unit.
//!
//! A limit is either a constant (a property of the design: changing it means re-checking an argument) or a
//! field of [`Limits`] (an operator's choice, read from `limits:` in the configuration file). The relations
//! that the code relies on are const assertions at the foot, and the configuration holds an operator's values to
//! the same relations.

use std::time::Duration;

/// Buffer classes of the pool, in bytes, smallest first. The small class is also the provided receive buffer.
pub const BUFFER_CLASS_BYTES: [usize; 3] = [4 << 10, 64 << 10, 1 << 20];

/// Receive buffers a shard hands to the kernel. A power of two: the provided-buffer ring requires it.
pub const RECEIVE_BUFFER_COUNT: usize = 512;

/// Submission queue entries of a shard's ring. A power of two.
pub const RING_ENTRIES: u32 = 1024;

/// Completion queue entries of a shard's ring. A power of two.
pub const RING_COMPLETION_ENTRIES: u32 = 8192;

/// Completion queue entries that the kernel allows (`IORING_MAX_CQ_ENTRIES`).
pub const RING_COMPLETION_ENTRIES_MAX: u32 = 65_536;

/// Connections that one ring can serve: a receive and a send of each have to fit its completion queue.
pub const CONNECTION_COUNT_CEILING: usize = RING_COMPLETION_ENTRIES_MAX as usize / 2 - 128;

/// Operations in flight on one ring. Never more than the completion queue can hold, so that it cannot overflow.
pub const RING_OPERATIONS_MAX: usize = RING_COMPLETION_ENTRIES as usize;

/// Outgoing connections and children's streams of one ring, unless its options say otherwise.
pub const RING_CONNECT_COUNT_MAX: usize = 256;

/// Completions handled before the loop looks at timers and mailboxes again.
pub const COMPLETIONS_PER_TURN_MAX: usize = 256;

/// Header fields in one HTTP head.
pub const HEADER_COUNT_MAX: usize = 100;

/// Bytes of one JSON-RPC id, as it stands in the message (RFC 8259 text, quotes included).
pub const ID_BYTES_MAX: usize = 256;

/// Bytes of one tool name as exposed to clients.
pub const TOOL_NAME_BYTES_MAX: usize = 64;

/// Granularity of the epoch clock that interrupts guests.
pub const EPOCH_TICK: Duration = Duration::from_millis(1);

/// Ticks a call may compute on its shard before the rest of it moves to a worker thread. Two, because the first
/// tick may fall immediately after the call began.
pub const SHARD_SLICE_TICKS: u64 = 2;

/// Granularity of a shard's timers: a deadline is met at most this much late.
pub const TIMER_TICK: Duration = Duration::from_millis(50);

/// A guest that prints this many times `print_bytes_max` in one call is not talkative but flooding, and its call ends.
pub const PRINT_FLOOD_FACTOR: usize = 16;

/// Bounds that an operator may set. `Default` gives the shipped values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of an HTTP request head: request line and header fields together.
    pub head_bytes_max: usize,
    /// Bytes of an HTTP request body or of one stdio line: one MCP message.
    pub body_bytes_max: usize,
    /// Bytes of chunk-size lines, extensions and trailers that one chunked body may carry beside its data.
    pub chunk_overhead_bytes_max: usize,
    /// Nesting depth of a JSON text.
    pub json_depth_max: usize,
    /// Bytes of one arena: what parsing and answering one request may take beside its body and its answer.
    pub arena_bytes_max: usize,
    /// Bytes of pooled buffers in the whole process.
    pub buffer_pool_bytes_max: usize,
    /// Connections of the whole process.
    pub connection_count_max: usize,
    /// Requests being served at one time in the whole process.
    pub request_count_max: usize,
    /// Time from the first byte of a head to its last.
    pub head_deadline: Duration,
    /// Time from the end of the head to the last byte of the body.
    pub body_deadline: Duration,
    /// Time a connection may stay open without a request.
    pub idle_deadline: Duration,
    /// Time for the peer to take the bytes of one answer.
    pub write_deadline: Duration,
    /// Time for requests in flight to finish once a drain has begun.
    pub drain_deadline: Duration,
    /// Sessions of the whole process; the one unused for longest gives way to a new one.
    pub session_count_max: usize,
    /// Time a session may stay unused.
    pub session_idle_deadline: Duration,
    /// Event streams (legacy GET streams and `subscriptions/listen`) of the whole process.
    pub stream_count_max: usize,
    /// Silence on an event stream before a comment is sent to keep it alive.
    pub stream_keep_alive: Duration,
    /// Wall time of one tool call.
    pub call_deadline: Duration,
    /// Linear memory of one call's instance, in bytes.
    pub memory_bytes_max: usize,
    /// Table elements of one call's instance.
    pub table_elements_max: usize,
    /// Native stack of the guest, in bytes.
    pub stack_bytes_max: usize,
    /// Bytes of one tool's encoded result.
    pub output_bytes_max: usize,
    /// Bytes a guest may print to stdout and stderr in one call before the rest is dropped; at
    /// [`PRINT_FLOOD_FACTOR`] times as much the call ends.
    pub print_bytes_max: usize,
    /// Bytes one host call may allocate on behalf of a guest.
    pub hostcall_bytes_max: usize,
    /// Resource handles one call may hold.
    pub handle_count_max: usize,
    /// Component instances alive at one time in the whole process, for each engine mode. Small components' are divided among the shards.
    pub instance_count_max: usize,
    /// Pre-instantiated instances kept ready for one component on one shard.
    pub instance_ready_max: usize,
    /// Calls that may wait for a worker thread.
    pub worker_queue_max: usize,
    /// Bytes of a component file.
    pub component_bytes_max: usize,
    /// Components loaded at one time.
    pub component_count_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes_max: 16 << 10,
            body_bytes_max: 10 << 20,
            chunk_overhead_bytes_max: 16 << 10,
            json_depth_max: 128,
            arena_bytes_max: 16 << 20,
            buffer_pool_bytes_max: 100 << 20,
            connection_count_max: 16_384,
            request_count_max: 1_000,
            head_deadline: Duration::from_secs(10),
            body_deadline: Duration::from_secs(30),
            idle_deadline: Duration::from_secs(75),
            write_deadline: Duration::from_secs(30),
            drain_deadline: Duration::from_secs(30),
            session_count_max: 100_000,
            session_idle_deadline: Duration::from_secs(3600),
            stream_count_max: 4_096,
            stream_keep_alive: Duration::from_secs(15),
            call_deadline: Duration::from_secs(30),
            memory_bytes_max: 64 << 20,
            table_elements_max: 100_000,
            stack_bytes_max: 256 << 10,
            output_bytes_max: 4 << 20,
            print_bytes_max: 64 << 10,
            hostcall_bytes_max: 16 << 20,
            handle_count_max: 1_000,
            instance_count_max: 1_000,
            instance_ready_max: 64,
            worker_queue_max: 1_000,
            component_bytes_max: 64 << 20,
            component_count_max: 256,
        }
    }
}

const _: () = assert!(RECEIVE_BUFFER_COUNT.is_power_of_two());
const _: () = assert!(RING_ENTRIES.is_power_of_two() && RING_COMPLETION_ENTRIES >= RING_ENTRIES);
const _: () = assert!(RING_OPERATIONS_MAX <= RING_COMPLETION_ENTRIES as usize);
const _: () = assert!(
    BUFFER_CLASS_BYTES[0] < BUFFER_CLASS_BYTES[1] && BUFFER_CLASS_BYTES[1] < BUFFER_CLASS_BYTES[2]
);
