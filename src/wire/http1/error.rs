//! Why a head is refused, and the status to say it with.

use std::fmt;

/// A refused request head. The connection is closed after the answer, always.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HeadError {
    /// The first line does not start with a method.
    BadMethod,
    /// A method that this server does not implement.
    UnknownMethod,
    /// The request target breaks its grammar.
    BadTarget,
    /// The first line is not `method target HTTP/x.y`.
    BadRequestLine,
    /// The version is not 1.0 or 1.1.
    UnsupportedVersion,
    /// The request line is longer than the limit for the head.
    TargetTooLong,
    /// The head is longer than the limit.
    HeadTooLarge,
    /// The head has more fields than the limit.
    TooManyFields,
    /// A line ends in a line feed without a carriage return.
    BareLineFeed,
    /// A carriage return is not followed by a line feed.
    BareCarriageReturn,
    /// A field line starts with white space: an obsolete folded line.
    FoldedLine,
    /// A field name is empty, not a token, or followed by white space.
    BadFieldName,
    /// A field value has a control character.
    BadFieldValue,
    /// A field that must stand once stands twice.
    DuplicateField,
    /// HTTP/1.1 without `Host`.
    MissingHost,
    /// `Host` is no host with an optional port, or contradicts the target.
    BadHost,
    /// `Content-Length` is not one number of digits.
    BadContentLength,
    /// `Content-Length` exceeds any limit.
    ContentLengthOverflow,
    /// `Transfer-Encoding` is not what this server can delimit.
    BadTransferEncoding,
    /// A transfer coding other than `chunked`.
    UnknownTransferCoding,
    /// Both `Content-Length` and `Transfer-Encoding`.
    LengthAndTransferEncoding,
    /// `Transfer-Encoding` in an HTTP/1.0 request.
    TransferEncodingIn10,
    /// `Connection` is not a list of tokens.
    BadConnection,
    /// An expectation other than `100-continue`.
    UnknownExpectation,
}

impl HeadError {
    /// The status of the answer.
    pub fn status(&self) -> u16 {
        match self {
            Self::TargetTooLong => 414,
            Self::HeadTooLarge | Self::TooManyFields => 431,
            Self::ContentLengthOverflow => 413,
            Self::UnknownExpectation => 417,
            Self::UnknownMethod | Self::UnknownTransferCoding => 501,
            Self::UnsupportedVersion => 505,
            _ => 400,
        }
    }

    /// What is wrong, for the person on the other side.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::BadMethod => {
                "the request does not start with an HTTP method; is this TLS on a plain-text port?"
            }
            Self::UnknownMethod => "this method is not implemented; methods are case-sensitive",
            Self::BadTarget => {
                "the request target has a character or form that RFC 9112 does not allow; percent-encode it"
            }
            Self::BadRequestLine => {
                "the request line must be: method, one space, target, one space, HTTP/1.1"
            }
            Self::UnsupportedVersion => "only HTTP/1.1 and HTTP/1.0 are served",
            Self::TargetTooLong => "the request line is longer than limits.head_bytes_max",
            Self::HeadTooLarge => "the head is longer than limits.head_bytes_max",
            Self::TooManyFields => "the head has too many header fields",
            Self::BareLineFeed => {
                "a line ends in a line feed without a carriage return; end lines with CRLF"
            }
            Self::BareCarriageReturn => {
                "a carriage return stands without a line feed; end lines with CRLF"
            }
            Self::FoldedLine => {
                "a header line starts with white space; folded lines are obsolete, use one line"
            }
            Self::BadFieldName => {
                "a header name is empty, has a character that is no token character, or has a space before its colon"
            }
            Self::BadFieldValue => "a header value has a control character",
            Self::DuplicateField => "a header that may stand only once stands twice",
            Self::MissingHost => "HTTP/1.1 requires a Host header",
            Self::BadHost => {
                "the Host header is not a host with an optional port, or differs from the request target's"
            }
            Self::BadContentLength => "Content-Length must be one decimal number",
            Self::ContentLengthOverflow => "Content-Length is larger than any limit here",
            Self::BadTransferEncoding => "Transfer-Encoding must be exactly: chunked",
            Self::UnknownTransferCoding => "the only transfer coding here is chunked",
            Self::LengthAndTransferEncoding => {
                "Content-Length and Transfer-Encoding exclude each other"
            }
            Self::TransferEncodingIn10 => "HTTP/1.0 has no Transfer-Encoding",
            Self::BadConnection => "the Connection header must be a list of tokens",
            Self::UnknownExpectation => "the only expectation here is 100-continue",
        }
    }
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for HeadError {}
