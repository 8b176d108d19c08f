//! `tools/call`: name to tool, tool to instance, result to answer; on this thread if it is quick, else when a worker hands it back.

use std::sync::Arc;
use std::time::Instant;

use crate::catalog::Target;
use crate::component::{self, CallContext, CallOutcome, CallReport, Finished, Started};
use crate::limits::TOOL_NAME_BYTES_MAX;
use crate::mcp::reply;
use crate::mcp::{InlineId, Invocation, Reason, Refusal};
use crate::metrics::{Counter, Phase};
use crate::wire::http1::Head;
use crate::wire::json::Str;

use super::super::access::Entry;
use super::super::connection::PendingCall;
use super::super::millis;
use super::http::Frame;
use super::message::framed;
use super::{Caller, Served, Service};

/// How much longer than a call's deadline a shard waits for the worker's word before it closes the connection.
const WORKER_GRACE_MS: u64 = 2_000;

impl Service {
    #[allow(clippy::too_many_arguments)]
    pub(super) fn call_tool(
        &mut self,
        head: &Head<'_>,
        invocation: &Invocation<'_>,
        name: Str<'_>,
        arguments: Option<&[u8]>,
        request_bytes: usize,
        caller: Caller,
        out: &mut Vec<u8>,
    ) -> Served {
        let began = self.clock();
        // A name spelt with escapes is rare enough to be copied.
        let decoded = if name.is_escaped() {
            Some(name.to_cow())
        } else {
            None
        };
        let spelt = decoded.as_deref().or(name.as_plain()).unwrap_or_default();
        // Borrowed, not cloned: a count of references would be shared by all shards.
        let Some(tool) = self.snapshot.load().catalog.tool(spelt) else {
            self.metrics.add(Counter::CallUnknownTool, 1);
            let refusal = Refusal::new(Reason::UnknownTool { name }, Some(invocation.id));
            return self.refuse(head, &refusal, caller, head.keep_alive, out);
        };
        let lookup_ns = self.clock.delta_as_nanos(began, self.clock.raw());
        self.metrics.record(Phase::Lookup, lookup_ns);
        let Ok(ticket) = self.moved.insert(caller.socket) else {
            let refusal = self.calls_full(invocation);
            return self.refuse(head, &refusal, caller, head.keep_alive, out);
        };
        let context = CallContext {
            ticket,
            deadline: Instant::now() + self.shared.limits.call_deadline,
        };
        let mark = out.len();
        let frame = Frame::new(head, 200);
        let era = invocation.era();
        let mut started = None;
        let pool = &mut self.pool;
        framed(&frame, invocation.respond, out, |out| {
            reply::result_open(out, &invocation.id, era);
            started = Some(match tool.target {
                Target::Function(tool_index) if !tool.component.is_host_aware() => {
                    pool.call(&tool.component, tool_index, arguments, context, out)
                }
                _ => pool.invoke(
                    &tool.component,
                    tool.job(arguments.unwrap_or_default().to_vec()),
                    Arc::new(component::Caller::silent("tools/call", invocation.revision)),
                    context,
                    out,
                ),
            });
            reply::result_close(out, era);
        });
        match started {
            Some(Started::Done(report) | Started::Asked(_, report)) => {
                self.moved.remove(ticket);
                self.count_call(&report);
                let bytes = out.len() - mark;
                self.log_call(spelt, report.outcome, caller.started, request_bytes, bytes);
                self.metrics
                    .record(Phase::Total, self.since(caller.started));
                Served::Answered {
                    keep_alive: head.keep_alive,
                }
            }
            Some(Started::Moved(cancel)) => {
                out.truncate(mark);
                if !self.shared.calls.enter() {
                    cancel.cancel();
                    self.moved.remove(ticket);
                    let refusal = self.calls_full(invocation);
                    return self.refuse(head, &refusal, caller, head.keep_alive, out);
                }
                self.metrics.add(Counter::CallsMoved, 1);
                Served::Moved(Box::new(PendingCall {
                    ticket,
                    cancel,
                    id: InlineId::new(&invocation.id),
                    revision: invocation.revision,
                    session: invocation.session,
                    respond: invocation.respond,
                    keep_alive: head.keep_alive,
                    cors_origin: head.origin.map(<[u8]>::to_vec),
                    tool: excerpt(spelt),
                    started: caller.started,
                    give_up_ms: self.give_up_ms(caller.now_ms),
                    request_bytes,
                }))
            }
            None => {
                self.moved.remove(ticket);
                let refusal = Refusal::new(Reason::Internal, Some(invocation.id));
                self.refuse(head, &refusal, caller, false, out)
            }
        }
    }

    fn calls_full<'b>(&self, invocation: &Invocation<'b>) -> Refusal<'b> {
        let reason = Reason::Overloaded {
            limit: "limits.request_count_max",
            value: self.shared.calls.limit(),
        };
        Refusal::new(reason, Some(invocation.id))
    }

    fn give_up_ms(&self, now_ms: u64) -> u64 {
        now_ms + millis(self.shared.limits.call_deadline) + WORKER_GRACE_MS
    }

    /// Writes the answer to a call that a worker has finished.
    pub(in super::super) fn answer_finished(
        &mut self,
        call: &PendingCall,
        finished: &Finished,
        keep_alive: bool,
        out: &mut Vec<u8>,
    ) {
        let era = call.revision.era();
        framed(&pending_frame(call, keep_alive), call.respond, out, |out| {
            reply::call_result(out, &call.id, era, &finished.members);
        });
        self.count_call(&finished.report);
        self.metrics.record(Phase::Total, self.since(call.started));
        self.log_call(
            &call.tool,
            finished.report.outcome,
            call.started,
            call.request_bytes,
            out.len(),
        );
    }

    /// Writes the answer to a call that its client cancelled. The client passes it over; the HTTP exchange still has to end.
    pub(in super::super) fn answer_cancelled(
        &mut self,
        call: &PendingCall,
        keep_alive: bool,
        out: &mut Vec<u8>,
    ) {
        let text = b"\"content\":[{\"type\":\"text\",\"text\":\"the call was cancelled by its client\"}],\"isError\":true";
        framed(&pending_frame(call, keep_alive), call.respond, out, |out| {
            reply::call_result(out, &call.id, call.revision.era(), text);
        });
        self.log_call(
            &call.tool,
            CallOutcome::Cancelled,
            call.started,
            call.request_bytes,
            out.len(),
        );
    }

    fn count_call(&mut self, report: &CallReport) {
        let timings = &report.timings;
        self.metrics
            .record(Phase::Instantiate, timings.instantiate_ns);
        self.metrics.record(Phase::Execute, timings.execute_ns);
        self.metrics.record(Phase::Encode, timings.encode_ns);
        self.metrics.add(
            match report.outcome {
                CallOutcome::Ok => Counter::CallOk,
                CallOutcome::ToolError => Counter::CallToolError,
                CallOutcome::BadArguments => Counter::CallBadArguments,
                CallOutcome::Deadline => Counter::CallDeadline,
                CallOutcome::Memory => Counter::CallMemory,
                CallOutcome::Table => Counter::CallTable,
                CallOutcome::Stack => Counter::CallStack,
                CallOutcome::Output => Counter::CallOutput,
                CallOutcome::Cancelled => Counter::CallCancelled,
                CallOutcome::Overloaded => Counter::CallOverloaded,
                _ => Counter::CallTrap,
            },
            1,
        );
        self.count_status(200);
    }

    fn log_call(
        &mut self,
        tool: &str,
        outcome: CallOutcome,
        started: u64,
        request_bytes: usize,
        bytes: usize,
    ) {
        if self.log.is_none() {
            return;
        }
        let entry = Entry {
            time_ms: self.unix_offset_ms + self.now_ms,
            shard: self.index,
            method: "tools/call",
            tool,
            status: 200,
            outcome: outcome.as_str(),
            duration_us: self.since(started) / 1_000,
            request_bytes,
            response_bytes: bytes,
        };
        self.log(&entry);
    }
}

/// A tool's name as the log has it.
fn excerpt(name: &str) -> Box<str> {
    let kept: String = name.chars().take(TOOL_NAME_BYTES_MAX).collect();
    kept.into_boxed_str()
}

fn pending_frame(call: &PendingCall, keep_alive: bool) -> Frame<'_> {
    Frame {
        status: 200,
        content_type: "application/json",
        keep_alive,
        origin: call.cors_origin.as_deref(),
        extra: None,
    }
}
