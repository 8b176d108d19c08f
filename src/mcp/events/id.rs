//! Names of streams and events: `<stream>-<number>`, in decimal digits without leading zeros.

use std::fmt;

/// A stream of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(super) u32);

impl StreamId {
    /// The session's own stream, for what belongs to no request: always there.
    pub const SESSION: Self = Self(0);
}

/// An event's id: the stream and the event's number in it, from 1. Number 0 stands before the first.
///
/// Shape: `Display` is its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventId {
    /// The stream.
    pub stream: StreamId,
    /// The number.
    pub seq: u64,
}

impl EventId {
    /// Reads an id exactly as it is written; anything else is none of ours.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (stream, seq) = text.split_once('-')?;
        Some(Self {
            stream: StreamId(u32::try_from(number(stream)?).ok()?),
            seq: number(seq)?,
        })
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.stream.0, self.seq)
    }
}

fn number(digits: &str) -> Option<u64> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    let leading_zero = digits.len() > 1 && digits.starts_with('0');
    if !plain || leading_zero {
        return None;
    }
    digits.parse().ok()
}
