//! The tasks of the process, as everybody reads them: without a lock, and without asking the engine.
//!
//! Only the engine writes here. What stands here is on the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use papaya::HashMap;

use crate::limits::Limits;
use crate::mcp::Principal;

use super::id::{Owner, TaskId};
use super::life::Refused;
use super::record::{Record, State};

/// One task, as everybody reads it.
#[derive(Debug)]
pub struct Entry {
    id: TaskId,
    owner: Owner,
    current: ArcSwap<Record>,
    followers: AtomicUsize,
    gone: AtomicBool,
}

impl Entry {
    /// Its id.
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// The task as it is now.
    pub fn record(&self) -> Arc<Record> {
        self.current.load_full()
    }

    /// Whether its time was over and it was removed.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// From now on changes of the task ring the bell of [`Table::changes`], until what this gives is dropped.
    pub fn follow(self: &Arc<Self>) -> Follow {
        self.followers.fetch_add(1, Ordering::SeqCst);
        Follow {
            entry: Arc::clone(self),
            told_ms: 0,
        }
    }
}

/// Somebody's interest in a task's changes.
#[derive(Debug)]
pub struct Follow {
    entry: Arc<Entry>,
    /// The change that was told last.
    told_ms: u64,
}

impl Follow {
    /// The task.
    pub fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// The task, if it has changed since it was [`Follow::told`] last.
    pub fn news(&self) -> Option<Arc<Record>> {
        let record = self.entry.current.load();
        (record.updated_ms > self.told_ms).then(|| Arc::clone(&record))
    }

    /// Whether there is nothing more to be told.
    pub fn is_over(&self) -> bool {
        let record = self.entry.current.load();
        self.entry.is_gone() || (record.is_terminal() && record.updated_ms <= self.told_ms)
    }

    /// This is told now.
    pub fn told(&mut self, record: &Record) {
        self.told_ms = record.updated_ms;
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        self.entry.followers.fetch_sub(1, Ordering::SeqCst);
    }
}

/// How many tasks there are, and what became of those there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskCounts {
    /// Tasks that are kept.
    pub kept: usize,
    /// Bytes that they keep.
    pub kept_bytes: usize,
    /// Runs that are going on.
    pub running: usize,
    /// Tasks made since the start.
    pub made: u64,
    /// Tasks that were refused for a limit, or because the disk failed.
    pub refused: u64,
    /// Tasks that ended with a result.
    pub completed: u64,
    /// Tasks that ended without one.
    pub failed: u64,
    /// Tasks that were given up.
    pub cancelled: u64,
    /// Tasks whose time was over.
    pub expired: u64,
    /// Records that the disk did not take.
    pub unstored: u64,
}

#[derive(Debug, Default)]
struct Counters {
    kept: AtomicUsize,
    kept_bytes: AtomicUsize,
    running: AtomicUsize,
    made: AtomicU64,
    refused: AtomicU64,
    completed: AtomicU64,
    failed: AtomicU64,
    cancelled: AtomicU64,
    expired: AtomicU64,
    unstored: AtomicU64,
}

/// A page of a list of tasks.
#[derive(Debug, Default)]
pub struct TaskPage {
    /// The tasks, the oldest first.
    pub records: Vec<Arc<Record>>,
    /// Where the next page goes on, if there is one: after this task.
    pub next: Option<(u64, TaskId)>,
}

/// The tasks of the process.
#[derive(Debug)]
pub struct Table {
    tasks: HashMap<TaskId, Arc<Entry>>,
    /// Tasks of each principal that was authenticated.
    shares: HashMap<u128, usize>,
    counters: Counters,
    /// Counts the changes of followed tasks.
    changes: AtomicU64,
    limits: Limits,
}

impl Table {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            tasks: HashMap::new(),
            shares: HashMap::new(),
            counters: Counters::default(),
            changes: AtomicU64::new(0),
            limits,
        }
    }

    /// The task of this id, if it is this principal's: somebody else's is as unknown as one that never was.
    pub fn find(&self, id: &str, principal: Principal) -> Option<Arc<Entry>> {
        let id = TaskId::parse(id)?;
        let tasks = self.tasks.pin();
        let entry = tasks.get(&id)?;
        (entry.owner.principal == principal).then(|| Arc::clone(entry))
    }

    /// The tasks that a list for this caller names, the oldest first.
    ///
    /// Shape: `after` is where the page before ended; a task that is gone by now does no harm.
    /// Cost: looks at every task of the process, of which there are at most `limits.task_count_max`.
    pub fn list(&self, asking: &Owner, after: Option<(u64, TaskId)>, count_max: usize) -> TaskPage {
        let mut found: Vec<Arc<Record>> = self
            .tasks
            .pin()
            .values()
            .filter(|entry| entry.owner.is_listed_for(asking))
            .map(|entry| entry.record())
            .filter(|record| after.is_none_or(|after| place(record) > after))
            .collect();
        found.sort_unstable_by_key(|record| place(record));
        let more = found.len() > count_max;
        found.truncate(count_max);
        let next = found.last().filter(|_| more).map(|record| place(record));
        TaskPage {
            records: found,
            next,
        }
    }

    /// Counts the changes of followed tasks: whoever follows some looks at them when this has grown.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    /// The numbers.
    pub fn counts(&self) -> TaskCounts {
        let Counters {
            kept,
            kept_bytes,
            running,
            made,
            refused,
            completed,
            failed,
            cancelled,
            expired,
            unstored,
        } = &self.counters;
        TaskCounts {
            kept: kept.load(Ordering::Relaxed),
            kept_bytes: kept_bytes.load(Ordering::Relaxed),
            running: running.load(Ordering::Relaxed),
            made: made.load(Ordering::Relaxed),
            refused: refused.load(Ordering::Relaxed),
            completed: completed.load(Ordering::Relaxed),
            failed: failed.load(Ordering::Relaxed),
            cancelled: cancelled.load(Ordering::Relaxed),
            expired: expired.load(Ordering::Relaxed),
            unstored: unstored.load(Ordering::Relaxed),
        }
    }

    /// Bytes that all tasks together may still take.
    pub(super) fn room(&self) -> usize {
        let kept = self.counters.kept_bytes.load(Ordering::Relaxed);
        self.limits.task_bytes_max.saturating_sub(kept)
    }

    /// Takes a place for a new task; given back by [`Table::release`].
    ///
    /// Errors: the bound that is reached.
    pub(super) fn admit(&self, record: &Record) -> Result<(), Refused> {
        let limits = &self.limits;
        let full = |limit, value| Err(Refused::Full { limit, value });
        let refused = if self.counters.kept.load(Ordering::Relaxed) >= limits.task_count_max {
            full("limits.task_count_max", limits.task_count_max)
        } else if self.share(record) >= limits.task_share_max {
            full("limits.task_share_max", limits.task_share_max)
        } else if record.kept_bytes() > self.room() {
            full("limits.task_bytes_max", limits.task_bytes_max)
        } else {
            Ok(())
        };
        if refused.is_err() {
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
            return refused;
        }
        self.take(record);
        Ok(())
    }

    /// Takes a place for a task that is there already, whatever the bounds say: it was acknowledged.
    pub(super) fn take(&self, record: &Record) {
        self.counters.kept.fetch_add(1, Ordering::Relaxed);
        self.counters
            .kept_bytes
            .fetch_add(record.kept_bytes(), Ordering::Relaxed);
        if record.owner.principal != Principal::ANONYMOUS {
            let shares = self.shares.pin();
            shares.update_or_insert(record.owner.principal.0, |count| count + 1, 1);
        }
    }

    /// Gives the place of a task back.
    pub(super) fn release(&self, record: &Record) {
        self.counters.kept.fetch_sub(1, Ordering::Relaxed);
        self.counters
            .kept_bytes
            .fetch_sub(record.kept_bytes(), Ordering::Relaxed);
        let (shares, key) = (self.shares.pin(), record.owner.principal.0);
        if shares.update(key, |count| count - 1) == Some(&0) {
            shares.remove(&key);
        }
    }

    fn share(&self, record: &Record) -> usize {
        let key = record.owner.principal.0;
        self.shares.pin().get(&key).copied().unwrap_or(0)
    }

    /// Lets everybody see a record; the first one of a task is the one that its place was taken with. Says whether anybody follows it.
    pub(super) fn publish(&self, record: &Arc<Record>) -> bool {
        let tasks = self.tasks.pin();
        let Some(entry) = tasks.get(&record.id) else {
            let entry = Entry {
                id: record.id,
                owner: record.owner,
                current: ArcSwap::new(Arc::clone(record)),
                followers: AtomicUsize::new(0),
                gone: AtomicBool::new(false),
            };
            tasks.insert(record.id, Arc::new(entry));
            return false;
        };
        let before = entry.current.swap(Arc::clone(record));
        let bytes = &self.counters.kept_bytes;
        bytes.fetch_add(record.kept_bytes(), Ordering::Relaxed);
        bytes.fetch_sub(before.kept_bytes(), Ordering::Relaxed);
        self.count_end(record);
        self.announce(entry)
    }

    /// Forgets a task. Says whether anybody follows it.
    pub(super) fn remove(&self, record: &Record) -> bool {
        let tasks = self.tasks.pin();
        let Some(entry) = tasks.remove(&record.id) else {
            return false;
        };
        entry.gone.store(true, Ordering::Release);
        self.release(record);
        self.announce(entry)
    }

    fn announce(&self, entry: &Entry) -> bool {
        let followed = entry.followers.load(Ordering::SeqCst) > 0;
        if followed {
            self.changes.fetch_add(1, Ordering::SeqCst);
        }
        followed
    }

    fn count_end(&self, record: &Record) {
        let counter = match &record.state {
            State::Working(_) | State::InputRequired { .. } => return,
            State::Completed { .. } => &self.counters.completed,
            State::Failed { .. } => &self.counters.failed,
            State::Cancelled => &self.counters.cancelled,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_made(&self) {
        self.counters.made.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_refused(&self) {
        self.counters.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_expired(&self) {
        self.counters.expired.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_unstored(&self) {
        self.counters.unstored.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn set_running(&self, count: usize) {
        self.counters.running.store(count, Ordering::Relaxed);
    }
}

/// Where a task stands in lists.
fn place(record: &Record) -> (u64, TaskId) {
    (record.created_ms, record.id)
}

#[cfg(test)]
mod tests;
