//! A table keyed by numbers that this process chose itself.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Such a table.
pub(super) type NumberMap<K, V> = HashMap<K, V, BuildHasherDefault<NumberHasher>>;

/// Spreads a number; nobody outside chooses the numbers, so nobody can make them collide.
#[derive(Clone, Copy, Default)]
pub(super) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        // The table takes its buckets from the low bits and its tags from the high ones: both halves are mixed.
        let mixed = u128::from(self.0.rotate_left(5) ^ number) * 0x9E37_79B9_7F4A_7C15;
        self.0 = (mixed >> 64) as u64 ^ mixed as u64;
    }
}
