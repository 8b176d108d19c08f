//! The pull reader.

use super::error::JsonError;
use super::number::Num;
use super::scan::{STRING_ERROR, string_end, string_error};
use super::string::Str;

/// Levels of nesting that no caller's limit can exceed: one bit of memory each.
pub const DEPTH_CAP: usize = 1024;

const KIND_WORDS: usize = DEPTH_CAP / 64;

/// What a JSON value is, told by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `{`
    Object,
    /// `[`
    Array,
    /// `"`
    String,
    /// A digit or `-`
    Number,
    /// `t`
    True,
    /// `f`
    False,
    /// `n`
    Null,
}

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expect {
    /// A value.
    Value,
    /// The first key or element, or the end of a container just opened.
    First,
    /// A comma, or the end of the innermost container; the end of the text outside all.
    Next,
}

/// A pull reader over one JSON text: it validates all that it passes over and allocates nothing.
///
/// Shape: call the method for the value that [`Reader::peek`] announces; inside an object ask [`Reader::key`]
/// before each value, inside an array [`Reader::element`]. A value left unread is skipped by the next `key` or
/// `element`. A call out of turn, or for another kind, is [`JsonError::WrongKind`], never a panic. A text passed
/// only once [`Reader::end`] succeeded.
#[derive(Clone, Debug)]
pub struct Reader<'b> {
    pub(super) text: &'b str,
    pub(super) at: usize,
    pub(super) expect: Expect,
    pub(super) depth: usize,
    depth_max: usize,
    /// Offset of the first byte that is not UTF-8, if there is one; then `text` is empty, so that nothing passes.
    invalid_at: Option<usize>,
    /// One bit for each open container: 1 for an object.
    kinds: [u64; KIND_WORDS],
}

/// Checks that `text` is one JSON value, nested at most `depth_max` deep.
///
/// Source: RFC 8259; UTF-8 without byte order mark.
pub fn validate(text: &[u8], depth_max: usize) -> Result<(), JsonError> {
    let mut reader = Reader::new(text, depth_max);
    reader.skip()?;
    reader.end()
}

impl<'b> Reader<'b> {
    /// A reader at the start of `text`, whose UTF-8 it checks at once; an error shows at the first call.
    pub fn new(text: &'b [u8], depth_max: usize) -> Self {
        match std::str::from_utf8(text) {
            Ok(text) => Self::from_text(text, depth_max),
            Err(error) => Self {
                invalid_at: Some(error.valid_up_to()),
                ..Self::from_text("", depth_max)
            },
        }
    }

    /// A reader over a text that is known to be UTF-8, for a part of what was read before.
    pub fn from_text(text: &'b str, depth_max: usize) -> Self {
        Self {
            text,
            at: 0,
            expect: Expect::Value,
            depth: 0,
            depth_max: depth_max.min(DEPTH_CAP),
            invalid_at: None,
            kinds: [0; KIND_WORDS],
        }
    }

    /// Where the reader stands.
    ///
    /// Units: bytes from the start of the text.
    #[inline]
    pub fn position(&self) -> usize {
        self.at
    }

    /// The whole text being read.
    #[inline]
    pub fn text(&self) -> &'b str {
        self.text
    }

    /// The kind of the next value.
    #[inline]
    pub fn peek(&mut self) -> Result<Kind, JsonError> {
        let byte = self.value_byte()?;
        match byte {
            b'{' => Ok(Kind::Object),
            b'[' => Ok(Kind::Array),
            b'"' => Ok(Kind::String),
            b'-' | b'0'..=b'9' => Ok(Kind::Number),
            b't' => Ok(Kind::True),
            b'f' => Ok(Kind::False),
            b'n' => Ok(Kind::Null),
            _ => Err(self.unexpected()),
        }
    }

    /// Enters an object.
    #[inline]
    pub fn begin_object(&mut self) -> Result<(), JsonError> {
        self.expect_byte(b'{')?;
        self.push(true)
    }

    /// The next key of the innermost object, or `None` at its end (`}` is then consumed).
    #[inline]
    pub fn key(&mut self) -> Result<Option<Str<'b>>, JsonError> {
        self.skip_unread()?;
        if self.depth == 0 || !self.in_object() {
            return Err(JsonError::WrongKind { at: self.at });
        }
        let mut byte = self.token()?;
        if byte == b'}' {
            self.at += 1;
            self.pop();
            return Ok(None);
        }
        if self.expect == Expect::Next {
            if byte != b',' {
                return Err(self.unexpected());
            }
            self.at += 1;
            byte = self.token()?;
        }
        if byte != b'"' {
            return Err(self.unexpected());
        }
        let key = self.take_key()?;
        Ok(Some(key))
    }

    /// Enters an array.
    #[inline]
    pub fn begin_array(&mut self) -> Result<(), JsonError> {
        self.expect_byte(b'[')?;
        self.push(false)
    }

    /// Whether another element follows; at the array's end `]` is consumed.
    #[inline]
    pub fn element(&mut self) -> Result<bool, JsonError> {
        self.skip_unread()?;
        if self.depth == 0 || self.in_object() {
            return Err(JsonError::WrongKind { at: self.at });
        }
        let byte = self.token()?;
        if byte == b']' {
            self.at += 1;
            self.pop();
            return Ok(false);
        }
        if self.expect == Expect::Next {
            if byte != b',' {
                return Err(self.unexpected());
            }
            self.at += 1;
            // `[1,]`: a value must start here.
            self.expect = Expect::Value;
            self.peek()?;
        }
        self.expect = Expect::Value;
        Ok(true)
    }

    /// Reads a string.
    #[inline]
    pub fn string(&mut self) -> Result<Str<'b>, JsonError> {
        if self.value_byte()? != b'"' {
            return Err(self.wrong_kind());
        }
        let string = self.take_string()?;
        self.expect = Expect::Next;
        Ok(string)
    }

    /// Reads a number.
    #[inline]
    pub fn number(&mut self) -> Result<Num<'b>, JsonError> {
        if !matches!(self.value_byte()?, b'-' | b'0'..=b'9') {
            return Err(self.wrong_kind());
        }
        let start = self.at;
        let (end, integer) = number_end(self.text.as_bytes(), start)?;
        self.at = end;
        self.expect = Expect::Next;
        Ok(Num::new(&self.text[start..end], integer))
    }

    /// Reads `true` or `false`.
    #[inline]
    pub fn boolean(&mut self) -> Result<bool, JsonError> {
        let value = match self.value_byte()? {
            b't' => {
                self.at = self.literal_end(self.at, b"true")?;
                true
            }
            b'f' => {
                self.at = self.literal_end(self.at, b"false")?;
                false
            }
            _ => return Err(self.wrong_kind()),
        };
        self.expect = Expect::Next;
        Ok(value)
    }

    /// Reads `null`.
    #[inline]
    pub fn null(&mut self) -> Result<(), JsonError> {
        if self.value_byte()? != b'n' {
            return Err(self.wrong_kind());
        }
        self.at = self.literal_end(self.at, b"null")?;
        self.expect = Expect::Next;
        Ok(())
    }

    /// Fails unless the value is complete and only white space is left.
    pub fn end(&mut self) -> Result<(), JsonError> {
        if let Some(at) = self.invalid_at {
            return Err(JsonError::InvalidUtf8 { at });
        }
        if self.depth != 0 || self.expect != Expect::Next {
            return Err(JsonError::UnexpectedEnd { at: self.at });
        }
        self.white_space();
        if self.at < self.text.len() {
            return Err(JsonError::TrailingBytes { at: self.at });
        }
        Ok(())
    }

    /// Reads a key and its colon; the reader stands at the key's quote.
    #[inline]
    fn take_key(&mut self) -> Result<Str<'b>, JsonError> {
        let key = self.take_string()?;
        if self.token()? != b':' {
            return Err(self.unexpected());
        }
        self.at += 1;
        self.expect = Expect::Value;
        Ok(key)
    }

    /// Reads a string; the reader stands at its opening quote.
    #[inline]
    fn take_string(&mut self) -> Result<Str<'b>, JsonError> {
        let start = self.at + 1;
        let end = string_end(self.text.as_bytes(), start);
        if end.at == STRING_ERROR {
            return Err(self.string_error(start));
        }
        self.at = end.at + 1;
        Ok(Str::new(&self.text[start..end.at], end.escaped))
    }

    #[cold]
    pub(super) fn string_error(&self, start: usize) -> JsonError {
        string_error(self.text.as_bytes(), start)
    }

    /// The index after `literal`, whose first byte stands at `at`.
    #[inline]
    pub(super) fn literal_end(&self, at: usize, literal: &[u8]) -> Result<usize, JsonError> {
        if self.text.as_bytes()[at..].starts_with(literal) {
            return Ok(at + literal.len());
        }
        Err(self.literal_error(at, literal))
    }

    /// Points at the first byte that departs from `literal`.
    #[cold]
    fn literal_error(&self, at: usize, literal: &[u8]) -> JsonError {
        let found = &self.text.as_bytes()[at..];
        let pairs = literal.iter().zip(found);
        let common = pairs.take_while(|(wanted, found)| wanted == found).count();
        self.unexpected_at(at + common)
    }

    /// Skips a value that `key` or `element` announced and the caller left unread.
    #[inline]
    fn skip_unread(&mut self) -> Result<(), JsonError> {
        if self.expect == Expect::Value && self.depth > 0 {
            self.skip_text()?;
        }
        Ok(())
    }

    /// The first byte of a value that may stand here.
    #[inline]
    pub(super) fn value_byte(&mut self) -> Result<u8, JsonError> {
        if self.expect != Expect::Value {
            return Err(JsonError::WrongKind { at: self.at });
        }
        self.token()
    }

    /// Consumes the opening byte of a container.
    #[inline]
    fn expect_byte(&mut self, wanted: u8) -> Result<(), JsonError> {
        if self.value_byte()? != wanted {
            return Err(self.wrong_kind());
        }
        self.at += 1;
        Ok(())
    }

    /// The next byte that is not white space, not consumed.
    #[inline]
    fn token(&mut self) -> Result<u8, JsonError> {
        let (byte, at) = self.token_at(self.at)?;
        self.at = at;
        Ok(byte)
    }

    /// The first byte from `at` that is not white space, and its index.
    #[inline]
    pub(super) fn token_at(&self, at: usize) -> Result<(u8, usize), JsonError> {
        match self.text.as_bytes().get(at) {
            Some(&byte) if byte > b' ' => Ok((byte, at)),
            _ => self.token_after_space(at),
        }
    }

    fn token_after_space(&self, mut at: usize) -> Result<(u8, usize), JsonError> {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(at) {
            at += 1;
        }
        match bytes.get(at) {
            Some(&byte) => Ok((byte, at)),
            None => Err(self.end_error()),
        }
    }

    #[inline]
    fn white_space(&mut self) {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(self.at) {
            self.at += 1;
        }
    }

    #[inline]
    fn push(&mut self, object: bool) -> Result<(), JsonError> {
        self.open_at(self.depth, object, self.at - 1)?;
        self.depth += 1;
        self.expect = Expect::First;
        Ok(())
    }

    /// Notes the kind of a container that opens inside `depth` others with the bracket at `at`.
    #[inline]
    pub(super) fn open_at(
        &mut self,
        depth: usize,
        object: bool,
        at: usize,
    ) -> Result<(), JsonError> {
        if depth >= self.depth_max {
            return Err(JsonError::TooDeep {
                at,
                depth_max: self.depth_max as u32,
            });
        }
        let word = &mut self.kinds[depth / 64];
        let bit = 1u64 << (depth % 64);
        *word = if object { *word | bit } else { *word & !bit };
        Ok(())
    }

    #[inline]
    fn pop(&mut self) {
        self.depth -= 1;
        self.expect = Expect::Next;
    }

    /// Whether the innermost container is an object; call only inside one.
    #[inline]
    fn in_object(&self) -> bool {
        self.is_object_at(self.depth)
    }

    /// Whether the innermost of `depth` open containers is an object; `depth` is not 0.
    #[inline]
    pub(super) fn is_object_at(&self, depth: usize) -> bool {
        let index = depth - 1;
        (self.kinds[index / 64] >> (index % 64)) & 1 == 1
    }

    /// The error for a value of another kind; a byte that starts no value is reported as such.
    #[cold]
    fn wrong_kind(&mut self) -> JsonError {
        match self.peek() {
            Ok(_) => JsonError::WrongKind { at: self.at },
            Err(error) => error,
        }
    }

    #[cold]
    fn unexpected(&self) -> JsonError {
        self.unexpected_at(self.at)
    }

    #[cold]
    pub(super) fn unexpected_at(&self, at: usize) -> JsonError {
        match self.text.as_bytes().get(at) {
            Some(&byte) => JsonError::UnexpectedByte { at, byte },
            None => self.end_error(),
        }
    }

    #[cold]
    fn end_error(&self) -> JsonError {
        match self.invalid_at {
            Some(at) => JsonError::InvalidUtf8 { at },
            None => JsonError::UnexpectedEnd {
                at: self.text.len(),
            },
        }
    }
}

/// The index after the number at `start`, and whether it is written as an integer.
#[inline]
pub(super) fn number_end(bytes: &[u8], start: usize) -> Result<(usize, bool), JsonError> {
    let mut at = start;
    if bytes.get(at) == Some(&b'-') {
        at += 1;
    }
    at = match bytes.get(at) {
        // Nothing may follow a leading zero: a digit there is caught as what comes after the value.
        Some(b'0') => at + 1,
        _ => digits_end(bytes, at)?,
    };
    let mut integer = true;
    if bytes.get(at) == Some(&b'.') {
        integer = false;
        at = digits_end(bytes, at + 1)?;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        integer = false;
        at += 1;
        if matches!(bytes.get(at), Some(b'+' | b'-')) {
            at += 1;
        }
        at = digits_end(bytes, at)?;
    }
    Ok((at, integer))
}

/// The index after one or more digits from `start`.
#[inline]
fn digits_end(bytes: &[u8], start: usize) -> Result<usize, JsonError> {
    let mut at = start;
    while let Some(b'0'..=b'9') = bytes.get(at) {
        at += 1;
    }
    if at == start {
        return Err(if at == bytes.len() {
            JsonError::UnexpectedEnd { at }
        } else {
            JsonError::InvalidNumber { at }
        });
    }
    Ok(at)
}
