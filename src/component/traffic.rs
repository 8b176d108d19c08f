//! How many calls are away from their shards, which of them compute, and the word to stop them all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::pulse::{Look, Pulse};

/// What the shards and the workers share about calls that are away from their shard.
#[derive(Debug)]
pub(crate) struct Traffic {
    away: AtomicUsize,
    away_max: usize,
    running: AtomicUsize,
    /// Of the tasks on the workers, those whose guest waits for an answer and does not compute.
    paused: AtomicUsize,
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
            paused: AtomicUsize::new(0),
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

    /// Completes when every call must stop.
    pub(crate) async fn stopped(&self) {
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
        // In this order: a call that leaves its shard is counted here before its shard's beat ends. And a task that runs again, or anew,
        // wakes the clock after it was counted, so what is missed between the two loads is not missed for long.
        let beats = self.pulse.has_beaten(last);
        let running = self.running.load(Ordering::SeqCst);
        beats || running > self.paused.load(Ordering::SeqCst)
    }

    /// The guest of this task waits for something that is not a processor, until the guard is dropped: the epoch clock need not run for it.
    pub(crate) fn pause(self: &Arc<Self>) -> Paused {
        self.paused.fetch_add(1, Ordering::SeqCst);
        Paused {
            traffic: Arc::clone(self),
        }
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

/// One task whose guest waits.
#[derive(Debug)]
pub(crate) struct Paused {
    traffic: Arc<Traffic>,
}

impl Drop for Paused {
    fn drop(&mut self) {
        self.traffic.paused.fetch_sub(1, Ordering::SeqCst);
        self.traffic.pulse.wake();
    }
}
