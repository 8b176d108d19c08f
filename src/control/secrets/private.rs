//! Files that nobody else may read: reading them, and writing them whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use crate::secret::{SECRET_BYTES_MAX, Unresolved};

/// Permission bits that other users must not have on a secret. A group may read it, which is how secrets are mounted into containers.
const OTHERS: u32 = 0o007;

/// The group must not be able to put another secret there.
const GROUP_WRITES: u32 = 0o020;

/// Reads a secret's file. Links are followed: that is how secrets are mounted into containers.
///
/// Errors: it is not there, is no regular file, is too long, or others can read it.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Unresolved> {
    read_up_to(path, SECRET_BYTES_MAX)
}

/// The same, of a file of this length at most.
pub(super) fn read_up_to(path: &Path, most: usize) -> Result<Zeroizing<Vec<u8>>, Unresolved> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Unresolved::Missing,
        _ => Unresolved::Unreadable(error.to_string()),
    };
    // Not blocking: a pipe without a writer must not hold the start up.
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(path)
        .map_err(unreadable)?;
    let facts = file.metadata().map_err(unreadable)?;
    if !facts.is_file() {
        return Err(Unresolved::NotAFile);
    }
    let mode = facts.permissions().mode() & 0o777;
    if mode & (OTHERS | GROUP_WRITES) != 0 {
        return Err(Unresolved::Exposed { mode });
    }
    // All at once: a vector that grows leaves copies behind that are not wiped.
    let mut bytes = Zeroizing::new(Vec::with_capacity(most + 1));
    let limit = most as u64 + 1;
    Read::by_ref(&mut file)
        .take(limit)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() > most {
        return Err(Unresolved::TooLong);
    }
    Ok(bytes)
}

/// Puts a file of this content there, for its owner alone: whole or not at all, and durable when it answers.
pub(in super::super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (directory, temporary) = write_beside(path, bytes)?;
    let renamed = fs::rename(&temporary, path);
    if renamed.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    renamed?;
    File::open(directory)?.sync_all()
}

/// The same where there is none yet.
///
/// Errors: `AlreadyExists`, too.
pub(super) fn make(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (directory, temporary) = write_beside(path, bytes)?;
    // A link is refused where a rename would replace what somebody else has just made.
    let linked = fs::hard_link(&temporary, path);
    let _ = fs::remove_file(&temporary);
    linked?;
    File::open(directory)?.sync_all()
}

fn write_beside<'p>(path: &'p Path, bytes: &[u8]) -> io::Result<(&'p Path, std::path::PathBuf)> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut suffix = [0; 8];
    getrandom::fill(&mut suffix).map_err(io::Error::other)?;
    let temporary = directory.join(format!(".margay-tmp-{:016x}", u64::from_ne_bytes(suffix)));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
    if let Err(error) = written {
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    Ok((directory, temporary))
}
