//! Immutable bytes shared by reference count: what many answers have in common.

use std::ops::{Deref, Range};
use std::sync::Arc;

/// A range of shared, immutable bytes; cloning copies no byte.
#[derive(Clone)]
pub struct SharedBytes {
    whole: Arc<[u8]>,
    start: usize,
    end: usize,
}

impl SharedBytes {
    /// A part of these bytes, sharing their memory.
    ///
    /// Errors: `None` when the range does not lie inside.
    pub fn slice(&self, range: Range<usize>) -> Option<Self> {
        if range.start > range.end || range.end > self.len() {
            return None;
        }
        Some(Self {
            whole: Arc::clone(&self.whole),
            start: self.start + range.start,
            end: self.start + range.end,
        })
    }
}

impl Deref for SharedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.whole[self.start..self.end]
    }
}

impl From<Arc<[u8]>> for SharedBytes {
    fn from(whole: Arc<[u8]>) -> Self {
        let end = whole.len();
        Self {
            whole,
            start: 0,
            end,
        }
    }
}

impl From<Vec<u8>> for SharedBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::from(Arc::<[u8]>::from(bytes))
    }
}

impl From<&[u8]> for SharedBytes {
    fn from(bytes: &[u8]) -> Self {
        Self::from(Arc::<[u8]>::from(bytes))
    }
}

impl std::fmt::Debug for SharedBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SharedBytes({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_shares_memory_and_stays_inside() {
        let whole = SharedBytes::from(b"0123456789".as_slice());
        let part = whole.slice(2..6).unwrap();
        assert_eq!(&*part, b"2345");
        assert_eq!(&*part.slice(1..3).unwrap(), b"34");
        assert_eq!(part.as_ptr(), whole[2..].as_ptr());
        assert!(part.slice(0..5).is_none());
        #[expect(clippy::reversed_empty_ranges)]
        let reversed = 3..2;
        assert!(part.slice(reversed).is_none());
    }
}
