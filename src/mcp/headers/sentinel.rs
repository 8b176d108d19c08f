//! Header values that stand for text that a header cannot hold: `=?base64?…?=`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::wire::json::Str;

const OPEN: &[u8] = b"=?base64?";
const CLOSE: &[u8] = b"?=";

/// The value cannot be decoded: bad alphabet, padding or UTF-8, or bytes that have to be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Base64 text decoded at a time; a multiple of four.
const CHUNK: usize = 64;

/// Whether a header's value, decoded where it is marked as encoded, is `body`.
///
/// A value with only one of the two marks is itself. The comparison decodes in pieces on the stack; only a body string
/// that is spelt with escapes is decoded as a whole.
pub(crate) fn equals(value: &[u8], body: Str<'_>) -> Result<bool, Malformed> {
    let body = body.to_cow();
    equals_bytes(value, body.as_bytes())
}

/// The same against plain bytes.
pub(crate) fn equals_bytes(value: &[u8], body: &[u8]) -> Result<bool, Malformed> {
    let encoded = value
        .strip_prefix(OPEN)
        .and_then(|rest| rest.strip_suffix(CLOSE));
    let Some(encoded) = encoded else {
        if value.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t')) {
            return Ok(value == body);
        }
        return Err(Malformed);
    };
    if !encoded.len().is_multiple_of(4) {
        return Err(Malformed);
    }
    let mut rest = body;
    let mut same = true;
    let chunks = encoded.chunks(CHUNK);
    let last = chunks.len().saturating_sub(1);
    for (index, chunk) in chunks.enumerate() {
        let mut decoded = [0; CHUNK / 4 * 3];
        let length = STANDARD
            .decode_slice(chunk, &mut decoded)
            .map_err(|_| Malformed)?;
        // Padding inside the text would end it early for one decoder and not for another.
        if index < last && length != decoded.len() {
            return Err(Malformed);
        }
        // Goes on after a difference: a malformed end is a malformed value.
        match rest.strip_prefix(&decoded[..length]) {
            Some(after) if same => rest = after,
            _ => same = false,
        }
    }
    Ok(same && rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(text: &str) -> String {
        format!("=?base64?{}?=", STANDARD.encode(text))
    }

    #[test]
    fn an_encoded_value_is_what_it_decodes_to() {
        let long = "é".repeat(500);
        for text in [
            "",
            "Hello",
            "héllo wörld",
            " padded ",
            "=?base64?SGVsbG8=?=",
            &long,
        ] {
            assert_eq!(
                equals_bytes(encode(text).as_bytes(), text.as_bytes()),
                Ok(true),
                "{text}"
            );
            assert_eq!(
                equals_bytes(encode(text).as_bytes(), b"another"),
                Ok(false),
                "{text}"
            );
        }
        let longer = format!("{long}x");
        assert_eq!(
            equals_bytes(encode(&long).as_bytes(), longer.as_bytes()),
            Ok(false)
        );
        assert_eq!(
            equals_bytes(encode(&longer).as_bytes(), long.as_bytes()),
            Ok(false)
        );
    }

    #[test]
    fn bad_padding_alphabet_and_trailing_bits_are_malformed() {
        for bad in [
            "=?base64?SGVsbG8?=",
            "=?base64?SGVs!!!bG8=?=",
            "=?base64?SGVsbG9=?=",
            "=?base64?SGVsbG8==?=",
            "=?base64?====?=",
            "=?base64?SGVs bG8=?=",
            "=?base64?SGVsbG8=SGVsbG8=?=",
        ] {
            assert_eq!(
                equals_bytes(bad.as_bytes(), b"Hello"),
                Err(Malformed),
                "{bad}"
            );
        }
        // Padding at the end of a chunk that is not the last one.
        let inside = format!("=?base64?{}AA=={}?=", "A".repeat(60), "AAAA");
        assert_eq!(equals_bytes(inside.as_bytes(), b""), Err(Malformed));
    }

    #[test]
    fn a_value_with_half_of_the_marks_or_other_letters_is_literal() {
        for literal in [
            "SGVsbG8=",
            "=?base64?SGVsbG8=",
            "SGVsbG8=?=",
            "=?BASE64?SGVsbG8=?=",
            "=?base64?=",
        ] {
            assert_eq!(
                equals_bytes(literal.as_bytes(), literal.as_bytes()),
                Ok(true),
                "{literal}"
            );
            assert_eq!(
                equals_bytes(literal.as_bytes(), b"Hello"),
                Ok(false),
                "{literal}"
            );
        }
    }

    #[test]
    fn bytes_that_have_to_be_encoded_are_malformed_as_they_are() {
        assert_eq!(equals_bytes("é".as_bytes(), "é".as_bytes()), Err(Malformed));
        assert_eq!(equals_bytes(b"a\x01", b"a\x01"), Err(Malformed));
    }
}
