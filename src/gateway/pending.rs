//! Requests that are on their way: our clients', and our own.

use super::hold::HeldQuestion;
use super::word::{Call, CallerKey, Follow};
use crate::mcp::List;
use crate::policy::Ticket;
use crate::upstream::multiplex::{AskNumber, CallNumber, IdText};
use crate::upstream::transport::ExchangeKey;

/// What a request is for.
#[derive(Debug)]
pub(super) enum Purpose {
    /// A client's.
    Caller(Box<Call>),
    /// To find out what an HTTP upstream speaks, or a child.
    Discover,
    /// The handshake of its link.
    Initialize,
    /// The end of the handshake, which has no answer; what waits goes on after it.
    Initialized,
    /// To have the upstream send log messages of another level; what waits goes on after it.
    SetLevel,
    /// To have a link ready for the lists.
    Feed,
    /// To follow a resource for a stream of a client, or no longer.
    Follow(Follow),
    /// The second attempt at the call of this slot.
    Twin(u64),
    /// One page of a list, for the feed, in its look of this number.
    List(List, u64),
    /// A check.
    Check {
        /// Of which place.
        place: usize,
    },
    /// A message that has no answer, or one that nobody waits for.
    Message,
    /// The stream of a link for what belongs to no call.
    Listen,
    /// The stream on which the answers of its link come (2024-11-05).
    OldStream,
}

/// A question of an upstream in a client's hands.
#[derive(Debug)]
pub(super) struct Ask {
    /// The request of the client that caused it.
    pub(super) slot: u64,
    /// Where its answer goes.
    pub(super) from: AskFrom,
}

/// Where a question came from.
#[derive(Debug)]
pub(super) enum AskFrom {
    /// A request of a legacy upstream.
    Upstream {
        /// Its link.
        link: u64,
        /// Its number there.
        number: AskNumber,
    },
    /// An entry of a modern upstream's `inputRequests`.
    InputRequest {
        /// Its key.
        key: String,
        /// What it asks.
        method: String,
    },
}

/// What a modern upstream asks a legacy client before it answers.
#[derive(Debug)]
pub(super) struct Collecting {
    /// Questions that have no answer yet.
    pub(super) open: usize,
    /// Those that have one.
    pub(super) answers: Vec<(String, Vec<u8>)>,
    /// What the upstream wants back.
    pub(super) state: Option<String>,
}

/// A call of a modern client whose legacy upstream has asked something: its client has the questions, and comes back.
#[derive(Debug)]
pub(super) struct Hold {
    /// What the client brings back.
    pub(super) handle: u128,
    /// The questions that are not answered.
    pub(super) asked: Vec<HeldQuestion>,
    /// Questions so far.
    pub(super) count: u64,
    /// Until when it is waited for; none while it is here.
    pub(super) until_ms: Option<u64>,
    /// The upstream's answer, if it came in the meantime.
    pub(super) answer: Option<Vec<u8>>,
}

/// One request.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) purpose: Purpose,
    pub(super) remote: usize,
    pub(super) link: Option<u64>,
    /// Its own id: the client's.
    pub(super) id: IdText,
    pub(super) number: Option<CallNumber>,
    pub(super) exchange: Option<ExchangeKey>,
    /// Its place, and what its breaker gave for it.
    pub(super) place: Option<usize>,
    pub(super) permit: Option<Ticket>,
    /// A place that has failed it.
    pub(super) avoid: Option<usize>,
    pub(super) sent_ms: u64,
    pub(super) due_ms: u64,
    pub(super) attempts: u32,
    pub(super) status: u16,
    /// Of the answer's head.
    pub(super) session_id: Option<Box<[u8]>>,
    pub(super) retry_after_s: Option<u64>,
    /// The beginning of a body that is no message.
    pub(super) excerpt: Box<str>,
    /// Times that its stream broke off and was gone on with.
    pub(super) resumptions: u32,
    /// Upstreams that it was handed on to.
    pub(super) detours: u32,
    /// Its second attempt.
    pub(super) twin: Option<u64>,
    pub(super) rounds: u32,
    pub(super) collecting: Option<Collecting>,
    pub(super) hold: Option<Box<Hold>>,
    /// The token of whoever came back for a held call, in the place of the first one's; none where that one wants no progress.
    pub(super) retold: Option<Option<IdText>>,
    /// A message for which its client's outbox has no room; its exchange is paused.
    pub(super) blocked: Vec<Vec<u8>>,
    /// Which of the sessions of its link it was sent in.
    pub(super) session_number: Option<crate::upstream::session::SessionNumber>,
    /// The number of the credential that was in force when it was sent.
    pub(super) credential_seen: u64,
    /// Times that it waited for another.
    pub(super) credential_waits: u32,
    /// When to go on with it, where it waits for nothing else.
    pub(super) advance_ms: Option<u64>,
    /// When to go on with a stream that broke off, and where.
    pub(super) resume: Option<(u64, Box<[u8]>)>,
}

impl Pending {
    pub(super) fn new(purpose: Purpose, remote: usize, id: IdText, due_ms: u64) -> Self {
        Self {
            purpose,
            remote,
            link: None,
            id,
            number: None,
            exchange: None,
            place: None,
            permit: None,
            avoid: None,
            sent_ms: 0,
            due_ms,
            attempts: 0,
            status: 0,
            session_id: None,
            retry_after_s: None,
            excerpt: "".into(),
            resumptions: 0,
            detours: 0,
            twin: None,
            rounds: 0,
            collecting: None,
            hold: None,
            retold: None,
            blocked: Vec::new(),
            session_number: None,
            credential_seen: 0,
            credential_waits: 0,
            advance_ms: None,
            resume: None,
        }
    }

    /// The client's request, if it is one.
    pub(super) fn call(&self) -> Option<&Call> {
        match &self.purpose {
            Purpose::Caller(call) => Some(call),
            _ => None,
        }
    }

    /// Who waits for it.
    pub(super) fn caller(&self) -> Option<CallerKey> {
        self.call().map(|call| call.caller)
    }
}
