//! A simulated kernel and network, seeded and faulty, for testing what runs on a ring.
//!
//! There is no clock and no thread: a turn is a step. Every choice comes from the seed, so a seed replays exactly.
//! The simulation reads what a send points to as late as it can, and reuses the lowest free descriptor, so that
//! freeing or closing too early shows.

mod connect;
mod kernel;
mod server;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::task::Waker;

pub use kernel::Sim;
pub use server::{Answer, SimServer};

use super::driver::{Driver, RingOptions};
use super::{ListenerKey, Ring};

/// Sockets over the simulation.
pub type SimRing = Driver<Sim>;

impl SimRing {
    /// A ring of the usual size on a fresh network.
    pub fn new(seed: u64, faults: Faults) -> Self {
        Self::with_options(seed, faults, RingOptions::default())
    }

    /// A ring with chosen sizes: a small one meets its bounds sooner.
    ///
    /// Panics: the options are unsound.
    pub fn with_options(seed: u64, faults: Faults, options: RingOptions) -> Self {
        assert!(options.check().is_ok(), "unsound ring options: {options:?}");
        Self::with_kernel(Sim::new(seed, faults, &options), &options)
    }

    /// The handle through which a test plays the clients; it may outlive the ring.
    pub fn network(&self) -> SimNetwork {
        SimNetwork {
            world: Rc::clone(&self.kernel.world),
        }
    }

    /// Listens without a real socket.
    pub fn listen_virtual(&mut self) -> ListenerKey {
        let fd = self.kernel.world.borrow_mut().open(Descriptor::Listener {
            arrivals: VecDeque::new(),
        });
        self.listen_fd(fd)
            .expect("a test has fewer than 16 listeners")
    }

    /// Whether turns would do nothing until a client acts.
    pub fn is_quiescent(&self) -> bool {
        use super::kernel::Kernel;
        !self.kernel.has_work() && self.stats().waiting == 0
    }
}

/// How often what goes wrong: chances out of 256, taken at each opportunity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// An operation that could go on does not in this turn.
    pub delay: u8,
    /// A receive hands over fewer bytes than there are.
    pub short_receive: u8,
    /// A send takes fewer bytes than there is room for.
    pub short_send: u8,
    /// An operation ends with `ECANCELED`, `EINTR` or `EAGAIN` by itself.
    pub interrupted: u8,
    /// A receive ends with `ENOBUFS` although there are buffers.
    pub no_buffers: u8,
    /// A multishot accept ends although nothing is wrong.
    pub multishot_ends: u8,
    /// A receive goes on after it has handed over bytes, as epoll's does; io_uring's ends.
    pub receive_goes_on: u8,
    /// The peer's reset arrives.
    pub reset: u8,
    /// Connecting fails: `ECONNREFUSED`, `ETIMEDOUT`, `EHOSTUNREACH`, `ENETUNREACH`, `EADDRNOTAVAIL`, `ENOMEM`.
    pub connect_fails: u8,
    /// Accepting fails: `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`, `ECONNABORTED`, `EPROTO`.
    pub accept_fails: u8,
    /// A cancellation says `EALREADY` or `ENOENT`, and the operation goes on.
    pub cancel_fails: u8,
    /// `io_uring_enter` submits nothing: `EAGAIN`, `EBUSY`, `EINTR`.
    pub enter_fails: u8,
    /// A send or receive breaks with `ENOMEM`, `ETIMEDOUT` or `EPIPE`.
    pub broken: u8,
    /// The step of this number, counted from 1 over all operations, breaks its operation: for "fail the Nth" loops.
    /// 0: none.
    pub break_step: u32,
    /// The completion queue has only this many places; what does not fit overflows. 0: as the options say.
    pub completion_entries: u16,
}

impl Faults {
    /// A kind kernel.
    pub fn none() -> Self {
        Self::default()
    }

    /// A mix that differs from seed to seed, without the faults that lose a connection.
    pub fn survivable(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x5EED_FA17);
        let mut some = || {
            if random.chance(96) {
                0
            } else {
                random.below(100) as u8
            }
        };
        Self {
            delay: some(),
            short_receive: some(),
            short_send: some(),
            interrupted: some() / 2,
            no_buffers: some() / 2,
            multishot_ends: some(),
            receive_goes_on: some(),
            cancel_fails: some(),
            enter_fails: some() / 2,
            completion_entries: u16::from(some()) % 3 * 4,
            ..Self::default()
        }
    }

    /// A mix that differs from seed to seed, with every kind of fault.
    pub fn all(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0xBAD_5EED);
        let mut some = |most: u64| random.below(most) as u8;
        Self {
            reset: some(6),
            accept_fails: some(40),
            broken: some(6),
            connect_fails: some(40),
            ..Self::survivable(seed)
        }
    }
}

/// The seeded source of every choice (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A source that gives the same numbers for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, or 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            0
        } else {
            self.next_u64() % bound
        }
    }

    /// True in `chance` of 256 cases.
    pub fn chance(&mut self, chance: u8) -> bool {
        chance > 0 && self.below(256) < u64::from(chance)
    }
}

/// What a descriptor of the simulation stands for.
enum Descriptor {
    Listener {
        arrivals: VecDeque<Rc<RefCell<Connection>>>,
    },
    /// Made to connect, and nothing more yet.
    Unconnected,
    /// The handshake is on its way: the peer may know of the connection before we do.
    Connecting(Rc<RefCell<Connection>>),
    Socket(Rc<RefCell<Connection>>),
}

/// Both directions of one connection. The server is the ring's side, also of a connection that the ring began.
#[derive(Default)]
struct Connection {
    /// Written by the client, not yet received by the server.
    inbound: VecDeque<u8>,
    /// Sent by the server, not yet taken by the client.
    outbound: Vec<u8>,
    /// Bytes of `outbound` that the client's window allows; `None` is endless.
    window_bytes: Option<usize>,
    client_finished: bool,
    client_gone: bool,
    reset: bool,
    server_finished: bool,
    server_read_shut: bool,
    server_closed: bool,
}

struct World {
    random: Random,
    faults: Faults,
    descriptors: Vec<Option<Descriptor>>,
    /// Who can be connected to.
    servers: Vec<Rc<RefCell<server::Server>>>,
    /// The far ends of adopted streams that nobody took yet.
    adopted: VecDeque<Rc<RefCell<Connection>>>,
    waker: Option<Waker>,
    /// Steps of operations taken so far.
    steps: u32,
}

impl World {
    /// Gives out the lowest free number, as Linux does; a few are taken, as 0, 1 and 2 are.
    fn open(&mut self, descriptor: Descriptor) -> RawFd {
        const FIRST: usize = 3;
        if self.descriptors.len() < FIRST {
            self.descriptors.resize_with(FIRST, || None);
        }
        let free = (FIRST..self.descriptors.len()).find(|fd| self.descriptors[*fd].is_none());
        let fd = free.unwrap_or(self.descriptors.len());
        if fd == self.descriptors.len() {
            self.descriptors.push(None);
        }
        self.descriptors[fd] = Some(descriptor);
        fd as RawFd
    }

    fn connection(&self, fd: RawFd) -> Option<&Rc<RefCell<Connection>>> {
        match self.descriptors.get(fd as usize) {
            Some(Some(Descriptor::Socket(connection))) => Some(connection),
            _ => None,
        }
    }

    fn close(&mut self, fd: RawFd) {
        match self.descriptors.get_mut(fd as usize).and_then(Option::take) {
            Some(Descriptor::Unconnected) => {}
            Some(Descriptor::Socket(connection) | Descriptor::Connecting(connection)) => {
                let mut connection = connection.borrow_mut();
                connection.server_closed = true;
                connection.server_finished = true;
                // Linux answers unread bytes with a reset.
                connection.reset |= !connection.inbound.is_empty();
            }
            Some(Descriptor::Listener { arrivals }) => {
                for connection in arrivals {
                    let mut connection = connection.borrow_mut();
                    connection.server_closed = true;
                    connection.reset = true;
                }
            }
            None => panic!("descriptor {fd} closed twice"),
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// The network of one simulated ring, from the clients' side.
#[derive(Clone)]
pub struct SimNetwork {
    world: Rc<RefCell<World>>,
}

impl SimNetwork {
    /// A new client, connected to the first listener; refused when nobody listens.
    pub fn connect(&self) -> Option<SimClient> {
        let mut world = self.world.borrow_mut();
        let connection = Rc::new(RefCell::new(Connection::default()));
        let arrivals = world
            .descriptors
            .iter_mut()
            .flatten()
            .find_map(|descriptor| match descriptor {
                Descriptor::Listener { arrivals } => Some(arrivals),
                _ => None,
            })?;
        arrivals.push_back(Rc::clone(&connection));
        world.wake();
        Some(SimClient {
            world: Rc::clone(&self.world),
            connection,
        })
    }

    /// Somebody who listens at `address`, for the ring to connect to.
    pub fn serve(&self, address: SocketAddr) -> SimServer {
        SimServer::new(&self.world, address)
    }

    /// The far end of the stream that the ring adopted first, of those that were not taken.
    pub fn take_adopted(&self) -> Option<SimClient> {
        let connection = self.world.borrow_mut().adopted.pop_front()?;
        Some(SimClient {
            world: Rc::clone(&self.world),
            connection,
        })
    }

    /// Descriptors that are open: listeners and sockets.
    pub fn open_descriptors(&self) -> usize {
        self.world.borrow().descriptors.iter().flatten().count()
    }

    /// Steps of operations taken so far; see [`Faults::break_step`].
    pub fn steps(&self) -> u32 {
        self.world.borrow().steps
    }

    /// Changes what goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.world.borrow_mut().faults = faults;
    }
}

/// The far end of one connection: a client, or the server that the ring connected to. Dropping it leaves the connection as it is.
pub struct SimClient {
    world: Rc<RefCell<World>>,
    connection: Rc<RefCell<Connection>>,
}

impl SimClient {
    /// Sends bytes to the server.
    pub fn write(&self, bytes: &[u8]) {
        {
            let mut connection = self.connection.borrow_mut();
            if !connection.reset && !connection.server_closed {
                connection.inbound.extend(bytes);
            }
        }
        self.world.borrow_mut().wake();
    }

    /// Everything the server sent and nobody took; it stays.
    pub fn received(&self) -> Vec<u8> {
        self.connection.borrow().outbound.clone()
    }

    /// Takes everything the server sent so far, which opens the window again.
    pub fn take(&self) -> Vec<u8> {
        let bytes = std::mem::take(&mut self.connection.borrow_mut().outbound);
        self.world.borrow_mut().wake();
        bytes
    }

    /// Lets the server have at most this many bytes out that were not taken: a slow reader. `None`: no limit.
    pub fn set_window(&self, window_bytes: Option<usize>) {
        self.connection.borrow_mut().window_bytes = window_bytes;
        self.world.borrow_mut().wake();
    }

    /// Says that no more will be written; reading goes on.
    pub fn finish(&self) {
        self.connection.borrow_mut().client_finished = true;
        self.world.borrow_mut().wake();
    }

    /// Closes both ways: what was written still arrives, what the server sends from now on breaks the connection.
    pub fn close(&self) {
        {
            let mut connection = self.connection.borrow_mut();
            connection.client_finished = true;
            connection.client_gone = true;
        }
        self.world.borrow_mut().wake();
    }

    /// Resets the connection: bytes under way are lost.
    pub fn reset(&self) {
        {
            let mut connection = self.connection.borrow_mut();
            connection.reset = true;
            connection.inbound.clear();
        }
        self.world.borrow_mut().wake();
    }

    /// Whether the server said "no more", by shutting down or by closing.
    pub fn is_finished(&self) -> bool {
        self.connection.borrow().server_finished
    }

    /// Whether the server closed its side.
    pub fn is_closed(&self) -> bool {
        self.connection.borrow().server_closed
    }

    /// Whether the connection was reset, by either side.
    pub fn is_reset(&self) -> bool {
        self.connection.borrow().reset
    }

    /// Bytes written that the server has not received.
    pub fn unread(&self) -> usize {
        self.connection.borrow().inbound.len()
    }
}
