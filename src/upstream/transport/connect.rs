//! Connections: made, shaken hands on, counted, closed.

use std::io::ErrorKind;
use std::time::Duration;

use super::attempt::Attempt;
use super::connection::{Broken, Connection, Purpose, Stage};
use super::exchange::Exchange;
use super::failure::{self, Late};
use super::table::{Entry, Transport, Whereabouts};
use crate::policy::Failed;
use crate::ring::{Ring, SocketKey};
use crate::upstream::http::ClientError;

/// How long the last words of TLS may take.
const PARTING_MS: u64 = 1_000;

impl Transport {
    /// Begins to make a connection that is counted already.
    pub(super) fn connect(
        &mut self,
        ring: &mut impl Ring,
        index: usize,
        purpose: Purpose,
        exchange: Option<Exchange>,
        now_ms: u64,
    ) {
        let origin = &self.origins[index];
        let connect_ms = millis(origin.remote.settings.timeouts.connect);
        let until_ms = exchange
            .as_ref()
            .map_or(u64::MAX, |exchange| exchange.until_ms);
        let attempt = Attempt::new(
            origin.place().addresses.load_full(),
            origin.good,
            now_ms.saturating_add(connect_ms).min(until_ms),
        );
        let limits = self.options.client;
        let connection = Connection::new(index, purpose, attempt, exchange, limits);
        self.attempt(ring, Box::new(connection), now_ms);
    }

    /// Tries the next address; gives up when there is none.
    fn attempt(&mut self, ring: &mut impl Ring, mut connection: Box<Connection>, now_ms: u64) {
        while let Some(address) = connection.attempt.next(now_ms) {
            self.stats.connects += 1;
            match ring.connect(address) {
                Ok(socket) => {
                    if let Some(exchange) = &connection.exchange {
                        let key = exchange.request.key;
                        self.exchanges.insert(key, Whereabouts::On(socket));
                    }
                    self.sockets.insert(socket, Entry::Http(connection));
                    return;
                }
                Err(error) => {
                    self.stats.connect_failures += 1;
                    if error.kind() == ErrorKind::QuotaExceeded {
                        if connection.purpose == Purpose::Pooled && self.make_room(ring, now_ms) {
                            return self.wait_again(connection);
                        }
                        return self.give_up(connection, Failed::Refused, &error, now_ms);
                    }
                    connection.attempt.refused_here(&error);
                }
            }
        }
        if connection.attempt.current().is_none() {
            let place = self.origins[connection.origin].place();
            let why = format!("the host {} does not resolve", place.url.host);
            return self.give_up(connection, Failed::Connection, &why, now_ms);
        }
        let why = connection.attempt.to_string();
        self.give_up(connection, Failed::Connection, &why, now_ms);
    }

    /// The ring has no room: closes a connection that waits for nothing, of whatever place. Whether there will be room.
    fn make_room(&mut self, ring: &mut impl Ring, now_ms: u64) -> bool {
        let is_coming = |entry: &Entry| matches!(entry, Entry::Parting { .. } | Entry::Closing);
        if self.sockets.values().any(is_coming) {
            return true;
        }
        let most = self
            .origins
            .iter_mut()
            .max_by_key(|origin| origin.pool.idle_count());
        // At the end of all time the oldest has expired, too.
        let Some(idle) = most.and_then(|origin| origin.pool.expired(u64::MAX)) else {
            return false;
        };
        self.part(ring, idle, now_ms);
        true
    }

    /// Puts the exchange of a connection for which there is no room yet in front of those that wait.
    fn wait_again(&mut self, mut connection: Box<Connection>) {
        self.is_cramped = true;
        let index = connection.origin;
        self.origins[index].pool.lost();
        if let Some(exchange) = connection.exchange.take() {
            let key = exchange.request.key;
            self.exchanges.insert(key, Whereabouts::Waiting(index));
            self.origins[index].waiting.push_front(exchange);
            self.waiting_count += 1;
        }
    }

    /// A connection that has no socket will never have one.
    fn give_up(
        &mut self,
        mut connection: Box<Connection>,
        failed: Failed,
        why: &dyn std::fmt::Display,
        now_ms: u64,
    ) {
        if let Some(exchange) = connection.exchange.take() {
            let why = failure::of(&exchange.request.remote, why);
            self.fail(exchange.request.key, failed, why);
        } else {
            let remote = &self.origins[connection.origin].remote;
            tracing::debug!(upstream = remote.name(), %why, "no connection made ahead of need");
        }
        self.uncount(&connection, None, now_ms);
    }

    /// The connection is there; with TLS the handshake is next.
    pub(super) fn connected(&mut self, ring: &mut impl Ring, socket: SocketKey, now_ms: u64) {
        let Some(Entry::Http(connection)) = self.sockets.get_mut(&socket) else {
            return;
        };
        if connection.stage != Stage::Connecting {
            return;
        }
        connection.attempt.connected();
        ring.receive(socket);
        let place = self.origins[connection.origin].place();
        let Some(client) = &place.tls else {
            return self.ready(ring, socket, now_ms);
        };
        match client.connect(&place.url.host) {
            Ok(tls) => {
                connection.tls = Some(tls);
                connection.stage = Stage::Handshaking;
                self.pump(ring, socket);
            }
            Err(error) => self.unreached(ring, socket, Broken::Tls(error), now_ms),
        }
    }

    /// Bytes of a handshake.
    pub(super) fn shake_hands(
        &mut self,
        ring: &mut impl Ring,
        socket: SocketKey,
        bytes: &[u8],
        now_ms: u64,
    ) {
        self.scratch.clear();
        let Some(Entry::Http(connection)) = self.sockets.get_mut(&socket) else {
            return;
        };
        let Some(tls) = &mut connection.tls else {
            return;
        };
        let received = tls.receive(bytes, &mut self.scratch);
        let is_over = !tls.is_handshaking();
        if let Err(error) = received {
            self.pump(ring, socket);
            return self.unreached(ring, socket, Broken::Tls(error), now_ms);
        }
        if !self.scratch.is_empty() {
            let broken = Broken::Client(ClientError::Unsolicited);
            return self.unreached(ring, socket, broken, now_ms);
        }
        if is_over {
            // The end of the handshake and the request leave in one write.
            self.ready(ring, socket, now_ms);
        }
        self.pump(ring, socket);
    }

    /// A connection can be used.
    fn ready(&mut self, ring: &mut impl Ring, socket: SocketKey, now_ms: u64) {
        let Some(Entry::Http(connection)) = self.sockets.get_mut(&socket) else {
            return;
        };
        let address = connection.attempt.current();
        self.origins[connection.origin].reached(address);
        match connection.exchange.take() {
            Some(exchange) => self.put(ring, socket, exchange, now_ms),
            None => self.rest(ring, socket, now_ms),
        }
    }

    /// An address did not work: another may, unless what is wrong is the other side's name.
    pub(super) fn unreached(
        &mut self,
        ring: &mut impl Ring,
        socket: SocketKey,
        broken: Broken,
        now_ms: u64,
    ) {
        let is_final = matches!(broken, Broken::Tls(_) | Broken::Client(_));
        let is_certificate = matches!(&broken, Broken::Tls(error) if error.is_certificate());
        self.stats.connect_failures += 1;
        let Some(Entry::Http(mut connection)) = self.sockets.remove(&socket) else {
            return;
        };
        let tls = connection.tls.take();
        connection.stage = Stage::Connecting;
        connection.attempt.broken(broken);
        let is_sending = std::mem::take(&mut connection.is_sending);
        if is_final && tls.is_some() && is_sending {
            // It is told why.
            self.sockets.insert(socket, parting(now_ms));
        } else {
            self.close(ring, socket);
        }
        if is_final {
            let mut why = connection.attempt.to_string();
            if is_certificate {
                let name = self.origins[connection.origin].remote.name();
                why = format!("{why}; upstreams.{name}.tls.ca names the roots to trust");
            }
            self.give_up(connection, Failed::Connection, &why, now_ms);
        } else {
            self.attempt(ring, connection, now_ms);
        }
    }

    /// An address has had its share of the time.
    pub(super) fn slow(&mut self, ring: &mut impl Ring, socket: SocketKey, now_ms: u64) {
        let Some(Entry::Http(mut connection)) = self.sockets.remove(&socket) else {
            return;
        };
        self.stats.connect_failures += 1;
        self.close(ring, socket);
        connection.attempt.silent();
        connection.tls = None;
        connection.is_sending = false;
        connection.stage = Stage::Connecting;
        if now_ms < connection.attempt.ready_by_ms && connection.attempt.has_more() {
            return self.attempt(ring, connection, now_ms);
        }
        let Some(exchange) = connection.exchange.take() else {
            return self.give_up(connection, Failed::Connection, &"no answer", now_ms);
        };
        let late = match now_ms >= exchange.until_ms {
            true => Late::Call,
            false => Late::Connect,
        };
        let why = late.why(&exchange.request.remote, exchange.request.call_ms);
        self.fail(exchange.request.key, Failed::Deadline, why);
        self.uncount(&connection, None, now_ms);
    }

    /// Sends what TLS has to say.
    pub(super) fn pump(&mut self, ring: &mut impl Ring, socket: SocketKey) {
        let Some(Entry::Http(connection)) = self.sockets.get_mut(&socket) else {
            return;
        };
        let bytes = connection.pump(ring, socket, &self.options.buffers);
        self.stats.bytes_sent += bytes as u64;
    }

    /// Gives up a connection, wherever it stands.
    pub(super) fn let_go(&mut self, ring: &mut impl Ring, socket: SocketKey, now_ms: u64) {
        let Some(Entry::Http(connection)) = self.sockets.remove(&socket) else {
            return;
        };
        self.uncount(&connection, Some(socket), now_ms);
        self.sockets.insert(socket, Entry::Http(connection));
        self.part(ring, socket, now_ms);
    }

    /// Gives up a connection that is broken; what TLS has to say of that is still sent.
    pub(super) fn drop_broken(
        &mut self,
        ring: &mut impl Ring,
        socket: SocketKey,
        broken: &Broken,
        now_ms: u64,
    ) {
        let Some(Entry::Http(connection)) = self.sockets.remove(&socket) else {
            return;
        };
        self.uncount(&connection, Some(socket), now_ms);
        if matches!(broken, Broken::Tls(_)) && connection.is_sending {
            self.sockets.insert(socket, parting(now_ms));
        } else {
            self.close(ring, socket);
        }
    }

    /// Closes a connection that is counted nowhere any more, with a last word where TLS wants one. One that serves an exchange is
    /// closed at once: the upstream is to notice.
    pub(super) fn part(&mut self, ring: &mut impl Ring, socket: SocketKey, now_ms: u64) {
        let Some(Entry::Http(connection)) = self.sockets.get_mut(&socket) else {
            return;
        };
        let is_done = matches!(connection.stage, Stage::Idle | Stage::Busy)
            && connection.exchange.is_none()
            && connection.is_quiet();
        let mut is_parting = false;
        if let Some(tls) = connection.tls.as_mut().filter(|_| is_done) {
            tls.close();
            connection.pump(ring, socket, &self.options.buffers);
            is_parting = connection.is_sending;
        }
        if is_parting {
            self.sockets.insert(socket, parting(now_ms));
        } else {
            self.close(ring, socket);
        }
    }

    /// Takes a connection out of the counts.
    fn uncount(&mut self, connection: &Connection, socket: Option<SocketKey>, now_ms: u64) {
        let chance = self.draw();
        let origin = &mut self.origins[connection.origin];
        match (connection.purpose, connection.stage) {
            (Purpose::Long, _) => self.long_count -= 1,
            (Purpose::Warm, _) => origin.warming_failed(now_ms, chance),
            (Purpose::Pooled, Stage::Idle) => {
                if let Some(socket) = socket {
                    origin.pool.lost_idle(socket);
                }
            }
            (Purpose::Pooled, _) => origin.pool.lost(),
        }
    }
}

fn parting(now_ms: u64) -> Entry {
    Entry::Parting {
        until_ms: now_ms + PARTING_MS,
    }
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
