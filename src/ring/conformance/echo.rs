//! An echo application that behaves badly on purpose.

use std::collections::{BTreeMap, VecDeque};

use super::*;
use crate::ring::ReceiveBuffer;

/// The bytes that client `number` writes, from a position on: any lost, doubled or crossed one shows.
pub(super) fn pattern(number: usize, from: usize, len: usize) -> Vec<u8> {
    (from..from + len)
        .map(|position| {
            let mixed = (position as u32).wrapping_mul(2_654_435_761)
                ^ (number as u32).wrapping_mul(0x9E37_79B9);
            (mixed >> 13) as u8
        })
        .collect()
}

#[derive(Default)]
struct State {
    pending: VecDeque<u8>,
    sending: bool,
    ended: bool,
    shut: bool,
    connecting: bool,
}

/// Sends back what it receives.
pub(super) struct Echo {
    random: Random,
    pool: BufferPool,
    sockets: BTreeMap<SocketKey, State>,
    held: Vec<ReceiveBuffer>,
    pub(super) hold_buffers: bool,
    pub(super) accepted: usize,
    pub(super) sent: usize,
    pub(super) closed: usize,
    pub(super) connected: usize,
    pub(super) failed: Vec<SocketKey>,
    pub(super) errors: Vec<SocketError>,
    /// Closing is in the ring's hands.
    closing: Vec<SocketKey>,
}

impl Echo {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed ^ 0xEC40),
            pool: BufferPool::with_limit(64 << 20),
            sockets: BTreeMap::new(),
            held: Vec::new(),
            hold_buffers: false,
            accepted: 0,
            sent: 0,
            closed: 0,
            connected: 0,
            failed: Vec::new(),
            errors: Vec::new(),
            closing: Vec::new(),
        }
    }

    pub(super) fn only_socket(&self) -> SocketKey {
        assert_eq!(self.sockets.len(), 1);
        *self.sockets.keys().next().unwrap()
    }

    pub(super) fn sockets(&self) -> Vec<SocketKey> {
        self.sockets.keys().copied().collect()
    }

    /// The test has begun to connect this socket.
    pub(super) fn expect(&mut self, socket: SocketKey) {
        let state = State {
            connecting: true,
            ..State::default()
        };
        assert!(
            self.sockets.insert(socket, state).is_none(),
            "a key was handed out twice"
        );
    }

    /// The test has handed this socket to the ring.
    pub(super) fn adopted(&mut self, socket: SocketKey) {
        assert!(
            self.sockets.insert(socket, State::default()).is_none(),
            "a key was handed out twice"
        );
    }

    /// The test itself closes this socket.
    pub(super) fn closing(&mut self, socket: SocketKey) {
        self.closing.push(socket);
    }

    /// The test itself sends on this socket.
    pub(super) fn busy(&mut self, socket: SocketKey) {
        self.sockets.get_mut(&socket).unwrap().sending = true;
    }

    pub(super) fn let_go(&mut self) {
        self.held.clear();
    }

    pub(super) fn handle<K: Kernel>(&mut self, ring: &mut Driver<K>, completion: Completion) {
        match completion {
            Completion::Accepted {
                listener: _,
                socket,
            } => {
                self.accepted += 1;
                assert!(
                    self.sockets.insert(socket, State::default()).is_none(),
                    "a key was handed out twice"
                );
                ring.receive(socket);
                ring.receive(socket);
            }
            Completion::AcceptFailed { listener, .. } => ring.resume_listening(listener),
            Completion::Connected { socket } => {
                self.connected += 1;
                let state = self
                    .sockets
                    .get_mut(&socket)
                    .expect("a connection of an unknown socket");
                assert!(std::mem::take(&mut state.connecting), "connected twice");
                assert!(
                    !self.closing.contains(&socket),
                    "connected after it was closed"
                );
                ring.receive(socket);
            }
            Completion::Received { socket, bytes } => {
                let state = self
                    .sockets
                    .get_mut(&socket)
                    .expect("bytes of an unknown socket");
                assert!(!bytes.is_empty() && !state.ended && !state.connecting);
                state.pending.extend(&*bytes);
                if self.hold_buffers || self.random.below(16) == 0 {
                    self.held.push(bytes);
                }
                if self.random.below(20) == 0 && !self.hold_buffers {
                    ring.pause(socket);
                    if self.random.below(2) == 0 {
                        ring.receive(socket);
                        ring.pause(socket);
                    }
                    ring.receive(socket);
                }
                self.go_on(ring, socket);
            }
            Completion::EndOfStream { socket } => {
                self.sockets
                    .get_mut(&socket)
                    .expect("the end of an unknown socket")
                    .ended = true;
                self.go_on(ring, socket);
            }
            Completion::Sent { socket } => {
                self.sent += 1;
                let state = self
                    .sockets
                    .get_mut(&socket)
                    .expect("an answer of an unknown socket");
                assert!(std::mem::take(&mut state.sending), "sent without a send");
                self.go_on(ring, socket);
            }
            Completion::Failed { socket, error } => {
                self.errors.push(error);
                assert!(!self.failed.contains(&socket), "failed twice");
                self.failed.push(socket);
                self.closing.push(socket);
                ring.close(socket);
            }
            Completion::Closed { socket } => {
                self.closed += 1;
                assert!(self.sockets.remove(&socket).is_some(), "closed twice");
            }
        }
        if !self.hold_buffers && self.random.below(4) == 0 {
            self.held.clear();
        }
    }

    fn go_on<K: Kernel>(&mut self, ring: &mut Driver<K>, socket: SocketKey) {
        let Some(state) = self.sockets.get_mut(&socket) else {
            return;
        };
        if state.sending {
            return;
        }
        if !state.pending.is_empty() {
            let bytes: Vec<u8> = state.pending.drain(..).collect();
            state.sending = true;
            ring.send(socket, self.output(&bytes));
        } else if state.ended && !state.shut {
            state.shut = true;
            ring.shutdown(socket);
            ring.close(socket);
            self.closing.push(socket);
        }
    }

    fn output(&mut self, bytes: &[u8]) -> Output {
        let mut output = Output::new();
        let cut = self.random.below(bytes.len() as u64 + 1) as usize;
        let (first, second) = bytes.split_at(cut);
        let mut buffer = self.pool.take(first.len()).unwrap();
        buffer.extend_from_slice(first);
        output.push(buffer).unwrap();
        output.push(SharedBytes::from(second)).unwrap();
        output
    }

    /// What must hold when every socket was closed and every listener stopped.
    pub(super) fn all_is_home<K: Kernel>(&mut self, ring: &mut Driver<K>) {
        self.held.clear();
        let stats = ring.stats();
        assert_eq!(ring.open_sockets(), 0, "sockets: {stats:?}");
        assert!(
            self.sockets.is_empty(),
            "every closed socket was reported: {stats:?}"
        );
        assert_eq!(
            (stats.in_flight, stats.waiting),
            (0, 0),
            "operations retired: {stats:?}"
        );
        assert_eq!(stats.buffers_out, 0, "receive buffers: {stats:?}");
        assert_eq!(self.pool.stats().checked_out, 0, "output buffers");
    }
}
