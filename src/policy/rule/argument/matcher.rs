//! One condition on one value.

use std::cmp::Ordering;

use serde_json::Value;

use super::Truth;
use super::number::Number;
use crate::policy::pattern::{Fit, Pattern};
use crate::policy::rule::spec::Matcher;
use crate::policy::rule::target::{is_ambiguous, is_unclear_path};

/// A scalar, wherever it was read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scalar<'a> {
    Null,
    Boolean(bool),
    Text(&'a str),
    Number(Number),
}

/// A compiled [`Matcher`].
#[derive(Clone, Debug)]
pub(in crate::policy::rule) struct Test {
    one_of: Vec<Literal>,
    glob: Vec<Pattern>,
    min: Option<Number>,
    max: Option<Number>,
    bytes_max: Option<usize>,
    absent: Option<bool>,
}

#[derive(Clone, Debug)]
enum Literal {
    Null,
    Boolean(bool),
    Text(Box<str>),
    Number(Number),
}

impl Test {
    /// Containers among `one_of` are left out: the configuration refuses them.
    pub(in crate::policy::rule) fn new(matcher: &Matcher) -> Self {
        let literal = |value: &Value| match value {
            Value::Null => Some(Literal::Null),
            Value::Bool(value) => Some(Literal::Boolean(*value)),
            Value::String(text) => Some(Literal::Text(text.as_str().into())),
            Value::Number(number) => Some(Literal::Number(Number::of_value(number))),
            _ => None,
        };
        Self {
            one_of: matcher.one_of.iter().filter_map(literal).collect(),
            glob: matcher.glob.clone(),
            min: matcher.min.map(Number::of_double),
            max: matcher.max.map(Number::of_double),
            bytes_max: matcher.bytes_max,
            absent: matcher.absent,
        }
    }

    /// Whether it asks only that the value is not there.
    pub(super) fn wants_absence(&self) -> bool {
        self.absent == Some(true)
    }

    /// What an object or an array is to it: a reader who expects something else may take it for that.
    pub(super) fn on_container(&self) -> Truth {
        let only_presence = self.one_of.is_empty()
            && self.glob.is_empty()
            && self.min.is_none()
            && self.max.is_none()
            && self.bytes_max.is_none();
        match only_presence {
            true => Truth::Yes,
            false => Truth::Unsure,
        }
    }

    pub(super) fn on_scalar(&self, value: Scalar<'_>) -> Truth {
        let mut truth = match (self.absent, value) {
            // What is null is not there, to some readers.
            (Some(_), Scalar::Null) => Truth::Unsure,
            _ => Truth::Yes,
        };
        if !self.one_of.is_empty() {
            truth = truth.min(any(self.one_of.iter().map(|one| one.is(value))));
        }
        if !self.glob.is_empty() {
            truth = truth.min(self.on_globs(value));
        }
        for (bound, wrong) in [(self.min, Ordering::Less), (self.max, Ordering::Greater)] {
            if let Some(bound) = bound {
                truth = truth.min(within(value, bound, wrong));
            }
        }
        if let Some(bytes_max) = self.bytes_max {
            truth = truth.min(match value {
                Scalar::Text(text) => (text.len() <= bytes_max).into(),
                _ => Truth::Unsure,
            });
        }
        truth
    }

    fn on_globs(&self, value: Scalar<'_>) -> Truth {
        match value {
            Scalar::Text(text) => any(self.glob.iter().map(|glob| text_fits(glob, text))),
            // `5` and `"5"` are one to some readers.
            Scalar::Number(_) | Scalar::Boolean(_) => Truth::Unsure,
            Scalar::Null => Truth::No,
        }
    }
}

/// Whether a text matches a pattern. One for paths is in doubt about a path that may lead elsewhere than it says.
fn text_fits(glob: &Pattern, text: &str) -> Truth {
    let is_in_doubt = || {
        let pattern = glob.as_str();
        match pattern.contains("://") {
            true => is_ambiguous(text),
            false => pattern.contains(['/', '\\']) && is_unclear_path(pattern, text),
        }
    };
    if !glob.is_any() && is_in_doubt() {
        return Truth::Unsure;
    }
    match glob.fit(text) {
        Fit::Yes => Truth::Yes,
        Fit::No => Truth::No,
        Fit::Untried => Truth::Unsure,
    }
}

fn any(truths: impl Iterator<Item = Truth>) -> Truth {
    truths.max().unwrap_or(Truth::No)
}

/// What a text is to a reader who wants a number.
enum Reading {
    /// This number.
    Is(f64),
    /// One in a notation that only some read: `0x10`, `1_000`, `5 apples`, `５`.
    Odd,
    /// None.
    No,
}

fn number_in(text: &str) -> Reading {
    let text = text.trim();
    if text.is_empty() {
        return Reading::Is(0.0);
    }
    let digits = text.trim_start_matches(['+', '-', '.']);
    match text.parse() {
        Ok(number) => Reading::Is(number),
        Err(_) if digits.starts_with(char::is_numeric) => Reading::Odd,
        Err(_) => Reading::No,
    }
}

fn one_if(value: bool) -> Number {
    Number::of_double(if value { 1.0 } else { 0.0 })
}

fn within(value: Scalar<'_>, bound: Number, wrong: Ordering) -> Truth {
    match value {
        Scalar::Number(number) => match number.compare(bound) {
            None => Truth::Unsure,
            Some(order) => (order != wrong).into(),
        },
        Scalar::Text(text) => unsure_if(!matches!(number_in(text), Reading::No)),
        // One and nothing, to some readers.
        Scalar::Boolean(_) | Scalar::Null => {
            let number = one_if(matches!(value, Scalar::Boolean(true)));
            unsure_if(number.compare(bound) != Some(wrong))
        }
    }
}

impl Literal {
    fn is(&self, value: Scalar<'_>) -> Truth {
        match (self, value) {
            (Self::Null, Scalar::Null) => Truth::Yes,
            (Self::Boolean(wanted), Scalar::Boolean(value)) => (*wanted == value).into(),
            (Self::Text(wanted), Scalar::Text(text)) => (**wanted == *text).into(),
            (Self::Number(wanted), Scalar::Number(number)) => match number.compare(*wanted) {
                None => Truth::Unsure,
                Some(order) => order.is_eq().into(),
            },
            // Some readers take a text for what it says.
            (Self::Number(wanted), Scalar::Text(text)) => match number_in(text) {
                Reading::Is(number) => unsure_if(number == wanted.as_double()),
                Reading::Odd => Truth::Unsure,
                Reading::No => Truth::No,
            },
            (Self::Text(wanted), Scalar::Number(number)) => match number_in(wanted) {
                Reading::Is(wanted) => unsure_if(wanted == number.as_double()),
                _ => Truth::No,
            },
            (Self::Text(text), Scalar::Boolean(one)) => unsure_if(spells(text, one)),
            // Others take what is something for true, and what is nothing for false.
            (Self::Boolean(true), Scalar::Text(text)) => unsure_if(!text.is_empty()),
            (Self::Boolean(false), Scalar::Text(text)) => unsure_if(spells(text, false)),
            (Self::Boolean(one), Scalar::Number(number)) => {
                unsure_if((number.as_double() != 0.0) == *one)
            }
            (Self::Boolean(one), Scalar::Null) => unsure_if(!*one),
            (Self::Number(wanted), Scalar::Boolean(_) | Scalar::Null) => {
                let number = one_if(matches!(value, Scalar::Boolean(true)));
                unsure_if(number.as_double() == wanted.as_double())
            }
            _ => Truth::No,
        }
    }
}

fn unsure_if(doubt: bool) -> Truth {
    match doubt {
        true => Truth::Unsure,
        false => Truth::No,
    }
}

fn spells(text: &str, value: bool) -> bool {
    let words: &[&str] = match value {
        true => &["true", "1", "yes", "y", "on", "t"],
        false => &["false", "0", "no", "n", "off", "f", ""],
    };
    words
        .iter()
        .any(|word| text.trim().eq_ignore_ascii_case(word))
}
