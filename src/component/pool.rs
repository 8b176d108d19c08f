//! One shard's instances: taken for a call in a fraction of a microsecond, made and disposed of when the shard has time.

mod fiber;
mod here;
mod shelf;

use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasherDefault;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::limits::Limits;
use crate::mcp::Revision;

use super::call::{CallContext, CallOutcome, CallReport, CallTimings, Control, Started};
use super::delivery;
use super::host::{Caller, Job, Outbox};
use super::load::Component;
use super::mailbox::Mailbox;
use super::pulse::Beat;
use super::runtime::Runtime;
use super::store::{self, Lease};
use super::worker::{self, Bounds};
use here::Ended;
use shelf::{IdHasher, Shelf};

/// Used instances that may wait for disposal, at most and as a part of all; one more and the call that used it disposes of it.
const USED_MAX: usize = 64;
const USED_PART: usize = 16;

/// Time that one [`InstancePool::maintain`] may take, whatever its budget: large components take a millisecond each.
const MAINTAIN_NS_MAX: u64 = 300_000;

/// How long a component may go without a call before its ready instances are halved in number.
const IDLE_NS: u64 = 10_000_000_000;

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
        // An instance that is ready has the component's bound of memory, and not a caller's.
        let is_bound = call
            .behalf
            .as_ref()
            .is_some_and(|behalf| behalf.budgets.memory_bytes.is_some());
        let starts_here =
            component.starts_quickly() && !is_bound && shelf.tools[tool_index].starts_here();
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
        self.call_elsewhere(component, tool_index, arguments, &call, out)
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

/// Makes an instance ahead of its call.
fn make(
    runtime: &Runtime,
    place: usize,
    limits: &Arc<Limits>,
    component: &Arc<Component>,
) -> Option<Lease> {
    if !component.has_imports() {
        let mut store = store::store(component, place, limits, None);
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
        let bounds = Bounds::new(&control, &limits, &traffic);
        let made = worker::instantiate(&component, place, &bounds, None).await;
        made.ok()
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
