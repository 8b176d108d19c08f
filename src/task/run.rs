//! Running a task's call: what the engine asks for, and how components do it.

use std::sync::Arc;
use std::time::Instant;

use crate::catalog::ToolRef;
use crate::component::{Asking, Behalf, CallOutcome, Caller, Component, Ending, Recorded, Runtime};
use crate::limits::Limits;
use crate::policy::Identity;

use super::id::Owner;
use super::record::{Order, RunEnd, Work};
use super::who::Who;

/// Stops a run: its end follows within a tick or two. May be called more than once, and after the end.
pub type Stop = Box<dyn Fn() + Send>;

/// Told how a run ended, from any thread.
pub type Done = Box<dyn FnOnce(Result<RunEnd, NotRun>) + Send>;

/// Why a call was not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotRun {
    /// Too much is going on; it is tried again.
    Busy,
    /// It can never be run; the text is for the client.
    Impossible(String),
}

/// Runs calls of tasks.
pub trait Runner: Send + Sync + 'static {
    /// Starts a run of a task's call, which ends at `limits.task_deadline` at the latest. `done` is told of the end once, unless
    /// this gives an error.
    fn run(&self, tool: &str, owner: &Owner, work: &Work, done: Done) -> Result<Stop, NotRun>;
}

/// Runs them in components.
pub struct ComponentRunner<F> {
    runtime: Arc<Runtime>,
    limits: Limits,
    /// The tool of a name, as things are now.
    find: F,
}

impl<F> ComponentRunner<F>
where
    F: Fn(&str) -> Option<ToolRef> + Send + Sync + 'static,
{
    /// Runs calls of the tools that `find` finds.
    pub fn new(runtime: Arc<Runtime>, limits: Limits, find: F) -> Self {
        Self {
            runtime,
            limits,
            find,
        }
    }
}

impl<F> Runner for ComponentRunner<F>
where
    F: Fn(&str) -> Option<ToolRef> + Send + Sync + 'static,
{
    fn run(&self, tool: &str, owner: &Owner, work: &Work, done: Done) -> Result<Stop, NotRun> {
        let found = (self.find)(tool);
        let found = found.ok_or_else(|| {
            NotRun::Impossible(format!(
                "tool `{tool}` does not exist any more: its component was removed"
            ))
        })?;
        let job = found.job(work.order.arguments.clone());
        let (component, job) = job.ok_or_else(|| {
            NotRun::Impossible(format!(
                "tool `{tool}` is no component's any more, but upstream {}'s: ask for the task again",
                found.owner_name()
            ))
        })?;
        // What a first run needs, any version of the component has; answers belong to the one that asked.
        if work.recorded != Recorded::default() && **component.digest() != *work.order.digest {
            return Err(NotRun::Impossible(format!(
                "component {} was replaced while the task waited for answers, which were for the old one; ask for the task again",
                work.order.component
            )));
        }
        let mut caller = caller(owner, work);
        caller.behalf = behalf(component, &work.order)?;
        let handle = self.runtime.run_detached(
            component,
            job,
            Arc::new(caller),
            Instant::now() + self.limits.task_deadline,
            Box::new(|ending| done(translate(ending))),
        );
        let handle = handle.map_err(|_| NotRun::Busy)?;
        Ok(Box::new(move || handle.cancel()))
    }
}

/// Nobody listens to a task while it runs: there is no progress and no log, and questions end the run.
fn caller(owner: &Owner, work: &Work) -> Caller {
    let order = &work.order;
    Caller {
        method: "tools/call",
        revision: order.revision,
        session: owner.session,
        principal: order.principal.as_deref().map(Arc::from),
        behalf: None,
        capabilities: order.capabilities,
        client_info: order.client_info.clone(),
        meta: order.meta.clone(),
        progress_token: None,
        log_level: None,
        is_task: true,
        may_become_task: false,
        asking: Asking::Rerun(work.recorded.clone()),
        outbox: None,
    }
}

/// Who asked may do as much as it may now, and not as much as it might when it asked.
fn behalf(component: &Component, order: &Order) -> Result<Option<Arc<Behalf>>, NotRun> {
    let identity = match &order.who {
        None => Identity::anonymous(),
        Some(who) => Who::read(who).ok_or_else(|| {
            NotRun::Impossible("who asked for the task is not known any more".to_owned())
        })?,
    };
    let name = order.principal.as_deref().map(Arc::from);
    let behalf = Behalf::of(&component.options().profiles, &identity, name.as_ref());
    Ok(behalf.map(Arc::new))
}

fn translate(ending: Ending) -> Result<RunEnd, NotRun> {
    let Ending {
        mut members,
        report,
        asked,
    } = ending;
    match (report.outcome, asked) {
        (CallOutcome::Error, _) => Ok(RunEnd::Error { members }),
        (CallOutcome::InputRequired, Some(asked)) => Ok(RunEnd::Asked(asked)),
        (CallOutcome::Deadline, _) => Ok(RunEnd::Deadline),
        (CallOutcome::Cancelled, _) => Ok(RunEnd::Stopped),
        (CallOutcome::Overloaded, _) => Err(NotRun::Busy),
        (CallOutcome::InputRequired | CallOutcome::BecomeTask, _) => Err(NotRun::Impossible(
            "the call ended as no task can; this is a defect of margay".to_owned(),
        )),
        (outcome, _) => {
            let (own, meta) = report.split(&members);
            let (end, meta) = (own.len(), meta.to_vec());
            members.truncate(end);
            Ok(RunEnd::Result {
                members,
                meta,
                is_error: outcome != CallOutcome::Ok,
            })
        }
    }
}

#[cfg(test)]
mod tests;
