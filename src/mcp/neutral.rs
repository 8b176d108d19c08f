//! Text that could drive a terminal or deceive a reader, made harmless.
//!
//! What a server writes into a description or an answer ends up on somebody's terminal and in somebody's model. Control characters
//! start terminal commands (ANSI escapes), and characters without a look of their own hide words from a person that a model
//! reads. Here each is replaced by one that shows where it was; everything else stays byte for byte.
//!
//! | characters | become |
//! |---|---|
//! | C0 but tab, line feed and carriage return; DEL | their pictures, U+2400 and on |
//! | C1 | U+FFFD |
//! | bidirectional overrides and isolates, invisible operators, U+200B, U+FEFF, tag characters | U+FFFD |
//! | variation selectors behind one another; those of U+E0100 and on behind anything but an ideograph | U+FFFD |
//!
//! Joiners (U+200C, U+200D) and direction marks (U+200E, U+200F) stay: words and emoji need them. So does the one selector that
//! an emoji or an ideograph has; rows of them, of which each is a byte of something that nobody sees, have no other use.
//!
//! Source: ECMA-48 section 5; UTS #55 section 3; UTS #37; CVE-2021-42574.

use std::borrow::Cow;

/// Makes the strings of a JSON text harmless; the text is valid JSON, and stays so. Borrowed if nothing had to change.
pub fn neutralise(json: &[u8]) -> Cow<'_, [u8]> {
    let is_ascii = json.is_ascii();
    match first_doubt(json, 0, is_ascii) {
        None => Cow::Borrowed(json),
        Some(at) => rewrite(json, at, is_ascii),
    }
}

/// What stands at a place: so many bytes, to be replaced or not.
struct Piece {
    bytes: usize,
    instead: Option<&'static [u8]>,
    /// The character that it is, if it is one.
    character: Option<u32>,
}

impl Piece {
    fn kept(bytes: usize) -> Self {
        Self {
            bytes,
            instead: None,
            character: None,
        }
    }

    fn of(bytes: usize, character: u32) -> Self {
        Self {
            bytes,
            instead: instead(character),
            character: Some(character),
        }
    }
}

/// The next byte that something harmful may begin with. Of ASCII that is a backslash or DEL: raw control characters are no JSON.
///
/// Shape: `is_ascii` says it of the whole text, so that it is looked at once.
fn first_doubt(json: &[u8], from: usize, is_ascii: bool) -> Option<usize> {
    let rest = json.get(from..)?;
    let found = match is_ascii {
        true => memchr::memchr2(b'\\', 0x7f, rest),
        false => rest
            .iter()
            .position(|byte| matches!(byte, b'\\' | 0x7f | 0xc2 | 0xe1 | 0xe2 | 0xef | 0xf3)),
    };
    found.map(|at| from + at)
}

#[cold]
fn rewrite(json: &[u8], first: usize, is_ascii: bool) -> Cow<'_, [u8]> {
    let mut out: Option<Vec<u8>> = None;
    let (mut copied, mut at) = (0, first);
    // Where the piece before ended, and what it was.
    let mut last = (0, None);
    loop {
        let piece = piece(&json[at..]);
        let stray = piece
            .character
            .filter(|one| is_selector(*one))
            .filter(|one| {
                let before = match last {
                    (end, character) if end == at => character,
                    _ => character_before(json, at),
                };
                !selects(before, *one)
            });
        last = (at + piece.bytes, piece.character);
        if let Some(instead) = piece.instead.or(stray.map(|_| REPLACEMENT)) {
            let out = out.get_or_insert_with(|| Vec::with_capacity(json.len() + 16));
            out.extend_from_slice(&json[copied..at]);
            out.extend_from_slice(instead);
            copied = at + piece.bytes;
        }
        match first_doubt(json, at + piece.bytes, is_ascii) {
            Some(next) => at = next,
            None => break,
        }
    }
    match out {
        None => Cow::Borrowed(json),
        Some(mut out) => {
            out.extend_from_slice(&json[copied..]);
            Cow::Owned(out)
        }
    }
}

fn piece(rest: &[u8]) -> Piece {
    match rest {
        [b'\\', b'u', ..] => escape(rest),
        [b'\\', b'b', ..] => Piece::of(2, 0x08),
        [b'\\', b'f', ..] => Piece::of(2, 0x0c),
        // Whatever it stands for, it is none of those that are looked for.
        [b'\\', letter, ..] => Piece {
            character: Some(u32::from(*letter)),
            ..Piece::kept(2)
        },
        _ => {
            let length = match rest.first() {
                Some(0xf0..) => 4,
                Some(0xe0..) => 3,
                Some(0xc0..) => 2,
                _ => 1,
            };
            let bytes = rest.get(..length).unwrap_or(rest);
            let character = std::str::from_utf8(bytes)
                .ok()
                .and_then(|text| text.chars().next());
            match character {
                Some(character) => Piece::of(bytes.len(), u32::from(character)),
                None => Piece::kept(1),
            }
        }
    }
}

/// `\uXXXX`, or two of them that are one character.
fn escape(rest: &[u8]) -> Piece {
    let Some(unit) = unit(rest) else {
        return Piece::kept(2);
    };
    if (0xd800..0xdc00).contains(&unit)
        && let Some(low @ 0xdc00..0xe000) = rest.get(6..).and_then(self::unit)
    {
        let character = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
        return Piece::of(12, character);
    }
    Piece::of(6, unit)
}

/// The character that ends at this place.
fn character_before(json: &[u8], at: usize) -> Option<u32> {
    let start = at.saturating_sub(4);
    let last = json.get(start..at)?.utf8_chunks().last()?;
    let found = last.valid().chars().next_back()?;
    last.invalid().is_empty().then_some(u32::from(found))
}

fn is_selector(character: u32) -> bool {
    matches!(character, 0xfe00..=0xfe0f | 0xe_0100..=0xe_01ef)
}

/// Whether a selector says something of the character before it.
fn selects(before: Option<u32>, selector: u32) -> bool {
    let is_ideograph =
        |one: u32| matches!(one, 0x3400..=0x9fff | 0xf900..=0xfaff | 0x2_0000..=0x3_ffff);
    before.is_some_and(|before| match selector {
        0xfe00..=0xfe0f => !is_selector(before),
        _ => is_ideograph(before),
    })
}

fn unit(rest: &[u8]) -> Option<u32> {
    let digits = rest.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |unit, digit| {
        Some(unit * 16 + char::from(*digit).to_digit(16)?)
    })
}

/// U+FFFD.
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// The pictures of the control characters, in their order.
const PICTURES: [&str; 32] = [
    "␀", "␁", "␂", "␃", "␄", "␅", "␆", "␇", "␈", "␉", "␊", "␋", "␌", "␍", "␎", "␏", "␐", "␑", "␒",
    "␓", "␔", "␕", "␖", "␗", "␘", "␙", "␚", "␛", "␜", "␝", "␞", "␟",
];

/// What stands for a character that must not; none for one that may.
fn instead(character: u32) -> Option<&'static [u8]> {
    match character {
        0x09 | 0x0a | 0x0d => None,
        0x00..=0x1f => PICTURES
            .get(character as usize)
            .map(|picture| picture.as_bytes()),
        0x7f => Some("␡".as_bytes()),
        0x80..=0x9f
        | 0x180e
        | 0x200b
        | 0x202a..=0x202e
        | 0x2060..=0x206f
        | 0xfeff
        | 0xfff9..=0xfffb
        | 0xe_0000..=0xe_007f => Some(REPLACEMENT),
        _ => None,
    }
}

/// Holds for any JSON text: the result is JSON, has no harmful character, is its own result, and differs from the text in
/// harmful characters alone.
///
/// For fuzzing and property tests.
pub fn check(data: &[u8]) {
    let Ok(before) = serde_json::from_slice::<serde_json::Value>(data) else {
        // Whatever it is: no panic.
        let _ = neutralise(data);
        return;
    };
    let after = neutralise(data);
    let read: serde_json::Value = serde_json::from_slice(&after).expect("it stays JSON");
    let once: &[u8] = &after;
    assert_eq!(&*neutralise(once), once);
    assert!(!is_harmful_value(&read), "{read:?}");
    if !is_harmful_value(&before) {
        assert_eq!(before, read);
    }
}

fn is_harmful_value(value: &serde_json::Value) -> bool {
    use serde_json::Value;
    let is_harmful = |text: &str| {
        let mut before = None;
        text.chars().map(u32::from).any(|one| {
            let stray = is_selector(one) && !selects(before.replace(one).or(Some(0x22)), one);
            before = Some(one);
            stray || instead(one).is_some()
        })
    };
    match value {
        Value::String(text) => is_harmful(text),
        Value::Array(items) => items.iter().any(is_harmful_value),
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| is_harmful(name) || is_harmful_value(value)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(json: &str) -> String {
        String::from_utf8(neutralise(json.as_bytes()).into_owned()).unwrap()
    }

    #[test]
    fn an_escape_of_a_terminal_is_shown_and_does_nothing() {
        assert_eq!(shown(r#""\u001b[31mred\u001B[0m""#), "\"␛[31mred␛[0m\"");
        assert_eq!(shown(r#""a\b\fz""#), "\"a␈␌z\"");
        assert_eq!(shown(r#""\u0000\u0007\u007f\u009b""#), "\"␀␇␡\u{fffd}\"");
        assert_eq!(shown("\"a\u{9b}2J\u{7f}\""), "\"a\u{fffd}2J␡\"");
    }

    #[test]
    fn what_hides_from_the_eye_is_marked() {
        assert_eq!(shown("\"\u{202e}cod.exe\""), "\"\u{fffd}cod.exe\"");
        assert_eq!(
            shown(r#""\u202Ecod.exe\u2066""#),
            "\"\u{fffd}cod.exe\u{fffd}\""
        );
        assert_eq!(
            shown("\"\u{e0041}x\u{feff}\u{200b}\""),
            "\"\u{fffd}x\u{fffd}\u{fffd}\""
        );
        assert_eq!(shown(r#""\udb40\udc41x""#), "\"\u{fffd}x\"");
    }

    #[test]
    fn a_row_of_variation_selectors_hides_nothing() {
        let row = "\u{fffd}".repeat(3);
        assert_eq!(
            shown("\"😀\u{e0141}\u{e0142}\u{e0143}\""),
            format!("\"😀{row}\"")
        );
        assert_eq!(
            shown("\"❤\u{fe0f}\u{fe01}\\ufe02\u{fe03}\""),
            format!("\"❤\u{fe0f}{row}\"")
        );
        for text in [
            "\"葛\u{e0100}城\"",
            "\"❤\u{fe0f}\"",
            r#""\u845b\udb40\udd00""#,
        ] {
            assert!(matches!(neutralise(text.as_bytes()), Cow::Borrowed(_)));
        }
    }

    #[test]
    fn what_is_harmless_stays_byte_for_byte() {
        for text in [
            r#"{"a":"line\nline\ttab\r","b":"back\\u001bslash","c":"\"\/"}"#,
            "\"família 家族 👨\u{200d}👩\u{200d}👧 می\u{200c}خواهم — “x”\"",
            r#""\ud83d\ude00 \u00e9 \u2028""#,
            "[1,2.5e3,true,null]",
        ] {
            assert!(
                matches!(neutralise(text.as_bytes()), Cow::Borrowed(_)),
                "{text}"
            );
        }
    }

    #[test]
    fn a_text_that_ends_in_the_middle_is_no_reason_to_panic() {
        for text in [
            &b"\\"[..],
            b"\\u",
            b"\\u00",
            b"\xe2\x80",
            b"\xf3\xa0",
            b"\xc2",
            b"\\udb40\\u",
        ] {
            neutralise(text);
        }
    }

    proptest! {
        #[test]
        fn any_string_comes_out_as_json_and_harmless(text in "\\PC*|[\\x00-\\u{ff}\\u{2000}-\\u{2070}\\u{e0000}-\\u{e0080}]*") {
            check(serde_json::Value::from(text).to_string().as_bytes());
        }

        #[test]
        fn any_bytes_are_read_to_their_end(bytes: Vec<u8>) {
            check(&bytes);
        }
    }
}
