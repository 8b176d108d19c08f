//! The store of one instance, and what host functions find in it.

use std::sync::Arc;

use wasmtime::component::Instance;
use wasmtime::{Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

use crate::limits::{Limits, SHARD_SLICE_TICKS};

use super::call::{Control, Stop};
use super::grant::{Behalf, Gate};
use super::host::Conversation;
use super::limits::Limiter;
use super::load::Component;
use super::traffic::Traffic;
use super::wasi::Wasi;

/// What a store carries.
pub(crate) struct State {
    pub(crate) limiter: Limiter,
    control: Option<Arc<Control>>,
    /// With the control: only stores on fibers have them.
    traffic: Option<Arc<Traffic>>,
    wasi: Option<Box<Wasi>>,
    /// While a call runs whose component may speak.
    pub(crate) conversation: Option<Box<Conversation>>,
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

    /// Where this instance asks whether it may.
    pub(crate) fn gate(&self) -> &Arc<Gate> {
        // Only the linker of components with imports leads here, and their stores are made with a context.
        self.wasi
            .as_ref()
            .expect("the store of a component with imports has a WASI context")
            .gate()
    }

    /// A call begins; whatever it asks for, it asks on this behalf.
    pub(crate) fn begin(&mut self, behalf: Option<&Arc<Behalf>>, control: &Arc<Control>) {
        let Some(wasi) = &self.wasi else {
            return;
        };
        let gate = wasi.gate();
        gate.begin(behalf, control);
        let budget = gate.guard().budgets(behalf.map(AsRef::as_ref)).memory_bytes;
        self.limiter.budget_memory(budget);
    }

    /// Whether this instance may serve a call on this behalf.
    pub(crate) fn suits(&self, behalf: Option<&Behalf>) -> bool {
        let wasi = self.wasi.as_ref();
        wasi.is_none_or(|wasi| wasi.gate().suits(behalf))
    }

    /// What was refused to the call.
    pub(crate) fn told(&self) -> Option<String> {
        self.wasi.as_ref()?.gate().told()
    }

    /// What belonged to one call is let go; the next one has bounds of its own.
    pub(crate) fn rest(&mut self) {
        self.conversation = None;
        self.control = None;
        self.limiter.forget_refusal();
        if let Some(wasi) = &mut self.wasi {
            wasi.end_call();
        }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.wasi
            .as_mut()
            .expect("the store of a component with imports has a WASI context")
            .http_view()
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

/// One instance.
pub(crate) struct Lease {
    pub(crate) store: Store<State>,
    pub(crate) instance: Instance,
}

/// A store for one instance of this component, not yet instantiated. Its epoch deadline is one slice.
///
/// Shape: what it is shown from its start is what this one may see.
pub(crate) fn store(
    component: &Component,
    place: usize,
    limits: &Limits,
    behalf: Option<&Arc<Behalf>>,
) -> Store<State> {
    let wasi = component.has_imports().then(|| {
        let gate = Gate::new(Arc::clone(component.guard()), behalf.cloned());
        Wasi::new(component.name_shared(), limits, gate)
    });
    let mut limiter = Limiter::new(limits);
    if let Some(budget) = component.guard().memory_bytes(behalf.map(AsRef::as_ref)) {
        limiter.budget_memory(Some(budget));
    }
    let state = State {
        limiter,
        control: None,
        traffic: None,
        wasi,
        conversation: None,
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
            Some(control) => control.running_verdict().map_err(wasmtime::Error::new)?,
            None => return Ok(UpdateDeadline::Interrupt),
        }
        Ok(UpdateDeadline::Yield(1))
    });
    store.set_epoch_deadline(SHARD_SLICE_TICKS);
}
