//! The store of one instance, and what host functions find in it.

use std::sync::Arc;

use wasmtime::component::Instance;
use wasmtime::{Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtxView, WasiView};

use crate::limits::{Limits, SHARD_SLICE_TICKS};

use super::call::{Control, Stop};
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

    /// What belonged to one call is let go; the next one has bounds of its own.
    pub(crate) fn rest(&mut self) {
        self.conversation = None;
        self.control = None;
        self.limiter.forget_refusal();
        if let Some(wasi) = &mut self.wasi {
            wasi.begin_call();
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

/// One instance.
pub(crate) struct Lease {
    pub(crate) store: Store<State>,
    pub(crate) instance: Instance,
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
            Some(control) => control.verdict().map_err(wasmtime::Error::new)?,
            None => return Ok(UpdateDeadline::Interrupt),
        }
        Ok(UpdateDeadline::Yield(1))
    });
    store.set_epoch_deadline(SHARD_SLICE_TICKS);
}
