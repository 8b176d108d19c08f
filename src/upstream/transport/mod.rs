//! Exchanges with HTTP upstreams and streams of lines to children, on a thread's ring.
//!
//! ```text
//!   begin(request) ─▶ pool ─▶ connect ─▶ [TLS] ─▶ one write ─▶ Head ─▶ Message… ─▶ End | Failed
//!   adopt(stream) ─▶ write_line… ─▶ one write a turn ─▶ Line… ─▶ StreamEnded
//! ```
//!
//! This layer knows nothing of MCP: it is told what to send, and tells what came. Once a turn its owner hands it the
//! completions that it [owns](Transport::owns), then calls [`Transport::flush`]; once in a while [`Transport::sweep`].
//!
//! Invariants:
//! - an exchange ends in exactly one `End` or `Failed`, unless it is abandoned; a stream in one `StreamEnded`, unless it is closed;
//! - a connection serves one exchange at a time, and is used for nothing more once anything about it is in doubt;
//! - what was not handed over for sending is said to have reached nothing, and only that;
//! - a socket's entry lives until the ring says that it is closed, and is counted in its pool exactly once;
//! - what waits is bounded: exchanges for a connection, lines for a stream, bytes that nobody wants to hear now.

mod ask;
mod attempt;
mod connect;
mod connection;
mod exchange;
mod failure;
mod flush;
mod map;
mod options;
mod origin;
mod request;
mod stream;
mod table;

#[cfg(test)]
mod tests;

use super::http::AnswerHead;
use crate::policy::{Failed, Reached};

pub use options::{
    LONG_COUNT_MAX, QueueFull, STREAM_QUEUE_BYTES_MAX, TransportOptions, TransportStats,
    WAITING_COUNT_MAX,
};
pub use request::{HeadFacts, Request, Verb};
pub use table::Transport;

/// Where events go. It must not call back into the table.
pub type Sink<'s> = dyn FnMut(TransportEvent<'_>) + 's;

/// Names one exchange, for ever; chosen by whoever begins it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExchangeKey(pub u64);

/// Names one adopted stream, for ever; chosen by whoever adopts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey(pub u64);

/// What came. Texts are borrowed from where they were received.
#[derive(Debug)]
pub enum TransportEvent<'a> {
    /// An exchange's answer begins.
    Head {
        /// Which exchange.
        key: ExchangeKey,
        /// Its head.
        head: &'a AnswerHead,
    },
    /// One JSON-RPC message (or batch): a whole JSON body, or the data of one event of type `message`.
    Message {
        /// Which exchange.
        key: ExchangeKey,
        /// Its text; never empty.
        text: &'a [u8],
    },
    /// An event of another type than `message`: `endpoint`, for one.
    Event {
        /// Which exchange.
        key: ExchangeKey,
        /// Its type.
        kind: &'a [u8],
        /// Its data.
        data: &'a [u8],
    },
    /// The beginning of a body that is neither JSON nor events, for a log.
    Other {
        /// Which exchange.
        key: ExchangeKey,
        /// At most a few KiB.
        text: &'a [u8],
    },
    /// An exchange is over as it should.
    End {
        /// Which exchange.
        key: ExchangeKey,
        /// Of an event stream: the id of its last event, for going on elsewhere; empty where there was none.
        last_event_id: &'a [u8],
        /// Of an event stream: how long to wait before that, where it said so.
        retry_ms: Option<u64>,
    },
    /// An exchange is over, and not as it should. Nothing more comes of it.
    Failed {
        /// Which exchange.
        key: ExchangeKey,
        /// How far it had got.
        reached: Reached,
        /// Of what.
        failed: Failed,
        /// The same for people: names no secret.
        why: &'a str,
        /// See [`TransportEvent::End`].
        last_event_id: &'a [u8],
        /// See [`TransportEvent::End`].
        retry_ms: Option<u64>,
    },
    /// One line of a stream, without its end.
    Line {
        /// Which stream.
        stream: StreamKey,
        /// The line; never empty.
        text: &'a [u8],
    },
    /// A stream is over: its key is invalid.
    StreamEnded {
        /// Which stream.
        stream: StreamKey,
        /// Why, for people.
        why: &'a str,
    },
}
