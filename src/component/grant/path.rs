//! Where a guest's path leads: walked name by name from an open directory, without ever leaving it.
//!
//! Each directory on the way is opened by its name in the one before and held by its descriptor, so that what was looked at is what is
//! used, whatever is renamed meanwhile. Symbolic links are read and walked here, and not by the kernel. The place that is found is a
//! directory that is open and a name in it; what is done there is done by these two and never follows a link.
//!
//! Source: RUSTSEC-2026-0149, -0188 and -0269, for what walking by text or by the kernel has led to.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fstat, openat, readlinkat};
use rustix::io::Errno;

use crate::limits::{PATH_BYTES_MAX, PATH_DIRECTORIES_MAX};

/// Symbolic links in one path, as many as Linux follows.
const LINKS_MAX: usize = 40;

/// Names in one path, with those of the links in it.
const NAMES_MAX: usize = 4_096;

/// What the kernel adds to the path of what has no name any more.
const DELETED: &str = " (deleted)";

/// Only what names a place; nothing in it can be read by it.
const LOOK: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Why a path leads nowhere.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// It leads out of the directory that it starts from; how, and the path as far as that can be said.
    Out(&'static str, String),
    /// There is nothing there, or no directory where one has to be: the path that was looked for, and what the system says.
    Nothing(String, Errno),
    /// The system says so.
    Failed(Errno),
}

impl From<Errno> for Lost {
    fn from(error: Errno) -> Self {
        Self::Failed(error)
    }
}

pub(super) const ABSOLUTE: &str = "paths begin in a granted directory; absolute ones lead nowhere";
pub(super) const ABSOLUTE_LINK: &str = "symbolic links to absolute paths are not followed";
pub(super) const ABOVE: &str = "no path leads out of the directory that it begins in";
pub(super) const GUESTS_LINK: &str =
    "a granted directory is not looked for behind a link that the component could have put there";

/// What a path leads to.
#[derive(Debug)]
pub(super) struct Place {
    /// The directory that it is in; or itself, if it has no name there.
    pub(super) parent: Arc<File>,
    /// Its name there; none for the directory in which the path began.
    pub(super) name: Option<OsString>,
    /// The host's path of it: absolute, without links.
    pub(super) path: String,
    /// What is there; none, if nothing is.
    pub(super) found: Option<Found>,
    /// Directories between the one in which the path began and this.
    pub(super) depth: usize,
    /// The path ended with a slash: what is there can only be a directory.
    pub(super) must_be_directory: bool,
}

/// What is at a place.
#[derive(Debug)]
pub(super) struct Found {
    /// It, for its metadata.
    pub(super) file: OwnedFd,
    pub(super) kind: FileType,
}

impl Place {
    pub(super) fn name(&self) -> &OsStr {
        self.name.as_deref().unwrap_or(OsStr::new("."))
    }

    pub(super) fn kind(&self) -> Option<FileType> {
        self.found.as_ref().map(|found| found.kind)
    }
}

/// The host's path of what is open.
pub(super) fn path_of(file: impl AsFd) -> Result<String, Errno> {
    let file = file.as_fd();
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    let path = readlinkat(CWD, link, Vec::new())?;
    let mut path = path.into_string().map_err(|_| Errno::ILSEQ)?;
    if let Some(before) = path.strip_suffix(DELETED).map(str::len)
        && fstat(file)?.st_nlink == 0
    {
        // What has lost its name is asked about under the one that it had.
        path.truncate(before);
    }
    Ok(path)
}

/// Walks a path. `follows_last` says whether a symbolic link at its end is followed.
pub(super) fn walk(base: &Arc<File>, path: &str, follows_last: bool) -> Result<Place, Lost> {
    let start = path_of(base)?;
    if path.is_empty() {
        return Err(Lost::Nothing(start, Errno::NOENT));
    }
    if path.starts_with('/') {
        return Err(Lost::Out(ABSOLUTE, path.to_owned()));
    }
    if path.contains('\0') {
        return Err(Lost::Failed(Errno::INVAL));
    }
    let mut walk = Walk::new(base, start, None);
    walk.push(path.as_bytes(), true)?;
    walk.run(follows_last)
}

/// Walks an absolute path of the host, its links followed, but for those that lie where `is_guests` says that a guest may write.
pub(super) fn walk_host(path: &Path, is_guests: &dyn Fn(&str) -> bool) -> Result<Place, Lost> {
    let top = Arc::new(File::from(openat(CWD, "/", LOOK, Mode::empty())?));
    let mut walk = Walk::new(&top, "/".to_owned(), Some(is_guests));
    walk.push(path.as_os_str().as_bytes(), true)?;
    walk.run(true)
}

struct Walk<'b> {
    base: &'b Arc<File>,
    /// For a path of the host: which links are not followed.
    is_guests: Option<&'b dyn Fn(&str) -> bool>,
    /// The host's path of the base.
    start: String,
    /// The directories below the base that were entered, with their names.
    stack: Vec<(Arc<File>, OsString)>,
    /// The names that are left, the next one last.
    pending: Vec<OsString>,
    links: usize,
    /// Names that were pending so far.
    names: usize,
    must_be_directory: bool,
}

impl<'b> Walk<'b> {
    fn new(
        base: &'b Arc<File>,
        start: String,
        is_guests: Option<&'b dyn Fn(&str) -> bool>,
    ) -> Self {
        Self {
            base,
            is_guests,
            start,
            stack: Vec::new(),
            pending: Vec::new(),
            links: 0,
            names: 0,
            must_be_directory: false,
        }
    }

    /// What is to be walked next; `is_end` says whether the path ends with it.
    fn push(&mut self, path: &[u8], is_end: bool) -> Result<(), Errno> {
        if path.len() > PATH_BYTES_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        let mut names: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
        if is_end {
            let last = names.last().copied().unwrap_or_default();
            self.must_be_directory |= matches!(last, b"" | b"." | b"..");
        }
        names.retain(|name| !matches!(*name, b"" | b"."));
        self.names += names.len();
        if self.names > NAMES_MAX {
            return Err(Errno::LOOP);
        }
        let names = names.into_iter().rev();
        self.pending
            .extend(names.map(|name| OsStr::from_bytes(name).to_owned()));
        Ok(())
    }

    fn run(mut self, follows_last: bool) -> Result<Place, Lost> {
        while let Some(name) = self.pending.pop() {
            if name == ".." {
                if self.stack.pop().is_none() && self.is_guests.is_none() {
                    return Err(Lost::Out(ABOVE, self.lexical(&name)));
                }
                continue;
            }
            let is_last = self.pending.is_empty();
            let here = self.here();
            let file = match openat(&*here, &name, LOOK, Mode::empty()) {
                Ok(file) => file,
                Err(Errno::NOENT) if is_last => return self.place(here, name, None),
                Err(error @ (Errno::NOENT | Errno::NOTDIR)) => {
                    return Err(Lost::Nothing(self.lexical(&name), error));
                }
                Err(error) => return Err(error.into()),
            };
            let kind = FileType::from_raw_mode(fstat(&file)?.st_mode);
            match kind {
                FileType::Symlink if !is_last || follows_last || self.must_be_directory => {
                    self.follow(&file, &name, is_last)?;
                }
                FileType::Directory if !is_last => {
                    // Each is open until the walk ends.
                    if self.stack.len() >= PATH_DIRECTORIES_MAX {
                        return Err(Errno::NAMETOOLONG.into());
                    }
                    self.stack.push((Arc::new(File::from(file)), name));
                }
                _ if !is_last => {
                    return Err(Lost::Nothing(self.lexical(&name), Errno::NOTDIR));
                }
                kind => return self.place(here, name, Some(Found { file, kind })),
            }
        }
        self.entered()
    }

    /// The path ended in a directory that was entered already: by `..`, `.`, or not at all.
    fn entered(mut self) -> Result<Place, Lost> {
        if let Some((file, name)) = self.stack.pop() {
            let found = Found {
                file: file
                    .as_fd()
                    .try_clone_to_owned()
                    .map_err(|_| Errno::MFILE)?,
                kind: FileType::Directory,
            };
            let here = self.here();
            return self.place(here, name, Some(found));
        }
        let found = Found {
            file: openat(&**self.base, ".", LOOK, Mode::empty())?,
            kind: FileType::Directory,
        };
        Ok(Place {
            parent: Arc::clone(self.base),
            name: None,
            path: self.start,
            found: Some(found),
            depth: 0,
            must_be_directory: true,
        })
    }

    fn follow(&mut self, link: &OwnedFd, name: &OsStr, is_last: bool) -> Result<(), Lost> {
        self.links += 1;
        if self.links > LINKS_MAX {
            return Err(Errno::LOOP.into());
        }
        if let Some(is_guests) = self.is_guests {
            let path = self.path(name)?;
            if is_guests(&path) {
                return Err(Lost::Out(GUESTS_LINK, path));
            }
        }
        let target = readlinkat(link, "", Vec::new())?.into_bytes();
        match (target.first(), self.is_guests) {
            (None, _) => return Err(Errno::NOENT.into()),
            (Some(b'/'), None) => return Err(Lost::Out(ABSOLUTE_LINK, self.lexical(name))),
            (Some(b'/'), Some(_)) => self.stack.clear(),
            (Some(_), _) => {}
        }
        Ok(self.push(&target, is_last)?)
    }

    fn here(&self) -> Arc<File> {
        let last = self.stack.last().map(|(file, _)| file);
        Arc::clone(last.unwrap_or(self.base))
    }

    fn place(self, parent: Arc<File>, name: OsString, found: Option<Found>) -> Result<Place, Lost> {
        let kind = found.as_ref().map(|found| found.kind);
        let path = self.path(&name)?;
        if self.must_be_directory && kind.is_some_and(|kind| kind != FileType::Directory) {
            return Err(Lost::Nothing(path, Errno::NOTDIR));
        }
        Ok(Place {
            parent,
            path,
            found,
            depth: self.stack.len(),
            must_be_directory: self.must_be_directory,
            name: Some(name),
        })
    }

    /// The path of this name where the walk is.
    fn path(&self, name: &OsStr) -> Result<String, Lost> {
        let mut path = self.start.trim_end_matches('/').to_owned();
        let walked = self.stack.iter().map(|(_, name)| name.as_os_str());
        for name in walked.chain([name]) {
            path.push('/');
            path.push_str(name.to_str().ok_or(Errno::ILSEQ)?);
        }
        Ok(path)
    }

    /// As far as text says: where the walk is, this name, and what would have come. For what is refused or not there.
    fn lexical(&self, name: &OsStr) -> String {
        let mut names: Vec<String> = Vec::new();
        let walked = self.stack.iter().map(|(_, name)| name.as_os_str());
        let left = self.pending.iter().rev().map(OsString::as_os_str);
        let started = self.start.split('/').filter(|name| !name.is_empty());
        names.extend(started.map(str::to_owned));
        for name in walked.chain([name]).chain(left) {
            match name.to_string_lossy().as_ref() {
                ".." => {
                    names.pop();
                }
                name => names.push(name.to_owned()),
            }
        }
        format!("/{}", names.join("/"))
    }
}

/// Whether a link with this content, at so many directories below where its guest begins, leads out of there by its text. The way up
/// is at its beginning or nowhere: behind a name it would depend on what that name is.
pub(super) fn leads_out(content: &str, depth: usize) -> Option<&'static str> {
    if content.starts_with('/') {
        return Some(ABSOLUTE_LINK);
    }
    let (mut left, mut has_name) = (depth, false);
    for name in content.split('/') {
        match name {
            "" | "." => {}
            ".." if has_name || left == 0 => return Some(ABOVE),
            ".." => left -= 1,
            _ => has_name = true,
        }
    }
    None
}

/// Opens what is at a place, without following anything. Never waits for whoever is at the other end of a pipe.
pub(super) fn open(place: &Place, flags: OFlags, mode: Mode) -> Result<File, Errno> {
    let always = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = openat(&*place.parent, place.name(), flags | always, mode)?;
    Ok(File::from(file))
}

/// The content of the symbolic link at a place.
pub(super) fn link_content(place: &Place) -> Result<String, Errno> {
    let content = readlinkat(&*place.parent, place.name(), Vec::new())?;
    content.into_string().map_err(|_| Errno::ILSEQ)
}

/// Something below a directory.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Below {
    /// How it is called from there: `a`, `a/b`.
    pub(super) path: String,
    /// Of a symbolic link, its content.
    pub(super) link: Option<String>,
}

/// Everything below the directory at a place: as many as `max`; none, if there are more, or if they lie too deep.
pub(super) fn below(place: &Place, max: usize) -> Result<Option<Vec<Below>>, Errno> {
    let top = open(place, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
    let mut entries = Vec::new();
    let is_whole = collect(&top, "", PATH_DIRECTORIES_MAX, max, &mut entries)?;
    Ok(is_whole.then_some(entries))
}

/// One directory of each level is open at a time.
fn collect(
    directory: &File,
    prefix: &str,
    levels: usize,
    max: usize,
    entries: &mut Vec<Below>,
) -> Result<bool, Errno> {
    let Some(levels) = levels.checked_sub(1) else {
        return Ok(false);
    };
    let mut inner = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let text = name.to_str().map_err(|_| Errno::ILSEQ)?;
        if entries.len() >= max {
            return Ok(false);
        }
        let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let link = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => {
                let content = readlinkat(directory, name, Vec::new())?;
                Some(content.into_string().map_err(|_| Errno::ILSEQ)?)
            }
            FileType::Directory => {
                inner.push(text.to_owned());
                None
            }
            _ => None,
        };
        let path = format!("{prefix}{text}");
        entries.push(Below { path, link });
    }
    for name in inner {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let below = File::from(openat(directory, &name, flags, Mode::empty())?);
        let prefix = format!("{prefix}{name}/");
        if !collect(&below, &prefix, levels, max, entries)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a directory has no more than `max` entries, as many as are counted; and how many.
pub(super) fn count(directory: &File, max: usize) -> Result<Option<usize>, Errno> {
    let mut count = 0;
    for entry in rustix::fs::Dir::read_from(directory)? {
        entry?;
        count += 1;
        if count > max {
            return Ok(None);
        }
    }
    Ok(Some(count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn base(at: &std::path::Path) -> Arc<File> {
        Arc::new(File::open(at).unwrap())
    }

    fn tree() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::write(root.join("a/b/file"), "x").unwrap();
        std::fs::write(folder.path().join("outside"), "x").unwrap();
        for (link, target) in [
            ("up", "../outside"),
            ("abs", "/etc/passwd"),
            ("in", "a/b"),
            ("a/b/loop", "loop"),
            ("a/deep", "b/../../in/file"),
            ("new", "a/absent"),
            ("proc", "../../../../../../proc/self/root"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        folder
    }

    #[test]
    fn a_path_leads_where_its_names_and_links_lead_inside() {
        let folder = tree();
        let root = folder.path().join("root").canonicalize().unwrap();
        let base = base(&root);
        for (path, follows, to) in [
            (".", true, ""),
            ("a", true, "/a"),
            ("a/", true, "/a"),
            ("a/b/file", true, "/a/b/file"),
            ("a/../a/./b//file", true, "/a/b/file"),
            ("a/b/..", true, "/a"),
            ("a/b/../..", true, ""),
            ("in/file", true, "/a/b/file"),
            ("in", true, "/a/b"),
            ("in", false, "/in"),
            ("in/", false, "/a/b"),
            ("a/deep", true, "/a/b/file"),
            ("new", true, "/a/absent"),
            ("absent", true, "/absent"),
        ] {
            let place = walk(&base, path, follows).unwrap();
            assert_eq!(place.path, format!("{}{to}", root.display()), "{path}");
        }
    }

    #[test]
    fn no_path_leads_out() {
        let folder = tree();
        let root = folder.path().join("root").canonicalize().unwrap();
        let base = base(&root);
        for path in [
            "..",
            "../outside",
            "a/../../outside",
            "up",
            "abs",
            "proc",
            "proc/etc/passwd",
            "in/../../../outside",
            "/etc/passwd",
            "//etc/passwd",
            "/",
            "a/deep/../../..",
        ] {
            let lost = walk(&base, path, true).unwrap_err();
            assert!(
                matches!(lost, Lost::Out(..) | Lost::Nothing(_, Errno::NOTDIR)),
                "{path}: {lost:?}"
            );
        }
        assert_eq!(
            walk(&base, "a/b/loop", true).unwrap_err(),
            Lost::Failed(Errno::LOOP)
        );
        assert_eq!(
            walk(&base, "a/b/file/", true).unwrap_err(),
            Lost::Nothing(format!("{}/a/b/file", root.display()), Errno::NOTDIR)
        );
        assert_eq!(
            walk(&base, "a\0b", true).unwrap_err(),
            Lost::Failed(Errno::INVAL)
        );
    }

    #[test]
    fn what_is_swapped_while_it_is_walked_is_never_the_wrong_one() {
        use std::io::Read as _;
        use std::sync::atomic::{AtomicBool, Ordering};
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap().join("root");
        std::fs::create_dir_all(root.join("inside")).unwrap();
        std::fs::write(root.join("inside/file"), "inside").unwrap();
        std::fs::create_dir(folder.path().join("outside")).unwrap();
        std::fs::write(folder.path().join("outside/file"), "outside").unwrap();
        symlink("../outside", root.join("other")).unwrap();
        let base = base(&root);
        let is_over = Arc::new(AtomicBool::new(false));
        let (swapped, ended) = (Arc::clone(&base), Arc::clone(&is_over));
        let swapping = std::thread::spawn(move || {
            let exchange = rustix::fs::RenameFlags::EXCHANGE;
            let mut count = 0_u64;
            while !ended.load(Ordering::Relaxed) {
                rustix::fs::renameat_with(&*swapped, "inside", &*swapped, "other", exchange)
                    .unwrap();
                count += 1;
            }
            count
        });
        let (mut found, mut refused) = (0, 0);
        let until = std::time::Instant::now() + std::time::Duration::from_millis(500);
        while std::time::Instant::now() < until {
            match walk(&base, "inside/file", true) {
                Ok(place) => {
                    let mut text = String::new();
                    let mut file = open(&place, OFlags::RDONLY, Mode::empty()).unwrap();
                    file.read_to_string(&mut text).unwrap();
                    assert_eq!(text, "inside");
                    found += 1;
                }
                Err(Lost::Out(..)) => refused += 1,
                Err(Lost::Failed(Errno::NOENT) | Lost::Nothing(..)) => {}
                Err(lost) => panic!("{lost:?}"),
            }
        }
        is_over.store(true, Ordering::Relaxed);
        let swaps = swapping.join().unwrap();
        assert!(
            found > 10 && refused > 10 && swaps > 10,
            "{found} {refused} {swaps}"
        );
    }

    #[test]
    fn a_link_that_would_lead_out_is_known_by_its_text() {
        assert_eq!(leads_out("/etc", 5), Some(ABSOLUTE_LINK));
        assert_eq!(leads_out("../x", 0), Some(ABOVE));
        assert_eq!(leads_out("a/../../x", 0), Some(ABOVE));
        assert_eq!(leads_out("a/../x", 5), Some(ABOVE));
        assert_eq!(leads_out("../x", 1), None);
        assert_eq!(leads_out("./.././x", 1), None);
        assert_eq!(leads_out("a/b", 0), None);
    }
}
