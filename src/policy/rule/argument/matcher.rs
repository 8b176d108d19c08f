//! One condition on one value.

use std::cmp::Ordering;

use serde_json::Value;

use super::Truth;
use super::number::Number;
use crate::policy::pattern::{Fit, Pattern};
use crate::policy::rule::spec::Matcher;
use crate::policy::rule::target::has_dot_segment;

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
        let mut truth = Truth::Yes;
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
    if !glob.is_any() && glob.as_str().contains(['/', '\\']) && has_dot_segment(text) {
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

/// The number that a text may be taken for.
fn number_in(text: &str) -> Option<f64> {
    text.trim().parse().ok()
}

fn within(value: Scalar<'_>, bound: Number, wrong: Ordering) -> Truth {
    match value {
        Scalar::Number(number) => match number.compare(bound) {
            None => Truth::Unsure,
            Some(order) => (order != wrong).into(),
        },
        Scalar::Text(text) if number_in(text).is_some() => Truth::Unsure,
        _ => Truth::No,
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
            (Self::Number(wanted), Scalar::Text(text)) => {
                unsure_if(number_in(text) == Some(wanted.as_double()))
            }
            (Self::Text(wanted), Scalar::Number(number)) => {
                unsure_if(number_in(wanted) == Some(number.as_double()))
            }
            (Self::Boolean(one), Scalar::Text(text)) => unsure_if(spells(text, *one)),
            (Self::Text(text), Scalar::Boolean(one)) => unsure_if(spells(text, one)),
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
    let words: [&str; 2] = match value {
        true => ["true", "1"],
        false => ["false", "0"],
    };
    words
        .iter()
        .any(|word| text.trim().eq_ignore_ascii_case(word))
}
