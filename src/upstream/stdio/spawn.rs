//! Starting a child under its keeper.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::keeper::KEEP;
use super::spec::{ChildSpec, KeepOptions};

/// A child that was started.
#[derive(Debug)]
pub struct Spawned {
    /// Its keeper, which ends when the child and all that it has started has.
    pub keeper: Child,
    /// Our end of its standard input and output, for a ring to adopt.
    pub stream: OwnedFd,
    /// Its standard error.
    pub errors: OwnedFd,
}

/// Starts children: on the calling thread, or on one that keeps the rights that it was started with.
#[derive(Clone, Debug)]
pub struct Spawner {
    program: PathBuf,
    /// To the thread; `None`: the calling thread starts them.
    thread: Option<SyncSender<Job>>,
}

/// A child that is to be started, and where that is told.
#[derive(Debug)]
struct Job {
    spec: ChildSpec,
    started: SyncSender<io::Result<Spawned>>,
}

impl Spawner {
    /// Children are started by whoever asks. `program` is this binary, whose subcommands the keeper and the launcher are.
    pub fn here(program: &Path) -> Self {
        Self {
            program: program.to_owned(),
            thread: None,
        }
    }

    /// Children are started by a thread of their own, from now on until the last clone is dropped. What restricts itself later does
    /// not restrict them.
    ///
    /// Errors: the host gives no thread.
    pub fn on_its_own_thread(program: &Path) -> io::Result<Self> {
        let (sender, jobs) = sync_channel(1);
        let owned = program.to_owned();
        std::thread::Builder::new()
            .name("margay-spawner".to_owned())
            .spawn(move || start_all(&jobs, &owned))?;
        Ok(Self {
            program: program.to_owned(),
            thread: Some(sender),
        })
    }

    /// Starts a child; blocks for as long as that takes.
    ///
    /// Errors: the keeper cannot be started. That the server itself cannot is seen by its exit code 127, and in its log.
    pub fn spawn(&self, spec: &ChildSpec) -> io::Result<Spawned> {
        let Some(thread) = &self.thread else {
            return spawn(spec, &self.program);
        };
        let (started, told) = sync_channel(1);
        let job = Job {
            spec: spec.clone(),
            started,
        };
        let gone = || io::Error::other("the thread that starts children has ended");
        thread.send(job).map_err(|_| gone())?;
        told.recv().unwrap_or_else(|_| Err(gone()))
    }
}

fn start_all(jobs: &Receiver<Job>, program: &Path) {
    while let Ok(Job { spec, started }) = jobs.recv() {
        // Whoever asked may have gone: dropped, the child's input is closed, and it ends.
        let _ = started.send(spawn(&spec, program));
    }
}

/// Starts a child. `program` is this binary, whose subcommands the keeper and the launcher are.
///
/// Errors: the keeper cannot be started. That the server itself cannot is seen by its exit code 127, and in its log.
pub fn spawn(spec: &ChildSpec, program: &Path) -> io::Result<Spawned> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut command = vec![spec.program.clone()];
    command.extend(spec.arguments.iter().cloned());
    let options = KeepOptions {
        parent: std::process::id(),
        close_ms: spec.close_ms,
        term_ms: spec.term_ms,
        limits: spec.limits,
        command,
    };
    let mut keeper = Command::new(program);
    keeper
        .arg(KEEP)
        .args(options.to_arguments())
        .env_clear()
        .envs(spec.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::from(OwnedFd::from(theirs.try_clone()?)))
        .stdout(Stdio::from(OwnedFd::from(theirs)))
        .stderr(Stdio::piped())
        // A terminal's interrupt is for margay, which ends its children in order.
        .process_group(0);
    if let Some(directory) = &spec.directory {
        keeper.current_dir(directory);
    }
    let mut keeper = keeper.spawn()?;
    let errors = keeper.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
    Ok(Spawned {
        keeper,
        stream: ours.into(),
        errors: errors.into(),
    })
}
