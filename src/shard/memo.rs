//! What callers showed lately, and who they were: so that the same proof is not looked at anew with each request.
//!
//! A token is found by its last bytes, which are those of its signature, and taken for the same only if all of it is, and if it was shown
//! in the same way: what stands in a header is never taken for a certificate, whose owner has proven more than that he has read it. One
//! shard's own: nothing is shared, nothing is locked, and a proof that is found costs a comparison of its bytes.

use std::rc::Rc;

use zeroize::Zeroizing;

use super::known::Known;

/// Proofs that are remembered; a power of two. One beyond takes the place of another, which is then verified again.
const SLOT_COUNT: usize = 256;

/// What a caller shows, and how.
#[derive(Clone, Copy)]
pub(super) enum Shown<'p> {
    /// The value of an `Authorization` header.
    Header(&'p [u8]),
    /// The certificate, in DER, that TLS has verified.
    Certificate(&'p [u8]),
}

impl<'p> Shown<'p> {
    fn bytes(self) -> &'p [u8] {
        match self {
            Self::Header(bytes) | Self::Certificate(bytes) => bytes,
        }
    }

    fn is_certificate(self) -> bool {
        matches!(self, Self::Certificate(_))
    }
}

struct Slot {
    proof: Zeroizing<Box<[u8]>>,
    is_certificate: bool,
    generation: u64,
    known: Rc<Known>,
}

/// The proofs.
pub(super) struct Memo {
    slots: Vec<Option<Slot>>,
}

impl Memo {
    pub(super) fn new() -> Self {
        Self {
            slots: (0..SLOT_COUNT).map(|_| None).collect(),
        }
    }

    /// Who showed this; none if nobody did, if the keys have changed since, or if it has expired.
    ///
    /// Units: `now_unix_s` is seconds since 1970-01-01 UTC.
    pub(super) fn find(
        &self,
        shown: Shown<'_>,
        generation: u64,
        now_unix_s: u64,
    ) -> Option<&Rc<Known>> {
        let slot = self.slots[place(shown.bytes())].as_ref()?;
        let identity = &slot.known.identity;
        let is_good = slot.generation == generation
            && identity
                .expires_unix_s
                .is_none_or(|expires| now_unix_s < expires)
            && slot.is_certificate == shown.is_certificate()
            && **slot.proof == *shown.bytes();
        is_good.then_some(&slot.known)
    }

    /// Remembers who showed this.
    pub(super) fn keep(&mut self, shown: Shown<'_>, generation: u64, known: &Rc<Known>) {
        let proof = shown.bytes();
        self.slots[place(proof)] = Some(Slot {
            proof: Zeroizing::new(proof.into()),
            is_certificate: shown.is_certificate(),
            generation,
            known: Rc::clone(known),
        });
    }
}

/// Where a proof is remembered.
fn place(proof: &[u8]) -> usize {
    let tail = proof.last_chunk::<8>().copied().unwrap_or_default();
    let number = u64::from_le_bytes(tail) ^ proof.len() as u64;
    // All eight bytes count: base64 has six bits a byte, and a padded end has fewer.
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
    usize::try_from(mixed).unwrap_or(0) % SLOT_COUNT
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Identity;

    fn known(expires_unix_s: Option<u64>) -> Rc<Known> {
        Rc::new(Known::new(Identity {
            expires_unix_s,
            ..Identity::anonymous()
        }))
    }

    #[test]
    fn a_proof_is_good_until_it_expires_or_the_keys_change() {
        let mut memo = Memo::new();
        let proof = Shown::Header(b"Bearer aaaaaaaaaa.bbbbbbbb.cccccccc");
        assert!(memo.find(proof, 1, 0).is_none());
        memo.keep(proof, 1, &known(Some(100)));
        assert!(memo.find(proof, 1, 99).is_some());
        assert!(memo.find(proof, 1, 100).is_none());
        assert!(memo.find(proof, 2, 99).is_none());
    }

    #[test]
    fn another_proof_with_the_same_end_is_another() {
        let mut memo = Memo::new();
        memo.keep(Shown::Header(b"Bearer a.b.cccccccc"), 1, &known(None));
        assert!(
            memo.find(Shown::Header(b"Bearer x.b.cccccccc"), 1, 0)
                .is_none()
        );
        assert!(
            memo.find(Shown::Header(b"Bearer a.b.cccccccc"), 1, 0)
                .is_some()
        );
        assert!(memo.find(Shown::Header(b""), 1, 0).is_none());
        assert!(memo.find(Shown::Header(b"short"), 1, 0).is_none());
    }

    #[test]
    fn a_header_with_the_bytes_of_a_certificate_is_not_its_owner() {
        let der = b"0\x82\x01\x0a the certificate of ann";
        let mut memo = Memo::new();
        memo.keep(Shown::Certificate(der), 1, &known(None));
        assert!(memo.find(Shown::Header(der), 1, 0).is_none());
        assert!(memo.find(Shown::Certificate(der), 1, 0).is_some());
        memo.keep(Shown::Header(der), 1, &known(None));
        assert!(memo.find(Shown::Certificate(der), 1, 0).is_none());
    }
}
