//! One call: what it is given, how it can end, and what its caller reads then.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use wasmtime::Trap;

use crate::limits::{Limits, PRINT_FLOOD_FACTOR};
use crate::wire::json;

use super::grant::{Behalf, CpuMeter, Overspent};
use super::host::{Asked, RpcError};
use super::limits::Refused;
use super::wasi;

/// What a call is told that finds no worker.
pub(crate) const WORKERS_BUSY: &str =
    "all workers are busy and their queue is full (limits.worker_queue_max); try again later";

/// What a shard says about a call that it starts.
#[derive(Clone, Debug)]
pub struct CallContext {
    /// The shard's number for the call; comes back in [`Finished`](super::Finished).
    pub ticket: u64,
    /// When the call must have ended. A call that is still running then is stopped within a tick or two.
    pub deadline: Instant,
    /// For whom it is made; none where nobody is known and nothing is narrowed.
    pub behalf: Option<Arc<Behalf>>,
}

impl CallContext {
    /// A call on nobody's behalf.
    pub fn new(ticket: u64, deadline: Instant) -> Self {
        Self {
            ticket,
            deadline,
            behalf: None,
        }
    }
}

/// How a call went on.
#[derive(Debug)]
pub enum Started {
    /// It ended here; the members of its result or error, as its outcome says, were appended to `out`.
    Done(CallReport),
    /// It ended here and has to run again, with answers or as a task; nothing was appended.
    Asked(Box<Asked>, CallReport),
    /// It is still computing, and goes on elsewhere; nothing was appended. Its end arrives in the shard's
    /// [`Mailbox`](super::Mailbox).
    Moved(CancelHandle),
}

/// A call's end, for one that no shard waits for.
#[derive(Debug)]
pub struct Ending {
    /// The members of the result, or of the error, without braces: see [`CallOutcome`].
    pub members: Vec<u8>,
    /// How it ended, and how long its parts took.
    pub report: CallReport,
    /// With an outcome that has the call run again: what it asked.
    pub asked: Option<Box<Asked>>,
}

/// No worker is free for a call; the same call can succeed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overloaded;

impl fmt::Display for Overloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(WORKERS_BUSY)
    }
}

impl std::error::Error for Overloaded {}

/// How a call ended.
///
/// A tool's call that ends other than [`Ok`](CallOutcome::Ok) is an answer with `"isError":true`, but for the last three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CallOutcome {
    /// The tool answered.
    Ok,
    /// The tool answered with the `err` side of its `result`.
    ToolError,
    /// The arguments do not fit the tool's schema.
    BadArguments,
    /// The guest trapped, or broke the rules of the component model.
    Trap,
    /// The guest ended its own process (`wasi:cli/exit`).
    Exited,
    /// The call ran into its deadline.
    Deadline,
    /// The guest wanted more memory than allowed and trapped.
    Memory,
    /// The guest wanted larger tables than allowed and trapped.
    Table,
    /// The guest recursed too deeply.
    Stack,
    /// The result, or what one host call was handed, is larger than allowed.
    Output,
    /// The guest holds more resource handles than allowed.
    Handles,
    /// The guest used up a budget of its policy: processor time, HTTP, open files.
    Budget,
    /// The caller went away.
    Cancelled,
    /// No instance or no worker is free; the same call can succeed later.
    Overloaded,
    /// A JSON-RPC error: the members are those of an error object, `"code":…,"message":…` and maybe `"data":…`.
    Error,
    /// The call asked and has to run again with the answers; there are no members.
    InputRequired,
    /// The call has to run again, as a task; there are no members.
    BecomeTask,
}

impl CallOutcome {
    /// The word for logs and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ToolError => "tool_error",
            Self::BadArguments => "bad_arguments",
            Self::Trap => "trap",
            Self::Exited => "exited",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::Table => "table",
            Self::Stack => "stack",
            Self::Output => "output",
            Self::Handles => "handles",
            Self::Budget => "budget",
            Self::Cancelled => "cancelled",
            Self::Overloaded => "overloaded",
            Self::Error => "error",
            Self::InputRequired => "input_required",
            Self::BecomeTask => "become_task",
        }
    }
}

/// How a call ended, and how long its parts took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallReport {
    /// The end.
    pub outcome: CallOutcome,
    /// The times.
    pub timings: CallTimings,
    /// Bytes at the end of the members that are none of the result's, but of its `_meta`: that object's own members, for whoever
    /// writes the rest of it. See [`CallReport::split`].
    pub meta_bytes: usize,
}

impl CallReport {
    /// A report of a call without a `_meta`.
    pub(crate) fn new(outcome: CallOutcome, timings: CallTimings) -> Self {
        Self {
            outcome,
            timings,
            meta_bytes: 0,
        }
    }

    /// The members of the result, and those of its `_meta`; mostly there are none.
    pub fn split<'m>(&self, members: &'m [u8]) -> (&'m [u8], &'m [u8]) {
        members.split_at(members.len().saturating_sub(self.meta_bytes))
    }
}

/// How long the parts of one call took on the path that its caller waited for.
///
/// Units: nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallTimings {
    /// Reading the arguments and finding the instance pool.
    pub lookup_ns: u64,
    /// Getting an instance: next to nothing when one was ready.
    pub instantiate_ns: u64,
    /// In the guest, with passing values in and out; for a call that moved, with its wait for a worker.
    pub execute_ns: u64,
    /// Writing the result.
    pub encode_ns: u64,
}

/// The way to stop a call that has left its shard.
#[derive(Clone, Debug)]
pub struct CancelHandle {
    pub(super) control: Arc<Control>,
}

impl CancelHandle {
    /// Tells the guest to stop. It traps within a tick or two; its [`Finished`](super::Finished) still arrives.
    pub fn cancel(&self) {
        self.control.cancel();
    }

    /// Nobody has heard for too long what the call asks: the questions that it waits for now have no answer.
    pub fn give_up_questions(&self) {
        self.control.unheard.notify_waiters();
    }

    /// How much longer than its deadline the call may take, for the time that it has waited for answers; none while it waits for one.
    pub fn extension(&self) -> Option<Duration> {
        self.control.extension()
    }
}

/// What a running call looks at, from time to time, to learn that it must end.
#[derive(Debug)]
pub(crate) struct Control {
    deadline: Instant,
    /// Nanoseconds added to the deadline.
    extended_ns: AtomicU64,
    waits: AtomicBool,
    cancelled: AtomicBool,
    overspent: OnceLock<Overspent>,
    cpu: OnceLock<CpuMeter>,
    changed: Notify,
    unheard: Notify,
}

impl Control {
    pub(crate) fn new(deadline: Instant) -> Arc<Self> {
        Arc::new(Self {
            deadline,
            extended_ns: AtomicU64::new(0),
            waits: AtomicBool::new(false),
            cancelled: AtomicBool::new(false),
            overspent: OnceLock::new(),
            cpu: OnceLock::new(),
            changed: Notify::new(),
            unheard: Notify::new(),
        })
    }

    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// The call used up a budget: it ends as one that did.
    pub(crate) fn overspend(&self, overspent: Overspent) {
        // The first one is why it ends.
        let _ = self.overspent.set(overspent);
        self.changed.notify_waiters();
    }

    /// Bounds its time on a processor; the first bound counts.
    pub(crate) fn bound_cpu(&self, limit_ms: u64) {
        let _ = self.cpu.set(CpuMeter::new(limit_ms));
    }

    /// What counts its time on a processor, if that is bounded.
    pub(crate) fn cpu(&self) -> Option<&CpuMeter> {
        self.cpu.get()
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// Moves the deadline: time in which the call waited for a person.
    pub(crate) fn extend(&self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        // A sum beyond 500 years is no deadline at all.
        self.extended_ns.fetch_add(ns, Ordering::AcqRel);
    }

    /// The call waits for a person until the guard is dropped.
    pub(crate) fn wait(&self) -> Waiting<'_> {
        self.waits.store(true, Ordering::Release);
        Waiting(self)
    }

    /// Completes when the call is cancelled, whatever its deadline.
    pub(crate) async fn cancelled(&self) {
        let changed = self.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        if !self.is_cancelled() {
            changed.await;
        }
    }

    /// Completes when the questions that the call waits for are given up.
    pub(crate) async fn unheard(&self) {
        self.unheard.notified().await;
    }

    fn extension(&self) -> Option<Duration> {
        (!self.waits()).then(|| self.extended())
    }

    /// Whether the call waits for a person.
    pub(crate) fn waits(&self) -> bool {
        self.waits.load(Ordering::Acquire)
    }

    fn extended(&self) -> Duration {
        Duration::from_nanos(self.extended_ns.load(Ordering::Acquire))
    }

    /// Why the call must stop, if it must.
    pub(crate) fn verdict(&self) -> Result<(), Stop> {
        if self.is_cancelled() {
            return Err(Stop::Cancelled);
        }
        if let Some(overspent) = self.overspent.get() {
            return Err(Stop::Budget(*overspent));
        }
        if Instant::now() >= self.deadline + self.extended() {
            return Err(Stop::Deadline);
        }
        Ok(())
    }

    /// The same for a guest that runs: also whether its time on a processor is used up.
    pub(crate) fn running_verdict(&self) -> Result<(), Stop> {
        if let Some(cpu) = self.cpu() {
            cpu.verdict().map_err(Stop::Budget)?;
        }
        self.verdict()
    }

    /// Returns when the call must stop. For host functions that wait.
    pub(crate) async fn stopped(&self) -> Stop {
        let changed = self.changed.notified();
        tokio::pin!(changed);
        // Registered before the flag is read, so a cancellation between the two is seen.
        changed.as_mut().enable();
        if let Err(stop) = self.verdict() {
            return stop;
        }
        tokio::select! {
            () = changed => self.verdict().err().unwrap_or(Stop::Cancelled),
            () = tokio::time::sleep_until((self.deadline + self.extended()).into()) => Stop::Deadline,
        }
    }
}

/// A call that waits for a person.
pub(crate) struct Waiting<'c>(&'c Control);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waits.store(false, Ordering::Release);
    }
}

/// Why a running call was stopped from outside. Raised as a trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Cancelled,
    Deadline,
    Budget(Overspent),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => f.write_str("the call was cancelled"),
            Self::Deadline => f.write_str("the call ran into its deadline"),
            Self::Budget(overspent) => overspent.fmt(f),
        }
    }
}

impl std::error::Error for Stop {}

/// How a call ends without a result.
#[derive(Debug)]
pub(crate) enum End {
    /// It failed. A tool's caller reads that in the result.
    Failure(Failure),
    /// The component, or the protocol, answers with an error.
    Error(RpcError),
    /// It has to run again.
    Again(CallOutcome, Box<Asked>),
}

impl End {
    /// Appends the members that tell of this end: of a tool's result, or of an error.
    ///
    /// Shape: the outcome to report, and what a call that has to run again leaves to its next run.
    pub(crate) fn close(
        self,
        is_tool: bool,
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> (CallOutcome, Option<Box<Asked>>) {
        let error = match self {
            Self::Failure(failure) if is_tool => {
                failure.write(out);
                return (failure.outcome, None);
            }
            Self::Failure(failure) => RpcError::from_failure(&failure),
            Self::Error(error) => error,
            Self::Again(outcome, asked) => return (outcome, Some(asked)),
        };
        error.write(out, bytes_max);
        (CallOutcome::Error, None)
    }
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// Why a call has no result: the outcome, and the text that its caller reads.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) outcome: CallOutcome,
    pub(crate) text: String,
}

impl Failure {
    pub(crate) fn new(outcome: CallOutcome, text: impl Into<String>) -> Self {
        Self {
            outcome,
            text: text.into(),
        }
    }

    pub(crate) fn stopped(stop: Stop, limits: &Limits) -> Self {
        match stop {
            Stop::Cancelled => Self::cancelled(),
            Stop::Deadline => Self::deadline(limits),
            Stop::Budget(overspent) => Self::budget(overspent),
        }
    }

    fn budget(overspent: Overspent) -> Self {
        Self::new(CallOutcome::Budget, overspent.to_string())
    }

    pub(crate) fn cancelled() -> Self {
        Self::new(CallOutcome::Cancelled, Stop::Cancelled.to_string())
    }

    pub(crate) fn deadline(limits: &Limits) -> Self {
        Self::new(
            CallOutcome::Deadline,
            format!(
                "the tool was stopped at its deadline (limits.call_deadline, {:?} by default): ask it for less at a time, or raise the limit",
                limits.call_deadline
            ),
        )
    }

    pub(crate) fn output(limits: &Limits) -> Self {
        Self::new(
            CallOutcome::Output,
            format!(
                "the tool's result is larger than limits.output_bytes_max ({} bytes): ask it for less, or raise the limit",
                limits.output_bytes_max
            ),
        )
    }

    pub(crate) fn overloaded(what: &str) -> Self {
        Self::new(CallOutcome::Overloaded, format!("{what}; try again later"))
    }

    /// What an error of the runtime means for the caller.
    pub(crate) fn from_runtime(
        error: &wasmtime::Error,
        refused: Option<Refused>,
        limits: &Limits,
    ) -> Self {
        if let Some(stop) = error.downcast_ref::<Stop>() {
            return Self::stopped(*stop, limits);
        }
        if let Some(overspent) = error.downcast_ref::<Overspent>() {
            return Self::budget(*overspent);
        }
        if error.downcast_ref::<wasi::Flood>().is_some() {
            return Self::new(
                CallOutcome::Output,
                format!(
                    "the tool printed more than {PRINT_FLOOD_FACTOR} times limits.print_bytes_max ({} bytes) and was stopped: make it print less, or raise the limit",
                    limits.print_bytes_max
                ),
            );
        }
        if let Some(exited) = wasi::exited(error) {
            return Self::new(CallOutcome::Exited, exited.to_string());
        }
        match error.downcast_ref::<Trap>() {
            Some(Trap::StackOverflow) => Self::new(
                CallOutcome::Stack,
                format!(
                    "the tool recursed beyond its stack (limits.stack_bytes_max, {} bytes): give it simpler input, or raise the limit",
                    limits.stack_bytes_max
                ),
            ),
            Some(Trap::Interrupt) => Self::deadline(limits),
            trap => match refused {
                Some(refused) => Self::refused(refused, limits),
                None => Self::trap(error, trap.copied(), limits),
            },
        }
    }

    fn refused(refused: Refused, limits: &Limits) -> Self {
        match refused {
            Refused::Memory {
                wanted,
                budget: Some(budget),
            } => Self::new(
                CallOutcome::Memory,
                format!(
                    "the tool wanted {wanted} bytes of memory and may have {budget} (permissions.resources.memory_bytes): ask it for less, or raise it in the component's policy"
                ),
            ),
            Refused::Memory { wanted, .. } => Self::new(
                CallOutcome::Memory,
                format!(
                    "the tool wanted {wanted} bytes of memory and may have {} (limits.memory_bytes_max): ask it for less, or raise the limit",
                    limits.memory_bytes_max
                ),
            ),
            Refused::Table { wanted } => Self::new(
                CallOutcome::Table,
                format!(
                    "the tool wanted {wanted} table elements and may have {} (limits.table_elements_max): ask it for less, or raise the limit",
                    limits.table_elements_max
                ),
            ),
        }
    }

    fn trap(error: &wasmtime::Error, trap: Option<Trap>, limits: &Limits) -> Self {
        let text = match trap {
            Some(trap) => trap.to_string(),
            None => error.root_cause().to_string(),
        };
        // wasmtime raises these two without a type of their own.
        if text.contains("hostcall fuel") || text.contains("too much data") {
            return Self::new(
                CallOutcome::Output,
                format!(
                    "the tool handed over more than limits.hostcall_bytes_max ({} bytes) at once: ask it for less, or raise the limit",
                    limits.hostcall_bytes_max
                ),
            );
        }
        if text.contains("handle") && (text.contains("limit") || text.contains("maximum"))
            || text.contains("resource table has no free keys")
        {
            return Self::new(
                CallOutcome::Handles,
                format!(
                    "the tool holds more than limits.handle_count_max ({}) handles: ask it for less, or raise the limit",
                    limits.handle_count_max
                ),
            );
        }
        Self::new(CallOutcome::Trap, format!("the tool failed: {text}"))
    }

    /// Appends the members of the `CallToolResult` that tells of this failure.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#""content":[{"type":"text","text":"#);
        json::write_str(out, &self.text);
        out.extend_from_slice(br#"}],"isError":true"#);
    }
}
