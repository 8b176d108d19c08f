//! Taking secrets out of what is written: logs, errors, tapes.
//!
//! Every known secret is looked for in all its forms at once. What was never made known is not found: a secret goes through
//! [`super::admit`] or [`Redactor::add`] before it is used. What is shorter than six bytes is not looked for.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use aho_corasick::{AhoCorasick, MatchKind};
use arc_swap::ArcSwapOption;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{Secret, forms};

/// What stands where a secret stood.
pub const REDACTED: &str = "[redacted]";

/// Secrets that are looked for at one time. Those of the operator are never left out; of those that come and go (tokens), the ones
/// beyond this are refused with a warning by whoever keeps so many.
const SECRET_COUNT_MAX: usize = 16_384;

/// The secrets of this process.
pub fn redactor() -> &'static Redactor {
    static PROCESS: LazyLock<Redactor> = LazyLock::new(Redactor::new);
    &PROCESS
}

/// A set of secrets, and what takes them out of texts. Looking is free of locks.
#[derive(Default)]
pub struct Redactor {
    /// `None` while there is nothing to look for.
    patterns: ArcSwapOption<AhoCorasick>,
    // Taken where secrets come and go, never where texts are redacted.
    known: Mutex<BTreeMap<[u8; 32], Known>>,
}

/// One secret's forms, and how often it is held; what was added for good is held once for ever.
struct Known {
    forms: Vec<Zeroizing<String>>,
    held: usize,
}

impl Redactor {
    /// One that knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks for this secret from now on.
    pub fn add(&self, secret: &Secret) {
        self.add_all(std::iter::once(secret));
    }

    /// Looks for these from now on.
    pub fn add_all<'s>(&self, secrets: impl IntoIterator<Item = &'s Secret>) {
        let mut known = lock(&self.known);
        let mut is_changed = false;
        for secret in secrets {
            is_changed |= hold(&mut known, secret).1;
        }
        if is_changed {
            self.rebuild(&known);
        }
    }

    /// Looks for this secret as long as the answer is kept: for tokens that are replaced.
    #[must_use = "it is looked for as long as this is kept"]
    pub fn keep(&'static self, secret: &Secret) -> Registered {
        let mut known = lock(&self.known);
        let (key, is_new) = hold(&mut known, secret);
        if is_new {
            self.rebuild(&known);
        }
        Registered {
            redactor: self,
            key,
        }
    }

    fn release(&self, key: Option<[u8; 32]>) {
        let Some(key) = key else { return };
        let mut known = lock(&self.known);
        let Some(one) = known.get_mut(&key) else {
            return;
        };
        one.held -= 1;
        if one.held == 0 {
            known.remove(&key);
            self.rebuild(&known);
        }
    }

    fn rebuild(&self, known: &BTreeMap<[u8; 32], Known>) {
        let forms = known.values().flat_map(|one| &one.forms);
        let patterns: Vec<&str> = forms.map(|form| form.as_str()).collect();
        let built = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .build(&patterns);
        match built {
            Ok(built) => {
                let built = (!patterns.is_empty()).then(|| Arc::new(built));
                self.patterns.store(built);
            }
            // What is looked for already stays.
            Err(error) => {
                tracing::error!(%error, "a secret could not be added to those that are redacted")
            }
        }
    }

    /// The text without secrets.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.without(text, |range, _| range)
    }

    /// The same of a JSON text, which stays one: where a secret begins or ends within an escape, all of the escape goes.
    pub fn redact_json<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.without(text, whole_escapes)
    }

    /// The same of bytes that are text, or may not be.
    pub fn redact_bytes<'b>(&self, bytes: &'b [u8]) -> Cow<'b, [u8]> {
        match self.redact(&String::from_utf8_lossy(bytes)) {
            Cow::Borrowed(_) => bytes.into(),
            Cow::Owned(text) => text.into_bytes().into(),
        }
    }

    fn without<'t>(
        &self,
        text: &'t str,
        widen: impl Fn(Range<usize>, &str) -> Range<usize>,
    ) -> Cow<'t, str> {
        let patterns = self.patterns.load();
        let Some(patterns) = patterns.as_deref() else {
            return text.into();
        };
        if !patterns.is_match(text) {
            return text.into();
        }
        let mut ranges: Vec<Range<usize>> = patterns
            .find_overlapping_iter(text)
            .map(|found| widen(found.range(), text))
            .collect();
        ranges.sort_unstable_by_key(|range| (range.start, range.end));
        let mut out = String::with_capacity(text.len());
        let mut done = 0;
        let mut ranges = ranges.into_iter().peekable();
        while let Some(mut range) = ranges.next() {
            while let Some(next) = ranges.next_if(|next| next.start <= range.end) {
                range.end = range.end.max(next.end);
            }
            out.push_str(&text[done..range.start]);
            out.push_str(REDACTED);
            done = range.end;
        }
        out.push_str(&text[done..]);
        out.into()
    }
}

/// A secret that is looked for while this lives.
pub struct Registered {
    redactor: &'static Redactor,
    /// `None` where the secret is too short to be looked for, or there were too many.
    key: Option<[u8; 32]>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.redactor.release(self.key);
    }
}

impl std::fmt::Debug for Registered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Registered(…)")
    }
}

/// Notes that a secret is held once more: under which key, and whether it is new.
fn hold(known: &mut BTreeMap<[u8; 32], Known>, secret: &Secret) -> (Option<[u8; 32]>, bool) {
    let key: [u8; 32] = Sha256::digest(secret.reveal().as_bytes()).into();
    if let Some(one) = known.get_mut(&key) {
        one.held += 1;
        return (Some(key), false);
    }
    let forms = forms::forms(secret.reveal());
    if forms.is_empty() {
        return (None, false);
    }
    if known.len() >= SECRET_COUNT_MAX {
        tracing::warn!(
            limit = SECRET_COUNT_MAX,
            "too many secrets: one more is not redacted in logs"
        );
        return (None, false);
    }
    known.insert(key, Known { forms, held: 1 });
    (Some(key), true)
}

/// The range with all of the JSON escapes that it cuts.
fn whole_escapes(range: Range<usize>, text: &str) -> Range<usize> {
    let bytes = text.as_bytes();
    let run = bytes[..range.start]
        .iter()
        .rev()
        .take_while(|byte| **byte == b'\\')
        .count();
    let start = range.start - run % 2;
    let mut end = start;
    while end < range.end {
        end += match (bytes[end], bytes.get(end + 1)) {
            (b'\\', Some(b'u')) => 6,
            (b'\\', _) => 2,
            _ => 1,
        };
    }
    end = end.max(range.end).min(text.len());
    while !text.is_char_boundary(end) {
        end += 1;
    }
    start..end
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while it was held leaves whole entries.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knowing(secrets: &[&str]) -> Redactor {
        let redactor = Redactor::new();
        secrets
            .iter()
            .for_each(|secret| redactor.add(&Secret::new(*secret)));
        redactor
    }

    #[test]
    fn what_has_no_secret_is_not_copied() {
        assert!(matches!(Redactor::new().redact("text"), Cow::Borrowed(_)));
        assert!(matches!(
            knowing(&["hunter2"]).redact("text"),
            Cow::Borrowed(_)
        ));
    }

    #[test]
    fn secrets_that_overlap_leave_nothing_of_either() {
        let redactor = knowing(&["abcdefgh", "efghijkl", "cdefgh", "cdefghij"]);
        assert_eq!(redactor.redact("-abcdefghijkl-"), "-[redacted]-");
        assert_eq!(redactor.redact("cdefgh cdefghij"), "[redacted] [redacted]");
    }

    #[test]
    fn a_redacted_json_text_is_json_wherever_the_secret_begins_and_ends() {
        for (secret, text) in [
            ("nabcdef", "{\"k\":\"\\nabcdef\"}"),
            ("abcdef\\", "{\"k\":\"abcdef\\\"\"}"),
            ("u00e9xyz", "{\"k\":\"\\u00e9xyz\"}"),
            ("abcdef\\u0", "{\"k\":\"abcdef\\u00e9\"}"),
            ("quote\"d", "{\"k\":\"quote\\\"d é\"}"),
            ("\\abcdef", "{\"k\":\"\\\\abcdef\"}"),
        ] {
            let redacted = knowing(&[secret]).redact_json(text).into_owned();
            let value: serde_json::Value = serde_json::from_str(&redacted).unwrap();
            let value = value["k"].as_str().unwrap();
            assert!(value.contains(REDACTED), "{secret}: {redacted}");
        }
        // Not JSON at all: no panic.
        knowing(&["abcdef\\"]).redact_json("abcdef\\é");
    }

    #[test]
    fn a_token_is_looked_for_as_long_as_it_is_kept() {
        let redactor: &'static Redactor = Box::leak(Box::new(Redactor::new()));
        let token = Secret::new("token-of-today");
        let (one, two) = (redactor.keep(&token), redactor.keep(&token));
        drop(one);
        assert_eq!(redactor.redact("token-of-today"), REDACTED);
        drop(two);
        assert_eq!(redactor.redact("token-of-today"), "token-of-today");
        drop(redactor.keep(&Secret::new("short")));
    }
}
