//! The one framing decision: where a request's body ends.
//!
//! | version | Transfer-Encoding       | Content-Length | verdict                                |
//! |---------|-------------------------|----------------|----------------------------------------|
//! | any     | none                    | none           | no body                                |
//! | any     | none                    | digits         | that many bytes                        |
//! | any     | none                    | else           | 400 (a list, a sign, a space, nothing) |
//! | any     | none                    | over 2^64−1    | 413                                    |
//! | any     | any                     | any            | 400, whatever they say                 |
//! | 1.0     | any                     | none           | 400                                    |
//! | 1.1     | `chunked`               | none           | chunked                                |
//! | 1.1     | others, then `chunked`  | none           | 501                                    |
//! | 1.1     | else                    | none           | 400                                    |
//!
//! Either field twice is refused before this, also when both say the same.
//!
//! Source: RFC 9112 section 6; CVE-2026-2835 (two codings, HTTP/1.0), RUSTSEC-2021-0078 (`+1`).

use super::bytes::{is_token, trim};
use super::error::HeadError;
use super::head::Version;

/// How the end of a request's body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks: see [`crate::wire::chunked`].
    Chunked,
}

/// Decides by the table above; values come without white space at their ends.
pub(super) fn decide(
    version: Version,
    transfer_encoding: Option<&[u8]>,
    content_length: Option<&[u8]>,
) -> Result<Framing, HeadError> {
    match (transfer_encoding, content_length) {
        (None, None) => Ok(Framing::None),
        (None, Some(length)) => content_length_value(length).map(Framing::Length),
        (Some(_), Some(_)) => Err(HeadError::LengthAndTransferEncoding),
        (Some(_), None) if version == Version::H10 => Err(HeadError::TransferEncodingIn10),
        (Some(coding), None) => chunked(coding),
    }
}

pub(super) fn content_length_value(digits: &[u8]) -> Result<u64, HeadError> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(HeadError::BadContentLength);
    }
    let mut length = 0u64;
    for &digit in digits {
        length = length
            .checked_mul(10)
            .and_then(|length| length.checked_add(u64::from(digit - b'0')))
            .ok_or(HeadError::ContentLengthOverflow)?;
    }
    Ok(length)
}

pub(super) fn chunked(coding: &[u8]) -> Result<Framing, HeadError> {
    if coding.eq_ignore_ascii_case(b"chunked") {
        return Ok(Framing::Chunked);
    }
    // A list of codings that ends in one `chunked` is well formed, but it is not implemented here.
    let mut codings = coding.split(|byte| *byte == b',').map(trim).rev();
    let last_is_chunked = codings
        .next()
        .is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"));
    let mut others = codings.peekable();
    if last_is_chunked && others.peek().is_some() && others.all(is_other_coding) {
        return Err(HeadError::UnknownTransferCoding);
    }
    Err(HeadError::BadTransferEncoding)
}

fn is_other_coding(coding: &[u8]) -> bool {
    let unchunked =
        !coding.eq_ignore_ascii_case(b"chunked") && !coding.eq_ignore_ascii_case(b"identity");
    !coding.is_empty() && unchunked && coding.iter().all(|byte| is_token(*byte))
}
