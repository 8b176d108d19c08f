//! Whether a guest may be running: what the epoch clock asks before it parks, and who wakes it.
//!
//! The clock must tick whenever guest code runs, because only a tick interrupts a guest; it should not tick in an idle process,
//! where it would be the only thread that ever wakes. Each thread that calls guests has a [`Beat`] of its own, so that a call costs
//! one store and one load of memory that no other thread writes.
//!
//! Invariant: a guest starts only after its thread has said so and then looked whether the clock is parked; the clock parks only
//! after it has said so and then looked whether a guest is running. All four are sequentially consistent, so one sees the other.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread::Thread;

/// What the clock and those who need it share.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    parked: AtomicBool,
    clock: OnceLock<Thread>,
    // Locked by the clock at its ticks, and when a thread begins to call guests.
    beats: Mutex<Vec<Weak<AtomicU64>>>,
}

/// What the clock remembers between two looks.
#[derive(Debug, Default)]
pub(crate) struct Look {
    calls: u64,
}

/// One thread's calls: odd while one runs.
#[derive(Debug)]
pub(crate) struct Beat {
    pulse: Arc<Pulse>,
    count: Arc<AtomicU64>,
}

impl Pulse {
    /// A beat for one thread that calls guests.
    pub(crate) fn beat(self: &Arc<Self>) -> Beat {
        let count = Arc::new(AtomicU64::new(0));
        let mut beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        beats.retain(|beat| beat.strong_count() > 0);
        beats.push(Arc::downgrade(&count));
        Beat {
            pulse: Arc::clone(self),
            count,
        }
    }

    /// The thread to wake; told once.
    pub(crate) fn set_clock(&self, clock: Thread) {
        // A pulse has one clock.
        let _ = self.clock.set(clock);
    }

    /// Sees to it that the clock runs. Whoever calls this has said before, sequentially consistent, that a guest will run.
    pub(crate) fn wake(&self) {
        if self.parked.load(Ordering::SeqCst) {
            self.unpark();
        }
    }

    #[cold]
    fn unpark(&self) {
        if self.parked.swap(false, Ordering::SeqCst)
            && let Some(clock) = self.clock.get()
        {
            clock.unpark();
        }
    }

    /// Whether a guest runs on a thread with a beat, or has run since the last look.
    pub(crate) fn has_beaten(&self, last: &mut Look) -> bool {
        let beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut calls, mut running) = (0_u64, false);
        for beat in beats.iter().filter_map(Weak::upgrade) {
            let count = beat.load(Ordering::SeqCst);
            running |= count % 2 == 1;
            calls = calls.wrapping_add(count);
        }
        let before = std::mem::replace(&mut last.calls, calls);
        running || calls != before
    }

    /// For the clock alone: parks until somebody wakes it, unless `is_needed` says, after this was announced, that it may not.
    pub(crate) fn park_unless(&self, is_needed: impl FnOnce() -> bool) {
        self.parked.store(true, Ordering::SeqCst);
        if !is_needed() {
            while self.parked.load(Ordering::SeqCst) {
                std::thread::park();
            }
        }
        self.parked.store(false, Ordering::SeqCst);
    }

    /// Whether the clock stands still.
    #[cfg(test)]
    pub(crate) fn is_parked(&self) -> bool {
        self.parked.load(Ordering::SeqCst)
    }
}

impl Beat {
    /// Guest code will run on this thread until [`leave`](Self::leave). Never nested. A panic in between keeps the clock going.
    pub(crate) fn enter(&self) {
        // Only this thread writes it.
        let count = self.count.load(Ordering::Relaxed);
        self.count.store(count.wrapping_add(1), Ordering::SeqCst);
        self.pulse.wake();
    }

    /// No guest code runs on this thread now.
    pub(crate) fn leave(&self) {
        let count = self.count.load(Ordering::Relaxed);
        self.count.store(count.wrapping_add(1), Ordering::SeqCst);
    }
}
