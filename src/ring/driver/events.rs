//! What an event of the kernel means: which stage it ends, what is reported.

use std::os::fd::RawFd;

use super::super::errno::{self, AcceptVerdict, Verdict};
use super::super::kernel::{Event, Kernel};
use super::super::socket::{Socket, Stage};
use super::super::{Completion, ListenerKey, SocketError, SocketKey};
use super::admission::Kind;
use super::{ACCEPTS_PER_OPERATION, Driver};

impl<K: Kernel> Driver<K> {
    pub(in crate::ring) fn handle(&mut self, event: Event, completions: &mut Vec<Completion>) {
        let Some(kind) = Kind::of(event.user_data) else {
            self.stats.stale += 1;
            return;
        };
        if !event.more {
            self.in_flight[kind.class() as usize] -= 1;
        }
        let index = event.user_data as u32;
        let key = match kind {
            Kind::Accept | Kind::CancelAccept => self.listeners.key_at(index),
            _ => self.sockets.key_at(index),
        };
        let Some(key) = key.filter(|key| kind.user_data(*key) == event.user_data) else {
            self.drop_stale(kind, event);
            return;
        };
        if !event.more
            && let Some(stage) = self.stage(kind, key)
        {
            *stage = Stage::Idle;
        }
        match kind {
            Kind::Accept => self.accepted(key, event, completions),
            Kind::Connect => self.connected(key, event, completions),
            Kind::CancelAccept => self.progress_listener(key),
            Kind::Receive => self.received(key, event, completions),
            Kind::CancelReceive => {
                self.progress_receive(key);
                self.progress_close(key);
            }
            Kind::Send => self.sent(key, event, completions),
            // ENOTCONN, EINVAL: the connection is gone already, which is what was wanted.
            Kind::Shutdown => {
                self.progress_send(key);
                self.progress_close(key);
            }
            Kind::CancelAll => self.cancelled(key, event),
            Kind::Close => self.closed(key, event, completions),
        }
    }

    pub(super) fn drop_stale(&mut self, kind: Kind, event: Event) {
        self.stats.stale += 1;
        if kind == Kind::Accept && event.result >= 0 {
            self.kernel.close_now(event.result);
        }
        if let Some(index) = event.buffer {
            drop(self.kernel.group().lend(index, 0));
        }
    }

    pub(super) fn accepted(&mut self, key: u64, event: Event, completions: &mut Vec<Completion>) {
        let Some(listener) = self.listeners.get_mut(key) else {
            return;
        };
        let name = ListenerKey(key);
        listener.taken = if event.more { listener.taken + 1 } else { 0 };
        let is_worn = listener.taken == ACCEPTS_PER_OPERATION;
        if event.result >= 0 {
            let fd = event.result;
            if listener.stopping {
                self.stats.stale += 1;
                self.kernel.close_now(fd);
            } else {
                match self.insert_accepted(fd) {
                    Some(socket) => completions.push(Completion::Accepted {
                        listener: name,
                        socket,
                    }),
                    None => {
                        self.stats.refused += 1;
                        self.kernel.close_now(fd);
                    }
                }
            }
        } else {
            let errno = -event.result;
            let verdict = errno::accept(errno);
            match verdict {
                AcceptVerdict::Again | AcceptVerdict::Lost => {}
                AcceptVerdict::Exhausted => {
                    self.exhausted_count += usize::from(!listener.exhausted);
                    listener.exhausted = true;
                }
                AcceptVerdict::Broken => listener.wanted = false,
            }
            if verdict != AcceptVerdict::Again && !listener.stopping {
                completions.push(Completion::AcceptFailed {
                    listener: name,
                    errno,
                });
            }
        }
        if !event.more || is_worn {
            self.progress_listener(key);
        }
    }

    fn insert_accepted(&mut self, fd: RawFd) -> Option<SocketKey> {
        if self.accepted_count == self.accepted_count_max {
            return None;
        }
        let key = self.sockets.insert(Box::new(Socket::accepted(fd))).ok()?;
        self.accepted_count += 1;
        Some(SocketKey(key))
    }

    /// A connect ended. One that succeeds after the socket was closed or failed is not told of: the close follows.
    fn connected(&mut self, key: u64, event: Event, completions: &mut Vec<Completion>) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        let verdict = match event.result {
            0.. => None,
            error => errno::connect(-error),
        };
        match verdict {
            None => {
                socket.end_connecting();
                if !socket.closing {
                    completions.push(Completion::Connected {
                        socket: SocketKey(key),
                    });
                    self.progress_receive(key);
                    self.progress_send(key);
                }
            }
            Some(Verdict::Again | Verdict::Starved) => {
                if !socket.closing {
                    self.start(Kind::Connect, key);
                }
            }
            Some(Verdict::Broken(error)) => {
                socket.end_connecting();
                self.fail(key, error, completions);
            }
        }
        self.progress_close(key);
    }

    pub(super) fn received(&mut self, key: u64, event: Event, completions: &mut Vec<Completion>) {
        let len = event.result.max(0) as usize;
        let bytes = event
            .buffer
            .map(|index| self.kernel.group().lend(index, len));
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        let silent = socket.closing || socket.failed;
        let name = SocketKey(key);
        socket.drained = event.drained;
        match (event.result, bytes) {
            (1.., Some(bytes)) => {
                if !silent {
                    completions.push(Completion::Received {
                        socket: name,
                        bytes,
                    });
                }
            }
            // Without a buffer there are no bytes: the peer is done.
            (0.., _) => {
                socket.receive_wanted = false;
                if !silent && !socket.ended {
                    socket.ended = true;
                    completions.push(Completion::EndOfStream { socket: name });
                }
            }
            (error, _) => match errno::receive(-error) {
                Verdict::Again => {}
                Verdict::Starved => {
                    self.stats.starved += 1;
                    socket.starved = true;
                    if !socket.starved_queued {
                        socket.starved_queued = true;
                        self.starved.push_back(key);
                    }
                }
                Verdict::Broken(error) => self.fail(key, error, completions),
            },
        }
        if !event.more {
            if self.sockets.get(key).is_some_and(|socket| !socket.starved) {
                self.progress_receive(key);
            }
            self.progress_close(key);
        }
    }

    pub(super) fn sent(&mut self, key: u64, event: Event, completions: &mut Vec<Completion>) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        let silent = socket.closing || socket.failed;
        match event.result {
            0.. => {
                let whole = match &mut socket.sending {
                    Some(sending) => sending.advance(event.result as usize),
                    None => true,
                };
                if whole {
                    socket.sending = None;
                    if !silent {
                        completions.push(Completion::Sent {
                            socket: SocketKey(key),
                        });
                    }
                } else {
                    self.stats.short_sends += 1;
                }
            }
            error => match errno::send(-error) {
                Verdict::Again | Verdict::Starved => {}
                Verdict::Broken(error) => self.fail(key, error, completions),
            },
        }
        if silent && let Some(socket) = self.sockets.get_mut(key) {
            socket.sending = None;
        }
        self.progress_send(key);
        self.progress_close(key);
    }

    /// Reports a broken socket, once; what it was sending is given up when the kernel has let go of it.
    pub(super) fn fail(&mut self, key: u64, error: SocketError, completions: &mut Vec<Completion>) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        socket.receive_wanted = false;
        socket.shutdown_wanted = false;
        if socket.send != Stage::InFlight {
            socket.sending = None;
            socket.send = Stage::Idle;
        }
        if !socket.failed && !socket.closing {
            socket.failed = true;
            completions.push(Completion::Failed {
                socket: SocketKey(key),
                error,
            });
        }
    }

    pub(super) fn cancelled(&mut self, key: u64, event: Event) {
        if let Some(socket) = self.sockets.get_mut(key) {
            let left = socket.held_by_kernel();
            let took = errno::cancel_took(event.result) && event.result as usize >= left;
            if left > 0 && !took && !socket.torn_down {
                // What cannot be cancelled ends when the connection does.
                socket.torn_down = true;
                self.progress_close(key);
            }
        }
        if self
            .sockets
            .get(key)
            .is_some_and(|socket| socket.is_quiet())
        {
            self.progress_close(key);
        }
    }

    pub(super) fn closed(&mut self, key: u64, event: Event, completions: &mut Vec<Completion>) {
        let Some(socket) = self.sockets.remove(key) else {
            return;
        };
        // Linux releases the descriptor whatever close returns (EINTR, EIO, ENOSPC); not run at all is the exception.
        if event.result == -libc::ECANCELED {
            self.kernel.close_now(socket.fd);
        }
        self.accepted_count -= usize::from(socket.accepted);
        completions.push(Completion::Closed {
            socket: SocketKey(key),
        });
        self.resume_exhausted();
    }
}
