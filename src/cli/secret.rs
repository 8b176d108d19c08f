//! `margay secret`: the encrypted store of secrets.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use clap::Subcommand;
use zeroize::Zeroizing;

use crate::control::config::LogLevel;
use crate::control::secrets::{Secrets, import};
use crate::error::{Problem, exit};
use crate::secret::{SECRET_BYTES_MAX, SecretRef, Shape, Unresolved, admit};

use super::{Common, print_line};

pub(super) const EXAMPLES: &str = "\
Examples:
  margay secret set GITHUB_TOKEN < token.txt  the value is read from standard
                                              input, never from the command line
  margay secret list                          names, no values
  margay secret remove GITHUB_TOKEN
  margay secret import ~/.config/wassette/secrets
                                              as <component>/<KEY>

In the configuration a secret is named where its value would stand:
  headers: {Authorization: {secret: GITHUB_TOKEN}}
A running `margay serve` notices a changed store within a second.";

#[derive(Debug, Subcommand)]
pub(super) enum SecretCommand {
    /// Keep a secret, read from standard input; one line end after it is not part of it.
    Set {
        /// Letters, digits and . _ - , with / between them.
        name: String,
        #[command(flatten)]
        common: Common,
    },
    /// List the names.
    List {
        #[command(flatten)]
        common: Common,
    },
    /// Forget a secret.
    Remove {
        /// Its name.
        name: String,
        #[command(flatten)]
        common: Common,
    },
    /// Take the secrets of Wassette's secrets directory, all or none.
    Import {
        /// The directory with `COMPONENT.yaml` files.
        directory: PathBuf,
        #[command(flatten)]
        common: Common,
    },
}

pub(super) fn run(command: &SecretCommand) -> Result<u8, Problem> {
    match command {
        SecretCommand::Set { name, common } => {
            let secrets = open(common)?;
            let from = SecretRef::Stored(name.clone());
            let value = admit(standard_input()?, Shape::Text)
                .map_err(|unresolved| unresolved.into_problem("standard input", &from))?;
            let value = crate::secret::Secret::new(one_line_end_less(value.reveal()));
            let replaced = secrets.store().set(&secrets, name, value)?;
            print_line(&format!(
                "{} {name}",
                if replaced { "replaced" } else { "kept" }
            ))
        }
        SecretCommand::List { common } => {
            let secrets = open(common)?;
            let entries = secrets.store().read(&secrets)?;
            if entries.is_empty() {
                let file = &secrets.store().place().file;
                return print_line(&format!("no secret is kept in {}", file.display()));
            }
            let names: Vec<&str> = entries.keys().map(String::as_str).collect();
            print_line(&names.join("\n"))
        }
        SecretCommand::Remove { name, common } => {
            let secrets = open(common)?;
            let from = SecretRef::Stored(name.clone());
            secrets.store().change(&secrets, |entries| {
                entries
                    .remove(name)
                    .ok_or_else(|| Unresolved::Missing.into_problem("secret", &from))
            })?;
            print_line(&format!("removed {name}"))
        }
        SecretCommand::Import { directory, common } => {
            let secrets = open(common)?;
            let found = import::read_directory(directory)?;
            let count = found.len();
            secrets.store().change(&secrets, |entries| {
                entries.extend(found);
                Ok(())
            })?;
            print_line(&format!("kept {count} secrets of {}", directory.display()))
        }
    }
}

fn open(common: &Common) -> Result<Secrets, Problem> {
    let config = common.load(&common.overrides(&[]), LogLevel::Warn)?;
    Ok(Secrets::new(&config))
}

fn one_line_end_less(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

fn standard_input() -> Result<Zeroizing<Vec<u8>>, Problem> {
    let refused = |rule: String, remedy: &str| {
        Problem::operator(exit::USAGE, "standard input", "", rule, remedy)
    };
    let input = std::io::stdin();
    if input.is_terminal() {
        let remedy = "give it a file or a pipe: margay secret set NAME < FILE";
        return Err(refused(
            "is a terminal, which would show the secret".to_owned(),
            remedy,
        ));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_BYTES_MAX + 1));
    let read = input
        .lock()
        .take(SECRET_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes);
    read.map_err(|error| refused(error.to_string(), "give it a file or a pipe"))?;
    Ok(bytes)
}
