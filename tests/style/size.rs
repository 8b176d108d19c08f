//! How long a file may be, and how it opens.

use super::Finding;

/// Past this a file is two things and is split.
const LINE_COUNT_MAX: usize = 800;

/// A fuzz target only calls; what it calls lives beside the code, where property tests use it too.
const FUZZ_TARGET_LINE_COUNT_MAX: usize = 10;

pub fn check(path: &str, text: &str) -> Vec<Finding> {
    let count = text.lines().count();
    if count <= LINE_COUNT_MAX {
        return Vec::new();
    }
    vec![format!(
        "{path}: {count} lines, at most {LINE_COUNT_MAX}; split it into two nouns"
    )]
}

pub fn check_opening(path: &str, text: &str) -> Vec<Finding> {
    if text.starts_with("//! ") || path.ends_with("/tests.rs") || path.contains("/tests/") {
        return Vec::new();
    }
    vec![format!("{path}: does not open with `//!` and its purpose")]
}

pub fn check_fuzz_target(path: &str, text: &str) -> Vec<Finding> {
    let count = text.lines().filter(|line| !line.trim().is_empty()).count();
    if count <= FUZZ_TARGET_LINE_COUNT_MAX {
        return Vec::new();
    }
    vec![format!(
        "{path}: {count} lines, at most {FUZZ_TARGET_LINE_COUNT_MAX}; move the logic beside the code"
    )]
}

#[test]
fn a_long_file_a_long_target_and_a_file_without_a_purpose_are_found() {
    assert_eq!(check("src/a.rs", &"\n".repeat(LINE_COUNT_MAX + 1)).len(), 1);
    assert!(check("src/a.rs", &"\n".repeat(LINE_COUNT_MAX)).is_empty());
    assert_eq!(
        check_fuzz_target(
            "fuzz/a.rs",
            &"call();\n".repeat(FUZZ_TARGET_LINE_COUNT_MAX + 1)
        )
        .len(),
        1
    );
    assert!(check_fuzz_target("fuzz/a.rs", "call();\n").is_empty());
    assert_eq!(check_opening("src/a.rs", "use std::fmt;\n").len(), 1);
    assert!(check_opening("src/a.rs", "//! What it is for.\n").is_empty());
}
