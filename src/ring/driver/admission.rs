//! Which operation may go to the kernel now, and which waits its turn.

use super::super::kernel::{Kernel, Operation};
use super::super::socket::Stage;
use super::Driver;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Accept = 1,
    CancelAccept,
    Receive,
    CancelReceive,
    Send,
    Shutdown,
    CancelAll,
    Close,
    Connect,
}

/// Operations that are admitted together. The discriminant indexes the driver's queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Urgent = 0,
    Accept = 1,
    /// Apart from sends: one that nobody answers takes minutes.
    Connect = 2,
    Send = 3,
    Receive = 4,
}

pub(super) const CLASSES: [Class; 5] = [
    Class::Urgent,
    Class::Accept,
    Class::Connect,
    Class::Send,
    Class::Receive,
];

impl Kind {
    pub(super) fn class(self) -> Class {
        match self {
            Self::Accept => Class::Accept,
            Self::Connect => Class::Connect,
            Self::Receive => Class::Receive,
            Self::Send => Class::Send,
            Self::CancelAccept
            | Self::CancelReceive
            | Self::Shutdown
            | Self::CancelAll
            | Self::Close => Class::Urgent,
        }
    }

    /// Kind, generation and index in one word. The generation's low 24 bits do: a slot is not freed, and so not
    /// used again, before its last event.
    pub(super) fn user_data(self, key: u64) -> u64 {
        u64::from(self as u8) << 56 | (key & 0x00FF_FFFF_FFFF_FFFF)
    }

    pub(super) fn of(user_data: u64) -> Option<Self> {
        Some(match (user_data >> 56) as u8 {
            1 => Self::Accept,
            2 => Self::CancelAccept,
            3 => Self::Receive,
            4 => Self::CancelReceive,
            5 => Self::Send,
            6 => Self::Shutdown,
            7 => Self::CancelAll,
            8 => Self::Close,
            9 => Self::Connect,
            _ => return None,
        })
    }
}

impl<K: Kernel> Driver<K> {
    pub(super) fn total_in_flight(&self) -> usize {
        self.in_flight.iter().sum()
    }

    pub(super) fn may_admit(&self, class: Class) -> bool {
        self.in_flight[class as usize] < self.in_flight_max[class as usize]
            && self.total_in_flight() < self.operations_max
    }

    pub(super) fn stage(&mut self, kind: Kind, key: u64) -> Option<&mut Stage> {
        match kind {
            Kind::Accept => self
                .listeners
                .get_mut(key)
                .map(|listener| &mut listener.accept),
            Kind::CancelAccept => self
                .listeners
                .get_mut(key)
                .map(|listener| &mut listener.cancel),
            Kind::Receive => self.sockets.get_mut(key).map(|socket| &mut socket.receive),
            Kind::CancelReceive => self
                .sockets
                .get_mut(key)
                .map(|socket| &mut socket.cancel_receive),
            Kind::Send => self.sockets.get_mut(key).map(|socket| &mut socket.send),
            Kind::Shutdown => self.sockets.get_mut(key).map(|socket| &mut socket.shutdown),
            Kind::CancelAll => self
                .sockets
                .get_mut(key)
                .map(|socket| &mut socket.cancel_all),
            Kind::Close => self.sockets.get_mut(key).map(|socket| &mut socket.close),
            Kind::Connect => self.sockets.get_mut(key).map(|socket| &mut socket.connect),
        }
    }

    /// Submits an operation, or queues it behind those of its class that wait.
    pub(super) fn start(&mut self, kind: Kind, key: u64) {
        let Some(stage) = self.stage(kind, key) else {
            return;
        };
        if *stage != Stage::Idle {
            return;
        }
        *stage = Stage::Waiting;
        let class = kind.class();
        let admitted = self.may_admit(class);
        if !admitted {
            self.stats.deferred += 1;
        }
        if self.waiting[class as usize].is_empty() && admitted && self.push(kind, key) {
            return;
        }
        self.waiting[class as usize].push_back((kind, key));
    }

    /// Whether a queued operation is still to be done; if not, its stage is idle afterwards.
    pub(super) fn still_wanted(&mut self, kind: Kind, key: u64) -> bool {
        let Some(stage) = self.stage(kind, key) else {
            return false;
        };
        if *stage != Stage::Waiting {
            return false;
        }
        let wanted = match kind {
            Kind::Accept => self
                .listeners
                .get(key)
                .is_some_and(|listener| listener.wanted && !listener.stopping),
            Kind::CancelAccept => self
                .listeners
                .get(key)
                .is_some_and(|listener| listener.accept == Stage::InFlight),
            _ => self.sockets.get(key).is_some_and(|socket| match kind {
                Kind::Receive => socket.receive_wanted && !socket.closing,
                Kind::CancelReceive => socket.receive == Stage::InFlight && !socket.closing,
                Kind::Connect => socket.connecting && !socket.closing,
                Kind::Send => socket.sending.is_some() && !socket.closing,
                Kind::Shutdown => {
                    socket.close == Stage::Idle && (!socket.closing || socket.torn_down)
                }
                Kind::CancelAll => socket.close == Stage::Idle && socket.held_by_kernel() > 0,
                Kind::Close | Kind::Accept | Kind::CancelAccept => true,
            }),
        };
        if !wanted && let Some(stage) = self.stage(kind, key) {
            *stage = Stage::Idle;
        }
        wanted
    }

    pub(super) fn operation(&mut self, kind: Kind, key: u64) -> Option<Operation> {
        if let Kind::Accept | Kind::CancelAccept = kind {
            let fd = self.listeners.get(key)?.fd;
            return Some(match kind {
                Kind::Accept => Operation::Accept { fd },
                _ => Operation::Cancel {
                    target: Kind::Accept.user_data(key),
                },
            });
        }
        let socket = self.sockets.get_mut(key)?;
        let fd = socket.fd;
        Some(match kind {
            Kind::Receive => Operation::Receive {
                fd,
                drained: socket.drained,
            },
            Kind::CancelReceive => Operation::Cancel {
                target: Kind::Receive.user_data(key),
            },
            Kind::Connect => socket.connect_operation()?,
            Kind::Send => socket.send_operation()?,
            Kind::Shutdown if socket.torn_down => {
                socket.teardown_sent = true;
                Operation::Shutdown {
                    fd,
                    how: libc::SHUT_RDWR,
                }
            }
            Kind::Shutdown => Operation::Shutdown {
                fd,
                how: libc::SHUT_WR,
            },
            Kind::CancelAll => Operation::CancelAll { fd },
            Kind::Close | Kind::Accept | Kind::CancelAccept => Operation::Close { fd },
        })
    }

    /// Hands one operation to the kernel; `false` when its queue is full.
    pub(super) fn push(&mut self, kind: Kind, key: u64) -> bool {
        let Some(operation) = self.operation(kind, key) else {
            return true;
        };
        // SAFETY: the only memory an operation points to is that of a send, the segments of `Sending::output`, whose
        // heap memory does not move, and `Header`; and that of a connect, `Address`. All live in the socket, which
        // leaves the table only at its close event, when nothing of it is in flight; `sending` is replaced only when no
        // send is in flight, `address` dropped only when no connect is; and dropping the driver retires the kernel first
        // or leaks the table.
        if !unsafe { self.kernel.push(operation, kind.user_data(key)) } {
            return false;
        }
        if let Some(stage) = self.stage(kind, key) {
            *stage = Stage::InFlight;
        }
        self.in_flight[kind.class() as usize] += 1;
        self.stats.submitted += 1;
        self.stats.in_flight_high = self.stats.in_flight_high.max(self.total_in_flight());
        true
    }

    /// Submits what waited, as far as there is room; whether the kernel's queue was full.
    pub(super) fn flush_waiting(&mut self) -> bool {
        for class in CLASSES {
            while let Some(&(kind, key)) = self.waiting[class as usize].front() {
                if self.still_wanted(kind, key) {
                    if !self.may_admit(class) {
                        break;
                    }
                    if !self.push(kind, key) {
                        return true;
                    }
                }
                self.waiting[class as usize].pop_front();
                self.after_dropped(kind, key);
            }
        }
        false
    }

    /// A queued operation that was dropped may have been all that something waited for.
    pub(super) fn after_dropped(&mut self, kind: Kind, key: u64) {
        match kind {
            Kind::CancelReceive => self.progress_receive(key),
            Kind::Accept | Kind::CancelAccept => self.progress_listener(key),
            Kind::CancelAll | Kind::Shutdown => self.progress_close(key),
            Kind::Receive | Kind::Send | Kind::Close | Kind::Connect => {}
        }
    }
}
