//! The verifier in force, and what it has verified already.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use atomic_waker::AtomicWaker;
use crossbeam_queue::ArrayQueue;

use super::bearer::Bearer;
use super::{Fault, Resource, Verifier, key, token};
use crate::policy::identity::Identity;

/// Bytes of the tokens whose callers are remembered, with something for each entry. Beyond, all are forgotten: each is verified once
/// more.
const VERIFIED_BYTES_MAX: usize = 32 << 20;
/// What an entry takes beside its claims.
const ENTRY_BYTES: usize = 512;
/// Issuers whose keys were asked for and are still to be fetched.
const WANTED_COUNT_MAX: usize = 16;

/// The verifier in force. Shared by all shards; nothing here is locked.
///
/// Of what was refused nothing is remembered: whoever sends rubbish fills no memory with it.
pub struct Authenticator {
    verifier: ArcSwap<Verifier>,
    generation: AtomicU64,
    verified: papaya::HashMap<[u8; 32], (u64, Arc<Identity>)>,
    verified_bytes: AtomicUsize,
    /// Issuers of tokens whose signing key is not known yet.
    wanted: ArrayQueue<String>,
    fetcher: AtomicWaker,
    resource: Option<Resource>,
}

impl Authenticator {
    /// An authenticator with this verifier; `resource`: as which this server is known to authorization servers.
    pub fn new(verifier: Verifier, resource: Option<Resource>) -> Self {
        Self {
            verifier: ArcSwap::from_pointee(verifier),
            generation: AtomicU64::new(1),
            verified: papaya::HashMap::new(),
            verified_bytes: AtomicUsize::new(0),
            wanted: ArrayQueue::new(WANTED_COUNT_MAX),
            fetcher: AtomicWaker::new(),
            resource,
        }
    }

    /// One that lets everybody in as nobody in particular.
    pub fn anonymous() -> Self {
        Self::new(Verifier::anonymous(), None)
    }

    /// Puts other keys in force. What was verified before is verified again.
    pub fn exchange(&self, verifier: Verifier) {
        self.verifier.store(Arc::new(verifier));
        // After the verifier: whoever sees the new number sees the new keys.
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.forget();
    }

    /// Puts the same keys in force for longer: what was verified stays so for as long as it was said to.
    pub fn prolong(&self, verifier: Verifier) {
        self.verifier.store(Arc::new(verifier));
    }

    /// The verifier in force.
    pub fn verifier(&self) -> Arc<Verifier> {
        self.verifier.load_full()
    }

    /// Changes with the keys: what was known under another number has to be asked again.
    ///
    /// Shape: read it before [`Self::identify`], and keep the answer under that number: the keys may change in between.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// As which this server is known to authorization servers.
    pub fn resource(&self) -> Option<&Resource> {
        self.resource.as_ref()
    }

    /// Whether nobody is asked who he is.
    pub fn asks_nobody(&self) -> bool {
        self.verifier.load().asks_nobody()
    }

    /// Who shows this; what was verified lately is found by its digest.
    ///
    /// Shape: `authorization` is the value of the one `Authorization` header: a request with two of them is refused before.
    /// Errors: as for [`Verifier::identify`].
    pub fn identify(
        &self,
        authorization: Option<&[u8]>,
        certificate: Option<&[u8]>,
        now_unix_s: u64,
    ) -> Result<Arc<Identity>, Fault> {
        self.identify_if(authorization, certificate, now_unix_s, || Ok(()))
    }

    /// The same, if `may_verify` lets what is shown be verified, which takes longer than to show something. It is not asked about
    /// what was verified lately, nor about a certificate, which TLS has verified.
    ///
    /// Errors: as for [`Verifier::identify`], and those of `may_verify`.
    pub fn identify_if<E: From<Fault>>(
        &self,
        authorization: Option<&[u8]>,
        certificate: Option<&[u8]>,
        now_unix_s: u64,
        may_verify: impl FnOnce() -> Result<(), E>,
    ) -> Result<Arc<Identity>, E> {
        // Before the verifier: an entry with this number is at least as new as it says.
        let generation = self.generation();
        let verifier = self.verifier.load();
        let Some(value) = authorization.filter(|_| !verifier.asks_nobody()) else {
            let found = verifier.identify(None, certificate, now_unix_s)?;
            return Ok(Arc::new(found));
        };
        let bearer = Bearer::read(value)?;
        let digest = key::digest_of(bearer.text());
        let verified = self.verified.pin();
        if let Some((known_in, identity)) = verified.get(&digest)
            && *known_in == generation
            && identity
                .expires_unix_s
                .is_none_or(|expires| now_unix_s < expires)
        {
            return Ok(Arc::clone(identity));
        }
        may_verify()?;
        match verifier.identify_bearer(bearer, &digest, now_unix_s) {
            Ok(identity) => {
                let bytes = ENTRY_BYTES + 2 * bearer.text().len();
                if self.verified_bytes.fetch_add(bytes, Ordering::Relaxed) > VERIFIED_BYTES_MAX {
                    self.forget();
                }
                let identity = Arc::new(identity);
                verified.insert(digest, (generation, Arc::clone(&identity)));
                Ok(identity)
            }
            Err(fault) => {
                if matches!(fault, Fault::UnknownKey | Fault::KeysStale) {
                    self.want(bearer.text());
                }
                Err(fault.into())
            }
        }
    }

    /// Waits for a token of a known issuer that names a key which is not there: the issuer whose keys should be fetched anew.
    ///
    /// Shape: for one task. Whoever sends tokens decides how often this answers; it is for the caller to fetch seldom.
    pub fn poll_wanted(&self, context: &mut Context<'_>) -> Poll<String> {
        self.fetcher.register(context.waker());
        match self.wanted.pop() {
            Some(issuer) => Poll::Ready(issuer),
            None => Poll::Pending,
        }
    }

    fn want(&self, token: &str) {
        // Where the queue is full somebody is about to fetch anyway.
        if let Some(issuer) = token::issuer_of(token)
            && self.wanted.push(issuer).is_ok()
        {
            self.fetcher.wake();
        }
    }

    fn forget(&self) {
        self.verified_bytes.store(0, Ordering::Relaxed);
        self.verified.pin().clear();
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.verified.len()
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let generation = self.generation();
        f.debug_struct("Authenticator")
            .field("generation", &generation)
            .finish_non_exhaustive()
    }
}
