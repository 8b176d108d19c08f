//! What follows from the state: after every change, the one place that decides the next operation.

use super::super::kernel::Kernel;
use super::super::socket::Stage;
use super::super::{ListenerKey, Ring};
use super::admission::Kind;
use super::{Driver, LISTENERS_MAX};

impl<K: Kernel> Driver<K> {
    pub(super) fn progress_receive(&mut self, key: u64) {
        let available = self.available_buffers();
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        let busy = socket.receive != Stage::Idle || socket.cancel_receive != Stage::Idle;
        if !socket.receive_wanted || socket.closing || socket.connecting || busy {
            return;
        }
        if available > 0 && self.starved.is_empty() {
            socket.starved = false;
            self.start(Kind::Receive, key);
        } else {
            socket.starved = true;
            if !socket.starved_queued {
                socket.starved_queued = true;
                self.starved.push_back(key);
            }
        }
    }

    pub(super) fn progress_send(&mut self, key: u64) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        let waits = socket.connecting || socket.send != Stage::Idle;
        if socket.closing || socket.failed || waits {
            return;
        }
        if socket.sending.is_some() {
            self.start(Kind::Send, key);
        } else if socket.shutdown_wanted && socket.shutdown == Stage::Idle {
            socket.shutdown_wanted = false;
            self.start(Kind::Shutdown, key);
        }
    }

    pub(super) fn progress_close(&mut self, key: u64) {
        let Some(socket) = self.sockets.get_mut(key) else {
            return;
        };
        if !socket.closing || socket.close != Stage::Idle {
            return;
        }
        if socket.is_quiet() {
            // A cancellation still queued would hit whoever gets this descriptor next.
            for stage in [
                &mut socket.cancel_all,
                &mut socket.cancel_receive,
                &mut socket.shutdown,
            ] {
                *stage = Stage::Idle;
            }
            self.start(Kind::Close, key);
        } else if socket.held_by_kernel() > 0 && !socket.cancel_sent {
            socket.cancel_sent = true;
            self.start(Kind::CancelAll, key);
        } else if socket.torn_down && !socket.teardown_sent {
            self.start(Kind::Shutdown, key);
        }
    }

    pub(super) fn progress_listener(&mut self, key: u64) {
        let Some(listener) = self.listeners.get(key) else {
            return;
        };
        let quiet = listener.accept != Stage::InFlight && listener.cancel != Stage::InFlight;
        if listener.stopping && quiet {
            let fd = listener.fd;
            self.exhausted_count -= usize::from(listener.exhausted);
            self.listeners.remove(key);
            self.kernel.close_now(fd);
        } else if listener.accept == Stage::InFlight && listener.is_to_be_cancelled() {
            self.start(Kind::CancelAccept, key);
        } else if listener.wanted && !listener.exhausted && listener.cancel == Stage::Idle {
            self.start(Kind::Accept, key);
        }
    }

    pub(super) fn resume_exhausted(&mut self) {
        if self.exhausted_count == 0 {
            return;
        }
        for index in 0..LISTENERS_MAX as u32 {
            if let Some(key) = self.listeners.key_at(index) {
                self.resume_listening(ListenerKey(key));
            }
        }
    }
}
