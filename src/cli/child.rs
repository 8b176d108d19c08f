//! `margay keep-child` and `margay launch-child`: the processes between margay and a stdio upstream. Not for people.

use std::ffi::OsString;
use std::io::Write;

use clap::Args;

use crate::error::{Problem, exit};
use crate::upstream::stdio::{self, KeepOptions, ResourceLimits};

#[derive(Debug, Args)]
pub(super) struct ChildArgs {
    #[arg(long)]
    parent: u32,
    #[arg(long)]
    close_ms: u64,
    #[arg(long)]
    term_ms: u64,
    #[arg(long)]
    memory_bytes: Option<u64>,
    #[arg(long)]
    open_files: Option<u64>,
    #[arg(long)]
    cpu_seconds: Option<u64>,
    #[arg(long)]
    processes: Option<u64>,
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

impl ChildArgs {
    fn options(&self) -> KeepOptions {
        KeepOptions {
            parent: self.parent,
            close_ms: self.close_ms,
            term_ms: self.term_ms,
            limits: ResourceLimits {
                memory_bytes: self.memory_bytes,
                open_files: self.open_files,
                cpu_seconds: self.cpu_seconds,
                processes: self.processes,
            },
            command: self.command.clone(),
        }
    }
}

pub(super) fn keep(args: &ChildArgs) -> Result<u8, Problem> {
    stdio::keep(&args.options()).map_err(|error| {
        Problem::operator(
            exit::HOST,
            "keeper",
            "",
            error.to_string(),
            "start margay again",
        )
    })
}

/// Returns only where the server could not be started; why is said on its standard error, which is logged.
pub(super) fn launch(args: &ChildArgs) -> Result<u8, Problem> {
    let error = match stdio::launch(&args.options()) {
        Ok(code) => return Ok(code),
        Err(error) => error,
    };
    let program = args.command.first().cloned().unwrap_or_default();
    let line = format!("cannot start {}: {error}\n", program.display());
    let _ = std::io::stderr().write_all(line.as_bytes());
    Ok(stdio::not_launched())
}
