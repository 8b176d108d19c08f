//! The attempt to reach a place: its addresses one after the other, within one bound of time.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use super::connection::Broken;

/// One attempt to reach a place.
pub(super) struct Attempt {
    addresses: Arc<Vec<SocketAddr>>,
    /// Where it began: at the address that worked last.
    first: usize,
    /// Addresses tried, the one that is being tried included.
    tried: usize,
    /// When the connection has to be ready.
    pub ready_by_ms: u64,
    /// When this address has had its share of the time.
    pub until_ms: u64,
    /// What was wrong with the last one.
    problem: Option<Problem>,
}

/// What was wrong with an address.
enum Problem {
    Broken(Broken),
    /// No socket could be made.
    Local(std::io::ErrorKind),
    Silent,
}

impl Attempt {
    pub fn new(
        addresses: Arc<Vec<SocketAddr>>,
        good: Option<SocketAddr>,
        ready_by_ms: u64,
    ) -> Self {
        let first = addresses
            .iter()
            .position(|address| Some(*address) == good)
            .unwrap_or(0);
        Self {
            addresses,
            first,
            tried: 0,
            ready_by_ms,
            until_ms: ready_by_ms,
            problem: None,
        }
    }

    /// The address to try now; none: all were tried, or the time is over.
    pub fn next(&mut self, now_ms: u64) -> Option<SocketAddr> {
        let left = self.addresses.len().checked_sub(self.tried)?;
        if left == 0 || (self.tried > 0 && now_ms >= self.ready_by_ms) {
            return None;
        }
        // Each of those that are left gets the same share, so that a silent one does not take all.
        let share_ms = self.ready_by_ms.saturating_sub(now_ms) / left as u64;
        self.until_ms = now_ms + share_ms;
        self.tried += 1;
        self.current()
    }

    /// Whether there is an address that was not tried.
    pub fn has_more(&self) -> bool {
        self.tried < self.addresses.len()
    }

    /// The address that is being tried, or was last.
    pub fn current(&self) -> Option<SocketAddr> {
        let place = self.first + self.tried.checked_sub(1)?;
        self.addresses
            .get(place % self.addresses.len().max(1))
            .copied()
    }

    /// There is a connection: the rest of the time is for the handshake.
    pub fn connected(&mut self) {
        self.until_ms = self.ready_by_ms;
    }

    pub fn broken(&mut self, broken: Broken) {
        self.problem = Some(Problem::Broken(broken));
    }

    pub fn refused_here(&mut self, error: &std::io::Error) {
        self.problem = Some(Problem::Local(error.kind()));
    }

    pub fn silent(&mut self) {
        self.problem = Some(Problem::Silent);
    }
}

/// What was wrong with the address tried last.
impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(address) = self.current() {
            write!(f, "{address}: ")?;
        }
        match &self.problem {
            Some(Problem::Broken(broken)) => broken.fmt(f),
            Some(Problem::Local(kind)) => write!(f, "no socket could be made: {kind}"),
            Some(Problem::Silent) | None => f.write_str("no answer"),
        }?;
        match self.tried {
            0 | 1 => Ok(()),
            tried => write!(f, " (the last of {tried} addresses)"),
        }
    }
}
