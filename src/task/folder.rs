//! The folder of the tasks' files: whose it is, what an earlier process left in it, and how a file gets there.
//!
//! ```text
//! STATE_DIR/tasks/.lock         flock: held by the process whose tasks these are
//! STATE_DIR/tasks/<id>.json     one task
//! STATE_DIR/tasks-1/…           of a second process that runs beside the first, and so on
//! ```
//!
//! A process takes the first folder that is nobody's. Where processes follow one another (an upgrade, a restart while the old one
//! still drains), the living one moves the tasks of those that are gone into its own folder.
//!
//! A file that cannot be read is reported and set aside under another name; it never keeps the others from being served.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::future::Future;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::error::{Problem, exit};
use crate::tape::RecorderHandle;

use super::file::{self, Unreadable};
use super::id::TaskId;
use super::record::Record;

/// Folders of processes that run side by side.
const FOLDERS_MAX: usize = 1_024;

/// What a file in the making has in its name; see [`crate::tape`].
const TEMPORARY: &str = ".margay-tmp-";

/// What a file's name gets when it cannot be read.
const ASIDE: &str = ".damaged";

/// Where tasks are kept.
pub trait Store: Send + Sync + 'static {
    /// Stores a task's file durably; until that is done, what was there stands.
    fn write(&self, id: TaskId, text: Vec<u8>) -> impl Future<Output = io::Result<()>> + Send;

    /// Removes a task's file durably.
    fn remove(&self, id: TaskId) -> impl Future<Output = io::Result<()>> + Send;

    /// Whether there may be tasks of other processes to take over.
    fn adopts(&self) -> bool;

    /// Takes over the tasks of processes that are no more.
    fn adopt(&self) -> Vec<Record>;
}

/// Whose tasks a folder has: those of a server and those of a single client's process are never mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// `margay serve`: a later process goes on with what an earlier one left.
    Serve,
    /// `margay stdio`: each process serves one client, and takes over nobody's tasks but those of its folder.
    Stdio,
}

impl Purpose {
    fn name(self, number: usize) -> String {
        let base = match self {
            Self::Serve => "tasks",
            Self::Stdio => "stdio-tasks",
        };
        match number {
            0 => base.to_owned(),
            number => format!("{base}-{number}"),
        }
    }
}

/// The folder of this process.
#[derive(Debug)]
pub struct Folder {
    state_dir: PathBuf,
    purpose: Purpose,
    number: usize,
    recorder: RecorderHandle,
    /// Held as long as the process lives.
    _lock: File,
}

impl Folder {
    /// Takes a folder below the state directory, and reads what is in it.
    ///
    /// Errors: the state directory cannot be used, or every folder is another process's.
    pub fn open(
        state_dir: &Path,
        purpose: Purpose,
        recorder: RecorderHandle,
    ) -> Result<(Self, Vec<Record>), Problem> {
        for number in 0..FOLDERS_MAX {
            let path = state_dir.join(purpose.name(number));
            make(&path).map_err(|error| unusable(&path, &error))?;
            let Some(lock) = lock(&path).map_err(|error| unusable(&path, &error))? else {
                continue;
            };
            let folder = Self {
                state_dir: state_dir.to_owned(),
                purpose,
                number,
                recorder,
                _lock: lock,
            };
            let mut records = read_all(&path).map_err(|error| unusable(&path, &error))?;
            records.extend(folder.adopt());
            return Ok((folder, records));
        }
        Err(Problem::operator(
            exit::UNAVAILABLE,
            "folders of tasks",
            state_dir.display().to_string(),
            format!("all {FOLDERS_MAX} are in use by other processes"),
            "name another directory with --state-dir",
        ))
    }

    /// Where this process's files are.
    pub fn path(&self) -> PathBuf {
        self.state_dir.join(self.purpose.name(self.number))
    }

    fn file(&self, id: TaskId) -> PathBuf {
        self.path().join(format!("{}.json", id.text()))
    }

    /// Moves the tasks of one folder that is nobody's into ours.
    fn adopt_from(&self, path: &Path) -> io::Result<Vec<Record>> {
        if !path.is_dir() {
            return Ok(Vec::new());
        }
        let Some(_lock) = lock(path)? else {
            return Ok(Vec::new());
        };
        let records = read_all(path)?;
        if records.is_empty() {
            return Ok(records);
        }
        for record in &records {
            let from = path.join(format!("{}.json", record.id.text()));
            fs::rename(from, self.file(record.id))?;
        }
        // The new names are durable before the old ones are gone for good.
        File::open(self.path())?.sync_all()?;
        File::open(path)?.sync_all()?;
        tracing::info!(path = %path.display(), count = records.len(), "took over the tasks of a process that has ended");
        Ok(records)
    }
}

impl Store for Folder {
    fn write(&self, id: TaskId, text: Vec<u8>) -> impl Future<Output = io::Result<()>> + Send {
        self.recorder.write_file(self.file(id), text)
    }

    fn remove(&self, id: TaskId) -> impl Future<Output = io::Result<()>> + Send {
        self.recorder.remove_file(self.file(id))
    }

    fn adopts(&self) -> bool {
        self.purpose == Purpose::Serve
    }

    fn adopt(&self) -> Vec<Record> {
        let mut records = Vec::new();
        if !self.adopts() {
            return records;
        }
        for number in (0..FOLDERS_MAX).filter(|number| *number != self.number) {
            let path = self.state_dir.join(self.purpose.name(number));
            match self.adopt_from(&path) {
                Ok(found) => records.extend(found),
                Err(error) => {
                    tracing::error!(path = %path.display(), %error, "the tasks of a process that has ended cannot be taken over");
                }
            }
        }
        records
    }
}

/// Makes the folder, for this user alone: clients' words stand in its files.
fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Takes a folder, if it is nobody's.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path.join(".lock"))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Every task of a folder that is ours. Files in the making are removed, and files that are no tasks set aside.
fn read_all(path: &Path) -> io::Result<Vec<Record>> {
    let mut records = Vec::new();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        if name.starts_with('.') {
            if name.contains(TEMPORARY)
                && let Err(error) = fs::remove_file(&path)
            {
                tracing::warn!(path = %path.display(), %error, "a leftover file could not be removed");
            }
            continue;
        }
        let Some(id) = name.strip_suffix(".json") else {
            continue;
        };
        match read_one(&path, id) {
            Ok(record) => records.push(record),
            Err(Fault::Io(error)) => {
                tracing::error!(path = %path.display(), %error, "a task cannot be read, and is not served");
            }
            Err(Fault::Unreadable(error @ Unreadable::Form(_))) => {
                tracing::error!(path = %path.display(), "a task is not served: its file {error}");
            }
            Err(Fault::Unreadable(error)) => set_aside(&path, &error),
        }
    }
    Ok(records)
}

enum Fault {
    Io(io::Error),
    Unreadable(Unreadable),
}

fn read_one(path: &Path, name: &str) -> Result<Record, Fault> {
    let text = fs::read(path).map_err(Fault::Io)?;
    let record = file::read(&text).map_err(Fault::Unreadable)?;
    if record.id.text() != name {
        let what = "its name is not its task's id".to_owned();
        return Err(Fault::Unreadable(Unreadable::Damaged(what)));
    }
    Ok(record)
}

fn set_aside(path: &Path, error: &Unreadable) {
    let mut aside = path.as_os_str().to_owned();
    aside.push(ASIDE);
    let moved = fs::rename(path, &aside);
    tracing::error!(
        path = %path.display(), set_aside = moved.is_ok(),
        "a task is lost: its file {error}; look at the disk"
    );
}

fn unusable(path: &Path, error: &io::Error) -> Problem {
    Problem::operator(
        exit::UNAVAILABLE,
        "folder of tasks",
        path.display().to_string(),
        error.to_string(),
        "name a directory that this user can write, with --state-dir",
    )
}

#[cfg(test)]
mod tests;
