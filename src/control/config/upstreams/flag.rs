//! `--upstream NAME=URL` and `--upstream NAME=stdio:COMMAND…`.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::{Read, Refused, check_name};
use crate::upstream::http::Url;
use crate::upstream::settings::{Command, Replica, Transport, Upstream};
use crate::upstream::stdio::ResourceLimits;
use crate::upstream::tls::TlsOptions;

/// What the place begins with where a command follows.
const STDIO: &str = "stdio:";

/// Reads `NAME=URL` or `NAME=stdio:COMMAND…`, everything else by default.
pub(super) fn read_flag(flag: &str) -> Read<Upstream> {
    let wrong = |value: &str, rule: String| Refused {
        line: None,
        key: "--upstream".to_owned(),
        value: value.to_owned(),
        rule,
        remedy: "write it like files=stdio:'npx server /data' or docs=https://mcp.example.com/mcp",
    };
    let Some((name, place)) = flag.split_once('=') else {
        return Err(wrong(
            flag,
            "is not NAME=URL or NAME=stdio:COMMAND".to_owned(),
        ));
    };
    check_name(name).map_err(|rule| wrong(name, rule))?;
    let transport = match place.strip_prefix(STDIO) {
        Some(command) => {
            let mut words = split_words(command)
                .map_err(|rule| wrong(command, rule.to_owned()))?
                .into_iter();
            let program = words
                .next()
                .ok_or_else(|| wrong(flag, "names no program".to_owned()))?;
            Transport::Stdio(Command {
                program: program.into(),
                arguments: words.map(OsString::from).collect(),
                environment: BTreeMap::new(),
                pass_environment: Vec::new(),
                directory: None,
                limits: ResourceLimits::default(),
            })
        }
        None => {
            let shown = if place.contains('@') { "" } else { place };
            let url =
                Url::parse(place).map_err(|error| wrong(shown, format!("the URL {error}")))?;
            Transport::Http {
                replicas: vec![Replica { url, weight: 1 }],
                headers: Vec::new(),
                tls: TlsOptions::default(),
            }
        }
    };
    Ok(Upstream::new(name, transport))
}

/// Takes a command apart at its spaces, but not within quotes; nothing is expanded.
fn split_words(text: &str) -> Result<Vec<String>, &'static str> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            (letter, Some(open)) if letter == open => quote = None,
            ('\\', None | Some('"')) => {
                let escaped = letters.next().ok_or("ends in a backslash")?;
                word.get_or_insert_default().push(escaped);
            }
            ('"' | '\'', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (letter, None) if letter.is_whitespace() => words.extend(word.take()),
            (letter, _) => word.get_or_insert_default().push(letter),
        }
    }
    if quote.is_some() {
        return Err("has a quote that is not closed");
    }
    words.extend(word);
    Ok(words)
}
