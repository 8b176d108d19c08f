//! The life of one child, carried out: what [`Lifetime`] decides, done to processes.

use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::backoff::{Action, Lifetime, LifetimeRules};
use super::keeper::{KILL_NOW, describe};
use super::log::{ErrorLog, LogLine};
use super::spawn::{Spawned, Spawner};
use super::spec::ChildSpec;
use crate::ring::OneEvent;

/// Bytes of standard error read at a time.
const READ_BYTES: usize = 4 << 10;

/// What becomes of a child, for those who talk to it.
#[derive(Debug)]
pub enum ChildEvent {
    /// It runs; this is its standard input and output. Nothing is known of whether it answers.
    Started(OwnedFd),
    /// Close its input: it is to end.
    CloseInput,
    /// It has ended, or could not be started.
    Ended {
        /// How, for the log.
        how: String,
        /// When it is started again; `None`: never.
        restart_in_ms: Option<u64>,
    },
}

/// What a child's owner wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// End it, and start it again.
    Restart,
    /// It has answered something.
    Proved,
    /// End it for good. So does dropping the sender.
    Stop,
}

/// Runs a child until it is to stop, starting it again whenever it ends.
///
/// Shape: inside a tokio runtime; `random` gives fresh random numbers. Returns when the child and all that it has started
/// has ended.
pub async fn supervise(
    spec: ChildSpec,
    rules: LifetimeRules,
    spawner: &Spawner,
    mut orders: mpsc::Receiver<Order>,
    mut random: impl FnMut() -> u64,
    mut tell: impl FnMut(ChildEvent),
) {
    let epoch = Instant::now();
    let now_ms = || u64::try_from(epoch.elapsed().as_millis()).unwrap_or(u64::MAX);
    let mut life = Lifetime::new(rules);
    let mut running: Option<Running> = None;
    while !life.is_over() {
        let action = life.tick(now_ms());
        match action {
            Some(Action::Start) => match Running::start(&spec, spawner) {
                Ok((started, stream)) => {
                    running = Some(started);
                    life.started(now_ms());
                    tell(ChildEvent::Started(stream));
                }
                Err(error) => tell(ChildEvent::Ended {
                    how: format!("its keeper could not be started: {error}"),
                    restart_in_ms: life.ended(now_ms(), random()),
                }),
            },
            Some(action) => carry_out(action, running.as_ref(), &mut tell),
            None => {}
        }
        if action.is_some() {
            continue;
        }
        let due = life.due_ms();
        let wake = epoch + Duration::from_millis(due.unwrap_or(0));
        tokio::select! {
            status = ended(running.as_mut()) => {
                running = None;
                let how = status.map_or_else(|error| error.to_string(), describe);
                let restart_in_ms = life.ended(now_ms(), random());
                tell(ChildEvent::Ended { how, restart_in_ms });
            }
            order = orders.recv(), if !life.is_stopping() => {
                let first = match order {
                    Some(Order::Restart) => life.restart(now_ms()),
                    Some(Order::Proved) => {
                        life.proved();
                        None
                    }
                    Some(Order::Stop) | None => life.stop(now_ms()),
                };
                if let Some(first) = first {
                    carry_out(first, running.as_ref(), &mut tell);
                }
            }
            () = sleep_until(wake), if due.is_some() => {}
        }
    }
}

fn carry_out(action: Action, running: Option<&Running>, tell: &mut impl FnMut(ChildEvent)) {
    match action {
        Action::Start => {}
        Action::CloseInput => tell(ChildEvent::CloseInput),
        Action::Terminate => signal(running, Signal::TERM),
        Action::Kill => signal(running, KILL_NOW),
        Action::Force => {
            // The keeper, too: the kernel then ends the server, and the group has most of what it started.
            if let Some(pid) = running.map(|running| running.pid) {
                let _ = kill_process_group(pid, Signal::KILL);
            }
        }
    }
}

fn signal(running: Option<&Running>, signal: Signal) {
    if let Some(running) = running {
        // The keeper was not waited for, so its number is nobody else's. ESRCH: it has ended.
        let _ = kill_process(running.pid, signal);
    }
}

/// A child that runs.
struct Running {
    keeper: std::process::Child,
    pid: Pid,
    end: OneEvent,
}

impl Running {
    fn start(spec: &ChildSpec, spawner: &Spawner) -> io::Result<(Self, OwnedFd)> {
        let Spawned {
            keeper,
            stream,
            errors,
        } = spawner.spawn(spec)?;
        let pid = i32::try_from(keeper.id())
            .ok()
            .and_then(Pid::from_raw)
            .ok_or(io::ErrorKind::InvalidData)?;
        let end = OneEvent::new(pidfd_open(pid, PidfdFlags::NONBLOCK)?)?;
        tokio::spawn(log_errors(
            spec.name.clone(),
            pipe::Receiver::from_owned_fd(errors)?,
        ));
        Ok((Self { keeper, pid, end }, stream))
    }
}

/// Waits for the keeper's end; for ever where there is none.
async fn ended(running: Option<&mut Running>) -> io::Result<ExitStatus> {
    match running {
        None => std::future::pending().await,
        Some(running) => {
            running.end.happened().await?;
            // It leaves nothing behind, unless it was killed itself. As long as it is not waited for, its group is its own.
            let _ = kill_process_group(running.pid, Signal::KILL);
            running.keeper.wait()
        }
    }
}

/// Copies a child's standard error to the log, until it is closed.
async fn log_errors(name: String, mut errors: pipe::Receiver) {
    let epoch = Instant::now();
    let mut log = ErrorLog::default();
    let mut buffer = vec![0; READ_BYTES];
    let mut tell = |line| match line {
        LogLine::Text(line) => tracing::info!(upstream = name, "{line}"),
        LogLine::TooLong => tracing::info!(upstream = name, "(a line too long to log)"),
        LogLine::Dropped(count) => {
            tracing::warn!(upstream = name, count, "lines were not logged: too many")
        }
    };
    let now_ms = || u64::try_from(epoch.elapsed().as_millis()).unwrap_or(u64::MAX);
    while let Ok(count @ 1..) = errors.read(&mut buffer).await {
        log.receive(&buffer[..count], now_ms(), &mut tell);
    }
    log.finish(now_ms(), &mut tell);
}
