//! Why a connection to an upstream is given up.

use std::fmt;

use crate::wire::chunked::ChunkError;
use crate::wire::http1::client::ResponseError;
use crate::wire::sse::EventError;

/// A connection that can be used for nothing more. Whose call it was is told in a JSON-RPC error; the upstream is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientError {
    /// The head of an answer is refused.
    Head(ResponseError),
    /// A chunked body is refused.
    Chunk(ChunkError),
    /// An event stream is refused.
    Events(EventError),
    /// A body is larger than the limit.
    BodyTooLarge,
    /// Too many interim answers before a real one.
    TooManyInterim,
    /// The body is compressed, which was not offered.
    Encoded,
    /// Bytes that answer nothing.
    Unsolicited,
    /// The connection ended within an answer.
    Truncated,
    /// The connection ended before an answer began.
    NoAnswer,
}

impl ClientError {
    pub(super) fn of_chunk(error: ChunkError) -> Self {
        match error {
            ChunkError::DataTooLarge => Self::BodyTooLarge,
            error => Self::Chunk(error),
        }
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Head(error) => error.reason(),
            Self::Chunk(error) => error.reason(),
            Self::Events(error) => return error.fmt(f),
            Self::BodyTooLarge => "the answer is larger than limits.body_bytes_max",
            Self::TooManyInterim => "too many interim responses came before the real one",
            Self::Encoded => "the answer is compressed, which was not offered",
            Self::Unsolicited => "bytes came that answer no request",
            Self::Truncated => "the connection ended within the answer",
            Self::NoAnswer => "the connection ended before the answer began",
        })
    }
}

impl std::error::Error for ClientError {}
