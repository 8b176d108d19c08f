//! What one call may use up, and how it ends that uses more.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::time::{ClockId, clock_gettime};

use super::super::call::Control;

/// A budget by its key, and how much it was. Raised as a trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overspent {
    /// The key in `permissions.resources`.
    pub(crate) budget: &'static str,
    /// How much there was of it.
    pub(crate) limit: u64,
}

/// What stands for a budget where a call is stopped because so much was refused to it.
pub(super) const REFUSALS: &str = "refusals";

/// The same for lookups of names, of which no policy says how many.
pub(super) const LOOKUPS: &str = "lookups";

impl fmt::Display for Overspent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.budget == LOOKUPS {
            return write!(
                f,
                "the tool was stopped because it looked up more than {} names in one call: ask it for less",
                self.limit
            );
        }
        if self.budget == REFUSALS {
            return write!(
                f,
                "the tool was stopped because it tried more than {} things in one call that it was not granted: grant them in the component's policy, or do not use the tool",
                self.limit
            );
        }
        write!(
            f,
            "the tool used up its {} of {} for one call (permissions.resources): ask it for less, or raise it in the component's policy",
            self.budget, self.limit
        )
    }
}

impl std::error::Error for Overspent {}

/// The time on a processor that one call has taken.
///
/// Units: nanoseconds of the clock of the thread that it is on.
#[derive(Debug)]
pub(crate) struct CpuMeter {
    limit_ms: u64,
    /// What its slices before this one took.
    spent_ns: AtomicU64,
    /// The thread's clock at the start of this slice.
    slice_ns: AtomicU64,
}

impl CpuMeter {
    pub(crate) fn new(limit_ms: u64) -> Self {
        Self {
            limit_ms,
            spent_ns: AtomicU64::new(0),
            slice_ns: AtomicU64::new(0),
        }
    }

    fn resume(&self) {
        self.slice_ns.store(thread_ns(), Ordering::Relaxed);
    }

    fn pause(&self) {
        let slice = thread_ns().saturating_sub(self.slice_ns.load(Ordering::Relaxed));
        self.spent_ns.fetch_add(slice, Ordering::Relaxed);
    }

    /// To be asked on the thread that the call is on, within a slice.
    pub(crate) fn verdict(&self) -> Result<(), Overspent> {
        let slice = thread_ns().saturating_sub(self.slice_ns.load(Ordering::Relaxed));
        let spent = self.spent_ns.load(Ordering::Relaxed).saturating_add(slice);
        match spent / 1_000_000 >= self.limit_ms {
            true => Err(Overspent {
                budget: "cpu_time_ms",
                limit: self.limit_ms,
            }),
            false => Ok(()),
        }
    }
}

fn thread_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, ns) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
    seconds.saturating_mul(1_000_000_000).saturating_add(ns)
}

/// Runs a guest, its time on the processor counted if it is bounded.
pub(crate) async fn metered<T>(control: &Control, guest: impl Future<Output = T>) -> T {
    let Some(meter) = control.cpu() else {
        return guest.await;
    };
    let mut guest = pin!(guest);
    poll_fn(|context| {
        meter.resume();
        let polled = guest.as_mut().poll(context);
        meter.pause();
        polled
    })
    .await
}
