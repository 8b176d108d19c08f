//! How the simulated kernel connects.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::rc::Rc;

use socket2::{SockAddr, SockAddrStorage};

use super::kernel::{Sim, Step};
use super::{Answer, Connection, Descriptor, World};

impl Sim {
    /// One step of a connect: first the peer learns of the connection, in this or in a later step the ring does.
    pub(super) fn step_connect(
        &mut self,
        fd: RawFd,
        address: *const libc::sockaddr_storage,
        len: u32,
    ) -> Step {
        let fails = self.chance(|faults| faults.connect_fails);
        let errno = self.one_of(&[
            libc::ECONNREFUSED,
            libc::ETIMEDOUT,
            libc::EHOSTUNREACH,
            libc::ENETUNREACH,
            libc::EADDRNOTAVAIL,
            libc::ENOMEM,
        ]);
        let at_once = self.below(2) == 0;
        let address = read(address, len);
        let mut world = self.world.borrow_mut();
        let connection = match world.descriptors.get(fd as usize) {
            Some(Some(Descriptor::Unconnected)) if fails => return Step::Last(errno, None),
            Some(Some(Descriptor::Unconnected)) => {
                let connection = match world.begin_to_connect(address) {
                    Ok(connection) => connection,
                    Err(answer) => return answer,
                };
                if !at_once {
                    world.descriptors[fd as usize] = Some(Descriptor::Connecting(connection));
                    return Step::Wait;
                }
                connection
            }
            Some(Some(Descriptor::Connecting(connection))) => Rc::clone(connection),
            Some(Some(Descriptor::Socket(_))) => return Step::Last(-libc::EISCONN, None),
            _ => return Step::Last(-libc::EBADF, None),
        };
        world.descriptors[fd as usize] = Some(Descriptor::Socket(connection));
        Step::Last(0, None)
    }

    /// A handshake that ends after the attempt was interrupted: asked again, the kernel says that it is connected.
    pub(super) fn connect_unseen(&mut self, fd: RawFd) {
        if self.below(2) == 0 {
            return;
        }
        let mut world = self.world.borrow_mut();
        if let Some(Some(Descriptor::Connecting(connection))) = world.descriptors.get(fd as usize) {
            let connection = Rc::clone(connection);
            world.descriptors[fd as usize] = Some(Descriptor::Socket(connection));
        }
    }
}

impl World {
    /// The connection as the server sees it arrive, or what the attempt meets.
    fn begin_to_connect(
        &mut self,
        address: Option<SocketAddr>,
    ) -> Result<Rc<RefCell<Connection>>, Step> {
        let refused = Step::Last(-libc::ECONNREFUSED, None);
        let Some(server) = self.server(address) else {
            return Err(refused);
        };
        let mut server = server.borrow_mut();
        match server.answer {
            Answer::Accept => {}
            Answer::Refuse => return Err(refused),
            Answer::Silence => return Err(Step::Wait),
        }
        let connection = Rc::new(RefCell::new(Connection::default()));
        server.arrivals.push_back(Rc::clone(&connection));
        Ok(connection)
    }

    /// Whether this attempt would wait for ever.
    pub(super) fn is_silent(
        &self,
        fd: RawFd,
        address: *const libc::sockaddr_storage,
        len: u32,
    ) -> bool {
        let unconnected = matches!(
            self.descriptors.get(fd as usize),
            Some(Some(Descriptor::Unconnected))
        );
        unconnected
            && self
                .server(read(address, len))
                .is_some_and(|server| server.borrow().answer == Answer::Silence)
    }

    fn server(&self, address: Option<SocketAddr>) -> Option<&Rc<RefCell<super::server::Server>>> {
        let found = |server: &&Rc<RefCell<_>>| {
            let server: &RefCell<super::server::Server> = server;
            Some(server.borrow().address) == address
        };
        self.servers.iter().find(found)
    }
}

/// What an operation points to, read when it is needed and not before, so that freeing it too early shows.
fn read(address: *const libc::sockaddr_storage, len: u32) -> Option<SocketAddr> {
    // SAFETY: whoever pushed the operation keeps the address until the last event; both types are the same memory.
    let storage = unsafe { address.cast::<SockAddrStorage>().read() };
    // SAFETY: the driver made the storage from an address of this length.
    unsafe { SockAddr::new(storage, len) }.as_socket()
}
