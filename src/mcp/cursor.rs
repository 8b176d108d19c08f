//! Cursors: where the next page of a list begins, as opaque text.
//!
//! A cursor carries the name of the last entry of its page and no position, so that a list may change between two pages without
//! entries being left out or coming twice. It is checked, so that a cursor of another list, of another server or of nobody
//! is refused and not taken for a name; it is no secret, and forging one gains nothing.
//!
//! Source: MCP 2026-07-28 server/utilities/pagination; 2025-11-25 the same.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::list::List;
use super::refusal::Reason;
use crate::wire::json::Str;

const CHECKSUM_BYTES: usize = 6;

/// The cursor of the page after the entry of this name.
pub fn write(list: List, last: &str) -> String {
    let mut bytes = Vec::with_capacity(1 + last.len() + CHECKSUM_BYTES);
    bytes.push(kind(list));
    bytes.extend_from_slice(last.as_bytes());
    bytes.extend_from_slice(&checksum(&bytes));
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The name of the entry that a cursor stands behind. It may have gone since: the page begins with the first name above it.
///
/// Errors: it is no cursor of this list.
pub fn read<'b>(list: List, cursor: Str<'b>) -> Result<String, Reason<'b>> {
    let unknown = Reason::UnknownCursor { cursor };
    let text = cursor.as_plain().ok_or(unknown)?;
    let mut bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| unknown)?;
    let end = bytes.len().checked_sub(CHECKSUM_BYTES).ok_or(unknown)?;
    let sum = bytes.split_off(end);
    if bytes.first() != Some(&kind(list)) || sum != checksum(&bytes) {
        return Err(unknown);
    }
    bytes.remove(0);
    String::from_utf8(bytes).map_err(|_| unknown)
}

const fn kind(list: List) -> u8 {
    match list {
        List::Tools => b't',
        List::Resources => b'r',
        List::Templates => b'm',
        List::Prompts => b'p',
        List::Tasks => b'k',
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let digest = Sha256::new()
        .chain_update(b"margay cursor 1\0")
        .chain_update(bytes)
        .finalize();
    let mut sum = [0; CHECKSUM_BYTES];
    sum.copy_from_slice(&digest[..CHECKSUM_BYTES]);
    sum
}

/// What has to hold for any bytes, for fuzzing and property tests: a name comes back from its cursor, and nothing else is one.
pub(crate) fn check(data: &[u8]) {
    let name = String::from_utf8_lossy(data);
    for list in List::ALL {
        let cursor = write(list, &name);
        let mut quoted = Vec::new();
        crate::wire::json::write_str(&mut quoted, &cursor);
        for other in List::ALL {
            let found = with(&quoted, |cursor| read(other, cursor).ok());
            let expected = (other == list).then(|| name.clone().into_owned());
            assert_eq!(found, expected, "{list:?} as {other:?}");
        }
        let mut quoted = Vec::new();
        crate::wire::json::write_str(&mut quoted, &name);
        if let Some(found) = with(&quoted, |cursor| read(list, cursor).ok()) {
            assert_eq!(write(list, &found), name, "only what is written is read");
        }
    }
}

fn with<T>(quoted: &[u8], read: impl FnOnce(Str<'_>) -> T) -> T {
    let mut reader = crate::wire::json::Reader::new(quoted, 0);
    read(reader.string().expect("it was written as a string"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back(list: List, cursor: &str) -> Option<String> {
        let mut quoted = Vec::new();
        crate::wire::json::write_str(&mut quoted, cursor);
        with(&quoted, |cursor| read(list, cursor).ok())
    }

    #[test]
    fn any_name_comes_back_and_only_to_its_list() {
        for name in ["", "echo", "é\n\"", "file:///a b", &"x".repeat(9_000)] {
            check(name.as_bytes());
        }
        let cursor = write(List::Tools, "echo");
        assert!(
            cursor
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        );
    }

    #[test]
    fn a_changed_cursor_is_none() {
        let cursor = write(List::Prompts, "greeting");
        for at in 0..cursor.len() {
            for byte in *b"Aa0-_ =%" {
                let mut changed = cursor.clone().into_bytes();
                if changed[at] == byte {
                    continue;
                }
                changed[at] = byte;
                let changed = String::from_utf8(changed).unwrap();
                assert_eq!(back(List::Prompts, &changed), None, "{changed}");
            }
            assert_eq!(back(List::Prompts, &cursor[..at]), None);
        }
        for other in [
            "",
            "=",
            "greeting",
            "AAAAAAAA",
            &format!("{cursor}="),
            &format!("{cursor}A"),
        ] {
            assert_eq!(back(List::Prompts, other), None, "{other}");
        }
    }
}
