//! The recorder's thread, and the handles to it.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::audit::{self, AuditLog, AuditOptions};
use super::disk::{Disk, PlainDisk, UringDisk};
use super::files::{self, FileJob};
use super::lane::{Bell, Lane, LogProducer};
use super::log::{Log, LogCounters, LogOptions, LogStats};
use crate::error::{Problem, exit};

/// Time for frames to gather after the first one rings: what bounds wakes and writes under load.
pub(super) const GATHER: Duration = Duration::from_millis(5);

/// Commands that may wait; each comes from control or a command, never from a shard.
const COMMANDS_MAX: usize = 1_024;

/// Whole files that may wait to be written; each comes from a command that awaits it.
const FILE_JOBS_MAX: usize = 64;

/// What the recorder's files are written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// tokio-uring.
    Uring,
    /// Ordinary system calls, for hosts that forbid io_uring.
    Plain,
}

/// Why something that was recorded is not known to be durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Stopped {
    /// The recorder has stopped.
    #[error("the recorder has stopped")]
    Gone,
    /// Frames were lost because the log's file failed.
    #[error("the log's file failed and frames were lost")]
    Lost,
}

/// One log of the recorder.
#[derive(Clone, Debug)]
pub struct LogKey {
    index: usize,
    counters: Arc<LogCounters>,
}

impl LogKey {
    /// What became of the log's frames.
    pub fn stats(&self) -> LogStats {
        self.counters.read()
    }
}

enum Command {
    Open {
        path: PathBuf,
        options: LogOptions,
        reply: oneshot::Sender<io::Result<LogKey>>,
    },
    Produce {
        index: usize,
        reply: oneshot::Sender<LogProducer>,
    },
    Sync {
        index: usize,
        reply: oneshot::Sender<Result<(), Stopped>>,
    },
    Reopen {
        reply: oneshot::Sender<()>,
    },
    Audit {
        options: Box<AuditOptions>,
        reply: oneshot::Sender<io::Result<AuditLog>>,
    },
    File(FileJob),
    Stop,
}

/// The running recorder. Dropping it drains every lane and ends the thread.
#[derive(Debug)]
pub struct Recorder {
    handle: RecorderHandle,
    thread: Option<JoinHandle<()>>,
}

/// A way to the recorder; any number of them.
#[derive(Clone, Debug)]
pub struct RecorderHandle {
    commands: mpsc::Sender<Command>,
}

impl Recorder {
    /// Starts the thread.
    ///
    /// Errors: the host does not let a ring be made or its buffers be registered, with the likely cause.
    pub fn start(backend: Backend) -> Result<Self, Problem> {
        match backend {
            Backend::Uring => Self::spawn(run_on_uring),
            Backend::Plain => Self::spawn(|start| run_on_tokio(PlainDisk, start)),
        }
        .map_err(|error| unfit(&error))
    }

    /// Starts the thread on a disk of the caller's making.
    #[cfg(test)]
    pub(super) fn start_on<D: Disk + Send>(disk: D) -> io::Result<Self> {
        Self::spawn(|start| run_on_tokio(disk, start))
    }

    fn spawn(body: impl FnOnce(Start) + Send + 'static) -> io::Result<Self> {
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let (ready, started) = std::sync::mpsc::sync_channel(1);
        let start = Start { inbox, ready };
        let thread = std::thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || body(start))?;
        started
            .recv()
            .map_err(|_| io::Error::other("the recorder's thread ended at once"))??;
        Ok(Self {
            handle: RecorderHandle { commands },
            thread: Some(thread),
        })
    }

    /// A handle to it.
    pub fn handle(&self) -> RecorderHandle {
        self.handle.clone()
    }

    /// Writes and syncs what the lanes hold, then ends the thread. Blocks until that is done.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        // Not a blocking send: that panics inside a runtime, and `stop` may be called there.
        while let Err(TrySendError::Full(_)) = self.handle.commands.try_send(Command::Stop) {
            std::thread::sleep(GATHER);
        }
        if thread.join().is_err() {
            tracing::error!("the recorder's thread panicked");
        }
    }
}

impl RecorderHandle {
    /// Opens a log, made if missing, locked against other processes.
    ///
    /// Errors: the file's, or that it is no log, or that another process writes it.
    pub async fn open_log(&self, path: PathBuf, options: LogOptions) -> io::Result<LogKey> {
        self.ask(|reply| Command::Open {
            path,
            options,
            reply,
        })
        .await
        .map_err(gone)?
    }

    /// Opens the audit log of a directory, made if missing, and looks whether it is as it was left.
    ///
    /// Errors: the file system's, or that another process writes it.
    pub async fn open_audit(&self, options: AuditOptions) -> io::Result<AuditLog> {
        let options = Box::new(options);
        self.ask(|reply| Command::Audit { options, reply })
            .await
            .map_err(gone)?
    }

    /// A new lane into a log, for one shard.
    ///
    /// Errors: the recorder has stopped.
    pub async fn producer(&self, log: &LogKey) -> Result<LogProducer, Stopped> {
        self.ask(|reply| Command::Produce {
            index: log.index,
            reply,
        })
        .await
    }

    /// Waits until every frame pushed before is on the disk. All who wait at one time share one sync.
    ///
    /// Errors: the recorder has stopped, or frames were lost since the last answer.
    pub async fn sync(&self, log: &LogKey) -> Result<(), Stopped> {
        self.ask(|reply| Command::Sync {
            index: log.index,
            reply,
        })
        .await?
    }

    /// Closes every log's file and opens its path again: log rotation.
    pub async fn reopen(&self) -> Result<(), Stopped> {
        self.ask(|reply| Command::Reopen { reply }).await
    }

    /// Replaces a file: at every moment, also of a crash, its name has the old content or the new.
    ///
    /// Errors: the file system's; then the old content stands.
    pub async fn write_file(&self, path: PathBuf, bytes: Vec<u8>) -> io::Result<()> {
        self.ask(|reply| Command::File(FileJob::Write { path, bytes, reply }))
            .await
            .map_err(gone)?
    }

    /// Removes a file durably.
    pub async fn remove_file(&self, path: PathBuf) -> io::Result<()> {
        self.ask(|reply| Command::File(FileJob::Remove { path, reply }))
            .await
            .map_err(gone)?
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.commands
            .send(command(reply))
            .await
            .map_err(|_| Stopped::Gone)?;
        answer.await.map_err(|_| Stopped::Gone)
    }
}

fn gone(stopped: Stopped) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, stopped)
}

/// What the thread gets: its inbox, and where to say that it stands.
struct Start {
    inbox: mpsc::Receiver<Command>,
    ready: std::sync::mpsc::SyncSender<io::Result<()>>,
}

fn run_on_uring(start: Start) {
    let Start { inbox, ready } = start;
    let runtime = match tokio_uring::Runtime::new(&tokio_uring::builder()) {
        Ok(runtime) => runtime,
        Err(error) => return drop(ready.send(Err(error))),
    };
    runtime.block_on(async {
        match UringDisk::new() {
            Ok(disk) => {
                drop(ready.send(Ok(())));
                run(Rc::new(disk), inbox).await;
            }
            Err(error) => drop(ready.send(Err(error))),
        }
    });
}

fn run_on_tokio<D: Disk>(disk: D, start: Start) {
    let Start { inbox, ready } = start;
    match tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
    {
        Ok(runtime) => {
            drop(ready.send(Ok(())));
            tokio::task::LocalSet::new().block_on(&runtime, run(Rc::new(disk), inbox));
        }
        Err(error) => drop(ready.send(Err(error))),
    }
}

async fn run<D: Disk>(disk: Rc<D>, mut inbox: mpsc::Receiver<Command>) {
    let (jobs, inbox_of_jobs) = mpsc::channel(FILE_JOBS_MAX);
    let Some(buffer) = disk.buffer() else { return };
    let files = tokio::task::spawn_local(files::serve(Rc::clone(&disk), buffer, inbox_of_jobs));
    let mut state = Running {
        disk,
        logs: Vec::new(),
        audits: Vec::new(),
        bell: Arc::default(),
        jobs,
    };
    let mut drain_at: Option<Instant> = None;
    loop {
        let bell = Arc::clone(&state.bell);
        let due = [drain_at, state.sync_at()].into_iter().flatten().min();
        tokio::select! {
            biased;
            command = inbox.recv() => {
                let Some(command) = command else { break };
                if !state.handle_all(command, &mut inbox).await {
                    break;
                }
            }
            () = bell.heard(), if drain_at.is_none() => drain_at = Some(Instant::now() + GATHER),
            () = until(due), if due.is_some() => {
                if drain_at.is_some_and(|at| at <= Instant::now()) {
                    drain_at = state.drain().await.then(Instant::now);
                }
                state.sync_due().await;
            }
        }
    }
    let Running {
        disk,
        logs,
        audits,
        jobs,
        ..
    } = state;
    for audit in audits {
        audit.stop().await;
    }
    for log in logs {
        log.finish(&*disk).await;
    }
    drop(jobs);
    // The jobs asked for before the stop are done before the thread ends.
    if files.await.is_err() {
        tracing::error!("the recorder's file task panicked");
    }
}

pub(super) async fn until(due: Option<Instant>) {
    if let Some(due) = due {
        let mut sleep = pin!(tokio::time::sleep_until(due));
        std::future::poll_fn(|cx| sleep.as_mut().poll(cx)).await;
    }
}

struct Running<D: Disk> {
    disk: Rc<D>,
    logs: Vec<Log<D>>,
    audits: Vec<audit::Serving>,
    bell: Arc<Bell>,
    jobs: mpsc::Sender<FileJob>,
}

impl<D: Disk> Running<D> {
    fn sync_at(&self) -> Option<Instant> {
        self.logs.iter().filter_map(Log::sync_at).min()
    }

    async fn drain(&mut self) -> bool {
        self.bell.reset();
        let mut more = false;
        for log in &mut self.logs {
            more |= log.drain(&*self.disk).await;
        }
        more
    }

    async fn sync_due(&mut self) {
        let now = Instant::now();
        for log in &mut self.logs {
            if log.sync_at().is_some_and(|at| at <= now) {
                log.sync(&*self.disk).await;
            }
        }
    }

    /// Handles a command and all that wait behind it, then syncs once for everyone who asked. False: stop.
    async fn handle_all(&mut self, first: Command, inbox: &mut mpsc::Receiver<Command>) -> bool {
        let mut next = Some(first);
        let mut go_on = true;
        while let Some(command) = next {
            go_on &= self.handle(command).await;
            next = inbox.try_recv().ok();
        }
        for log in &mut self.logs {
            if log.has_waiters() {
                log.drain(&*self.disk).await;
                log.sync(&*self.disk).await;
            }
        }
        go_on
    }

    async fn handle(&mut self, command: Command) -> bool {
        match command {
            Command::Open {
                path,
                options,
                reply,
            } => {
                let opened = Log::open(&*self.disk, path, options).map(|log| {
                    let key = LogKey {
                        index: self.logs.len(),
                        counters: Arc::clone(&log.counters),
                    };
                    self.logs.push(log);
                    key
                });
                let _ = reply.send(opened);
            }
            Command::Produce { index, reply } => {
                if let Some(log) = self.logs.get_mut(index) {
                    let lane = Arc::new(Lane::new());
                    log.add_lane(Arc::clone(&lane));
                    let _ = reply.send(LogProducer::new(lane, Arc::clone(&self.bell)));
                }
            }
            Command::Sync { index, reply } => {
                if let Some(log) = self.logs.get_mut(index) {
                    log.await_sync(reply);
                }
            }
            Command::Reopen { reply } => {
                for log in &mut self.logs {
                    log.reopen(&*self.disk).await;
                }
                let _ = reply.send(());
            }
            Command::Audit { options, reply } => {
                let opened = audit::start(&self.disk, *options).map(|(log, serving)| {
                    self.audits.push(serving);
                    log
                });
                let _ = reply.send(opened);
            }
            Command::File(job) => {
                // Waiting for a place here would keep the logs waiting too.
                if let Err(TrySendError::Full(job) | TrySendError::Closed(job)) =
                    self.jobs.try_send(job)
                {
                    job.refuse();
                }
            }
            Command::Stop => return false,
        }
        true
    }
}

fn unfit(error: &io::Error) -> Problem {
    let remedy = match error.raw_os_error() {
        Some(libc::ENOMEM) => "raise the locked-memory limit (`ulimit -l`) to 1024 KiB or more",
        Some(libc::EPERM | libc::ENOSYS | libc::EACCES) => {
            "allow io_uring on this host (`margay probe` names what forbids it), or use --io epoll"
        }
        _ => "run `margay probe`",
    };
    Problem::operator(
        exit::HOST,
        "recorder",
        error.to_string(),
        "cannot set up its ring",
        remedy,
    )
}
