//! Where `unsafe` may stand, and what must stand above it.

use super::Finding;
use super::source::{code_only, line_of, whole_words};

/// The folders that may contain `unsafe`; every other folder forbids it in its `mod.rs`.
const ALLOWED: [&str; 2] = ["src/ring/", "src/mem/"];

/// A justification shorter than this names no invariant.
const JUSTIFICATION_BYTES_MIN: usize = 20;

pub fn check(path: &str, text: &str) -> Vec<Finding> {
    let code = code_only(text);
    if ALLOWED.iter().any(|folder| path.starts_with(folder)) {
        return check_justified(path, text, &code);
    }
    let mut findings: Vec<Finding> = whole_words(&code, "unsafe")
        .map(|at| {
            format!(
                "{path}:{}: `unsafe` outside of {}",
                line_of(&code, at),
                ALLOWED.join(" and ")
            )
        })
        .collect();
    if path.ends_with("/mod.rs")
        && path.matches('/').count() == 2
        && !code.contains("#![forbid(unsafe_code)]")
    {
        findings.push(format!("{path}: lacks `#![forbid(unsafe_code)]`"));
    }
    findings
}

/// Each `unsafe` block and `unsafe impl` needs a `// SAFETY:` right above the statement that it stands in.
/// (`unsafe fn` and `unsafe extern` declare an obligation; they do not discharge one.)
fn check_justified(path: &str, text: &str, code: &str) -> Vec<Finding> {
    let lines: Vec<&str> = text.lines().collect();
    let mut findings = Vec::new();
    for at in whole_words(code, "unsafe") {
        let rest = code[at + "unsafe".len()..].trim_start();
        if !rest.starts_with('{') && !rest.starts_with("impl") {
            continue;
        }
        let number = line_of(code, at);
        if !is_justified(&lines[..number]) {
            findings.push(format!(
                "{path}:{number}: no `// SAFETY:` above that names the invariant and the type that upholds it"
            ));
        }
    }
    findings
}

/// Looks upward from the last of `lines` to the comment above the statement it belongs to.
fn is_justified(lines: &[&str]) -> bool {
    let mut above = lines.iter().rev().map(|line| line.trim());
    if above.next().is_some_and(says_why) {
        return true;
    }
    let mut comment = String::new();
    for line in above {
        if let Some(words) = line.strip_prefix("//") {
            comment.insert_str(0, words);
            if words.trim_start().starts_with("SAFETY:") {
                return comment.trim().len() >= "SAFETY:".len() + JUSTIFICATION_BYTES_MIN;
            }
        } else if !comment.is_empty()
            || (line.ends_with([';', '}', '{']) && !line.starts_with("#["))
            || line.is_empty()
        {
            return false;
        }
    }
    false
}

fn says_why(line: &str) -> bool {
    line.split_once("SAFETY:")
        .is_some_and(|(_, why)| why.len() >= JUSTIFICATION_BYTES_MIN)
}

#[test]
fn unsafe_in_another_folder_is_found_and_a_word_about_it_is_not() {
    assert_eq!(
        check(
            "src/shard/mod.rs",
            "#![forbid(unsafe_code)]\nfn f() { unsafe { g() } }"
        )
        .len(),
        1
    );
    assert_eq!(
        check("src/shard/mod.rs", "// nothing forbids it here").len(),
        1
    );
    assert!(
        check(
            "src/shard/mod.rs",
            "#![forbid(unsafe_code)]\n// no unsafe here\n"
        )
        .is_empty()
    );
}

#[test]
fn a_block_without_a_reason_is_found() {
    let reason = "// SAFETY: the slab owns the buffer until the last completion.";
    for wrong in [
        "fn f() {\n    let a = 1;\n    unsafe { g() };\n}",
        "fn f() {\n    // SAFETY: fine.\n    unsafe { g() };\n}",
        "// SAFETY: the slab owns the buffer until the last completion.\nlet a = 1;\nunsafe { g() };",
        "unsafe impl Send for Ring {}",
    ] {
        assert_eq!(check("src/ring/uring.rs", wrong).len(), 1, "{wrong}");
    }
    for right in [
        format!("{reason}\nunsafe {{ g() }};"),
        format!("{reason}\nlet a =\n    unsafe {{ g() }};"),
        format!("{reason}\n// And a second line.\nunsafe impl Send for Ring {{}}"),
        "pub unsafe fn g() {}".to_owned(),
    ] {
        assert_eq!(
            check("src/ring/uring.rs", &right),
            Vec::<String>::new(),
            "{right}"
        );
    }
}
