//! One connection to a place: the bytes of its exchanges, with TLS between them and the ring where there is TLS.

use std::fmt;

use super::Sink;
use super::attempt::Attempt;
use super::exchange::Exchange;
use super::request::{Unsendable, Written};
use crate::mem::{BufferPool, Output, PoolBuffer};
use crate::ring::{Ring, SocketError, SocketKey};
use crate::upstream::http::{ClientConnection, ClientError, ClientLimits};
use crate::upstream::tls::{TlsConnection, TlsError};

/// Plain bytes of one record of TLS.
const TLS_RECORD_BYTES: usize = 16 << 10;
/// What a record, and the end of a handshake, take beside that; more is taken if need be.
const TLS_OVERHEAD_BYTES: usize = 128;

/// How a connection is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It is one of its place's pool.
    Pooled,
    /// It is one of its place's pool, made ahead of need, and was not ready yet.
    Warm,
    /// It belongs to one exchange that listens.
    Long,
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Connecting,
    Handshaking,
    /// It waits for a request.
    Idle,
    /// It serves an exchange.
    Busy,
    /// Its exchange is over before all of the request is on its way; it is idle when it is.
    Settling {
        until_ms: u64,
    },
}

/// Why a connection can be used for nothing more.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Broken {
    Socket(SocketError),
    Client(ClientError),
    Tls(TlsError),
    /// It ended without a word of TLS that it would: what came last may be missing.
    Cut,
    /// The other side ended it.
    Ended,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(error) => error.fmt(f),
            Self::Client(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
            Self::Cut => f.write_str("the connection was cut off"),
            Self::Ended => f.write_str("the connection ended"),
        }
    }
}

/// What comes of bytes.
pub(super) enum Outcome {
    /// More is to come.
    More,
    /// The exchange is over as it should.
    Over,
    Broken(Broken),
}

/// How receiving ended while nobody wanted to hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeldEnd {
    EndOfStream,
    Failed(SocketError),
}

/// One connection.
pub(super) struct Connection {
    /// The place's number in the table.
    pub origin: usize,
    pub purpose: Purpose,
    pub stage: Stage,
    pub attempt: Attempt,
    pub exchange: Option<Exchange>,
    pub http: ClientConnection,
    pub tls: Option<TlsConnection>,
    /// The ring has an output of ours.
    pub is_sending: bool,
    /// What goes out when it has not.
    unsent: Option<PoolBuffer>,
    /// When its exchange was sent, and when it was last heard of.
    pub asked_ms: u64,
    pub heard_ms: u64,
    /// What came while nobody wanted to hear, and how it ended.
    pub held: Vec<u8>,
    pub held_end: Option<HeldEnd>,
}

impl Connection {
    pub fn new(
        origin: usize,
        purpose: Purpose,
        attempt: Attempt,
        exchange: Option<Exchange>,
        limits: ClientLimits,
    ) -> Self {
        Self {
            origin,
            purpose,
            stage: Stage::Connecting,
            attempt,
            exchange,
            http: ClientConnection::new(limits),
            tls: None,
            is_sending: false,
            unsent: None,
            asked_ms: 0,
            heard_ms: 0,
            held: Vec::new(),
            held_end: None,
        }
    }

    /// Whether it can carry a request, or does.
    pub fn is_ready(&self) -> bool {
        !matches!(self.stage, Stage::Connecting | Stage::Handshaking)
    }

    /// Whether what comes now has to wait, for the listener or for what waits already.
    pub fn is_holding(&self) -> bool {
        let paused = self.stage == Stage::Busy && self.is_paused();
        paused || !self.held.is_empty() || self.held_end.is_some()
    }

    pub fn is_paused(&self) -> bool {
        self.exchange
            .as_ref()
            .is_some_and(|exchange| exchange.is_paused)
    }

    /// Whether all that was to be sent is on its way.
    pub fn is_quiet(&self) -> bool {
        !self.is_sending && self.unsent.is_none()
    }

    /// Whether it may serve another exchange.
    pub fn is_reusable(&mut self) -> bool {
        self.purpose == Purpose::Pooled
            && self.http.is_reusable()
            && !self.tls.as_mut().is_some_and(TlsConnection::ended)
    }

    /// Sends the request of this exchange, which is its own from now on; how many bytes that is on the wire.
    ///
    /// Errors: the exchange comes back; nothing was sent.
    pub fn ask<R: Ring>(
        &mut self,
        ring: &mut R,
        socket: SocketKey,
        mut exchange: Exchange,
        buffers: &BufferPool,
        now_ms: u64,
    ) -> Result<usize, Box<(Exchange, Unsendable)>> {
        let written = match exchange.request.write(buffers) {
            Ok(written) => written,
            Err(unsendable) => return Err(Box::new((exchange, unsendable))),
        };
        if let Some(tls) = &mut self.tls {
            let encrypted = encrypt(tls, &mut self.unsent, &written, buffers);
            if let Err(unsendable) = encrypted {
                return Err(Box::new((exchange, unsendable)));
            }
        }
        (self.asked_ms, self.heard_ms) = (now_ms, now_ms);
        self.http.begin(exchange.request.verb.method(), now_ms);
        self.stage = Stage::Busy;
        exchange.is_sent = true;
        self.exchange = Some(exchange);
        if self.tls.is_some() {
            // The plain text's buffer is home before another one is taken.
            drop(written);
            return Ok(self.pump(ring, socket, buffers));
        }
        let output = written.into_output();
        let bytes = output.len();
        self.is_sending = true;
        ring.send(socket, output);
        Ok(bytes)
    }

    /// Takes what TLS has to say, and sends what waits if nothing is being sent; how many bytes that is. Where there is no memory
    /// for it, it waits for the next time.
    pub fn pump<R: Ring>(
        &mut self,
        ring: &mut R,
        socket: SocketKey,
        buffers: &BufferPool,
    ) -> usize {
        if let Some(tls) = &mut self.tls
            && tls.wants_output()
            && let Some(mut out) = self.unsent.take().or_else(|| buffers.take(0).ok())
        {
            tls.take_output(&mut out);
            self.unsent = Some(out);
        }
        if self.is_sending {
            return 0;
        }
        let Some(out) = self.unsent.take().filter(|out| !out.is_empty()) else {
            return 0;
        };
        let bytes = out.len();
        self.is_sending = true;
        ring.send(socket, Output::from(out));
        bytes
    }

    /// Takes in what arrived, and tells what it says. Pump afterwards.
    ///
    /// Shape: `scratch` is room for plain text.
    pub fn take(
        &mut self,
        bytes: &[u8],
        scratch: &mut Vec<u8>,
        now_ms: u64,
        sink: &mut Sink<'_>,
    ) -> Outcome {
        self.heard_ms = now_ms;
        let Some(tls) = &mut self.tls else {
            return self.take_plain(bytes, now_ms, sink);
        };
        scratch.clear();
        let received = tls.receive(bytes, scratch);
        let ended = tls.ended();
        // What came before a failure is as good as if the failure had come later.
        let mut outcome = match scratch.is_empty() {
            true => Outcome::More,
            false => self.take_plain(scratch, now_ms, sink),
        };
        if let (Outcome::More, Err(error)) = (&outcome, received) {
            return Outcome::Broken(Broken::Tls(error));
        }
        if ended && matches!(outcome, Outcome::More) {
            outcome = self.end_plain(sink);
        }
        outcome
    }

    fn take_plain(&mut self, bytes: &[u8], now_ms: u64, sink: &mut Sink<'_>) -> Outcome {
        let Some(exchange) = &mut self.exchange else {
            return Outcome::Broken(Broken::Client(ClientError::Unsolicited));
        };
        exchange.is_heard = true;
        let taken = self
            .http
            .receive(bytes, now_ms, &mut |event| exchange.tell(event, sink));
        match taken {
            // What follows an answer that is whole is not its fault; the connection knows.
            _ if exchange.is_over => Outcome::Over,
            Ok(()) => Outcome::More,
            Err(error) => Outcome::Broken(Broken::Client(error)),
        }
    }

    /// The other side will send no more.
    pub fn end(&mut self, sink: &mut Sink<'_>) -> Outcome {
        if self.tls.as_mut().is_some_and(|tls| !tls.ended()) {
            return Outcome::Broken(Broken::Cut);
        }
        self.end_plain(sink)
    }

    fn end_plain(&mut self, sink: &mut Sink<'_>) -> Outcome {
        let Some(exchange) = &mut self.exchange else {
            return Outcome::Broken(Broken::Ended);
        };
        let finished = self.http.finish(&mut |event| exchange.tell(event, sink));
        match finished {
            _ if exchange.is_over => Outcome::Over,
            Ok(()) => Outcome::Broken(Broken::Ended),
            Err(error) => Outcome::Broken(Broken::Client(error)),
        }
    }
}

/// Encrypts a request, with room made for it before.
fn encrypt(
    tls: &mut TlsConnection,
    unsent: &mut Option<PoolBuffer>,
    written: &Written,
    buffers: &BufferPool,
) -> Result<(), Unsendable> {
    let bytes = written.head.len() + written.body.len();
    let records = 2 + bytes / TLS_RECORD_BYTES;
    let room = bytes + records * TLS_OVERHEAD_BYTES;
    match unsent {
        Some(out) => out.try_reserve(room).map_err(Unsendable::Memory)?,
        None => *unsent = Some(buffers.take(room).map_err(Unsendable::Memory)?),
    }
    tls.send(&written.head).map_err(Unsendable::Tls)?;
    if !written.body.is_empty() {
        tls.send(&written.body).map_err(Unsendable::Tls)?;
    }
    Ok(())
}
