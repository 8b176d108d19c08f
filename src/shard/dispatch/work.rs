//! Calls: of plain functions, the short way, and of components that know their host.

use std::sync::Arc;
use std::time::Instant;

use crate::component::{CallContext, CallOutcome, Component, InstancePool, Recorded, Started};
use crate::limits::TOOL_NAME_BYTES_MAX;
use crate::mcp::reply;
use crate::mcp::route::Retry;
use crate::mcp::{Era, Invocation, Reason};
use crate::metrics::{Counter, ShardMetrics};
use crate::shard::Shared;
use crate::shard::away::Unwanted;
use crate::shard::known::Caller as AskingCaller;
use crate::wire::json::Str;

use super::caller::{Hearing, caller};
use super::calls::{Away, Calls, Origin, Stop, said};
use super::dispatcher::{Asker, Conversation, Dispatcher, Made};
use super::ending::{Ending, write_ending};
use super::retry::Binding;
use super::tasks::TaskCall;
use super::{Function, Work};

/// What a call needs of its dispatcher, apart from the catalogue that its tool is borrowed from.
pub(super) struct Desk<'d, P> {
    pub(super) calls: &'d mut Calls<P>,
    pub(super) pool: &'d mut InstancePool,
    pub(super) shared: &'d Shared,
    pub(super) unwanted: &'d Arc<Unwanted>,
}

impl<P> Desk<'_, P> {
    /// Calls a plain function.
    pub(super) fn call<'b>(
        &mut self,
        invocation: &Invocation<'b>,
        function: &Function<'_, 'b>,
        caller: &AskingCaller,
        origin: Origin<P>,
        metrics: &mut ShardMetrics,
        out: &mut Vec<u8>,
    ) -> Result<Made<'b>, Reason<'b>> {
        let (ticket, context) = self.start(function.component, caller)?;
        let era = invocation.era();
        let mark = out.len();
        reply::result_open(out, &invocation.id, era);
        let component = function.component;
        let (tool_index, arguments) = (function.tool_index, function.arguments);
        match self
            .pool
            .call(component, tool_index, arguments, context, out)
        {
            Started::Done(report) | Started::Asked(_, report) => {
                self.calls.remove(ticket);
                reply::result_close(out, era);
                Ok(Made::called(200, report, Vec::new()))
            }
            Started::Moved(cancel) => {
                out.truncate(mark);
                let cancel = Stop::Call(cancel);
                let away = Away::new(invocation, excerpt(function.name), origin, cancel);
                self.leave(ticket, away)?;
                metrics.add(Counter::CallsMoved, 1);
                Ok(Made::Later(ticket))
            }
        }
    }

    /// A ticket for a call that is about to start, and its context.
    fn start(
        &mut self,
        component: &Component,
        caller: &AskingCaller,
    ) -> Result<(u64, CallContext), Reason<'static>> {
        let ticket = self.ticket()?;
        let context = CallContext {
            ticket,
            deadline: Instant::now() + self.shared.limits.call_deadline,
            behalf: caller.known.behalf(component),
        };
        Ok((ticket, context))
    }

    /// A ticket for what is answered later.
    pub(super) fn ticket(&mut self) -> Result<u64, Reason<'static>> {
        self.calls.ticket().ok_or_else(|| self.full())
    }

    /// Files a call that goes on elsewhere.
    pub(super) fn leave(&mut self, ticket: u64, away: Away<P>) -> Result<(), Reason<'static>> {
        // Those that wait for a client's answer do nothing meanwhile, and are bounded by limits.ask_count_max.
        let held_count = self.shared.runtime.asks().held_count();
        if !self.shared.calls.enter_beside(held_count) {
            away.cancel.cancel();
            self.calls.remove(ticket);
            return Err(self.full());
        }
        if let Some(session) = away.session {
            let (shared, id) = (self.shared, away.id.as_bytes());
            shared.away.file(session, id, ticket, self.unwanted);
            shared.sessions.call_left(session);
        }
        self.calls.leave(ticket, Box::new(away));
        Ok(())
    }

    fn full(&self) -> Reason<'static> {
        Reason::Overloaded {
            limit: "limits.request_count_max",
            value: self.shared.calls.limit(),
        }
    }
}

impl<P> Dispatcher<P> {
    pub(super) fn desk(&mut self) -> Desk<'_, P> {
        Desk {
            calls: &mut self.calls,
            pool: &mut self.pool,
            shared: &self.shared,
            unwanted: &self.unwanted,
        }
    }

    /// Has a component do something that may speak and ask before it is done.
    pub(super) fn work<'b>(
        &mut self,
        invocation: &Invocation<'b>,
        asker: Asker<'_>,
        origin: Origin<P>,
        work: Work<'b>,
        conversation: &mut dyn Conversation,
        metrics: &mut ShardMetrics,
        out: &mut Vec<u8>,
    ) -> Result<Made<'b>, Reason<'b>> {
        let (binding, recorded) = self.reopen(invocation, asker, work.retry)?;
        let (ticket, context) = self.desk().start(&work.component, asker.caller)?;
        let hearing = match asker.hears {
            Ok(()) => Hearing::Client(self.pool.outbox(ticket)),
            Err(why) => Hearing::Nobody(why),
        };
        let client_info = client_info(invocation, conversation);
        let task = work.deferred.map(|arguments| {
            let (name, client_info) = (work.target, client_info.clone());
            let component = &work.component;
            TaskCall::new(
                component,
                name,
                arguments,
                invocation,
                asker.caller,
                client_info,
            )
        });
        let mut caller = caller(
            invocation,
            asker.caller.known.name.clone(),
            client_info,
            hearing,
            recorded,
        );
        caller.may_become_task = task.is_some();
        let outbox = caller.outbox.clone();
        let mut members = Vec::new();
        let started = self.pool.invoke(
            &work.component,
            work.job,
            Arc::new(caller),
            context,
            &mut members,
        );
        let away = |cancel| Away {
            outbox: outbox.clone(),
            binding: binding.clone(),
            task: task.map(Box::new),
            ..Away::new(invocation, excerpt(work.target), origin, cancel)
        };
        let (asked, report) = match started {
            Started::Moved(cancel) => {
                let away = away(Stop::Call(cancel));
                self.desk().leave(ticket, away)?;
                metrics.add(Counter::CallsMoved, 1);
                return Ok(Made::Later(ticket));
            }
            Started::Asked(asked, report) if report.outcome == CallOutcome::BecomeTask => {
                let away = away(Stop::Engine);
                self.desk().leave(ticket, away)?;
                self.become_task(ticket, Some(&asked));
                return Ok(Made::Later(ticket));
            }
            Started::Done(report) => (None, report),
            Started::Asked(asked, report) => (Some(asked), report),
        };
        self.calls.remove(ticket);
        let ending = Ending {
            members: &members,
            report: &report,
            asked: asked.as_deref(),
        };
        let seal = self.seal(binding.as_deref(), asker.unix_ms);
        let status = write_ending(out, &invocation.id, invocation.revision, &ending, seal);
        Ok(Made::called(status, report, said(outbox.as_ref())))
    }

    /// What a request may end with questions under, and what earlier attempts of it have left.
    pub(super) fn reopen<'b>(
        &self,
        invocation: &Invocation<'b>,
        asker: Asker<'_>,
        retry: Option<Retry<'b>>,
    ) -> Result<(Option<Box<Binding>>, Recorded), Reason<'b>> {
        let depth_max = self.shared.limits.json_depth_max;
        let binding = Binding::of(invocation, asker.principal, depth_max);
        let recorded = match (retry, &binding) {
            (Some(retry), Some(binding)) => self.sealer.reopen(retry, binding, asker.unix_ms)?,
            _ => Recorded::default(),
        };
        Ok((binding, recorded))
    }

    /// Follows a resource, if its component agrees.
    pub(super) fn subscribe<'b>(
        &mut self,
        invocation: &Invocation<'b>,
        asker: Asker<'_>,
        origin: Origin<P>,
        work: Work<'b>,
        conversation: &mut dyn Conversation,
        metrics: &mut ShardMetrics,
        out: &mut Vec<u8>,
    ) -> Result<Made<'b>, Reason<'b>> {
        let uri = work.target.to_cow();
        // Before the component is asked: a change right after its word must not be missed.
        let is_new = conversation.follow(&uri)?;
        let made = self.work(invocation, asker, origin, work, conversation, metrics, out);
        let refused = match &made {
            Ok(Made::Body { call, .. }) => {
                call.is_none_or(|report| report.outcome != CallOutcome::Ok)
            }
            Ok(Made::Later(ticket)) => {
                if let Some(away) = self.calls.get_mut(*ticket) {
                    away.followed = is_new;
                }
                false
            }
            Ok(Made::Listen(_)) => false,
            Err(_) => true,
        };
        // One that it had before stays.
        if refused && is_new {
            conversation.unfollow(&uri);
        }
        made
    }
}

/// `clientInfo` of a legacy handshake; a modern request brings its own.
pub(super) fn client_info(
    invocation: &Invocation<'_>,
    conversation: &dyn Conversation,
) -> Option<Box<[u8]>> {
    match invocation.era() {
        Era::Legacy => conversation.client_info(),
        Era::Modern => None,
    }
}

/// A name as it is kept for the log.
pub(super) fn excerpt(name: Str<'_>) -> Box<str> {
    let name = name.to_cow();
    match name.char_indices().nth(TOOL_NAME_BYTES_MAX) {
        Some((end, _)) => name[..end].into(),
        None => name.into(),
    }
}
