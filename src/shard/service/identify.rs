//! Who asks: what a request shows, looked at before its body is read.

use std::rc::Rc;

use crate::mcp::Reason;
use crate::policy::auth::{Fault, challenge};
use crate::wire::http1::Head;

use super::super::known::{Caller, Known};
use super::super::memo::Shown;
use super::request::{Arrival, Request};
use super::{Served, Service};

impl Service {
    /// Who asks.
    ///
    /// Errors: nobody who is known here.
    pub(super) fn identify(
        &mut self,
        head: &Head<'_>,
        arrival: Arrival<'_>,
    ) -> Result<Caller, Fault> {
        let known = self.known(head, arrival)?;
        let address = arrival.address;
        Ok(Caller { known, address })
    }

    fn known(&mut self, head: &Head<'_>, arrival: Arrival<'_>) -> Result<Rc<Known>, Fault> {
        let authenticator = &self.shared.authenticator;
        if self.asks_nobody {
            return Ok(Rc::clone(&self.anonymous));
        }
        let mut shown = head.values("authorization");
        let (authorization, another) = (shown.next(), shown.next());
        if another.is_some() {
            return Err(Fault::Malformed(
                "the Authorization header stands twice; send it once",
            ));
        }
        let certificate = arrival.client_certificate;
        // What stands in a header counts before a certificate.
        let shown = authorization.map(Shown::Header);
        let Some(shown) = shown.or(certificate.map(Shown::Certificate)) else {
            let found = authenticator.identify(None, None, self.unix_s())?;
            return Ok(self.new_known(&found));
        };
        // Read before the keys are asked: they may change in between.
        let generation = authenticator.generation();
        let now_unix_s = self.unix_s();
        if let Some(known) = self.memo.find(shown, generation, now_unix_s) {
            return Ok(Rc::clone(known));
        }
        let found = authenticator.identify(authorization, certificate, now_unix_s)?;
        let known = self.new_known(&found);
        self.memo.keep(shown, generation, &known);
        let caller = Caller {
            known,
            address: arrival.address,
        };
        self.tell_known(&caller);
        Ok(caller.known)
    }

    /// A copy of our own, so that shards do not write each other's counts.
    fn new_known(&self, identity: &crate::policy::Identity) -> Rc<Known> {
        Rc::new(Known::new(identity.clone()))
    }

    fn unix_s(&self) -> u64 {
        (self.unix_offset_ms + self.now_ms) / 1_000
    }

    /// Refuses somebody who is not known, and says how to become it.
    pub(super) fn refuse_unknown(
        &mut self,
        request: &Request<'_, '_>,
        fault: &Fault,
        out: &mut Vec<u8>,
    ) -> Served {
        self.tell_unknown(request, fault);
        let resource = self.shared.authenticator.resource();
        let challenge = challenge(resource, fault, &[]);
        tracing::debug!(why = fault.detail(), "a caller is not known");
        let closing = Request {
            keep_alive: false,
            ..*request
        };
        let reason = Reason::Unauthenticated {
            fault: fault.told(),
            status: fault.status(),
        };
        self.refuse_with(&closing, reason, ("WWW-Authenticate", &challenge), out)
    }
}
