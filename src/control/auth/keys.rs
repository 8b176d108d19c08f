//! Keys that stand in a file: ours, or those of an issuer.

use std::path::Path;
use std::time::Duration;

use super::file::{Look, WatchedFile};
use crate::control::config::parse_keys;
use crate::policy::auth::{ApiKey, KeySet};

/// Bytes of a file with API keys: of ten thousand.
const KEYS_BYTES_MAX: u64 = 4 << 20;
/// Bytes of a file with an issuer's keys.
const JWKS_BYTES_MAX: u64 = 1 << 20;

/// A file whose content is used for a while after it could be read last: while it is replaced it may be missing, or half of it.
#[derive(Debug)]
pub(super) struct KeyFile<T> {
    file: WatchedFile,
    parse: fn(&str, &Path) -> Result<T, String>,
    grace: Duration,
    content: T,
    /// When it was found wrong, and has been since.
    wrong_since: Option<Duration>,
    told: bool,
}

impl KeyFile<Vec<ApiKey>> {
    /// A file of API keys.
    pub(super) fn of_api_keys(path: &Path, grace: Duration) -> Self {
        let parse =
            |text: &str, path: &Path| parse_keys(text, path).map_err(|problem| problem.to_string());
        Self::new(WatchedFile::new(path, KEYS_BYTES_MAX), parse, grace)
    }
}

impl KeyFile<KeySet> {
    /// A JWKS document.
    pub(super) fn of_issuer(path: &Path, grace: Duration) -> Self {
        let parse = |text: &str, _: &Path| match KeySet::parse(text.as_bytes()) {
            Ok(set) if set.is_empty() => Err(format!(
                "no key of it can be used: {}",
                set.passed_over().join("; ")
            )),
            other => other,
        };
        Self::new(WatchedFile::new(path, JWKS_BYTES_MAX), parse, grace)
    }
}

impl<T: Default> KeyFile<T> {
    fn new(
        file: WatchedFile,
        parse: fn(&str, &Path) -> Result<T, String>,
        grace: Duration,
    ) -> Self {
        Self {
            file,
            parse,
            grace,
            content: T::default(),
            wrong_since: None,
            told: false,
        }
    }

    pub(super) fn content(&self) -> &T {
        &self.content
    }

    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Looks at the file; whether there is other content now. `now` is the time since some moment of one clock.
    ///
    /// Errors: what is wrong with the file, once.
    pub(super) fn look(&mut self, now: Duration) -> Result<bool, String> {
        let wrong = match self.file.look() {
            Look::Same if self.wrong_since.is_none() => return Ok(false),
            // It is as wrong as it was.
            Look::Same => None,
            Look::Changed(text) => match (self.parse)(&text, self.file.path()) {
                Ok(content) => {
                    self.content = content;
                    self.wrong_since = None;
                    self.told = false;
                    return Ok(true);
                }
                Err(why) => Some(why),
            },
            Look::Unreadable(error) if self.told => {
                drop(error);
                None
            }
            Look::Unreadable(error) => Some(error.to_string()),
        };
        let since = *self.wrong_since.get_or_insert(now);
        if let Some(why) = wrong {
            self.told = true;
            return Err(why);
        }
        if now.saturating_sub(since) >= self.grace && self.wrong_since != Some(Duration::MAX) {
            self.content = T::default();
            // Once is enough.
            self.wrong_since = Some(Duration::MAX);
            return Ok(true);
        }
        Ok(false)
    }
}
