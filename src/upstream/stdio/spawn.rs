//! Starting a child under its keeper.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

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
