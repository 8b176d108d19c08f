//! The kernel interface for production: io_uring with multishot accept and a provided-buffer ring.
//!
//! One `io_uring_enter` a turn submits what is queued and runs what has arrived, and it is left out when there is
//! neither: with deferred task work the kernel says in the shared flags whether there is. A sleeping shard is woken
//! through an eventfd, because deferred task work does not make the ring's own descriptor readable (it does so only
//! once run; seen on 6.18). The eventfd is never read, edges are enough, and is silent while the shard is awake, so it
//! costs no system call. The ring belongs to the thread that made it.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering, fence};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use io_uring::register::Restriction;
use io_uring::types::{BufRingEntry, CancelBuilder, Fd};
use io_uring::{EnterFlags, IoUring, opcode, squeue};

use super::driver::{Driver, RingOptions};
use super::group::BufferGroup;
use super::kernel::{Event, Kernel, Operation};
use super::readiness::Readiness;
use super::{RingStats, syscall};

/// The buffer group's number; a ring has one.
const GROUP: u16 = 0;

/// `IORING_RECVSEND_POLL_FIRST`: wait for the socket before trying it. Since 5.19, as the buffer rings are.
const RECEIVE_POLL_FIRST: u16 = 1;

/// How often [`Kernel::retire`] waits, and how long each time, before it says that the kernel did not let go.
const RETIRE_WAITS: u32 = 20;
const RETIRE_WAIT: Duration = Duration::from_millis(50);

/// Sockets over io_uring.
pub type UringRing = Driver<Uring>;

impl UringRing {
    /// A ring of the calling thread, which must also be the one that drives it.
    ///
    /// Errors: the kernel refuses; [`crate::ring::probe`] says why and what to do.
    pub fn new(options: RingOptions) -> io::Result<Self> {
        options.check()?;
        Ok(Self::with_kernel(Uring::new(&options)?, &options))
    }
}

/// The io_uring kernel interface.
pub struct Uring {
    /// Before `wakeup`: dropped first.
    readiness: Readiness,
    wakeup: OwnedFd,
    /// The kernel signals `wakeup`: the shard is asleep, or about to be.
    signalled: bool,
    ring: IoUring,
    provided: ProvidedRing,
    group: Rc<BufferGroup>,
}

/// The ring in which buffers are given to the kernel: memory shared with it.
struct ProvidedRing {
    entries: NonNull<BufRingEntry>,
    layout: std::alloc::Layout,
    mask: u16,
    tail: u16,
    leaked: bool,
}

impl ProvidedRing {
    fn new(count: u16) -> io::Result<Self> {
        let bytes = usize::from(count) * size_of::<BufRingEntry>();
        let layout = std::alloc::Layout::from_size_align(bytes, 4096).map_err(io::Error::other)?;
        // SAFETY: the layout's size is not zero: a count is a power of two.
        let memory = unsafe { std::alloc::alloc_zeroed(layout) };
        let Some(entries) = NonNull::new(memory.cast()) else {
            return Err(io::ErrorKind::OutOfMemory.into());
        };
        Ok(Self {
            entries,
            layout,
            mask: count - 1,
            tail: 0,
            leaked: false,
        })
    }

    fn provide(&mut self, index: u16, address: NonNull<u8>, bytes: usize) {
        let place = usize::from(self.tail & self.mask);
        // SAFETY: `place` is below the entry count, so the entry lies inside the allocation.
        let mut entry = unsafe { self.entries.add(place) };
        // SAFETY: the kernel reads an entry only after the tail passed it, and never writes one. Only the address,
        // length and id are written: the first entry's last field is the tail itself.
        let entry = unsafe { entry.as_mut() };
        entry.set_addr(address.as_ptr() as u64);
        entry.set_len(bytes as u32);
        entry.set_bid(index);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: `entries` is the base of a live, page-aligned, initialized ring, as `tail` asks.
        let tail = unsafe { BufRingEntry::tail(self.entries.as_ptr()) }.cast_mut();
        // SAFETY: the field is aligned for u16, lives as long as the ring, and is written by this thread only;
        // atomically, because the kernel reads it.
        unsafe { AtomicU16::from_ptr(tail) }.store(self.tail, Ordering::Release);
    }
}

impl Drop for ProvidedRing {
    fn drop(&mut self) {
        if !self.leaked {
            // SAFETY: allocated in `new` with this layout; `Uring` unregisters the ring before, or sets `leaked`.
            unsafe { std::alloc::dealloc(self.entries.as_ptr().cast(), self.layout) }
        }
    }
}

impl Uring {
    fn new(options: &RingOptions) -> io::Result<Self> {
        let mut ring = build(options)?;
        let group = BufferGroup::new(options.receive_buffer_count, options.receive_buffer_bytes);
        let provided = ProvidedRing::new(options.receive_buffer_count)?;
        let address = provided.entries.as_ptr() as u64;
        // SAFETY: the memory lives in `provided`, which is freed only after unregistering, or never.
        unsafe {
            ring.submitter().register_buf_ring_with_flags(
                address,
                options.receive_buffer_count,
                GROUP,
                0,
            )?;
        }
        let wakeup = syscall::eventfd()?;
        ring.submitter().register_eventfd(wakeup.as_raw_fd())?;
        ring.completion().disable_eventfd();
        if options.restricted {
            restrict(&ring)?;
        }
        // From here on the calling thread is the only one that may submit.
        ring.submitter().register_enable_rings()?;
        let readiness = Readiness::default();
        let mut uring = Self {
            readiness,
            wakeup,
            signalled: false,
            ring,
            provided,
            group,
        };
        for index in 0..options.receive_buffer_count {
            uring.provide(index);
        }
        Ok(uring)
    }

    fn entry(operation: Operation) -> squeue::Entry {
        match operation {
            Operation::Accept { fd } => opcode::AcceptMulti::new(Fd(fd))
                .flags(libc::SOCK_CLOEXEC)
                .build(),
            Operation::Connect { fd, address, len } => {
                opcode::Connect::new(Fd(fd), address.cast(), len).build()
            }
            Operation::Receive { fd, drained } => receive(fd, drained),
            Operation::Send { fd, bytes, len } => opcode::Send::new(Fd(fd), bytes, len)
                .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
                .build(),
            Operation::SendMessage { fd, message } => {
                let flags = (libc::MSG_NOSIGNAL | libc::MSG_WAITALL) as u32;
                opcode::SendMsg::new(Fd(fd), message).flags(flags).build()
            }
            Operation::Shutdown { fd, how } => opcode::Shutdown::new(Fd(fd), how).build(),
            Operation::Cancel { target } => opcode::AsyncCancel::new(target).build(),
            Operation::CancelAll { fd } => {
                opcode::AsyncCancel2::new(CancelBuilder::fd(Fd(fd)).all()).build()
            }
            Operation::Close { fd } => opcode::Close::new(Fd(fd)).build(),
        }
    }

    fn signal(&mut self, on: bool) {
        if self.signalled == on {
            return;
        }
        self.signalled = on;
        if on {
            self.ring.completion().enable_eventfd();
            // The kernel sets its flags and then reads ours; we set ours and then read its.
            fence(Ordering::SeqCst);
        } else {
            self.ring.completion().disable_eventfd();
        }
    }

    /// Enters the kernel with whatever is queued.
    ///
    /// Errors: as the system call; transient ones included.
    fn enter_with(&mut self, wait: Option<Duration>) -> io::Result<usize> {
        let queued = self.ring.submission().len() as u32;
        let submitter = self.ring.submitter();
        let flags = EnterFlags::GETEVENTS;
        let Some(wait) = wait else {
            // SAFETY: no argument is passed; `queued` entries are initialized, and what they point to is kept valid
            // by whoever pushed them.
            return unsafe { submitter.enter::<libc::sigset_t>(queued, 0, flags.bits(), None) };
        };
        let timespec = io_uring::types::Timespec::from(wait);
        let arguments = io_uring::types::SubmitArgs::new().timespec(&timespec);
        submitter.submit_with_args(1, &arguments)
    }
}

/// Operations that [`Uring::entry`] makes, and no other.
const OPERATIONS: [u8; 8] = [
    opcode::AcceptMulti::CODE,
    opcode::Connect::CODE,
    opcode::Recv::CODE,
    opcode::Send::CODE,
    opcode::SendMsg::CODE,
    opcode::Shutdown::CODE,
    opcode::AsyncCancel::CODE,
    opcode::Close::CODE,
];

/// `IORING_UNREGISTER_PBUF_RING`: all that is registered of a ring once it runs.
const UNREGISTER_BUFFER_RING: u8 = 23;

/// Makes the kernel refuse, for as long as the ring lives, what it is not made for. So memory that a defect has handed to an attacker
/// cannot open files or start timers by way of the ring, which no system call filter sees.
///
/// Errors: a kernel before 5.10, which has no ring that does anyway.
fn restrict(ring: &IoUring) -> io::Result<()> {
    let flags = squeue::Flags::BUFFER_SELECT.bits();
    let mut allowed: Vec<Restriction> = OPERATIONS.map(Restriction::sqe_op).into();
    allowed.push(Restriction::sqe_flags_allowed(flags));
    allowed.push(Restriction::register_op(UNREGISTER_BUFFER_RING));
    ring.submitter().register_restrictions(&mut allowed)
}

/// A receive that ends with its first bytes.
///
/// Not a multishot one, which goes back to sleep after a receive and counts on the next wake-up: Linux loses that one when more
/// than 127 wake-ups had piled up before, or when the peer's last bytes and its end came between a receive and the arming of its
/// poll (seen on 6.18, with every fix up to then). What then stays untold is the end of the stream, or the last bytes. A single
/// receive looks at the socket itself whenever it is armed, and costs 0.1 to 0.2 µs more.
fn receive(fd: RawFd, drained: bool) -> squeue::Entry {
    // An attempt on a socket that is known to be empty would be in vain.
    let poll_first = if drained { RECEIVE_POLL_FIRST } else { 0 };
    opcode::Recv::new(Fd(fd), std::ptr::null_mut(), 0)
        .buf_group(GROUP)
        .ioprio(poll_first)
        .build()
        .flags(squeue::Flags::BUFFER_SELECT)
}

/// The ring with the best flags that this kernel has; each older set is one that a supported kernel may need.
fn build(options: &RingOptions) -> io::Result<IoUring> {
    let base = || {
        let mut builder = IoUring::builder();
        builder
            .setup_cqsize(options.completion_entries)
            .setup_submit_all()
            .setup_r_disabled()
            .dontfork();
        builder
    };
    let deferred = base()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .build(options.entries);
    match deferred {
        // Before 6.1 there is no deferred task work; the flag still says when there is some to run.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => base()
            .setup_coop_taskrun()
            .setup_taskrun_flag()
            .build(options.entries),
        result => result,
    }
}

impl Kernel for Uring {
    fn adopt(&mut self, listener: TcpListener) -> io::Result<RawFd> {
        // With O_NONBLOCK io_uring would answer EAGAIN instead of waiting.
        listener.set_nonblocking(false)?;
        Ok(listener.into_raw_fd())
    }

    fn adopt_stream(&mut self, stream: OwnedFd) -> io::Result<RawFd> {
        syscall::prepare_stream(stream, false)
    }

    fn socket(&mut self, address: SocketAddr) -> io::Result<RawFd> {
        syscall::stream_socket(address, false)
    }

    unsafe fn push(&mut self, operation: Operation, user_data: u64) -> bool {
        let entry = Self::entry(operation).user_data(user_data);
        // SAFETY: the memory stays valid until the last event: the caller's promise.
        unsafe { self.ring.submission().push(&entry).is_ok() }
    }

    fn provide(&mut self, index: u16) {
        self.provided
            .provide(index, self.group.address(index), self.group.buffer_bytes());
    }

    fn enter(&mut self, stats: &mut RingStats) -> io::Result<()> {
        let (queued, flagged, overflow) = {
            let submission = self.ring.submission();
            (
                !submission.is_empty(),
                submission.taskrun(),
                submission.cq_overflow(),
            )
        };
        stats.overflows += u64::from(overflow);
        if !queued && !flagged && !overflow {
            return Ok(());
        }
        stats.enters += 1;
        match self.enter_with(None) {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                // Interrupted before anything was done.
                Some(libc::EINTR) => Ok(()),
                // The completion queue is backed up: reaping, which follows, makes room.
                Some(libc::EBUSY) => Ok(()),
                // No memory for a request now; the entries stay queued, and the next turn tries again.
                Some(libc::EAGAIN) | Some(libc::ENOMEM) => Ok(()),
                // EBADF, EBADFD, EEXIST (another thread), EFAULT, EINVAL, ENXIO, EOPNOTSUPP: the ring is unusable.
                _ => Err(error),
            },
        }
    }

    fn reap(&mut self, limit: usize, events: &mut Vec<Event>) {
        for entry in self.ring.completion().take(limit) {
            let flags = entry.flags();
            events.push(Event {
                user_data: entry.user_data(),
                result: entry.result(),
                more: io_uring::cqueue::more(flags),
                buffer: io_uring::cqueue::buffer_select(flags),
                drained: !io_uring::cqueue::sock_nonempty(flags),
            });
        }
    }

    fn has_work(&self) -> bool {
        // SAFETY: the queue is borrowed only for this statement, on the one thread that uses this ring, and no
        // other borrow of it is alive: every method drops its own before it returns.
        let (submit, overflow) = unsafe {
            let submission = self.ring.submission_shared();
            (
                !submission.is_empty() || submission.taskrun(),
                submission.cq_overflow(),
            )
        };
        // SAFETY: as above, for the completion queue.
        submit || overflow || unsafe { !self.ring.completion_shared().is_empty() }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.has_work() {
                self.signal(false);
                return Poll::Ready(Ok(()));
            }
            self.signal(true);
            // What arrived before the signal was on has set the flags that `has_work` reads.
            if !self.has_work() {
                ready!(self.readiness.poll_edge(self.wakeup.as_raw_fd(), cx))?;
            }
        }
    }

    fn wait(&mut self, timeout: Duration) -> io::Result<()> {
        match self.enter_with(Some(timeout)) {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(()),
                _ => Err(error),
            },
        }
    }

    fn peer(&self, fd: RawFd) -> Option<SocketAddr> {
        syscall::peer(fd)
    }

    fn close_now(&mut self, fd: RawFd) {
        // SAFETY: the driver owns this descriptor and gives it up here; nothing of it is in flight.
        drop(unsafe { OwnedFd::from_raw_fd(fd) });
    }

    fn retire(&mut self, in_flight: usize, events: &mut Vec<Event>) -> bool {
        let mut left = in_flight;
        let cancel = opcode::AsyncCancel2::new(CancelBuilder::any().all())
            .build()
            .user_data(u64::MAX);
        for _ in 0..RETIRE_WAITS {
            if left == 0 {
                break;
            }
            // SAFETY: a cancellation points to no memory. When the queue is full the next round pushes it.
            let _ = unsafe { self.ring.submission().push(&cancel) };
            if self.wait(RETIRE_WAIT).is_err() {
                break;
            }
            let before = events.len();
            self.reap(usize::MAX, events);
            let ended = events[before..]
                .iter()
                .filter(|event| !event.more && event.user_data != u64::MAX);
            left -= ended.count().min(left);
        }
        let unregistered = self.ring.submitter().unregister_buf_ring(GROUP).is_ok();
        self.provided.leaked = !(left == 0 && unregistered);
        left == 0
    }

    fn group(&self) -> &Rc<BufferGroup> {
        &self.group
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(restricted: bool) -> Uring {
        let options = RingOptions {
            restricted,
            ..RingOptions::default()
        };
        Uring::new(&options).unwrap()
    }

    /// What the kernel says to an operation.
    fn result(uring: &mut Uring, entry: squeue::Entry) -> i32 {
        // SAFETY: the entries of these tests point to no memory.
        unsafe { uring.ring.submission().push(&entry).unwrap() };
        uring.wait(Duration::from_secs(5)).unwrap();
        uring.ring.completion().next().expect("a result").result()
    }

    fn forbidden() -> [squeue::Entry; 4] {
        let path = c"/etc/passwd".as_ptr();
        [
            opcode::Nop::new().build(),
            opcode::OpenAt::new(Fd(libc::AT_FDCWD), path).build(),
            opcode::Socket::new(libc::AF_INET, libc::SOCK_STREAM, 0).build(),
            // What may be done, but not with a flag that the driver never sets.
            opcode::Close::new(Fd(-1))
                .build()
                .flags(squeue::Flags::IO_LINK),
        ]
    }

    #[test]
    fn the_kernel_refuses_what_a_ring_is_not_made_for() {
        let mut uring = ring(true);
        for entry in forbidden() {
            assert_eq!(result(&mut uring, entry), -libc::EACCES);
        }
        let close = opcode::Close::new(Fd(-1)).build();
        assert_eq!(result(&mut uring, close), -libc::EBADF, "it goes on");
        let registered = uring.ring.submitter().register_files(&[0]).unwrap_err();
        assert_eq!(registered.raw_os_error(), Some(libc::EACCES));
        let lifted = uring.ring.submitter().register_restrictions(&mut []);
        assert!(lifted.is_err(), "restrictions are for ever");
    }

    #[test]
    fn a_ring_without_restrictions_refuses_nothing() {
        let mut uring = ring(false);
        let nop = opcode::Nop::new().build();
        assert_eq!(result(&mut uring, nop), 0);
    }
}
