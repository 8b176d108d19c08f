//! `margay permission`: what a component may reach, granted and taken back one line at a time.

use clap::{Args, Subcommand, ValueEnum};

use crate::control::config::{Config, LogLevel};
use crate::control::store::Store;
use crate::error::{Problem, exit};
use crate::policy::permission::{Access, Ask, Change, Decide, quantity_bytes};

use super::{Common, print_line};

pub(super) const EXAMPLES: &str = "\
Examples:
  margay permission grant weather network api.open-meteo.com
  margay permission grant notes storage 'fs:///srv/notes/**' --access read,write
  margay permission grant weather environment API_KEY
  margay permission grant weather memory 512Mi
  margay permission revoke weather network api.open-meteo.com
  margay permission reset weather

They change NAME.policy.yaml in the component directory; a running
`margay serve` has it within a second. Limits of ports, methods and paths,
denials and secrets are written there by hand: see `margay policy --help`.";

#[derive(Debug, Subcommand)]
pub(super) enum PermissionCommand {
    /// Let a component do something more.
    Grant(GrantArgs),
    /// Take back what was granted.
    Revoke(RevokeArgs),
    /// Take back everything.
    Reset {
        /// The component's name, or the beginning of its digest.
        component: String,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, Args)]
pub(super) struct GrantArgs {
    /// The component's name, or the beginning of its digest.
    component: String,
    /// What kind of permission.
    kind: GrantKind,
    /// The host, the fs:// address, the variable's name, or the amount.
    value: String,
    /// Reading, writing or both; for storage.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "read,write")]
    access: Vec<AccessName>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(super) struct RevokeArgs {
    /// The component's name, or the beginning of its digest.
    component: String,
    /// What kind of permission.
    kind: RevokeKind,
    /// The host, the fs:// address or the variable's name, as it was granted.
    value: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum GrantKind {
    Network,
    Storage,
    #[value(alias = "environment-variable")]
    Environment,
    Memory,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RevokeKind {
    Network,
    Storage,
    #[value(alias = "environment-variable")]
    Environment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum AccessName {
    Read,
    Write,
}

pub(super) fn run(command: &PermissionCommand) -> Result<u8, Problem> {
    match command {
        PermissionCommand::Grant(args) => change(&args.component, &args.common, &grant(args)?),
        PermissionCommand::Revoke(args) => {
            let value = args.value.clone();
            let taken = match args.kind {
                RevokeKind::Network => Change::RevokeNetwork { host: value },
                RevokeKind::Storage => Change::RevokeStorage { uri: value },
                RevokeKind::Environment => Change::RevokeEnvironment { key: value },
            };
            change(&args.component, &args.common, &taken)
        }
        PermissionCommand::Reset { component, common } => change(component, common, &Change::Reset),
    }
}

fn grant(args: &GrantArgs) -> Result<Change, Problem> {
    let wrong =
        |rule: &str, remedy: &str| Problem::operator(exit::USAGE, "--access", "", rule, remedy);
    if args.kind != GrantKind::Storage && !args.access.is_empty() {
        return Err(wrong("is for storage only", "leave it out"));
    }
    let value = args.value.clone();
    Ok(match args.kind {
        GrantKind::Network => Change::GrantNetwork { host: value },
        GrantKind::Environment => Change::GrantEnvironment { key: value },
        GrantKind::Storage if args.access.is_empty() => {
            return Err(wrong(
                "is missing",
                "say --access read, write or read,write",
            ));
        }
        GrantKind::Storage => Change::GrantStorage {
            uri: value,
            access: args
                .access
                .iter()
                .map(|access| match access {
                    AccessName::Read => Access::Read,
                    AccessName::Write => Access::Write,
                })
                .collect(),
        },
        GrantKind::Memory if quantity_bytes(&value).is_none_or(|bytes| bytes == 0) => {
            let remedy = "write it like 512Mi or 1Gi";
            return Err(Problem::operator(
                exit::USAGE,
                "memory",
                value,
                "is not an amount",
                remedy,
            ));
        }
        GrantKind::Memory => Change::GrantMemory { limit: value },
    })
}

fn change(component: &str, common: &Common, change: &Change) -> Result<u8, Problem> {
    let config = common.load(&common.overrides(&[]), LogLevel::Warn)?;
    let store = store(&config);
    let name = store.inspect(component)?.name;
    if config.component_policies.contains_key(&name) {
        let rule = "has its policy in the configuration (component_options), and the one in the directory is not read";
        let remedy = "change it there, or leave it out there";
        return Err(Problem::operator(
            exit::CONFIG,
            "component",
            name,
            rule,
            remedy,
        ));
    }
    let done = store.change_policy(&name, change)?;
    let file = done.path.display();
    if !done.edited.is_changed {
        return print_line(&format!("{name} had it so already: {file}"));
    }
    print_line(&format!("{name}: {} {file}", shown(change)))?;
    if done.edited.lost_comments {
        print_line(
            "The file was written anew: it was not in a style that can be changed by lines, and its comments are gone.",
        )?;
    }
    if matches!(change, Change::GrantStorage { .. }) {
        print_line(
            "A confined server (see `hardening`) reaches a place outside of those it knew at its start after the next one.",
        )?;
    }
    if let Some(line) = still_allowed(change, &done.policy) {
        print_line(&format!("Another line still allows it: {line}"))?;
    }
    Ok(0)
}

/// The component directory of a configuration.
pub(super) fn store(config: &Config) -> Store {
    let directory = config.component_dir.clone();
    Store::new(directory.unwrap_or_else(crate::control::config::default_component_dir))
}

fn shown(change: &Change) -> &'static str {
    match change {
        Change::RevokeStorage { .. }
        | Change::RevokeNetwork { .. }
        | Change::RevokeEnvironment { .. } => "taken back in",
        Change::Reset => "everything taken back in",
        _ => "granted in",
    }
}

/// What was taken back may be allowed by a wider line.
fn still_allowed(change: &Change, policy: &dyn Decide) -> Option<String> {
    let verdict = match change {
        Change::RevokeNetwork { host } => policy.decide(&Ask::Resolve { name: host }),
        Change::RevokeStorage { uri } => {
            let path = uri
                .strip_prefix("fs://")?
                .split(['*'])
                .next()?
                .trim_end_matches('/');
            let access = [Access::Read, Access::Write];
            let mut verdicts = access
                .map(|access| policy.decide(&Ask::Path { access, path }))
                .into_iter();
            verdicts.find(|verdict| verdict.is_allowed)?
        }
        _ => return None,
    };
    verdict.is_allowed.then(|| verdict.by.to_string())
}
