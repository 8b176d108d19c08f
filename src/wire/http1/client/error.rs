//! Why a response head is refused.

use std::fmt;

use super::super::error::HeadError;

/// A refused response head. The connection is closed, always.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResponseError {
    /// The first line is not `HTTP/x.y status phrase`.
    BadStatusLine,
    /// The version is not 1.0 or 1.1.
    UnsupportedVersion,
    /// The status is not between 100 and 599.
    BadStatus,
    /// `101 Switching Protocols`, which nobody asked for.
    UnaskedUpgrade,
    /// The head is longer than the limit.
    HeadTooLarge,
    /// The head has more fields than the limit.
    TooManyFields,
    /// A field line breaks the rules that requests have, too.
    Field(HeadError),
    /// A field that must stand once stands twice.
    DuplicateField,
    /// `Content-Length` is not one number of digits.
    BadContentLength,
    /// `Transfer-Encoding` is not exactly `chunked`, or stands in HTTP/1.0.
    BadTransferEncoding,
    /// Both `Content-Length` and `Transfer-Encoding`.
    LengthAndTransferEncoding,
    /// A body is announced where a response cannot have one.
    BodyNotAllowed,
    /// `Connection` is not a list of tokens.
    BadConnection,
}

impl ResponseError {
    /// What is wrong, for the person who runs the other side.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::BadStatusLine => "the response does not start with an HTTP/1.1 status line",
            Self::UnsupportedVersion => "the response is not HTTP/1.1 or HTTP/1.0",
            Self::BadStatus => "the status is not a number from 100 to 599",
            Self::UnaskedUpgrade => "the response switches protocols, which was not asked for",
            Self::HeadTooLarge => "the response head is longer than limits.head_bytes_max",
            Self::TooManyFields => "the response has too many header fields",
            Self::Field(error) => error.reason(),
            Self::DuplicateField => "a header that may stand only once stands twice",
            Self::BadContentLength => "Content-Length must be one decimal number",
            Self::BadTransferEncoding => "Transfer-Encoding must be exactly: chunked",
            Self::LengthAndTransferEncoding => {
                "Content-Length and Transfer-Encoding exclude each other"
            }
            Self::BodyNotAllowed => "a response of this status has no body, but one is announced",
            Self::BadConnection => "the Connection header must be a list of tokens",
        }
    }
}

impl From<HeadError> for ResponseError {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::BadContentLength | HeadError::ContentLengthOverflow => {
                Self::BadContentLength
            }
            HeadError::BadTransferEncoding | HeadError::UnknownTransferCoding => {
                Self::BadTransferEncoding
            }
            error => Self::Field(error),
        }
    }
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for ResponseError {}
