//! From a driven call to whoever waits for it: whatever happens to the task that drives it, its end arrives.

use std::sync::Arc;

use super::call::{CallOutcome, CallReport, CallTimings, End, Ending, Failure};
use super::mailbox::{Finished, Mailbox};
use super::traffic::{Permit, Traffic};

/// Where a call's end goes.
pub(crate) enum Receiver {
    /// To its shard, under the number that the shard gave it.
    Shard { mailbox: Arc<Mailbox>, ticket: u64 },
    /// To whoever started it without a shard.
    Task(Box<dyn FnOnce(Ending) + Send>),
}

impl Receiver {
    fn receive(self, ending: Ending, permit: Permit) {
        let Ending {
            members,
            report,
            asked,
        } = ending;
        match self {
            Self::Shard { mailbox, ticket } => mailbox.deliver(Finished {
                ticket,
                members,
                report,
                asked,
                _permit: permit,
            }),
            Self::Task(done) => {
                // Its place is free for what it leads to.
                drop(permit);
                done(Ending {
                    members,
                    report,
                    asked,
                });
            }
        }
    }
}

/// The promise that a call which left its caller's thread is answered: if its task ends without an answer, by a defect, this gives
/// one.
struct Delivery {
    is_tool: bool,
    to: Option<(Receiver, Permit)>,
}

impl Delivery {
    fn send(&mut self, ending: Ending) {
        if let Some((receiver, permit)) = self.to.take() {
            receiver.receive(ending, permit);
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if self.to.is_none() {
            return;
        }
        let end = End::Failure(Failure::new(
            CallOutcome::Trap,
            "the call ended without an answer; this is a defect of margay",
        ));
        let mut members = Vec::new();
        let (outcome, asked) = end.close(self.is_tool, usize::MAX, &mut members);
        self.send(Ending {
            members,
            report: CallReport::new(outcome, CallTimings::default()),
            asked,
        });
    }
}

/// A call being driven.
pub(crate) type Driven = std::pin::Pin<Box<dyn Future<Output = Ending> + Send>>;

/// Lets the workers drive a call to its end, and its receiver hear of it.
pub(crate) fn finish_elsewhere(
    workers: &tokio::runtime::Handle,
    traffic: &Arc<Traffic>,
    call: Driven,
    is_tool: bool,
    receiver: Receiver,
    permit: Permit,
) {
    let running = traffic.enter();
    let mut delivery = Delivery {
        is_tool,
        to: Some((receiver, permit)),
    };
    workers.spawn(async move {
        let _running = running;
        let ending = call.await;
        delivery.send(ending);
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
