//! The one writer of an audit log: it takes events from the lanes, chains their lines, writes and syncs them.
//!
//! Invariants: `end` is the length of the file up to the last whole line that a write reported as written. A line that was chained
//! is written, or is in `staged` and will be: nothing else is taken from a lane before.

use std::fs::File as StdFile;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::audit::{CHECKPOINT_LINES, FRAME_BYTES_MAX, Head, Link, MEMBERS_BYTES_MAX, write_iso};
use crate::secret::redactor;

use super::super::disk::{BUFFER_BYTES, Disk, Open, write_all};
use super::super::files::write_new;
use super::super::lane::{Bell, Lane};
use super::super::recorder::{Stopped, until};
use super::lane::{TIME_BYTES, now_ms};
use super::segment::{HEAD_FILE, Segment, Span, segments, span};
use super::{AuditOptions, Counters, Request, about, told};

/// Bytes of one line: a redaction is longer than the shortest secret.
const LINE_BYTES_MAX: usize = 2 * MEMBERS_BYTES_MAX + FRAME_BYTES_MAX;

/// A line, and the checkpoint that may follow it, fit an empty buffer many times.
const _: () = assert!(8 * LINE_BYTES_MAX <= 3 * BUFFER_BYTES);

/// How long events gather before they are written: each round costs a few switches between threads, whatever it writes. A lane holds a
/// quarter of a second of a busy shard.
const GATHER: Duration = Duration::from_millis(20);

/// Pause before a write that failed is tried again; doubled by each failure in a row.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Times that a log which ends tries to write what it has.
const LAST_TRIES: usize = 3;

/// A lane, and how many of its losses the log has told.
struct Source {
    lane: Arc<Lane>,
    told_lost: u64,
}

/// The writer's state.
pub(crate) struct Writer<D: Disk> {
    pub(super) options: AuditOptions,
    /// The last line that was chained.
    pub(super) link: Link,
    /// The last line that was written.
    pub(super) written: Link,
    pub(super) segment: Segment,
    /// `None` after a failure, until the next file is open.
    pub(super) file: Option<D::File>,
    pub(super) end: u64,
    pub(super) begun: Instant,
    staged: Vec<u8>,
    buffer: Option<D::Buffer>,
    sources: Vec<Source>,
    first_source: usize,
    unsynced_since: Option<Instant>,
    /// The last line that was synced.
    synced_seq: u64,
    checkpoint_seq: u64,
    checkpoint_at: Instant,
    pause: Duration,
    retry_at: Option<Instant>,
    rotate_at: Instant,
    waiters: Vec<oneshot::Sender<Result<u64, Stopped>>>,
    /// A sync has failed since those who wait were last answered.
    is_doubtful: bool,
    counters: Arc<Counters>,
    /// Held as long as this writes.
    _lock: StdFile,
}

/// What was found when a log was opened.
pub(super) struct Opened<F> {
    pub(super) segment: Segment,
    pub(super) file: F,
    pub(super) end: u64,
    pub(super) link: Link,
    /// Lines that say what was found.
    pub(super) notes: Vec<Vec<u8>>,
    pub(super) lock: StdFile,
}

impl<D: Disk> Writer<D> {
    /// Opens the log of a directory, made if missing, and writes nothing yet. Reads the last file: blocks.
    pub(crate) fn open(
        disk: &D,
        options: AuditOptions,
        counters: Arc<Counters>,
    ) -> io::Result<Self> {
        let opened = super::open::open(disk, &options)?;
        let buffer = disk
            .buffer()
            .ok_or_else(|| io::Error::other("too many logs are open"))?;
        let (now, segment) = (Instant::now(), opened.segment);
        let mut writer = Self {
            link: opened.link,
            written: opened.link,
            file: Some(opened.file),
            end: opened.end,
            begun: begun(&segment.path, now),
            staged: Vec::with_capacity(BUFFER_BYTES),
            buffer: Some(buffer),
            sources: Vec::new(),
            first_source: 0,
            unsynced_since: None,
            segment,
            synced_seq: opened.link.seq,
            checkpoint_seq: opened.link.seq,
            checkpoint_at: now + options.checkpoint_interval,
            pause: PAUSE,
            retry_at: None,
            rotate_at: now,
            waiters: Vec::new(),
            is_doubtful: false,
            counters,
            _lock: opened.lock,
            options,
        };
        for note in opened.notes {
            writer.chain(now_ms(), &note);
        }
        writer.chain_checkpoint();
        Ok(writer)
    }

    pub(crate) fn add_lane(&mut self, lane: Arc<Lane>) {
        self.sources.push(Source { lane, told_lost: 0 });
    }

    /// Stages the next line, and a checkpoint where one is due.
    fn chain(&mut self, time_ms: u64, members: &[u8]) {
        self.link.append(&mut self.staged, time_ms, members);
        if self.link.seq - self.checkpoint_seq >= CHECKPOINT_LINES - 1 {
            self.chain_checkpoint();
        }
    }

    fn chain_checkpoint(&mut self) {
        let members = self.link.checkpoint(&self.options.key);
        self.link.append(&mut self.staged, now_ms(), &members);
        self.checkpoint_seq = self.link.seq;
    }

    /// Stages an event, without secrets.
    fn chain_frame(&mut self, frame: &[u8]) {
        let Some((time, members)) = frame.split_first_chunk::<TIME_BYTES>() else {
            return;
        };
        let time_ms = u64::from_le_bytes(*time);
        match std::str::from_utf8(members) {
            Ok(text) => self.chain(time_ms, redactor().redact_json(text).as_bytes()),
            // Not from an event: those are text.
            Err(_) => self.chain(time_ms, &told::damaged("an event that is no text")),
        }
    }

    /// Stages the lines about events that found no room.
    fn chain_losses(&mut self) {
        let since = self.link.seq;
        let mut count = 0;
        for source in &mut self.sources {
            let lost = source.lane.dropped();
            count += lost - source.told_lost;
            source.told_lost = lost;
        }
        if count > 0 {
            Counters::add(&self.counters.lost, count);
            tracing::error!(
                count,
                since,
                "events of the audit log were lost: there was no room"
            );
            self.chain(now_ms(), &told::lost(count, since));
        }
    }

    /// Writes what the lanes hold now; what arrives meanwhile waits for the next round. True if such events are there, and can be
    /// written.
    async fn drain(&mut self, disk: &D) -> bool {
        if !self.flush(disk).await {
            return false;
        }
        let count = self.sources.len();
        for turn in 0..count {
            let lane = Arc::clone(&self.sources[(self.first_source + turn) % count].lane);
            for _ in 0..lane.len() {
                if self.staged.len() + 2 * LINE_BYTES_MAX > BUFFER_BYTES && !self.flush(disk).await
                {
                    return false;
                }
                let Some(frame) = lane.pop() else { break };
                self.chain_frame(&frame);
                lane.recycle(frame);
            }
        }
        self.first_source = (self.first_source + 1) % count.max(1);
        // After the events that were there first, and once there is room again.
        self.chain_losses();
        if !self.flush(disk).await {
            return false;
        }
        self.rotate_if_due(disk).await;
        self.sources.iter().any(|source| source.lane.len() > 0)
    }

    /// Writes the staged lines. False if that failed, or a failure is too short ago.
    async fn flush(&mut self, disk: &D) -> bool {
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            return false;
        }
        if self.file.is_none() && !self.begin_next(disk).await {
            return false;
        }
        let length = self.staged.len();
        let Some(file) = &self.file else { return false };
        if length == 0 {
            return true;
        }
        let mut buffer = self
            .buffer
            .take()
            .expect("invariant: the buffer is away only during this function and `write_head`");
        buffer[..length].copy_from_slice(&self.staged);
        let (result, buffer) = write_all(disk, file, buffer, length, self.end).await;
        self.buffer = Some(buffer);
        match result {
            Ok(()) => {
                self.end += length as u64;
                self.staged.clear();
                Counters::add(&self.counters.lines, self.link.seq - self.written.seq);
                Counters::add(&self.counters.bytes, length as u64);
                self.written = self.link;
                let seq = self.link.seq;
                self.counters
                    .seq
                    .store(seq, std::sync::atomic::Ordering::Relaxed);
                self.unsynced_since.get_or_insert_with(Instant::now);
                self.pause = PAUSE;
                self.retry_at = None;
                true
            }
            Err(error) => {
                self.write_failed(disk, &error).await;
                false
            }
        }
    }

    /// What a failed write has left is cut; the same bytes are written again after a pause.
    async fn write_failed(&mut self, disk: &D, error: &io::Error) {
        let cut = disk.truncate(&self.segment.path, self.end);
        tracing::error!(
            path = %self.segment.path.display(), %error, is_cut = cut.is_ok(),
            "the audit log could not be written; it is tried again, and events wait meanwhile"
        );
        if cut.is_err() {
            self.leave(disk).await;
        }
        self.fail();
    }

    fn fail(&mut self) {
        Counters::add(&self.counters.failures, 1);
        self.retry_at = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }

    /// Nothing is appended to this file again.
    async fn leave(&mut self, disk: &D) {
        if let Some(file) = self.file.take() {
            disk.close(file).await;
        }
    }

    /// Opens the next file. What it begins with is staged by whoever wants it.
    async fn begin_next(&mut self, disk: &D) -> bool {
        let next = Segment::of(&self.options.directory, self.segment.number + 1);
        let opened = disk.open(&next.path, Open::PrivateLog);
        let synced = match &opened {
            Ok(_) => disk.sync_directory(&self.options.directory).await,
            Err(_) => Ok(()),
        };
        match (opened, synced) {
            (Ok((file, end)), Ok(())) => {
                self.segment = next;
                self.file = Some(file);
                self.end = end;
                self.begun = Instant::now();
                true
            }
            (opened, synced) => {
                let error = opened.err().map_or(synced, Err);
                tracing::error!(path = %next.path.display(), error = ?error.err(), "the audit log's next file cannot be begun");
                self.fail();
                false
            }
        }
    }

    /// Syncs, if anything is unsynced, and answers everyone who waits.
    async fn sync(&mut self, disk: &D) {
        if let (Some(file), Some(_)) = (&self.file, self.unsynced_since) {
            let result = disk.sync(file).await;
            self.unsynced_since = None;
            match result {
                Ok(()) => {
                    Counters::add(&self.counters.syncs, 1);
                    self.synced_seq = self.written.seq;
                }
                Err(error) => self.sync_failed(disk, &error).await,
            }
        }
        let is_doubtful = std::mem::take(&mut self.is_doubtful) || !self.staged.is_empty();
        let answer = match is_doubtful {
            false => Ok(self.synced_seq),
            true => Err(Stopped::Lost),
        };
        for waiter in self.waiters.drain(..) {
            // Whoever asked may have left.
            let _ = waiter.send(answer);
        }
    }

    /// Nobody knows what the disk has of what was written since the last sync: the next file says so.
    async fn sync_failed(&mut self, disk: &D, error: &io::Error) {
        self.is_doubtful = true;
        let (from, to) = (self.synced_seq + 1, self.written.seq);
        let name = self.segment.name();
        tracing::error!(%error, file = name, from, to, "a sync of the audit log failed: lines may be missing; another file begins");
        Counters::add(&self.counters.failures, 1);
        self.leave(disk).await;
        let detail = format!("a sync of {name} failed: lines {from} to {to} may be missing");
        self.chain(now_ms(), &told::damaged(detail));
        self.synced_seq = self.written.seq;
        self.flush(disk).await;
    }

    /// A checkpoint, a sync, and the head.
    async fn checkpoint(&mut self, disk: &D) {
        self.checkpoint_at = Instant::now() + self.options.checkpoint_interval;
        if self.link.seq > self.checkpoint_seq {
            self.chain_checkpoint();
        }
        if self.flush(disk).await {
            self.sync(disk).await;
            self.write_head(disk).await;
        }
    }

    async fn write_head(&mut self, disk: &D) {
        if self.synced_seq != self.written.seq {
            return;
        }
        let Some(buffer) = self.buffer.take() else {
            return;
        };
        let head = Head::new(self.written, &self.options.key).write();
        let directory = &self.options.directory;
        let path = directory.join(HEAD_FILE);
        let temporary = directory.join(format!(".{HEAD_FILE}.new"));
        // What a crash has left of an earlier one.
        let _ = disk.remove(&temporary);
        let (written, buffer) =
            write_new(disk, buffer, (&temporary, Open::PrivateNew), &head).await;
        self.buffer = Some(buffer);
        let result = match written {
            Ok(file) => {
                let synced = disk.sync(&file).await;
                disk.close(file).await;
                synced.and_then(|()| disk.rename(&temporary, &path))
            }
            Err(error) => Err(error),
        };
        let result = match result {
            Ok(()) => disk.sync_directory(directory).await,
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            tracing::error!(path = %path.display(), %error, "the audit log's head could not be written");
        }
    }

    async fn rotate_if_due(&mut self, disk: &D) {
        let is_due = self.end >= self.options.rotate_bytes
            || self.begun.elapsed() >= self.options.rotate_after;
        if !is_due || self.file.is_none() || Instant::now() < self.rotate_at {
            return;
        }
        // Whatever fails here is not tried in each round.
        self.rotate_at = Instant::now() + PAUSE_MAX.min(self.options.rotate_after);
        self.chain_checkpoint();
        if !self.flush(disk).await {
            return;
        }
        self.sync(disk).await;
        let before = self.segment.name();
        let name = Segment::of(&self.options.directory, self.segment.number + 1).name();
        self.leave(disk).await;
        if self.begin_next(disk).await {
            self.rotate_at = Instant::now();
        }
        // Where the next cannot be begun yet, this is its first line once it can.
        self.chain(now_ms(), &told::continued(&name, &before));
        self.checkpoint(disk).await;
        self.remove_old(disk).await;
    }

    /// Removes files that are older than the retention, after the log has said so.
    async fn remove_old(&mut self, disk: &D) {
        let Ok(found) = segments(&self.options.directory) else {
            return;
        };
        let retention_ms = u64::try_from(self.options.retention.as_millis()).unwrap_or(u64::MAX);
        let mut oldest = Vec::new();
        write_iso(&mut oldest, now_ms().saturating_sub(retention_ms));
        for (segment, next) in found.iter().zip(found.iter().skip(1)) {
            if segment.number >= self.segment.number {
                return;
            }
            // The chain says how old a file is: what the file system says anybody can set who can write here, and a file that was made
            // to look old would be removed in the log's own name.
            let next_began = span(&next.path).ok().and_then(|next| next.began);
            if next_began.is_none_or(|began| began.as_bytes() > oldest.as_slice()) {
                return;
            }
            let Span { first, last, .. } = span(&segment.path).unwrap_or_default();
            self.chain(now_ms(), &told::removed(&segment.name(), first, last));
            if !self.flush(disk).await {
                return;
            }
            self.sync(disk).await;
            if self.synced_seq != self.written.seq {
                return;
            }
            if let Err(error) = disk.remove(&segment.path) {
                let error = about(&segment.path, &error);
                return tracing::error!(%error, "an old file of the audit log could not be removed");
            }
        }
    }

    fn sync_at(&self) -> Option<Instant> {
        self.unsynced_since
            .map(|since| since + self.options.sync_interval)
    }

    /// Writes and syncs everything, closes the lanes and the file.
    async fn finish(mut self, disk: &D) {
        for source in &self.sources {
            source.lane.close();
        }
        for _ in 0..LAST_TRIES {
            while self.drain(disk).await {}
            self.checkpoint(disk).await;
            if self.staged.is_empty() {
                break;
            }
            until(self.retry_at).await;
        }
        let waiting: usize = self.sources.iter().map(|source| source.lane.len()).sum();
        if waiting > 0 || !self.staged.is_empty() {
            let lines = self.link.seq - self.written.seq;
            tracing::error!(
                events = waiting,
                lines,
                "the audit log ends without what could not be written"
            );
        }
        self.leave(disk).await;
    }
}

/// When a file was made, as far as the file system knows.
fn begun(path: &Path, now: Instant) -> Instant {
    let age = std::fs::metadata(path)
        .and_then(|facts| facts.created())
        .map(|created| created.elapsed().unwrap_or_default());
    now.checked_sub(age.unwrap_or_default()).unwrap_or(now)
}

/// Serves an audit log beside the other logs, until it is told to stop.
pub(crate) async fn serve<D: Disk>(
    disk: Rc<D>,
    mut writer: Writer<D>,
    bell: Arc<Bell>,
    mut requests: mpsc::Receiver<Request>,
    mut stop: oneshot::Receiver<()>,
) {
    writer.checkpoint(&*disk).await;
    writer.remove_old(&*disk).await;
    let mut drain_at: Option<Instant> = None;
    let mut is_asked = true;
    loop {
        let due = [drain_at, writer.sync_at(), writer.retry_at];
        let due = due.into_iter().flatten().min();
        let due = Some(due.map_or(writer.checkpoint_at, |due| due.min(writer.checkpoint_at)));
        tokio::select! {
            biased;
            _ = &mut stop => break,
            request = requests.recv(), if is_asked => {
                is_asked = request.is_some();
                let mut next = request;
                while let Some(request) = next {
                    match request {
                        Request::Lane(lane) => writer.add_lane(lane),
                        Request::Sync(reply) => writer.waiters.push(reply),
                    }
                    next = requests.try_recv().ok();
                }
                if !writer.waiters.is_empty() {
                    writer.drain(&*disk).await;
                    writer.sync(&*disk).await;
                }
            }
            () = bell.heard(), if drain_at.is_none() && writer.retry_at.is_none() => {
                drain_at = Some(Instant::now() + GATHER);
            }
            () = until(due) => {
                let now = Instant::now();
                if drain_at.is_some_and(|at| at <= now) || writer.retry_at.is_some_and(|at| at <= now) {
                    bell.reset();
                    drain_at = writer.drain(&*disk).await.then(Instant::now);
                }
                if writer.sync_at().is_some_and(|at| at <= now) {
                    writer.sync(&*disk).await;
                }
                if writer.checkpoint_at <= now {
                    writer.checkpoint(&*disk).await;
                }
            }
        }
    }
    // A lane that was handed out a moment ago is closed like the others.
    requests.close();
    while let Some(request) = requests.recv().await {
        match request {
            Request::Lane(lane) => writer.add_lane(lane),
            Request::Sync(reply) => writer.waiters.push(reply),
        }
    }
    writer.finish(&*disk).await;
}
