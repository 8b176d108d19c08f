//! Byte classes of the HTTP grammar, and scanning by them.
//!
//! Source: RFC 9110 section 5.6.2 (token), RFC 3986 appendix A (URI characters).

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

const TOKEN: u8 = 1;
const PATH: u8 = 2;
const HOST: u8 = 4;

/// Which sets each byte belongs to.
static CLASS: [u8; 256] = class_table();

const fn class_table() -> [u8; 256] {
    let mut table = [0u8; 256];
    let mut index = 0;
    while index < 256 {
        let byte = index as u8;
        let mut class = 0;
        if byte.is_ascii_alphanumeric() {
            class |= TOKEN | PATH | HOST;
        }
        if matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        ) {
            class |= TOKEN;
        }
        // unreserved, sub-delims and the percent sign
        if matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'%'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
        ) {
            class |= PATH | HOST;
        }
        if matches!(byte, b':' | b'@' | b'/' | b'?') {
            class |= PATH;
        }
        table[index] = class;
        index += 1;
    }
    table
}

#[inline]
pub(in crate::wire) fn is_token(byte: u8) -> bool {
    CLASS[usize::from(byte)] & TOKEN != 0
}

/// A byte of a field value: the tab, the space, visible ASCII and what is above it.
#[inline]
pub(in crate::wire) fn is_value(byte: u8) -> bool {
    byte == b'\t' || (byte >= 0x20 && byte != 0x7f)
}

/// A byte of a path or a query.
#[inline]
pub(super) fn is_path(byte: u8) -> bool {
    CLASS[usize::from(byte)] & PATH != 0
}

/// A byte of a registered name or an IPv4 address.
#[inline]
pub(super) fn is_host(byte: u8) -> bool {
    CLASS[usize::from(byte)] & HOST != 0
}

/// Index of the first byte from `start` that is no token byte; the length of `bytes` if there is none.
#[inline]
pub(super) fn token_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    loop {
        // Nearly every name is letters and dashes, which are told eight at a time.
        while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
            let others = not_letter_or_dash(u64::from_le_bytes(*chunk));
            if others != 0 {
                at += (others.trailing_zeros() / 8) as usize;
                break;
            }
            at += 8;
        }
        match bytes.get(at) {
            Some(&byte) if is_token(byte) => at += 1,
            _ => return at,
        }
    }
}

/// The high bit of each byte that is neither an ASCII letter nor a dash; exact for every byte.
#[inline]
fn not_letter_or_dash(word: u64) -> u64 {
    // Below 0x80, adding 0x80 − x sets the high bit from x on and never carries into the next byte.
    let lower = (word | (ONES * 0x20)) & !HIGHS;
    let from_a = lower + ONES * (0x80 - b'a' as u64);
    let beyond_z = lower + ONES * (0x7f - b'z' as u64);
    let letter = from_a & !beyond_z & !word;
    let dash = word ^ (ONES * b'-' as u64);
    let not_dash = ((dash & !HIGHS) + !HIGHS) | dash;
    !letter & not_dash & HIGHS
}

/// Whether a field name is `known`, which is given in lower case and has only letters and dashes.
///
/// Shape: `name` is a token. The bytes that become a letter or a dash by setting 0x20 are then that letter in either case
/// and that dash, so that the comparison needs no branches.
#[inline]
pub(super) fn is_name<const N: usize>(name: &[u8], known: &[u8; N]) -> bool {
    let Ok(name) = <&[u8; N]>::try_from(name) else {
        return false;
    };
    let mut differ = 0;
    for index in 0..N {
        differ |= (name[index] | 0x20) ^ known[index];
    }
    differ == 0
}

/// Index of the first byte from `start` that cannot stand in a field value; the length of `bytes` if there is none.
///
/// Allowed are the tab, the space, visible ASCII and the bytes above it.
#[inline]
pub(super) fn value_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    loop {
        while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
            let mask = control_mask(u64::from_le_bytes(*chunk));
            if mask != 0 {
                at += (mask.trailing_zeros() / 8) as usize;
                break;
            }
            at += 8;
        }
        while let Some(&byte) = bytes.get(at) {
            if byte == b'\t' {
                at += 1;
                break;
            }
            if byte < 0x20 || byte == 0x7f {
                return at;
            }
            at += 1;
        }
        if at >= bytes.len() {
            return at;
        }
    }
}

/// The high bit of each byte that is below 0x20 or 0x7f; bits above the first hit may be wrong, the first never is.
#[inline]
fn control_mask(word: u64) -> u64 {
    let low = word.wrapping_sub(ONES * 0x20) & !word;
    let delete = word ^ (ONES * 0x7f);
    let delete = delete.wrapping_sub(ONES) & !delete;
    (low | delete) & HIGHS
}

/// Without the spaces and tabs at both ends.
#[inline]
pub(super) fn trim(value: &[u8]) -> &[u8] {
    let space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value
        .iter()
        .position(|byte| !space(byte))
        .unwrap_or(value.len());
    let value = &value[start..];
    let end = value
        .iter()
        .rposition(|byte| !space(byte))
        .map_or(0, |last| last + 1);
    &value[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_ends_at_the_first_control_byte_but_the_tab() {
        for length in 0..40usize {
            for at in 0..length {
                for byte in 0..=255u8 {
                    let mut bytes = vec![b'v'; length];
                    bytes[at] = byte;
                    let ends = (byte < 0x20 && byte != b'\t') || byte == 0x7f;
                    let expected = if ends { at } else { length };
                    assert_eq!(value_end(&bytes, 0), expected, "{byte} at {at} of {length}");
                }
            }
        }
        assert_eq!(value_end(b"\t\t\t\t\t\t\t\t\t\tx\r\n", 0), 11);
    }

    #[test]
    fn a_token_ends_at_the_first_other_byte() {
        for length in 1..20usize {
            for at in 0..length {
                for byte in 0..=255u8 {
                    for around in [b'a', b'Z', b'-', b'9', b'_'] {
                        let mut bytes = vec![around; length];
                        bytes[at] = byte;
                        let expected = if is_token(byte) { length } else { at };
                        assert_eq!(token_end(&bytes, 0), expected, "{byte} at {at} of {length}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_known_name_is_found_in_any_case_and_nothing_else_is() {
        for at in 0..8 {
            for byte in (0..=255u8).filter(|byte| is_token(*byte)) {
                let mut name = *b"mCp-NaMe";
                name[at] = byte;
                let expected = name.eq_ignore_ascii_case(b"mcp-name");
                assert_eq!(is_name(&name, b"mcp-name"), expected, "{byte} at {at}");
            }
        }
        assert!(!is_name(b"mcp-nam", b"mcp-name") && !is_name(b"mcp-names", b"mcp-name"));
    }

    #[test]
    fn tokens_are_exactly_rfc_9110_tchar() {
        let tchar =
            b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        for byte in 0..=255u8 {
            assert_eq!(is_token(byte), tchar.contains(&byte), "{byte}");
        }
    }
}
