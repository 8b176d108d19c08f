//! A file that is read again whenever it changes.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What tells a file from what it was before: a rename over it, a write into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    device: u64,
    bytes: u64,
    changed: (i64, i64),
}

/// The file.
#[derive(Debug)]
pub(super) struct WatchedFile {
    path: PathBuf,
    bytes_max: u64,
    seen: Option<Stamp>,
}

/// What a look at a file found.
pub(super) enum Look {
    /// It is as it was.
    Same,
    /// It has other content.
    Changed(String),
    /// It is not there, or cannot be read.
    Unreadable(io::Error),
}

impl WatchedFile {
    pub(super) fn new(path: &Path, bytes_max: u64) -> Self {
        Self {
            path: path.to_owned(),
            bytes_max,
            seen: None,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads it, if it is not as it was at the last look.
    pub(super) fn look(&mut self) -> Look {
        let stamp = match fs::metadata(&self.path) {
            Ok(metadata) => Stamp {
                inode: metadata.ino(),
                device: metadata.dev(),
                bytes: metadata.size(),
                changed: (metadata.ctime(), metadata.ctime_nsec()),
            },
            Err(error) => return self.unreadable(error),
        };
        if self.seen == Some(stamp) {
            return Look::Same;
        }
        match self.read() {
            Ok(text) => {
                // Taken before the file was read: what is written meanwhile is seen by the next look.
                self.seen = Some(stamp);
                Look::Changed(text)
            }
            Err(error) => self.unreadable(error),
        }
    }

    fn unreadable(&mut self, error: io::Error) -> Look {
        self.seen = None;
        Look::Unreadable(error)
    }

    fn read(&self) -> io::Result<String> {
        let mut text = String::new();
        // One byte more shows that there is too much, whatever the file is.
        let most = self.bytes_max + 1;
        File::open(&self.path)?
            .take(most)
            .read_to_string(&mut text)?;
        if text.len() as u64 > self.bytes_max {
            let what = format!("is larger than {} bytes", self.bytes_max);
            return Err(io::Error::other(what));
        }
        Ok(text)
    }
}
