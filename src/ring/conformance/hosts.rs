//! A ring and its clients, for each kernel interface.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use super::*;
use crate::ring::sim::{SimClient, SimNetwork};
use crate::ring::{Epoll, EpollRing, ListenerKey, SimRing, Uring, UringRing};

/// The client's side of one connection.
pub(super) trait Peer {
    fn write(&mut self, bytes: &[u8]);
    /// Moves what can be moved, without waiting.
    fn pump(&mut self);
    fn read_some(&mut self, count: usize);
    fn stop_reading(&mut self);
    fn finish(&mut self);
    fn reset(&mut self);
    fn got(&self) -> &[u8];
    fn is_broken(&self) -> bool;
    fn saw_end(&self) -> bool;
    /// Reads until the other side is gone.
    fn drain_to_end(&mut self);

    fn expects_more(&self, total: usize) -> bool {
        !self.is_broken() && self.got().len() < total
    }
}

/// A ring with somebody to talk to.
pub(super) trait Host {
    type Kernel: Kernel;
    type Peer: Peer;
    fn new(seed: u64, faults: Faults, options: RingOptions) -> Self;
    fn ring(&mut self) -> &mut Driver<Self::Kernel>;
    fn drop_ring(&mut self);
    fn listen(&mut self) -> ListenerKey;
    fn connect(&mut self) -> Self::Peer;
    fn check_descriptors(&mut self, expected: usize);
    /// Waits a little; whether nothing more will come by itself.
    fn is_idle(&mut self) -> bool;

    fn turn(&mut self, completions: &mut Vec<Completion>) {
        self.ring().turn(completions).unwrap();
    }

    /// One turn and what the application makes of it.
    fn step(&mut self, echo: &mut Echo) {
        let mut completions = Vec::new();
        self.turn(&mut completions);
        for completion in completions {
            echo.handle(self.ring(), completion);
        }
        if !echo.hold_buffers {
            echo.let_go();
        }
    }

    /// Steps until nothing happens any more.
    fn settle(&mut self, echo: &mut Echo) {
        let mut quiet = 0;
        for _ in 0..200_000 {
            let before = (self.ring().stats().events, self.ring().stats().submitted);
            self.step(echo);
            let after = (self.ring().stats().events, self.ring().stats().submitted);
            quiet = if before == after && self.is_idle() {
                quiet + 1
            } else {
                0
            };
            if quiet == 3 {
                return;
            }
        }
        panic!("never quiet: {:?}", self.ring().stats());
    }
}

pub(super) struct RealPeer {
    stream: TcpStream,
    outgoing: Vec<u8>,
    got: Vec<u8>,
    reading: bool,
    broken: bool,
    end: bool,
}

impl RealPeer {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nonblocking(true).unwrap();
        Self {
            stream,
            outgoing: Vec::new(),
            got: Vec::new(),
            reading: true,
            broken: false,
            end: false,
        }
    }

    fn read(&mut self, most: usize) {
        let mut left = most;
        let mut part = vec![0; most.min(1 << 16)];
        while left > 0 && !self.end {
            let room = part.len().min(left);
            match self.stream.read(&mut part[..room]) {
                Ok(0) => self.end = true,
                Ok(count) => {
                    self.got.extend_from_slice(&part[..count]);
                    left -= count;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.broken = true;
                    return;
                }
            }
        }
    }
}

impl Peer for RealPeer {
    fn write(&mut self, bytes: &[u8]) {
        self.outgoing.extend_from_slice(bytes);
        self.pump();
    }

    fn pump(&mut self) {
        while !self.outgoing.is_empty() {
            match self.stream.write(&self.outgoing) {
                Ok(count) => drop(self.outgoing.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.broken = true;
                    break;
                }
            }
        }
        if self.reading {
            self.read(usize::MAX);
        }
    }

    fn read_some(&mut self, count: usize) {
        self.read(count);
    }

    fn stop_reading(&mut self) {
        self.reading = false;
    }

    fn finish(&mut self) {
        self.pump();
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }

    fn reset(&mut self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
        // Closing with linger zero resets; the peer keeps another, harmless stream.
        let spare = TcpListener::bind("127.0.0.1:0").unwrap();
        self.stream = TcpStream::connect(spare.local_addr().unwrap()).unwrap();
        self.broken = true;
    }

    fn got(&self) -> &[u8] {
        &self.got
    }

    fn is_broken(&self) -> bool {
        self.broken
    }

    fn saw_end(&self) -> bool {
        self.end
    }

    fn drain_to_end(&mut self) {
        self.stream.set_nonblocking(false).unwrap();
        self.stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => assert_eq!(
                error.kind(),
                ErrorKind::ConnectionReset,
                "the other side is still there"
            ),
        }
    }
}

macro_rules! real_host {
    ($host:ident, $ring:ty, $kernel:ty) => {
        pub(super) struct $host {
            ring: Option<$ring>,
            address: Option<SocketAddr>,
        }

        impl Host for $host {
            type Kernel = $kernel;
            type Peer = RealPeer;

            fn new(_seed: u64, _faults: Faults, options: RingOptions) -> Self {
                Self {
                    ring: Some(<$ring>::new(options).unwrap()),
                    address: None,
                }
            }

            fn ring(&mut self) -> &mut $ring {
                self.ring.as_mut().unwrap()
            }

            fn drop_ring(&mut self) {
                self.ring = None;
            }

            fn listen(&mut self) -> ListenerKey {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                self.address = Some(listener.local_addr().unwrap());
                self.ring().listen(listener).unwrap()
            }

            fn connect(&mut self) -> RealPeer {
                RealPeer::connect(self.address.unwrap())
            }

            fn check_descriptors(&mut self, _expected: usize) {}

            fn is_idle(&mut self) -> bool {
                self.ring().wait(Duration::from_millis(5)).unwrap();
                true
            }
        }
    };
}

real_host!(UringHost, UringRing, Uring);
real_host!(EpollHost, EpollRing, Epoll);

pub(super) struct SimPeer {
    client: SimClient,
    got: Vec<u8>,
    reading: bool,
}

impl Peer for SimPeer {
    fn write(&mut self, bytes: &[u8]) {
        self.client.write(bytes);
    }

    fn pump(&mut self) {
        if self.reading {
            self.got.extend(self.client.take());
        }
    }

    fn read_some(&mut self, count: usize) {
        self.client.set_window(Some(count));
        self.got.extend(self.client.take());
    }

    fn stop_reading(&mut self) {
        self.reading = false;
        self.client.set_window(Some(1000));
    }

    fn finish(&mut self) {
        self.client.finish();
    }

    fn reset(&mut self) {
        self.client.reset();
    }

    fn got(&self) -> &[u8] {
        &self.got
    }

    fn is_broken(&self) -> bool {
        self.client.is_reset()
    }

    fn saw_end(&self) -> bool {
        self.client.is_finished()
    }

    fn drain_to_end(&mut self) {
        assert!(self.client.is_closed() || self.client.is_reset());
    }
}

pub(super) struct SimHost {
    ring: Option<SimRing>,
    pub(super) network: SimNetwork,
}

impl Host for SimHost {
    type Kernel = crate::ring::sim::Sim;
    type Peer = SimPeer;

    fn new(seed: u64, faults: Faults, options: RingOptions) -> Self {
        let ring = SimRing::with_options(seed, faults, options);
        Self {
            network: ring.network(),
            ring: Some(ring),
        }
    }

    fn ring(&mut self) -> &mut SimRing {
        self.ring.as_mut().unwrap()
    }

    fn drop_ring(&mut self) {
        self.ring = None;
    }

    fn listen(&mut self) -> ListenerKey {
        self.ring().listen_virtual()
    }

    fn connect(&mut self) -> SimPeer {
        SimPeer {
            client: self.network.connect().unwrap(),
            got: Vec::new(),
            reading: true,
        }
    }

    fn check_descriptors(&mut self, expected: usize) {
        assert_eq!(self.network.open_descriptors(), expected);
    }

    fn is_idle(&mut self) -> bool {
        !self.ring().kernel.has_work()
    }
}
