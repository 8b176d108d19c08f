//! An echo server on the simulated ring, driven by a script of client deeds.

use std::collections::HashMap;
use std::net::SocketAddr;

use margay::mem::{Output, SharedBytes};
use margay::ring::sim::{Faults, SimClient, SimRing, SimServer};
use margay::ring::{Completion, Ring, RingOptions, SocketKey};

/// Where the server listens that the ring connects to.
const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7);

/// Turns after which a kind kernel has finished whatever a script left behind.
const SETTLE_TURNS_MAX: usize = 20_000;

/// Panics if the ring loses, doubles or crosses a byte, or keeps a socket, a buffer or a descriptor.
///
/// Shape: eight bytes of seed, one that picks the faults, then the script: a deed and its operand, two bytes each.
pub fn check(script: &[u8]) {
    let Some((seed, rest)) = script.split_first_chunk::<8>() else {
        return;
    };
    let Some((&kind, deeds)) = rest.split_first() else {
        return;
    };
    let seed = u64::from_le_bytes(*seed);
    let (faults, lossy) = match kind % 3 {
        0 => (Faults::none(), false),
        1 => (Faults::survivable(seed), false),
        _ => (Faults::all(seed), true),
    };
    let mut world = World::new(seed, faults);
    for deed in deeds.chunks_exact(2).take(400) {
        world.act(deed[0], deed[1]);
    }
    world.settle();
    for client in &world.clients {
        let answer = client
            .taken
            .iter()
            .copied()
            .chain(client.handle.received())
            .collect::<Vec<u8>>();
        let asked: Vec<u8> = (0..client.written)
            .map(|at| pattern(client.number, at))
            .collect();
        assert!(
            asked.starts_with(&answer),
            "client {} got bytes that it did not send",
            client.number
        );
        assert!(
            lossy || client.hurt || answer == asked,
            "client {} lost bytes",
            client.number
        );
    }
}

/// The byte that a client writes at a place: a lost, doubled or crossed one shows.
fn pattern(client: usize, at: usize) -> u8 {
    ((at * 31 + client * 101 + at / 251) % 256) as u8
}

struct Client {
    handle: SimClient,
    number: usize,
    written: usize,
    taken: Vec<u8>,
    finished: bool,
    hurt: bool,
}

#[derive(Default)]
struct Socket {
    pending: Vec<u8>,
    sending: bool,
    ended: bool,
    closing: bool,
    connecting: bool,
}

struct World {
    ring: SimRing,
    server: SimServer,
    clients: Vec<Client>,
    sockets: HashMap<SocketKey, Socket>,
    completions: Vec<Completion>,
}

impl World {
    fn new(seed: u64, faults: Faults) -> Self {
        let options = RingOptions {
            entries: 16,
            completion_entries: 64,
            operations_max: 64,
            socket_count_max: 16,
            connect_count_max: 4,
            receive_buffer_count: 4,
            receive_buffer_bytes: 64,
            completions_per_turn_max: 16,
            restricted: false,
        };
        let mut ring = SimRing::with_options(seed, faults, options);
        ring.listen_virtual();
        Self {
            server: ring.network().serve(SERVER),
            ring,
            clients: Vec::new(),
            sockets: HashMap::new(),
            completions: Vec::new(),
        }
    }

    fn act(&mut self, deed: u8, operand: u8) {
        if deed % 8 == 0 && operand >= 128 {
            if let Ok(socket) = self.ring.connect(SERVER) {
                let connecting = Socket {
                    connecting: true,
                    ..Socket::default()
                };
                self.sockets.insert(socket, connecting);
                self.ring.receive(socket);
            }
            return;
        }
        if deed % 8 == 0 && self.clients.len() < 8 {
            let handle = self.ring.network().connect();
            self.join(handle);
        }
        let count = self.clients.len();
        let Some(client) = self.clients.get_mut(usize::from(deed / 8) % count.max(1)) else {
            return;
        };
        match deed % 8 {
            1 | 2 if !client.finished => {
                let bytes: Vec<u8> = (0..usize::from(operand))
                    .map(|at| pattern(client.number, client.written + at))
                    .collect();
                client.handle.write(&bytes);
                client.written += bytes.len();
            }
            3 => {
                client.handle.finish();
                client.finished = true;
            }
            4 => {
                client.handle.set_window(Some(usize::from(operand)));
            }
            5 => client.taken.extend(client.handle.take()),
            6 if operand < 32 => {
                client.handle.reset();
                (client.finished, client.hurt) = (true, true);
            }
            6 if operand < 64 => {
                client.handle.close();
                (client.finished, client.hurt) = (true, true);
            }
            _ => (0..operand % 16).for_each(|_| self.turn()),
        }
    }

    fn join(&mut self, handle: Option<SimClient>) {
        let number = self.clients.len();
        self.clients.extend(handle.map(|handle| Client {
            handle,
            number,
            written: 0,
            taken: Vec::new(),
            finished: false,
            hurt: false,
        }));
    }

    fn turn(&mut self) {
        let arrived = self.server.accept();
        self.join(arrived);
        let mut completions = std::mem::take(&mut self.completions);
        self.ring
            .turn(&mut completions)
            .expect("the simulated ring stays usable");
        completions
            .drain(..)
            .for_each(|completion| self.handle(completion));
        self.completions = completions;
    }

    fn handle(&mut self, completion: Completion) {
        let key = match completion {
            Completion::Accepted { socket, .. } => {
                assert!(
                    self.sockets.insert(socket, Socket::default()).is_none(),
                    "a key was given twice"
                );
                return self.ring.receive(socket);
            }
            Completion::Connected { socket } => {
                let connecting = &mut self.socket(socket).connecting;
                assert!(std::mem::take(connecting), "connected twice");
                return;
            }
            Completion::AcceptFailed { listener, .. } => {
                return self.ring.resume_listening(listener);
            }
            Completion::Closed { socket } => {
                assert!(
                    self.sockets.remove(&socket).is_some(),
                    "a socket closed twice"
                );
                return;
            }
            Completion::Received { socket, bytes } => {
                assert!(
                    !self.socket(socket).connecting,
                    "bytes before the connection"
                );
                self.socket(socket).pending.extend_from_slice(&bytes);
                socket
            }
            Completion::EndOfStream { socket } => {
                self.socket(socket).ended = true;
                socket
            }
            Completion::Sent { socket } => {
                assert!(
                    std::mem::take(&mut self.socket(socket).sending),
                    "sent without a send"
                );
                socket
            }
            Completion::Failed { socket, .. } => return self.close(socket),
        };
        self.go_on(key);
    }

    fn socket(&mut self, key: SocketKey) -> &mut Socket {
        self.sockets
            .get_mut(&key)
            .expect("a completion names a socket that is open")
    }

    fn go_on(&mut self, key: SocketKey) {
        let socket = self.socket(key);
        if socket.sending || socket.closing {
            return;
        }
        if socket.pending.is_empty() {
            if socket.ended {
                self.close(key);
            }
            return;
        }
        let bytes = std::mem::take(&mut socket.pending);
        socket.sending = true;
        self.ring.send(key, Output::from(SharedBytes::from(bytes)));
    }

    fn close(&mut self, key: SocketKey) {
        if !std::mem::replace(&mut self.socket(key).closing, true) {
            self.ring.close(key);
        }
    }

    /// Lets a kind kernel finish, and holds that nothing is left.
    fn settle(&mut self) {
        self.ring.network().set_faults(Faults::none());
        for _ in 0..SETTLE_TURNS_MAX {
            // A connection under way arrives only now.
            for client in &self.clients {
                client.handle.set_window(None);
                client.handle.finish();
            }
            self.turn();
            if self.ring.is_quiescent() && self.sockets.is_empty() {
                break;
            }
        }
        assert!(
            self.sockets.is_empty(),
            "{} sockets never closed: {:?}",
            self.sockets.len(),
            self.ring.stats()
        );
        assert_eq!(self.ring.open_sockets(), 0);
        assert_eq!(
            self.ring.stats().buffers_out,
            0,
            "a receive buffer did not come home"
        );
        assert_eq!(
            self.ring.network().open_descriptors(),
            1,
            "only the listener is open"
        );
    }
}
