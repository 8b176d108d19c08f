//! The life of an exchange: begun, put on a connection, told, over.

use std::sync::Arc;

use super::connection::{Broken, Connection, HeldEnd, Outcome, Purpose, Stage};
use super::exchange::Exchange;
use super::failure::{self, Late};
use super::origin::Origin;
use super::request::Unsendable;
use super::table::{Entry, Transport, Whereabouts};
use super::{ExchangeKey, Request, Sink, TransportEvent};
use crate::policy::Failed;
use crate::ring::{Ring, SocketKey};
use crate::upstream::http::Checkout;
use crate::upstream::remote::Remote;

/// How long the rest of a request may take whose answer is already over.
const SETTLE_MS: u64 = 1_000;

impl Transport {
    /// Begins an exchange; everything that comes of it, failure too, comes as an event. It leaves at the next
    /// [`Transport::flush`].
    ///
    /// Shape: a key names one exchange for ever; a second one with it is a defect, and passed over.
    pub fn begin(&mut self, ring: &mut impl Ring, request: Request, now_ms: u64) {
        let key = request.key;
        if self.exchanges.contains_key(&key) {
            debug_assert!(false, "an exchange's key names it for ever");
            return;
        }
        let Some(index) = self.origin_of(&request.remote, request.place) else {
            let why = failure::of(&request.remote, "it has no such place");
            return self.fail(key, Failed::Connection, why);
        };
        let remote = Arc::clone(&request.remote);
        let is_long = request.is_long;
        let exchange = Exchange::new(request, now_ms);
        if is_long {
            let count_max = self.options.long_count_max;
            if self.long_count >= count_max {
                let why = format!(
                    "{count_max} streams of upstreams are open on this thread, as many as may be"
                );
                return self.fail(key, Failed::Refused, failure::of(&remote, why));
            }
            self.long_count += 1;
            return self.connect(ring, index, Purpose::Long, Some(exchange), now_ms);
        }
        let waiting = &mut self.origins[index].waiting;
        if waiting.len() >= self.options.waiting_count_max {
            let why = failure::too_many_wait(&remote, waiting.len());
            return self.fail(key, Failed::Refused, why);
        }
        waiting.push_back(exchange);
        self.waiting_count += 1;
        self.exchanges.insert(key, Whereabouts::Waiting(index));
    }

    /// Makes connections to an upstream ahead of need (`min_idle`), also before its first exchange.
    pub fn expect(&mut self, remote: &Arc<Remote>) {
        let _ = self.origin_of(remote, 0);
    }

    fn origin_of(&mut self, remote: &Arc<Remote>, place: usize) -> Option<usize> {
        if place >= remote.places.len() {
            return None;
        }
        if self.by_remote.len() <= remote.index {
            self.by_remote.resize(remote.index + 1, None);
        }
        let known = &mut self.by_remote[remote.index];
        let first = *known.get_or_insert(self.origins.len());
        if first == self.origins.len() {
            let places = 0..remote.places.len();
            self.origins
                .extend(places.map(|place| Origin::new(Arc::clone(remote), place)));
        }
        Some(first + place)
    }

    /// Gives up an exchange that nobody wants any longer: nothing more is told of it. Its connection is closed, which is how
    /// HTTP says that.
    pub fn abandon(&mut self, ring: &mut impl Ring, key: ExchangeKey, now_ms: u64) {
        let Some(place) = self.exchanges.remove(&key) else {
            self.failures.retain(|failure| failure.key != key);
            return;
        };
        match place {
            Whereabouts::Waiting(index) => {
                let waiting = &mut self.origins[index].waiting;
                let before = waiting.len();
                waiting.retain(|exchange| exchange.request.key != key);
                self.waiting_count -= before - waiting.len();
            }
            Whereabouts::On(socket) => self.let_go(ring, socket, now_ms),
        }
    }

    /// Receives nothing more of an exchange until [`Transport::resume`]: its listener cannot keep up.
    pub fn pause(&mut self, ring: &mut impl Ring, key: ExchangeKey) {
        let Some((place, exchange)) = self.exchange(key) else {
            return;
        };
        exchange.is_paused = true;
        if let Whereabouts::On(socket) = place
            && self
                .connection(socket)
                .is_some_and(|c| c.stage == Stage::Busy)
        {
            ring.pause(socket);
        }
    }

    /// Goes on with an exchange that was paused; what was received in the meantime is told at the next [`Transport::flush`].
    pub fn resume(&mut self, _ring: &mut impl Ring, key: ExchangeKey, now_ms: u64) {
        let Some((place, exchange)) = self.exchange(key) else {
            return;
        };
        if !std::mem::take(&mut exchange.is_paused) {
            return;
        }
        if let Whereabouts::On(socket) = place {
            if let Some(connection) = self.connection(socket) {
                // The upstream was not heard because nobody listened.
                (connection.heard_ms, connection.asked_ms) = (now_ms, now_ms);
            }
            self.due.push(socket);
        }
    }

    /// Puts those that wait on connections, as far as there are any.
    pub(super) fn place_waiting(&mut self, ring: &mut impl Ring, now_ms: u64) {
        for index in 0..self.origins.len() {
            if self.waiting_count == 0 {
                return;
            }
            while !self.is_cramped && !self.origins[index].waiting.is_empty() {
                let checkout = self.origins[index].pool.checkout(now_ms);
                if checkout == Checkout::Full {
                    break;
                }
                let Some(exchange) = self.origins[index].waiting.pop_front() else {
                    break;
                };
                self.waiting_count -= 1;
                match checkout {
                    Checkout::Reuse(socket) => {
                        self.stats.reused += 1;
                        self.put(ring, socket, exchange, now_ms);
                    }
                    Checkout::Connect | Checkout::Full => {
                        self.connect(ring, index, Purpose::Pooled, Some(exchange), now_ms);
                    }
                }
            }
        }
    }

    /// Sends an exchange on a connection that is ready.
    pub(super) fn put(
        &mut self,
        ring: &mut impl Ring,
        socket: SocketKey,
        exchange: Exchange,
        now_ms: u64,
    ) {
        let (key, is_paused) = (exchange.request.key, exchange.is_paused);
        let Some(Entry::Http(connection)) = self.sockets.get_mut(&socket) else {
            debug_assert!(false, "the pool has only connections that are there");
            return self.fail(key, Failed::Connection, Broken::Ended.to_string());
        };
        match connection.ask(ring, socket, exchange, &self.options.buffers, now_ms) {
            Ok(bytes) => {
                self.stats.requests += 1;
                self.stats.bytes_sent += bytes as u64;
                self.exchanges.insert(key, Whereabouts::On(socket));
                if is_paused {
                    ring.pause(socket);
                }
            }
            Err(refused) => {
                let (exchange, unsendable) = *refused;
                let why = failure::of(&exchange.request.remote, &unsendable);
                self.fail(key, Failed::Refused, why);
                // The connection is as good as before, unless it is the one to blame.
                match unsendable {
                    Unsendable::Tls(_) => self.let_go(ring, socket, now_ms),
                    Unsendable::Field(_) | Unsendable::Memory(_) => {
                        self.rest(ring, socket, now_ms);
                    }
                }
            }
        }
    }

    /// An exchange is over as it should; its connection may serve another.
    pub(super) fn over(
        &mut self,
        ring: &mut impl Ring,
        socket: SocketKey,
        now_ms: u64,
        sink: &mut Sink<'_>,
    ) {
        let is_draining = self.is_draining;
        let Some(Entry::Http(connection)) = self.sockets.get_mut(&socket) else {
            return;
        };
        if let Some(exchange) = connection.exchange.take() {
            self.exchanges.remove(&exchange.request.key);
            sink(TransportEvent::End {
                key: exchange.request.key,
                last_event_id: last_event_id(connection, &exchange),
                retry_ms: exchange.retry_ms,
            });
        }
        if !connection.is_reusable() || is_draining {
            self.let_go(ring, socket, now_ms);
        } else if connection.is_quiet() {
            self.rest(ring, socket, now_ms);
        } else {
            connection.stage = Stage::Settling {
                until_ms: now_ms + SETTLE_MS,
            };
        }
    }

    /// Lets a connection wait for its next exchange.
    pub(super) fn rest(&mut self, ring: &mut impl Ring, socket: SocketKey, now_ms: u64) {
        let is_draining = self.is_draining;
        let Some(Entry::Http(connection)) = self.sockets.get_mut(&socket) else {
            return;
        };
        if connection.purpose == Purpose::Long || is_draining {
            return self.let_go(ring, socket, now_ms);
        }
        let pool = &mut self.origins[connection.origin].pool;
        let timeout_s = connection.http.answer().keep_alive_timeout_s;
        let kept = match connection.purpose {
            Purpose::Warm => pool.warmed(socket, now_ms),
            Purpose::Pooled | Purpose::Long => pool.give_back(socket, timeout_s, now_ms),
        };
        connection.purpose = Purpose::Pooled;
        connection.stage = Stage::Idle;
        if !kept {
            self.part(ring, socket, now_ms);
        }
    }

    /// A connection is broken; so is its exchange, unless that has not begun and may have another.
    pub(super) fn broken(
        &mut self,
        ring: &mut impl Ring,
        socket: SocketKey,
        broken: &Broken,
        now_ms: u64,
        sink: &mut Sink<'_>,
    ) {
        let Some(Entry::Http(connection)) = self.sockets.get_mut(&socket) else {
            return;
        };
        if !connection.is_ready() {
            return self.unreached(ring, socket, broken.clone(), now_ms);
        }
        if let Some(exchange) = connection.exchange.take() {
            self.exchanges.remove(&exchange.request.key);
            self.stats.failures += 1;
            sink(TransportEvent::Failed {
                key: exchange.request.key,
                reached: exchange.reached(),
                failed: broken.failed(),
                why: &failure::of(&exchange.request.remote, broken),
                last_event_id: last_event_id(connection, &exchange),
                retry_ms: exchange.retry_ms,
            });
        }
        self.drop_broken(ring, socket, broken, now_ms);
    }

    /// An exchange on a connection is overdue.
    pub(super) fn late(
        &mut self,
        ring: &mut impl Ring,
        socket: SocketKey,
        late: Late,
        now_ms: u64,
        sink: &mut Sink<'_>,
    ) {
        let Some(Entry::Http(connection)) = self.sockets.get_mut(&socket) else {
            return;
        };
        if let Some(exchange) = connection.exchange.take() {
            self.exchanges.remove(&exchange.request.key);
            self.stats.failures += 1;
            sink(TransportEvent::Failed {
                key: exchange.request.key,
                reached: exchange.reached(),
                failed: late.failed(),
                why: &late.why(&exchange.request.remote, exchange.request.call_ms),
                last_event_id: last_event_id(connection, &exchange),
                retry_ms: exchange.retry_ms,
            });
        }
        self.drop_broken(ring, socket, &Broken::Ended, now_ms);
    }

    /// The other side ended or broke the connection.
    pub(super) fn end_connection(
        &mut self,
        ring: &mut impl Ring,
        socket: SocketKey,
        end: HeldEnd,
        now_ms: u64,
        sink: &mut Sink<'_>,
    ) {
        let Some(connection) = self.connection(socket) else {
            return;
        };
        let outcome = match end {
            HeldEnd::EndOfStream => connection.end(sink),
            HeldEnd::Failed(error) => Outcome::Broken(Broken::Socket(error)),
        };
        self.settle(ring, socket, outcome, now_ms, sink);
    }
}

/// Of an event stream: where to go on.
fn last_event_id<'c>(connection: &'c Connection, exchange: &Exchange) -> &'c [u8] {
    match exchange.is_stream() {
        true => connection.http.last_event_id(),
        false => &[],
    }
}
