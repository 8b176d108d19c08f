//! JSON text that a component wrote, on its way into a message: validated, and without the whitespace between its tokens, so that no
//! message gets a line break.

use crate::wire::json::{JsonError, Kind, Reader};

/// The prefix of the `_meta` keys that are the protocol's own.
const OWN_META: &str = "io.modelcontextprotocol/";

/// Appends one JSON value and says what it is. Nothing is appended if the text is not JSON.
pub(super) fn append(out: &mut Vec<u8>, text: &str, depth_max: usize) -> Result<Kind, JsonError> {
    let mut reader = Reader::from_text(text, depth_max);
    let kind = reader.peek()?;
    reader.skip()?;
    reader.end()?;
    compact(out, text.as_bytes());
    Ok(kind)
}

/// Appends one JSON object.
///
/// Errors: it is none, in words for whoever wrote the component.
pub(super) fn append_object(
    out: &mut Vec<u8>,
    text: &str,
    depth_max: usize,
) -> Result<(), &'static str> {
    let start = out.len();
    match append(out, text, depth_max) {
        Ok(Kind::Object) => Ok(()),
        Ok(_) => {
            out.truncate(start);
            Err("is not a JSON object")
        }
        Err(_) => Err("is not JSON"),
    }
}

/// Appends the members of a result's `_meta`, but for those that are the protocol's own.
pub(super) fn append_meta_members(
    out: &mut Vec<u8>,
    text: &str,
    depth_max: usize,
) -> Result<(), &'static str> {
    let start = out.len();
    let mut read = || -> Result<(), JsonError> {
        let mut reader = Reader::from_text(text, depth_max);
        reader.begin_object()?;
        while let Some(key) = reader.key()? {
            let value = reader.skip()?;
            if key.to_cow().starts_with(OWN_META) {
                continue;
            }
            if out.len() > start {
                out.push(b',');
            }
            out.push(b'"');
            out.extend_from_slice(key.raw().as_bytes());
            out.extend_from_slice(b"\":");
            compact(out, value);
        }
        reader.end()
    };
    let read = read();
    read.map_err(|_| {
        out.truncate(start);
        "is not a JSON object"
    })
}

/// Appends a valid JSON text without its whitespace.
fn compact(out: &mut Vec<u8>, text: &[u8]) {
    out.reserve(text.len());
    let (mut start, mut at) = (0, 0);
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => at = string_end(text, at + 1),
            b' ' | b'\t' | b'\n' | b'\r' => {
                out.extend_from_slice(&text[start..at]);
                at += 1;
                start = at;
            }
            _ => at += 1,
        }
    }
    out.extend_from_slice(&text[start..]);
}

/// Where the string ends that goes on at `at`.
fn string_end(text: &[u8], mut at: usize) -> usize {
    while let Some(found) = text
        .get(at..)
        .and_then(|rest| memchr::memchr2(b'"', b'\\', rest))
    {
        at += found;
        if text[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    text.len()
}

/// The beginning of a text, at most this many bytes of it.
pub(super) fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// The text of the string member `name` of an object's text, if there is one.
pub(super) fn string_member(object: &[u8], name: &str, depth_max: usize) -> Option<String> {
    let mut reader = Reader::new(object, depth_max);
    reader.begin_object().ok()?;
    while let Some(key) = reader.key().ok()? {
        if key.eq_str(name) {
            return Some(reader.string().ok()?.to_cow().into_owned());
        }
        reader.skip().ok()?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn appended(text: &str) -> Result<String, JsonError> {
        let mut out = Vec::new();
        append(&mut out, text, 16)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn whitespace_between_tokens_goes_and_that_in_strings_stays() {
        let text = " {\n\t\"a b\" : [ 1 , \"x \\\" y\\\\\" , null ],\r\n \"c\":\" \" } ";
        assert_eq!(
            appended(text).unwrap(),
            r#"{"a b":[1,"x \" y\\",null],"c":" "}"#
        );
        assert_eq!(appended("1.50e3").unwrap(), "1.50e3");
    }

    #[test]
    fn what_is_not_one_json_value_is_refused() {
        for text in ["", " ", "{", "1 2", "{}x", "'a'", "{\"a\":}", "\"\u{1}\""] {
            let mut out = b"kept".to_vec();
            assert!(append(&mut out, text, 16).is_err(), "{text}");
            assert_eq!(out, b"kept");
        }
        assert!(appended(&"[".repeat(40)).is_err());
    }

    #[test]
    fn an_object_is_told_from_other_values() {
        let mut out = Vec::new();
        assert!(append_object(&mut out, "[1]", 16).is_err());
        assert!(out.is_empty());
        append_object(&mut out, "{ }", 16).unwrap();
        assert_eq!(out, b"{}");
    }

    #[test]
    fn meta_keys_of_the_protocol_are_left_out() {
        let mut out = Vec::new();
        let text = r#"{ "a": 1, "io.modelcontextprotocol/serverInfo": {}, "io.modelcontextprotocol\/x": 2, "b": [ ] }"#;
        append_meta_members(&mut out, text, 16).unwrap();
        assert_eq!(out, br#""a":1,"b":[]"#);
        assert!(append_meta_members(&mut out, "[]", 16).is_err());
        assert!(append_meta_members(&mut out, r#"{"c":1"#, 16).is_err());
        assert_eq!(out, br#""a":1,"b":[]"#);
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
        assert_eq!(cut("aé", 30), "aé");
    }
}
