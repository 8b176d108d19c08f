//! The seam between the driver and what executes its operations: io_uring, epoll, or a simulation.
//!
//! The vocabulary is io_uring's, because it is the strictest: operations are queued, executed by `enter`, and end
//! in events, in any order. An operation has one event, or several of which only the last lacks `more`.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{OwnedFd, RawFd};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::RingStats;
use super::group::BufferGroup;

/// One unit of work for the kernel.
#[derive(Clone, Copy, Debug)]
pub enum Operation {
    /// Accept connections until cancelled or failed; each is an event whose result is the new descriptor.
    Accept {
        /// The listening socket.
        fd: RawFd,
    },
    /// Connect to an address. Result 0, once the handshake is done.
    Connect {
        /// The socket, made by [`Kernel::socket`].
        fd: RawFd,
        /// The address, in stable memory.
        address: *const libc::sockaddr_storage,
        /// Bytes of the address that count.
        len: u32,
    },
    /// Receive into a buffer of the group: once, or until cancelled, ended or failed, as the kernel can without ever missing
    /// that there is something to receive.
    Receive {
        /// The socket.
        fd: RawFd,
        /// The receive before this one took all there was: waiting comes before trying.
        drained: bool,
    },
    /// Send one piece of memory; the result may be short.
    Send {
        /// The socket.
        fd: RawFd,
        /// First byte.
        bytes: *const u8,
        /// Bytes to send; never 0.
        len: u32,
    },
    /// Send several pieces; the result may be short.
    SendMessage {
        /// The socket.
        fd: RawFd,
        /// The header, whose vectors are part of the same stable memory.
        message: *const libc::msghdr,
    },
    /// Shut the socket down: `SHUT_WR` or `SHUT_RDWR`.
    Shutdown {
        /// The socket.
        fd: RawFd,
        /// Which half.
        how: i32,
    },
    /// Cancel one operation by its user data. Result 0, or `-ENOENT`, or `-EALREADY`.
    Cancel {
        /// The user data of the operation.
        target: u64,
    },
    /// Cancel every operation on a descriptor. The result is how many, or `-ENOENT`, or `-EALREADY`.
    CancelAll {
        /// The descriptor.
        fd: RawFd,
    },
    /// Close the descriptor.
    Close {
        /// The descriptor.
        fd: RawFd,
    },
}

/// One result of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// What the operation was pushed with.
    pub user_data: u64,
    /// A count or a descriptor, or a negated error number.
    pub result: i32,
    /// More events of the same operation follow.
    pub more: bool,
    /// The buffer of the group that this event hands over.
    pub buffer: Option<u16>,
    /// Of a receive: nothing was left behind these bytes. Only a hint.
    pub drained: bool,
}

/// Executes operations. Dropping one must not be relied on to stop it: see [`Kernel::retire`].
pub trait Kernel {
    /// Takes over a listening socket; the driver closes the descriptor with [`Kernel::close_now`].
    ///
    /// Errors: the descriptor cannot be prepared.
    fn adopt(&mut self, listener: TcpListener) -> io::Result<RawFd>;

    /// Takes over a connected stream socket, of the internet or of Unix; the driver closes the descriptor.
    ///
    /// Errors: it is no stream socket, or cannot be prepared.
    fn adopt_stream(&mut self, stream: OwnedFd) -> io::Result<RawFd>;

    /// Makes a TCP socket that is to connect to `address`; the driver closes the descriptor.
    ///
    /// Errors: descriptors or memory ran out, or the host has no such address family.
    fn socket(&mut self, address: SocketAddr) -> io::Result<RawFd>;

    /// Queues an operation; `false` when the queue is full until the next [`Kernel::enter`].
    ///
    /// # Safety
    /// The memory that the operation points to stays valid and unchanged until its last event was reaped, or until
    /// [`Kernel::retire`] returned `true`.
    unsafe fn push(&mut self, operation: Operation, user_data: u64) -> bool;

    /// Gives a buffer of the group to the kernel; it is the kernel's until an event hands it over.
    fn provide(&mut self, index: u16);

    /// Executes what is queued and lets results appear; never blocks. A transient failure leaves everything queued.
    ///
    /// Errors: the kernel interface itself failed, for good.
    fn enter(&mut self, stats: &mut RingStats) -> io::Result<()>;

    /// Appends at most `limit` events.
    fn reap(&mut self, limit: usize, events: &mut Vec<Event>);

    /// Whether `enter` and `reap` would do anything now.
    fn has_work(&self) -> bool;

    /// Ready when [`Kernel::has_work`] is true; otherwise keeps the waker.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Blocks until there is work or the time is over: for tests and tools, never on a shard.
    ///
    /// Errors: waiting itself failed.
    fn wait(&mut self, timeout: Duration) -> io::Result<()>;

    /// The other end of a descriptor.
    fn peer(&self, fd: RawFd) -> Option<SocketAddr>;

    /// Closes a descriptor that has no operation in flight, at once.
    fn close_now(&mut self, fd: RawFd);

    /// Executes the closes that are queued and gives up everything else. `true` when the kernel touches no memory of ours any more; `in_flight` counts
    /// the operations whose last event has not been reaped. Events that still came are appended.
    fn retire(&mut self, in_flight: usize, events: &mut Vec<Event>) -> bool;

    /// The buffers that receives fill.
    fn group(&self) -> &Rc<BufferGroup>;
}
