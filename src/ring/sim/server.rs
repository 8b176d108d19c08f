//! Who a simulated ring connects to, as a test plays it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;

use super::{Connection, SimClient, World};

/// What becomes of a connection attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// It succeeds.
    #[default]
    Accept,
    /// `ECONNREFUSED`.
    Refuse,
    /// Nothing is ever heard: only a deadline ends it.
    Silence,
}

pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) answer: Answer,
    pub(super) arrivals: VecDeque<Rc<RefCell<Connection>>>,
}

/// A listening server of the simulation. When it is dropped, connecting to it is refused.
pub struct SimServer {
    world: Rc<RefCell<World>>,
    server: Rc<RefCell<Server>>,
}

impl SimServer {
    pub(super) fn new(world: &Rc<RefCell<World>>, address: SocketAddr) -> Self {
        let server = Rc::new(RefCell::new(Server {
            address,
            answer: Answer::Accept,
            arrivals: VecDeque::new(),
        }));
        world.borrow_mut().servers.push(Rc::clone(&server));
        Self {
            world: Rc::clone(world),
            server,
        }
    }

    /// Changes what attempts meet, also those under way.
    pub fn set_answer(&self, answer: Answer) {
        self.server.borrow_mut().answer = answer;
        self.world.borrow_mut().wake();
    }

    /// The next connection that arrived. The ring may not know yet that it is connected.
    pub fn accept(&self) -> Option<SimClient> {
        let connection = self.server.borrow_mut().arrivals.pop_front()?;
        Some(SimClient {
            world: Rc::clone(&self.world),
            connection,
        })
    }
}

impl Drop for SimServer {
    fn drop(&mut self) {
        let mut world = self.world.borrow_mut();
        world
            .servers
            .retain(|server| !Rc::ptr_eq(server, &self.server));
        for connection in &self.server.borrow().arrivals {
            connection.borrow_mut().reset = true;
        }
        world.wake();
    }
}
