//! One session: small while it is idle, since there may be a hundred thousand of them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use super::{Principal, SessionFacts, Transport};
use crate::limits::CLIENT_INFO_BYTES_MAX;
use crate::mcp::capability::{ClientCapabilities, LogLevel};
use crate::mcp::changes::{Changes, Told};
use crate::mcp::events::{EventLimits, SessionEvents};
use crate::mcp::revision::Revision;
use crate::mem::ByteBudget;

#[derive(Debug)]
pub(super) struct Session {
    pub(super) principal: Principal,
    pub(super) used_ms: AtomicU64,
    pub(super) stream_owner: AtomicU64,
    /// What it agreed on, and how many calls it has: see the constants below.
    facts: AtomicU64,
    /// The version of the lists when it was made: what changes from there on is news to its client.
    lists_version: u64,
    client_info: Option<Box<[u8]>>,
    /// Made on first use.
    events: OnceLock<Arc<SessionEvents>>,
}

/// Bits of [`Session::facts`]: the capabilities below 32, then the revision, the level plus one, three flags,
/// and the calls that have left their shard and are not answered.
const REVISION_SHIFT: u32 = 32;
const LEVEL_SHIFT: u32 = 40;
const LEVEL_BITS: u64 = 0xf << LEVEL_SHIFT;
const INITIALIZED: u64 = 1 << 48;
const SSE: u64 = 1 << 49;
const SETTLED: u64 = 1 << 50;
/// At the top, so that a count beyond its bits wraps around and touches nothing else.
const CALLS_SHIFT: u32 = 51;
const CALL: u64 = 1 << CALLS_SHIFT;

/// Whether what a client says of itself is kept.
pub(super) fn is_short(info: &&[u8]) -> bool {
    info.len() <= CLIENT_INFO_BYTES_MAX
}

/// The bits of what `initialize` settles.
fn settled(revision: Revision, capabilities: ClientCapabilities) -> u64 {
    u64::from(capabilities.bits()) | u64::from(revision.index()) << REVISION_SHIFT | SETTLED
}

impl Session {
    /// A session that `initialize` made.
    pub(super) fn new(
        principal: Principal,
        agreed: (Revision, ClientCapabilities),
        client_info: Option<&[u8]>,
        lists_version: u64,
        now_ms: u64,
    ) -> Self {
        Self {
            principal,
            used_ms: AtomicU64::new(now_ms),
            stream_owner: AtomicU64::new(0),
            facts: AtomicU64::new(settled(agreed.0, agreed.1)),
            lists_version,
            client_info: client_info.filter(is_short).map(Into::into),
            events: OnceLock::new(),
        }
    }

    /// A session of HTTP+SSE, whose `initialize` is still to come.
    pub(super) fn new_sse(principal: Principal, lists_version: u64, now_ms: u64) -> Self {
        let unsettled = (Revision::V2024_11_05, ClientCapabilities::NONE);
        let session = Self::new(principal, unsettled, None, lists_version, now_ms);
        let facts = settled(unsettled.0, unsettled.1) & !SETTLED | SSE;
        session.facts.store(facts, Relaxed);
        session
    }

    /// Settles what an HTTP+SSE session agreed on. False where it is settled.
    pub(super) fn settle(&self, revision: Revision, capabilities: ClientCapabilities) -> bool {
        self.facts
            .fetch_update(Relaxed, Relaxed, |facts| {
                let open = facts & SETTLED == 0;
                let kept = facts & (INITIALIZED | SSE) | facts >> CALLS_SHIFT << CALLS_SHIFT;
                open.then_some(kept | settled(revision, capabilities))
            })
            .is_ok()
    }

    pub(super) fn mark_initialized(&self) {
        self.facts.fetch_or(INITIALIZED, Relaxed);
    }

    pub(super) fn set_log_level(&self, level: LogLevel) {
        let bits = (level as u64 + 1) << LEVEL_SHIFT;
        let set = |facts: u64| Some(facts & !LEVEL_BITS | bits);
        // Never an error: the closure always gives a value.
        let _ = self.facts.fetch_update(Relaxed, Relaxed, set);
    }

    pub(super) fn facts(&self) -> SessionFacts {
        let facts = self.facts.load(Relaxed);
        SessionFacts {
            revision: Revision::from_index((facts >> REVISION_SHIFT) as u8),
            capabilities: ClientCapabilities::from_bits(facts as u32),
            log_level: match (facts & LEVEL_BITS) >> LEVEL_SHIFT {
                0 => None,
                level => LogLevel::ALL.get(level as usize - 1).copied(),
            },
            initialized: facts & INITIALIZED != 0,
            settled: facts & SETTLED != 0,
            transport: if facts & SSE != 0 {
                Transport::Sse
            } else {
                Transport::Streamable
            },
        }
    }

    pub(super) fn client_info(&self) -> Option<Box<[u8]>> {
        let later = || self.events.get()?.client_info();
        self.client_info.as_deref().or_else(later).map(Into::into)
    }

    /// Whether somebody is connected to one of its streams, or a call of its goes on.
    pub(super) fn is_in_use(&self) -> bool {
        self.stream_owner.load(Relaxed) != 0
            || self.has_calls()
            || self.events.get().is_some_and(|events| events.is_attached())
    }

    fn has_calls(&self) -> bool {
        self.facts.load(Relaxed) >> CALLS_SHIFT != 0
    }

    pub(super) fn call_left(&self) {
        self.facts.fetch_add(CALL, Relaxed);
    }

    pub(super) fn call_ended(&self) {
        self.facts.fetch_sub(CALL, Relaxed);
    }

    /// What it keeps for its client, if it has come to that.
    pub(super) fn events(&self) -> Option<&Arc<SessionEvents>> {
        self.events.get()
    }

    /// The same, made if there is nothing yet.
    pub(super) fn events_or_new(
        &self,
        limits: EventLimits,
        changes: &Arc<Changes>,
        budget: &Arc<ByteBudget>,
    ) -> &Arc<SessionEvents> {
        self.events.get_or_init(|| {
            let told = Told::since(self.lists_version);
            let events = SessionEvents::new(limits, Arc::clone(changes), Arc::clone(budget), told);
            Arc::new(events)
        })
    }
}
