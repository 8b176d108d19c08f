//! What the project does not speak of: where it was made, and the hosts it was fetched from.

use super::Finding;

/// Spelt in two halves, so that this file does not find itself.
const BANNED: [&str; 14] = [
    concat!("/wo", "rk/"),
    concat!("/wo", "rk\""),
    concat!("scratch", "/"),
    concat!("CONTR", "ACT.md"),
    concat!("work", "place"),
    concat!("sub", "agent"),
    concat!("coding ", "agent"),
    concat!("clau", "de"),
    concat!("anthro", "pic"),
    concat!("npm", "js."),
    concat!("pypi", ".org"),
    concat!("crates", ".io"),
    concat!("deb.debian", ".org"),
    concat!("the next ", "issue"),
];

/// Lock files are written by tools, and name their sources.
const LEFT_OUT: [&str; 2] = ["Cargo.lock", "package-lock.json"];

pub fn check(path: &str, text: &str) -> Vec<Finding> {
    if LEFT_OUT.iter().any(|name| path.ends_with(name)) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let lower = line.to_lowercase();
        let word = BANNED
            .iter()
            .find(|word| lower.contains(&word.to_lowercase()))
            .copied();
        let word = word.or_else(|| names_a_ticket(&lower).then_some("issue and its number"));
        if let Some(word) = word {
            findings.push(format!(
                "{path}:{}: `{word}` is not the project's own matter",
                index + 1
            ));
        }
    }
    findings
}

/// The word with a number behind it: a ticket is nothing that a reader of the source can open.
fn names_a_ticket(lower: &str) -> bool {
    lower.match_indices("issue").any(|(at, word)| {
        let rest = lower[at + word.len()..].trim_start_matches('s');
        let number = rest
            .strip_prefix(' ')
            .map(|rest| rest.trim_start_matches('#'));
        number.is_some_and(|rest| rest.starts_with(|letter: char| letter.is_ascii_digit()))
    })
}

#[test]
fn each_banned_word_is_found_and_the_lock_files_are_left_out() {
    for word in BANNED {
        assert_eq!(
            check("src/a.rs", &format!("// see {word} for more")).len(),
            1,
            "{word}"
        );
    }
    let ticket = concat!("// left for iss", "ue 3");
    assert_eq!(check("src/a.rs", ticket).len(), 1);
    assert!(check("src/a.rs", "// two issues remain, and 3 more; network").is_empty());
    assert!(check("Cargo.lock", BANNED[0]).is_empty());
}
