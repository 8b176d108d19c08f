//! What a home's state machine wants done: it touches no socket and no other thread itself.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::word::{CallerKey, ChildOrder, CredentialWant, Done, News};
use crate::component::Outbox;
use crate::mcp::{List, Principal, SessionId};
use crate::upstream::transport::{ExchangeKey, Request, StreamKey};

/// A question of an upstream for the client whose call caused it.
#[derive(Debug)]
pub struct AskClient {
    /// Its number here.
    pub number: u64,
    /// The client's session.
    pub session: Option<SessionId>,
    /// The way to the client.
    pub outbox: Arc<Outbox>,
    /// What is asked.
    pub method: Box<str>,
    /// With which parameters, as JSON text.
    pub params: Option<Vec<u8>>,
}

/// One thing to do.
#[derive(Debug)]
pub enum Action {
    /// Begin an exchange.
    Exchange(Box<Request>),
    /// Nobody wants it any longer.
    Abandon(ExchangeKey),
    /// Receive nothing more of it for now.
    Pause(ExchangeKey),
    /// Go on.
    Resume(ExchangeKey),
    /// Take over a child's stream; at most so many lines leave in one write.
    Adopt(StreamKey, OwnedFd, usize),
    /// Write one line, for the request of this slot; where it cannot be taken, say [`Gateway::line_refused`](super::Gateway::line_refused).
    Line(StreamKey, Vec<u8>, Option<u64>),
    /// Say that no more lines come.
    EndInput(StreamKey),
    /// Close a stream.
    CloseStream(StreamKey),
    /// A call has ended.
    Done(CallerKey, Done),
    /// Ask a client.
    Ask(Box<AskClient>),
    /// The question of this number is answered, or no longer wanted.
    Unask {
        /// Which.
        number: u64,
        /// Whether its client is to be told that nobody waits for the answer.
        tells: bool,
    },
    /// Tell a session something that belongs to no call.
    Tell(SessionId, Principal, Vec<u8>),
    /// A resource holds something else now.
    Updated(String),
    /// The lists of an upstream that another home feeds may have changed.
    Changed(usize, Option<List>),
    /// News for control.
    News(News),
    /// An order about a child.
    Order(ChildOrder),
    /// An upstream does not take our credential.
    Credential(Box<CredentialWant>),
}
