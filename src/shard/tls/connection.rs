//! One connection's TLS: bytes in, bytes out, and no socket.

use std::fmt;
use std::sync::Arc;

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError, WriteTraffic,
};
use rustls::{Error, HandshakeKind};

use crate::mem::{BufferPool, PoolBuffer, PoolExhausted};

use super::TlsSetup;

/// Plain bytes of one record.
const RECORD_BYTES: usize = 16 << 10;
/// What a record takes beside that, in any version and with any cipher; more is taken if need be.
const RECORD_OVERHEAD_BYTES: usize = 64;
/// Bytes that may wait for the rest of a record, or of a handshake message that was cut into records. A chain of certificates as
/// long as the protocol allows fits in it several times.
const RAW_BYTES_MAX: usize = 256 << 10;
/// The first byte of a connection that speaks TLS: a handshake record (RFC 8446 section 5.1).
const HANDSHAKE_RECORD: u8 = 22;

/// Why a connection cannot go on. What [`Tls::take`] put out is to be sent all the same: it tells the peer.
#[derive(Debug)]
pub(in super::super) enum TlsFault {
    /// The first byte is one of an HTTP request.
    PlainHttp,
    /// The peer breaks the protocol, or offers nothing that we take.
    Protocol(Error),
    /// The certificate of a client that comes back with a ticket is good no more.
    Certificate(Error),
    /// A message is cut into too many pieces.
    TooLong,
    /// The buffer pool is exhausted.
    Memory(PoolExhausted),
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PlainHttp => f.write_str("plain HTTP where TLS is spoken"),
            Self::Protocol(error) => error.fmt(f),
            Self::Certificate(error) => write!(f, "a resumed session: {error}"),
            Self::TooLong => write!(
                f,
                "a handshake message is in pieces of more than {RAW_BYTES_MAX} bytes"
            ),
            Self::Memory(error) => error.fmt(f),
        }
    }
}

impl From<PoolExhausted> for TlsFault {
    fn from(error: PoolExhausted) -> Self {
        Self::Memory(error)
    }
}

/// TLS of one connection.
pub(in super::super) struct Tls {
    connection: UnbufferedServerConnection,
    /// What arrived and is not yet a whole record.
    raw: Option<PoolBuffer>,
    /// What it began with, until the handshake is over.
    setup: Option<Arc<TlsSetup>>,
    /// It has heard something.
    begun: bool,
    /// Its handshake waits for a later turn.
    pub(super) queued: bool,
    /// The peer has said that it will send no more.
    ended: bool,
    /// We have, or may say nothing any more.
    closed: bool,
}

impl Tls {
    /// A connection that begins.
    ///
    /// Errors: the setup is unusable.
    pub(in super::super) fn new(setup: Arc<TlsSetup>) -> Result<Self, Error> {
        Ok(Self {
            connection: UnbufferedServerConnection::new(Arc::clone(&setup.config))?,
            raw: None,
            setup: Some(setup),
            begun: false,
            queued: false,
            ended: false,
            closed: false,
        })
    }

    /// Whether nothing can be said or heard yet.
    pub(in super::super) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// How it came to be, once it is.
    pub(super) fn kind(&self) -> Option<HandshakeKind> {
        self.connection.handshake_kind()
    }

    /// Whether the peer has said that it will send no more.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether part of a record is here.
    pub(in super::super) fn has_part(&self) -> bool {
        self.raw.is_some()
    }

    /// The client's own certificate, which was verified; none: it has shown none.
    ///
    /// Shape: DER.
    pub(in super::super) fn client_certificate(&self) -> Option<&[u8]> {
        let certificates = self.connection.peer_certificates()?;
        certificates.first().map(AsRef::as_ref)
    }

    /// Keeps what arrived for later.
    pub(super) fn hold(&mut self, bytes: &[u8], pool: &BufferPool) -> Result<(), TlsFault> {
        if bytes.is_empty() {
            return Ok(());
        }
        if !self.begun {
            self.begun = true;
            // Only a letter begins a method (RFC 9110 section 9.1, as far as methods go that anybody sends).
            if bytes[0] != HANDSHAKE_RECORD && bytes[0].is_ascii_alphabetic() {
                self.closed = true;
                return Err(TlsFault::PlainHttp);
            }
        }
        match &mut self.raw {
            None => self.raw = Some(pool.take(bytes.len())?),
            Some(raw) if raw.len() + bytes.len() > RAW_BYTES_MAX => return Err(TlsFault::TooLong),
            Some(raw) => raw.try_reserve(bytes.len())?,
        }
        if let Some(raw) = &mut self.raw {
            raw.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// Takes in what arrived: tells `plain` what it says, and appends to `out` what the protocol answers.
    ///
    /// Shape: `out` is to be sent, also after an error.
    /// Errors: the connection is over.
    pub(in super::super) fn take(
        &mut self,
        bytes: &[u8],
        pool: &BufferPool,
        out: &mut Option<PoolBuffer>,
        mut plain: impl FnMut(&[u8]) -> Result<(), PoolExhausted>,
    ) -> Result<(), TlsFault> {
        let was_handshaking = self.is_handshaking();
        self.hold(bytes, pool)?;
        let Some(mut raw) = self.raw.take() else {
            return Ok(());
        };
        let mut at = 0;
        let taken = loop {
            let step = self.step(&mut raw[at..], pool, out, &mut plain);
            match step {
                Ok((discard, goes_on)) => {
                    at += discard;
                    if !goes_on {
                        break Ok(());
                    }
                }
                Err(fault) => break Err(fault),
            }
        };
        if let Err(fault) = taken {
            self.closed = true;
            return Err(fault);
        }
        if self.ended {
            // What follows is ignored (RFC 8446 section 6.1).
            at = raw.len();
        }
        if at < raw.len() {
            raw.drain(..at);
            self.raw = Some(raw);
        }
        if was_handshaking && !self.is_handshaking() {
            self.check_again()?;
        }
        Ok(())
    }

    /// One step of the protocol: how many bytes of `raw` are done with, and whether there is another step.
    fn step(
        &mut self,
        raw: &mut [u8],
        pool: &BufferPool,
        out: &mut Option<PoolBuffer>,
        plain: &mut impl FnMut(&[u8]) -> Result<(), PoolExhausted>,
    ) -> Result<(usize, bool), TlsFault> {
        let status = self.connection.process_tls_records(raw);
        let mut discard = status.discard;
        let goes_on = match status.state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    let record = record.map_err(TlsFault::Protocol)?;
                    discard += record.discard;
                    plain(record.payload)?;
                }
                true
            }
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                encode(&mut data, pool, out)?;
                true
            }
            Ok(ConnectionState::TransmitTlsData(transmit)) => {
                transmit.done();
                true
            }
            Ok(ConnectionState::PeerClosed) => {
                self.ended = true;
                true
            }
            Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => false,
            Ok(ConnectionState::Closed) => {
                self.ended = true;
                false
            }
            // There is no early data where none is allowed.
            Ok(_) => return Err(TlsFault::Protocol(Error::HandshakeNotComplete)),
            Err(error) => {
                // The alert that says why.
                self.flush(pool, out)?;
                return Err(TlsFault::Protocol(error));
            }
        };
        Ok((discard, goes_on))
    }

    /// Appends what the protocol has to say beside everything else. Reads nothing: behind an error that would be the error again.
    fn flush(
        &mut self,
        pool: &BufferPool,
        out: &mut Option<PoolBuffer>,
    ) -> Result<(), PoolExhausted> {
        while self.connection.wants_write() {
            match self.connection.process_tls_records(&mut []).state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, pool, out)?,
                _ => break,
            }
        }
        Ok(())
    }

    /// The handshake is over: the last look at what a ticket brought along.
    fn check_again(&mut self) -> Result<(), TlsFault> {
        let Some(setup) = self.setup.take() else {
            return Ok(());
        };
        let certificates = self.connection.peer_certificates();
        setup
            .check_resumed(self.kind(), certificates)
            .map_err(|error| {
                self.closed = true;
                TlsFault::Certificate(error)
            })
    }

    /// What is to be sent for these bytes; none: nothing can be sent any more.
    ///
    /// Errors: there is no room for it. Nothing was encrypted.
    pub(in super::super) fn encrypt(
        &mut self,
        plain: &[u8],
        pool: &BufferPool,
    ) -> Result<Option<PoolBuffer>, PoolExhausted> {
        let mut out = None;
        if self.closed || self.is_handshaking() {
            return Ok(None);
        }
        let records = 1 + plain.len() / RECORD_BYTES;
        let room = plain.len() + records * RECORD_OVERHEAD_BYTES;
        self.write(pool, &mut out, room, |traffic, room| {
            traffic.encrypt(plain, room)
        })?;
        Ok(out)
    }

    /// The word that nothing more will be sent; none if it was said, or nothing can be.
    pub(in super::super) fn say_goodbye(&mut self, pool: &BufferPool) -> Option<PoolBuffer> {
        if self.closed || self.is_handshaking() {
            return None;
        }
        self.closed = true;
        let mut out = None;
        let written = self.write(pool, &mut out, RECORD_OVERHEAD_BYTES, |traffic, room| {
            traffic.queue_close_notify(room)
        });
        written.ok().and(out)
    }

    fn write(
        &mut self,
        pool: &BufferPool,
        out: &mut Option<PoolBuffer>,
        room: usize,
        write: impl FnMut(
            &mut WriteTraffic<'_, ServerConnectionData>,
            &mut [u8],
        ) -> Result<usize, EncryptError>,
    ) -> Result<(), PoolExhausted> {
        let mut raw = self.raw.take();
        // rustls remembers how far it has read in what is here and not done with, and panics where that is gone.
        let waiting: &mut [u8] = match &mut raw {
            Some(raw) => raw,
            None => &mut [],
        };
        let written = self.write_behind(waiting, pool, out, room, write);
        self.raw = raw;
        written
    }

    fn write_behind(
        &mut self,
        raw: &mut [u8],
        pool: &BufferPool,
        out: &mut Option<PoolBuffer>,
        room: usize,
        mut write: impl FnMut(
            &mut WriteTraffic<'_, ServerConnectionData>,
            &mut [u8],
        ) -> Result<usize, EncryptError>,
    ) -> Result<(), PoolExhausted> {
        self.flush(pool, out)?;
        if let Ok(ConnectionState::TransmitTlsData(transmit)) =
            self.connection.process_tls_records(raw).state
        {
            transmit.done();
        }
        let status = self.connection.process_tls_records(raw);
        let Ok(ConnectionState::WriteTraffic(mut traffic)) = status.state else {
            self.closed = true;
            return Ok(());
        };
        let mut exhausted = false;
        append(out, pool, room, |room| match write(&mut traffic, room) {
            Ok(count) => Written::Bytes(count),
            Err(EncryptError::InsufficientSize(error)) => Written::Needs(error),
            Err(EncryptError::EncryptExhausted) => {
                exhausted = true;
                Written::Bytes(0)
            }
        })?;
        self.closed |= exhausted;
        Ok(())
    }
}

/// Appends one message of the protocol.
fn encode(
    data: &mut EncodeTlsData<'_, ServerConnectionData>,
    pool: &BufferPool,
    out: &mut Option<PoolBuffer>,
) -> Result<(), PoolExhausted> {
    append(out, pool, 0, |room| match data.encode(room) {
        Ok(count) => Written::Bytes(count),
        Err(EncodeError::InsufficientSize(error)) => Written::Needs(error),
        Err(EncodeError::AlreadyEncoded) => Written::Bytes(0),
    })
}

enum Written {
    Bytes(usize),
    Needs(InsufficientSizeError),
}

/// Appends what `write` writes into the room that it is given, of `room` bytes or as many as it then asks for.
fn append(
    out: &mut Option<PoolBuffer>,
    pool: &BufferPool,
    mut room: usize,
    mut write: impl FnMut(&mut [u8]) -> Written,
) -> Result<(), PoolExhausted> {
    loop {
        let buffer = match out {
            Some(buffer) => {
                buffer.try_reserve(room)?;
                buffer
            }
            None => out.insert(pool.take(room)?),
        };
        let start = buffer.len();
        buffer.resize(start + room, 0);
        match write(&mut buffer[start..]) {
            Written::Bytes(count) => {
                buffer.truncate(start + count);
                return Ok(());
            }
            Written::Needs(error) => {
                buffer.truncate(start);
                room = error.required_size;
            }
        }
    }
}
