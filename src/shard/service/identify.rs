//! Who asks: what a request shows, looked at before its body is read.

use std::rc::Rc;
use std::sync::Arc;

use crate::mcp::Reason;
use crate::policy::auth::{Fault, challenge};
use crate::policy::{Identity, Shows, Stranger};
use crate::wire::http1::Head;

use super::super::known::{Caller, Known};
use super::super::memo::Shown;
use super::request::{Arrival, Request};
use super::{Served, Service};

impl Service {
    /// Who asks.
    ///
    /// Shape: for each request once, as long as it does not find out: who is not known is counted.
    /// Errors: nobody who is known here.
    pub(super) fn identify(
        &mut self,
        head: &Head<'_>,
        arrival: Arrival<'_>,
    ) -> Result<Caller, Stranger> {
        let known = self.known(head, arrival)?;
        let address = arrival.address;
        Ok(Caller { known, address })
    }

    fn known(&mut self, head: &Head<'_>, arrival: Arrival<'_>) -> Result<Rc<Known>, Stranger> {
        if self.asks_nobody {
            return Ok(Rc::clone(&self.anonymous));
        }
        let authorization = authorization(head);
        let certificate = arrival.client_certificate;
        // What stands in a header counts before a certificate.
        let shown = match &authorization {
            Ok(Some(value)) => Some(Shown::Header(value)),
            Ok(None) => certificate.map(Shown::Certificate),
            Err(_) => None,
        };
        // Read before the keys are asked: they may change in between.
        let generation = self.shared.authenticator.generation();
        if let Some(shown) = shown
            && let Some(known) = self.memo.find(shown, generation, self.unix_s())
        {
            return Ok(Rc::clone(known));
        }
        let found = self.find(authorization, arrival)?;
        let known = self.new_known(&found);
        if let Some(shown) = shown {
            self.memo.keep(shown, generation, &known);
            self.tell_known(&Caller {
                known: Rc::clone(&known),
                address: arrival.address,
            });
        }
        Ok(known)
    }

    /// Who shows this, as all shards know it.
    fn find(
        &self,
        authorization: Result<Option<&[u8]>, Fault>,
        arrival: Arrival<'_>,
    ) -> Result<Arc<Identity>, Stranger> {
        let shows = Shows {
            authorization,
            certificate: arrival.client_certificate,
            address: arrival.address,
            now_unix_s: self.unix_s(),
            now_ns: self.now_ns(),
        };
        shows.identify(&self.shared.authenticator, &self.shared.limiter)
    }

    /// A copy of our own, so that shards do not write each other's counts.
    fn new_known(&self, identity: &Identity) -> Rc<Known> {
        Rc::new(Known::new(identity.clone()))
    }

    /// Whether anybody is asked who he is.
    pub(in super::super) fn asks(&self) -> bool {
        !self.asks_nobody
    }

    pub(in super::super) fn unix_s(&self) -> u64 {
        (self.unix_offset_ms + self.now_ms) / 1_000
    }

    /// Nanoseconds of the process, for the limits.
    pub(super) fn now_ns(&self) -> u64 {
        self.now_ms.saturating_mul(1_000_000)
    }

    /// Refuses somebody who is not known, and says how to become it, or when to come again.
    pub(super) fn refuse_stranger(
        &mut self,
        request: &Request<'_, '_>,
        stranger: &Stranger,
        out: &mut Vec<u8>,
    ) -> Served {
        self.tell_stranger(request, stranger);
        let closing = Request {
            keep_alive: false,
            ..*request
        };
        match stranger {
            Stranger::Unknown(fault) => {
                let resource = self.shared.authenticator.resource();
                let challenge = challenge(resource, fault, &[]);
                tracing::debug!(why = fault.detail(), "a caller is not known");
                let reason = Reason::Unauthenticated {
                    fault: fault.told(),
                    status: fault.status(),
                };
                self.refuse_with(&closing, reason, ("WWW-Authenticate", &challenge), out)
            }
            Stranger::TooMany {
                limit,
                retry_after_ms,
                retry_after_s,
            } => {
                let reason = Reason::RateLimited {
                    limit: *limit,
                    retry_after_ms: *retry_after_ms,
                };
                let seconds = retry_after_s.to_string();
                self.refuse_with(&closing, reason, ("Retry-After", &seconds), out)
            }
        }
    }
}

/// The value of the one header; two of them would be read differently by different readers.
fn authorization<'h>(head: &Head<'h>) -> Result<Option<&'h [u8]>, Fault> {
    let mut all = head.values("authorization");
    match (all.next(), all.next()) {
        (_, Some(_)) => Err(Fault::Malformed(
            "the Authorization header stands twice; send it once",
        )),
        (value, None) => Ok(value),
    }
}
