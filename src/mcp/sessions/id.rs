//! Who a session belongs to, and what it is called.

use std::fmt;
use std::hash::Hasher;

/// Who is on the other side, as a digest made by authentication. Compared, never shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Principal(pub u128);

impl Principal {
    /// Nobody in particular: without authentication everybody is this one.
    pub const ANONYMOUS: Self = Self(0);
}

/// A session's id: 128 random bits, 32 lowercase hexadecimal digits on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub(super) u128);

/// Digits of a session id on the wire.
pub const SESSION_ID_BYTES: usize = 32;

impl SessionId {
    /// An id of random bytes, which have to be unpredictable.
    pub const fn new(random: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(random))
    }

    /// Reads an id exactly as [`SessionId::text`] writes it; anything else is none of ours.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() != SESSION_ID_BYTES {
            return None;
        }
        let mut value = 0_u128;
        for byte in text {
            let digit = match byte {
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'f' => byte - b'a' + 10,
                _ => return None,
            };
            value = value << 4 | u128::from(digit);
        }
        Some(Self(value))
    }

    /// The id as a number.
    pub const fn bits(self) -> u128 {
        self.0
    }

    /// The id's text for the header.
    pub fn text(self) -> [u8; SESSION_ID_BYTES] {
        let mut text = [0; SESSION_ID_BYTES];
        for (index, byte) in self.0.to_be_bytes().into_iter().enumerate() {
            text[index * 2] = b"0123456789abcdef"[usize::from(byte >> 4)];
            text[index * 2 + 1] = b"0123456789abcdef"[usize::from(byte & 15)];
        }
        text
    }
}

/// Whoever has an id has the session: a log may show only its beginning.
impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06x}…", self.0 >> 104)
    }
}

/// Ids are random and only ours are inserted, so their own bits are the hash: nobody can choose ids that collide.
#[derive(Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, value: u128) {
        self.0 = (value >> 64) as u64 ^ value as u64;
    }
}
