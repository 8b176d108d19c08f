//! Calls on fibers: those of components with imports, and those that outlived their first slice on a shard.
//!
//! A fiber yields each epoch tick, looks at the call's [`Control`] there, and traps if the call must end; the future that
//! drives it is therefore always driven to its end and never dropped half way. Worker threads share them fairly: a spinning
//! guest goes to the back of the queue each millisecond.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::MutexGuard;
use wasmtime::PoolConcurrencyLimitError;
use wasmtime::component::Val;

use crate::limits::Limits;
use crate::wire::json;

use super::call::{CallOutcome, CallReport, CallTimings, Control, End, Ending, Failure};
use super::grant::{Behalf, metered};
use super::host::{Answered, Caller, Conversation, Definitions, Exchange, Job, Opening, Service};
use super::live::{LOST, Live};
use super::load::Component;
use super::store::{Lease, attend, store};
use super::traffic::Traffic;
use super::wit;

/// How often a call on a worker looks for an instance slot, and how long it waits between.
const SLOT_ATTEMPTS: usize = 5;
const SLOT_PAUSE: Duration = Duration::from_millis(2);

/// Why a call on a living instance cannot end with questions: the end of a run is the end of its instance.
const LIVES_ON: &str =
    "its answers would need this call to end, and the component's instance lives on";

/// Why a call is refused on a living instance that was started for somebody who may see more.
const SEEN_TOO_MUCH: &str = "this component's instance serves several callers, and was shown variables that your permissions do not include: ask the operator for them, or for `instances: fresh`";

/// Why a request cannot be answered with questions.
const MAY_NOT_ASK: &str = "a request of this method cannot be answered with questions";

/// What a call on a fiber needs; all of it owned, because the call may change threads.
pub(crate) struct Work {
    pub(crate) component: Arc<Component>,
    /// The place of the shard that the call came to.
    pub(crate) place: usize,
    pub(crate) job: Job,
    /// Who calls, for a component that has to do with that.
    pub(crate) caller: Option<Arc<Caller>>,
    /// For whom the call is made.
    pub(crate) behalf: Option<Arc<Behalf>>,
    pub(crate) control: Arc<Control>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) exchange: Arc<Exchange>,
    /// An instance that was ready; one is made if there is none.
    pub(crate) lease: Option<Lease>,
    /// The living instance that serves the call.
    pub(crate) live: Option<Arc<Live>>,
}

/// Runs the call to its end. Its instance is gone, or at rest, when this returns.
pub(crate) async fn run(work: Work, clock: quanta::Clock) -> Ending {
    let mut out = Vec::new();
    let mut timings = CallTimings::default();
    let (is_tool, limits) = (work.job.is_tool(), Arc::clone(&work.limits));
    let outbox = work
        .caller
        .as_ref()
        .and_then(|caller| caller.outbox.clone());
    let ended = drive(work, &clock, &mut timings, &mut out).await;
    if let Some(outbox) = outbox {
        outbox.end();
    }
    match ended {
        Ok(Answered {
            outcome,
            meta_bytes,
        }) => Ending {
            members: out,
            report: CallReport {
                outcome,
                timings,
                meta_bytes,
            },
            asked: None,
        },
        Err(end) => {
            out.clear();
            let (outcome, asked) = end.close(is_tool, limits.output_bytes_max, &mut out);
            Ending {
                members: out,
                report: CallReport::new(outcome, timings),
                asked,
            }
        }
    }
}

async fn drive(
    work: Work,
    clock: &quanta::Clock,
    timings: &mut CallTimings,
    out: &mut Vec<u8>,
) -> Result<Answered, End> {
    let Work {
        component,
        place,
        job,
        caller,
        behalf,
        control,
        limits,
        traffic,
        exchange,
        lease,
        live,
    } = work;
    let started = clock.raw();
    let params = decode(&component, &job, &limits)?;
    let decoded = clock.raw();
    timings.lookup_ns = clock.delta_as_nanos(started, decoded);
    control
        .verdict()
        .map_err(|stop| Failure::from_runtime(&wasmtime::Error::new(stop), None, &limits))?;
    if let Some(cpu_time_ms) = component.guard().budgets(behalf.as_deref()).cpu_time_ms {
        control.bound_cpu(cpu_time_ms);
    }
    let bounds = Bounds::new(&control, &limits, &traffic);
    let place = live.as_ref().map_or(place, |live| live.place);
    let taken = Held::take(
        &component,
        place,
        live.as_deref(),
        lease,
        behalf.as_ref(),
        &bounds,
    );
    let mut held = metered(&control, taken).await?;
    if let Some(caller) = &caller {
        let never_ends = match live.is_some() {
            true => Some(LIVES_ON),
            false => (!job.may_ask_by_ending()).then_some(MAY_NOT_ASK),
        };
        held.open(Opening {
            caller: Arc::clone(caller),
            exchange,
            limits: Arc::clone(&limits),
            control: Arc::clone(&control),
            traffic: Arc::clone(&traffic),
            component_id: component.id(),
            never_ends,
            is_listing: false,
        });
    }
    let ready = clock.raw();
    timings.instantiate_ns = clock.delta_as_nanos(decoded, ready);
    let lease = &mut held.lease;
    let done = match (&job, params, &caller) {
        (Job::Function { tool_index, .. }, Some(params), _) => {
            let called = call(lease, &component, place, *tool_index, &params);
            let called = metered(&control, called).await;
            called.map(|value| Ok(Done::Value(*tool_index, value)))
        }
        (job, _, Some(caller)) => {
            let service = Service {
                exports: component.at(place).exports(),
                component: &component,
                caller,
                limits: &limits,
            };
            let answered = metered(&control, service.run(lease, job, out)).await;
            answered.map(|answered| answered.map(Done::Answered))
        }
        _ => Ok(Err(Failure::new(
            CallOutcome::Trap,
            "the call has no caller",
        )
        .into())),
    };
    let executed = clock.raw();
    timings.execute_ns = clock.delta_as_nanos(ready, executed);
    let refused = held.lease.store.data().told();
    let done = match done {
        Ok(done) => {
            // The instance goes back to its pool, or to its next caller, before this one hears of the end.
            held.let_go();
            done?
        }
        Err(error) => return Err(end(&error, held.lease, live.is_some(), &limits)),
    };
    let start = out.len();
    let answered = done.write(&component, &limits, out)?;
    if let (CallOutcome::ToolError, Some(refused)) = (answered.outcome, refused) {
        tell(out, start, &refused);
    }
    timings.encode_ns = clock.delta_as_nanos(executed, clock.raw());
    Ok(answered)
}

/// What bounds a call.
pub(crate) struct Bounds<'c> {
    control: &'c Arc<Control>,
    limits: &'c Limits,
    traffic: &'c Arc<Traffic>,
}

impl<'c> Bounds<'c> {
    pub(crate) fn new(
        control: &'c Arc<Control>,
        limits: &'c Limits,
        traffic: &'c Arc<Traffic>,
    ) -> Self {
        Self {
            control,
            limits,
            traffic,
        }
    }
}

/// An instance for one call: its own, or a living one in its turn.
struct Held<'l> {
    lease: Lease,
    turn: Option<(&'l Live, MutexGuard<'l, Option<Lease>>)>,
}

impl<'l> Held<'l> {
    /// Waits for the turn, and makes the instance where there is none.
    async fn take(
        component: &Component,
        place: usize,
        live: Option<&'l Live>,
        ready: Option<Lease>,
        behalf: Option<&Arc<Behalf>>,
        bounds: &Bounds<'_>,
    ) -> Result<Self, Failure> {
        let Bounds {
            control,
            limits,
            traffic,
        } = bounds;
        let mut turn = match live {
            Some(live) => Some((live, live.enter(control, traffic, limits).await?)),
            None => None,
        };
        let living = turn.as_mut().and_then(|(_, lease)| lease.take());
        let mut lease = match living.or(ready) {
            Some(lease) => lease,
            None => instantiate(component, place, bounds, behalf).await?,
        };
        if !lease.store.data().suits(behalf.map(AsRef::as_ref)) {
            if let Some((_, turn)) = &mut turn {
                **turn = Some(lease);
            }
            return Err(Failure::new(CallOutcome::ToolError, SEEN_TOO_MUCH));
        }
        attend(&mut lease.store, control, traffic);
        lease.store.data_mut().begin(behalf, control);
        Ok(Self { lease, turn })
    }

    fn open(&mut self, opening: Opening) {
        self.lease.store.data_mut().conversation = Some(Conversation::open(opening));
    }

    /// Gives a living instance back, with nothing left of the call; any other is gone.
    fn let_go(self) {
        let Self { mut lease, turn } = self;
        if let Some((live, mut turn)) = turn {
            lease.store.data_mut().rest();
            *turn = Some(lease);
            drop(turn);
            live.leave();
        }
    }
}

/// What the guest gave.
enum Done {
    /// A plain function's value, to be written.
    Value(usize, Option<Val>),
    /// Members that are written.
    Answered(Answered),
}

impl Done {
    fn write(
        self,
        component: &Component,
        limits: &Limits,
        out: &mut Vec<u8>,
    ) -> Result<Answered, Failure> {
        let (tool_index, value) = match self {
            Self::Answered(answered) => return Ok(answered),
            Self::Value(tool_index, value) => (tool_index, value),
        };
        let answer = component.tool(tool_index).plan().answer(value.as_ref());
        let outcome = wit::write_answer(out, &answer, limits.output_bytes_max)
            .map_err(|_| Failure::output(limits))?;
        Ok(Answered {
            outcome,
            meta_bytes: 0,
        })
    }
}

/// A plain function's arguments as component values; none for other jobs.
fn decode(component: &Component, job: &Job, limits: &Limits) -> Result<Option<Vec<Val>>, Failure> {
    let Job::Function {
        tool_index,
        arguments,
    } = job
    else {
        return Ok(None);
    };
    let arguments = match arguments.as_slice() {
        b"null" => b"{}",
        text => text,
    };
    let plan = component.tool(*tool_index).plan();
    let decoded = plan.decode(arguments, limits.json_depth_max);
    let params =
        decoded.map_err(|error| Failure::new(CallOutcome::BadArguments, error.to_string()))?;
    Ok(Some(params))
}

/// How a call ends whose guest trapped, by its own doing or because a host function ended it.
fn end(error: &wasmtime::Error, mut lease: Lease, is_live: bool, limits: &Limits) -> End {
    let conversation = lease.store.data_mut().conversation.as_mut();
    let decided = conversation.and_then(|conversation| conversation.take_end());
    let mut end = decided.unwrap_or_else(|| failure(error, &lease, limits).into());
    if let End::Failure(failure) = &mut end {
        if let Some(refused) = lease.store.data().told() {
            failure.text.push_str("; ");
            failure.text.push_str(&refused);
        }
        if is_live {
            failure.text.push_str(LOST);
        }
    }
    end
}

/// Adds to a tool's own error, which says at most that something was refused, what it was and by which rule.
fn tell(out: &mut Vec<u8>, start: usize, refused: &str) {
    // Quotation marks of the text itself are escaped: the first of these ends it.
    const END_OF_TEXT: &[u8] = br#""}],"structuredContent""#;
    let Some(at) = memchr::memmem::find(&out[start..], END_OF_TEXT) else {
        return;
    };
    let rest = out.split_off(start + at + br#""}"#.len());
    out.extend_from_slice(br#",{"type":"text","text":"#);
    json::write_str(out, refused);
    out.push(b'}');
    out.extend_from_slice(&rest);
}

pub(super) fn failure(error: &wasmtime::Error, lease: &Lease, limits: &Limits) -> Failure {
    Failure::from_runtime(error, lease.store.data().limiter.refused(), limits)
}

/// Makes an instance. When there is no slot it comes back for one a few times: shards dispose of theirs when they have time.
pub(crate) async fn instantiate(
    component: &Component,
    place: usize,
    bounds: &Bounds<'_>,
    behalf: Option<&Arc<Behalf>>,
) -> Result<Lease, Failure> {
    let Bounds {
        control,
        limits,
        traffic,
    } = bounds;
    for attempt in 0..SLOT_ATTEMPTS {
        let mut store = store(component, place, limits, behalf);
        attend(&mut store, control, traffic);
        let pre = component.at(place).pre();
        match pre.instantiate_async(&mut store).await {
            Ok(instance) => return Ok(Lease { store, instance }),
            Err(error) if error.is::<PoolConcurrencyLimitError>() => drop(store),
            Err(error) => {
                return Err(Failure::from_runtime(
                    &error,
                    store.data().limiter.refused(),
                    limits,
                ));
            }
        }
        if attempt + 1 < SLOT_ATTEMPTS {
            tokio::time::sleep(SLOT_PAUSE).await;
        }
    }
    Err(Failure::overloaded(
        "all component instances are in use (limits.instance_count_max)",
    ))
}

async fn call(
    lease: &mut Lease,
    component: &Component,
    place: usize,
    tool_index: usize,
    params: &[Val],
) -> wasmtime::Result<Option<Val>> {
    let export = component.at(place).export(tool_index);
    let function = lease
        .instance
        .get_func(&mut lease.store, export)
        .ok_or_else(|| wasmtime::Error::msg("the component does not export what it declared"))?;
    let mut results = [Val::Bool(false)];
    let count = usize::from(component.tool(tool_index).plan().has_result());
    function
        .call_async(&mut lease.store, params, &mut results[..count])
        .await?;
    let [result] = results;
    Ok((count == 1).then_some(result))
}

/// What asking a component for its lists needs.
pub(crate) struct Listing {
    pub(crate) component: Arc<Component>,
    pub(crate) control: Arc<Control>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) exchange: Arc<Exchange>,
    pub(crate) caller: Arc<Caller>,
}

/// Asks a component for its lists: a living instance that serves everybody, or a new one.
pub(crate) async fn list(listing: Listing) -> Result<Definitions, Failure> {
    let Listing {
        component,
        control,
        limits,
        traffic,
        exchange,
        caller,
    } = listing;
    let live = component.singleton().map(AsRef::as_ref);
    let place = live.map_or(0, |live: &Live| live.place);
    let bounds = Bounds::new(&control, &limits, &traffic);
    let mut held = Held::take(&component, place, live, None, None, &bounds).await?;
    held.open(Opening {
        caller,
        exchange,
        limits: Arc::clone(&limits),
        control: Arc::clone(&control),
        traffic: Arc::clone(&traffic),
        component_id: component.id(),
        never_ends: Some(MAY_NOT_ASK),
        is_listing: true,
    });
    let exports = component.at(place).exports();
    let listed = exports
        .list(&mut held.lease, component.name(), &limits)
        .await
        .map_err(|error| failure(&error, &held.lease, &limits))?;
    held.let_go();
    listed.map_err(|what| Failure::new(CallOutcome::Output, what))
}
