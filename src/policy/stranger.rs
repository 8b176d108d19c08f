//! Whether somebody is known, without letting those who are not burn more time than is theirs.

use std::net::IpAddr;
use std::sync::Arc;

use super::auth::{Authenticator, Fault};
use super::{Identity, Limited, Limiter};
use crate::mcp::ShortName;

/// Why somebody gets no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stranger {
    /// He is not known.
    Unknown(Fault),
    /// Too many come from where he does who are not: nobody has looked at what he shows.
    TooMany {
        /// The limit.
        limit: ShortName,
        /// When he may come again.
        retry_after_ms: u64,
        /// The value of `Retry-After`.
        retry_after_s: u64,
    },
}

impl From<Fault> for Stranger {
    fn from(fault: Fault) -> Self {
        Self::Unknown(fault)
    }
}

impl From<Limited<'_>> for Stranger {
    fn from(limited: Limited<'_>) -> Self {
        Self::TooMany {
            limit: ShortName::new(limited.limit),
            retry_after_ms: limited.retry_after_ms,
            retry_after_s: limited.retry_after_s(),
        }
    }
}

/// What somebody shows, from where, and when.
#[derive(Clone, Debug)]
pub struct Shows<'s> {
    /// The value of the one `Authorization` header, if there is one; a fault where there are several.
    pub authorization: Result<Option<&'s [u8]>, Fault>,
    /// The certificate, in DER, that TLS has verified.
    pub certificate: Option<&'s [u8]>,
    /// From where; none over no network.
    pub address: Option<IpAddr>,
    /// Seconds since 1970-01-01 UTC.
    pub now_unix_s: u64,
    /// Nanoseconds on the clock of the limiter.
    pub now_ns: u64,
}

impl Shows<'_> {
    /// Who shows this. Whoever is not known has been counted by the limiter then, once; whoever is has not.
    ///
    /// Errors: he is not known, or nobody may look now.
    pub fn identify(
        self,
        authenticator: &Authenticator,
        limiter: &Limiter,
    ) -> Result<Arc<Identity>, Stranger> {
        let knock = |is_dear| limiter.knock(self.now_ns, self.address, is_dear);
        let mut knocked = None;
        let found = self
            .authorization
            .map_err(Stranger::from)
            .and_then(|value| {
                authenticator.identify_if(value, self.certificate, self.now_unix_s, || {
                    knocked = Some(knock(true)?);
                    Ok(())
                })
            });
        match (&found, knocked) {
            (Ok(_), Some(knocked)) => knocked.give_back(),
            (Err(Stranger::Unknown(_)), Some(knocked)) => knocked.keep(),
            // Seen without verifying anything.
            (Err(Stranger::Unknown(_)), None) => knock(false)?.keep(),
            (Ok(_), None) | (Err(Stranger::TooMany { .. }), _) => {}
        }
        found
    }
}
