//! One shard's instances: taken for a call in a fraction of a microsecond, made and disposed of when the shard has time.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use wasmtime::component::{ComponentNamedList, Func, Lower, Val};
use wasmtime::{PoolConcurrencyLimitError, Store, Trap};

use crate::limits::{Limits, SHARD_SLICE_TICKS};
use crate::mcp::Revision;

use super::call::{
    CallContext, CallOutcome, CallReport, CallTimings, CancelHandle, Control, End, Ending, Failure,
    Started, WORKERS_BUSY,
};
use super::delivery::{self, Driven, Receiver};
use super::host::{Caller, Job, Outbox};
use super::load::Component;
use super::mailbox::Mailbox;
use super::pulse::Beat;
use super::runtime::Runtime;
use super::store::{self, Lease, State};
use super::wit::{self, Text, TextResult};
use super::worker::{self, Work};

/// Used instances that may wait for disposal, at most and as a part of all; one more and the call that used it disposes of it.
const USED_MAX: usize = 64;
const USED_PART: usize = 16;

/// Time that one [`InstancePool::maintain`] may take, whatever its budget: large components take a millisecond each.
const MAINTAIN_NS_MAX: u64 = 300_000;

/// Linear memory that the ready instances of one component on one shard may start with, together: a language runtime's few tens
/// of megabytes each are not held by the dozen for calls that may not come.
const READY_MEMORY_BYTES_MAX: usize = 128 << 20;

/// How long a component may go without a call before its ready instances are halved in number.
const IDLE_NS: u64 = 10_000_000_000;

/// Calls in a row that outlived their slice before a tool's calls start on a worker at once.
const STRIKES: u8 = 3;

/// Places for the paces of jobs that are no plain functions: what falls on the same place is thought alike.
const JOB_PACES: usize = 64;

/// One in this many calls of such a tool starts on the shard again, to see whether it still is slow.
const PROBE_EVERY: u32 = 32;

/// How long an instance that is made ahead may take to start, once it turned out not to be quick.
const START_DEADLINE: Duration = Duration::from_secs(10);

/// Counters of one pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Instances ready now.
    pub ready: usize,
    /// Used instances that wait for disposal now.
    pub used: usize,
    /// Calls that found a ready instance.
    pub calls_ready: u64,
    /// Calls that had to make one.
    pub calls_fresh: u64,
    /// Calls that left the shard.
    pub calls_moved: u64,
    /// Calls refused because no instance or no worker was free.
    pub calls_refused: u64,
}

/// The instances of one shard.
pub struct InstancePool {
    runtime: Arc<Runtime>,
    mailbox: Arc<Mailbox>,
    /// Keeps the epoch clock going while a guest runs on this thread.
    beat: Beat,
    clock: quanta::Clock,
    /// A copy of its own: a count of references that all shards change would tie them together.
    limits: Arc<Limits>,
    /// Which of the components' copies are this shard's.
    place: usize,
    shelves: HashMap<u64, Shelf, BuildHasherDefault<IdHasher>>,
    used: Vec<Lease>,
    used_max: usize,
    /// Ready instances of all shelves.
    ready_count: usize,
    scratch: Vec<u8>,
    stats: PoolStats,
}

/// One component's instances.
struct Shelf {
    /// Kept alive from here, so that a refill counts no reference that all shards share.
    component: Arc<Component>,
    ready: Vec<Lease>,
    target: usize,
    /// What its memory allows; see [`READY_MEMORY_BYTES_MAX`].
    ready_max: usize,
    /// Instances taken since the last maintenance.
    taken: usize,
    /// Clock reading of the last call.
    used_at: u64,
    /// Whether instances can be made on this thread.
    refills: bool,
    /// Whether the catalogue in force has the component. One that it has not is let go once its last call is a while ago.
    followed: bool,
    tools: Vec<Pace>,
    /// Of jobs that are no plain functions, by what they are about; nothing for components that have none.
    jobs: Vec<Pace>,
}

/// Whether a tool's calls tend to outlive their slice.
#[derive(Clone, Copy, Default)]
struct Pace {
    strikes: u8,
    calls: u32,
}

impl Pace {
    fn starts_here(&mut self) -> bool {
        if self.strikes < STRIKES {
            return true;
        }
        self.calls = self.calls.wrapping_add(1);
        self.calls.is_multiple_of(PROBE_EVERY)
    }

    fn note(&mut self, slow: bool) {
        self.strikes = if slow {
            self.strikes.saturating_add(1)
        } else {
            0
        };
    }
}

/// Where the pace of a job is kept.
#[derive(Clone, Copy)]
enum PaceIndex {
    /// With the plain functions.
    Tool(usize),
    /// With the other jobs.
    Job(usize),
}

/// How a call on this thread ended.
enum Ended {
    Here(Result<CallOutcome, Failure>),
    /// Its slice was over before it was.
    SliceOver,
}

impl InstancePool {
    pub(super) fn new(runtime: Arc<Runtime>, mailbox: Arc<Mailbox>) -> Self {
        let used_max = (runtime.limits.instance_count_max / USED_PART).clamp(1, USED_MAX);
        let place = runtime.pools_made.fetch_add(1, Ordering::Relaxed);
        runtime.pool_count.fetch_add(1, Ordering::Relaxed);
        Self {
            clock: runtime.clock.clone(),
            limits: Arc::new(Limits::clone(&runtime.limits)),
            beat: runtime.traffic.pulse().beat(),
            runtime,
            mailbox,
            place,
            shelves: HashMap::default(),
            used: Vec::with_capacity(USED_MAX),
            used_max,
            ready_count: 0,
            scratch: Vec::new(),
            stats: PoolStats::default(),
        }
    }

    /// Learns which components there are: gives up the instances of all others, and will have one of each ready.
    pub fn follow(&mut self, components: &[Arc<Component>]) {
        self.shelves
            .retain(|id, _| components.iter().any(|component| component.id() == *id));
        for component in components {
            self.shelf(component).followed = true;
        }
        self.count_ready();
    }

    /// Calls a tool. It either ends here, or goes on elsewhere.
    ///
    /// Shape: `arguments` is the text of a JSON object; what is appended to `out` are the members of a `CallToolResult`, without
    /// the braces: `"content":[…],"structuredContent":{…}` or `"content":[…],"isError":true`.
    pub fn call(
        &mut self,
        component: &Arc<Component>,
        tool_index: usize,
        arguments: Option<&[u8]>,
        call: CallContext,
        out: &mut Vec<u8>,
    ) -> Started {
        self.beat.enter();
        let started = self.start(component, tool_index, arguments, call, out);
        self.beat.leave();
        started
    }

    fn start(
        &mut self,
        component: &Arc<Component>,
        tool_index: usize,
        arguments: Option<&[u8]>,
        call: CallContext,
        out: &mut Vec<u8>,
    ) -> Started {
        let arguments = match arguments {
            None | Some(b"null") => b"{}",
            Some(text) => text,
        };
        let now = self.clock.raw();
        let shelf = self.shelf(component);
        shelf.used_at = now;
        if component.runs_on_fibers() {
            let caller = component
                .is_host_aware()
                .then(|| Arc::new(Caller::silent("tools/call", Revision::MODERN)));
            let job = Job::Function {
                tool_index,
                arguments: arguments.to_vec(),
            };
            return self.call_on_fiber(component, job, caller, call, out);
        }
        let starts_here = component.starts_quickly() && shelf.tools[tool_index].starts_here();
        let mut timings = CallTimings::default();
        if starts_here {
            let start = out.len();
            let ended = self.call_here(component, tool_index, arguments, &mut timings, out);
            let slow = matches!(ended, Ended::SliceOver);
            self.shelf(component).tools[tool_index].note(slow);
            if let Ended::Here(result) = ended {
                let outcome = result.unwrap_or_else(|failure| {
                    out.truncate(start);
                    failure.write(out);
                    failure.outcome
                });
                self.stats.calls_refused += u64::from(outcome == CallOutcome::Overloaded);
                return Started::Done(CallReport::new(outcome, timings));
            }
        }
        // Nothing it imports, nothing it can have changed: it starts again where it disturbs nobody.
        self.call_elsewhere(component, tool_index, arguments, call, out)
    }

    /// An outbox for the call with this ticket: what is put there is signalled in this pool's mailbox.
    pub fn outbox(&self, ticket: u64) -> Arc<Outbox> {
        Outbox::new(ticket, &self.mailbox, &self.limits)
    }

    /// Asks a host-aware component for something. It either ends here, or goes on elsewhere.
    ///
    /// Shape: what is appended to `out` are the members of the method's result, without the braces, or those of an error:
    /// see [`CallOutcome`].
    pub fn invoke(
        &mut self,
        component: &Arc<Component>,
        job: Job,
        caller: Arc<Caller>,
        call: CallContext,
        out: &mut Vec<u8>,
    ) -> Started {
        self.mailbox.forget_ended();
        self.beat.enter();
        let started = self.call_on_fiber(component, job, Some(caller), call, out);
        self.beat.leave();
        started
    }

    /// Makes ready what calls will need and disposes of what they used: at most `budget` instances, and at most a third of a
    /// millisecond. To be called when the shard has nothing else to do, and each few turns when it always has.
    ///
    /// Shape: whether work is left.
    pub fn maintain(&mut self, budget: usize) -> bool {
        let started = self.clock.raw();
        let over =
            |pool: &Self| pool.clock.delta_as_nanos(started, pool.clock.raw()) > MAINTAIN_NS_MAX;
        self.settle(started);
        let mut left = budget;
        while left > 0 {
            let disposed = self.used.pop().is_some();
            let made = self.refill_one();
            if !disposed && !made {
                return false;
            }
            left -= 1;
            if over(self) {
                break;
            }
        }
        !self.used.is_empty() || self.shelves.values().any(|shelf| shelf.wants_more())
    }

    /// The counters as they are now.
    pub fn stats(&self) -> PoolStats {
        PoolStats {
            ready: self.ready_count,
            used: self.used.len(),
            ..self.stats
        }
    }

    /// The mailbox in which calls that left this shard end.
    pub fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    fn shelf(&mut self, component: &Arc<Component>) -> &mut Shelf {
        self.shelves
            .entry(component.id())
            .or_insert_with(|| Shelf::new(component))
    }

    fn call_here(
        &mut self,
        component: &Arc<Component>,
        tool_index: usize,
        arguments: &[u8],
        timings: &mut CallTimings,
        out: &mut Vec<u8>,
    ) -> Ended {
        let tool = component.tool(tool_index);
        match tool.plan().text() {
            Some(text) => {
                let mut scratch = std::mem::take(&mut self.scratch);
                let ended = self.call_text(
                    component,
                    tool_index,
                    text,
                    arguments,
                    &mut scratch,
                    timings,
                    out,
                );
                self.scratch = scratch;
                ended
            }
            None => self.call_values(component, tool_index, arguments, timings, out),
        }
    }

    fn call_text(
        &mut self,
        component: &Arc<Component>,
        tool_index: usize,
        text: Text,
        arguments: &[u8],
        scratch: &mut Vec<u8>,
        timings: &mut CallTimings,
        out: &mut Vec<u8>,
    ) -> Ended {
        let tool = component.tool(tool_index);
        let (clock, limits) = (self.clock.clone(), Arc::clone(&self.limits));
        let started = clock.raw();
        let params = match tool
            .plan()
            .decode_text(arguments, limits.json_depth_max, scratch)
        {
            Ok(params) => params,
            Err(error) => {
                return Ended::Here(Err(Failure::new(
                    CallOutcome::BadArguments,
                    error.to_string(),
                )));
            }
        };
        let decoded = clock.raw();
        let (mut lease, function) = match self.take(component, tool_index) {
            Ok(taken) => taken,
            Err(ended) => return ended,
        };
        let ready = clock.raw();
        let answer = call_typed(function, &mut lease.store, text, &params);
        let executed = clock.raw();
        let ended = match answer {
            Ok(answer) => {
                let answer = answer.as_deref().map_err(AsRef::as_ref);
                let written = wit::write_text_answer(
                    out,
                    text.result,
                    answer,
                    limits.output_bytes_max,
                    scratch,
                );
                Ended::Here(written.map_err(|_| Failure::output(&limits)))
            }
            Err(error) => ended_by(&error, &lease, &limits),
        };
        timings.lookup_ns = clock.delta_as_nanos(started, decoded);
        timings.instantiate_ns = clock.delta_as_nanos(decoded, ready);
        timings.execute_ns = clock.delta_as_nanos(ready, executed);
        timings.encode_ns = clock.delta_as_nanos(executed, clock.raw());
        self.put_used(lease);
        ended
    }

    fn call_values(
        &mut self,
        component: &Arc<Component>,
        tool_index: usize,
        arguments: &[u8],
        timings: &mut CallTimings,
        out: &mut Vec<u8>,
    ) -> Ended {
        let tool = component.tool(tool_index);
        let (clock, limits) = (self.clock.clone(), Arc::clone(&self.limits));
        let started = clock.raw();
        let params = match tool.plan().decode(arguments, limits.json_depth_max) {
            Ok(params) => params,
            Err(error) => {
                return Ended::Here(Err(Failure::new(
                    CallOutcome::BadArguments,
                    error.to_string(),
                )));
            }
        };
        let decoded = clock.raw();
        let (mut lease, function) = match self.take(component, tool_index) {
            Ok(taken) => taken,
            Err(ended) => return ended,
        };
        let ready = clock.raw();
        let mut results = [Val::Bool(false)];
        let count = usize::from(tool.plan().has_result());
        let called = function.call(&mut lease.store, &params, &mut results[..count]);
        let executed = clock.raw();
        let ended = match called {
            Ok(()) => {
                let answer = tool.plan().answer(results[..count].first());
                let written = wit::write_answer(out, &answer, limits.output_bytes_max);
                Ended::Here(written.map_err(|_| Failure::output(&limits)))
            }
            Err(error) => ended_by(&error, &lease, &limits),
        };
        timings.lookup_ns = clock.delta_as_nanos(started, decoded);
        timings.instantiate_ns = clock.delta_as_nanos(decoded, ready);
        timings.execute_ns = clock.delta_as_nanos(ready, executed);
        timings.encode_ns = clock.delta_as_nanos(executed, clock.raw());
        self.put_used(lease);
        ended
    }

    /// An instance for one call of this tool, with a slice to spend.
    fn take(
        &mut self,
        component: &Arc<Component>,
        tool_index: usize,
    ) -> Result<(Lease, Func), Ended> {
        let mut lease = match self.take_ready(component) {
            Some(lease) => lease,
            None => self.instantiate(component)?,
        };
        lease.store.set_epoch_deadline(SHARD_SLICE_TICKS);
        let export = component.at(self.place).export(tool_index);
        match lease.instance.get_func(&mut lease.store, export) {
            Some(function) => Ok((lease, function)),
            None => Err(Ended::Here(Err(Failure::new(
                CallOutcome::Trap,
                "the tool failed: the component does not export what it declared",
            )))),
        }
    }

    fn take_ready(&mut self, component: &Arc<Component>) -> Option<Lease> {
        let shelf = self.shelf(component);
        let lease = shelf.ready.pop();
        if lease.is_some() {
            shelf.taken += 1;
            self.ready_count -= 1;
            self.stats.calls_ready += 1;
        } else {
            // Demand that was not met counts double.
            shelf.target += 1;
            self.stats.calls_fresh += 1;
        }
        lease
    }

    fn instantiate(&mut self, component: &Arc<Component>) -> Result<Lease, Ended> {
        for retry in [true, false] {
            let mut store = store::store(component, self.place, &self.limits);
            let error = match component.at(self.place).pre().instantiate(&mut store) {
                Ok(instance) => return Ok(Lease { store, instance }),
                Err(error) => error,
            };
            if error.downcast_ref::<Trap>() == Some(&Trap::Interrupt) {
                return Err(Ended::SliceOver);
            }
            if !error.is::<PoolConcurrencyLimitError>() {
                let refused = store.data().limiter.refused();
                return Err(Ended::Here(Err(Failure::from_runtime(
                    &error,
                    refused,
                    &self.limits,
                ))));
            }
            if retry {
                self.give_up_idle(component.id());
            }
        }
        Err(Ended::Here(Err(Failure::overloaded(
            "all component instances are in use (limits.instance_count_max)",
        ))))
    }

    /// Frees every instance of this shard that serves nobody, but for one component's.
    fn give_up_idle(&mut self, except: u64) {
        self.used.clear();
        for (id, shelf) in &mut self.shelves {
            if *id != except {
                shelf.ready.clear();
                shelf.taken = 0;
                shelf.target = 0;
            }
        }
        self.count_ready();
    }

    fn count_ready(&mut self) {
        self.ready_count = self.shelves.values().map(|shelf| shelf.ready.len()).sum();
    }

    fn put_used(&mut self, lease: Lease) {
        if self.used.len() < self.used_max {
            self.used.push(lease);
        }
    }

    fn call_on_fiber(
        &mut self,
        component: &Arc<Component>,
        job: Job,
        caller: Option<Arc<Caller>>,
        call: CallContext,
        out: &mut Vec<u8>,
    ) -> Started {
        let now = self.clock.raw();
        let shelf = self.shelf(component);
        shelf.used_at = now;
        let pace_index = Shelf::pace_index(&job);
        let is_quick = shelf.pace(pace_index).is_none_or(Pace::starts_here);
        let starts_here = component.starts_quickly() && is_quick;
        let is_tool = job.is_tool();
        let live = self
            .runtime
            .live
            .find(component, caller.as_deref(), self.runtime.workers());
        let live = match live {
            Ok(live) => live,
            Err(failure) => return self.refused(failure, is_tool, out),
        };
        let lease = match live {
            Some(_) => None,
            None => self.take_ready(component),
        };
        let work = Work {
            caller: caller.filter(|_| component.is_host_aware()),
            live,
            lease,
            ..self.work(component, job, call)
        };
        let control = Arc::clone(&work.control);
        let mut driven: Driven = Box::pin(worker::run(work, self.clock.clone()));
        if starts_here {
            // Timers and blocking operations that the guest starts belong to the workers: the call may go on there.
            let _entered = self.runtime.workers().enter();
            let polled = driven
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
            // One that waits for a person is not slow.
            let is_slow = polled.is_pending() && !control.waits();
            if let Some(pace) = self.shelf(component).pace(pace_index) {
                pace.note(is_slow);
            }
            if let Poll::Ready(ending) = polled {
                return self.ended_here(ending, out);
            }
        }
        self.send_elsewhere(driven, control, call, out, is_tool, starts_here)
    }

    fn ended_here(&mut self, ending: Ending, out: &mut Vec<u8>) -> Started {
        let Ending {
            members,
            report,
            asked,
        } = ending;
        match asked {
            Some(asked) => Started::Asked(asked, report),
            None => {
                out.extend_from_slice(&members);
                Started::Done(report)
            }
        }
    }

    fn refused(&mut self, failure: Failure, is_tool: bool, out: &mut Vec<u8>) -> Started {
        self.stats.calls_refused += 1;
        let (outcome, _) = End::Failure(failure).close(is_tool, self.limits.output_bytes_max, out);
        Started::Done(CallReport::new(outcome, CallTimings::default()))
    }

    fn call_elsewhere(
        &mut self,
        component: &Arc<Component>,
        tool_index: usize,
        arguments: &[u8],
        call: CallContext,
        out: &mut Vec<u8>,
    ) -> Started {
        let job = Job::Function {
            tool_index,
            arguments: arguments.to_vec(),
        };
        let work = self.work(component, job, call);
        let control = Arc::clone(&work.control);
        let driven = Box::pin(worker::run(work, self.clock.clone()));
        self.send_elsewhere(driven, control, call, out, true, false)
    }

    fn work(&self, component: &Arc<Component>, job: Job, call: CallContext) -> Work {
        Work {
            component: Arc::clone(component),
            place: self.place,
            job,
            caller: None,
            control: Control::new(call.deadline),
            limits: Arc::clone(&self.limits),
            traffic: Arc::clone(&self.runtime.traffic),
            exchange: Arc::clone(&self.runtime.exchange),
            lease: None,
            live: None,
        }
    }

    fn send_elsewhere(
        &mut self,
        driven: Driven,
        control: Arc<Control>,
        call: CallContext,
        out: &mut Vec<u8>,
        is_tool: bool,
        has_begun: bool,
    ) -> Started {
        let (workers, traffic) = (self.runtime.workers(), &self.runtime.traffic);
        let Some(permit) = traffic.permit() else {
            if has_begun {
                // It must not be dropped half way: it is told to stop, and ends unheard within a tick or two.
                control.cancel();
                delivery::finish_unheard(workers, traffic, async move {
                    driven.await;
                });
            }
            return self.refused(
                Failure::new(CallOutcome::Overloaded, WORKERS_BUSY),
                is_tool,
                out,
            );
        };
        self.stats.calls_moved += 1;
        let receiver = Receiver::Shard {
            mailbox: Arc::clone(&self.mailbox),
            ticket: call.ticket,
        };
        delivery::finish_elsewhere(workers, traffic, driven, is_tool, receiver, permit);
        Started::Moved(CancelHandle { control })
    }

    /// Adapts each component's number of ready instances to the demand since the last time.
    fn settle(&mut self, now: u64) {
        let (clock, ready_max) = (&self.clock, self.limits.instance_ready_max);
        let ready_count = &mut self.ready_count;
        self.shelves.retain(|_, shelf| {
            let ready_max = ready_max.min(shelf.ready_max).max(1);
            shelf.target = shelf.target.max(shelf.taken * 2).clamp(1, ready_max);
            shelf.taken = 0;
            if clock.delta_as_nanos(shelf.used_at, now) > IDLE_NS {
                if !shelf.followed {
                    *ready_count -= shelf.ready.len();
                    return false;
                }
                shelf.used_at = now;
                shelf.target = (shelf.target / 2).max(1);
            }
            *ready_count -= shelf.ready.len().saturating_sub(shelf.target);
            shelf.ready.truncate(shelf.target);
            true
        });
    }

    /// Makes one instance for the component that lacks most; false when none lacks any.
    fn refill_one(&mut self) -> bool {
        // At most half of the slots may be taken by instances that serve nobody. Each pool has its part of them: one count that all
        // pools change with each call would tie their threads together.
        let pool_count = self.runtime.pool_count.load(Ordering::Relaxed).max(1);
        if self.ready_count >= (self.limits.instance_count_max / 2 / pool_count).max(1) {
            return false;
        }
        let Some(shelf) = self
            .shelves
            .values_mut()
            .filter(|shelf| shelf.wants_more())
            .max_by_key(|shelf| shelf.lack())
        else {
            return false;
        };
        self.beat.enter();
        let made = make(&self.runtime, self.place, &self.limits, &shelf.component);
        self.beat.leave();
        match made {
            Some(lease) => {
                shelf.ready.push(lease);
                self.ready_count += 1;
            }
            // It is not quick after all, or there is no slot: its calls make their own.
            None => {
                shelf.target = shelf.ready.len();
                shelf.refills = shelf.refills && shelf.component.starts_quickly();
            }
        }
        true
    }
}

impl Drop for InstancePool {
    fn drop(&mut self) {
        self.runtime.pool_count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for InstancePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstancePool")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Shelf {
    fn new(component: &Arc<Component>) -> Self {
        Self {
            component: Arc::clone(component),
            ready: Vec::new(),
            target: 1,
            ready_max: READY_MEMORY_BYTES_MAX / component.initial_memory_bytes().max(1),
            taken: 0,
            used_at: 0,
            // The one of a singleton is not made here.
            refills: component.starts_quickly() && component.singleton().is_none(),
            followed: false,
            tools: vec![Pace::default(); component.tools().len()],
            jobs: match component.is_host_aware() {
                true => vec![Pace::default(); JOB_PACES],
                false => Vec::new(),
            },
        }
    }

    /// Where the pace of a job is kept.
    fn pace_index(job: &Job) -> PaceIndex {
        let mut hasher = DefaultHasher::new();
        match job {
            Job::Function { tool_index, .. } => return PaceIndex::Tool(*tool_index),
            Job::CallTool { name, .. } => (0, name).hash(&mut hasher),
            Job::GetPrompt { name, .. } => (1, name).hash(&mut hasher),
            Job::ReadResource { .. } => 2.hash(&mut hasher),
            Job::Subscribe { .. } => 3.hash(&mut hasher),
            Job::Complete { .. } => 4.hash(&mut hasher),
        }
        PaceIndex::Job(hasher.finish() as usize % JOB_PACES)
    }

    fn pace(&mut self, index: PaceIndex) -> Option<&mut Pace> {
        match index {
            PaceIndex::Tool(index) => self.tools.get_mut(index),
            PaceIndex::Job(index) => self.jobs.get_mut(index),
        }
    }

    fn wants_more(&self) -> bool {
        self.refills && self.ready.len() < self.target
    }

    fn lack(&self) -> usize {
        self.target.saturating_sub(self.ready.len())
    }
}

fn ended_by(error: &wasmtime::Error, lease: &Lease, limits: &Limits) -> Ended {
    if error.downcast_ref::<Trap>() == Some(&Trap::Interrupt) {
        return Ended::SliceOver;
    }
    Ended::Here(Err(worker::failure(error, lease, limits)))
}

/// Makes an instance ahead of its call.
fn make(
    runtime: &Runtime,
    place: usize,
    limits: &Arc<Limits>,
    component: &Arc<Component>,
) -> Option<Lease> {
    if !component.has_imports() {
        let mut store = store::store(component, place, limits);
        let instance = component.at(place).pre().instantiate(&mut store).ok()?;
        return Some(Lease { store, instance });
    }
    let (component, limits, traffic) = (
        Arc::clone(component),
        Arc::clone(limits),
        Arc::clone(&runtime.traffic),
    );
    let control = Control::new(std::time::Instant::now() + START_DEADLINE);
    let mut starting = Box::pin(async move {
        worker::instantiate(&component, place, &limits, &traffic, &control)
            .await
            .ok()
    });
    let entered = runtime.workers().enter();
    match starting
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(lease) => lease,
        Poll::Pending => {
            drop(entered);
            delivery::finish_unheard(runtime.workers(), &runtime.traffic, async move {
                starting.await;
            });
            None
        }
    }
}

type TextAnswer = Result<String, String>;

fn call_typed(
    function: Func,
    store: &mut Store<State>,
    text: Text,
    params: &[&str],
) -> wasmtime::Result<TextAnswer> {
    match *params {
        [] => call_with(function, store, text.result, ()),
        _ if text.param_count == 0 => call_with(function, store, text.result, ()),
        [first, ..] if text.param_count == 1 => call_with(function, store, text.result, (first,)),
        [first, second, ..] if text.param_count == 2 => {
            call_with(function, store, text.result, (first, second))
        }
        [first, second, third] => call_with(function, store, text.result, (first, second, third)),
        _ => Err(wasmtime::Error::msg("a text plan with too many parameters")),
    }
}

fn call_with<P>(
    function: Func,
    store: &mut Store<State>,
    result: TextResult,
    params: P,
) -> wasmtime::Result<TextAnswer>
where
    P: ComponentNamedList + Lower,
{
    match result {
        TextResult::Plain => {
            let (answer,) = function
                .typed::<P, (String,)>(&*store)?
                .call(store, params)?;
            Ok(Ok(answer))
        }
        TextResult::Fallible => {
            let (answer,) = function
                .typed::<P, (Result<String, String>,)>(&*store)?
                .call(store, params)?;
            Ok(answer)
        }
    }
}

/// Component ids are consecutive numbers: they are their own hash.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, id: u64) {
        // The table takes its bucket from the low bits and its tag from the high ones.
        self.0 = id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
