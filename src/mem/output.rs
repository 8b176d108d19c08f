//! What one send carries: a few segments that the ring owns until the kernel is done with them.

use std::fmt;

use super::{PoolBuffer, SharedBytes};

/// Segments of one output: head, body and two more for framing.
pub const OUTPUT_SEGMENTS_MAX: usize = 4;

/// One piece of an output.
pub enum Segment {
    /// Bytes built for this answer; the buffer goes home when they are sent.
    Buffer(PoolBuffer),
    /// Bytes that somebody built elsewhere, passed on as they are; freed when they are sent.
    Owned(Vec<u8>),
    /// Bytes that many answers share.
    Shared(SharedBytes),
    /// Bytes of the program itself.
    Static(&'static [u8]),
}

impl Segment {
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Buffer(buffer) => buffer,
            Self::Owned(bytes) => bytes,
            Self::Shared(bytes) => bytes,
            Self::Static(bytes) => bytes,
        }
    }
}

/// An output already has [`OUTPUT_SEGMENTS_MAX`] segments; the segment comes back.
pub struct OutputFull(pub Segment);

impl fmt::Debug for OutputFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutputFull({} bytes)", self.0.as_slice().len())
    }
}

/// Up to [`OUTPUT_SEGMENTS_MAX`] segments, sent in order as one.
///
/// The heap memory behind a segment never moves when the output does: that is what the kernel's pointers rely on.
#[derive(Default)]
pub struct Output {
    segments: [Option<Segment>; OUTPUT_SEGMENTS_MAX],
    count: u8,
}

impl Output {
    /// An output without bytes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a segment; an empty one is dropped.
    ///
    /// Errors: [`OutputFull`] with the segment.
    pub fn push(&mut self, segment: impl Into<Segment>) -> Result<(), OutputFull> {
        let segment = segment.into();
        if segment.as_slice().is_empty() {
            return Ok(());
        }
        let Some(place) = self.segments.get_mut(usize::from(self.count)) else {
            return Err(OutputFull(segment));
        };
        *place = Some(segment);
        self.count += 1;
        Ok(())
    }

    /// The pieces, in order; none is empty.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        self.segments.iter().flatten().map(Segment::as_slice)
    }

    /// Segments that hold bytes.
    pub fn segment_count(&self) -> usize {
        usize::from(self.count)
    }

    /// Bytes in all segments.
    pub fn len(&self) -> usize {
        self.slices().map(<[u8]>::len).sum()
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl From<PoolBuffer> for Segment {
    fn from(buffer: PoolBuffer) -> Self {
        Self::Buffer(buffer)
    }
}

impl From<Vec<u8>> for Segment {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Owned(bytes)
    }
}

impl From<SharedBytes> for Segment {
    fn from(bytes: SharedBytes) -> Self {
        Self::Shared(bytes)
    }
}

impl From<&'static [u8]> for Segment {
    fn from(bytes: &'static [u8]) -> Self {
        Self::Static(bytes)
    }
}

impl<S: Into<Segment>> From<S> for Output {
    fn from(segment: S) -> Self {
        let mut output = Self::new();
        if output.push(segment).is_err() {
            unreachable!("an empty output has room");
        }
        output
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_keeps_order_and_skips_the_empty() {
        let mut output = Output::new();
        output.push(b"".as_slice()).unwrap();
        output.push(b"ab".as_slice()).unwrap();
        output.push(SharedBytes::from(b"cd".as_slice())).unwrap();
        output.push(b"e".to_vec()).unwrap();
        output.push(b"f".as_slice()).unwrap();
        assert!(output.push(b"g".as_slice()).is_err());
        assert_eq!(output.slices().collect::<Vec<_>>().concat(), b"abcdef");
        assert_eq!((output.len(), output.segment_count()), (6, 4));
    }
}
