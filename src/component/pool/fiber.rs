//! Calls on fibers: begun on their shard where they are quick, and carried on by the workers where they are not.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::super::call::{
    CallContext, CallOutcome, CallReport, CallTimings, CancelHandle, Control, End, Ending, Failure,
    Started, WORKERS_BUSY,
};
use super::super::delivery::{self, Driven, Receiver};
use super::super::host::{Caller, Job};
use super::super::load::Component;
use super::super::worker::{self, Work};
use super::InstancePool;
use super::shelf::{Pace, Shelf};

impl InstancePool {
    pub(super) fn call_on_fiber(
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
        let behalf = call
            .behalf
            .clone()
            .or_else(|| caller.as_ref().and_then(|caller| caller.behalf.clone()));
        // An instance that is ready was made with all that the component was granted: for a caller who may less, it has seen too much.
        let is_narrowed = component.guard().grants().is_some()
            && behalf
                .as_ref()
                .is_some_and(|behalf| behalf.narrow.is_some());
        let lease = match live {
            None if !is_narrowed => self.take_ready(component),
            _ => None,
        };
        let work = Work {
            caller: caller.filter(|_| component.is_host_aware()),
            live,
            lease,
            behalf,
            ..self.work(component, job, &call)
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
        self.send_elsewhere(driven, control, &call, out, is_tool, starts_here)
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

    pub(super) fn call_elsewhere(
        &mut self,
        component: &Arc<Component>,
        tool_index: usize,
        arguments: &[u8],
        call: &CallContext,
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

    fn work(&self, component: &Arc<Component>, job: Job, call: &CallContext) -> Work {
        Work {
            component: Arc::clone(component),
            place: self.place,
            job,
            caller: None,
            behalf: call.behalf.clone(),
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
        call: &CallContext,
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
}
