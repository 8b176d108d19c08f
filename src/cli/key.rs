//! `margay key`: API keys.

use std::io::Read;
use std::time::Duration;

use clap::Subcommand;
use zeroize::Zeroizing;

use crate::control::auth::now_unix_s;
use crate::control::config::{parse_date, parse_span, show_date};
use crate::error::{Problem, exit};
use crate::policy::auth::{BEARER_BYTES_MAX, KEY_RANDOM_BYTES, hash_of, is_key_name, key_text};

use super::print_line;

pub(super) const EXAMPLES: &str = "\
Examples:
  margay key new ci --scope tools:call --expires 90d
  margay key new ann --role admin --expires 2030-12-31
  margay key hash < key.txt

The entry goes under `auth: {api_keys: [...]}`, or under `api_keys:` in the
file that `auth: {api_keys_file: ...}` names, which is read again whenever it
changes. Callers send `Authorization: Bearer KEY`.";

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Make a key; print it, this once, and the entry for the configuration.
    New {
        /// Whose it is: letters, digits, `-`, `_` and `.`.
        name: String,
        /// What it may be used for; may be repeated.
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
        /// A role of its owner; may be repeated.
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<String>,
        /// The rate tier of its owner.
        #[arg(long, value_name = "TIER")]
        tier: Option<String>,
        /// When it ends: 90d from now, or a date like 2030-12-31. Without: never.
        #[arg(long, value_name = "TIME|DATE")]
        expires: Option<String>,
    },
    /// Read a key of your own from standard input, and print its hash for the configuration.
    Hash,
}

pub(super) fn run(command: &KeyCommand) -> Result<u8, Problem> {
    match command {
        KeyCommand::New {
            name,
            scopes,
            roles,
            tier,
            expires,
        } => {
            if !is_key_name(name) {
                let rule = "is no name of a key: 1 to 64 letters, digits, `-`, `_` and `.`";
                return Err(wrong("NAME", name, rule, "choose another"));
            }
            let expires = expires
                .as_deref()
                .map(|text| expiry(text, now_unix_s()))
                .transpose()?;
            let mut random = Zeroizing::new([0; KEY_RANDOM_BYTES]);
            getrandom::fill(&mut *random).map_err(|error| {
                let remedy = "try again; the kernel's random source answers once it is ready";
                Problem::operator(exit::HOST, "random bytes", "", error.to_string(), remedy)
            })?;
            let key = Zeroizing::new(key_text(name, &random));
            let entry = entry(name, &key, scopes, roles, tier.as_deref(), expires);
            print_line(&format!(
                "# The key, shown this once. Callers send it as: Authorization: Bearer KEY\n{}\n\n# Its entry, under api_keys:\n{entry}",
                *key
            ))
        }
        KeyCommand::Hash => print_line(&hash_of(&read_key()?)),
    }
}

/// The entry of the configuration, as one line of YAML.
fn entry(
    name: &str,
    key: &str,
    scopes: &[String],
    roles: &[String],
    tier: Option<&str>,
    expires: Option<u64>,
) -> String {
    // JSON is YAML, with every text quoted.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let list = |texts: &[String]| {
        let texts: Vec<_> = texts.iter().map(|text| quoted(text)).collect();
        format!("[{}]", texts.join(", "))
    };
    let mut parts = vec![
        format!("name: {}", quoted(name)),
        format!("hash: {}", quoted(&hash_of(key))),
    ];
    if !scopes.is_empty() {
        parts.push(format!("scopes: {}", list(scopes)));
    }
    if !roles.is_empty() {
        parts.push(format!("roles: {}", list(roles)));
    }
    parts.extend(tier.map(|tier| format!("tier: {}", quoted(tier))));
    parts.extend(expires.map(|expires| format!("expires: {}", quoted(&show_date(expires)))));
    format!("- {{{}}}", parts.join(", "))
}

/// A time from now, or a date.
fn expiry(text: &str, now_unix_s: u64) -> Result<u64, Problem> {
    let after = |span: Duration| now_unix_s.saturating_add(span.as_secs());
    let found = parse_date(text).or_else(|| parse_span(text).ok().map(after));
    match found {
        Some(expires) if expires > now_unix_s => Ok(expires),
        Some(_) => Err(wrong(
            "--expires",
            text,
            "is over already",
            "name a later date",
        )),
        None => {
            let remedy = "write it like 90d, 12h or 2030-12-31";
            Err(wrong("--expires", text, "is no time and no date", remedy))
        }
    }
}

/// The key on standard input, without its line end.
fn read_key() -> Result<Zeroizing<String>, Problem> {
    let mut text = Zeroizing::new(String::new());
    let most = BEARER_BYTES_MAX as u64 + 3;
    let read = std::io::stdin().lock().take(most).read_to_string(&mut text);
    let refused = |rule: &str| {
        let remedy = "give one key on one line, like `margay key hash < key.txt`";
        Err(Problem::operator(
            exit::DATA,
            "standard input",
            "",
            rule,
            remedy,
        ))
    };
    if read.is_err() {
        return refused("cannot be read, or is not text");
    }
    let key = text.trim_end_matches(['\n', '\r']);
    // Fewer could be tried one by one, since a hash is all that protects them.
    if key.len() < KEY_RANDOM_BYTES {
        return refused(
            "has a key of less than 32 characters, which could be guessed from its hash",
        );
    }
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    if key.len() > BEARER_BYTES_MAX || !key.bytes().all(fine) {
        return refused("has something else than letters, digits and -._~+/=, or too much of it");
    }
    Ok(Zeroizing::new(key.to_owned()))
}

fn wrong(thing: &str, value: &str, rule: &str, remedy: &str) -> Problem {
    Problem::operator(exit::USAGE, thing, value, rule, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::config::parse_keys;

    #[test]
    fn the_entry_that_is_printed_is_one_that_the_configuration_reads() {
        let key = key_text("ci", &[7; 32]);
        let scopes = ["tools:call".to_owned(), "a".to_owned()];
        let roles = ["it's \"them\"".to_owned()];
        let entry = entry(
            "ci",
            &key,
            &scopes,
            &roles,
            Some("premium"),
            Some(4_000_000_000),
        );
        let text = format!("api_keys:\n{entry}\n");
        let keys = parse_keys(&text, "keys.yaml".as_ref()).unwrap();
        assert_eq!(keys.len(), 1);
        assert_eq!(
            (&*keys[0].name, keys[0].expires_unix_s),
            ("ci", Some(4_000_000_000))
        );
        assert_eq!(*keys[0].roles[0], *roles[0]);
        assert_eq!(keys[0].scopes.len(), 2);
        assert!(!entry.contains(&key));
    }

    #[test]
    fn a_time_from_now_and_a_date_are_both_an_end() {
        assert_eq!(expiry("90d", 1_000).unwrap(), 1_000 + 90 * 86_400);
        assert_eq!(expiry("1970-01-02", 1_000).unwrap(), 86_400);
        for wrong in ["1970-01-01", "90", "soon", "0s"] {
            assert!(expiry(wrong, 1_000).is_err(), "{wrong}");
        }
    }
}
