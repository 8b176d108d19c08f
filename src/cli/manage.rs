//! `margay manage`: the management tools for one client, on standard input and output.

use std::io::{BufRead, Read, Write};

use clap::Args;

use crate::control::config::LogLevel;
use crate::control::management::{Desk, Server, too_long};
use crate::error::{Problem, exit};

use super::Common;

#[derive(Debug, Args)]
#[command(after_help = "\
Whoever speaks to this may load components and grant them permissions: it is
for the person in charge, in a client of his own. A running `margay serve`
that watches the same component directory notices within a second.

In a client's configuration:
  {\"mcpServers\": {\"margay-management\": {
    \"command\": \"margay\", \"args\": [\"manage\"]}}}")]
pub(super) struct ManageArgs {
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(args: &ManageArgs) -> Result<u8, Problem> {
    let config = args
        .common
        .load(&args.common.overrides(&[]), LogLevel::Warn)?;
    let bytes_max = config.limits.body_bytes_max;
    let (desk, mut server) = (Desk::new(&config), Server::default());
    let (mut input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
    let mut line = Vec::new();
    loop {
        line.clear();
        let most = bytes_max as u64 + 1;
        let read = Read::by_ref(&mut input)
            .take(most)
            .read_until(b'\n', &mut line)
            .map_err(|error| broken("standard input", &error))?;
        if read == 0 {
            return Ok(0);
        }
        let is_whole = line.ends_with(b"\n") || line.len() <= bytes_max;
        if !is_whole {
            input
                .skip_until(b'\n')
                .map_err(|error| broken("standard input", &error))?;
        }
        let message = line.trim_ascii();
        if message.is_empty() {
            continue;
        }
        let answer = match is_whole {
            true => server.answer(&desk, message),
            false => Some(too_long(bytes_max)),
        };
        if let Some(mut answer) = answer {
            answer.push(b'\n');
            let written = output.write_all(&answer).and_then(|()| output.flush());
            match written {
                // Its client has gone: there is nobody left to serve.
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(0),
                written => written.map_err(|error| broken("standard output", &error))?,
            }
        }
    }
}

fn broken(thing: &str, error: &std::io::Error) -> Problem {
    Problem::operator(
        exit::UNAVAILABLE,
        thing,
        "",
        error.to_string(),
        "start it from an MCP client",
    )
}
