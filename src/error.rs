//! What every error of the appliance can answer: who is to blame, whether to try again, and what to do about it.
//!
//! Each layer has its own small enum; this module has only what they share. Nothing here is built on the hot path.

mod nearest;

use std::fmt;

pub(crate) use nearest::nearest;

/// Who has to change something for the error to go away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// Whoever called us.
    Downstream,
    /// Whatever we called: a component, or another MCP server.
    Upstream,
    /// The person who runs the appliance: configuration, host, files.
    Operator,
    /// Us.
    Internal,
}

/// Whether the same request can succeed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// The same request fails again.
    Never,
    /// The condition passes: try again after a pause.
    Later,
}

/// An error for a person: the thing, its value, what is wrong with it or the limit it breaks, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What the error is about: a key, a flag, a file, a kernel setting.
    pub thing: String,
    /// What was found there.
    pub value: String,
    /// The rule or limit it breaks.
    pub rule: String,
    /// What to do, in one line.
    pub remedy: String,
    /// Who can do it.
    pub blame: Blame,
    /// The process's exit code when this ends it; see [`exit`].
    pub exit_code: u8,
}

/// Exit codes of the binary, after BSD's `sysexits.h`, so that a supervisor can tell them apart.
pub mod exit {
    /// The command line is wrong.
    pub const USAGE: u8 = 64;
    /// A file has the wrong content: a component, an argument document.
    pub const DATA: u8 = 65;
    /// A named file is missing or cannot be read.
    pub const NO_INPUT: u8 = 66;
    /// Something the appliance needs is not available: the port, for one.
    pub const UNAVAILABLE: u8 = 69;
    /// A defect of the appliance itself.
    pub const SOFTWARE: u8 = 70;
    /// This host is not fit: kernel, seccomp, sysctl, resource limits.
    pub const HOST: u8 = 71;
    /// The configuration file is wrong.
    pub const CONFIG: u8 = 78;
    /// A tool was called and answered with an error.
    pub const TOOL: u8 = 1;
}

impl Problem {
    /// An operator's problem.
    pub fn operator(
        exit_code: u8,
        thing: impl Into<String>,
        value: impl Into<String>,
        rule: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            thing: thing.into(),
            value: value.into(),
            rule: rule.into(),
            remedy: remedy.into(),
            blame: Blame::Operator,
            exit_code,
        }
    }
}

/// One line, whatever was quoted: control characters are shown as escapes.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("", &self.thing),
            (": ", &self.value),
            (": ", &self.rule),
            ("; ", &self.remedy),
        ];
        for (separator, text) in parts {
            if text.is_empty() {
                continue;
            }
            f.write_str(separator)?;
            for c in text.chars() {
                if c.is_control() {
                    write!(f, "{}", c.escape_debug())?;
                } else {
                    write!(f, "{c}")?;
                }
            }
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_one_line_whatever_it_quotes() {
        let problem = Problem::operator(exit::CONFIG, "key", "a\nb\u{1b}[0m", "", "remove it");
        assert_eq!(problem.to_string(), "key: a\\nb\\u{1b}[0m; remove it");
    }
}
