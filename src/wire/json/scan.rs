//! Byte scanning eight at a time: where a string ends, and its plain runs.

use super::error::JsonError;
use super::string::hex4;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Bytes looked at together once a run proves long; the compiler turns the comparison into vector instructions.
const BLOCK: usize = 32;

/// What [`string_end`] says of a string that does not end, or has something wrong in it.
pub(super) const STRING_ERROR: usize = usize::MAX;

/// Where a string ends; small enough to be returned in registers.
#[derive(Clone, Copy)]
pub(super) struct StringEnd {
    /// Index of the closing quote, or [`STRING_ERROR`].
    pub(super) at: usize,
    /// Whether any escape stands before it.
    pub(super) escaped: bool,
}

/// Finds the end of the string whose first byte after the quote is at `start`, validating it.
#[inline]
pub(super) fn string_end(bytes: &[u8], start: usize) -> StringEnd {
    // Most keys and short values end within one word.
    if let Some(word) = word_at(bytes, start) {
        let special = special_mask(word);
        if special != 0 {
            let shift = special.trailing_zeros() & !7;
            if (word >> shift) as u8 == b'"' {
                return StringEnd {
                    at: start + (shift / 8) as usize,
                    escaped: false,
                };
            }
        }
    }
    long_string_end(bytes, start)
}

fn long_string_end(bytes: &[u8], start: usize) -> StringEnd {
    let mut at = start;
    let mut escaped = false;
    loop {
        at = plain_run_end(bytes, at);
        match bytes.get(at) {
            Some(b'"') => return StringEnd { at, escaped },
            Some(b'\\') => match escape_end(bytes, at) {
                Ok(end) => at = end,
                Err(_) => break,
            },
            _ => break,
        }
        escaped = true;
    }
    StringEnd {
        at: STRING_ERROR,
        escaped,
    }
}

/// What is wrong with a string for which [`string_end`] found no end.
#[cold]
pub(super) fn string_error(bytes: &[u8], start: usize) -> JsonError {
    let mut at = start;
    loop {
        at = plain_run_end(bytes, at);
        match bytes.get(at) {
            Some(b'\\') => match escape_end(bytes, at) {
                Ok(end) => at = end,
                Err(error) => return error,
            },
            Some(&byte) => return JsonError::ControlCharacter { at, byte },
            None => return JsonError::UnexpectedEnd { at },
        }
    }
}

/// Index, from `start`, of the first byte that is `"`, `\` or below 0x20; the length of `bytes` if there is none.
///
/// Shape: the same set ends a run when reading a string and when writing one.
#[inline]
pub(super) fn plain_run_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    // Most keys and short values end within two words.
    for _ in 0..2 {
        let Some(word) = word_at(bytes, at) else {
            return tail(bytes, at);
        };
        let special = special_mask(word);
        if special != 0 {
            return at + first_index(special);
        }
        at += 8;
    }
    long_run_end(bytes, at)
}

fn long_run_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    while let Some(block) = bytes.get(at..).and_then(<[u8]>::first_chunk::<BLOCK>) {
        let mut special = false;
        for &byte in block {
            special |= is_special(byte);
        }
        if special {
            break;
        }
        at += BLOCK;
    }
    while let Some(word) = word_at(bytes, at) {
        let special = special_mask(word);
        if special != 0 {
            return at + first_index(special);
        }
        at += 8;
    }
    tail(bytes, at)
}

#[inline]
fn is_special(byte: u8) -> bool {
    (byte == b'"') | (byte == b'\\') | (byte < 0x20)
}

#[inline]
fn tail(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    while let Some(&byte) = bytes.get(at) {
        if is_special(byte) {
            return at;
        }
        at += 1;
    }
    at
}

#[inline]
fn word_at(bytes: &[u8], at: usize) -> Option<u64> {
    let chunk = bytes.get(at..)?.first_chunk::<8>()?;
    Some(u64::from_le_bytes(*chunk))
}

/// The high bit of each byte of `word` that is special; bits above the first hit may be wrong, the first never is.
#[inline]
fn special_mask(word: u64) -> u64 {
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    // `x - 1` borrows into the high bit when x is 0; `& !x` clears bytes that had it set already. A borrow can only
    // spoil bytes above a true hit, which is why only the lowest is used.
    let zero = quote.wrapping_sub(ONES) & !quote;
    let zero_backslash = backslash.wrapping_sub(ONES) & !backslash;
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (zero | zero_backslash | control) & HIGHS
}

#[inline]
fn first_index(mask: u64) -> usize {
    (mask.trailing_zeros() / 8) as usize
}

/// The index after the escape that starts with the backslash at `at`; a surrogate pair is one escape.
#[inline]
fn escape_end(bytes: &[u8], at: usize) -> Result<usize, JsonError> {
    match bytes.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => unicode_escape_end(bytes, at),
        Some(_) => Err(JsonError::InvalidEscape { at }),
        None => Err(JsonError::UnexpectedEnd { at: at + 1 }),
    }
}

fn unicode_escape_end(bytes: &[u8], at: usize) -> Result<usize, JsonError> {
    let unit = |at: usize| bytes.get(at + 2..at + 6).and_then(hex4);
    match unit(at) {
        None => Err(JsonError::InvalidEscape { at }),
        Some(0xd800..=0xdbff) => {
            let pair = bytes.get(at + 6..at + 8) == Some(b"\\u");
            match unit(at + 6) {
                Some(0xdc00..=0xdfff) if pair => Ok(at + 12),
                _ => Err(JsonError::LoneSurrogate { at }),
            }
        }
        Some(0xdc00..=0xdfff) => Err(JsonError::LoneSurrogate { at }),
        Some(_) => Ok(at + 6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_at_the_first_special_byte_wherever_it_stands() {
        for length in 0..100usize {
            let plain = vec![b'x'; length];
            assert_eq!(plain_run_end(&plain, 0), length);
            for at in 0..length {
                for special in [b'"', b'\\', 0u8, 0x1f, b'\n'] {
                    for before in [b'x', 0x20, 0x21, 0x23, 0x5b, 0x5d, 0x7f, 0x80, 0xff] {
                        let mut bytes = vec![before; length];
                        bytes[at] = special;
                        assert_eq!(
                            plain_run_end(&bytes, 0),
                            at,
                            "{length} {at} {special} {before}"
                        );
                        assert_eq!(plain_run_end(&bytes, at), at);
                    }
                }
            }
        }
    }

    #[test]
    fn only_quote_backslash_and_controls_are_special() {
        for byte in 0..=255u8 {
            let expected = byte == b'"' || byte == b'\\' || byte < 0x20;
            for length in [1usize, 8, 16, 17, 24, 48, 80] {
                let bytes = vec![byte; length];
                let end = plain_run_end(&bytes, 0);
                assert_eq!(end, if expected { 0 } else { length }, "{byte}");
            }
        }
    }
}
