//! The calls that are away: what their answers need when they come back, and where those go.

use std::sync::Arc;
use std::time::Duration;

use crate::component::{CancelHandle, Outbox, Outgoing};
use crate::mcp::{InlineId, Invocation, Method, Principal, Revision, SessionId};
use crate::mem::Slab;
use crate::shard::trail::Trail;

use super::forward::Forwarded;
use super::retry::Binding;
use super::tasks::{TaskCall, Wait};

/// What an answer is waited for from, and how that is given up.
pub(in super::super) enum Stop {
    /// A component's call.
    Call(CancelHandle),
    /// The engine of the tasks, which answers in a moment whatever happens.
    Engine,
    /// A task, until it ends.
    Wait(Box<Wait>),
    /// An upstream.
    Upstream(Box<Forwarded>),
}

impl Stop {
    /// Nobody wants the answer any longer.
    pub(in super::super) fn cancel(&self) {
        match self {
            Self::Call(call) => call.cancel(),
            Self::Upstream(forwarded) => forwarded.cancel(),
            Self::Engine | Self::Wait(_) => {}
        }
    }

    /// Nobody hears what is asked: the answers that it waits for will not come.
    pub(in super::super) fn give_up_questions(&self) {
        match self {
            Self::Call(call) => call.give_up_questions(),
            Self::Upstream(forwarded) => forwarded.give_up_questions(),
            Self::Engine | Self::Wait(_) => {}
        }
    }

    /// How much longer than a call's deadline it may take; none where it takes as long as it takes.
    pub(in super::super) fn extension(&self) -> Option<Duration> {
        match self {
            Self::Call(call) => call.extension(),
            Self::Engine => Some(Duration::ZERO),
            Self::Wait(_) => None,
            Self::Upstream(forwarded) => forwarded.extension(),
        }
    }

    /// Whether there is no answer before the client has given one.
    pub(in super::super) fn is_for_answers(&self) -> bool {
        match self {
            Self::Call(call) => call.extension().is_none(),
            Self::Engine => false,
            Self::Wait(wait) => wait.is_for_answers(),
            Self::Upstream(forwarded) => forwarded.is_asking(),
        }
    }
}

/// A call that is away.
///
/// Shape: `P` is where its transport takes the answer.
pub(in super::super) struct Away<P> {
    pub(in super::super) cancel: Stop,
    pub(in super::super) place: P,
    pub(in super::super) id: InlineId,
    pub(in super::super) revision: Revision,
    pub(in super::super) session: Option<SessionId>,
    /// Whose it is.
    pub(in super::super) principal: Principal,
    pub(in super::super) method: Method,
    /// What it is about: a tool, a prompt, a resource.
    pub(in super::super) target: Box<str>,
    /// What it says before its answer.
    pub(in super::super) outbox: Option<Arc<Outbox>>,
    /// What its questions to the client are sealed with.
    pub(in super::super) binding: Option<Box<Binding>>,
    /// What it needs to become a task, where it may.
    pub(in super::super) task: Option<Box<TaskCall>>,
    /// What the audit log is told once it is answered.
    pub(in super::super) trail: Option<Box<Trail>>,
    /// Nobody waits for its answer any longer; it is here until that has come.
    pub(in super::super) given_up: bool,
    /// Whether its client follows the resource that it is about only since it began.
    pub(in super::super) followed: bool,
    /// Since when nobody has carried the stream that it writes to, on the shard's clock.
    pub(in super::super) unheard_since_ms: Option<u64>,
    /// On the transport's clock.
    pub(in super::super) started: u64,
    pub(in super::super) request_bytes: usize,
}

/// What a transport says of a call beside the request itself.
pub(in super::super) struct Origin<P> {
    pub(in super::super) place: P,
    pub(in super::super) principal: Principal,
    pub(in super::super) started: u64,
    pub(in super::super) request_bytes: usize,
}

impl<P> Away<P> {
    pub(super) fn new(
        invocation: &Invocation<'_>,
        target: Box<str>,
        origin: Origin<P>,
        cancel: Stop,
    ) -> Self {
        Self {
            cancel,
            place: origin.place,
            id: InlineId::new(&invocation.id),
            revision: invocation.revision,
            session: invocation.session,
            principal: origin.principal,
            method: invocation.method(),
            target,
            outbox: None,
            binding: None,
            task: None,
            trail: None,
            given_up: false,
            followed: false,
            unheard_since_ms: None,
            started: origin.started,
            request_bytes: origin.request_bytes,
        }
    }
}

impl<P> Away<P> {
    /// Whether the engine of the tasks answers it: then it stays until that has come.
    pub(in super::super) fn is_the_engines(&self) -> bool {
        matches!(self.cancel, Stop::Engine)
    }

    /// Whether it does nothing but wait, so that it means nothing once nobody hears its answer.
    pub(in super::super) fn is_a_wait(&self) -> bool {
        matches!(self.cancel, Stop::Wait(_))
    }

    /// Takes what it has said and nobody has heard.
    pub(in super::super) fn said(&self) -> Vec<Outgoing> {
        said(self.outbox.as_ref())
    }
}

/// Takes everything that waits in an outbox.
pub(super) fn said(outbox: Option<&Arc<Outbox>>) -> Vec<Outgoing> {
    outbox.map_or_else(Vec::new, |outbox| {
        std::iter::from_fn(|| outbox.take()).collect()
    })
}

/// The table of calls. A call has its ticket before it starts, and its entry once it has left.
pub(in super::super) struct Calls<P> {
    table: Slab<Option<Box<Away<P>>>>,
}

impl<P> Calls<P> {
    pub(super) fn new(count_max: usize) -> Self {
        Self {
            table: Slab::new(count_max),
        }
    }

    /// A ticket for a call that is about to start; none when as many are open as may be.
    pub(super) fn ticket(&mut self) -> Option<u64> {
        self.table.insert(None).ok()
    }

    /// The call with this ticket has left.
    pub(super) fn leave(&mut self, ticket: u64, away: Box<Away<P>>) {
        if let Some(slot) = self.table.get_mut(ticket) {
            *slot = Some(away);
        }
    }

    /// The ticket is no more; the call, if it had left.
    pub(super) fn remove(&mut self, ticket: u64) -> Option<Box<Away<P>>> {
        self.table.remove(ticket)?
    }

    /// The call with this ticket.
    pub(in super::super) fn get(&self, ticket: u64) -> Option<&Away<P>> {
        self.table.get(ticket)?.as_deref()
    }

    /// The same, to be changed.
    pub(in super::super) fn get_mut(&mut self, ticket: u64) -> Option<&mut Away<P>> {
        self.table.get_mut(ticket)?.as_deref_mut()
    }

    /// The tickets of the calls for which this holds.
    pub(in super::super) fn select(&self, mut is_it: impl FnMut(&Away<P>) -> bool) -> Vec<u64> {
        let away = |(ticket, slot): (u64, &Option<Box<Away<P>>>)| {
            let is_it = slot.as_ref().is_some_and(|away| is_it(away));
            is_it.then_some(ticket)
        };
        self.table.iter().filter_map(away).collect()
    }

    /// Whether there is no call.
    pub(in super::super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
}
