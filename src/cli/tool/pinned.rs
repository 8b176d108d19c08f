//! `margay tool diff` and `margay tool approve`: what tools say of themselves, and what was approved of it.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::{Map, Value};

use crate::control::config::LogLevel;
use crate::control::pins::{self, Pin, PinFile};
use crate::error::{Problem, exit};

use super::super::{Common, print_line};

pub(super) fn diff(name: Option<&str>, common: &Common) -> Result<u8, Problem> {
    let config = common.load(&common.overrides(&[]), LogLevel::Warn)?;
    let file = PinFile::read(&config.pinning.path)?;
    let meant = |pin: &&Pin| name.is_none_or(|name| pin.is_called(name));
    if let Some(name) = name
        && !file.pins().iter().any(|pin| pin.is_called(name))
    {
        return Err(unknown(name, &config.pinning.path));
    }
    let mut text = String::new();
    for pin in file.pins().iter().filter(meant) {
        show(pin, &mut text);
    }
    if text.is_empty() {
        print_line("every tool says what was approved")?;
        return Ok(0);
    }
    print_line(text.trim_end())?;
    Ok(exit::TOOL)
}

/// Digits of a digest that are shown, and asked for at least.
const DIGITS: usize = 16;

pub(super) fn approve(
    name: Option<&str>,
    sha256: Option<&str>,
    common: &Common,
) -> Result<u8, Problem> {
    let config = common.load(&common.overrides(&[]), LogLevel::Warn)?;
    let sha256 = sha256.map(str::to_ascii_lowercase);
    if let Some(short) = sha256.as_deref().filter(|text| text.len() < DIGITS) {
        let rule = format!("has fewer than {DIGITS} digits, so that another could have it, too");
        let remedy = "write it as `margay tool diff` shows it";
        return Err(Problem::operator(
            exit::USAGE,
            "--sha256",
            short,
            rule,
            remedy,
        ));
    }
    let approved = pins::approve(&config.pinning.path, name, sha256.as_deref())?;
    if approved.is_empty() {
        return match name {
            Some(name) if sha256.is_some() => Err(changed(name, &config.pinning.path)),
            Some(name) => Err(unknown(name, &config.pinning.path)),
            None => print_line("nothing waits for approval"),
        };
    }
    for pin in approved {
        print_line(&format!(
            "approved {}/{}",
            pin.source,
            pin.tool.escape_debug()
        ))?;
    }
    Ok(0)
}

/// What waits of a tool, member by member. Escaped: what is shown here is what is not trusted.
fn show(pin: &Pin, text: &mut String) {
    let Some(waiting) = &pin.waiting else { return };
    let word = if pin.approved.is_some() {
        "changed"
    } else {
        "new"
    };
    let digest = waiting.sha256.get(..DIGITS).unwrap_or(&waiting.sha256);
    let _ = writeln!(
        text,
        "{word} {}/{} --sha256 {}",
        pin.source,
        pin.tool.escape_debug(),
        digest.escape_debug()
    );
    let none = Map::new();
    let before = pin.approved.as_ref().map_or(&none, |said| &said.definition);
    let names: BTreeSet<&String> = before.keys().chain(waiting.definition.keys()).collect();
    for name in names {
        let (old, new) = (before.get(name), waiting.definition.get(name));
        if old == new {
            continue;
        }
        for (sign, value) in [('-', old), ('+', new)] {
            if let Some(value) = value {
                let _ = writeln!(text, "  {sign} {name}: {}", plain(value));
            }
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(words) => words.escape_debug().to_string(),
        other => other
            .to_string()
            .escape_debug()
            .to_string()
            .replace("\\\"", "\""),
    }
}

fn changed(name: &str, path: &std::path::Path) -> Problem {
    let rule = format!(
        "says now what has another digest, or is no tool that waits for approval in {}",
        path.display()
    );
    let remedy = "`margay tool diff` shows what it says now";
    Problem::operator(exit::NO_INPUT, "tool", format!("`{name}`"), rule, remedy)
}

fn unknown(name: &str, path: &std::path::Path) -> Problem {
    let rule = format!("is no tool that waits for approval in {}", path.display());
    let remedy = "`margay tool diff` shows those that do";
    Problem::operator(exit::NO_INPUT, "tool", format!("`{name}`"), rule, remedy)
}
