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
pub const RING_CONNECT_COUNT_MAX: usize = 2_048;

/// Completions handled before the loop looks at timers and mailboxes again.
pub const COMPLETIONS_PER_TURN_MAX: usize = 256;

/// Header fields in one HTTP head.
pub const HEADER_COUNT_MAX: usize = 100;

/// Bytes of one JSON-RPC id, as it stands in the message (RFC 8259 text, quotes included).
pub const ID_BYTES_MAX: usize = 256;

/// Bytes of one tool name as exposed to clients.
pub const TOOL_NAME_BYTES_MAX: usize = 64;

/// Bytes of a resource's URI or template: what URIs of the web keep to, and what a table of subscriptions can hold.
///
/// Source: RFC 9110 section 4.1.
pub const URI_BYTES_MAX: usize = 8 << 10;

/// Bytes of a client's `clientInfo` that its session keeps; a longer one is not kept.
pub const CLIENT_INFO_BYTES_MAX: usize = 512;

/// Members of one `inputResponses`. Each is compared with those before it.
pub const INPUT_RESPONSE_COUNT_MAX: usize = 64;

/// Arguments of one prompt or completion. Each is compared with those before it.
pub const PROMPT_ARGUMENT_COUNT_MAX: usize = 64;

/// Granularity of the epoch clock that interrupts guests.
pub const EPOCH_TICK: Duration = Duration::from_millis(1);

/// Ticks a call may compute on its shard before the rest of it moves to a worker thread. Two, because the first
/// tick may fall immediately after the call began.
pub const SHARD_SLICE_TICKS: u64 = 2;

/// Granularity of a shard's timers: a deadline is met at most this much late.
pub const TIMER_TICK: Duration = Duration::from_millis(50);

/// A guest that prints this many times `print_bytes_max` in one call is not talkative but flooding, and its call ends.
pub const PRINT_FLOOD_FACTOR: usize = 16;

/// Questions that one call may ask, over all its runs.
pub const QUESTIONS_PER_CALL_MAX: usize = 64;

/// Bytes of the name under which a question's answer is remembered.
pub const QUESTION_KEY_BYTES_MAX: usize = 128;

/// Times that one call may let go of its stream: each time its client has to come back.
pub const RELEASES_PER_CALL_MAX: usize = 16;

/// Announcements of changes that one call may make.
pub const ANNOUNCEMENTS_PER_CALL_MAX: usize = 256;

/// HTTP requests that one call of a component may send, where its policy does not say.
pub const HTTP_REQUESTS_PER_CALL: u64 = 64;

/// Bytes of HTTP bodies, both ways together, that one call of a component may exchange, where its policy does not say.
pub const HTTP_BYTES_PER_CALL: u64 = 64 << 20;

/// Files and directories that one instance of a component may have open, where its policy does not say.
pub const OPEN_FILES_PER_CALL: u64 = 64;

/// Refusals after which a call is stopped: each is an entry of the audit log.
pub const REFUSALS_PER_CALL_MAX: u64 = 1_000;

/// How long a component's HTTP request may wait for a name to be resolved.
pub const COMPONENT_LOOKUP_DEADLINE: Duration = Duration::from_secs(10);

/// How long it may wait for a connection, TLS included, to each of the addresses that are tried.
pub const COMPONENT_CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// How long it may wait for the first byte of an answer, and for each next one.
pub const COMPONENT_ANSWER_DEADLINE: Duration = Duration::from_secs(60);

/// Addresses of one name that are tried.
pub const COMPONENT_CONNECT_COUNT_MAX: usize = 4;

/// Entries of a directory that a component may rename: what each may be used for is compared before and after.
pub const RENAMED_ENTRIES_MAX: usize = 4_096;

/// Bytes of one path of a component, as many as Linux takes.
pub const PATH_BYTES_MAX: usize = 4_096;

/// Directories that one path of a component goes down: each is open until the path was walked.
pub const PATH_DIRECTORIES_MAX: usize = 128;

/// Entries of directories that an instance reads at one time.
pub const LISTED_ENTRIES_MAX: usize = 65_536;

/// Names that one call may look up.
pub const LOOKUPS_PER_CALL: u64 = 256;

/// Lookups that are on their way for all components together: each takes a thread.
pub const COMPONENT_LOOKUP_COUNT_MAX: usize = 64;

/// Entries of each kind (tools, resources, prompts) that one component may list.
pub const DEFINITIONS_PER_COMPONENT_MAX: usize = 4_096;

/// Resource templates that one component may list: a resource that is not listed is looked for in each of them.
pub const TEMPLATES_PER_COMPONENT_MAX: usize = 256;

/// Authorization rules and roles together. A decision looks at each of a method's.
pub const RULE_COUNT_MAX: usize = 10_000;

/// Bytes of the name of a rule or a role.
pub const RULE_NAME_BYTES_MAX: usize = 128;

/// Bytes of a pattern in a rule or a rate limit.
pub const RULE_PATTERN_BYTES_MAX: usize = 256;

/// Requests in one period, or at once, that a rate limit may allow. With the longest period it fits the algorithm's 64 bits.
pub const RATE_COUNT_MAX: u32 = 1_000_000;

/// Rate limits for tools, and as many for components, upstreams and methods. A request is compared with each.
pub const RATES_OF_A_KIND_MAX: usize = 256;

/// Steps of a JSON pointer in a rule.
pub const RULE_POINTER_DEPTH_MAX: usize = 16;

/// Keys of one object that all rules together may ask for: each is a bit of a word while the object is read.
pub const RULE_ARGUMENT_KEYS_MAX: usize = 64;

/// Classes of callers whose pages of lists one catalogue keeps. Callers that the same rules are about are of one class; the pages of a
/// class beyond are composed for each request.
pub const LIST_CLASS_COUNT_MAX: usize = 64;

/// Pages of one list that are kept for one class of callers.
pub const LIST_CLASS_PAGES_MAX: usize = 8;

/// Bytes of the pages that one catalogue keeps for all classes of callers together.
pub const LIST_CLASS_BYTES_MAX: usize = 16 << 20;

/// Suggestions in the answer to one `completion/complete`.
pub const SUGGESTION_COUNT_MAX: usize = 100;

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
    /// Time from the begin of a connection to the end of its TLS handshake.
    pub handshake_deadline: Duration,
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
    /// Resources that one session, or one `subscriptions/listen`, may follow.
    pub subscription_count_max: usize,
    /// Events that a session keeps for a client that comes back.
    pub session_event_count_max: usize,
    /// Bytes of the events that a session keeps.
    pub session_event_bytes_max: usize,
    /// Bytes of events and subscriptions of all sessions together.
    pub event_bytes_max: usize,
    /// Time an event is kept for a client that comes back.
    pub session_event_deadline: Duration,
    /// Messages in one batch, in the one revision that has them.
    pub batch_count_max: usize,
    /// Entries on one page of a list.
    pub list_page_max: usize,
    /// Bytes of one `requestState`, as it goes to the client.
    pub request_state_bytes_max: usize,
    /// Time in which a client may come back with a `requestState`.
    pub request_state_deadline: Duration,
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
    /// Instances alive between calls in the whole process: those of `per-session` and `singleton` components.
    pub live_instance_count_max: usize,
    /// Time that a session's instance may stay unused.
    pub live_instance_idle_deadline: Duration,
    /// Calls that may wait for a worker thread.
    pub worker_queue_max: usize,
    /// Progress and log messages that one call may have waiting to be sent; more are dropped.
    pub outbox_count_max: usize,
    /// Bytes of messages that one call may have waiting to be sent, and of all the questions that it asks.
    pub outbox_bytes_max: usize,
    /// Questions to clients that may be open in the whole process: at most half of `request_count_max`.
    pub ask_count_max: usize,
    /// Questions that may be open in one session.
    pub ask_session_count_max: usize,
    /// Time that one question to a client may wait for its answer; it does not count against the call's deadline.
    pub ask_deadline: Duration,
    /// Time that a question waits whose stream nobody carries: its client may come back until then.
    pub ask_unheard_deadline: Duration,
    /// Bytes that one call may keep from one of its runs to the next.
    pub state_bytes_max: usize,
    /// Bytes of what one component may list, all lists together.
    pub definition_bytes_max: usize,
    /// Bytes of a component file.
    pub component_bytes_max: usize,
    /// Components loaded at one time.
    pub component_count_max: usize,
    /// Tasks that are kept at one time, those that have ended and those that have not.
    pub task_count_max: usize,
    /// Tasks that are kept for one authenticated caller. Callers who are not authenticated share `task_count_max`.
    pub task_share_max: usize,
    /// Bytes that all tasks together may keep, in memory and in files.
    pub task_bytes_max: usize,
    /// Bytes of one task's result.
    pub task_result_bytes_max: usize,
    /// Runs of tasks at one time; the others wait for their turn.
    pub task_running_max: usize,
    /// Wall time of one run of a task.
    pub task_deadline: Duration,
    /// Time that a task is kept, from when it was made, unless its client asks for another.
    pub task_ttl: Duration,
    /// The longest time that a client may ask for.
    pub task_ttl_max: Duration,
    /// Callers, addresses or sessions that one rate limit counts by themselves; those beyond share counters.
    pub rate_key_count_max: usize,
    /// Proofs that one address, of IPv6 one /64, may show in a second and that turn out to be worth nothing; whoever is there and not
    /// known yet waits then. Callers whose proof was good before are not asked for it again, and so do not wait.
    pub auth_failure_per_second_max: usize,
    /// Entries of all lists together that one upstream may offer; the rest is not offered.
    pub upstream_entry_count_max: usize,
    /// Children of all stdio upstreams together.
    pub upstream_child_count_max: usize,
    /// Time that a start waits for upstreams to say what they offer; who has not said it by then is added later.
    pub upstream_start_deadline: Duration,
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
            handshake_deadline: Duration::from_secs(10),
            head_deadline: Duration::from_secs(10),
            body_deadline: Duration::from_secs(30),
            idle_deadline: Duration::from_secs(75),
            write_deadline: Duration::from_secs(30),
            drain_deadline: Duration::from_secs(30),
            session_count_max: 100_000,
            session_idle_deadline: Duration::from_secs(3600),
            subscription_count_max: 1_000,
            session_event_count_max: 1_000,
            session_event_bytes_max: 8 << 20,
            event_bytes_max: 100 << 20,
            session_event_deadline: Duration::from_secs(300),
            batch_count_max: 100,
            list_page_max: 1_000,
            request_state_bytes_max: 256 << 10,
            request_state_deadline: Duration::from_secs(600),
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
            live_instance_count_max: 256,
            live_instance_idle_deadline: Duration::from_secs(600),
            worker_queue_max: 1_000,
            outbox_count_max: 64,
            outbox_bytes_max: 1 << 20,
            ask_count_max: 500,
            ask_session_count_max: 32,
            ask_deadline: Duration::from_secs(300),
            ask_unheard_deadline: Duration::from_secs(60),
            state_bytes_max: 64 << 10,
            definition_bytes_max: 4 << 20,
            component_bytes_max: 64 << 20,
            component_count_max: 256,
            task_count_max: 10_000,
            task_share_max: 1_000,
            task_bytes_max: 256 << 20,
            task_result_bytes_max: 4 << 20,
            task_running_max: 100,
            task_deadline: Duration::from_secs(1800),
            task_ttl: Duration::from_secs(3600),
            task_ttl_max: Duration::from_secs(86_400),
            rate_key_count_max: 100_000,
            // At some 60 µs for a forged signature an address can take 6 ms of a second.
            auth_failure_per_second_max: 100,
            upstream_entry_count_max: 10_000,
            upstream_child_count_max: 256,
            upstream_start_deadline: Duration::from_secs(5),
        }
    }
}

const _: () = assert!(RECEIVE_BUFFER_COUNT.is_power_of_two());
const _: () = assert!(RING_ENTRIES.is_power_of_two() && RING_COMPLETION_ENTRIES >= RING_ENTRIES);
const _: () = assert!(RING_OPERATIONS_MAX <= RING_COMPLETION_ENTRIES as usize);
const _: () = assert!(
    BUFFER_CLASS_BYTES[0] < BUFFER_CLASS_BYTES[1] && BUFFER_CLASS_BYTES[1] < BUFFER_CLASS_BYTES[2]
);
