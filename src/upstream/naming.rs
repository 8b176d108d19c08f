//! Under which names an upstream's tools and prompts are offered, and which are not offered at all.
//!
//! The order: what is denied or not allowed goes, by the upstream's own name; a rename gives a name of the operator's choice,
//! as it is; else the upstream's name is put in front, always, never, or only where two would have the same.

use std::collections::BTreeMap;

use crate::limits::TOOL_NAME_BYTES_MAX;

/// What stands between an upstream's name and a tool's.
pub const SEPARATOR: &str = "__";
/// Hexadecimal digits that tell shortened names apart.
const DIGEST_DIGITS: usize = 8;

/// When an upstream's name is put in front of its tools'.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prefix {
    /// Where two would have the same name.
    #[default]
    Auto,
    /// To every one.
    Always,
    /// To none: of two with the same name the first in order of upstreams is offered.
    Never,
}

/// A pattern for names: `*` is any text, `?` one character, all else itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(String);

impl Glob {
    /// A pattern.
    pub fn new(pattern: &str) -> Self {
        Self(pattern.to_owned())
    }

    /// Whether the whole of `name` matches. Takes at most the product of both lengths.
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name): (Vec<char>, Vec<char>) =
            (self.0.chars().collect(), name.chars().collect());
        let (mut at, mut in_name) = (0, 0);
        // Where to go on if a star has to take one more character.
        let mut retry: Option<(usize, usize)> = None;
        while in_name < name.len() {
            match pattern.get(at) {
                Some('*') => {
                    retry = Some((at + 1, in_name));
                    at += 1;
                }
                Some(letter) if *letter == '?' || *letter == name[in_name] => {
                    at += 1;
                    in_name += 1;
                }
                _ => match &mut retry {
                    None => return false,
                    Some((after_star, taken)) => {
                        *taken += 1;
                        (at, in_name) = (*after_star, *taken);
                    }
                },
            }
        }
        pattern[at..].iter().all(|letter| *letter == '*')
    }
}

/// How one upstream's names become ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameRules {
    /// When the upstream's name is put in front.
    pub prefix: Prefix,
    /// Only what matches one of these is offered; empty: everything.
    pub allow: Vec<Glob>,
    /// What matches one of these is not.
    pub deny: Vec<Glob>,
    /// The upstream's name to ours.
    pub rename: BTreeMap<String, String>,
}

impl NameRules {
    /// Whether something of this name, as the upstream knows it, is offered.
    pub fn offers(&self, name: &str) -> bool {
        let matches = |globs: &[Glob]| globs.iter().any(|glob| glob.matches(name));
        !matches(&self.deny) && (self.allow.is_empty() || matches(&self.allow))
    }

    /// The name under which it is offered; `collides` says whether another has it already, or would have it, too.
    ///
    /// Shape: `upstream` is the upstream's name. The result has at most [`TOOL_NAME_BYTES_MAX`] bytes and only characters
    /// that names may have; what does not fit is shortened, with a digest of the whole, so that two stay two.
    pub fn offered_name(
        &self,
        upstream: &str,
        name: &str,
        collides: impl Fn(&str) -> bool,
    ) -> String {
        if let Some(renamed) = self.rename.get(name) {
            return renamed.clone();
        }
        let plain = fitting(name);
        let prefixed = match self.prefix {
            Prefix::Never => false,
            Prefix::Always => true,
            Prefix::Auto => collides(&plain),
        };
        if prefixed {
            fitting(&format!("{upstream}{SEPARATOR}{name}"))
        } else {
            plain
        }
    }
}

/// The name itself, if it may stand as it is.
fn fitting(name: &str) -> String {
    let is_fine =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/');
    if name.len() <= TOOL_NAME_BYTES_MAX && !name.is_empty() && name.bytes().all(is_fine) {
        return name.to_owned();
    }
    let kept = TOOL_NAME_BYTES_MAX - DIGEST_DIGITS - 1;
    let mut short: String = name
        .chars()
        .map(|letter| {
            if letter.is_ascii() && is_fine(letter as u8) {
                letter
            } else {
                '_'
            }
        })
        .take(kept)
        .collect();
    short.push('_');
    short.push_str(&format!("{:0width$x}", digest(name), width = DIGEST_DIGITS));
    short
}

/// FNV-1a, folded to 32 bits: the same on every machine and in every version.
fn digest(name: &str) -> u32 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash >> 32) as u32 ^ hash as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, yes, no) in [
            ("echo", &["echo"][..], &["echo2", "Echo", "ech", ""][..]),
            ("*", &["", "a", "ä/b"], &[]),
            ("get_*", &["get_", "get_a"], &["xget_", "get"]),
            ("*_delete*", &["a_delete", "_deleteb"], &["delete"]),
            ("a?c", &["abc", "aäc"], &["ac", "abbc"]),
            ("a*b*c", &["abc", "aXbYc", "abcbc"], &["acb", "ab"]),
            ("", &[""], &["a"]),
            ("[a-z]", &["[a-z]"], &["a"]),
        ] {
            let glob = Glob::new(pattern);
            assert!(yes.iter().all(|name| glob.matches(name)), "{pattern}");
            assert!(!no.iter().any(|name| glob.matches(name)), "{pattern}");
        }
        let hostile = Glob::new(&"*a".repeat(30));
        assert!(
            !hostile.matches(&"a".repeat(20_000).replace('a', "ab")),
            "and that at once"
        );
    }

    #[test]
    fn deny_beats_allow_and_an_empty_list_allows_all() {
        let globs = |patterns: &[&str]| patterns.iter().map(|pattern| Glob::new(pattern)).collect();
        let mut rules = NameRules::default();
        assert!(rules.offers("anything"));
        rules.allow = globs(&["read_*", "list"]);
        assert!(rules.offers("read_file") && rules.offers("list") && !rules.offers("write_file"));
        rules.deny = globs(&["*_secret"]);
        assert!(!rules.offers("read_secret") && rules.offers("read_file"));
    }

    #[test]
    fn a_prefix_is_put_where_it_has_to_be() {
        let with = |prefix| NameRules {
            prefix,
            rename: BTreeMap::from([("old".to_owned(), "new".to_owned())]),
            ..NameRules::default()
        };
        let taken = |name: &str| name == "echo";
        for (prefix, echo, time) in [
            (Prefix::Auto, "up__echo", "time"),
            (Prefix::Always, "up__echo", "up__time"),
            (Prefix::Never, "echo", "time"),
        ] {
            let rules = with(prefix);
            assert_eq!(rules.offered_name("up", "echo", taken), echo);
            assert_eq!(rules.offered_name("up", "time", taken), time);
            assert_eq!(
                rules.offered_name("up", "old", |_| true),
                "new",
                "as the operator said"
            );
        }
    }

    #[test]
    fn long_and_strange_names_fit_and_stay_apart() {
        let rules = NameRules::default();
        let long = "x".repeat(200);
        let names: Vec<String> = [
            &long,
            &format!("{long}y"),
            "a b",
            "a\tb",
            "ä",
            "",
            &"é".repeat(100),
        ]
        .iter()
        .map(|name| rules.offered_name("up", name, |_| false))
        .collect();
        for name in &names {
            assert!(name.len() <= TOOL_NAME_BYTES_MAX, "{name}");
            assert!(
                name.bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'),
                "{name}"
            );
            assert_eq!(
                names.iter().filter(|other| *other == name).count(),
                1,
                "{name}"
            );
        }
        assert_eq!(
            rules.offered_name("up", &"x".repeat(64), |_| false),
            "x".repeat(64)
        );
    }
}
