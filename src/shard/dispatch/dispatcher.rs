//! Requests to answers: what a shard and the stdio server have in common.

use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};

use crate::component::{CallReport, Finished, InstancePool, Mailbox, Outgoing};
use crate::mcp::reply;
use crate::mcp::route::ListenFilter;
use crate::mcp::{Invocation, Principal, Reason};
use crate::metrics::{Phase, ShardMetrics};
use crate::shard::away::Unwanted;
use crate::shard::known::Caller;
use crate::shard::{Shared, Snapshot};
use crate::upstream::task_id::TaskIds;

use super::calls::{Away, Calls, Origin, Stop};
use super::ending::Seal;
use super::retry::{Binding, Sealer};
use super::tasks::{Mail, TaskCall};
use super::work::{Desk, client_info};
use super::{Plan, Task, plan};

/// What an answer without a component takes beside the page of a list.
const READY_BYTES: usize = 1024;

/// Who asks, as far as a request does not say it itself.
#[derive(Clone, Copy)]
pub(in super::super) struct Asker<'a> {
    pub(in super::super) caller: &'a Caller,
    pub(in super::super) principal: Principal,
    /// Whether the client can hear anything before the answer; if not, why.
    pub(in super::super) hears: Result<(), &'static str>,
    /// Milliseconds since 1970-01-01 UTC.
    pub(in super::super) unix_ms: u64,
}

/// What a session keeps between its requests, or a process for its one client.
pub(in super::super) trait Conversation {
    /// The text of `clientInfo`, if the handshake had one.
    fn client_info(&self) -> Option<Box<[u8]>>;

    /// Follows one more resource; whether it did not before.
    ///
    /// Errors: it follows as many as it may.
    fn follow(&mut self, uri: &str) -> Result<bool, Reason<'static>>;

    /// Follows a resource no longer.
    fn unfollow(&mut self, uri: &str);
}

/// Nobody's: a modern request stands alone.
pub(in super::super) struct Alone;

impl Conversation for Alone {
    fn client_info(&self) -> Option<Box<[u8]>> {
        None
    }

    fn follow(&mut self, _uri: &str) -> Result<bool, Reason<'static>> {
        Ok(false)
    }

    fn unfollow(&mut self, _uri: &str) {}
}

/// What became of a request.
pub(in super::super) enum Made<'b> {
    /// The body of its answer was appended.
    Body {
        /// The HTTP status that goes with it.
        status: u16,
        /// Of a component's call.
        call: Option<CallReport>,
        /// What the call said before it ended.
        said: Vec<Outgoing>,
    },
    /// The answer comes later, for this ticket.
    Later(u64),
    /// It opens a stream of notifications, which is the transport's.
    Listen(ListenFilter<'b>),
}

impl Made<'_> {
    pub(super) fn body(status: u16) -> Self {
        Self::Body {
            status,
            call: None,
            said: Vec::new(),
        }
    }

    pub(super) fn called(status: u16, report: CallReport, said: Vec<Outgoing>) -> Self {
        Self::Body {
            status,
            call: Some(report),
            said,
        }
    }
}

/// The instances and calls of one thread.
pub(in super::super) struct Dispatcher<P> {
    pub(in super::super) shared: Arc<Shared>,
    pub(in super::super) snapshot: Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>,
    pub(in super::super) pool: InstancePool,
    pub(in super::super) calls: Calls<P>,
    pub(super) sealer: Sealer,
    mailbox: Arc<Mailbox>,
    pub(super) mail: Mail,
    pub(super) unwanted: Arc<Unwanted>,
    /// The number of the thread's port.
    pub(super) port: u16,
    pub(super) task_ids: TaskIds,
    clock: quanta::Clock,
}

impl<P> Dispatcher<P> {
    /// A dispatcher whose thread has this port, and is woken by `wake`.
    pub(in super::super) fn new(
        shared: Arc<Shared>,
        port: usize,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let wake: Arc<dyn Fn() + Send + Sync> = Arc::new(wake);
        let waking = Arc::clone(&wake);
        // Beside the calls that are at work there may be those that wait for a client's answer.
        let limits = &shared.limits;
        let count_max = limits.request_count_max + limits.ask_count_max;
        let mailbox = shared.runtime.mailbox(move || waking());
        Self {
            snapshot: Cache::new(Arc::clone(&shared.snapshot)),
            pool: shared.runtime.instance_pool(Arc::clone(&mailbox)),
            calls: Calls::new(count_max),
            sealer: Sealer::new(shared.state_key.clone(), limits),
            mailbox,
            unwanted: Unwanted::new(Arc::clone(&wake)),
            mail: Mail::new(count_max, wake),
            port: u16::try_from(port).unwrap_or(u16::MAX),
            task_ids: TaskIds::new(&shared.task_key()),
            clock: quanta::Clock::new(),
            shared,
        }
    }

    /// Learns of the components of a new catalogue.
    pub(in super::super) fn follow_catalog(&mut self) {
        let snapshot = Arc::clone(self.snapshot.load());
        self.pool.follow(snapshot.catalog.components());
    }

    /// Whether something of a call that is away waits to be looked at.
    pub(in super::super) fn has_mail(&self) -> bool {
        !self.mailbox.is_empty() || !self.mail.is_empty() || !self.unwanted.is_empty()
    }

    /// A call that has ended elsewhere.
    pub(in super::super) fn next_finished(&mut self) -> Option<Finished> {
        self.mailbox.take()
    }

    /// A call that is away and has said something.
    pub(in super::super) fn next_signal(&mut self) -> Option<u64> {
        self.mailbox.take_signal()
    }

    /// A call that its client has cancelled.
    pub(in super::super) fn next_unwanted(&mut self) -> Option<u64> {
        self.unwanted.next()
    }

    /// What questions of a call are sealed with, if it may ask by ending.
    pub(in super::super) fn seal<'s>(
        &'s self,
        binding: Option<&'s Binding>,
        unix_ms: u64,
    ) -> Option<Seal<'s>> {
        binding.map(|binding| (&self.sealer, binding, unix_ms))
    }

    /// The call is over, or nobody cares for it any longer: its entry, which is no more.
    pub(in super::super) fn forget(&mut self, ticket: u64) -> Option<Box<Away<P>>> {
        let away = self.calls.remove(ticket)?;
        self.shared.calls.leave();
        if let Some(session) = away.session {
            let (shared, id) = (&self.shared, away.id.as_bytes());
            shared.away.forget(session, id, ticket, &self.unwanted);
            shared.sessions.call_ended(session, shared.now_ms());
        }
        if let Stop::Wait(_) = away.cancel {
            self.shared.waits.leave();
        }
        Some(away)
    }

    /// Serves one request.
    ///
    /// Shape: the body of the answer is appended to `out`, if there is one already.
    /// Errors: why it is refused; nothing is appended then.
    pub(in super::super) fn serve<'b>(
        &mut self,
        invocation: &Invocation<'b>,
        asker: Asker<'_>,
        origin: Origin<P>,
        conversation: &mut dyn Conversation,
        metrics: &mut ShardMetrics,
        out: &mut Vec<u8>,
    ) -> Result<Made<'b>, Reason<'b>> {
        let began = self.clock.raw();
        let catalog = &self.snapshot.load().catalog;
        let rules = &self.shared.rules;
        let view = (!rules.is_open()).then_some((&**rules, &*asker.caller.known));
        let planned = plan(catalog, invocation, self.shared.tasks().is_some(), view);
        let lookup_ns = self.clock.delta_as_nanos(began, self.clock.raw());
        metrics.record(Phase::Lookup, lookup_ns);
        match planned? {
            Plan::Ready(ready) => {
                out.reserve(ready.bytes() + READY_BYTES);
                ready.write(out, &invocation.id, invocation.era(), catalog);
                Ok(Made::body(200))
            }
            Plan::Function(function) => {
                // Borrowed, not cloned: a count of references would be shared by all shards.
                let mut desk = Desk {
                    calls: &mut self.calls,
                    pool: &mut self.pool,
                    shared: &self.shared,
                    unwanted: &self.unwanted,
                };
                desk.call(invocation, &function, asker.caller, origin, metrics, out)
            }
            Plan::Work(work) => {
                self.work(invocation, asker, origin, work, conversation, metrics, out)
            }
            Plan::Subscribe(work) => {
                self.subscribe(invocation, asker, origin, work, conversation, metrics, out)
            }
            Plan::Unsubscribe(uri) => {
                conversation.unfollow(&uri.to_cow());
                reply::empty_result(out, &invocation.id, invocation.era());
                Ok(Made::body(200))
            }
            Plan::Listen(filter) => Ok(Made::Listen(filter)),
            Plan::Upstream(forward) => {
                self.forward(invocation, asker, origin, forward, conversation)
            }
            Plan::FollowUpstream(forward) => {
                self.follow_upstream(invocation, asker, origin, forward, conversation)
            }
            Plan::UnfollowUpstream(forward) => {
                conversation.unfollow(&forward.theirs);
                self.forward(invocation, asker, origin, forward, conversation)
            }
            Plan::OnTask => match self.forward_task(invocation, asker, origin, conversation) {
                Ok(made) => made,
                Err(origin) => self.on_task(invocation, asker, origin, out),
            },
            Plan::Task(task) => {
                let Task {
                    component,
                    name,
                    arguments,
                    retry,
                    ttl_ms,
                } = task;
                let arguments = arguments.unwrap_or(b"{}");
                let client_info = client_info(invocation, conversation);
                let call = TaskCall::new(
                    component,
                    name,
                    arguments,
                    invocation,
                    asker.caller,
                    client_info,
                );
                let (_, recorded) = self.reopen(invocation, asker, retry)?;
                self.make_task(invocation, origin, name, call, recorded, ttl_ms)
            }
        }
    }
}
