//! One append-only log: lanes in, one file out.
//!
//! Invariant: `end` is the length of the file up to its last whole frame that a write reported as written. A write that fails leaves
//! the file cut to `end`; a sync that fails leaves it as it is; in both cases nothing is appended to that file again.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fs::File as StdFile;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::disk::{BUFFER_BYTES, Disk, Open, write_all};
use super::lane::Lane;
use super::recorder::Stopped;
use crate::secret::redactor;

/// Pause before a sealed log is begun anew; doubled by each failure in a row.
const SEALED_PAUSE: Duration = Duration::from_millis(250);
const SEALED_PAUSE_MAX: Duration = Duration::from_secs(30);

/// How a log is kept.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Longest time that a written frame stays without a sync; `None` leaves it to the kernel.
    pub sync_interval: Option<Duration>,
    /// Whether frames are lines. A last line without its end, left by a crash, is cut when the log is opened.
    pub lines: bool,
    /// Whether frames are lines of JSON from which secrets are taken out before they are written.
    pub redacts: bool,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            sync_interval: Some(Duration::from_secs(1)),
            lines: true,
            redacts: true,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct LogCounters {
    frames: AtomicU64,
    bytes: AtomicU64,
    lost: AtomicU64,
    failures: AtomicU64,
    syncs: AtomicU64,
}

/// What became of a log's frames, and how often its file failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Frames written.
    pub frames: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Frames taken from a lane and lost because the file failed. (What a lane dropped is counted by its producer.)
    pub lost: u64,
    /// Times the file was sealed.
    pub failures: u64,
    /// Syncs that succeeded.
    pub syncs: u64,
}

impl LogCounters {
    pub(super) fn read(&self) -> LogStats {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        LogStats {
            frames: load(&self.frames),
            bytes: load(&self.bytes),
            lost: load(&self.lost),
            failures: load(&self.failures),
            syncs: load(&self.syncs),
        }
    }
}

enum State<F> {
    Open {
        file: F,
        end: u64,
        unsynced_since: Option<Instant>,
    },
    Sealed {
        until: Instant,
    },
}

/// A log with its file, its lanes and those who wait for a sync.
pub(super) struct Log<D: Disk> {
    path: PathBuf,
    options: LogOptions,
    state: State<D::File>,
    lanes: Vec<Arc<Lane>>,
    buffer: Option<D::Buffer>,
    filled: usize,
    staged: u64,
    pause: Duration,
    lost_unreported: bool,
    waiters: Vec<oneshot::Sender<Result<(), Stopped>>>,
    pub(super) counters: Arc<LogCounters>,
}

impl<D: Disk> Log<D> {
    /// Opens or makes the file and cuts a torn last line.
    pub(super) fn open(disk: &D, path: PathBuf, options: LogOptions) -> io::Result<Self> {
        let (file, length) = disk.open(&path, Open::Log)?;
        let end = if options.lines {
            whole_lines(&path, length)?
        } else {
            length
        };
        if end < length {
            tracing::warn!(path = %path.display(), bytes = length - end, "cut a torn last line");
            disk.truncate(&path, end)?;
        }
        let buffer = disk
            .buffer()
            .ok_or_else(|| io::Error::other("too many logs are open"))?;
        Ok(Self {
            path,
            options,
            state: State::Open {
                file,
                end,
                unsynced_since: None,
            },
            lanes: Vec::new(),
            buffer: Some(buffer),
            filled: 0,
            staged: 0,
            pause: SEALED_PAUSE,
            lost_unreported: false,
            waiters: Vec::new(),
            counters: Arc::default(),
        })
    }

    pub(super) fn add_lane(&mut self, lane: Arc<Lane>) {
        self.lanes.push(lane);
    }

    /// Answers `reply` after a sync that covers every frame pushed so far.
    pub(super) fn await_sync(&mut self, reply: oneshot::Sender<Result<(), Stopped>>) {
        self.waiters.push(reply);
    }

    pub(super) fn has_waiters(&self) -> bool {
        !self.waiters.is_empty()
    }

    /// When the next sync is due.
    pub(super) fn sync_at(&self) -> Option<Instant> {
        let State::Open {
            unsynced_since: Some(since),
            ..
        } = &self.state
        else {
            return None;
        };
        self.options.sync_interval.map(|interval| *since + interval)
    }

    /// Writes what the lanes hold now; what arrives meanwhile waits for the next round. True if such frames are there.
    pub(super) async fn drain(&mut self, disk: &D) -> bool {
        self.revive(disk);
        let lanes = self.lanes.clone();
        for lane in &lanes {
            for _ in 0..lane.len() {
                let Some(frame) = lane.pop() else { break };
                let bytes = self.shown(&frame);
                if self.filled + bytes.len() > BUFFER_BYTES {
                    self.write(disk).await;
                }
                if let Some(buffer) = &mut self.buffer {
                    buffer[self.filled..self.filled + bytes.len()].copy_from_slice(&bytes);
                }
                self.filled += bytes.len();
                self.staged += 1;
                lane.recycle(frame);
            }
        }
        self.write(disk).await;
        lanes.iter().any(|lane| lane.len() > 0)
    }

    /// A frame as it is written. Of one that does not fit the buffer without its secrets, which may be shorter than what stands in
    /// their place, it is only told that it was there.
    fn shown<'f>(&self, frame: &'f [u8]) -> Cow<'f, [u8]> {
        let text = match self.options.redacts {
            true => std::str::from_utf8(frame),
            false => return frame.into(),
        };
        match text.map(|text| redactor().redact_json(text)) {
            Ok(Cow::Owned(text)) if text.len() <= BUFFER_BYTES => text.into_bytes().into(),
            Ok(Cow::Owned(_)) => b"{\"redacted\":true}\n".into(),
            _ => frame.into(),
        }
    }

    /// Appends the staged frames, or counts them as lost.
    async fn write(&mut self, disk: &D) {
        let (length, frames) = (
            std::mem::take(&mut self.filled),
            std::mem::take(&mut self.staged),
        );
        if length == 0 {
            return;
        }
        let buffer = self
            .buffer
            .take()
            .expect("invariant: the buffer is away only during this function");
        let State::Open {
            file,
            end,
            unsynced_since,
        } = &mut self.state
        else {
            self.buffer = Some(buffer);
            self.lose(frames);
            return;
        };
        let (result, buffer) = write_all(disk, file, buffer, length, *end).await;
        self.buffer = Some(buffer);
        match result {
            Ok(()) => {
                *end += length as u64;
                self.pause = SEALED_PAUSE;
                unsynced_since.get_or_insert_with(Instant::now);
                self.counters.frames.fetch_add(frames, Ordering::Relaxed);
                self.counters
                    .bytes
                    .fetch_add(length as u64, Ordering::Relaxed);
            }
            Err(error) => {
                self.lose(frames);
                self.seal(disk, &error, "a write").await;
            }
        }
    }

    fn lose(&mut self, frames: u64) {
        self.lost_unreported = true;
        self.counters.lost.fetch_add(frames, Ordering::Relaxed);
    }

    /// Syncs, if anything is unsynced, and answers everyone who waits.
    pub(super) async fn sync(&mut self, disk: &D) {
        let result = match &mut self.state {
            State::Open {
                file,
                unsynced_since: unsynced @ Some(_),
                ..
            } => {
                let result = disk.sync(file).await;
                *unsynced = None;
                self.counters
                    .syncs
                    .fetch_add(u64::from(result.is_ok()), Ordering::Relaxed);
                result
            }
            _ => Ok(()),
        };
        let failed = result.is_err();
        if let Err(error) = result {
            self.seal(disk, &error, "a sync").await;
        }
        let durable = !failed && !std::mem::take(&mut self.lost_unreported);
        for waiter in self.waiters.drain(..) {
            let _ = waiter.send(if durable { Ok(()) } else { Err(Stopped::Lost) });
        }
    }

    /// Ends the use of a file that failed.
    async fn seal(&mut self, disk: &D, error: &io::Error, what: &str) {
        self.counters.failures.fetch_add(1, Ordering::Relaxed);
        let next = self.pause();
        let State::Open { file, end, .. } = std::mem::replace(&mut self.state, next) else {
            return;
        };
        let aside = if end == 0 {
            // Nothing worth keeping: an empty sealed file for each retry would fill the directory.
            disk.remove(&self.path)
        } else {
            disk.truncate(&self.path, end)
                .and_then(|()| disk.rename(&self.path, &self.sealed_name()))
        };
        tracing::error!(
            path = %self.path.display(), %error, set_aside = aside.is_ok(),
            "{what} failed: the log is sealed, a new file follows, frames meanwhile are lost and counted"
        );
        disk.close(file).await;
    }

    /// `access.jsonl.sealed-1`, with the first number that is free.
    fn sealed_name(&self) -> PathBuf {
        let name = |number: u64| {
            let mut name = OsString::from(self.path.as_os_str());
            name.push(format!(".sealed-{number}"));
            PathBuf::from(name)
        };
        (1..)
            .map(name)
            .find(|path| !path.exists())
            .unwrap_or_else(|| name(0))
    }

    /// Begins a new file once the pause of a sealed log is over.
    fn revive(&mut self, disk: &D) {
        let State::Sealed { until } = &self.state else {
            return;
        };
        if Instant::now() < *until {
            return;
        }
        self.state = match disk.open(&self.path, Open::Log) {
            Ok((file, end)) => State::Open {
                file,
                end,
                unsynced_since: None,
            },
            Err(error) => {
                tracing::error!(path = %self.path.display(), %error, "a sealed log could not be begun anew");
                self.pause()
            }
        };
    }

    /// Sealed for a while, and for twice as long the next time unless a write succeeds.
    fn pause(&mut self) -> State<D::File> {
        let until = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(SEALED_PAUSE_MAX);
        State::Sealed { until }
    }

    /// Closes the file and opens the path again, for log rotation.
    pub(super) async fn reopen(&mut self, disk: &D) {
        self.drain(disk).await;
        self.sync(disk).await;
        let next = State::Sealed {
            until: Instant::now(),
        };
        if let State::Open { file, .. } = std::mem::replace(&mut self.state, next) {
            disk.close(file).await;
        }
        self.revive(disk);
    }

    /// Writes and syncs everything, closes the lanes and the file.
    pub(super) async fn finish(mut self, disk: &D) {
        for lane in &self.lanes {
            lane.close();
        }
        self.drain(disk).await;
        self.sync(disk).await;
        if let State::Open { file, .. } = self.state {
            disk.close(file).await;
        }
    }
}

/// The length of a file up to its last line end.
///
/// Errors: no line end within the last buffer's length: that is not a log of ours, and cutting it would destroy it.
fn whole_lines(path: &Path, length: u64) -> io::Result<u64> {
    let start = length.saturating_sub(BUFFER_BYTES as u64);
    let mut file = StdFile::open(path)?;
    file.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    file.take(BUFFER_BYTES as u64).read_to_end(&mut tail)?;
    match memchr::memrchr(b'\n', &tail) {
        Some(index) => Ok(start + index as u64 + 1),
        None if tail.is_empty() => Ok(length),
        None => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "does not consist of lines; it is not a log",
        )),
    }
}
