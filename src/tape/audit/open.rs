//! Opening an audit log: what its last file holds, whether the head agrees, and where the chain goes on.

use std::fs::{DirBuilder, File as StdFile, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::audit::{Head, Link};

use super::super::disk::{Disk, Open};
use super::segment::{HEAD_FILE, Segment, read, segments};
use super::writer::Opened;
use super::{AuditOptions, about, told};

/// The name of the file that the process that writes holds.
const LOCK_FILE: &str = "audit.lock";

/// Opens the log of a directory.
///
/// Errors: the file system's, or that another process writes it.
pub(super) fn open<D: Disk>(disk: &D, options: &AuditOptions) -> io::Result<Opened<D::File>> {
    let directory = &options.directory;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|error| about(directory, &error))?;
    let lock = lock(directory)?;
    let head = head(directory, options)?;
    let mut notes = Vec::new();
    let mut found = segments(directory).map_err(|error| about(directory, &error))?;
    let (mut segment, mut link) = (Segment::of(directory, 1), None);
    while let Some(last) = found.pop() {
        let read = read(&last.path).map_err(|error| about(&last.path, &error))?;
        if let Some(line) = read.damaged_line {
            let name = last.name();
            tracing::error!(
                file = name,
                line,
                "the audit log is DAMAGED from this line on: it was changed outside of margay, or the disk lost it; another file begins"
            );
            notes.push(told::damaged(format!(
                "{name} is damaged from its line {line} on"
            )));
            segment = Segment::of(directory, last.number + 1);
            link = read.last.or(head.link);
            break;
        }
        if read.torn_bytes > 0 {
            disk.truncate(&last.path, read.whole_bytes)
                .map_err(|error| about(&last.path, &error))?;
            let after = read.last.map_or(0, |last| last.seq);
            tracing::warn!(
                file = last.name(),
                bytes = read.torn_bytes,
                "cut a torn last line of the audit log"
            );
            notes.push(told::cut(read.torn_bytes, after));
        }
        segment = last;
        if read.last.is_some() {
            link = read.last;
            break;
        }
        // Nothing was written to it before a crash; the one before it has the end of the chain.
        if !found.is_empty() {
            disk.remove(&segment.path)
                .map_err(|error| about(&segment.path, &error))?;
        }
    }
    let has_lines = link.is_some();
    let is_new = !has_lines && head.link.is_none_or(|head| head == Link::BEGINNING);
    let link = link.or(head.link).unwrap_or(Link::BEGINNING);
    notes.extend(head.fault(link, has_lines));
    if is_new {
        begin_head(directory, options).map_err(|error| about(directory, &error))?;
        let mut number = [0; 8];
        getrandom::fill(&mut number).map_err(io::Error::other)?;
        notes.insert(0, told::began(u64::from_ne_bytes(number)));
    }
    let (file, end) = disk
        .open(&segment.path, Open::PrivateLog)
        .map_err(|error| about(&segment.path, &error))?;
    StdFile::open(directory)?.sync_all()?;
    Ok(Opened {
        segment,
        file,
        end,
        link,
        notes,
        lock,
    })
}

/// A head for a log without a line: from now on one that is missing was removed.
fn begin_head(directory: &Path, options: &AuditOptions) -> io::Result<()> {
    let mut head = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(directory.join(HEAD_FILE))?;
    head.write_all(&Head::new(Link::BEGINNING, &options.key).write())?;
    head.sync_all()
}

fn lock(directory: &Path) -> io::Result<StdFile> {
    let path = directory.join(LOCK_FILE);
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|error| about(&path, &error))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "is being written by another process",
        )),
        Err(TryLockError::Error(error)) => Err(about(&path, &error)),
    }
}

/// How far the log went, as its head says.
struct Known {
    /// `None` where there is no head, or one that is not ours.
    link: Option<Link>,
    is_false: bool,
}

fn head(directory: &Path, options: &AuditOptions) -> io::Result<Known> {
    let path = directory.join(HEAD_FILE);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Known {
                link: None,
                is_false: false,
            });
        }
        Err(error) => return Err(about(&path, &error)),
    };
    let head = Head::read(&bytes).filter(|head| head.is_genuine(&options.key));
    Ok(Known {
        link: head.map(|head| head.link),
        is_false: head.is_none(),
    })
}

impl Known {
    /// The line that says that the log and its head disagree, if they do.
    fn fault(&self, end: Link, has_lines: bool) -> Option<Vec<u8>> {
        let detail = match self.link {
            None if !self.is_false && has_lines => {
                "there is no head beside these lines: it was removed, and their end may have been cut off"
                    .to_owned()
            }
            None if self.is_false => {
                "the head was not written with this key: it was changed, or the key is another"
                    .to_owned()
            }
            Some(head) if head.seq > end.seq => {
                let (seq, end) = (head.seq, end.seq);
                format!(
                    "the head tells of line {seq}, and the log ends with line {end}: its end was cut off"
                )
            }
            Some(head) if head.seq == end.seq && head.hash != end.hash => {
                format!(
                    "line {} is not the one that the head tells of: the log was written anew",
                    end.seq
                )
            }
            _ => return None,
        };
        tracing::error!(detail, "the audit log is DAMAGED");
        Some(told::damaged(detail))
    }
}
