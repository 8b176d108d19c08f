//! Times: what the process's clock says, and how they are written.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use crate::audit::write_iso;

/// The time since 1970, which never goes back while the process lives, whatever is done to the host's clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    unix_ms: u64,
    started: Instant,
}

impl Clock {
    /// A clock that begins with the host's.
    pub fn start() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            unix_ms: since.map_or(0, millis),
            started: Instant::now(),
        }
    }

    /// Units: milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        self.unix_ms.saturating_add(millis(self.started.elapsed()))
    }
}

/// A span in milliseconds.
pub fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
