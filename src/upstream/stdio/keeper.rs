//! The two processes between margay and a server: the keeper, which stays, and the launcher, which becomes the server.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, WaitOptions, getpid, getppid, pidfd_open,
    set_child_subreaper, set_parent_process_death_signal, setrlimit, waitpid,
};
use tokio::signal::unix::{Signal as Arrivals, SignalKind, signal};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::spec::{KeepOptions, ResourceLimits};
use super::tree::{count_descendants, signal_descendants};
use crate::ring::OneEvent;

/// The subcommand that is the keeper.
pub(super) const KEEP: &str = "keep-child";
/// The subcommand that is the launcher.
pub(super) const LAUNCH: &str = "launch-child";

/// The signal by which margay tells a keeper to kill at once. SIGTERM is passed on.
pub(super) const KILL_NOW: Signal = Signal::USR1;

/// How often it is looked whether everything below is gone, and how many times at most.
const KILL_ROUND: Duration = Duration::from_millis(10);
const KILL_ROUNDS_MAX: usize = 500;
/// What a server that could not be started exits with, as shells have it.
const NOT_FOUND: u8 = 127;

/// Runs a child until it ends, margay ends, or margay says so; then ends all that the child has started.
///
/// Shape: the exit code to pass on: the child's, or 128 and the number of the signal that ended it.
/// Errors: the child cannot be started or watched.
pub fn keep(options: &KeepOptions) -> io::Result<u8> {
    let parent = hold_parent(options.parent)?;
    // Whatever the child leaves behind becomes ours to end.
    set_child_subreaper(Some(getpid()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let code = runtime.block_on(run(options, parent));
    runtime.block_on(kill_all());
    code
}

/// Sets the limits and becomes the server.
///
/// Errors: why not; this process goes on otherwise as the server and never returns.
pub fn launch(options: &KeepOptions) -> io::Result<u8> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if !is_parent(options.parent) {
        return Err(io::Error::other("the keeper has ended"));
    }
    apply(&options.limits)?;
    let (program, arguments) = options
        .command
        .split_first()
        .ok_or(io::ErrorKind::InvalidInput)?;
    Err(Command::new(program).args(arguments).exec())
}

/// The exit code for an error of [`launch`].
pub fn not_launched() -> u8 {
    NOT_FOUND
}

fn is_parent(pid: u32) -> bool {
    getppid().is_some_and(|parent| u32::try_from(parent.as_raw_nonzero().get()) == Ok(pid))
}

/// Holds on to the parent, so that its end is seen however it comes.
fn hold_parent(pid: u32) -> io::Result<OwnedFd> {
    let pid_held = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .ok_or(io::ErrorKind::InvalidInput)?;
    let held = pidfd_open(pid_held, PidfdFlags::NONBLOCK)?;
    // Had it ended before, its number could be another's now; but then it is our parent no more.
    if is_parent(pid) {
        Ok(held)
    } else {
        Err(io::Error::other("margay has ended"))
    }
}

fn apply(limits: &ResourceLimits) -> io::Result<()> {
    let set = |resource, value: Option<u64>| match value {
        None => Ok(()),
        Some(value) => setrlimit(
            resource,
            Rlimit {
                current: Some(value),
                maximum: Some(value),
            },
        ),
    };
    set(Resource::Data, limits.memory_bytes)?;
    set(Resource::Nofile, limits.open_files)?;
    set(Resource::Cpu, limits.cpu_seconds)?;
    set(Resource::Nproc, limits.processes)?;
    // A server's memory, with whatever secrets it has, is not written to disk when it crashes. Where the host forbids even
    // that, nobody has asked for it, and the server is started all the same.
    let _ = set(Resource::Core, Some(0));
    Ok(())
}

/// What a keeper listens to. Made before the child is, so that nothing is missed.
struct Ears {
    parent: OneEvent,
    children: Arrivals,
    terminate: Arrivals,
    interrupt: Arrivals,
    hang_up: Arrivals,
    kill: Arrivals,
}

impl Ears {
    fn new(parent: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            parent: OneEvent::new(parent)?,
            children: signal(SignalKind::child())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            kill: signal(SignalKind::from_raw(KILL_NOW.as_raw()))?,
        })
    }
}

async fn run(options: &KeepOptions, parent: OwnedFd) -> io::Result<u8> {
    let mut ears = Ears::new(parent)?;
    let own = KeepOptions {
        parent: std::process::id(),
        ..options.clone()
    };
    let child = Command::new("/proc/self/exe")
        .arg(LAUNCH)
        .args(own.to_arguments())
        .stdin(Stdio::inherit())
        .spawn()?;
    let child = i32::try_from(child.id()).unwrap_or(0);
    // Once margay is gone, its end of the stream is closed, so what is left is to wait, to terminate, to kill.
    let mut orphaned = false;
    let mut next = None;
    loop {
        let due = next.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
        tokio::select! {
            _ = ears.children.recv() => {
                if let Some(code) = reap(child) {
                    return Ok(code);
                }
            }
            _ = ears.kill.recv() => kill_all().await,
            _ = ears.terminate.recv() => drop(signal_descendants(Signal::TERM)),
            _ = ears.interrupt.recv() => drop(signal_descendants(Signal::TERM)),
            _ = ears.hang_up.recv() => drop(signal_descendants(Signal::TERM)),
            _ = ears.parent.happened(), if !orphaned => {
                orphaned = true;
                next = Some(Instant::now() + Duration::from_millis(options.close_ms));
            }
            () = sleep_until(due), if next.is_some() => {
                if signal_descendants(Signal::TERM) > 0 {
                    let _ = timeout(Duration::from_millis(options.term_ms), gone(&mut ears.children, child)).await;
                }
                kill_all().await;
                return Ok(reap(child).unwrap_or(NOT_FOUND));
            }
        }
    }
}

/// Waits until the child has ended.
async fn gone(children: &mut Arrivals, child: i32) {
    while count_descendants() > 0 {
        children.recv().await;
        reap(child);
    }
}

/// Takes leave of every process that ended; the exit code of the child, if it was among them.
fn reap(child: i32) -> Option<u8> {
    let mut code = None;
    while let Ok(Some((pid, status))) = waitpid(None, WaitOptions::NOHANG) {
        if pid.as_raw_nonzero().get() == child {
            let ended = status.exit_status().map(|code| code as u8);
            let killed = status.terminating_signal().map(|signal| 128 + signal as u8);
            code = ended.or(killed).or(Some(NOT_FOUND));
        }
    }
    code
}

/// Kills everything below this process, however often it starts anew.
async fn kill_all() {
    for _ in 0..KILL_ROUNDS_MAX {
        if signal_descendants(Signal::KILL) == 0 {
            return;
        }
        sleep(KILL_ROUND).await;
    }
}

/// A keeper's exit, for the log.
pub(super) fn describe(status: ExitStatus) -> String {
    match status.code() {
        Some(code @ 129..=192) => format!("ended by signal {}", code - 128),
        Some(code) => format!("exited with code {code}"),
        None => "its keeper was killed".to_owned(),
    }
}
