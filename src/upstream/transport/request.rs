//! What one exchange asks, in a form that can wait for a connection; and its bytes once there is one.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::ExchangeKey;
use crate::mcp::Revision;
use crate::mem::{BufferPool, Output, PoolBuffer, PoolExhausted};
use crate::upstream::http::{Endpoint, Facts};
use crate::upstream::remote::Remote;
use crate::upstream::tls::TlsError;
use crate::wire::http1::Method;
use crate::wire::http1::client::FieldRefused;

/// Room for a head, and for the body of most calls behind it.
const HEAD_BYTES: usize = 4 << 10;

/// What an exchange does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verb {
    /// Sends a message.
    #[default]
    Post,
    /// Asks for a stream of events.
    Get,
    /// Ends a session.
    Delete,
}

/// What a request says of itself in its head: [`Facts`] that can wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeadFacts {
    /// The revision that is spoken; none before it is known.
    pub revision: Option<Revision>,
    /// The upstream's id of the session.
    pub session: Option<Arc<[u8]>>,
    /// Of a modern request: its method, and the name that it is about, decoded.
    pub mirrored: Option<(Cow<'static, str>, Option<Box<str>>)>,
    /// Of a modern tool call: the parameters that the tool wants mirrored, as header names and decoded values.
    pub parameters: Vec<(String, String)>,
    /// Where to go on in a stream.
    pub last_event_id: Option<Box<[u8]>>,
}

/// One HTTP exchange.
#[derive(Debug)]
pub struct Request {
    /// Names it in everything that comes of it.
    pub key: ExchangeKey,
    /// The upstream.
    pub remote: Arc<Remote>,
    /// Which of its places.
    pub place: usize,
    /// What it does.
    pub verb: Verb,
    /// Another endpoint of the same origin; none: the place's own.
    pub endpoint: Option<Arc<Endpoint>>,
    /// What its head says.
    pub head: HeadFacts,
    /// What a POST carries.
    pub body: Vec<u8>,
    /// It listens: a connection of its own outside `max_active`, and no bound of time once its answer has begun.
    pub is_long: bool,
    /// The time that is left for it, waiting for a connection included; of one that listens: until its answer begins.
    pub call_ms: u64,
}

/// Why a request cannot be sent.
#[derive(Debug)]
pub(super) enum Unsendable {
    /// It says something that no head can hold.
    Field(FieldRefused),
    /// There is no memory for its head.
    Memory(PoolExhausted),
    /// The connection takes nothing more.
    Tls(TlsError),
}

impl fmt::Display for Unsendable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(error) => error.fmt(f),
            Self::Memory(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
        }
    }
}

/// The bytes of a request: a head that may have the body behind it, and a body that does not fit there.
pub(super) struct Written {
    pub head: PoolBuffer,
    pub body: Vec<u8>,
}

impl Verb {
    /// The method.
    pub(super) fn method(self) -> Method {
        match self {
            Self::Post => Method::Post,
            Self::Get => Method::Get,
            Self::Delete => Method::Delete,
        }
    }
}

impl Request {
    /// Writes it; the body is taken, not copied, unless it is small.
    pub(super) fn write(&mut self, buffers: &BufferPool) -> Result<Written, Unsendable> {
        let mut head = buffers.take(HEAD_BYTES).map_err(Unsendable::Memory)?;
        let endpoint = match &self.endpoint {
            Some(endpoint) => endpoint,
            None => &self.remote.places[self.place].endpoint,
        };
        let parameters: Vec<(&str, &str)> = self
            .head
            .parameters
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        // The latest, also where this has waited: no lock, no copy.
        let credential = self.remote.credential.load();
        let facts = Facts {
            revision: self.head.revision,
            session: self.head.session.as_deref(),
            mirrored: self
                .head
                .mirrored
                .as_ref()
                .map(|(method, name)| (method.as_ref(), name.as_deref())),
            parameters: &parameters,
            last_event_id: self.head.last_event_id.as_deref(),
            authorization: credential.as_ref().map(|issued| issued.authorization()),
        };
        match self.verb {
            Verb::Post => endpoint.write_post(&mut head, &facts, self.body.len()),
            Verb::Get => endpoint.write_get(&mut head, &facts),
            Verb::Delete => endpoint.write_delete(&mut head, &facts),
        }
        .map_err(Unsendable::Field)?;
        let mut body = match self.verb {
            Verb::Post => std::mem::take(&mut self.body),
            Verb::Get | Verb::Delete => Vec::new(),
        };
        // One piece is sent with less ado than two.
        if body.len() <= head.capacity() - head.len() {
            head.extend_from_slice(&body);
            body = Vec::new();
        }
        Ok(Written { head, body })
    }
}

impl Written {
    /// All of it, to be sent at once.
    pub fn into_output(self) -> Output {
        let mut output = Output::from(self.head);
        if output.push(self.body).is_err() {
            unreachable!("an output has room for two pieces");
        }
        output
    }
}
