//! Sockets for a shard: operations go in, completions come out, one turn at a time.
//!
//! ```text
//!   shard ──listen/connect/receive/send/close──▶ Driver<K> ──Operation──▶ K: Kernel = Uring | Epoll | Sim
//!         ◀────────────Completion─────────────── (one state machine) ◀──Event──
//! ```
//!
//! The driver holds everything that must be right; a kernel only executes. So the state machine that serves
//! production is the one that the simulated kernel tests with faults.
//!
//! Invariants, each a bug that a real io_uring program shipped:
//! - memory handed to an operation belongs to the ring until that operation's last event; no caller can free it;
//! - a key and an event carry a generation: an event of a closed socket finds nothing, and a late accept is closed;
//! - operations in flight never exceed `operations_max`; what does not fit waits in order;
//! - at most one receive and one send are in flight per socket; a short send is continued;
//! - a receive that found no buffer waits in a fair queue for one to come home, never on a timer;
//! - `Closed` is the last completion of a socket, and every socket that was closed gets it.
//!
//! A ring never blocks, never reads a clock, and never chooses another kernel interface by itself.

mod address;
mod driver;
mod epoll;
mod errno;
mod group;
mod kernel;
mod priority;
pub mod probe;
mod readiness;
pub mod sim;
mod socket;
mod syscall;
mod uring;

#[cfg(test)]
mod conformance;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::task::{Context, Poll};

use crate::mem::Output;

pub use driver::{Driver, RingOptions};
pub use epoll::{Epoll, EpollRing};
pub use group::ReceiveBuffer;
pub use kernel::{Event, Kernel, Operation};
pub use priority::step_back;
pub use readiness::OneEvent;
pub use sim::{Faults, SimClient, SimNetwork, SimRing};
pub use uring::{Uring, UringRing};

/// Names one socket, for ever: a key of a closed socket never names another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketKey(pub(crate) u64);

impl SocketKey {
    /// The place in the table, below the count of sockets ever open at once: for a side table.
    pub fn index(self) -> usize {
        self.0 as u32 as usize
    }

    /// The key as a number, for logs.
    pub fn number(self) -> u64 {
        self.0
    }
}

/// Names one listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerKey(pub(crate) u64);

/// What happened.
#[derive(Debug)]
pub enum Completion {
    /// A connection arrived. Nothing is received from it until [`Ring::receive`].
    Accepted {
        /// Where it arrived.
        listener: ListenerKey,
        /// Its key.
        socket: SocketKey,
    },
    /// Accepting failed. After `EMFILE`, `ENFILE`, `ENOBUFS` or `ENOMEM` the listener pauses until a socket of this
    /// ring closes or [`Ring::resume_listening`] is called; other failures do not stop it.
    AcceptFailed {
        /// The listener.
        listener: ListenerKey,
        /// The kernel's error number.
        errno: i32,
    },
    /// A connection that [`Ring::connect`] began is there. What was asked of it in the meantime goes on now.
    Connected {
        /// Which one.
        socket: SocketKey,
    },
    /// Bytes arrived; never empty.
    Received {
        /// From where.
        socket: SocketKey,
        /// The bytes, where the kernel put them. Drop it soon: the group is small.
        bytes: ReceiveBuffer,
    },
    /// The peer will send no more. Sending is still possible.
    EndOfStream {
        /// Which one.
        socket: SocketKey,
    },
    /// The socket is broken, in either direction; nothing more comes but `Closed`, once [`Ring::close`] is called.
    /// At most once per socket, also where a connection never came to be. An output that was being sent is gone.
    Failed {
        /// Which one.
        socket: SocketKey,
        /// Why.
        error: SocketError,
    },
    /// All bytes of the output are with the kernel, and its buffers are home.
    Sent {
        /// Which one.
        socket: SocketKey,
    },
    /// The socket is closed and its key invalid; the last completion of that key.
    Closed {
        /// Which one.
        socket: SocketKey,
    },
}

/// Why a socket broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketError {
    /// `ECONNRESET`, `ECONNABORTED`: the peer reset the connection.
    Reset,
    /// `EPIPE`, `ENOTCONN`, `ESHUTDOWN`: sent after the connection went away.
    BrokenPipe,
    /// `ETIMEDOUT`: the peer stopped acknowledging.
    TimedOut,
    /// `ECONNREFUSED`: nobody listens there.
    Refused,
    /// `EHOSTUNREACH`, `ENETUNREACH`, `ENETDOWN`, `EHOSTDOWN`: the network says the peer cannot be reached.
    Unreachable,
    /// `EADDRNOTAVAIL`: every local port towards that peer is taken.
    NoLocalPort,
    /// `ENOMEM`, and `ENOBUFS` of a send: the kernel has no memory for this socket.
    OutOfMemory,
    /// `EACCES`, `EPERM`: a firewall or security module forbids it.
    Forbidden,
    /// Any other error number: one that these operations are not documented to give.
    Unexpected(i32),
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reset => "connection reset by peer",
            Self::BrokenPipe => "connection already closed",
            Self::TimedOut => "peer stopped acknowledging",
            Self::Refused => "connection refused",
            Self::Unreachable => "peer cannot be reached",
            Self::NoLocalPort => "no local port is left towards the peer",
            Self::OutOfMemory => "no kernel memory for the socket",
            Self::Forbidden => "forbidden by the host",
            Self::Unexpected(errno) => return write!(f, "unexpected error number {errno}"),
        })
    }
}

impl std::error::Error for SocketError {}

/// Counters of one ring, since it was made; gauges are of now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingStats {
    /// System calls that submitted or reaped: `io_uring_enter`, or all calls of the epoll kernel.
    pub enters: u64,
    /// Operations given to the kernel.
    pub submitted: u64,
    /// Events taken from the kernel.
    pub events: u64,
    /// Completions handed to the shard.
    pub completions: u64,
    /// Events of sockets that were gone, and late accepts that were closed.
    pub stale: u64,
    /// Arrivals closed at once because as many sockets as may be were accepted.
    pub refused: u64,
    /// Receives that found the buffer group empty.
    pub starved: u64,
    /// Sends continued after a short one.
    pub short_sends: u64,
    /// Times the kernel reported a completion queue overflow.
    pub overflows: u64,
    /// Times an operation had to wait because `operations_max` were in flight.
    pub deferred: u64,
    /// Gauge: operations in flight.
    pub in_flight: usize,
    /// Gauge: the most that ever were.
    pub in_flight_high: usize,
    /// Gauge: operations waiting.
    pub waiting: usize,
    /// Gauge: receive buffers in the shard's hands.
    pub buffers_out: usize,
    /// Gauge: receive buffers in all.
    pub buffer_count: usize,
}

/// The sockets of one shard.
pub trait Ring {
    /// Takes a listening socket and accepts from it until [`Ring::stop_listening`].
    ///
    /// The caller sets the socket's options: what a connection should inherit (`TCP_NODELAY`) is set here, once.
    ///
    /// Errors: the table of listeners is full.
    fn listen(&mut self, listener: TcpListener) -> io::Result<ListenerKey>;

    /// Begins to connect; `Connected` or `Failed` follows. Receiving, sending and shutting down may be asked for at once, and begin
    /// with the connection. There is no deadline but the kernel's, of minutes: close it when it takes too long.
    ///
    /// Shape: small sends leave at once (`TCP_NODELAY`), and the kernel asks after a silent peer (`SO_KEEPALIVE`).
    /// Errors: [`io::ErrorKind::QuotaExceeded`] when `connect_count_max` sockets are open, or no socket can be made.
    fn connect(&mut self, address: SocketAddr) -> io::Result<SocketKey>;

    /// Takes over a stream socket that is already connected: a child's standard input and output, for one. Nothing is
    /// received from it until [`Ring::receive`].
    ///
    /// Errors: [`io::ErrorKind::QuotaExceeded`] when `connect_count_max` sockets are open, or it is no stream socket.
    fn adopt(&mut self, stream: OwnedFd) -> io::Result<SocketKey>;

    /// Stops accepting for now; connections queue in the kernel. Those already accepted may still be reported.
    fn pause_listening(&mut self, listener: ListenerKey);

    /// Accepts again after a pause; without one, does nothing.
    fn resume_listening(&mut self, listener: ListenerKey);

    /// Stops accepting and closes the listening socket. Nothing of this listener is reported any more: what was
    /// accepted in the meantime is closed.
    fn stop_listening(&mut self, listener: ListenerKey);

    /// Receives until paused, ended or failed; calling it again changes nothing.
    fn receive(&mut self, socket: SocketKey);

    /// Stops receiving. Bytes that the kernel had already handed over are still reported: none is ever lost.
    fn pause(&mut self, socket: SocketKey);

    /// Sends an output; `Sent` or `Failed` follows. One at a time per socket: a second one is a defect and panics.
    fn send(&mut self, socket: SocketKey, output: Output);

    /// Says "no more from us" to the peer, after the send in flight.
    fn shutdown(&mut self, socket: SocketKey);

    /// Gives up what is in flight and closes; `Closed` follows as the last completion of this key.
    fn close(&mut self, socket: SocketKey);

    /// Submits what is queued and appends what arrived, bounded per turn; never blocks.
    ///
    /// Errors: the ring itself is unusable; the shard cannot go on.
    fn turn(&mut self, completions: &mut Vec<Completion>) -> io::Result<()>;

    /// Ready when [`Ring::turn`] has something to submit or to reap. Otherwise the waker is kept.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// The address of the other end, while the socket is open; asks the kernel each time.
    fn peer(&self, socket: SocketKey) -> Option<SocketAddr>;

    /// Counters and gauges.
    fn stats(&self) -> RingStats;

    /// Sockets open: accepted, connecting, connected or adopted, and not yet `Closed`.
    fn open_sockets(&self) -> usize;
}
