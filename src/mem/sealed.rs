//! Compiled code that this process, or an earlier one of the same user, has made.
//!
//! Deserializing compiled code is executing it: wasmtime checks that it fits the engine, not that its machine code is what a
//! compiler wrote. The only way to a [`Sealed`] is a valid HMAC-SHA256 over the code and the name it goes by, under a key that
//! the caller keeps readable to its own user alone; so whoever could forge one could already run code as that user.

use hmac::{Hmac, Mac};
use sha2::Sha256;
use wasmtime::Engine;
use wasmtime::component::Component;

/// Bytes of the authentication code at the head of an entry.
const CODE_BYTES: usize = 32;

/// The secret under which code is sealed.
pub struct SealKey([u8; 32]);

impl SealKey {
    /// A key from random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    fn authenticate(&self, name: &[u8], code: &[u8]) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        // The length keeps (name, code) from being split elsewhere.
        mac.update(&(name.len() as u64).to_le_bytes());
        mac.update(name);
        mac.update(code);
        mac
    }
}

/// Authentic compiled code.
pub struct Sealed {
    entry: Vec<u8>,
}

impl Sealed {
    /// The entry that [`open`](Self::open) accepts under the same key and name.
    pub fn seal(key: &SealKey, name: &[u8], code: &[u8]) -> Vec<u8> {
        let mut entry = Vec::with_capacity(CODE_BYTES + code.len());
        entry.extend_from_slice(&key.authenticate(name, code).finalize().into_bytes());
        entry.extend_from_slice(code);
        entry
    }

    /// Takes an entry if it was sealed under this key and name; compared in constant time.
    pub fn open(key: &SealKey, name: &[u8], entry: Vec<u8>) -> Option<Self> {
        let (code, payload) = entry.split_at_checked(CODE_BYTES)?;
        key.authenticate(name, payload).verify_slice(code).ok()?;
        Some(Self { entry })
    }

    /// The component.
    ///
    /// Errors: it was compiled for another engine or another version of wasmtime.
    pub fn component(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: `deserialize` requires bytes that `Component::serialize` made and nobody changed. A `Sealed` exists only
        // after `Sealed::open` verified its HMAC, `Sealed::seal` is the only writer under the key, and its callers pass what
        // `serialize` returned. The bytes are in memory that this type owns, so they cannot change after the check.
        unsafe { Component::deserialize(engine, &self.entry[CODE_BYTES..]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_opens_only_under_its_own_key_and_name_and_unchanged() {
        let key = SealKey::new([7; 32]);
        let entry = Sealed::seal(&key, b"name", b"code");
        assert!(Sealed::open(&key, b"name", entry.clone()).is_some());
        assert!(Sealed::open(&key, b"namf", entry.clone()).is_none());
        assert!(Sealed::open(&key, b"namec", entry.clone()).is_none());
        assert!(Sealed::open(&SealKey::new([8; 32]), b"name", entry.clone()).is_none());
        for at in 0..entry.len() {
            let mut forged = entry.clone();
            forged[at] ^= 1;
            assert!(Sealed::open(&key, b"name", forged).is_none(), "byte {at}");
        }
        assert!(Sealed::open(&key, b"name", entry[..31].to_vec()).is_none());
    }
}
