//! One socket as the driver sees it: what is wanted, what is in flight, and the memory that the kernel may read.

use std::os::fd::RawFd;
use std::ptr::NonNull;

use crate::mem::{OUTPUT_SEGMENTS_MAX, Output};

use super::address::Address;
use super::kernel::Operation;

/// Where an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Not wanted, or not now.
    Idle,
    /// In the driver's queue: too much is in flight.
    Waiting,
    /// With the kernel.
    InFlight,
}

/// One socket.
pub(super) struct Socket {
    pub(super) fd: RawFd,
    /// It came from a listener.
    pub(super) accepted: bool,
    /// It is not connected yet: nothing but a connect may be in flight.
    pub(super) connecting: bool,
    pub(super) connect: Stage,
    /// Where it connects to; with the kernel while the connect is in flight.
    address: Option<Address>,
    pub(super) receive: Stage,
    /// The shard wants bytes.
    pub(super) receive_wanted: bool,
    /// The last receive left nothing behind.
    pub(super) drained: bool,
    /// It has an entry in the starved queue; it is to be armed only if `starved` still holds.
    pub(super) starved_queued: bool,
    pub(super) starved: bool,
    pub(super) cancel_receive: Stage,
    pub(super) send: Stage,
    pub(super) sending: Option<Sending>,
    header: Option<Header>,
    pub(super) shutdown: Stage,
    /// The shard wants the write half closed, after the send in flight.
    pub(super) shutdown_wanted: bool,
    pub(super) cancel_all: Stage,
    pub(super) close: Stage,
    /// The shard called close; nothing but `Closed` is reported.
    pub(super) closing: bool,
    /// Everything in flight was cancelled once; that is asked once.
    pub(super) cancel_sent: bool,
    /// Cancelling did not end everything: the socket is shut down in both directions.
    pub(super) torn_down: bool,
    pub(super) teardown_sent: bool,
    /// `EndOfStream` was reported.
    pub(super) ended: bool,
    /// `Failed` was reported.
    pub(super) failed: bool,
}

/// An output on its way.
pub(super) struct Sending {
    output: Output,
    sent_bytes: usize,
    total_bytes: usize,
}

impl Sending {
    pub(super) fn new(output: Output) -> Self {
        let total_bytes = output.len();
        Self {
            output,
            sent_bytes: 0,
            total_bytes,
        }
    }

    /// Counts what a send moved; whether all is out.
    pub(super) fn advance(&mut self, bytes: usize) -> bool {
        self.sent_bytes += bytes;
        assert!(
            self.sent_bytes <= self.total_bytes,
            "the kernel sends only what it was given"
        );
        self.sent_bytes == self.total_bytes
    }
}

/// A message header and its vectors, at an address that stays. Behind a raw pointer, not a box, because the kernel
/// reads it while the driver moves and borrows everything around it.
struct Header(NonNull<HeaderMemory>);

struct HeaderMemory {
    message: libc::msghdr,
    vectors: [libc::iovec; OUTPUT_SEGMENTS_MAX],
}

impl Header {
    fn new() -> Self {
        // SAFETY: both are plain C structures of integers and pointers, for which all zeros is a value.
        let memory: Box<HeaderMemory> = Box::new(unsafe { std::mem::zeroed() });
        Self(NonNull::from(Box::leak(memory)))
    }
}

impl Drop for Header {
    fn drop(&mut self) {
        // SAFETY: the pointer came from a box in `new` and is freed only here. The driver drops a socket only when
        // none of its operations is in flight, so the kernel does not read it any more.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

impl Socket {
    pub(super) fn accepted(fd: RawFd) -> Self {
        Self {
            accepted: true,
            ..Self::adopted(fd)
        }
    }

    pub(super) fn connecting(fd: RawFd, address: Address) -> Self {
        Self {
            connecting: true,
            address: Some(address),
            ..Self::adopted(fd)
        }
    }

    pub(super) fn adopted(fd: RawFd) -> Self {
        Self {
            fd,
            accepted: false,
            connecting: false,
            connect: Stage::Idle,
            address: None,
            receive: Stage::Idle,
            receive_wanted: false,
            drained: false,
            starved_queued: false,
            starved: false,
            cancel_receive: Stage::Idle,
            send: Stage::Idle,
            sending: None,
            header: None,
            shutdown: Stage::Idle,
            shutdown_wanted: false,
            cancel_all: Stage::Idle,
            close: Stage::Idle,
            closing: false,
            cancel_sent: false,
            torn_down: false,
            teardown_sent: false,
            ended: false,
            failed: false,
        }
    }

    /// Operations on the descriptor itself that the kernel holds: those that a cancellation can end.
    pub(super) fn held_by_kernel(&self) -> usize {
        [self.connect, self.receive, self.send, self.shutdown]
            .iter()
            .filter(|stage| **stage == Stage::InFlight)
            .count()
    }

    /// Whether nothing is with the kernel, cancellations included.
    pub(super) fn is_quiet(&self) -> bool {
        self.held_by_kernel() == 0
            && self.cancel_receive != Stage::InFlight
            && self.cancel_all != Stage::InFlight
    }

    /// The connection is there, or never will be.
    pub(super) fn end_connecting(&mut self) {
        debug_assert!(
            self.connect != Stage::InFlight,
            "the kernel has the address"
        );
        self.connecting = false;
        self.address = None;
    }

    /// The operation that connects; `None` when that is over.
    pub(super) fn connect_operation(&self) -> Option<Operation> {
        let address = self.address.as_ref()?;
        Some(Operation::Connect {
            fd: self.fd,
            address: address.as_ptr(),
            len: address.len(),
        })
    }

    /// The operation that sends what is left; `None` when there is nothing to send.
    pub(super) fn send_operation(&mut self) -> Option<Operation> {
        let sending = self.sending.as_ref()?;
        let mut skip = sending.sent_bytes;
        let mut pieces: [&[u8]; OUTPUT_SEGMENTS_MAX] = [&[]; OUTPUT_SEGMENTS_MAX];
        let mut count = 0;
        for slice in sending.output.slices() {
            if skip >= slice.len() {
                skip -= slice.len();
                continue;
            }
            pieces[count] = &slice[skip..];
            skip = 0;
            count += 1;
        }
        match count {
            0 => None,
            1 => {
                let len = pieces[0].len().min(i32::MAX as usize) as u32;
                Some(Operation::Send {
                    fd: self.fd,
                    bytes: pieces[0].as_ptr(),
                    len,
                })
            }
            _ => {
                let header = &mut self.header.get_or_insert_with(Header::new).0;
                // SAFETY: it points to live memory owned by this socket (`Header`), and no send is in flight (at most
                // one is, and this one is being built), so nobody else reads it now.
                let header = unsafe { header.as_mut() };
                for (vector, piece) in header.vectors.iter_mut().zip(&pieces[..count]) {
                    *vector = libc::iovec {
                        iov_base: piece.as_ptr().cast_mut().cast(),
                        iov_len: piece.len(),
                    };
                }
                header.message.msg_iov = header.vectors.as_mut_ptr();
                header.message.msg_iovlen = count as _;
                Some(Operation::SendMessage {
                    fd: self.fd,
                    message: &raw const header.message,
                })
            }
        }
    }
}
