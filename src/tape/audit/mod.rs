//! The audit log's writer: lanes in, a chain of hashes out, in files that follow each other.
//!
//! ```text
//! DIR/audit.0001.jsonl    lines; made anew by size and by age, the chain goes on
//! DIR/audit.head          how far the log went when this was written, with a MAC
//! DIR/audit.lock          held by the process that writes
//! ```
//!
//! - Shards write through an [`AuditLane`] of their own, everybody else through [`crate::audit::Audit`]: a bounded lane each, no wait, no
//!   lock. What finds no room is counted, and the log gets a line that says how many events were lost since which line.
//! - One task of the recorder's thread takes the lanes' events in turn, redacts secrets, numbers and chains them, and writes. The order of
//!   lines is the order in which it took them; each has the time at which it was told.
//! - A write that fails is tried again with the same bytes, from the file's last whole line; meanwhile nothing is taken from the lanes, so
//!   they fill, and what happens then is the operator's choice (`when_full`).
//! - After a sync that failed the file is left, and the next one begins by saying which lines may be missing.
//! - Opening reads the last file: a torn last line is cut and the log says so; damage before it is left as it is, a new file
//!   begins, and its first line says so.

mod lane;
mod open;
mod segment;
#[cfg(test)]
mod tests;
mod told;
mod writer;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::audit::{Audit, Choice, Key};

pub use lane::{AuditLane, Kept};
pub use segment::{HEAD_FILE, Segment, segments};
use writer::{Writer, serve};

use super::lane::Lane;
use super::recorder::Stopped;
use lane::Told;

/// Events that may wait in one lane: a quarter of a second of a busy shard, while the disk is slow.
pub(super) const LANE_EVENTS_MAX: usize = 16_384;

/// Requests that may wait; each is awaited by whoever asked.
const REQUESTS_MAX: usize = 1_024;

/// Bytes that may wait in one lane.
pub(super) const LANE_BYTES_MAX: usize = 8 << 20;

/// How an audit log is kept.
#[derive(Clone, Debug)]
pub struct AuditOptions {
    /// Where its files are.
    pub directory: PathBuf,
    /// The key of its checkpoints.
    pub key: Key,
    /// Which events are kept.
    pub choice: Choice,
    /// A file that has reached this length is followed by another.
    ///
    /// Units: bytes.
    pub rotate_bytes: u64,
    /// And one that is so old.
    pub rotate_after: Duration,
    /// Files that were not written to for longer are removed.
    pub retention: Duration,
    /// Longest time that a line stays without a sync.
    pub sync_interval: Duration,
    /// Longest time that a line stays without a checkpoint.
    pub checkpoint_interval: Duration,
    /// Whether calls are to be refused while there is no room for what is to be said about them.
    pub refuses_when_full: bool,
}

impl AuditOptions {
    /// The usual ones.
    pub fn new(directory: PathBuf, key: Key) -> Self {
        Self {
            directory,
            key,
            choice: Choice::default(),
            rotate_bytes: 64 << 20,
            rotate_after: Duration::from_secs(86_400),
            retention: Duration::from_secs(90 * 86_400),
            sync_interval: Duration::from_millis(250),
            checkpoint_interval: Duration::from_secs(60),
            refuses_when_full: false,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) lines: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) syncs: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) seq: AtomicU64,
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }
}

/// What became of the audit log's events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditStats {
    /// Lines written.
    pub lines: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Syncs that succeeded.
    pub syncs: u64,
    /// Times that its file failed.
    pub failures: u64,
    /// Events for which there was no room.
    pub lost: u64,
    /// The number of the last line.
    pub seq: u64,
}

/// What the writer is asked for.
pub(super) enum Request {
    Lane(Arc<Lane>),
    Sync(oneshot::Sender<Result<u64, Stopped>>),
}

/// An open audit log; any number of them are one.
#[derive(Clone)]
pub struct AuditLog {
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) bell: Arc<super::lane::Bell>,
    pub(super) counters: Arc<Counters>,
    pub(super) choice: Choice,
    pub(super) refuses_when_full: bool,
    pub(super) told: Arc<Told>,
}

impl AuditLog {
    /// The way for one shard.
    ///
    /// Errors: the recorder has stopped.
    pub async fn lane(&self) -> Result<AuditLane, Stopped> {
        let lane = Arc::new(Lane::of(LANE_EVENTS_MAX, LANE_BYTES_MAX));
        self.requests
            .send(Request::Lane(Arc::clone(&lane)))
            .await
            .map_err(|_| Stopped::Gone)?;
        let producer = super::lane::LogProducer::new(lane, Arc::clone(&self.bell));
        Ok(AuditLane::new(
            producer,
            self.choice,
            self.refuses_when_full,
        ))
    }

    /// The way for everybody else.
    pub fn audit(&self) -> Audit {
        Audit::new(Arc::clone(&self.told) as Arc<dyn crate::audit::Sink>)
    }

    /// Waits until every event told before is on the disk. All who wait at one time share one sync.
    ///
    /// Shape: the number of the last line that is.
    /// Errors: the recorder has stopped, or lines were lost.
    pub async fn sync(&self) -> Result<u64, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.requests
            .send(Request::Sync(reply))
            .await
            .map_err(|_| Stopped::Gone)?;
        answer.await.map_err(|_| Stopped::Gone)?
    }

    /// What became of its events.
    pub fn stats(&self) -> AuditStats {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        AuditStats {
            lines: load(&counters.lines),
            bytes: load(&counters.bytes),
            syncs: load(&counters.syncs),
            failures: load(&counters.failures),
            lost: load(&counters.lost),
            seq: load(&counters.seq),
        }
    }
}

impl std::fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuditLog")
            .field("stats", &self.stats())
            .finish()
    }
}

/// An error that names the file it is about.
fn about(path: &std::path::Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Opens a log and begins to serve it, on the recorder's thread. The log ends after `stop` was told.
///
/// Errors: the file system's, or that another process writes it.
pub(super) fn start<D: super::disk::Disk>(
    disk: &std::rc::Rc<D>,
    options: AuditOptions,
) -> io::Result<(AuditLog, Serving)> {
    let counters: Arc<Counters> = Arc::default();
    let bell: Arc<super::lane::Bell> = Arc::default();
    let (choice, refuses_when_full) = (options.choice, options.refuses_when_full);
    let mut writer = Writer::open(&**disk, options, Arc::clone(&counters))?;
    let lane = Arc::new(Lane::of(LANE_EVENTS_MAX, LANE_BYTES_MAX));
    writer.add_lane(Arc::clone(&lane));
    let producer = super::lane::LogProducer::new(lane, Arc::clone(&bell));
    let (requests, inbox) = mpsc::channel(REQUESTS_MAX);
    let (stop, stopped) = oneshot::channel();
    let task = tokio::task::spawn_local(serve(
        std::rc::Rc::clone(disk),
        writer,
        Arc::clone(&bell),
        inbox,
        stopped,
    ));
    let log = AuditLog {
        requests,
        bell,
        counters,
        choice,
        refuses_when_full,
        told: Arc::new(Told::new(producer, choice)),
    };
    Ok((log, Serving { stop, task }))
}

/// A log that is being served.
pub(super) struct Serving {
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Serving {
    /// Has everything written and synced.
    pub(super) async fn stop(self) {
        drop(self.stop);
        if self.task.await.is_err() {
            tracing::error!("the audit log's task panicked");
        }
    }
}
