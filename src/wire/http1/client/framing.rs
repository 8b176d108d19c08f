//! The one framing decision of a response: where its body ends.
//!
//! | status, request       | version | Transfer-Encoding | Content-Length | verdict                            |
//! |-----------------------|---------|-------------------|----------------|------------------------------------|
//! | any                   | any     | any               | any            | refused, whatever they say         |
//! | 1xx, 204              | any     | none              | none, or `0`   | no body                            |
//! | 1xx, 204              | any     | else              | else           | refused: a body that cannot be     |
//! | 304, or HEAD          | any     | none              | none, digits   | no body                            |
//! | 304, or HEAD          | 1.1     | `chunked`         | none           | no body                            |
//! | else                  | any     | none              | digits         | that many bytes                    |
//! | else                  | any     | none              | none           | until the connection ends          |
//! | else                  | 1.0     | any               | none           | refused                            |
//! | else                  | 1.1     | `chunked`         | none           | chunked                            |
//! | else                  | 1.1     | else              | none           | refused                            |
//!
//! Either field twice is refused before this, also when both say the same. A coding that does not end in `chunked`
//! would be delimited by the end of the connection (RFC 9112 section 6.3); it is refused, because no coding was offered.
//!
//! Source: RFC 9112 section 6.3; RFC 9110 section 8.6.

use super::super::framing;
use super::super::head::{Method, Version};
use super::error::ResponseError;

/// How the end of a response's body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseFraming {
    /// There is no body.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks: see [`crate::wire::chunked`].
    Chunked,
    /// Until the connection ends. Whether all of it came nobody can tell but its reader.
    Close,
}

/// Decides by the table above; values come without white space at their ends.
pub(super) fn decide(
    request: Method,
    status: u16,
    version: Version,
    transfer_encoding: Option<&[u8]>,
    content_length: Option<&[u8]>,
) -> Result<ResponseFraming, ResponseError> {
    let length = content_length
        .map(framing::content_length_value)
        .transpose()?;
    let chunked = match transfer_encoding {
        None => false,
        Some(_) if length.is_some() => return Err(ResponseError::LengthAndTransferEncoding),
        Some(_) if version == Version::H10 => return Err(ResponseError::BadTransferEncoding),
        Some(coding) => framing::chunked(coding).map(|_| true)?,
    };
    if matches!(status, 100..=199 | 204) {
        return match length {
            None | Some(0) if !chunked => Ok(ResponseFraming::None),
            _ => Err(ResponseError::BodyNotAllowed),
        };
    }
    if status == 304 || request == Method::Head {
        return Ok(ResponseFraming::None);
    }
    Ok(match length {
        Some(length) => ResponseFraming::Length(length),
        None if chunked => ResponseFraming::Chunked,
        None => ResponseFraming::Close,
    })
}
