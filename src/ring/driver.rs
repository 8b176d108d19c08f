//! The state machine between the shard and a kernel: admission, continuation, cancellation, closing.
//!
//! What a call asks for is written into the socket's state; operations follow from the state. Each has a stage
//! (idle, waiting, in flight), and each event moves one stage and lets `progress_*` decide what follows. Accepts,
//! receives, sends, and urgent operations (cancel, shut down, close) are admitted separately, so that the armed
//! receives of idle connections can never keep an answer or a close from being submitted.

mod admission;
mod events;
mod progress;

use std::collections::VecDeque;
use std::io;
use std::mem::ManuallyDrop;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{OwnedFd, RawFd};
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::limits;
use crate::mem::{Output, Slab};

use self::admission::{CLASSES, Kind};
use super::address::Address;
use super::kernel::{Event, Kernel};
use super::socket::{Sending, Socket, Stage};
use super::{Completion, ListenerKey, Ring, RingStats, SocketKey};

/// Listening sockets of one ring.
const LISTENERS_MAX: usize = 16;

/// Connections taken by one accept operation; then it is cancelled and another looks at the listener afresh. Linux forgets a
/// wake-up of an operation that has more than 127 of them to work off, and then the last connection of a flood would wait for the
/// next one to come.
const ACCEPTS_PER_OPERATION: u32 = 100;

/// Sizes of a ring. `Default` gives those of [`crate::limits`].
#[derive(Clone, Debug)]
pub struct RingOptions {
    /// Submission queue entries; a power of two.
    pub entries: u32,
    /// Completion queue entries; a power of two.
    pub completion_entries: u32,
    /// Operations in flight at most; at least 16, and not more than completion entries. Half of them may be receives,
    /// so twice the sockets that are to receive at the same time.
    pub operations_max: usize,
    /// Accepted sockets open at most; what is accepted beyond is closed at once and counted.
    pub socket_count_max: usize,
    /// Connecting, connected and adopted sockets open at most: places of their own, which no flood of arrivals takes.
    pub connect_count_max: usize,
    /// Receive buffers; a power of two.
    pub receive_buffer_count: u16,
    /// Bytes of one receive buffer.
    pub receive_buffer_bytes: usize,
    /// Events handled in one turn.
    pub completions_per_turn_max: usize,
    /// Of io_uring: the kernel refuses every operation and registration on this ring that it is not made for, whoever submits it.
    pub restricted: bool,
}

impl Default for RingOptions {
    fn default() -> Self {
        Self {
            entries: limits::RING_ENTRIES,
            completion_entries: limits::RING_COMPLETION_ENTRIES,
            operations_max: limits::RING_OPERATIONS_MAX,
            socket_count_max: limits::Limits::default().connection_count_max,
            connect_count_max: limits::RING_CONNECT_COUNT_MAX,
            receive_buffer_count: limits::RECEIVE_BUFFER_COUNT as u16,
            receive_buffer_bytes: limits::BUFFER_CLASS_BYTES[0],
            completions_per_turn_max: limits::COMPLETIONS_PER_TURN_MAX,
            restricted: true,
        }
    }
}

impl RingOptions {
    pub(super) fn check(&self) -> io::Result<()> {
        let sound = self.operations_max >= 16
            && self.operations_max <= self.completion_entries as usize
            && self.receive_buffer_count.is_power_of_two()
            && self.receive_buffer_bytes > 0
            && self.socket_count_max > 0
            && self.completions_per_turn_max > 0;
        if sound {
            Ok(())
        } else {
            Err(io::Error::from(io::ErrorKind::InvalidInput))
        }
    }
}

struct Listener {
    fd: RawFd,
    accept: Stage,
    /// Connections that the accept in flight has brought.
    taken: u32,
    cancel: Stage,
    wanted: bool,
    /// Descriptors or memory ran out: paused until a socket closes.
    exhausted: bool,
    stopping: bool,
}

impl Listener {
    fn is_to_be_cancelled(&self) -> bool {
        self.stopping || !self.wanted || self.taken >= ACCEPTS_PER_OPERATION
    }
}

/// A ring over a kernel interface.
pub struct Driver<K: Kernel> {
    pub(super) kernel: K,
    sockets: Slab<Box<Socket>>,
    listeners: Slab<Listener>,
    waiting: [VecDeque<(Kind, u64)>; CLASSES.len()],
    in_flight: [usize; CLASSES.len()],
    in_flight_max: [usize; CLASSES.len()],
    operations_max: usize,
    /// Sockets in the table that were accepted, and how many may be.
    accepted_count: usize,
    accepted_count_max: usize,
    connect_count_max: usize,
    starved: VecDeque<u64>,
    exhausted_count: usize,
    events: Vec<Event>,
    events_max: usize,
    stats: RingStats,
}

impl<K: Kernel> Driver<K> {
    pub(super) fn with_kernel(kernel: K, options: &RingOptions) -> Self {
        let total = options.operations_max;
        // Of 16 operations 1 may accept, 1 connect, 4 send and 8 receive, which leaves two for ending something.
        let in_flight_max = [total, total / 16, total / 16, total / 4, total / 2];
        Self {
            kernel,
            sockets: Slab::new(options.socket_count_max + options.connect_count_max),
            listeners: Slab::new(LISTENERS_MAX),
            waiting: Default::default(),
            in_flight: [0; CLASSES.len()],
            in_flight_max,
            operations_max: total,
            accepted_count: 0,
            accepted_count_max: options.socket_count_max,
            connect_count_max: options.connect_count_max,
            starved: VecDeque::new(),
            exhausted_count: 0,
            events: Vec::with_capacity(options.completions_per_turn_max),
            events_max: options.completions_per_turn_max,
            stats: RingStats::default(),
        }
    }

    /// Blocks until [`Ring::turn`] has something to do, or the time is over: for tests and tools, never on a shard.
    ///
    /// Errors: waiting itself failed.
    pub fn wait(&mut self, timeout: std::time::Duration) -> io::Result<()> {
        if self.has_local_work() || self.kernel.has_work() {
            return Ok(());
        }
        self.kernel.wait(timeout)
    }

    /// Whether an operation is in flight that ends by itself whatever the peer does: a shutdown, a close, a cancellation.
    #[cfg(test)]
    pub(super) fn ends_something(&self) -> bool {
        self.in_flight[admission::Class::Urgent as usize] > 0
    }

    /// Connections that the accept in flight has brought.
    #[cfg(test)]
    pub(super) fn listener_taken(&self, listener: ListenerKey) -> u32 {
        self.listeners
            .get(listener.0)
            .map_or(0, |state| state.taken)
    }

    fn available_buffers(&self) -> usize {
        let group = self.kernel.group();
        usize::from(group.count()) - group.lent() - group.returned()
    }

    fn has_local_work(&self) -> bool {
        !self.starved.is_empty() && self.available_buffers() + self.kernel.group().returned() > 0
    }

    /// Gives returned buffers to the kernel, and arms as many starved receives as there are buffers, in order.
    fn recycle(&mut self) {
        while let Some(index) = self.kernel.group().take_returned() {
            self.kernel.provide(index);
        }
        for _ in 0..self.available_buffers() {
            let Some(key) = self.starved.pop_front() else {
                return;
            };
            let Some(socket) = self.sockets.get_mut(key) else {
                continue;
            };
            socket.starved_queued = false;
            if socket.starved {
                socket.starved = false;
                let idle = socket.receive == Stage::Idle && socket.cancel_receive == Stage::Idle;
                if socket.receive_wanted && !socket.closing && idle {
                    self.start(Kind::Receive, key);
                }
            }
        }
    }
}

impl<K: Kernel> Ring for Driver<K> {
    fn listen(&mut self, listener: TcpListener) -> io::Result<ListenerKey> {
        let fd = self.kernel.adopt(listener)?;
        self.listen_fd(fd)
    }

    fn connect(&mut self, address: SocketAddr) -> io::Result<SocketKey> {
        self.check_room_to_connect()?;
        let fd = self.kernel.socket(address)?;
        let key = self.insert_outgoing(Socket::connecting(fd, Address::new(address)))?;
        self.start(Kind::Connect, key.0);
        Ok(key)
    }

    fn adopt(&mut self, stream: OwnedFd) -> io::Result<SocketKey> {
        self.check_room_to_connect()?;
        let fd = self.kernel.adopt_stream(stream)?;
        self.insert_outgoing(Socket::adopted(fd))
    }

    fn pause_listening(&mut self, listener: ListenerKey) {
        if let Some(state) = self.listeners.get_mut(listener.0) {
            state.wanted = false;
            self.progress_listener(listener.0);
        }
    }

    fn resume_listening(&mut self, listener: ListenerKey) {
        if let Some(state) = self.listeners.get_mut(listener.0) {
            self.exhausted_count -= usize::from(state.exhausted);
            state.exhausted = false;
            state.wanted = true;
            self.progress_listener(listener.0);
        }
    }

    fn stop_listening(&mut self, listener: ListenerKey) {
        if let Some(state) = self.listeners.get_mut(listener.0) {
            state.wanted = false;
            state.stopping = true;
            self.progress_listener(listener.0);
        }
    }

    fn receive(&mut self, socket: SocketKey) {
        let Some(state) = self.sockets.get_mut(socket.0) else {
            return;
        };
        if state.ended || state.failed || state.closing {
            return;
        }
        state.receive_wanted = true;
        if !state.starved {
            self.progress_receive(socket.0);
        }
    }

    fn pause(&mut self, socket: SocketKey) {
        let Some(state) = self.sockets.get_mut(socket.0) else {
            return;
        };
        state.receive_wanted = false;
        state.starved = false;
        if state.receive == Stage::InFlight && !state.closing {
            self.start(Kind::CancelReceive, socket.0);
        }
    }

    fn send(&mut self, socket: SocketKey, output: Output) {
        let Some(state) = self.sockets.get_mut(socket.0) else {
            return;
        };
        if state.failed || state.closing {
            return;
        }
        assert!(state.sending.is_none(), "one send at a time per socket");
        assert!(!output.is_empty(), "an output has bytes");
        state.sending = Some(Sending::new(output));
        self.progress_send(socket.0);
    }

    fn shutdown(&mut self, socket: SocketKey) {
        let Some(state) = self.sockets.get_mut(socket.0) else {
            return;
        };
        if state.failed || state.closing {
            return;
        }
        state.shutdown_wanted = true;
        self.progress_send(socket.0);
    }

    fn close(&mut self, socket: SocketKey) {
        let Some(state) = self.sockets.get_mut(socket.0) else {
            return;
        };
        if state.closing {
            return;
        }
        state.closing = true;
        state.receive_wanted = false;
        state.starved = false;
        if state.send != Stage::InFlight {
            state.sending = None;
        }
        self.progress_close(socket.0);
    }

    fn turn(&mut self, completions: &mut Vec<Completion>) -> io::Result<()> {
        self.recycle();
        let full = self.flush_waiting();
        self.kernel.enter(&mut self.stats)?;
        if full {
            // The queue has room now; what does not fit this time waits for the next turn.
            self.flush_waiting();
        }
        let mut events = std::mem::take(&mut self.events);
        self.kernel.reap(self.events_max, &mut events);
        self.stats.events += events.len() as u64;
        let before = completions.len();
        for event in events.drain(..) {
            self.handle(event, completions);
        }
        self.events = events;
        self.stats.completions += (completions.len() - before) as u64;
        self.flush_waiting();
        Ok(())
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_local_work() {
            return Poll::Ready(Ok(()));
        }
        if !self.starved.is_empty() {
            self.kernel.group().wake_on_return(cx.waker());
        }
        self.kernel.poll_ready(cx)
    }

    fn peer(&self, socket: SocketKey) -> Option<SocketAddr> {
        let state = self.sockets.get(socket.0)?;
        // From its close on the descriptor may already be someone else's.
        if state.close != Stage::Idle || state.connecting {
            None
        } else {
            self.kernel.peer(state.fd)
        }
    }

    fn stats(&self) -> RingStats {
        RingStats {
            in_flight: self.total_in_flight(),
            waiting: self.waiting.iter().map(VecDeque::len).sum(),
            buffers_out: self.kernel.group().lent(),
            buffer_count: usize::from(self.kernel.group().count()),
            ..self.stats
        }
    }

    fn open_sockets(&self) -> usize {
        self.sockets.len()
    }
}

impl<K: Kernel> Driver<K> {
    fn check_room_to_connect(&self) -> io::Result<()> {
        if self.sockets.len() - self.accepted_count < self.connect_count_max {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::QuotaExceeded,
            "as many outgoing connections as the ring may have are open",
        ))
    }

    fn insert_outgoing(&mut self, socket: Socket) -> io::Result<SocketKey> {
        match self.sockets.insert(Box::new(socket)) {
            Ok(key) => Ok(SocketKey(key)),
            Err(full) => {
                self.kernel.close_now(full.0.fd);
                Err(io::ErrorKind::QuotaExceeded.into())
            }
        }
    }

    pub(super) fn listen_fd(&mut self, fd: RawFd) -> io::Result<ListenerKey> {
        let listener = Listener {
            fd,
            accept: Stage::Idle,
            taken: 0,
            cancel: Stage::Idle,
            wanted: true,
            exhausted: false,
            stopping: false,
        };
        match self.listeners.insert(listener) {
            Ok(key) => {
                self.progress_listener(key);
                Ok(ListenerKey(key))
            }
            Err(_full) => {
                self.kernel.close_now(fd);
                Err(io::Error::other("a ring has at most 16 listeners"))
            }
        }
    }
}

impl<K: Kernel> Drop for Driver<K> {
    fn drop(&mut self) {
        let mut events = Vec::new();
        let retired = self.kernel.retire(self.total_in_flight(), &mut events);
        for event in events {
            if Kind::of(event.user_data) == Some(Kind::Accept) && event.result >= 0 {
                self.kernel.close_now(event.result);
            }
        }
        // A close in flight was executed by `retire`; the number may already be another file's.
        for (_, socket) in self
            .sockets
            .iter()
            .filter(|(_, socket)| socket.close != Stage::InFlight)
        {
            self.kernel.close_now(socket.fd);
        }
        for (_, listener) in self.listeners.iter() {
            self.kernel.close_now(listener.fd);
        }
        if !retired {
            // Memory that the kernel may still touch is never freed.
            let _sockets = ManuallyDrop::new(std::mem::replace(&mut self.sockets, Slab::new(1)));
            let _buffers = ManuallyDrop::new(Rc::clone(self.kernel.group()));
        }
    }
}
