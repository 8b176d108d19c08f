//! Who may call: keys and issuers' key sets, read, fetched, and put in force.
//!
//! ```text
//!   configuration ──┐
//!   api_keys_file ──┼─▶ Kept ─▶ Verifier ─▶ Authenticator ◀── shards, admin listener
//!   jwks file, url ─┘     ▲                      │
//!                         └── a key is wanted ◀──┘
//! ```
//!
//! Invariants: what was revoked in a file is refused within a second; keys that could not be had anew are used for a stated time and
//! then no longer; nothing that is fetched or read holds a request up.

mod fetch;
mod file;
mod kept;
mod keys;
mod remote;
mod settings;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::audit::Audit;
use crate::error::Problem;
use crate::policy::auth::Authenticator;
use crate::secret::Resolve;

use super::config::Config;
use kept::Kept;
pub use settings::{AuthOptions, IssuerOptions, KeySource};

/// Time in which keys that are fetched can come before the first caller does.
const FIRST_FETCH_DEADLINE: Duration = Duration::from_secs(5);

/// Who may call either listener.
pub struct Auth {
    data: Kept,
    admin: Kept,
}

impl Auth {
    /// Reads what the configuration names. Blocks; for the start.
    ///
    /// Errors: a file or a secret that cannot be read, or has the wrong thing in it.
    pub fn of(config: &Config, secrets: &dyn Resolve) -> Result<Self, Problem> {
        Ok(Self {
            data: Kept::new("auth", &config.auth, config.resource.clone(), secrets)?,
            admin: Kept::new("admin_auth", &config.admin_auth, None, secrets)?,
        })
    }

    /// Changes are told to this audit log.
    #[must_use]
    pub fn with_audit(self, audit: &Audit) -> Self {
        Self {
            data: self.data.with_audit(audit.clone()),
            admin: self.admin.with_audit(audit.clone()),
        }
    }

    /// Who may call the data listener.
    pub fn data(&self) -> Arc<Authenticator> {
        self.data.authenticator()
    }

    /// Who may call the admin listener.
    pub fn admin(&self) -> Arc<Authenticator> {
        self.admin.authenticator()
    }

    /// Fetches keys for the first time. What does not come in time is fetched again by [`Self::keep`].
    pub async fn begin(&mut self) {
        let both = async { tokio::join!(self.data.fetch_all(), self.admin.fetch_all()) };
        let _ = tokio::time::timeout(FIRST_FETCH_DEADLINE, both).await;
    }

    /// Looks at the files, fetches keys when they are due or wanted, for ever.
    pub async fn keep(mut self) {
        tokio::join!(self.data.keep(), self.admin.keep());
    }
}

/// Now, as tokens have it.
///
/// Units: seconds since 1970-01-01 UTC.
pub(crate) fn now_unix_s() -> u64 {
    // A clock before 1970 would find no token begun.
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
