//! JSON-RPC ids in their exact type and text.
//!
//! An id is the caller's: it is never parsed into a number (2^53 and beyond come by), never unescaped, and written back
//! byte for byte. `1` and `"1"` are two ids.

use crate::limits::ID_BYTES_MAX;
use crate::wire::json::{self, Num, Str};

/// An id, or a progress token, as it stands in a message that was scanned.
#[derive(Clone, Copy, Debug)]
pub enum RawId<'b> {
    /// A string.
    Text(Str<'b>),
    /// An integer, in the caller's digits.
    Integer(Num<'b>),
}

impl<'b> RawId<'b> {
    /// An integer id; none where the number is written with a fraction or an exponent.
    pub fn integer(number: Num<'b>) -> Option<Self> {
        let digits = number
            .raw()
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'-');
        digits.then_some(Self::Integer(number))
    }

    /// Appends the id as it stood.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => {
                out.push(b'"');
                out.extend_from_slice(text.raw().as_bytes());
                out.push(b'"');
            }
            Self::Integer(number) => out.extend_from_slice(number.raw().as_bytes()),
        }
    }

    /// Bytes that [`RawId::write`] appends.
    pub fn written_len(&self) -> usize {
        match self {
            Self::Text(text) => text.raw().len() + 2,
            Self::Integer(number) => number.raw().len(),
        }
    }

    /// Whether both name the same request: same type and same value (`"a"` is `"\u0061"`; `1` is not `"1"`).
    pub fn same(&self, other: &RawId<'_>) -> bool {
        match (self, other) {
            (Self::Text(a), RawId::Text(b)) => match b.as_plain() {
                Some(plain) => a.eq_str(plain),
                None => a.raw() == b.raw() || a.to_cow() == b.to_cow(),
            },
            (Self::Integer(a), RawId::Integer(b)) => a.raw() == b.raw(),
            _ => false,
        }
    }
}

/// An id that outlives its message: kept inline, so that holding a call allocates nothing.
#[derive(Clone, Copy)]
pub struct InlineId {
    bytes: [u8; ID_BYTES_MAX],
    length: u16,
}

const _: () = assert!(ID_BYTES_MAX <= u16::MAX as usize);

impl InlineId {
    /// Copies an id. The scanner has refused longer ones, so a longer one here is cut to nothing rather than to another id.
    pub fn new(id: &RawId<'_>) -> Self {
        let mut inline = Self {
            bytes: [0; ID_BYTES_MAX],
            length: 0,
        };
        match id {
            RawId::Text(text) => {
                let raw = text.raw().as_bytes();
                if raw.len() + 2 <= ID_BYTES_MAX {
                    inline.bytes[0] = b'"';
                    inline.bytes[1..=raw.len()].copy_from_slice(raw);
                    inline.bytes[raw.len() + 1] = b'"';
                    inline.length = (raw.len() + 2) as u16;
                }
            }
            RawId::Integer(number) => {
                let raw = number.raw().as_bytes();
                if raw.len() <= ID_BYTES_MAX {
                    inline.bytes[..raw.len()].copy_from_slice(raw);
                    inline.length = raw.len() as u16;
                }
            }
        }
        inline
    }

    /// The id's JSON text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl std::fmt::Debug for InlineId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}

/// Anything that is written as an id: borrowed from its message, or kept.
pub trait WriteId {
    /// Appends the id's exact JSON text.
    fn write_id(&self, out: &mut Vec<u8>);
}

impl WriteId for RawId<'_> {
    fn write_id(&self, out: &mut Vec<u8>) {
        self.write(out);
    }
}

/// The number of a request of ours.
impl WriteId for u64 {
    fn write_id(&self, out: &mut Vec<u8>) {
        json::write_u64(out, *self);
    }
}

impl WriteId for InlineId {
    fn write_id(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
}
