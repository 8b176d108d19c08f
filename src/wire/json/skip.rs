//! Skipping a value: the tight loop that most bytes of a message pass through.

use super::error::JsonError;
use super::reader::{Expect, Reader, number_end};
use super::scan::{STRING_ERROR, string_end};

impl<'b> Reader<'b> {
    /// Skips one value of any kind, validating it, and returns its exact text.
    #[inline]
    pub fn skip(&mut self) -> Result<&'b [u8], JsonError> {
        self.skip_text().map(str::as_bytes)
    }

    /// Skips one value of any kind, validating it, and returns its exact text.
    pub fn skip_text(&mut self) -> Result<&'b str, JsonError> {
        self.value_byte()?;
        let start = self.at;
        self.at = self.value_end(start)?;
        self.expect = Expect::Next;
        Ok(&self.text[start..self.at])
    }

    /// The index after the value at `start`.
    ///
    /// Shape: the same grammar as the methods that read value by value, with the position in a register; only the kinds of
    /// open containers are kept in the reader. [`super::check()`] holds the two to the same verdicts.
    fn value_end(&mut self, start: usize) -> Result<usize, JsonError> {
        let bytes = self.text.as_bytes();
        let outer = self.depth;
        let mut depth = outer;
        let mut object = false;
        let mut at = start;
        loop {
            at = match self.token_at(at)? {
                (b'"', at) => self.string_end_at(at)?,
                (open @ (b'{' | b'['), opened) => {
                    object = open == b'{';
                    self.open_at(depth, object, opened)?;
                    depth += 1;
                    let (byte, next) = self.token_at(opened + 1)?;
                    if byte != closing(object) {
                        at = if object {
                            self.key_end(byte, next)?
                        } else {
                            next
                        };
                        continue;
                    }
                    depth -= 1;
                    object = depth > outer && self.is_object_at(depth);
                    next + 1
                }
                (b'-' | b'0'..=b'9', at) => number_end(bytes, at)?.0,
                (b't', at) => self.literal_end(at, b"true")?,
                (b'f', at) => self.literal_end(at, b"false")?,
                (b'n', at) => self.literal_end(at, b"null")?,
                (_, at) => return Err(self.unexpected_at(at)),
            };
            // After a value: close what ends here, or go on behind a comma.
            loop {
                if depth == outer {
                    return Ok(at);
                }
                let (byte, next) = self.token_at(at)?;
                at = next + 1;
                if byte == b',' {
                    if object {
                        let (byte, next) = self.token_at(at)?;
                        at = self.key_end(byte, next)?;
                    }
                    break;
                }
                if byte != closing(object) {
                    return Err(self.unexpected_at(next));
                }
                depth -= 1;
                object = depth > outer && self.is_object_at(depth);
            }
        }
    }

    /// The index after the colon of the key that starts with `byte` at `at`.
    #[inline]
    fn key_end(&self, byte: u8, at: usize) -> Result<usize, JsonError> {
        if byte != b'"' {
            return Err(self.unexpected_at(at));
        }
        let (byte, at) = self.token_at(self.string_end_at(at)?)?;
        if byte != b':' {
            return Err(self.unexpected_at(at));
        }
        Ok(at + 1)
    }

    /// The index after the string whose opening quote is at `at`.
    #[inline]
    fn string_end_at(&self, at: usize) -> Result<usize, JsonError> {
        let end = string_end(self.text.as_bytes(), at + 1);
        if end.at == STRING_ERROR {
            return Err(self.string_error(at + 1));
        }
        Ok(end.at + 1)
    }
}

#[inline]
fn closing(object: bool) -> u8 {
    if object { b'}' } else { b']' }
}
