//! Patterns for names and addresses: `*` is any text, `?` one character, all else itself.
//!
//! Invariants: matching allocates nothing; a pattern without `?` takes time linear in the text, whatever stands in either; one
//! with `?` gives up, and says so, on a text beyond [`SLOW_TEXT_BYTES_MAX`].

use std::fmt;

use memchr::memmem;

/// Bytes of a text that a pattern with `?` and `*` is tried on: each character may be tried with each of the pattern's.
pub const SLOW_TEXT_BYTES_MAX: usize = 16 << 10;

/// A compiled pattern.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Pattern {
    text: Box<str>,
    form: Form,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Form {
    Any,
    Exact,
    /// `first*middle*…*last`, without a `?`.
    Pieces {
        first: Box<str>,
        middle: Box<[Box<str>]>,
        last: Box<str>,
    },
    Slow,
}

/// What a pattern says about a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// The whole of it matches.
    Yes,
    /// It does not.
    No,
    /// It is too long to be tried.
    Untried,
}

impl Pattern {
    /// Compiles a pattern; any text is one.
    pub fn new(text: &str) -> Self {
        let form = if !text.is_empty() && text.bytes().all(|byte| byte == b'*') {
            Form::Any
        } else if text.contains('?') {
            Form::Slow
        } else {
            let mut pieces = text.split('*');
            let first = pieces.next().unwrap_or_default();
            let mut rest: Vec<&str> = pieces.collect();
            match rest.pop() {
                None => Form::Exact,
                Some(last) => Form::Pieces {
                    first: first.into(),
                    middle: rest
                        .into_iter()
                        .filter(|piece| !piece.is_empty())
                        .map(Into::into)
                        .collect(),
                    last: last.into(),
                },
            }
        };
        Self {
            text: text.into(),
            form,
        }
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it matches everything.
    pub fn is_any(&self) -> bool {
        self.form == Form::Any
    }

    /// The one text that it matches, if it has no wildcard.
    pub fn exact(&self) -> Option<&str> {
        (self.form == Form::Exact).then_some(&*self.text)
    }

    /// What every text that matches begins with.
    pub fn literal_start(&self) -> &str {
        let end = self.text.find(['*', '?']).unwrap_or(self.text.len());
        &self.text[..end]
    }

    /// Whether the whole text matches; a text that is too long to be tried does not.
    #[inline]
    pub fn matches(&self, text: &str) -> bool {
        self.fit(text) == Fit::Yes
    }

    /// What it says about the whole text.
    #[inline]
    pub fn fit(&self, text: &str) -> Fit {
        let fits = match &self.form {
            Form::Any => true,
            Form::Exact => *self.text == *text,
            Form::Pieces {
                first,
                middle,
                last,
            } => pieces_match(text, first, middle, last),
            Form::Slow if text.len() > SLOW_TEXT_BYTES_MAX => return Fit::Untried,
            Form::Slow => slow_match(&self.text, text),
        };
        match fits {
            true => Fit::Yes,
            false => Fit::No,
        }
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.text)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The leftmost place of each piece is as good as any later one, so nothing is ever tried twice.
fn pieces_match(text: &str, first: &str, middle: &[Box<str>], last: &str) -> bool {
    let Some(rest) = text.strip_prefix(first) else {
        return false;
    };
    let Some(rest) = rest.strip_suffix(last) else {
        return false;
    };
    let mut rest = rest.as_bytes();
    for piece in middle {
        match memmem::find(rest, piece.as_bytes()) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    true
}

/// Backtracks to the last star; takes at most the product of both lengths.
fn slow_match(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    let mut retry: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
    loop {
        let text_before = text.clone();
        match (pattern.next(), text.next()) {
            (Some('*'), _) => {
                text = text_before;
                retry = Some((pattern.clone(), text.clone()));
            }
            (None, None) => return true,
            (Some(wanted), Some(letter)) if wanted == '?' || wanted == letter => {}
            _ => {
                let Some((after_star, taken)) = &mut retry else {
                    return false;
                };
                if taken.next().is_none() {
                    return false;
                }
                (pattern, text) = (after_star.clone(), taken.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, as directly as it can be said.
    fn by_definition(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), _) => {
                (0..=text.len()).any(|taken| by_definition(rest, &text[taken..]))
            }
            (Some(('?', rest)), Some((_, after))) => by_definition(rest, after),
            (Some((wanted, rest)), Some((letter, after))) => {
                wanted == letter && by_definition(rest, after)
            }
            _ => false,
        }
    }

    #[test]
    fn stars_and_question_marks_match_as_people_expect() {
        for (pattern, right, wrong) in [
            ("get_*", "get_", "forget_it"),
            ("*_file", "read_file", "read_files"),
            ("docs__*_v?", "docs__a_b_v2", "docs__a_b_v10"),
            ("a*a", "aa", "a"),
            ("*b*b*", "abcb", "abc"),
            ("file:///*", "file:///x/y", "file://x"),
            ("", "", "x"),
            ("é?", "éü", "é"),
        ] {
            assert!(Pattern::new(pattern).matches(right), "{pattern} {right}");
            assert!(!Pattern::new(pattern).matches(wrong), "{pattern} {wrong}");
        }
        assert!(Pattern::new("*").is_any() && Pattern::new("**").is_any());
        assert!(!Pattern::new("").is_any());
        assert_eq!(Pattern::new("a/b?c*").literal_start(), "a/b");
    }

    #[test]
    fn a_long_text_is_matched_in_no_time_or_not_tried() {
        let text = "a".repeat(4 << 20);
        assert!(!Pattern::new(&format!("{}b", "*a".repeat(60))).matches(&text));
        assert_eq!(Pattern::new("*a?b").fit(&text), Fit::Untried);
        assert_eq!(Pattern::new("*").fit(&text), Fit::Yes);
    }

    proptest! {
        #[test]
        fn matching_agrees_with_the_definition(pattern in "[ab*?é]{0,8}", text in "[abé]{0,10}") {
            let wanted: Vec<char> = pattern.chars().collect();
            let letters: Vec<char> = text.chars().collect();
            prop_assert_eq!(Pattern::new(&pattern).matches(&text), by_definition(&wanted, &letters));
        }
    }
}
