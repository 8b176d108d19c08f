//! A JSON string as it stands in its text, and its decoded forms.

use std::borrow::Cow;

use super::flag::Flag;

/// A validated JSON string: the text between its quotes, escapes not yet replaced.
#[derive(Clone, Copy, Debug)]
pub struct Str<'b> {
    raw: &'b str,
    escaped: Flag,
}

impl<'b> Str<'b> {
    /// `raw` must be what a reader validated: well-formed escapes, no lone surrogates.
    #[inline]
    pub(super) fn new(raw: &'b str, escaped: bool) -> Self {
        Self {
            raw,
            escaped: Flag::new(escaped),
        }
    }

    /// The text between the quotes, exactly as sent.
    #[inline]
    pub fn raw(&self) -> &'b str {
        self.raw
    }

    /// Whether any escape stands in it, so that [`Str::raw`] is not the string's value.
    #[inline]
    pub fn is_escaped(&self) -> bool {
        self.escaped.is_yes()
    }

    /// The string's value, if it needs no decoding.
    #[inline]
    pub fn as_plain(&self) -> Option<&'b str> {
        (!self.is_escaped()).then_some(self.raw)
    }

    /// Whether the decoded string equals `other`; nothing is allocated.
    #[inline]
    pub fn eq_str(&self, other: &str) -> bool {
        if !self.is_escaped() {
            return self.raw == other;
        }
        self.eq_escaped(other)
    }

    /// Whether readers that do not tell upper from lower case take the decoded string for `other`; those that do, too, where both
    /// are equal.
    ///
    /// Source: Go's `encoding/json` matches names of members so, by Unicode's simple folding, and takes the last of several.
    pub fn is_variant_of(&self, other: &str) -> bool {
        if let Some(plain) = self.as_plain()
            && plain.is_ascii()
            && other.is_ascii()
        {
            return plain.eq_ignore_ascii_case(other);
        }
        // Twelve bytes of an escape are one character at least.
        if self.raw.len() > 12 * other.len() {
            return false;
        }
        // `ſ` and `K` are an s and a k to those readers.
        let fold = |text: &str| -> Vec<char> {
            let upper = text.chars().flat_map(char::to_uppercase);
            upper.flat_map(char::to_lowercase).collect()
        };
        fold(&self.to_cow()) == fold(other)
    }

    fn eq_escaped(&self, other: &str) -> bool {
        let mut rest = other.as_bytes();
        let mut buffer = [0u8; 4];
        for piece in self.pieces() {
            match rest.strip_prefix(piece.bytes(&mut buffer)) {
                Some(remaining) => rest = remaining,
                None => return false,
            }
        }
        rest.is_empty()
    }

    /// Appends the decoded string.
    pub fn decode_into(&self, out: &mut Vec<u8>) {
        if !self.is_escaped() {
            out.extend_from_slice(self.raw.as_bytes());
            return;
        }
        let mut buffer = [0u8; 4];
        for piece in self.pieces() {
            out.extend_from_slice(piece.bytes(&mut buffer));
        }
    }

    /// The decoded string, borrowed when it needs no decoding.
    pub fn to_cow(&self) -> Cow<'b, str> {
        if !self.is_escaped() {
            return Cow::Borrowed(self.raw);
        }
        let mut decoded = String::with_capacity(self.raw.len());
        for piece in self.pieces() {
            match piece {
                Piece::Run(run) => decoded.push_str(run),
                Piece::Char(character) => decoded.push(character),
            }
        }
        Cow::Owned(decoded)
    }

    /// Length of the decoded string.
    ///
    /// Units: bytes of UTF-8.
    pub fn decoded_len(&self) -> usize {
        if !self.is_escaped() {
            return self.raw.len();
        }
        self.pieces()
            .map(|piece| match piece {
                Piece::Run(run) => run.len(),
                Piece::Char(character) => character.len_utf8(),
            })
            .sum()
    }

    fn pieces(&self) -> Pieces<'b> {
        Pieces { rest: self.raw }
    }
}

/// Two strings are equal when their decoded values are.
impl PartialEq<str> for Str<'_> {
    fn eq(&self, other: &str) -> bool {
        self.eq_str(other)
    }
}

enum Piece<'b> {
    Run(&'b str),
    Char(char),
}

impl Piece<'_> {
    fn bytes<'a>(&'a self, buffer: &'a mut [u8; 4]) -> &'a [u8] {
        match self {
            Piece::Run(run) => run.as_bytes(),
            Piece::Char(character) => character.encode_utf8(buffer).as_bytes(),
        }
    }
}

/// Walks a validated raw string; what cannot occur in one ends the walk instead of panicking.
struct Pieces<'b> {
    rest: &'b str,
}

impl<'b> Iterator for Pieces<'b> {
    type Item = Piece<'b>;

    fn next(&mut self) -> Option<Piece<'b>> {
        let bytes = self.rest.as_bytes();
        if bytes.first()? != &b'\\' {
            let end = memchr::memchr(b'\\', bytes).unwrap_or(bytes.len());
            let (run, rest) = self.rest.split_at(end);
            self.rest = rest;
            return Some(Piece::Run(run));
        }
        let (character, length) = match bytes.get(1)? {
            b'b' => ('\u{8}', 2),
            b'f' => ('\u{c}', 2),
            b'n' => ('\n', 2),
            b'r' => ('\r', 2),
            b't' => ('\t', 2),
            b'u' => unicode_escape(bytes)?,
            // `"`, `\` and `/` stand for themselves.
            &byte => (char::from(byte), 2),
        };
        self.rest = self.rest.get(length..)?;
        Some(Piece::Char(character))
    }
}

/// Decodes `\uXXXX` or a surrogate pair at the start of `bytes`; returns the character and the length of the escape.
fn unicode_escape(bytes: &[u8]) -> Option<(char, usize)> {
    let first = u32::from(hex4(bytes.get(2..6)?)?);
    if let Some(character) = char::from_u32(first) {
        return Some((character, 6));
    }
    let second = u32::from(hex4(bytes.get(8..12)?)?);
    let scalar = 0x1_0000 + ((first - 0xd800) << 10) + second.checked_sub(0xdc00)?;
    Some((char::from_u32(scalar)?, 12))
}

/// The value of four hexadecimal digits.
#[inline]
pub(super) fn hex4(digits: &[u8]) -> Option<u16> {
    let mut value = 0u32;
    for &digit in digits.first_chunk::<4>()? {
        value = value << 4 | char::from(digit).to_digit(16)?;
    }
    u16::try_from(value).ok()
}
