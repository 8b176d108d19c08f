//! The files of an audit log, and what is found in them when it is opened.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::audit::{Line, Link};

use super::super::disk::BUFFER_BYTES;

/// The name of the file that says how far the log goes.
pub const HEAD_FILE: &str = "audit.head";

/// Files of one log: by then the oldest are years old, or the size at which they rotate is absurd.
const SEGMENT_COUNT_MAX: usize = 1_000_000;

/// One file of a log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Segment {
    /// Its number, from 1.
    pub number: u64,
    /// Where it is.
    pub path: PathBuf,
}

impl Segment {
    /// The one of this number in a directory.
    pub fn of(directory: &Path, number: u64) -> Self {
        let path = directory.join(format!("audit.{number:04}.jsonl"));
        Self { number, path }
    }

    /// Its name without the directory.
    pub fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }
}

/// The files of the log in this directory, in their order.
///
/// Errors: the directory cannot be read.
pub fn segments(directory: &Path) -> io::Result<Vec<Segment>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let number = name
            .and_then(|name| name.strip_prefix("audit."))
            .and_then(|name| name.strip_suffix(".jsonl"))
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok());
        if let Some(number) = number {
            found.push(Segment { number, path });
        }
        if found.len() > SEGMENT_COUNT_MAX {
            return Err(io::Error::other("the audit log has too many files"));
        }
    }
    found.sort();
    Ok(found)
}

/// What a file was found to hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Its last line that can be read; `None` if there is none.
    pub(super) last: Option<Link>,
    /// Bytes up to the end of the last whole line.
    pub(super) whole_bytes: u64,
    /// Bytes after that: a torn line.
    pub(super) torn_bytes: u64,
    /// The first line, from 1, that is not as it was written.
    pub(super) damaged_line: Option<u64>,
}

/// Reads a file through.
pub(super) fn read(path: &Path) -> io::Result<Found> {
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, File::open(path)?);
    let mut found = Found {
        last: None,
        whole_bytes: 0,
        torn_bytes: 0,
        damaged_line: None,
    };
    let mut bytes = Vec::new();
    let mut number = 0;
    loop {
        bytes.clear();
        // A file without line ends is no log: a line of ours is never near this long.
        let count = Read::by_ref(&mut reader)
            .take(BUFFER_BYTES as u64)
            .read_until(b'\n', &mut bytes)?;
        if count == 0 {
            return Ok(found);
        }
        number += 1;
        let Some(line) = bytes.strip_suffix(b"\n") else {
            if reader.fill_buf()?.is_empty() {
                found.torn_bytes = count as u64;
                return Ok(found);
            }
            found.damaged_line.get_or_insert(number);
            found.whole_bytes += count as u64;
            continue;
        };
        found.whole_bytes += count as u64;
        let read = Line::read(line);
        let follows = read.as_ref().is_some_and(|line| {
            line.is_intact && found.last.is_none_or(|last| last == line.before())
        });
        if !follows {
            found.damaged_line.get_or_insert(number);
        }
        if let Some(line) = read {
            found.last = Some(line.link());
        }
    }
}

/// What the first and the last line of a file say, as far as they can be read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    /// The number of the first line; 0 if it cannot be read.
    pub(super) first: u64,
    /// The time of the first line, as it is written.
    pub(super) began: Option<String>,
    /// The number of the last line; 0 if it cannot be read.
    pub(super) last: u64,
}

/// Reads the first and the last line of a file.
pub(super) fn span(path: &Path) -> io::Result<Span> {
    let mut file = File::open(path)?;
    let mut first = Vec::new();
    BufReader::new(&mut file)
        .take(BUFFER_BYTES as u64)
        .read_until(b'\n', &mut first)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(BUFFER_BYTES as u64)))?;
    let mut tail = Vec::new();
    file.take(BUFFER_BYTES as u64).read_to_end(&mut tail)?;
    let last = tail.trim_ascii_end().rsplit(|byte| *byte == b'\n').next();
    let intact = |bytes| Line::read(bytes).filter(|line| line.is_intact);
    let first = intact(first.trim_ascii_end());
    Ok(Span {
        first: first.map_or(0, |line| line.seq),
        began: first.map(|line| line.time.to_owned()),
        last: intact(last.unwrap_or_default()).map_or(0, |line| line.seq),
    })
}
