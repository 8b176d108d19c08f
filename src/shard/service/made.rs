//! Requests on their way through the dispatcher, and how their calls are counted.

use std::borrow::Cow;

use crate::component::{CallOutcome, CallReport};
use crate::mcp::route::Reference;
use crate::mcp::{Era, Invocation, Method, Operation, Principal, Reason, SessionId};
use crate::metrics::{Counter, Phase};

use super::super::Shared;
use super::super::dispatch::{Alone, Asker, Away, Conversation, Made, Origin, shown};
use super::super::known::Caller;
use super::super::listen::too_many;
use super::{Place, Service};

/// What a request comes with, beside itself.
#[derive(Clone)]
pub(super) struct Circumstances<'c> {
    /// Who asks.
    pub(super) caller: &'c Caller,
    /// Where an answer goes that comes later.
    pub(super) place: Place,
    /// Whether the client can hear anything before the answer; if not, why.
    pub(super) hears: Result<(), &'static str>,
    /// On the service's clock.
    pub(super) started: u64,
    pub(super) request_bytes: usize,
}

/// A session of the table, as the dispatcher sees it.
struct InSession<'s> {
    shared: &'s Shared,
    id: SessionId,
    principal: Principal,
}

impl Conversation for InSession<'_> {
    fn client_info(&self) -> Option<Box<[u8]>> {
        self.shared.sessions.client_info(self.id, self.principal)
    }

    fn follow(&mut self, uri: &str) -> Result<bool, Reason<'static>> {
        let events = self.shared.sessions.events(self.id, self.principal);
        let events = events.ok_or(Reason::UnknownSession)?;
        events.subscribe(uri).map_err(too_many)
    }

    fn unfollow(&mut self, uri: &str) {
        if let Some(events) = self.shared.sessions.events(self.id, self.principal) {
            events.unsubscribe(uri);
        }
    }
}

impl Service {
    /// Has a request served: its body is appended, or comes later.
    pub(super) fn dispatch<'b>(
        &mut self,
        invocation: &Invocation<'b>,
        circumstances: Circumstances<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Made<'b>, Reason<'b>> {
        let caller = circumstances.caller;
        let principal = caller.principal();
        let asker = Asker {
            caller,
            principal,
            hears: circumstances.hears,
            unix_ms: self.unix_offset_ms + self.now_ms,
        };
        let origin = Origin {
            place: circumstances.place,
            principal,
            started: circumstances.started,
            request_bytes: circumstances.request_bytes,
        };
        let start = out.len();
        let metrics = &mut self.metrics;
        let made = match invocation.session {
            None => self
                .dispatcher
                .serve(invocation, asker, origin, &mut Alone, metrics, out),
            Some(id) => {
                let mut session = InSession {
                    shared: &self.shared,
                    id,
                    principal,
                };
                self.dispatcher
                    .serve(invocation, asker, origin, &mut session, metrics, out)
            }
        };
        match &made {
            Ok(Made::Body {
                call: Some(report), ..
            }) => {
                self.count_call(invocation.method(), report);
                self.neutralise_from(invocation.method(), start, out);
            }
            Err(Reason::UnknownTool { .. }) => self.metrics.add(Counter::CallUnknownTool, 1),
            _ => {}
        }
        made
    }

    /// Makes an answer harmless that stands in `out` from `start` on.
    fn neutralise_from(&self, method: Method, start: usize, out: &mut Vec<u8>) {
        if let Cow::Owned(harmless) = self.shared.neutral(method, &out[start..]) {
            out.truncate(start);
            out.extend_from_slice(&harmless);
        }
    }

    /// A subscription that its component refused after a while is none.
    pub(in super::super) fn unfollow(&self, away: &Away<Place>) {
        if let (true, Some(id)) = (away.followed, away.session) {
            let mut session = InSession {
                shared: &self.shared,
                id,
                principal: away.principal,
            };
            session.unfollow(&away.target);
        }
    }

    pub(super) fn count_operation(&mut self, invocation: &Invocation<'_>) {
        let era = match invocation.era() {
            Era::Modern => Counter::MessagesModern,
            Era::Legacy => Counter::MessagesLegacy,
        };
        self.metrics.add(era, 1);
        let operation = match invocation.method() {
            Method::CallTool => Counter::OperationCallTool,
            Method::ListTools => Counter::OperationListTools,
            Method::Initialize => Counter::OperationInitialize,
            Method::Ping => Counter::OperationPing,
            Method::Discover => Counter::OperationDiscover,
            Method::Listen => Counter::OperationListen,
            Method::ListResources => Counter::OperationListResources,
            Method::ListTemplates => Counter::OperationListTemplates,
            Method::ReadResource => Counter::OperationReadResource,
            Method::Subscribe | Method::Unsubscribe => Counter::OperationSubscribe,
            Method::ListPrompts => Counter::OperationListPrompts,
            Method::GetPrompt => Counter::OperationGetPrompt,
            Method::Complete => Counter::OperationComplete,
            Method::SetLevel => Counter::OperationSetLevel,
            Method::GetTask
            | Method::TaskResult
            | Method::ListTasks
            | Method::UpdateTask
            | Method::CancelTask => Counter::OperationTask,
            _ => Counter::OperationOther,
        };
        self.metrics.add(operation, 1);
    }

    /// Counts a call of a tool that an upstream has answered, or failed to.
    pub(in super::super) fn count_forwarded(&mut self, away: &Away<Place>, outcome: &str) {
        if away.method == Method::CallTool {
            let counter = match outcome {
                "ok" => Counter::CallOk,
                "tool_error" => Counter::CallToolError,
                "input_required" => Counter::CallInputRequired,
                "deadline" => Counter::CallDeadline,
                "overloaded" => Counter::CallOverloaded,
                _ => Counter::CallError,
            };
            self.metrics.add(counter, 1);
        }
    }

    /// Counts a component's call that has ended. Only tools are told apart by how.
    pub(in super::super) fn count_call(&mut self, method: Method, report: &CallReport) {
        let timings = &report.timings;
        self.metrics
            .record(Phase::Instantiate, timings.instantiate_ns);
        self.metrics.record(Phase::Execute, timings.execute_ns);
        self.metrics.record(Phase::Encode, timings.encode_ns);
        if method == Method::CallTool {
            self.metrics.add(counter(report.outcome), 1);
        }
    }
}

fn counter(outcome: CallOutcome) -> Counter {
    match outcome {
        CallOutcome::Ok => Counter::CallOk,
        CallOutcome::ToolError => Counter::CallToolError,
        CallOutcome::BadArguments => Counter::CallBadArguments,
        CallOutcome::Deadline => Counter::CallDeadline,
        CallOutcome::Memory => Counter::CallMemory,
        CallOutcome::Table => Counter::CallTable,
        CallOutcome::Stack => Counter::CallStack,
        CallOutcome::Output => Counter::CallOutput,
        CallOutcome::Handles => Counter::CallHandles,
        CallOutcome::Budget => Counter::CallBudget,
        CallOutcome::Exited => Counter::CallExited,
        CallOutcome::Cancelled => Counter::CallCancelled,
        CallOutcome::Overloaded => Counter::CallOverloaded,
        CallOutcome::Error => Counter::CallError,
        CallOutcome::InputRequired => Counter::CallInputRequired,
        _ => Counter::CallTrap,
    }
}

/// What a request is about, for the log.
pub(in super::super) fn target_of<'b>(operation: &Operation<'b>) -> Cow<'b, str> {
    match operation {
        Operation::CallTool { name, .. } | Operation::GetPrompt { name, .. } => name.to_cow(),
        Operation::ReadResource { uri, .. }
        | Operation::Subscribe { uri }
        | Operation::Unsubscribe { uri } => uri.to_cow(),
        Operation::GetTask { task_id }
        | Operation::TaskResult { task_id }
        | Operation::UpdateTask { task_id, .. }
        | Operation::CancelTask { task_id } => Cow::Owned(shown(*task_id).into()),
        Operation::Complete { reference, .. } => match reference {
            Reference::Prompt(name) | Reference::Template(name) => name.to_cow(),
        },
        _ => Cow::Borrowed(""),
    }
}
