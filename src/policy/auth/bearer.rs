//! The `Authorization` header.
//!
//! Source: RFC 6750 section 2.1; RFC 9110 section 11.4.

use super::Fault;

/// Bytes of a token or key: with its header it fits a head, and nothing here is quadratic in it.
pub const BEARER_BYTES_MAX: usize = 16 << 10;

/// What stands behind `Bearer`.
#[derive(Clone, Copy)]
pub(super) struct Bearer<'a>(&'a str);

impl<'a> Bearer<'a> {
    /// Reads the value of the one header.
    pub(super) fn read(value: &'a [u8]) -> Result<Self, Fault> {
        let text = value.trim_ascii();
        let end = text.iter().position(|byte| matches!(byte, b' ' | b'\t'));
        let (scheme, rest) = text.split_at(end.unwrap_or(text.len()));
        if !scheme.eq_ignore_ascii_case(b"bearer") {
            let is_scheme =
                |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
            return Err(match !scheme.is_empty() && scheme.iter().all(is_scheme) {
                true => Fault::Scheme,
                false => Fault::Malformed(
                    "the Authorization header has no scheme; send Bearer and the token",
                ),
            });
        }
        let token = rest.trim_ascii_start();
        // A tab would be read as a space by some and as part of the token by others.
        if !rest.starts_with(b" ") || rest.contains(&b'\t') {
            let what = "the Authorization header has not one scheme, a space and a token";
            return Err(Fault::Malformed(what));
        }
        Self::of(token)
    }

    /// The token by itself.
    pub(super) fn of(token: &'a [u8]) -> Result<Self, Fault> {
        if token.len() > BEARER_BYTES_MAX {
            let what = "the token is longer than 16384 bytes; send a shorter one";
            return Err(Fault::Malformed(what));
        }
        // token68 of RFC 9110: a token has no space, no comma and no quote, so that there is one and not two.
        let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte);
        let padding = token.iter().rev().take_while(|byte| **byte == b'=').count();
        let (body, _) = token.split_at(token.len() - padding);
        let wrong = Fault::Malformed(
            "what stands behind Bearer is no token: letters, digits and -._~+/ are, with = at the end",
        );
        if body.is_empty() || !body.iter().all(is_allowed) {
            return Err(wrong);
        }
        std::str::from_utf8(token).map(Self).map_err(|_| wrong)
    }

    pub(super) fn text(self) -> &'a str {
        self.0
    }
}
