//! What the client of a stream has shown of itself, to be looked at again: a stream lives longer than a request, and a key that is
//! revoked, or a token whose keys are gone, shall not be heard on it any longer.

use std::rc::Rc;

use zeroize::Zeroizing;

use crate::audit::{Event, Kind, Outcome};
use crate::policy::Identity;

use super::known::Known;
use super::service::{Request, Service};

/// What a stream's client has shown, and who it was by that.
pub(super) struct Shown {
    authorization: Option<Zeroizing<Box<[u8]>>>,
    certificate: Option<Box<[u8]>>,
    known: Rc<Known>,
    /// Under which keys it was last looked at.
    generation: u64,
}

impl Shown {
    /// Whether other keys are in force since.
    pub(super) fn is_outdated(&self, generation: u64) -> bool {
        self.generation != generation
    }
}

impl Service {
    /// What this request has shown; none where nobody is asked.
    pub(super) fn shown(&self, request: &Request<'_, '_>) -> Option<Shown> {
        let copy = |bytes: &[u8]| -> Box<[u8]> { bytes.into() };
        let authorization = request.head.values("authorization").next();
        let certificate = request.arrival.client_certificate;
        let known = Rc::clone(&request.caller.known);
        self.asks().then(|| Shown {
            authorization: authorization.map(|text| Zeroizing::new(copy(text))),
            certificate: certificate.map(copy),
            known,
            // It was known a moment ago, perhaps under the keys before these: then it is looked at once more than needed.
            generation: self.shared.authenticator.generation().wrapping_sub(1),
        })
    }

    /// Looks again whether a stream's client is who it was: the same, and when it has to be looked at next on the shard's clock. None:
    /// it is not, or may less than it might.
    pub(super) fn look_again(&mut self, shown: Shown) -> Option<(Shown, Option<u64>)> {
        let authenticator = &self.shared.authenticator;
        let generation = authenticator.generation();
        let (authorization, certificate) = (&shown.authorization, &shown.certificate);
        let authorization = authorization.as_ref().map(|text| &***text);
        let found = authenticator.identify(authorization, certificate.as_deref(), self.unix_s());
        let why = match found {
            Ok(identity) if may_the_same(&identity, &shown.known.identity) => {
                let until_ms = self.expiry_ms(&identity);
                let shown = Shown {
                    generation,
                    ..shown
                };
                return Some((shown, until_ms));
            }
            Ok(_) => "a stream ends: its caller may do other things than when it began",
            Err(fault) => fault.detail(),
        };
        tracing::debug!(principal = shown.known.shown(), why, "a stream ends");
        self.record(&Event {
            principal: shown.known.shown(),
            method: "GET",
            detail: why,
            ..Event::new(Kind::AuthenticationAttempt, Outcome::Denied)
        });
        None
    }
}

/// Whether rules and limits take one for the other.
fn may_the_same(now: &Identity, then: &Identity) -> bool {
    (now.principal, &now.scopes, &now.roles, &now.tier)
        == (then.principal, &then.scopes, &then.roles, &then.tier)
}
