//! One downstream connection: which phase it is in, what it holds, and until when.
//!
//! A connection is data; [`super::Shard`] moves it through its phases. One request is served at a time: pipelined ones wait in
//! the inbox, and their answers leave together in one write when they are ready together.

use std::net::IpAddr;

use crate::mem::PoolBuffer;
use crate::wire::chunked::ChunkDecoder;
use crate::wire::http1::HeadScan;

use super::exchange::Exchange;
use super::inbox::Inbox;
use super::stream::Stream;
use super::tls::Tls;

/// What a connection is waiting for. Each phase has its own deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The end of TLS's handshake.
    Handshake,
    /// The first byte of a request.
    Idle,
    /// The rest of a head.
    Head,
    /// The rest of a body.
    Body,
    /// Calls that have left the shard.
    Calling,
    /// Nothing: it carries an event stream until one side ends it, or the answer is whole.
    Streaming,
    /// The peer, to take the last answer and close; what it still sends is thrown away.
    Lingering,
    /// The ring's last word about the socket.
    Closing,
}

/// A chunked body on its way in: the head, then the decoded data, in one buffer.
pub(super) struct ChunkedBody {
    pub(super) buffer: PoolBuffer,
    pub(super) head_bytes: usize,
    pub(super) decoder: ChunkDecoder,
}

/// What a connection waited for, or carried, when it ended.
pub(super) struct Left {
    pub(super) exchange: Option<Box<Exchange>>,
    pub(super) stream: Option<Box<Stream>>,
}

/// One connection.
pub(super) struct Connection {
    pub(super) phase: Phase,
    /// Where it comes from; asked for once, since it is a system call.
    pub(super) address: Option<IpAddr>,
    /// What is between the bytes on the wire and ours, where there is anything.
    pub(super) tls: Option<Box<Tls>>,
    pub(super) inbox: Inbox,
    pub(super) scan: HeadScan,
    /// Unread bytes it takes to have the whole request; 0 while that is not known.
    pub(super) awaiting_bytes: usize,
    /// When the first byte of the request now arriving was seen, on the service's clock.
    pub(super) arrived: Option<u64>,
    pub(super) body: Option<Box<ChunkedBody>>,
    pub(super) exchange: Option<Box<Exchange>>,
    pub(super) stream: Option<Box<Stream>>,
    /// Bytes that wait for the send in flight to end.
    pub(super) queued: Option<PoolBuffer>,
    pub(super) sending_since: Option<u64>,
    pub(super) close_after_send: bool,
    /// `100 Continue` has been sent for the request now arriving.
    pub(super) continued: bool,
    /// The peer has sent its last byte.
    pub(super) peer_ended: bool,
    pub(super) paused: bool,
    /// Refused at the connection limit, so never counted by it.
    pub(super) uncounted: bool,
    /// When the phase must be over, in milliseconds of the shard's clock.
    pub(super) deadline_ms: u64,
    /// When the send in flight must be over.
    pub(super) write_deadline_ms: u64,
}

impl Connection {
    pub(super) fn new(address: Option<IpAddr>, deadline_ms: u64) -> Self {
        Self {
            phase: Phase::Idle,
            address,
            tls: None,
            inbox: Inbox::default(),
            scan: HeadScan::default(),
            awaiting_bytes: 0,
            arrived: None,
            body: None,
            exchange: None,
            stream: None,
            queued: None,
            sending_since: None,
            close_after_send: false,
            continued: false,
            peer_ended: false,
            paused: false,
            uncounted: false,
            deadline_ms,
            write_deadline_ms: u64::MAX,
        }
    }

    /// What its end leaves to be settled.
    pub(super) fn leave(&mut self) -> Left {
        Left {
            exchange: self.exchange.take(),
            stream: self.stream.take(),
        }
    }

    /// Whether the next request may be looked at.
    pub(super) fn is_reading(&self) -> bool {
        matches!(self.phase, Phase::Idle | Phase::Head | Phase::Body) && !self.close_after_send
    }

    /// Whether a deadline has passed. While an answer is being taken only that has one: the peer may well wait for its end.
    pub(super) fn is_overdue(&self, now_ms: u64) -> bool {
        match self.sending_since {
            // A handshake is late as a whole, whoever waits for whom.
            Some(_) if self.phase != Phase::Handshake => now_ms >= self.write_deadline_ms,
            Some(_) => now_ms >= self.deadline_ms.min(self.write_deadline_ms),
            None => now_ms >= self.deadline_ms,
        }
    }

    /// Whether what the peer still sends is thrown away.
    pub(super) fn is_deaf(&self) -> bool {
        matches!(
            self.phase,
            Phase::Streaming | Phase::Lingering | Phase::Closing
        ) || self.close_after_send
    }

    /// Whether closing it now would cost nobody anything.
    pub(super) fn is_quiet(&self) -> bool {
        self.phase == Phase::Idle && self.sending_since.is_none() && self.queued.is_none()
    }
}
