//! The command line: what is typed, turned into calls of the library.
//!
//! Every error is one line on standard error with the thing, its value, the rule and the remedy, and an exit code that tells the kinds
//! apart ([`crate::error::exit`]). `stdio` writes nothing but MCP to standard output; logs go to standard error always.
#![forbid(unsafe_code)]

mod audit;
mod child;
mod component;
mod key;
mod log;
mod manage;
mod permission;
mod policy;
mod probe;
mod secret;
mod serve;
mod tool;
mod upstream;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::control::config::{Config, Io, LogFormat, LogLevel, Overrides};
use crate::error::{Problem, exit};

/// WebAssembly components as MCP tools, in one process on io_uring.
#[derive(Debug, Parser)]
#[command(
    name = "margay",
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
#[command(after_help = "\
Examples:
  margay serve                        demo tools on http://127.0.0.1:8080/mcp,
                                      and a curl line that calls one
  margay serve weather.wasm           one component, its exports as tools
  margay component load weather.wasm  keep it; every `margay serve` has it,
                                      a running one within a second
  margay tool call echo --args '{\"text\":\"hello\"}'
  margay stdio weather.wasm           for desktop clients

Exit codes:
  0 done                    69 address in use
  1 the tool failed         70 defect of margay
  64 wrong command line     71 host not fit (see `margay probe`)
  65 wrong file content     78 wrong configuration
  66 missing file")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve MCP over HTTP.
    Serve(Box<serve::ServeArgs>),
    /// Serve MCP on standard input and output, for clients that start their servers themselves.
    Stdio(serve::StdioArgs),
    /// List tools, or call one, without a server.
    #[command(subcommand, after_help = tool::EXAMPLES)]
    Tool(tool::ToolCommand),
    /// Manage the directory of loaded components.
    #[command(subcommand, after_help = component::EXAMPLES)]
    Component(component::ComponentCommand),
    /// Serve the management tools on standard input and output: they load components and grant permissions.
    Manage(manage::ManageArgs),
    /// Make API keys, for callers that are asked who they are.
    #[command(subcommand, after_help = key::EXAMPLES)]
    Key(key::KeyCommand),
    /// Manage what upstreams need of an operator.
    #[command(subcommand, after_help = upstream::EXAMPLES)]
    Upstream(upstream::UpstreamCommand),
    /// Read, explain and compare what components may reach.
    #[command(subcommand, after_help = policy::EXAMPLES)]
    Policy(policy::PolicyCommand),
    /// Grant a component what it may reach, and take it back.
    #[command(subcommand, after_help = permission::EXAMPLES)]
    Permission(permission::PermissionCommand),
    /// Manage the encrypted store of secrets.
    #[command(subcommand, after_help = secret::EXAMPLES)]
    Secret(secret::SecretCommand),
    /// Check or show the audit log.
    #[command(subcommand, after_help = audit::EXAMPLES)]
    Audit(audit::AuditCommand),
    /// Say whether this host is fit, and what to change where it is not.
    Probe(probe::ProbeArgs),
    /// Watch over one child of margay's: for margay itself.
    #[command(hide = true)]
    KeepChild(child::ChildArgs),
    /// Become one child of margay's: for margay itself.
    #[command(hide = true)]
    LaunchChild(child::ChildArgs),
    /// Write a shell completion script.
    #[command(after_help = "\
Examples:
  margay completions bash > ~/.local/share/bash-completion/completions/margay
  margay completions zsh  > ~/.zfunc/_margay
  margay completions fish > ~/.config/fish/completions/margay.fish")]
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// Options that every command with components has.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Common {
    /// Read this YAML file; the command line wins over it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of loaded components [default: $XDG_DATA_HOME/margay/components].
    #[arg(long, value_name = "DIR")]
    component_dir: Option<PathBuf>,
    /// Directory for compiled code [default: $XDG_CACHE_HOME/margay].
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
    /// Directory for what outlives a restart [default: $XDG_STATE_HOME/margay].
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// How much to log to standard error.
    #[arg(long, value_enum, value_name = "LEVEL")]
    log_level: Option<LogLevel>,
    /// How a log line looks.
    #[arg(long, value_enum, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// How sockets and files are driven; epoll is for hosts that forbid io_uring.
    #[arg(long, value_enum)]
    io: Option<Io>,
}

impl Common {
    fn overrides(&self, components: &[PathBuf]) -> Overrides {
        Overrides {
            components: components.to_vec(),
            component_dir: self.component_dir.clone(),
            cache_dir: self.cache_dir.clone(),
            state_dir: self.state_dir.clone(),
            log_level: self.log_level,
            log_format: self.log_format,
            io: self.io,
            ..Overrides::default()
        }
    }

    /// The configuration in force, with the log begun as it says; `quiet` is the level where nobody asked for one.
    fn load(&self, overrides: &Overrides, quiet: LogLevel) -> Result<Config, Problem> {
        let mut config = Config::load(self.config.as_deref(), overrides)?;
        if overrides.log_level.is_none() && config.log_level == LogLevel::default() {
            config.log_level = quiet;
        }
        log::begin(config.log_level, config.log_format);
        Ok(config)
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => run(cli),
        Err(error) => {
            // Help and version are not errors, and neither is help for a command that was left out.
            if !error.use_stderr()
                || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            {
                let _ = error.print();
                return ExitCode::from(if error.use_stderr() { exit::USAGE } else { 0 });
            }
            let problem = wrong_command_line(&error.to_string());
            print_problem(&problem);
            ExitCode::from(problem.exit_code)
        }
    }
}

/// The parser's paragraphs as one line: what is wrong, and its tip or where to read on.
fn wrong_command_line(text: &str) -> Problem {
    let paragraphs: Vec<String> = text.split("\n\n").map(one_line).collect();
    let rule = paragraphs
        .first()
        .map_or("", |first| first.trim_start_matches("error: "));
    let tip = paragraphs
        .iter()
        .find_map(|paragraph| paragraph.strip_prefix("tip: "));
    Problem::operator(
        exit::USAGE,
        "command line",
        "",
        rule,
        tip.unwrap_or("`--help` after the command explains it"),
    )
}

fn run(cli: Cli) -> ExitCode {
    let result = match cli.command {
        Command::Serve(args) => serve::serve(&args),
        Command::Stdio(args) => serve::stdio(&args),
        Command::Tool(command) => tool::run(&command),
        Command::Component(command) => component::run(&command),
        Command::Manage(args) => manage::run(&args),
        Command::Key(command) => key::run(&command),
        Command::Upstream(command) => upstream::run(&command),
        Command::Policy(command) => policy::run(&command),
        Command::Permission(command) => permission::run(&command),
        Command::Secret(command) => secret::run(&command),
        Command::Audit(command) => audit::run(&command),
        Command::Probe(args) => probe::run(&args),
        Command::KeepChild(args) => child::keep(&args),
        Command::LaunchChild(args) => child::launch(&args),
        Command::Completions { shell } => completions(shell),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(problem) => {
            print_problem(&problem);
            ExitCode::from(problem.exit_code)
        }
    }
}

fn completions(shell: Shell) -> Result<u8, Problem> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "margay", &mut script);
    print_bytes(&script)
}

/// Writes to standard output. A reader that has left (`margay … | head`) is no problem of ours.
fn print_bytes(bytes: &[u8]) -> Result<u8, Problem> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Problem::operator(
            exit::UNAVAILABLE,
            "standard output",
            "",
            error.to_string(),
            "write elsewhere",
        )),
        _ => Ok(0),
    }
}

fn print_line(text: &str) -> Result<u8, Problem> {
    print_bytes(format!("{text}\n").as_bytes())
}

/// One line on standard error; if that is closed, the exit code still tells.
fn print_problem(problem: &Problem) {
    let line = one_line(&problem.to_string());
    let line = crate::secret::redactor().redact(&line);
    let _ = writeln!(std::io::stderr(), "margay: {line}");
}

/// A message from a library may have several lines; a person's terminal and a supervisor's log get one.
fn one_line(text: &str) -> String {
    text.split(['\n', '\r'])
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests;
