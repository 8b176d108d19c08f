//! What MCP says in HTTP headers: which media types go, and whether the routing headers agree with the body.
//!
//! A modern request says its method and its tool twice, so that proxies may route on the headers alone. A server that
//! took only one of the two would let a request pass a proxy as one call and run as another; so both are compared, and
//! every doubt is a refusal.
//!
//! Source: MCP 2026-07-28 basic/transports/streamable-http, "Server Validation" and "Value Encoding".
#![forbid(unsafe_code)]

mod media;
mod param;
mod sentinel;

pub use media::{Accept, accept, accept_lines, is_json};
pub use param::{ParamBinding, ParamKind, check_params, param_fields};
pub(crate) use sentinel::equals;

use super::message::Value;
use super::refusal::Reason;
use crate::wire::json::Str;

/// The header of the protocol version.
pub const PROTOCOL_VERSION: &str = "MCP-Protocol-Version";
/// The header of the method.
pub const METHOD: &str = "Mcp-Method";
/// The header of the tool, prompt, resource or task.
pub const NAME: &str = "Mcp-Name";

/// A header's value without the white space around it, which is not part of it (RFC 9110 section 5.5).
pub(crate) fn trim(value: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value
        .iter()
        .position(|byte| !is_space(byte))
        .unwrap_or(value.len());
    let end = value
        .iter()
        .rposition(|byte| !is_space(byte))
        .map_or(start, |last| last + 1);
    &value[start..end]
}

/// Whether `Mcp-Method` is there and is the body's method, letter for letter.
pub(crate) fn check_method<'b>(
    header: Option<&'b [u8]>,
    method: Str<'b>,
) -> Result<(), Reason<'b>> {
    let Some(value) = header.map(trim) else {
        return Err(Reason::HeaderMissing {
            header: METHOD,
            member: "method",
        });
    };
    let same = std::str::from_utf8(value).is_ok_and(|value| method.eq_str(value));
    if same {
        return Ok(());
    }
    Err(Reason::HeaderDiffers {
        header: METHOD,
        value,
        member: "method",
        body: Some(method),
    })
}

/// Whether `Mcp-Name` is there and is the body's name, once decoded.
pub(crate) fn check_name<'b>(
    header: Option<&'b [u8]>,
    body: Value<'b>,
    member: &'static str,
) -> Result<(), Reason<'b>> {
    let body = body.text();
    match (header.map(trim), body) {
        // Both missing: the method says that its parameter is missing.
        (None, None) => Ok(()),
        (None, Some(_)) => Err(Reason::HeaderMissing {
            header: NAME,
            member,
        }),
        (Some(value), None) => Err(Reason::HeaderDiffers {
            header: NAME,
            value,
            member,
            body: None,
        }),
        (Some(value), Some(text)) => match equals(value, text) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Reason::HeaderDiffers {
                header: NAME,
                value,
                member,
                body,
            }),
            Err(_) => Err(Reason::HeaderMalformed {
                header: NAME,
                value,
            }),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_around_a_value_is_not_part_of_it() {
        assert_eq!(trim(b" \t echo \t"), b"echo");
        assert_eq!(trim(b" \t "), b"");
        assert_eq!(trim(b"a b"), b"a b");
    }
}
