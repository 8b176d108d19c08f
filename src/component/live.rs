//! Instances that outlive a call: one for each session, or one for everybody.
//!
//! Calls to one are served in the order in which they came; each waits no longer than its own deadline. An instance that trapped is
//! gone with what it remembered: its caller is told, and the next call finds a new one. How many live is bounded, and a session's
//! goes with its session, or when it was not used for long.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, MutexGuard};

use crate::limits::Limits;
use crate::mcp::{Era, SessionId};

use super::call::{Control, Failure};
use super::host::Caller;
use super::load::Component;
use super::options::InstanceMode;
use super::store::Lease;
use super::traffic::Traffic;

/// What a caller reads whose call took a living instance with it.
pub(crate) const LOST: &str =
    "; the component's instance is gone with what it remembered, and the next call finds a new one";

/// Looks for idle instances in the time that one may be idle.
const SWEEPS_PER_DEADLINE: u32 = 4;

/// One living instance, or the place of one that is made at the next call.
pub(crate) struct Live {
    /// Where it lives: they go round the places, so that none has most of them.
    pub(crate) place: usize,
    lease: Mutex<Option<Lease>>,
    component: Weak<Component>,
    /// When it was last asked for, in milliseconds of its set's clock.
    used_ms: AtomicU64,
    /// Nobody asks for it any more. What it holds is let go at once: the table that it was in frees it in its own time.
    is_over: AtomicBool,
    seats: Arc<Seats>,
}

impl Live {
    /// Waits for its turn.
    ///
    /// Errors: the call ends before its turn has come.
    pub(crate) async fn enter(
        &self,
        control: &Control,
        traffic: &Arc<Traffic>,
        limits: &Limits,
    ) -> Result<MutexGuard<'_, Option<Lease>>, Failure> {
        if let Ok(lease) = self.lease.try_lock() {
            return Ok(lease);
        }
        let _paused = traffic.pause();
        tokio::select! {
            biased;
            stop = control.stopped() => Err(Failure::stopped(stop, limits)),
            () = traffic.stopped() => Err(Failure::cancelled()),
            lease = self.lease.lock() => Ok(lease),
        }
    }

    /// To be called when a turn is over.
    pub(crate) fn leave(&self) {
        if self.is_over.load(Ordering::SeqCst)
            && let Ok(mut lease) = self.lease.try_lock()
        {
            *lease = None;
        }
    }

    /// Gives up the instance and its seat; a call that still runs on it ends first.
    fn close(&self) {
        if !self.is_over.swap(true, Ordering::SeqCst) {
            self.seats.taken.fetch_sub(1, Ordering::AcqRel);
        }
        self.leave();
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.close();
    }
}

/// Who a session's instance is for: the component, and the session; none is the one session of a process on stdio.
type Owner = (u64, Option<SessionId>);

/// The living instances of the process.
pub(crate) struct LiveSet {
    by_session: papaya::HashMap<Owner, Arc<Live>>,
    seats: Arc<Seats>,
    idle_deadline: Duration,
    started: Instant,
    made: AtomicUsize,
    is_swept: AtomicBool,
}

#[derive(Debug)]
struct Seats {
    taken: AtomicUsize,
    max: usize,
}

impl LiveSet {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            by_session: papaya::HashMap::new(),
            seats: Arc::new(Seats {
                taken: AtomicUsize::new(0),
                // The rest is for calls: each living instance has a slot that no other call can have.
                max: limits
                    .live_instance_count_max
                    .min(limits.instance_count_max / 2),
            }),
            idle_deadline: limits.live_instance_idle_deadline,
            started: Instant::now(),
            made: AtomicUsize::new(0),
            is_swept: AtomicBool::new(false),
        })
    }

    /// The living instance that serves a call of this component, if one has to.
    ///
    /// Errors: as many are alive as may be.
    pub(crate) fn find(
        self: &Arc<Self>,
        component: &Arc<Component>,
        caller: Option<&Caller>,
        workers: &tokio::runtime::Handle,
    ) -> Result<Option<Arc<Live>>, Failure> {
        match component.options().instances {
            InstanceMode::Fresh => Ok(None),
            InstanceMode::Singleton => Ok(component.singleton().cloned()),
            InstanceMode::PerSession => match caller {
                // In the modern era there are no sessions.
                Some(caller) if caller.revision.era() == Era::Legacy => {
                    let live = self.of_session(component, caller.session, workers);
                    live.map(Some).ok_or_else(|| self.full())
                }
                _ => Ok(None),
            },
        }
    }

    /// A living instance that is not any session's.
    pub(crate) fn singleton(&self, component: &Weak<Component>) -> Option<Arc<Live>> {
        self.takes_seat().then(|| self.live(component.clone()))
    }

    /// What is said where no more may live.
    pub(crate) fn full(&self) -> Failure {
        Failure::overloaded(&format!(
            "{} instances live between calls (limits.live_instance_count_max)",
            self.seats.max
        ))
    }

    fn of_session(
        self: &Arc<Self>,
        component: &Arc<Component>,
        session: Option<SessionId>,
        workers: &tokio::runtime::Handle,
    ) -> Option<Arc<Live>> {
        let owner = (component.id(), session);
        let now = self.now_ms();
        if let Some(live) = self.by_session.pin().get(&owner) {
            live.used_ms.store(now, Ordering::Relaxed);
            return Some(Arc::clone(live));
        }
        if !self.takes_seat() {
            self.sweep();
            if !self.takes_seat() {
                return None;
            }
        }
        let made = self.live(Arc::downgrade(component));
        let live = Arc::clone(self.by_session.pin().get_or_insert(owner, made));
        self.keep_swept(workers);
        Some(live)
    }

    /// For a seat that was taken.
    fn live(&self, component: Weak<Component>) -> Arc<Live> {
        Arc::new(Live {
            place: self.made.fetch_add(1, Ordering::Relaxed),
            lease: Mutex::new(None),
            component,
            used_ms: AtomicU64::new(self.now_ms()),
            is_over: AtomicBool::new(false),
            seats: Arc::clone(&self.seats),
        })
    }

    fn takes_seat(&self) -> bool {
        if self.seats.taken.fetch_add(1, Ordering::AcqRel) < self.seats.max {
            return true;
        }
        self.seats.taken.fetch_sub(1, Ordering::AcqRel);
        false
    }

    /// Instances that live, with places for such.
    pub(crate) fn count(&self) -> usize {
        self.seats.taken.load(Ordering::Acquire)
    }

    /// Drops those of a session that is no more. A call that runs on one still ends on it.
    pub(crate) fn end_session(&self, session: SessionId) {
        self.end_sessions(|other| other == session);
    }

    /// The same for all sessions that are no more.
    pub(crate) fn end_sessions(&self, is_over: impl Fn(SessionId) -> bool) {
        self.remove(|owner, _| owner.1.is_some_and(&is_over));
    }

    /// Drops those that were not used for long, and those of components that are no more.
    fn sweep(&self) {
        let now = self.now_ms();
        let idle_ms = u64::try_from(self.idle_deadline.as_millis()).unwrap_or(u64::MAX);
        self.remove(|_, live| {
            let is_idle = now.saturating_sub(live.used_ms.load(Ordering::Relaxed)) >= idle_ms;
            // One that serves a call is used.
            (is_idle && live.lease.try_lock().is_ok()) || live.component.strong_count() == 0
        });
    }

    fn remove(&self, is_over: impl Fn(&Owner, &Live) -> bool) {
        let map = self.by_session.pin();
        for (owner, live) in &map {
            if is_over(owner, live)
                && let Some(live) = map.remove(owner)
            {
                live.close();
            }
        }
    }

    /// Sees to it that somebody sweeps, as long as there is anything to be swept.
    fn keep_swept(self: &Arc<Self>, workers: &tokio::runtime::Handle) {
        if self.is_swept.swap(true, Ordering::AcqRel) {
            return;
        }
        let set = Arc::downgrade(self);
        let period = (self.idle_deadline / SWEEPS_PER_DEADLINE).max(Duration::from_millis(10));
        workers.spawn(async move {
            loop {
                tokio::time::sleep(period).await;
                let Some(set) = set.upgrade() else { return };
                set.sweep();
                if set.by_session.pin().is_empty() {
                    set.is_swept.store(false, Ordering::Release);
                    // One may have come since; whoever brought it saw that there was a sweeper.
                    if set.by_session.pin().is_empty() || set.is_swept.swap(true, Ordering::AcqRel)
                    {
                        return;
                    }
                }
            }
        });
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl fmt::Debug for LiveSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveSet")
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}
