//! Calls that end on their shard: of components that import nothing, within one slice.

use std::sync::Arc;

use wasmtime::component::{ComponentNamedList, Func, Lower, Val};
use wasmtime::{PoolConcurrencyLimitError, Store, Trap};

use crate::limits::{Limits, SHARD_SLICE_TICKS};

use super::super::call::{CallOutcome, CallTimings, Failure};
use super::super::load::Component;
use super::super::store::{self, Lease, State};
use super::super::wit::{self, Text, TextResult};
use super::super::worker;
use super::InstancePool;

/// How a call on this thread ended.
pub(super) enum Ended {
    Here(Result<CallOutcome, Failure>),
    /// Its slice was over before it was.
    SliceOver,
}

impl InstancePool {
    pub(super) fn call_here(
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

    fn instantiate(&mut self, component: &Arc<Component>) -> Result<Lease, Ended> {
        for retry in [true, false] {
            let mut store = store::store(component, self.place, &self.limits, None);
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
}

fn ended_by(error: &wasmtime::Error, lease: &Lease, limits: &Limits) -> Ended {
    if error.downcast_ref::<Trap>() == Some(&Trap::Interrupt) {
        return Ended::SliceOver;
    }
    Ended::Here(Err(worker::failure(error, lease, limits)))
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
