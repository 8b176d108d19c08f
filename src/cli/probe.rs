//! `margay probe`: is this host fit?

use clap::Args;

use crate::control::config::{Config, Io, LogLevel};
use crate::control::harden::offers;
use crate::error::{Problem, exit};
use crate::ring::probe;
use crate::tape::REGISTERED_BYTES;

use super::{Common, print_line};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  margay probe                            one line a finding, with cause and
                                          fix; exit code 71 if one is missing
  margay probe --config /etc/margay.yaml  against what that file needs
  margay probe --json")]
pub(super) struct ProbeArgs {
    /// Print the findings as a JSON array.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(args: &ProbeArgs) -> Result<u8, Problem> {
    let config = args
        .common
        .load(&args.common.overrides(&[]), LogLevel::Warn)?;
    let findings = findings(&config);
    if args.json {
        let all = findings.iter().map(|finding| {
            serde_json::json!({
                "name": finding.name,
                "ok": finding.ok,
                "found": finding.found,
                "cause": finding.cause,
                "fix": finding.fix,
            })
        });
        print_line(&serde_json::Value::Array(all.collect()).to_string())?;
    } else {
        for finding in &findings {
            print_line(&line(finding))?;
        }
    }
    Ok(if findings.iter().all(|finding| finding.ok) {
        0
    } else {
        exit::HOST
    })
}

fn line(finding: &probe::Finding) -> String {
    let probe::Finding {
        name,
        ok,
        found,
        cause,
        fix,
    } = finding;
    if *ok {
        format!("ok    {name}: {found}")
    } else {
        format!("FAIL  {name}: {found}: {cause}; {fix}")
    }
}

/// Raises what this process may raise by itself, then looks.
fn findings(config: &Config) -> Vec<probe::Finding> {
    probe::raise_open_files(config.limits.connection_count_max);
    let io = match config.io {
        Io::Uring => probe::Io::Uring,
        Io::Epoll => probe::Io::Epoll,
    };
    let mut findings = probe::probe(&probe::Needs {
        io,
        connection_count_max: config.limits.connection_count_max,
        memlock_bytes_min: REGISTERED_BYTES,
    });
    findings.extend(offers(&config.hardening));
    findings
}

/// Errors: the first thing that keeps this host from serving this configuration.
pub(super) fn require(config: &Config) -> Result<(), Problem> {
    probe::verdict(&findings(config))
}
