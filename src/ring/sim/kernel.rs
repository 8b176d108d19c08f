//! The simulated kernel: executes operations step by step, in a seeded order, with faults.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{OwnedFd, RawFd};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::{Connection, Descriptor, Faults, Random, World};
use crate::ring::RingStats;
use crate::ring::driver::RingOptions;
use crate::ring::group::BufferGroup;
use crate::ring::kernel::{Event, Kernel, Operation};

/// The simulated kernel interface.
pub struct Sim {
    pub(super) world: Rc<RefCell<World>>,
    submitted: VecDeque<(Operation, u64)>,
    submitted_max: usize,
    /// Executing, in no particular order.
    running: Vec<(Operation, u64)>,
    events: VecDeque<Event>,
    /// Events that found the completion queue full.
    overflowed: VecDeque<Event>,
    completion_entries: usize,
    free_buffers: VecDeque<u16>,
    group: Rc<BufferGroup>,
}

/// What one step of an operation gave.
pub(super) enum Step {
    /// Nothing yet.
    Wait,
    /// An event, and the operation goes on.
    More(i32, Option<u16>),
    /// The last event.
    Last(i32, Option<u16>),
}

impl Sim {
    pub(super) fn new(seed: u64, faults: Faults, options: &RingOptions) -> Self {
        Self {
            world: Rc::new(RefCell::new(World {
                random: Random::new(seed),
                faults,
                descriptors: Vec::new(),
                servers: Vec::new(),
                adopted: VecDeque::new(),
                waker: None,
                steps: 0,
            })),
            submitted: VecDeque::new(),
            submitted_max: options.entries as usize,
            running: Vec::new(),
            events: VecDeque::new(),
            overflowed: VecDeque::new(),
            completion_entries: options.completion_entries as usize,
            free_buffers: (0..options.receive_buffer_count).collect(),
            group: BufferGroup::new(options.receive_buffer_count, options.receive_buffer_bytes),
        }
    }

    pub(super) fn chance(&self, which: impl Fn(&Faults) -> u8) -> bool {
        let mut world = self.world.borrow_mut();
        let chance = which(&world.faults);
        world.random.chance(chance)
    }

    pub(super) fn below(&self, bound: usize) -> usize {
        self.world.borrow_mut().random.below(bound as u64) as usize
    }

    pub(super) fn one_of(&self, errnos: &[i32]) -> i32 {
        -errnos[self.below(errnos.len())]
    }

    fn post(&mut self, event: Event) {
        self.overflowed.push_back(event);
        self.flush_overflow();
    }

    fn flush_overflow(&mut self) {
        let limit = match self.world.borrow().faults.completion_entries {
            0 => self.completion_entries,
            entries => usize::from(entries),
        };
        while self.events.len() < limit {
            let Some(event) = self.overflowed.pop_front() else {
                return;
            };
            self.events.push_back(event);
        }
    }

    fn end(&mut self, user_data: u64, result: i32) {
        self.post(Event {
            user_data,
            result,
            more: false,
            buffer: None,
            drained: false,
        });
    }

    /// Submission: what the kernel does at once is done in order, the rest starts to run.
    fn begin(&mut self, operation: Operation, user_data: u64) {
        match operation {
            Operation::Connect { .. } => self.running.push((operation, user_data)),
            Operation::Accept { fd } | Operation::Receive { fd, .. } => {
                let busy = self.running.iter().any(|(other, _)| {
                    matches!((operation, *other), (Operation::Receive { .. }, Operation::Receive { fd: on, .. }) if on == fd)
                });
                assert!(!busy, "two receives on descriptor {fd}");
                self.running.push((operation, user_data));
            }
            Operation::Send { fd, .. } | Operation::SendMessage { fd, .. } => {
                assert!(
                    !self.running.iter().any(|(other, _)| sends_on(other, fd)),
                    "two sends on descriptor {fd}"
                );
                self.running.push((operation, user_data));
            }
            Operation::Cancel { target } => {
                let count = self.cancel(|_, found| found == target);
                self.end(user_data, count.min(0));
            }
            Operation::CancelAll { fd } => {
                let count = self.cancel(|operation, _| descriptor(operation) == Some(fd));
                self.end(user_data, count);
            }
            Operation::Shutdown { fd, how } => {
                let result = match self.world.borrow().connection(fd) {
                    None => -libc::EBADF,
                    Some(connection) => {
                        let mut connection = connection.borrow_mut();
                        connection.server_finished = true;
                        connection.server_read_shut |= how == libc::SHUT_RDWR;
                        if connection.reset { -libc::ENOTCONN } else { 0 }
                    }
                };
                self.end(user_data, result);
            }
            Operation::Close { fd } => {
                self.close_now(fd);
                self.end(user_data, 0);
            }
        }
    }

    fn cancel(&mut self, matches: impl Fn(&Operation, u64) -> bool) -> i32 {
        let found: Vec<_> = self
            .running
            .iter()
            .filter(|(op, user_data)| matches(op, *user_data))
            .copied()
            .collect();
        if found.is_empty() {
            return -libc::ENOENT;
        }
        if self.chance(|faults| faults.cancel_fails) {
            return self.one_of(&[libc::EALREADY, libc::ENOENT]);
        }
        for (operation, user_data) in &found {
            // Bytes may still come before the cancellation takes hold.
            if let Operation::Receive { fd, .. } = operation
                && self.below(2) == 0
                && let Step::More(result, buffer @ Some(_)) | Step::Last(result, buffer @ Some(_)) =
                    self.step_receive(*fd)
            {
                self.post(Event {
                    user_data: *user_data,
                    result,
                    more: true,
                    buffer,
                    drained: false,
                });
            }
            // A connection may be there before the cancellation takes hold.
            let mut result = -libc::ECANCELED;
            if let Operation::Connect { fd, address, len } = operation
                && self.below(2) == 0
                && let Step::Last(0, _) = self.step_connect(*fd, *address, *len)
            {
                result = 0;
            }
            self.running.retain(|(_, other)| other != user_data);
            self.end(*user_data, result);
        }
        found.len() as i32
    }

    fn step(&mut self, operation: Operation) -> Step {
        if self.is_broken_step() {
            return self.step_broken(operation);
        }
        if self.chance(|faults| faults.delay) {
            return Step::Wait;
        }
        if self.chance(|faults| faults.interrupted) {
            if let Operation::Connect { fd, .. } = operation {
                self.connect_unseen(fd);
            }
            return Step::Last(
                self.one_of(&[libc::ECANCELED, libc::EINTR, libc::EAGAIN]),
                None,
            );
        }
        match operation {
            Operation::Accept { fd } => self.step_accept(fd),
            Operation::Connect { fd, address, len } => self.step_connect(fd, address, len),
            Operation::Receive { fd, .. } => self.step_receive(fd),
            Operation::Send { fd, bytes, len } => {
                let vector = libc::iovec {
                    iov_base: bytes.cast_mut().cast(),
                    iov_len: len as usize,
                };
                self.step_send(fd, &[vector])
            }
            Operation::SendMessage { fd, message } => {
                // SAFETY: whoever pushed the operation keeps the header until the last event.
                let message = unsafe { &*message };
                // SAFETY: as above, for the vectors: they are part of the same memory.
                let vectors =
                    unsafe { std::slice::from_raw_parts(message.msg_iov, message.msg_iovlen) };
                self.step_send(fd, vectors)
            }
            _ => Step::Wait,
        }
    }

    fn is_broken_step(&self) -> bool {
        let mut world = self.world.borrow_mut();
        world.steps += 1;
        world.steps == world.faults.break_step
    }

    fn step_broken(&self, operation: Operation) -> Step {
        match operation {
            Operation::Receive { fd, .. }
            | Operation::Send { fd, .. }
            | Operation::SendMessage { fd, .. } => {
                if let Some(connection) = self.world.borrow().connection(fd) {
                    connection.borrow_mut().reset = true;
                }
                Step::Last(-libc::ENOMEM, None)
            }
            Operation::Connect { .. } => Step::Last(-libc::ECONNREFUSED, None),
            _ => Step::Last(-libc::EMFILE, None),
        }
    }

    fn step_accept(&mut self, fd: RawFd) -> Step {
        let fails = self.chance(|faults| faults.accept_fails);
        let errno = self.one_of(&[
            libc::EMFILE,
            libc::ENFILE,
            libc::ENOBUFS,
            libc::ENOMEM,
            libc::ECONNABORTED,
            libc::EPROTO,
        ]);
        let ends = self.chance(|faults| faults.multishot_ends);
        let mut world = self.world.borrow_mut();
        let Some(Some(Descriptor::Listener { arrivals })) = world.descriptors.get_mut(fd as usize)
        else {
            return Step::Last(-libc::EBADF, None);
        };
        let Some(connection) = arrivals.pop_front() else {
            return Step::Wait;
        };
        if fails {
            if errno == -libc::ECONNABORTED || errno == -libc::EPROTO {
                connection.borrow_mut().reset = true;
            } else {
                arrivals.push_front(connection);
            }
            return Step::Last(errno, None);
        }
        let accepted = world.open(Descriptor::Socket(connection));
        if ends {
            Step::Last(accepted, None)
        } else {
            Step::More(accepted, None)
        }
    }

    fn step_receive(&mut self, fd: RawFd) -> Step {
        if self.chance(|faults| faults.no_buffers) {
            return Step::Last(-libc::ENOBUFS, None);
        }
        let Some(connection) = self.world.borrow().connection(fd).cloned() else {
            return Step::Last(-libc::EBADF, None);
        };
        if let Some(errno) = self.breaks(&connection) {
            return Step::Last(errno, None);
        }
        let available = connection.borrow().inbound.len();
        if available == 0 {
            let connection = connection.borrow();
            let ended = connection.client_finished || connection.server_read_shut;
            return if ended {
                Step::Last(0, None)
            } else {
                Step::Wait
            };
        }
        let Some(index) = self.free_buffers.pop_front() else {
            return Step::Last(-libc::ENOBUFS, None);
        };
        let mut count = available.min(self.group.buffer_bytes());
        if self.chance(|faults| faults.short_receive) {
            count = 1 + self.below(count);
        }
        let bytes: Vec<u8> = connection.borrow_mut().inbound.drain(..count).collect();
        // SAFETY: `count` is at most the buffer's size, and a free buffer is this kernel's alone.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.group.address(index).as_ptr(), count)
        };
        if self.chance(|faults| faults.receive_goes_on) {
            return Step::More(count as i32, Some(index));
        }
        Step::Last(count as i32, Some(index))
    }

    fn step_send(&mut self, fd: RawFd, vectors: &[libc::iovec]) -> Step {
        let Some(connection) = self.world.borrow().connection(fd).cloned() else {
            return Step::Last(-libc::EBADF, None);
        };
        if let Some(errno) = self.breaks(&connection) {
            return Step::Last(errno, None);
        }
        let (gone, room) = {
            let connection = connection.borrow();
            let window = connection.window_bytes.unwrap_or(usize::MAX);
            (
                connection.client_gone || connection.server_finished,
                window.saturating_sub(connection.outbound.len()),
            )
        };
        if gone {
            connection.borrow_mut().reset = true;
            return Step::Last(-libc::EPIPE, None);
        }
        let total: usize = vectors.iter().map(|vector| vector.iov_len).sum();
        let mut count = total.min(room);
        if count == 0 {
            return Step::Wait;
        }
        if self.chance(|faults| faults.short_send) {
            count = 1 + self.below(count);
        }
        let mut left = count;
        for vector in vectors {
            let part = vector.iov_len.min(left);
            // SAFETY: whoever pushed the operation keeps what its vectors point to until the last event.
            let bytes = unsafe { std::slice::from_raw_parts(vector.iov_base.cast::<u8>(), part) };
            connection.borrow_mut().outbound.extend_from_slice(bytes);
            left -= part;
        }
        Step::Last(count as i32, None)
    }

    /// The error of a connection that is broken or breaks now.
    fn breaks(&mut self, connection: &RefCell<Connection>) -> Option<i32> {
        if self.chance(|faults| faults.reset) {
            let mut connection = connection.borrow_mut();
            connection.reset = true;
            connection.inbound.clear();
        }
        if connection.borrow().reset {
            return Some(-libc::ECONNRESET);
        }
        if self.chance(|faults| faults.broken) {
            connection.borrow_mut().reset = true;
            return Some(self.one_of(&[
                libc::ENOMEM,
                libc::ETIMEDOUT,
                libc::EPIPE,
                libc::EHOSTUNREACH,
            ]));
        }
        None
    }

    /// Whether an operation would do something if it were its turn and nothing went wrong.
    fn can_go_on(&self, operation: &Operation) -> bool {
        let world = self.world.borrow();
        match operation {
            Operation::Accept { fd } => match world.descriptors.get(*fd as usize) {
                Some(Some(Descriptor::Listener { arrivals })) => !arrivals.is_empty(),
                _ => true,
            },
            Operation::Connect { fd, address, len } => !world.is_silent(*fd, *address, *len),
            Operation::Receive { fd, .. } => world.connection(*fd).is_none_or(|connection| {
                let connection = connection.borrow();
                let ended =
                    connection.reset || connection.client_finished || connection.server_read_shut;
                ended || !connection.inbound.is_empty()
            }),
            Operation::Send { fd, .. } | Operation::SendMessage { fd, .. } => {
                world.connection(*fd).is_none_or(|connection| {
                    let connection = connection.borrow();
                    let ended =
                        connection.reset || connection.client_gone || connection.server_finished;
                    ended
                        || connection
                            .window_bytes
                            .is_none_or(|window| window > connection.outbound.len())
                })
            }
            _ => true,
        }
    }
}

fn descriptor(operation: &Operation) -> Option<RawFd> {
    match operation {
        Operation::Accept { fd }
        | Operation::Connect { fd, .. }
        | Operation::Receive { fd, .. }
        | Operation::Send { fd, .. }
        | Operation::SendMessage { fd, .. }
        | Operation::Shutdown { fd, .. }
        | Operation::CancelAll { fd }
        | Operation::Close { fd } => Some(*fd),
        Operation::Cancel { .. } => None,
    }
}

fn sends_on(operation: &Operation, fd: RawFd) -> bool {
    match operation {
        Operation::Send { fd: on, .. } | Operation::SendMessage { fd: on, .. } => *on == fd,
        _ => false,
    }
}

impl Kernel for Sim {
    fn adopt(&mut self, listener: TcpListener) -> io::Result<RawFd> {
        drop(listener);
        Ok(self.world.borrow_mut().open(Descriptor::Listener {
            arrivals: VecDeque::new(),
        }))
    }

    fn adopt_stream(&mut self, stream: OwnedFd) -> io::Result<RawFd> {
        drop(stream);
        let connection = Rc::new(RefCell::new(Connection::default()));
        let mut world = self.world.borrow_mut();
        world.adopted.push_back(Rc::clone(&connection));
        Ok(world.open(Descriptor::Socket(connection)))
    }

    fn socket(&mut self, _address: SocketAddr) -> io::Result<RawFd> {
        Ok(self.world.borrow_mut().open(Descriptor::Unconnected))
    }

    unsafe fn push(&mut self, operation: Operation, user_data: u64) -> bool {
        if self.submitted.len() == self.submitted_max {
            return false;
        }
        self.submitted.push_back((operation, user_data));
        true
    }

    fn provide(&mut self, index: u16) {
        assert!(
            !self.free_buffers.contains(&index),
            "buffer {index} came home twice"
        );
        self.free_buffers.push_back(index);
    }

    fn enter(&mut self, stats: &mut RingStats) -> io::Result<()> {
        stats.enters += 1;
        stats.overflows += u64::from(!self.overflowed.is_empty());
        self.flush_overflow();
        if self.chance(|faults| faults.enter_fails) {
            return Ok(());
        }
        while let Some((operation, user_data)) = self.submitted.pop_front() {
            self.begin(operation, user_data);
        }
        let mut order = self.running.clone();
        for index in (1..order.len()).rev() {
            order.swap(index, self.below(index + 1));
        }
        for (operation, user_data) in order {
            let (result, buffer, more) = match self.step(operation) {
                Step::Wait => continue,
                Step::More(result, buffer) => (result, buffer, true),
                Step::Last(result, buffer) => (result, buffer, false),
            };
            if !more {
                self.running.retain(|(_, other)| *other != user_data);
            }
            self.post(Event {
                user_data,
                result,
                more,
                buffer,
                drained: self.below(2) == 0,
            });
        }
        Ok(())
    }

    fn reap(&mut self, limit: usize, events: &mut Vec<Event>) {
        let count = limit.min(self.events.len());
        events.extend(self.events.drain(..count));
    }

    fn has_work(&self) -> bool {
        let queued =
            !self.submitted.is_empty() || !self.events.is_empty() || !self.overflowed.is_empty();
        queued
            || self
                .running
                .iter()
                .any(|(operation, _)| self.can_go_on(operation))
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_work() {
            return Poll::Ready(Ok(()));
        }
        self.world.borrow_mut().waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn wait(&mut self, _timeout: Duration) -> io::Result<()> {
        Ok(())
    }

    fn peer(&self, fd: RawFd) -> Option<SocketAddr> {
        self.world.borrow().connection(fd)?;
        Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000 + fd as u16)))
    }

    fn close_now(&mut self, fd: RawFd) {
        let used = self
            .running
            .iter()
            .any(|(operation, _)| descriptor(operation) == Some(fd));
        assert!(!used, "descriptor {fd} closed with an operation in flight");
        self.world.borrow_mut().close(fd);
    }

    fn retire(&mut self, _in_flight: usize, events: &mut Vec<Event>) -> bool {
        self.running.clear();
        while let Some((operation, user_data)) = self.submitted.pop_front() {
            if let Operation::Close { .. } = operation {
                self.begin(operation, user_data);
            }
        }
        events.extend(self.events.drain(..).chain(self.overflowed.drain(..)));
        true
    }

    fn group(&self) -> &Rc<BufferGroup> {
        &self.group
    }
}
