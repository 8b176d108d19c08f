//! `audit:`: which events are kept, where, and for how long.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::audit::Choice;
use crate::error::Problem;

use super::values::Size;
use super::{Overrides, Parsed};

/// The smallest file that is followed by another: a few thousand lines.
const ROTATE_BYTES_MIN: usize = 1 << 20;

/// The largest: it is read through when the log is opened.
const ROTATE_BYTES_MAX: usize = 1 << 30;

/// Days of a hundred years.
const RETENTION_DAYS_MAX: u32 = 36_500;

/// What happens to calls while there is no room for what is to be said about them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenFull {
    /// They are made; the events are counted, and the log says how many are missing.
    #[default]
    Count,
    /// They are refused.
    Refuse,
}

/// `audit:` as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditDocument {
    enabled: Option<bool>,
    dir: Option<PathBuf>,
    log_successful_auth: Option<bool>,
    log_failed_auth: Option<bool>,
    log_policy_decisions: Option<bool>,
    log_calls: Option<bool>,
    retention_days: Option<Spanned<u32>>,
    rotate_size: Option<Spanned<Size>>,
    when_full: Option<WhenFull>,
}

/// The audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSettings {
    /// Where its files are.
    pub directory: PathBuf,
    /// Which events are kept.
    pub choice: Choice,
    /// How long files are kept that are written to no more.
    pub retention: Duration,
    /// The length at which a file is followed by another.
    ///
    /// Units: bytes.
    pub rotate_bytes: usize,
    /// What happens to calls while there is no room.
    pub when_full: WhenFull,
}

impl Parsed<'_> {
    /// The audit log: on where it is asked for, and where the listener can be reached from other machines.
    pub(super) fn audit(
        &self,
        overrides: &Overrides,
        is_exposed: bool,
    ) -> Result<Option<AuditSettings>, Problem> {
        let none = AuditDocument::default();
        let document = self.document.audit.as_ref();
        let is_on = document.map_or(is_exposed, |document| document.enabled.unwrap_or(true));
        let document = document.unwrap_or(&none);
        let usual = Choice::default();
        let days = document.retention_days.as_ref();
        let retention_days = days.map_or(90, |days| days.value);
        if retention_days == 0 || retention_days > RETENTION_DAYS_MAX {
            let rule = format!("must be between 1 and {RETENTION_DAYS_MAX}");
            let line = days.map(|days| days.referenced.line());
            let value = retention_days.to_string();
            return Err(self.problem(line, "audit.retention_days", &value, &rule, "use 90"));
        }
        let size = document.rotate_size.as_ref();
        let rotate_bytes = size.map_or(64 << 20, |size| size.value.0);
        if !(ROTATE_BYTES_MIN..=ROTATE_BYTES_MAX).contains(&rotate_bytes) {
            let line = size.map(|size| size.referenced.line());
            let value = super::show_size(rotate_bytes);
            let rule = "must be between 1MiB and 1GiB";
            return Err(self.problem(line, "audit.rotate_size", &value, rule, "use 64MiB"));
        }
        Ok(is_on.then(|| AuditSettings {
            directory: match &document.dir {
                Some(directory) => self.relative(directory),
                None => self.state_dir(overrides).join("audit"),
            },
            choice: Choice {
                successful_auth: document
                    .log_successful_auth
                    .unwrap_or(usual.successful_auth),
                failed_auth: document.log_failed_auth.unwrap_or(usual.failed_auth),
                policy_decisions: document
                    .log_policy_decisions
                    .unwrap_or(usual.policy_decisions),
                calls: document.log_calls.unwrap_or(usual.calls),
            },
            retention: Duration::from_secs(u64::from(retention_days) * 86_400),
            rotate_bytes,
            when_full: document.when_full.unwrap_or_default(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Config;
    use super::*;

    fn read(text: &str) -> Result<Option<AuditSettings>, String> {
        let text = format!("state_dir: /state\nsanitize: {{}}\n{text}");
        Config::parse(&text, Path::new("m.yaml"), &Overrides::default())
            .map(|config| config.audit)
            .map_err(|problem| problem.to_string())
    }

    #[test]
    fn the_log_is_on_where_it_is_asked_for() {
        assert_eq!(read(""), Ok(None));
        let usual = read("audit: {}").unwrap().unwrap();
        assert_eq!(usual.directory, Path::new("/state/audit"));
        assert_eq!(usual.choice, Choice::default());
        assert_eq!(read("audit: {enabled: false}"), Ok(None));
        let text = "audit: {dir: /a, log_calls: false, retention_days: 7, rotate_size: 1MiB, when_full: refuse}";
        let all = read(text).unwrap().unwrap();
        assert_eq!(all.directory, Path::new("/a"));
        assert!(!all.choice.calls);
        assert_eq!(all.when_full, WhenFull::Refuse);
        assert_eq!(all.rotate_bytes, 1 << 20);
        for (text, part) in [
            ("audit: {retention_days: 0}", "between 1 and 36500"),
            ("audit: {rotate_size: 1KiB}", "between 1MiB and 1GiB"),
            ("audit: {when_full: block}", "line 3"),
            ("audit: {log_cals: true}", "log_calls"),
        ] {
            let said = read(text).expect_err(text);
            assert!(said.contains(part), "{text}: {said}");
        }
    }
}
