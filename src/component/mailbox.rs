//! Where a shard finds the calls that were finished elsewhere.

use std::fmt;
use std::sync::Arc;

use crossbeam_queue::ArrayQueue;

use super::call::CallReport;
use super::host::{Asked, Outbox};
use super::traffic::Permit;

/// Places for signals beyond those of calls that are away: the call that a shard begins is not away yet.
const SIGNALS_SPARE: usize = 8;

/// A call that had left its shard and is done.
pub struct Finished {
    /// The number the shard gave the call.
    pub ticket: u64,
    /// The members of the result, or of the error, without braces: see [`CallOutcome`](super::CallOutcome).
    pub members: Vec<u8>,
    /// How it ended, and how long its parts took.
    pub report: CallReport,
    /// With an outcome that has the call run again: what it asked.
    pub asked: Option<Box<Asked>>,
    // Held until the shard has read this, so that the queue can never be full.
    pub(super) _permit: Permit,
}

impl fmt::Debug for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finished")
            .field("ticket", &self.ticket)
            .field("report", &self.report)
            .finish_non_exhaustive()
    }
}

/// One shard's queue of finished calls. Its capacity is the number of calls that may be away from their shards at one time, and
/// each of those holds its place until its result was read: a result is never lost to a full queue.
pub struct Mailbox {
    queue: ArrayQueue<Finished>,
    /// Calls that have said something; each stands here once at most.
    signals: ArrayQueue<Arc<Outbox>>,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl Mailbox {
    /// A mailbox with `capacity` places; `wake` is called after each arrival, from any thread.
    pub(crate) fn new(capacity: usize, wake: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            queue: ArrayQueue::new(capacity.max(1)),
            // Twice what may be away, so that there is room beside those that have ended: see `forget_ended`.
            signals: ArrayQueue::new(2 * capacity.max(1) + SIGNALS_SPARE),
            wake: Box::new(wake),
        })
    }

    /// Takes the call that finished first.
    pub fn take(&self) -> Option<Finished> {
        self.queue.pop()
    }

    /// The ticket of a call whose outbox has something. Its shard takes all of it; what is said after that is signalled anew.
    pub fn take_signal(&self) -> Option<u64> {
        self.signals.pop().map(|outbox| outbox.signal_taken())
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.signals.is_empty()
    }

    pub(super) fn signal(&self, outbox: Arc<Outbox>) {
        if self.signals.push(outbox).is_err() {
            debug_assert!(false, "a mailbox has a place for each running call");
            tracing::error!("a call was not heard: its mailbox was full");
        }
        (self.wake)();
    }

    /// Makes room by taking out the signals of calls that have ended. For the mailbox's own shard, before each call that may speak: so
    /// the rest are of running calls, and of those no more can be than there are places.
    pub(super) fn forget_ended(&self) {
        if self.signals.len() < self.signals.capacity() / 2 {
            return;
        }
        for _ in 0..self.signals.len() {
            let Some(outbox) = self.signals.pop() else {
                return;
            };
            if !outbox.has_ended() && self.signals.push(outbox).is_err() {
                debug_assert!(false, "what was taken out fits in again");
            }
        }
    }

    pub(super) fn deliver(&self, finished: Finished) {
        if self.queue.push(finished).is_err() {
            debug_assert!(false, "a mailbox has a place for each permit");
            tracing::error!("a finished call was lost: its mailbox was full");
        }
        (self.wake)();
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox")
            .field("waiting", &self.queue.len())
            .finish_non_exhaustive()
    }
}
