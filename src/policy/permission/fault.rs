//! What is wrong with a policy, for a person.

use std::fmt;
use std::sync::Arc;

use crate::error::{Problem, nearest};

/// One thing that keeps a policy from being used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The policy's file or name.
    pub policy: Arc<str>,
    /// The line, counted from 1, where it is known.
    pub line: Option<u64>,
    /// The key or value.
    pub value: String,
    /// What is wrong with it.
    pub rule: String,
    /// What to write instead.
    pub remedy: String,
}

impl Fault {
    /// The same as the error that ends a command or keeps a component from being loaded.
    pub fn into_problem(self, exit_code: u8) -> Problem {
        let thing = match self.line {
            Some(line) => format!("policy {} line {line}", self.policy),
            None => format!("policy {}", self.policy),
        };
        Problem::operator(exit_code, thing, self.value, self.rule, self.remedy)
    }
}

/// One line of words.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.clone().into_problem(0).fmt(f)
    }
}

impl std::error::Error for Fault {}

/// What is wrong with one value, before it is known where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) value: String,
    pub(super) rule: &'static str,
    pub(super) remedy: &'static str,
}

impl Wrong {
    pub(super) fn new(value: impl Into<String>, rule: &'static str, remedy: &'static str) -> Self {
        Self {
            value: value.into(),
            rule,
            remedy,
        }
    }

    pub(super) fn at(self, policy: &Arc<str>, line: u64) -> Fault {
        Fault {
            policy: Arc::clone(policy),
            line: (line > 0).then_some(line),
            value: format!("`{}`", self.value),
            rule: self.rule.to_owned(),
            remedy: self.remedy.to_owned(),
        }
    }
}

/// Something worth knowing that does not keep the policy from being used: what it says and is not enforced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The line, counted from 1.
    pub line: u64,
    /// What it says, and what that means here.
    pub text: String,
}

/// The reader's error in our words: its line, the key, the nearest valid key.
pub(super) fn unreadable(policy: &Arc<str>, error: &serde_saphyr::Error) -> Fault {
    use serde_saphyr::Error;
    let error = error.without_snippet();
    let line = error.location().map(|location| location.line());
    let (value, rule, remedy) = match error {
        Error::SerdeUnknownField {
            field, expected, ..
        } => {
            let remedy = match nearest(field, expected.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("valid keys here: {}", expected.join(", ")),
            };
            (format!("`{field}`"), "is not a key".to_owned(), remedy)
        }
        Error::SerdeUnknownVariant {
            variant, expected, ..
        } => {
            let remedy = format!("use one of: {}", expected.join(", "));
            (
                format!("`{variant}`"),
                "is not a valid value".to_owned(),
                remedy,
            )
        }
        Error::SerdeMissingField { field, .. } => (
            format!("`{field}`"),
            "is missing".to_owned(),
            "write it".to_owned(),
        ),
        Error::DuplicateMappingKey { key, .. } => (
            format!("`{}`", key.as_deref().unwrap_or("a key")),
            "is a duplicate: it stands above already".to_owned(),
            "keep one of them".to_owned(),
        ),
        other => {
            let text = other.render();
            let first = text.lines().next().unwrap_or("is not valid YAML");
            // The line is told before.
            let first = first
                .rsplit_once(" at line ")
                .map_or(first, |(what, _)| what);
            let remedy = match first {
                text if text.starts_with("expected sequence") => {
                    "write a list: [A, B], or lines that begin with -"
                }
                text if text.starts_with("expected mapping") => "write KEY: VALUE",
                text if text.contains("end of input") => {
                    "write at least version: \"1.0\" and permissions: {}"
                }
                text if text.starts_with("tabs") => "indent with spaces",
                _ => "correct it",
            };
            (String::new(), first.to_owned(), remedy.to_owned())
        }
    };
    Fault {
        policy: Arc::clone(policy),
        line: line.filter(|line| *line > 0),
        value,
        rule,
        remedy,
    }
}
