//! A ring and its clients, for each kernel interface.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use socket2::{Domain, Socket, Type};

use super::*;
use crate::ring::sim::{Answer, SimClient, SimNetwork, SimServer};
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
    /// Starts a server for the ring to connect to.
    fn serve(&mut self) -> SocketAddr;
    /// The server's side of the next connection that the ring made.
    fn accept(&mut self) -> Option<Self::Peer>;
    /// An address where nobody listens.
    fn deaf_address(&mut self) -> SocketAddr;
    /// An address where somebody listens and never answers.
    fn silent_address(&mut self) -> SocketAddr;
    /// Hands a connected stream to the ring; the other end of it.
    fn adopt(&mut self) -> (SocketKey, Self::Peer);
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
    stream: Socket,
    outgoing: Vec<u8>,
    got: Vec<u8>,
    reading: bool,
    broken: bool,
    end: bool,
}

impl RealPeer {
    fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).unwrap())
    }

    fn new(stream: impl Into<Socket>) -> Self {
        let stream = stream.into();
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
        self.stream.set_linger(Some(Duration::ZERO)).unwrap();
        // Closing with linger zero resets; the peer keeps another, harmless stream.
        let spare = TcpListener::bind("127.0.0.1:0").unwrap();
        let harmless = TcpStream::connect(spare.local_addr().unwrap()).unwrap();
        self.stream = harmless.into();
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

/// A listener whose queue of arrivals is full, so that nobody answers the next.
fn silent_listener() -> (SocketAddr, Vec<Socket>) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    listener.bind(&any.into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut kept = vec![listener];
    for _ in 0..8 {
        let filler = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        filler.set_nonblocking(true).unwrap();
        let _ = filler.connect(&address);
        kept.push(filler);
    }
    (address.as_socket().unwrap(), kept)
}

macro_rules! real_host {
    ($host:ident, $ring:ty, $kernel:ty) => {
        pub(super) struct $host {
            ring: Option<$ring>,
            address: Option<SocketAddr>,
            server: Option<TcpListener>,
            /// What keeps a silent address silent.
            silent: Vec<Socket>,
        }

        impl Host for $host {
            type Kernel = $kernel;
            type Peer = RealPeer;

            fn new(_seed: u64, _faults: Faults, options: RingOptions) -> Self {
                Self {
                    ring: Some(<$ring>::new(options).unwrap()),
                    address: None,
                    server: None,
                    silent: Vec::new(),
                }
            }

            fn serve(&mut self) -> SocketAddr {
                let server = TcpListener::bind("127.0.0.1:0").unwrap();
                server.set_nonblocking(true).unwrap();
                self.server.insert(server).local_addr().unwrap()
            }

            fn accept(&mut self) -> Option<RealPeer> {
                let (stream, _) = self.server.as_ref()?.accept().ok()?;
                Some(RealPeer::new(stream))
            }

            fn deaf_address(&mut self) -> SocketAddr {
                let bound = TcpListener::bind("127.0.0.1:0").unwrap();
                bound.local_addr().unwrap()
            }

            fn silent_address(&mut self) -> SocketAddr {
                let (address, kept) = silent_listener();
                self.silent.extend(kept);
                address
            }

            fn adopt(&mut self) -> (SocketKey, RealPeer) {
                let (ours, theirs) = UnixStream::pair().unwrap();
                let key = self.ring().adopt(OwnedFd::from(ours)).unwrap();
                (key, RealPeer::new(theirs))
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
                // The kernel shuts down on a thread of its own, which has to get a processor first.
                !self.ring().ends_something()
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

impl SimPeer {
    fn new(client: SimClient) -> Self {
        Self {
            client,
            got: Vec::new(),
            reading: true,
        }
    }
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
    servers: Vec<SimServer>,
}

impl SimHost {
    fn address(&self) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], 1000 + self.servers.len() as u16))
    }
}

impl Host for SimHost {
    type Kernel = crate::ring::sim::Sim;
    type Peer = SimPeer;

    fn new(seed: u64, faults: Faults, options: RingOptions) -> Self {
        let ring = SimRing::with_options(seed, faults, options);
        Self {
            network: ring.network(),
            ring: Some(ring),
            servers: Vec::new(),
        }
    }

    fn serve(&mut self) -> SocketAddr {
        let address = self.address();
        self.servers.push(self.network.serve(address));
        address
    }

    fn accept(&mut self) -> Option<SimPeer> {
        let client = self.servers.iter().find_map(SimServer::accept)?;
        Some(SimPeer::new(client))
    }

    fn deaf_address(&mut self) -> SocketAddr {
        "[::1]:9".parse().unwrap()
    }

    fn silent_address(&mut self) -> SocketAddr {
        let address = self.serve();
        self.servers.last().unwrap().set_answer(Answer::Silence);
        address
    }

    fn adopt(&mut self) -> (SocketKey, SimPeer) {
        let (ours, _) = UnixStream::pair().unwrap();
        let key = self.ring().adopt(OwnedFd::from(ours)).unwrap();
        (key, SimPeer::new(self.network.take_adopted().unwrap()))
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
        SimPeer::new(self.network.connect().unwrap())
    }

    fn check_descriptors(&mut self, expected: usize) {
        assert_eq!(self.network.open_descriptors(), expected);
    }

    fn is_idle(&mut self) -> bool {
        !self.ring().kernel.has_work()
    }
}
