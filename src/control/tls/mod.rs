//! Certificates of the listeners: read before anything is served, and again whenever their files change.
//!
//! A connection keeps the certificate that it began with, so an exchange cuts nobody off. What cannot be used is never put in
//! force: the certificate before it stays, and the log says what is wrong with the new one.

mod files;
mod setup;
#[cfg(test)]
mod tests;
mod validity;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::server::ProducesTickets;

use super::config::{Config, Tls};
use crate::error::Problem;
use crate::shard::TlsListener;

/// The certificates of all listeners.
pub(super) struct Certificates {
    data: Option<Kept>,
    admin: Option<Kept>,
}

impl Certificates {
    /// Reads what the configuration names.
    ///
    /// Errors: a file that cannot be read, has the wrong thing in it, or can be read by others.
    pub(super) fn of(config: &Config) -> Result<Self, Problem> {
        let keep = |tls: &Option<Tls>| tls.clone().map(Kept::new).transpose();
        Ok(Self {
            data: keep(&config.tls)?,
            admin: keep(&config.admin_tls)?,
        })
    }

    /// What the data listeners begin TLS with, if they speak it.
    pub(super) fn data(&self) -> Option<Arc<TlsListener>> {
        self.data.as_ref().map(|kept| Arc::clone(&kept.listener))
    }

    /// The same for the admin listener.
    pub(super) fn admin(&self) -> Option<Arc<TlsListener>> {
        self.admin.as_ref().map(|kept| Arc::clone(&kept.listener))
    }

    /// Looks whether the files have changed, and puts in force what they have in them now. `told`: somebody says that they have.
    pub(super) fn look(&mut self, told: bool) {
        for kept in [&mut self.data, &mut self.admin].into_iter().flatten() {
            kept.look(told);
        }
    }
}

/// One listener's certificate and its files.
struct Kept {
    tls: Tls,
    listener: Arc<TlsListener>,
    tickets: Arc<dyn ProducesTickets>,
    /// The files as they were when they were read last.
    read: Stamps,
    /// The files as they were at the last look.
    seen: Stamps,
    /// It was said that the certificate in force has expired.
    warned: bool,
}

impl Kept {
    fn new(tls: Tls) -> Result<Self, Problem> {
        let read = Stamps::of(&tls);
        let tickets = setup::tickets()?;
        let loaded = setup::load(&tls, Arc::clone(&tickets))?;
        loaded.report();
        Ok(Self {
            listener: Arc::new(TlsListener::new(loaded.setup)),
            tls,
            tickets,
            read,
            seen: read,
            warned: false,
        })
    }

    fn look(&mut self, told: bool) {
        self.look_at_the_clock();
        let now = Stamps::of(&self.tls);
        let settled = now == std::mem::replace(&mut self.seen, now);
        // A certificate and its key are two files: while they change, what is there may be one of each.
        if !told && (now == self.read || !settled) {
            return;
        }
        self.read = now;
        match self.load_anew() {
            Ok(()) => {}
            Err(problem) => tracing::error!(
                section = self.tls.section,
                %problem,
                "the new certificate is not used; the one before it still is"
            ),
        }
    }

    /// Says once that the certificate in force has come to its end.
    fn look_at_the_clock(&mut self) {
        let unix_s = SystemTime::now().duration_since(UNIX_EPOCH);
        let unix_s = unix_s.map_or(0, |since| {
            i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
        });
        let expires = self.listener.setup().expires_unix_s;
        let expired = expires.is_some_and(|expires| expires < unix_s);
        if expired && !std::mem::replace(&mut self.warned, expired) {
            tracing::warn!(
                section = self.tls.section,
                cert = %self.tls.cert.display(),
                "the certificate in force has expired: clients refuse it; renew it"
            );
        }
        self.warned = expired;
    }

    fn load_anew(&mut self) -> Result<(), Problem> {
        // A ticket says that its client was verified once. Who is trusted may just have changed.
        let tickets = match self.tls.client_ca {
            Some(_) => setup::tickets()?,
            None => Arc::clone(&self.tickets),
        };
        let loaded = setup::load(&self.tls, Arc::clone(&tickets))?;
        loaded.report();
        self.tickets = tickets;
        self.listener.exchange(loaded.setup);
        Ok(())
    }
}

/// What tells that files have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamps([Option<Stamp>; 3]);

/// Of one file: its device, number, time of change in seconds and nanoseconds, and size.
type Stamp = (u64, u64, i64, i64, u64);

impl Stamps {
    fn of(tls: &Tls) -> Self {
        let stamp = |path: &Path| -> Option<Stamp> {
            let found = fs::metadata(path).ok()?;
            let (seconds, nanoseconds) = (found.ctime(), found.ctime_nsec());
            Some((found.dev(), found.ino(), seconds, nanoseconds, found.size()))
        };
        Self([
            stamp(&tls.cert),
            stamp(&tls.key),
            tls.client_ca.as_deref().and_then(stamp),
        ])
    }
}
