//! Tool names from export names.

use sha2::{Digest, Sha256};

use crate::audit::hex;
use crate::limits::TOOL_NAME_BYTES_MAX;

/// Characters of a digest that keep shortened names apart.
const SUFFIX_BYTES: usize = 8;

/// The tool's name of a function, exported directly or by instances: lower case, `[a-z0-9_-]`, parts joined by `_`.
///
/// Shape: `path` are the names of the instances from the outermost one, and the function's own last:
/// `["local:time-server/time", "get-current-time"]` → `"local_time-server_time_get-current-time"`.
pub fn tool_name(path: &[impl AsRef<str>]) -> String {
    let mut name = String::new();
    for (index, part) in path.iter().enumerate() {
        if index > 0 {
            name.push('_');
        }
        normalise(part.as_ref(), &mut name);
    }
    shortened(name)
}

fn normalise(part: &str, name: &mut String) {
    name.extend(part.chars().map(|c| match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9' | '-') => c,
        _ => '_',
    }));
}

/// A name within the length that clients accept: a longer one keeps its head and ends in a digest of the whole.
fn shortened(name: String) -> String {
    if name.is_empty() {
        return "_".to_owned();
    }
    if name.len() <= TOOL_NAME_BYTES_MAX {
        return name;
    }
    let digest = hex(&Sha256::digest(name.as_bytes())[..SUFFIX_BYTES / 2]);
    // Normalised names are ASCII: any byte is a character boundary.
    format!(
        "{}_{digest}",
        &name[..TOOL_NAME_BYTES_MAX - SUFFIX_BYTES - 1]
    )
}

/// `wanted`, or the first numbered variant of it that is not taken: two exports may differ only in what a tool name cannot hold.
pub(crate) fn unused(wanted: String, taken: impl Fn(&str) -> bool) -> String {
    if !taken(&wanted) {
        return wanted;
    }
    let mut number = 2_u64;
    loop {
        let suffix = format!("_{number}");
        let kept = wanted.len().min(TOOL_NAME_BYTES_MAX - suffix.len());
        let candidate = format!("{}{suffix}", &wanted[..kept]);
        if !taken(&candidate) {
            return candidate;
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_wassette() {
        assert_eq!(tool_name(&["fetch"]), "fetch");
        assert_eq!(
            tool_name(&["local:time-server/time", "get-current-time"]),
            "local_time-server_time_get-current-time"
        );
        assert_eq!(tool_name(&["wasi:x/y@0.2.0", "f"]), "wasi_x_y_0_2_0_f");
        assert_eq!(tool_name(&["[method]r.f"]), "_method_r_f");
        assert_eq!(tool_name(&["test", "simple", "text"]), "test_simple_text");
    }

    #[test]
    fn no_name_panics_and_none_is_too_long() {
        let long = "x".repeat(500);
        let first = tool_name(&[long.as_str(), "a"]);
        let second = tool_name(&[long.as_str(), "b"]);
        assert_eq!(first.len(), TOOL_NAME_BYTES_MAX);
        assert_ne!(first, second, "the digest keeps shortened names apart");
        assert_eq!(tool_name(&[""]), "_");
        assert_eq!(tool_name(&["Ünï😀"]), "_n__");
    }

    #[test]
    fn a_taken_name_gets_a_number_within_the_length() {
        assert_eq!(unused("a".to_owned(), |name| name == "a"), "a_2");
        let long = "y".repeat(TOOL_NAME_BYTES_MAX);
        let other = unused(long.clone(), |name| name == long);
        assert_eq!(other.len(), TOOL_NAME_BYTES_MAX);
        assert!(other.ends_with("_2"));
    }
}
