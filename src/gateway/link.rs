//! What leads to an upstream: a session of its, one of its children, or nothing but its address.

use std::sync::Arc;

use super::word::ChildKey;
use crate::mcp::{ClientCapabilities, LogLevel, Principal, SessionId};
use crate::upstream::era::Spoken;
use crate::upstream::http::Endpoint;
use crate::upstream::multiplex::{MultiplexRules, Multiplexer};
use crate::upstream::session::LegacySession;
use crate::upstream::transport::{ExchangeKey, StreamKey};

/// Who a call is of: a client, as far as clients are told apart.
pub(super) type Owner = (Principal, Option<SessionId>);

/// Whose a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Scope {
    /// Everybody's.
    Shared,
    /// One client's, for its legacy session.
    Session(SessionId),
    /// That of clients without a session, for one principal. The upstream is told once what its clients can do, so each set of
    /// capabilities has its own.
    Open(Principal, ClientCapabilities),
    /// Our own, for the lists.
    Feed,
}

/// How messages come and go.
#[derive(Debug)]
pub(super) enum Way {
    /// Each request over HTTP has its answer in its own exchange.
    Exchanges,
    /// Requests are posted, and answers come on one stream (2024-11-05).
    Old {
        /// The stream.
        stream: Option<ExchangeKey>,
        /// Where to post, once the stream has said so.
        endpoint: Option<Arc<Endpoint>>,
    },
    /// Both go over a child's stream.
    Child {
        /// The child.
        child: ChildKey,
        /// Its stream, while it runs.
        stream: Option<StreamKey>,
        /// What it speaks, once it has said so.
        spoken: Option<Spoken>,
    },
}

/// One link.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) remote: usize,
    pub(super) scope: Scope,
    /// Whose it is.
    pub(super) principal: Principal,
    pub(super) way: Way,
    pub(super) multiplexer: Multiplexer<u64>,
    /// Of a legacy upstream.
    pub(super) session: LegacySession,
    /// What the client behind it can do.
    pub(super) capabilities: ClientCapabilities,
    /// The place that keeps the session.
    pub(super) place: Option<usize>,
    /// Calls that wait until it is ready.
    pub(super) waiting: Vec<u64>,
    /// A request of our own has to be answered first.
    pub(super) is_preparing: bool,
    /// The stream for what belongs to no call.
    pub(super) listening: Option<ExchangeKey>,
    /// Whether there is one to listen to, as far as known.
    pub(super) can_listen: bool,
    /// The least level of log messages that anybody behind it wants, as the upstream was told.
    pub(super) level: Option<LogLevel>,
    /// The request that the stream answers, of a modern upstream.
    pub(super) listen_slot: Option<u64>,
    /// Times that it did not last.
    pub(super) listen_failures: u32,
    /// When to open it again.
    pub(super) relisten_ms: Option<u64>,
    /// Until when a child that has ended is not started again, and how it ended.
    pub(super) down: Option<(u64, String)>,
    /// When a child whose output has ended is ended.
    pub(super) broken_ms: Option<u64>,
    /// Until when the upstream may still be at work for a call that was given up, and whose that was: what it asks then may be meant
    /// for that one.
    pub(super) unclear: Option<(u64, Owner)>,
    /// Whether its child has answered anything.
    pub(super) is_proved: bool,
    /// When it was last used.
    pub(super) used_ms: u64,
}

impl Link {
    pub(super) fn new(remote: usize, scope: Scope, way: Way, rules: MultiplexRules) -> Self {
        Self {
            remote,
            scope,
            principal: Principal::ANONYMOUS,
            way,
            multiplexer: Multiplexer::new(rules),
            session: LegacySession::default(),
            capabilities: ClientCapabilities::NONE,
            place: None,
            waiting: Vec::new(),
            is_preparing: false,
            listening: None,
            can_listen: true,
            level: None,
            listen_slot: None,
            listen_failures: 0,
            relisten_ms: None,
            down: None,
            broken_ms: None,
            unclear: None,
            is_proved: false,
            used_ms: 0,
        }
    }

    /// A call was given up that the upstream may still be at work for.
    pub(super) fn note_unclear(&mut self, until_ms: u64, owner: Owner, now_ms: u64) {
        self.unclear = match self.unclear {
            // Of two it is never clear: nobody is neither's.
            Some((before_ms, before)) if now_ms < before_ms && before != owner => {
                Some((until_ms, (Principal(u128::MAX), None)))
            }
            _ => Some((until_ms, owner)),
        };
    }

    /// Whether what belongs to no call on this link can be this client's.
    pub(super) fn can_be_of(&self, owner: Owner, now_ms: u64) -> bool {
        match (self.scope, self.unclear) {
            // It is one client's.
            (Scope::Session(_), _) | (_, None) => true,
            (_, Some((until_ms, of))) => now_ms >= until_ms || of == owner,
        }
    }

    /// The stream that lines are written to, of a child that runs.
    pub(super) fn stream(&self) -> Option<StreamKey> {
        match self.way {
            Way::Child { stream, .. } => stream,
            _ => None,
        }
    }

    /// Whether a child never got so far that it could be asked anything.
    pub(super) fn session_never_was(&self) -> bool {
        matches!(self.way, Way::Child { spoken: None, .. })
    }

    /// Whether nothing is going on.
    pub(super) fn is_quiet(&self) -> bool {
        self.waiting.is_empty() && !self.is_preparing && self.multiplexer.call_count() == 0
    }

    /// Whether the upstream said that it has this capability: a member of `capabilities` in the answer to `initialize`.
    pub(super) fn offers(&self, capability: &str) -> bool {
        let facts = self.session.current().map(|(_, _, facts)| facts);
        facts.is_some_and(|facts| super::facts::has(&facts.capabilities, capability))
    }
}
