//! What can be wrong with a JSON text, and where.

use std::fmt;

/// Why a text is not the JSON that was asked for; every variant carries the byte offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JsonError {
    /// The bytes are not UTF-8.
    InvalidUtf8 {
        /// Byte offset of the first bad byte.
        at: usize,
    },
    /// The text ends inside a value.
    UnexpectedEnd {
        /// Byte offset of the end.
        at: usize,
    },
    /// A byte that cannot stand here.
    UnexpectedByte {
        /// Byte offset.
        at: usize,
        /// The byte.
        byte: u8,
    },
    /// A value of another kind than the caller asked for, or a call out of turn.
    WrongKind {
        /// Byte offset of the value.
        at: usize,
    },
    /// Nesting goes deeper than allowed.
    TooDeep {
        /// Byte offset of the bracket that is one too many.
        at: usize,
        /// Levels allowed.
        depth_max: u32,
    },
    /// A control character stands unescaped in a string.
    ControlCharacter {
        /// Byte offset.
        at: usize,
        /// The byte.
        byte: u8,
    },
    /// A backslash is followed by something that is no escape.
    InvalidEscape {
        /// Byte offset of the backslash.
        at: usize,
    },
    /// A `\u` escape is half of a surrogate pair.
    LoneSurrogate {
        /// Byte offset of the backslash.
        at: usize,
    },
    /// A number breaks the grammar: leading zero aside, a digit is missing.
    InvalidNumber {
        /// Byte offset where a digit should stand.
        at: usize,
    },
    /// Something other than white space follows the value.
    TrailingBytes {
        /// Byte offset.
        at: usize,
    },
}

impl JsonError {
    /// Where the text stops being valid.
    ///
    /// Units: bytes from the start of the text.
    pub fn offset(&self) -> usize {
        match *self {
            Self::InvalidUtf8 { at }
            | Self::UnexpectedEnd { at }
            | Self::UnexpectedByte { at, .. }
            | Self::WrongKind { at }
            | Self::TooDeep { at, .. }
            | Self::ControlCharacter { at, .. }
            | Self::InvalidEscape { at }
            | Self::LoneSurrogate { at }
            | Self::InvalidNumber { at }
            | Self::TrailingBytes { at } => at,
        }
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::InvalidUtf8 { at } => write!(f, "the text is not UTF-8 from byte {at} on"),
            Self::UnexpectedEnd { at } => {
                write!(f, "the JSON text ends too early, after byte {at}")
            }
            Self::UnexpectedByte { at, byte } => {
                write!(f, "unexpected '{}' at byte {at}", byte.escape_ascii())
            }
            Self::WrongKind { at } => write!(f, "the value at byte {at} is of another type"),
            Self::TooDeep { at, depth_max } => {
                write!(f, "nested deeper than {depth_max} levels at byte {at}")
            }
            Self::ControlCharacter { at, byte } => {
                write!(
                    f,
                    "control character 0x{byte:02x} in a string at byte {at}: escape it"
                )
            }
            Self::InvalidEscape { at } => write!(f, "invalid escape in a string at byte {at}"),
            Self::LoneSurrogate { at } => {
                write!(
                    f,
                    "lone surrogate escape at byte {at}: a pair has a high and a low half"
                )
            }
            Self::InvalidNumber { at } => write!(f, "a digit is missing in a number at byte {at}"),
            Self::TrailingBytes { at } => {
                write!(f, "something follows the JSON value at byte {at}")
            }
        }
    }
}

impl std::error::Error for JsonError {}
