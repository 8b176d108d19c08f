//! The kernel interface for hosts that forbid io_uring: the same operations on epoll and non-blocking sockets.
//!
//! Readiness is edge-triggered and remembered per descriptor; an operation is tried when it is submitted and again
//! after each edge, so nothing is armed or disarmed per request. Chosen by the operator, never by the program.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::driver::{Driver, RingOptions};
use super::group::BufferGroup;
use super::kernel::{Event, Kernel, Operation};
use super::readiness::Readiness;
use super::{RingStats, syscall};

/// Readiness changes taken in one turn.
const CHANGES_MAX: usize = 256;

/// Connections accepted from one listener in one turn, so that a flood of them does not hold up the rest.
const ACCEPTS_MAX: usize = 64;

/// Sockets over epoll.
pub type EpollRing = Driver<Epoll>;

impl EpollRing {
    /// A ring of the calling thread.
    ///
    /// Errors: no descriptor for epoll, or unsound options.
    pub fn new(options: RingOptions) -> io::Result<Self> {
        options.check()?;
        Ok(Self::with_kernel(Epoll::new(&options)?, &options))
    }
}

/// What is known and wanted of one descriptor.
#[derive(Default)]
struct Watched {
    readable: bool,
    writable: bool,
    /// The peer ended or broke the stream: read to the end even after a short read.
    hung_up: bool,
    /// It has an entry in the ready list.
    listed: bool,
    accept: Option<u64>,
    connect: Option<(Operation, u64)>,
    receive: Option<u64>,
    send: Option<(Operation, u64)>,
}

/// The epoll kernel interface.
pub struct Epoll {
    /// Before `epoll`: dropped first.
    readiness: Readiness,
    epoll: OwnedFd,
    /// By descriptor; descriptors are small and dense.
    watched: Vec<Option<Box<Watched>>>,
    submitted: VecDeque<(Operation, u64)>,
    submitted_max: usize,
    ready: VecDeque<RawFd>,
    events: VecDeque<Event>,
    free_buffers: Vec<u16>,
    changes: Vec<libc::epoll_event>,
    /// The last look at epoll filled `changes`: there may be more.
    more_changes: bool,
    group: Rc<BufferGroup>,
}

impl Epoll {
    fn new(options: &RingOptions) -> io::Result<Self> {
        // SAFETY: no pointer is passed.
        let fd = syscall::result(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) } as isize);
        if fd < 0 {
            return Err(io::Error::from_raw_os_error(-fd));
        }
        Ok(Self {
            readiness: Readiness::default(),
            // SAFETY: the call above made this descriptor and nobody else has it.
            epoll: unsafe { OwnedFd::from_raw_fd(fd) },
            watched: Vec::new(),
            submitted: VecDeque::with_capacity(options.entries as usize),
            submitted_max: options.entries as usize,
            ready: VecDeque::new(),
            events: VecDeque::new(),
            free_buffers: (0..options.receive_buffer_count).rev().collect(),
            changes: Vec::with_capacity(CHANGES_MAX),
            more_changes: true,
            group: BufferGroup::new(options.receive_buffer_count, options.receive_buffer_bytes),
        })
    }

    /// The state of a descriptor, which epoll watches from the first time on. It starts ready both ways: only
    /// trying tells.
    fn watch(&mut self, fd: RawFd) -> Result<&mut Watched, i32> {
        let index = fd as usize;
        if index >= self.watched.len() {
            self.watched.resize_with(index + 1, || None);
        }
        if self.watched[index].is_none() {
            let interest = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
            let mut event = libc::epoll_event {
                events: interest as u32,
                u64: fd as u64,
            };
            // SAFETY: `event` is a live structure, and the call only reads it.
            let added = syscall::result(unsafe {
                libc::epoll_ctl(
                    self.epoll.as_raw_fd(),
                    libc::EPOLL_CTL_ADD,
                    fd,
                    &raw mut event,
                )
            } as isize);
            if added < 0 {
                return Err(added);
            }
            let fresh = Watched {
                readable: true,
                writable: true,
                ..Watched::default()
            };
            self.watched[index] = Some(Box::new(fresh));
        }
        self.watched[index].as_deref_mut().ok_or(-libc::EBADF)
    }

    fn state(&mut self, fd: RawFd) -> Option<&mut Watched> {
        self.watched.get_mut(fd as usize)?.as_deref_mut()
    }

    fn list(&mut self, fd: RawFd) {
        if let Some(state) = self.state(fd)
            && !state.listed
        {
            state.listed = true;
            self.ready.push_back(fd);
        }
    }

    fn end(&mut self, user_data: u64, result: i32) {
        self.events.push_back(Event {
            user_data,
            result,
            more: false,
            buffer: None,
            drained: false,
        });
    }

    fn begin(&mut self, operation: Operation, user_data: u64) {
        match operation {
            Operation::Accept { fd } => {
                self.arm(fd, user_data, |state| state.accept = Some(user_data))
            }
            // Tried before epoll watches it: a socket that was never connected is reported as hung up.
            Operation::Connect { fd, .. } => match connect(operation) {
                error if error == -libc::EINPROGRESS || error == -libc::EINTR => {
                    self.arm(fd, user_data, |state| {
                        state.connect = Some((operation, user_data));
                    });
                }
                result => self.end(user_data, result),
            },
            Operation::Receive { fd, .. } => {
                self.arm(fd, user_data, |state| state.receive = Some(user_data))
            }
            Operation::Send { fd, .. } | Operation::SendMessage { fd, .. } => {
                self.arm(fd, user_data, |state| {
                    state.send = Some((operation, user_data))
                });
            }
            Operation::Shutdown { fd, how } => {
                // SAFETY: no pointer is passed.
                let result = syscall::result(unsafe { libc::shutdown(fd, how) } as isize);
                self.end(user_data, result);
            }
            Operation::Cancel { target } => {
                let everywhere = 0..self.watched.len();
                let result = if self.cancel(everywhere, |found| found == target) > 0 {
                    0
                } else {
                    -libc::ENOENT
                };
                self.end(user_data, result);
            }
            Operation::CancelAll { fd } => {
                match self.cancel(fd as usize..fd as usize + 1, |_| true) {
                    0 => self.end(user_data, -libc::ENOENT),
                    count => self.end(user_data, count),
                }
            }
            Operation::Close { fd } => {
                self.close_now(fd);
                self.end(user_data, 0);
            }
        }
    }

    fn arm(&mut self, fd: RawFd, user_data: u64, set: impl FnOnce(&mut Watched)) {
        match self.watch(fd) {
            Ok(state) => {
                set(state);
                self.list(fd);
            }
            Err(error) => self.end(user_data, error),
        }
    }

    /// Ends every operation of these descriptors whose user data `matches`; how many.
    fn cancel(&mut self, descriptors: Range<usize>, matches: impl Fn(u64) -> bool) -> i32 {
        let mut cancelled = 0;
        for state in self
            .watched
            .get_mut(descriptors)
            .into_iter()
            .flatten()
            .flatten()
        {
            let ended = [
                state.accept.take_if(|found| matches(*found)),
                state.receive.take_if(|found| matches(*found)),
                state
                    .connect
                    .take_if(|(_, found)| matches(*found))
                    .map(|(_, user_data)| user_data),
                state
                    .send
                    .take_if(|(_, found)| matches(*found))
                    .map(|(_, user_data)| user_data),
            ];
            for user_data in ended.into_iter().flatten() {
                cancelled += 1;
                let result = -libc::ECANCELED;
                self.events.push_back(Event {
                    user_data,
                    result,
                    more: false,
                    buffer: None,
                    drained: false,
                });
            }
        }
        cancelled
    }

    /// Does what a descriptor is ready for; lists it again when there is more to do.
    fn serve(&mut self, fd: RawFd) {
        let Some(state) = self.state(fd) else { return };
        state.listed = false;
        let (readable, writable) = (state.readable, state.writable);
        let (accept, receive, send) = (state.accept, state.receive, state.send);
        let connect = state.connect;
        if writable && let Some((operation, user_data)) = connect {
            self.serve_connect(fd, operation, user_data);
        }
        if readable && let Some(user_data) = accept {
            self.serve_accept(fd, user_data);
        }
        if readable && let Some(user_data) = receive {
            self.serve_receive(fd, user_data);
        }
        if writable && let Some((operation, user_data)) = send {
            self.serve_send(fd, operation, user_data);
        }
        if let Some(state) = self.state(fd)
            && state.readable
            && (state.accept.is_some() || state.receive.is_some())
        {
            self.list(fd);
        }
    }

    /// Asks how the connection stands: once it is there, connecting again says so.
    fn serve_connect(&mut self, fd: RawFd, operation: Operation, user_data: u64) {
        let result = connect(operation);
        let Some(state) = self.state(fd) else { return };
        match result {
            error if error == -libc::EALREADY || error == -libc::EINPROGRESS => {
                state.writable = false;
            }
            error if error == -libc::EINTR => self.list(fd),
            result => {
                state.connect = None;
                self.end(user_data, result);
            }
        }
    }

    fn serve_accept(&mut self, fd: RawFd, user_data: u64) {
        for _ in 0..ACCEPTS_MAX {
            let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
            // SAFETY: null pointers ask for no address.
            let result = syscall::result(unsafe {
                libc::accept4(fd, std::ptr::null_mut(), std::ptr::null_mut(), flags)
            } as isize);
            let Some(state) = self.state(fd) else { return };
            match result {
                0.. => self.events.push_back(Event {
                    user_data,
                    result,
                    more: true,
                    buffer: None,
                    drained: false,
                }),
                error if error == -libc::EAGAIN => {
                    state.readable = false;
                    return;
                }
                error if error == -libc::EINTR => {}
                error => {
                    state.accept = None;
                    self.end(user_data, error);
                    return;
                }
            }
        }
    }

    fn serve_receive(&mut self, fd: RawFd, user_data: u64) {
        let Some(index) = self.free_buffers.pop() else {
            if let Some(state) = self.state(fd) {
                state.receive = None;
            }
            return self.end(user_data, -libc::ENOBUFS);
        };
        let bytes = self.group.buffer_bytes();
        let address = self.group.address(index).as_ptr();
        // SAFETY: the buffer is `bytes` long and this kernel's until the event below hands it over.
        let result = syscall::result(unsafe { libc::recv(fd, address.cast(), bytes, 0) });
        if result <= 0 {
            self.free_buffers.push(index);
        }
        let Some(state) = self.state(fd) else { return };
        match result {
            1.. => {
                // A short read emptied the socket, unless its end is still to be read.
                state.readable = state.hung_up || result as usize == bytes;
                self.events.push_back(Event {
                    user_data,
                    result,
                    more: true,
                    buffer: Some(index),
                    drained: false,
                });
            }
            error if error == -libc::EAGAIN => state.readable = false,
            error if error == -libc::EINTR => {}
            ended => {
                state.receive = None;
                self.end(user_data, ended);
            }
        }
    }

    fn serve_send(&mut self, fd: RawFd, operation: Operation, user_data: u64) {
        let result = match operation {
            Operation::Send { bytes, len, .. } => {
                // SAFETY: whoever pushed the operation keeps its memory until the event below is reaped.
                unsafe { libc::send(fd, bytes.cast(), len as usize, libc::MSG_NOSIGNAL) }
            }
            Operation::SendMessage { message, .. } => {
                // SAFETY: as above, for the header, its vectors and what they point to.
                unsafe { libc::sendmsg(fd, message, libc::MSG_NOSIGNAL) }
            }
            _ => return,
        };
        let result = syscall::result(result);
        let Some(state) = self.state(fd) else { return };
        match result {
            error if error == -libc::EAGAIN => state.writable = false,
            error if error == -libc::EINTR => self.list(fd),
            result => {
                state.send = None;
                self.end(user_data, result);
            }
        }
    }

    /// Takes readiness changes without waiting.
    fn look(&mut self, timeout_ms: i32) -> io::Result<()> {
        // SAFETY: the vector has room for CHANGES_MAX structures; the kernel writes as many as it returns.
        let count = syscall::result(unsafe {
            libc::epoll_wait(
                self.epoll.as_raw_fd(),
                self.changes.as_mut_ptr(),
                CHANGES_MAX as i32,
                timeout_ms,
            )
        } as isize);
        let count = match count {
            0.. => count as usize,
            error if error == -libc::EINTR => 0,
            // EBADF, EFAULT, EINVAL: the epoll descriptor is unusable.
            error => return Err(io::Error::from_raw_os_error(-error)),
        };
        // SAFETY: the kernel initialized `count` structures, within capacity.
        unsafe { self.changes.set_len(count) };
        self.more_changes = count == CHANGES_MAX;
        for index in 0..count {
            let (events, fd) = (
                self.changes[index].events as i32,
                self.changes[index].u64 as RawFd,
            );
            let Some(state) = self.state(fd) else {
                continue;
            };
            let broken = events & (libc::EPOLLHUP | libc::EPOLLERR) != 0;
            state.hung_up |= broken || events & libc::EPOLLRDHUP != 0;
            state.readable |= broken || events & (libc::EPOLLIN | libc::EPOLLRDHUP) != 0;
            state.writable |= broken || events & libc::EPOLLOUT != 0;
            self.list(fd);
        }
        Ok(())
    }
}

/// Begins to connect, or asks how far it is.
fn connect(operation: Operation) -> i32 {
    let Operation::Connect { fd, address, len } = operation else {
        return -libc::EINVAL;
    };
    // SAFETY: whoever pushed the operation keeps its address until its event is reaped, which is made after this.
    syscall::result(unsafe { libc::connect(fd, address.cast(), len) } as isize)
}

impl Kernel for Epoll {
    fn adopt(&mut self, listener: TcpListener) -> io::Result<RawFd> {
        listener.set_nonblocking(true)?;
        Ok(listener.into_raw_fd())
    }

    fn adopt_stream(&mut self, stream: OwnedFd) -> io::Result<RawFd> {
        syscall::prepare_stream(stream, true)
    }

    fn socket(&mut self, address: SocketAddr) -> io::Result<RawFd> {
        syscall::stream_socket(address, true)
    }

    unsafe fn push(&mut self, operation: Operation, user_data: u64) -> bool {
        if self.submitted.len() == self.submitted_max {
            return false;
        }
        self.submitted.push_back((operation, user_data));
        true
    }

    fn provide(&mut self, index: u16) {
        self.free_buffers.push(index);
    }

    fn enter(&mut self, stats: &mut RingStats) -> io::Result<()> {
        while let Some((operation, user_data)) = self.submitted.pop_front() {
            self.begin(operation, user_data);
        }
        stats.enters += 1;
        self.look(0)?;
        for _ in 0..self.ready.len() {
            let Some(fd) = self.ready.pop_front() else {
                break;
            };
            self.serve(fd);
        }
        Ok(())
    }

    fn reap(&mut self, limit: usize, events: &mut Vec<Event>) {
        let count = limit.min(self.events.len());
        events.extend(self.events.drain(..count));
    }

    fn has_work(&self) -> bool {
        self.more_changes
            || !self.submitted.is_empty()
            || !self.ready.is_empty()
            || !self.events.is_empty()
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_work() {
            return Poll::Ready(Ok(()));
        }
        ready!(self.readiness.poll_edge(self.epoll.as_raw_fd(), cx))?;
        // The turn that follows looks at everything that this edge stands for.
        self.more_changes = true;
        Poll::Ready(Ok(()))
    }

    fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        if self.has_work() {
            return Ok(());
        }
        self.look(timeout.as_millis().min(i32::MAX as u128) as i32)
    }

    fn peer(&self, fd: RawFd) -> Option<SocketAddr> {
        syscall::peer(fd)
    }

    fn close_now(&mut self, fd: RawFd) {
        // Closing takes the descriptor out of epoll; nothing else refers to the socket.
        if let Some(state) = self.watched.get_mut(fd as usize) {
            *state = None;
        }
        // SAFETY: the driver owns this descriptor and gives it up here; nothing of it is in flight.
        drop(unsafe { OwnedFd::from_raw_fd(fd) });
    }

    fn retire(&mut self, _in_flight: usize, events: &mut Vec<Event>) -> bool {
        while let Some((operation, user_data)) = self.submitted.pop_front() {
            if let Operation::Close { .. } = operation {
                self.begin(operation, user_data);
            }
        }
        events.extend(self.events.drain(..));
        // Nothing runs between calls, so nothing touches the driver's memory.
        true
    }

    fn group(&self) -> &Rc<BufferGroup> {
        &self.group
    }
}
