//! `margay upstream`: what upstreams need of an operator.

use clap::{Args, Subcommand};

use super::{Common, print_line};
use crate::control::config::LogLevel;
use crate::control::upstreams;
use crate::error::Problem;

pub(super) const EXAMPLES: &str = "\
Examples:
  margay upstream login docs --config margay.yaml
                       shows the URL where margay is allowed to use `docs`,
                       and waits for the browser to come back; a running
                       margay uses what is kept then";

/// What is done with upstreams.
#[derive(Debug, Subcommand)]
pub(super) enum UpstreamCommand {
    /// Allow margay to use an upstream that has `auth.authorization_code`.
    Login(LoginArgs),
}

#[derive(Debug, Args)]
pub(super) struct LoginArgs {
    #[command(flatten)]
    common: Common,
    /// The upstream's name in the configuration.
    name: String,
    /// Follow the authorization without a browser: for servers that ask nobody.
    #[arg(long)]
    follow: bool,
}

pub(super) fn run(command: &UpstreamCommand) -> Result<u8, Problem> {
    let UpstreamCommand::Login(args) = command;
    let config = args
        .common
        .load(&args.common.overrides(&[]), LogLevel::Warn)?;
    let tell = |url: &str| {
        // A closed output is noticed when the end is said.
        let _ = print_line(&format!(
            "Open this URL in a browser on this machine:\n\n  {url}\n"
        ));
    };
    let scopes = upstreams::login(&config, &args.name, args.follow, &tell)?;
    let with = match scopes.as_str() {
        "" => String::new(),
        scopes => format!(" with the scopes {scopes}"),
    };
    print_line(&format!("margay may use `{}`{with}", args.name))
}
