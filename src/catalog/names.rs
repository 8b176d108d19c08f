//! Names of what several components offer under the same name.

use sha2::{Digest, Sha256};

use crate::limits::TOOL_NAME_BYTES_MAX;

/// `COMPONENT__NAME` within the length that clients accept; a longer one keeps its head and ends in a digest of the whole.
pub(super) fn qualified(component: &str, name: &str) -> String {
    let component: String = component
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '-' {
                c.to_ascii_lowercase()
            } else {
                '_'
            }
        })
        .collect();
    let whole = format!("{component}__{name}");
    if whole.len() <= TOOL_NAME_BYTES_MAX {
        whole
    } else {
        shortened(&whole)
    }
}

fn shortened(whole: &str) -> String {
    let digest = Sha256::digest(whole.as_bytes());
    let kept: String = whole.chars().take(TOOL_NAME_BYTES_MAX - 9).collect();
    format!(
        "{kept}_{:02x}{:02x}{:02x}{:02x}",
        digest[0], digest[1], digest[2], digest[3]
    )
}

/// `wanted`, or the first numbered variant of it that is free (two components of one name that offer the same).
pub(super) fn unused(wanted: String, is_taken: impl Fn(&str) -> bool) -> String {
    if !is_taken(&wanted) {
        return wanted;
    }
    let mut number = 2_usize;
    loop {
        let suffix = format!("_{number}");
        let kept: String = wanted
            .chars()
            .take(TOOL_NAME_BYTES_MAX - suffix.len())
            .collect();
        let candidate = kept + &suffix;
        if !is_taken(&candidate) {
            return candidate;
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_qualified_name_fits_and_stays_its_own() {
        let first = qualified("Some Component", &"x".repeat(64));
        let second = qualified("Some Component", &format!("{}y", "x".repeat(63)));
        assert!(first.starts_with("some_component__xxx"), "{first}");
        assert_eq!(first.len(), TOOL_NAME_BYTES_MAX);
        assert_ne!(first, second);
    }

    #[test]
    fn a_taken_name_is_numbered() {
        assert_eq!(unused("a".to_owned(), |name| name == "a"), "a_2");
        assert_eq!(unused("a".to_owned(), |name| name != "a_3"), "a_3");
    }
}
