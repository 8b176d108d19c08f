//! A truth value as wide as a machine word.
//!
//! Strings and numbers are handed on by value in many larger values. A single byte behind two words leaves seven that are copied
//! in overlapping pieces, and a processor that reads such a piece right after its parts were written waits for memory.

/// Yes or no.
#[derive(Clone, Copy, Debug)]
#[repr(usize)]
pub(super) enum Flag {
    No,
    Yes,
}

impl Flag {
    #[inline]
    pub(super) fn new(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }

    #[inline]
    pub(super) fn is_yes(self) -> bool {
        matches!(self, Self::Yes)
    }
}
