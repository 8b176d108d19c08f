//! Calls on fibers: those of components with imports, and those that outlived their first slice on a shard.
//!
//! A fiber yields each epoch tick, looks at the call's [`Control`] there, and traps if the call must end; the future that
//! drives it is therefore always driven to its end and never dropped half way. Worker threads share them fairly: a spinning
//! guest goes to the back of the queue each millisecond.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use wasmtime::component::{ComponentExportIndex, Instance, Val};
use wasmtime::{PoolConcurrencyLimitError, Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtxView, WasiView};

use crate::limits::{Limits, SHARD_SLICE_TICKS};

use super::call::{CallOutcome, CallReport, CallTimings, Control, Failure, Stop};
use super::limits::Limiter;
use super::load::Component;
use super::mailbox::{Finished, Mailbox};
use super::pulse::{Look, Pulse};
use super::tool::Tool;
use super::wasi::Wasi;
use super::wit;

/// How often a call on a worker looks for an instance slot, and how long it waits between.
const SLOT_ATTEMPTS: usize = 5;
const SLOT_PAUSE: Duration = Duration::from_millis(2);

/// What a store carries.
pub(crate) struct State {
    pub(crate) limiter: Limiter,
    control: Option<Arc<Control>>,
    /// With the control: only stores on fibers have them.
    traffic: Option<Arc<Traffic>>,
    wasi: Option<Box<Wasi>>,
}

impl State {
    /// Completes when the call that this store serves must stop.
    pub(crate) fn stopped(&self) -> impl Future<Output = Stop> + Send + use<> {
        let attended = self.control.clone().zip(self.traffic.clone());
        async move {
            let Some((control, traffic)) = attended else {
                return std::future::pending().await;
            };
            tokio::select! {
                stop = control.stopped() => stop,
                () = traffic.stopped() => Stop::Cancelled,
            }
        }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        // Only the linker of components with imports leads here, and their stores are made with a context.
        self.wasi
            .as_mut()
            .expect("the store of a component with imports has a WASI context")
            .view()
    }
}

/// One instance, for one call.
pub(crate) struct Lease {
    pub(crate) store: Store<State>,
    pub(crate) instance: Instance,
}

/// What the shards and the workers share about calls that are away from their shard.
#[derive(Debug)]
pub(crate) struct Traffic {
    away: AtomicUsize,
    away_max: usize,
    running: AtomicUsize,
    stopping: AtomicBool,
    stop: Notify,
    pulse: Arc<Pulse>,
}

impl Traffic {
    pub(crate) fn new(away_max: usize) -> Arc<Self> {
        Arc::new(Self {
            away: AtomicUsize::new(0),
            away_max,
            running: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            stop: Notify::new(),
            pulse: Arc::default(),
        })
    }

    /// Tells every call to stop; none can start after this.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.stop.notify_waiters();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    async fn stopped(&self) {
        let stop = self.stop.notified();
        tokio::pin!(stop);
        stop.as_mut().enable();
        if !self.is_stopping() {
            stop.await;
        }
    }

    /// What keeps the epoch clock going.
    pub(crate) fn pulse(&self) -> &Arc<Pulse> {
        &self.pulse
    }

    /// Whether a guest runs anywhere, or has run on a shard since the last look.
    pub(crate) fn may_run_guests(&self, last: &mut Look) -> bool {
        // In this order: a call that leaves its shard is counted here before its shard's beat ends.
        self.pulse.has_beaten(last) || self.running.load(Ordering::SeqCst) > 0
    }

    /// Counts one task on the workers until the guard is dropped. The epoch clock runs as long.
    pub(crate) fn enter(self: &Arc<Self>) -> Running {
        self.running.fetch_add(1, Ordering::SeqCst);
        self.pulse.wake();
        Running {
            traffic: Arc::clone(self),
        }
    }

    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::Acquire)
    }

    /// A place for one call away from its shard, or nothing when all are taken.
    pub(crate) fn permit(self: &Arc<Self>) -> Option<Permit> {
        if self.away.fetch_add(1, Ordering::AcqRel) < self.away_max {
            return Some(Permit {
                traffic: Arc::clone(self),
            });
        }
        self.away.fetch_sub(1, Ordering::AcqRel);
        None
    }

    pub(crate) fn away(&self) -> usize {
        self.away.load(Ordering::Acquire)
    }

    pub(crate) fn away_max(&self) -> usize {
        self.away_max
    }
}

/// One place; given back on drop.
#[derive(Debug)]
pub(crate) struct Permit {
    traffic: Arc<Traffic>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.traffic.away.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One task on the workers.
#[derive(Debug)]
pub(crate) struct Running {
    traffic: Arc<Traffic>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.traffic.running.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A store for one instance of this component, not yet instantiated. Its epoch deadline is one slice.
pub(crate) fn store(component: &Component, place: usize, limits: &Limits) -> Store<State> {
    let wasi = component
        .has_imports()
        .then(|| Wasi::new(component.name_shared(), limits));
    let state = State {
        limiter: Limiter::new(limits),
        control: None,
        traffic: None,
        wasi,
    };
    let mut store = Store::new(component.at(place).engine(), state);
    store.limiter(|state| &mut state.limiter);
    store.set_hostcall_fuel(limits.hostcall_bytes_max);
    store.set_max_component_handles(limits.handle_count_max);
    store.set_epoch_deadline(SHARD_SLICE_TICKS);
    store
}

/// Makes the store yield at each tick, and trap when its call must end.
pub(crate) fn attend(store: &mut Store<State>, control: &Arc<Control>, traffic: &Arc<Traffic>) {
    let state = store.data_mut();
    state.control = Some(Arc::clone(control));
    state.traffic = Some(Arc::clone(traffic));
    store.epoch_deadline_callback(|context| {
        let state = context.data();
        if state
            .traffic
            .as_ref()
            .is_some_and(|traffic| traffic.is_stopping())
        {
            return Err(wasmtime::Error::new(Stop::Cancelled));
        }
        match &state.control {
            Some(control) => control.verdict().map_err(wasmtime::Error::new)?,
            None => return Ok(UpdateDeadline::Interrupt),
        }
        Ok(UpdateDeadline::Yield(1))
    });
    store.set_epoch_deadline(SHARD_SLICE_TICKS);
}

/// What a call on a fiber needs; all of it owned, because the call may change threads.
pub(crate) struct Work {
    pub(crate) component: Arc<Component>,
    /// The place of the shard that the call came to.
    pub(crate) place: usize,
    pub(crate) tool_index: usize,
    /// The text of the arguments.
    pub(crate) arguments: Vec<u8>,
    pub(crate) control: Arc<Control>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) traffic: Arc<Traffic>,
    /// An instance that was ready; one is made if there is none.
    pub(crate) lease: Option<Lease>,
}

/// Runs the call to its end. The instance is gone when this returns.
pub(crate) async fn run(work: Work, clock: quanta::Clock) -> (Vec<u8>, CallReport) {
    let mut out = Vec::new();
    let mut timings = CallTimings::default();
    let outcome = match drive(work, &clock, &mut timings, &mut out).await {
        Ok(outcome) => outcome,
        Err(failure) => {
            out.clear();
            failure.write(&mut out);
            failure.outcome
        }
    };
    (out, CallReport::new(outcome, timings))
}

async fn drive(
    work: Work,
    clock: &quanta::Clock,
    timings: &mut CallTimings,
    out: &mut Vec<u8>,
) -> Result<CallOutcome, Failure> {
    let Work {
        component,
        place,
        tool_index,
        arguments,
        control,
        limits,
        traffic,
        lease,
    } = work;
    let started = clock.raw();
    let tool = component.tool(tool_index);
    let params = tool
        .plan()
        .decode(&arguments, limits.json_depth_max)
        .map_err(|error| Failure::new(CallOutcome::BadArguments, error.to_string()))?;
    drop(arguments);
    let decoded = clock.raw();
    timings.lookup_ns = clock.delta_as_nanos(started, decoded);
    control
        .verdict()
        .map_err(|stop| Failure::from_runtime(&wasmtime::Error::new(stop), None, &limits))?;
    let mut lease = match lease {
        Some(lease) => lease,
        None => instantiate(&component, place, &limits, &traffic, &control).await?,
    };
    attend(&mut lease.store, &control, &traffic);
    let ready = clock.raw();
    timings.instantiate_ns = clock.delta_as_nanos(decoded, ready);
    let export = component.at(place).export(tool_index);
    let answer = call(&mut lease, export, tool, &params)
        .await
        .map_err(|error| failure(&error, &lease, &limits))?;
    let executed = clock.raw();
    timings.execute_ns = clock.delta_as_nanos(ready, executed);
    // The instance goes back to its pool before the caller hears of the end.
    drop(lease);
    let answer = tool.plan().answer(answer.as_ref());
    let outcome = wit::write_answer(out, &answer, limits.output_bytes_max)
        .map_err(|_| Failure::output(&limits))?;
    timings.encode_ns = clock.delta_as_nanos(executed, clock.raw());
    Ok(outcome)
}

pub(super) fn failure(error: &wasmtime::Error, lease: &Lease, limits: &Limits) -> Failure {
    Failure::from_runtime(error, lease.store.data().limiter.refused(), limits)
}

/// Makes an instance. When there is no slot it comes back for one a few times: shards dispose of theirs when they have time.
pub(crate) async fn instantiate(
    component: &Component,
    place: usize,
    limits: &Limits,
    traffic: &Arc<Traffic>,
    control: &Arc<Control>,
) -> Result<Lease, Failure> {
    for attempt in 0..SLOT_ATTEMPTS {
        let mut store = store(component, place, limits);
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
    export: &ComponentExportIndex,
    tool: &Tool,
    params: &[Val],
) -> wasmtime::Result<Option<Val>> {
    let function = lease
        .instance
        .get_func(&mut lease.store, export)
        .ok_or_else(|| wasmtime::Error::msg("the component does not export what it declared"))?;
    let mut results = [Val::Bool(false)];
    let count = usize::from(tool.plan().has_result());
    function
        .call_async(&mut lease.store, params, &mut results[..count])
        .await?;
    let [result] = results;
    Ok((count == 1).then_some(result))
}

/// The promise that a call which left its shard is answered: if its task ends without an answer, by a defect, this gives one.
pub(crate) struct Delivery {
    mailbox: Arc<Mailbox>,
    ticket: u64,
    permit: Option<Permit>,
}

impl Delivery {
    fn send(&mut self, members: Vec<u8>, report: CallReport) {
        if let Some(permit) = self.permit.take() {
            self.mailbox.deliver(Finished {
                ticket: self.ticket,
                members,
                report,
                asked: None,
                _permit: permit,
            });
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if self.permit.is_some() {
            let mut members = Vec::new();
            Failure::new(
                CallOutcome::Trap,
                "the call ended without an answer; this is a defect of margay",
            )
            .write(&mut members);
            self.send(
                members,
                CallReport::new(CallOutcome::Trap, CallTimings::default()),
            );
        }
    }
}

/// A call being driven.
pub(crate) type Driven = std::pin::Pin<Box<dyn Future<Output = (Vec<u8>, CallReport)> + Send>>;

/// Lets the workers drive a call to its end, and its shard hear of it.
pub(crate) fn finish_elsewhere(
    workers: &tokio::runtime::Handle,
    traffic: &Arc<Traffic>,
    call: Driven,
    mailbox: Arc<Mailbox>,
    ticket: u64,
    permit: Permit,
) {
    let running = traffic.enter();
    let mut delivery = Delivery {
        mailbox,
        ticket,
        permit: Some(permit),
    };
    workers.spawn(async move {
        let _running = running;
        let (members, report) = call.await;
        delivery.send(members, report);
    });
}

/// Lets the workers drive a future to its end that nobody waits for.
pub(crate) fn finish_unheard(
    workers: &tokio::runtime::Handle,
    traffic: &Arc<Traffic>,
    future: impl Future<Output = ()> + Send + 'static,
) {
    let running = traffic.enter();
    workers.spawn(async move {
        let _running = running;
        future.await;
    });
}
