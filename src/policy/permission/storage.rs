//! What is decided about files: `fs://` addresses with globs, by segments.
//!
//! An address without a star is the file or directory and everything below it. `**` is any number of segments, none included; `*` is any
//! part of one segment. A deny also denies everything below what it matches. Reading does not allow writing, nor writing reading.

use std::path::{Component, Path, PathBuf};

use super::ask::{Access, By, Verdict};
use super::document::{AccessWord, StorageEntry};
use super::fault::Wrong;
use super::network::NOT_NARROWED;

const NOT_CANONICAL: By = By::BuiltIn("only absolute paths without dot segments are opened");

/// A directory (or file) that lines allow something in: what a component is shown, and asks about from there on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// Where it is: the longest part of the line's path without a glob.
    pub path: PathBuf,
    /// What the component calls it: the same part, as the line has it.
    pub guest: String,
    /// Whether something in it may be read.
    pub may_read: bool,
    /// Whether something in it may be written.
    pub may_write: bool,
}

/// A line of `storage.allow` or `storage.deny`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) by: By,
    pub(super) text: String,
    segments: Box<[Segment]>,
    guest: String,
    read: bool,
    write: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Is(Box<str>),
    /// What stands before the star, and what behind it.
    Star(Box<str>, Box<str>),
    /// `**`
    Deep,
}

impl Segment {
    fn parse(text: &str) -> Result<Self, &'static str> {
        match text.split_once('*') {
            None => Ok(Self::Is(text.into())),
            Some(("", "*")) => Ok(Self::Deep),
            Some((before, after)) if !after.contains('*') => {
                Ok(Self::Star(before.into(), after.into()))
            }
            Some(_) if text.contains("**") => Err("has ** that is not a whole segment"),
            Some(_) => Err("has more than one * in a segment"),
        }
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Is(own) => **own == *name,
            Self::Star(before, after) => {
                name.len() >= before.len() + after.len()
                    && name.starts_with(&**before)
                    && name.ends_with(&**after)
            }
            Self::Deep => true,
        }
    }
}

impl Entry {
    pub(super) fn parse(entry: &StorageEntry, is_allow: bool, base: &Path) -> Result<Self, Wrong> {
        const FORM: &str = "write it like fs:///srv/data/** or fs://notes/**";
        let wrong = |rule, remedy| Err(Wrong::new(&entry.uri, rule, remedy));
        let Some(path) = entry.uri.strip_prefix("fs://") else {
            return wrong("does not begin with fs://", FORM);
        };
        if entry.access.is_empty() {
            return wrong(
                "has no access",
                "write access: [read], [write] or [read, write]",
            );
        }
        let trimmed = path
            .strip_suffix('/')
            .filter(|rest| !rest.is_empty())
            .unwrap_or(path);
        if trimmed.is_empty() || trimmed.contains(['\0', '\\']) {
            return wrong("has no path", FORM);
        }
        let inside = trimmed.strip_prefix('/').unwrap_or(trimmed);
        if inside
            .split('/')
            .any(|name| matches!(name, "." | "..") || name.is_empty() && !inside.is_empty())
        {
            return wrong(
                "has empty, . or .. segments",
                "write the path that they lead to",
            );
        }
        let mut segments = Vec::new();
        if !trimmed.starts_with('/') {
            segments.extend(literals(base).ok_or_else(|| {
                let rule =
                    "is relative, and the policy is in no directory with an absolute path of UTF-8";
                Wrong::new(&entry.uri, rule, "write an absolute path: fs:///srv/data")
            })?);
        }
        let skipped = segments.len();
        for name in inside.split('/').filter(|name| !name.is_empty()) {
            match Segment::parse(name) {
                Ok(segment) => segments.push(segment),
                Err(rule) => return wrong(rule, "use ** for any depth, and one * in a name"),
            }
        }
        let literal = literal_count(&segments);
        let guest = guest_name(&segments[skipped..literal], trimmed.starts_with('/'));
        if literal == segments.len() || !is_allow {
            segments.push(Segment::Deep);
        }
        let has = |access| entry.access.contains(&access);
        let (read, write) = (has(AccessWord::Read), has(AccessWord::Write));
        let access = match (read, write) {
            (true, true) => "read,write",
            (true, false) => "read",
            (false, _) => "write",
        };
        let word = if is_allow { "allow" } else { "deny" };
        Ok(Self {
            by: By::NoRule,
            text: format!("{word} storage {} {access}", entry.uri),
            segments: segments.into(),
            guest,
            read,
            write,
        })
    }

    fn matches(&self, access: Access, path: &str) -> bool {
        let fits = match access {
            Access::Read => self.read,
            Access::Write => self.write,
        };
        fits && matches(&self.segments, path)
    }

    /// Whether everything that `other` allows is allowed by it, as far as that can be seen from the two lines.
    pub(super) fn includes(&self, other: &Self) -> bool {
        let access = (self.read || !other.read) && (self.write || !other.write);
        let Some((Segment::Deep, own)) = self.segments.split_last() else {
            return access && self.segments == other.segments;
        };
        access && (self.segments == other.segments || other.segments.starts_with(own))
    }
}

/// The longest part without a glob.
fn literal_count(segments: &[Segment]) -> usize {
    let literal = segments
        .iter()
        .take_while(|segment| matches!(segment, Segment::Is(_)));
    literal.count()
}

fn guest_name(segments: &[Segment], is_absolute: bool) -> String {
    let names: Vec<&str> = segments
        .iter()
        .map(|segment| match segment {
            Segment::Is(name) => &**name,
            Segment::Star(..) | Segment::Deep => "*",
        })
        .collect();
    match (is_absolute, names.join("/")) {
        (true, names) => format!("/{names}"),
        (false, names) if names.is_empty() => ".".to_owned(),
        (false, names) => names,
    }
}

/// The segments of an absolute path, none of them a glob.
fn literals(path: &Path) -> Option<Vec<Segment>> {
    let mut segments = Vec::new();
    if !path.is_absolute() {
        return None;
    }
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => segments.push(Segment::Is(name.to_str()?.into())),
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    Some(segments)
}

/// Whether the whole path matches. Linear but for the last `**` that was passed, which takes one segment more at each failure.
fn matches(pattern: &[Segment], path: &str) -> bool {
    let mut names = path[1..].split('/');
    if path == "/" {
        names.next();
    }
    let (mut at, mut again) = (0, None);
    loop {
        if let Some(Segment::Deep) = pattern.get(at) {
            at += 1;
            if at == pattern.len() {
                return true;
            }
            again = Some((at, names.clone()));
            continue;
        }
        let mut rest = names.clone();
        match (pattern.get(at), rest.next()) {
            (None, None) => return true,
            (Some(segment), Some(name)) if segment.matches(name) => {
                (at, names) = (at + 1, rest);
                continue;
            }
            _ => {}
        }
        let Some((after, mut from)) = again else {
            return false;
        };
        if from.next().is_none() {
            return false;
        }
        (at, names, again) = (after, from.clone(), Some((after, from)));
    }
}

/// The lines about files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lines {
    pub(super) allow: Vec<Entry>,
    pub(super) deny: Vec<Entry>,
    /// What no line denies is allowed.
    pub(super) is_open: bool,
}

impl Lines {
    pub(super) fn path(&self, access: Access, path: &str) -> Verdict {
        let is_canonical = path == "/"
            || path
                .strip_prefix('/')
                .is_some_and(|rest| rest.split('/').all(|name| !matches!(name, "" | "." | "..")));
        if !is_canonical || path.contains('\0') {
            return Verdict::denied(NOT_CANONICAL);
        }
        if let Some(entry) = self.deny.iter().find(|entry| entry.matches(access, path)) {
            return Verdict::denied(entry.by.clone());
        }
        if self.is_open {
            return Verdict::allowed(NOT_NARROWED);
        }
        match self.allow.iter().find(|entry| entry.matches(access, path)) {
            Some(entry) => Verdict::allowed(entry.by.clone()),
            None => Verdict::denied(By::NoRule),
        }
    }

    /// What lines allow something in, each place once.
    pub(super) fn roots(&self) -> Vec<Root> {
        let mut roots: Vec<Root> = Vec::new();
        for entry in &self.allow {
            let literal = literal_count(&entry.segments);
            let path = PathBuf::from(guest_name(&entry.segments[..literal], true));
            let same = |root: &&mut Root| root.path == path && root.guest == entry.guest;
            match roots.iter_mut().find(same) {
                Some(root) => {
                    root.may_read |= entry.read;
                    root.may_write |= entry.write;
                }
                None => roots.push(Root {
                    path,
                    guest: entry.guest.clone(),
                    may_read: entry.read,
                    may_write: entry.write,
                }),
            }
        }
        roots
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(uri: &str, is_allow: bool) -> Entry {
        let access = vec![AccessWord::Read];
        let uri = uri.to_owned();
        Entry::parse(&StorageEntry { uri, access }, is_allow, Path::new("/base")).unwrap()
    }

    #[test]
    fn stars_match_within_a_segment_and_double_stars_across() {
        for (uri, inside, outside) in [
            (
                "fs:///d",
                vec!["/d", "/d/a", "/d/a/b"],
                vec!["/", "/dd", "/x/d"],
            ),
            ("fs:///d/**", vec!["/d", "/d/a", "/d/a/b"], vec!["/dd", "/"]),
            ("fs:///d/*", vec!["/d/a"], vec!["/d", "/d/a/b"]),
            (
                "fs:///d/*.txt",
                vec!["/d/a.txt", "/d/.txt"],
                vec!["/d/a.txt.gz", "/d/a/b.txt", "/d/a"],
            ),
            (
                "fs:///d/**/x/*",
                vec!["/d/x/1", "/d/a/b/x/1", "/d/x/x/x/1"],
                vec!["/d/x", "/d/1/a"],
            ),
            ("fs:///**", vec!["/", "/a", "/a/b"], vec![]),
            (
                "fs://notes/**",
                vec!["/base/notes/a"],
                vec!["/notes/a", "/base"],
            ),
            (
                "fs:///**/a/**/b",
                vec!["/a/b", "/x/a/y/b", "/a/a/b/b"],
                vec!["/a", "/b/a", "/a/b/c"],
            ),
        ] {
            let entry = entry(uri, true);
            for path in inside {
                assert!(entry.matches(Access::Read, path), "{uri} {path}");
                assert!(!entry.matches(Access::Write, path), "{uri} {path}");
            }
            for path in outside {
                assert!(!entry.matches(Access::Read, path), "{uri} {path}");
            }
        }
    }

    #[test]
    fn a_deny_denies_all_that_is_below_what_it_matches() {
        let deny = entry("fs:///d/*.d", false);
        assert!(deny.matches(Access::Read, "/d/a.d") && deny.matches(Access::Read, "/d/a.d/b/c"));
        assert!(!deny.matches(Access::Read, "/d/a"));
    }

    #[test]
    fn many_double_stars_do_not_take_for_ever() {
        let uri = format!("fs:///{}z", "**/a/".repeat(30));
        let path = "/a".repeat(2_000);
        assert!(!entry(&uri, true).matches(Access::Read, &path));
    }
}
