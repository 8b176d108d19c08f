//! The key under which request states are sealed: 32 bytes in a file that only this user can read.
//!
//! A replica makes its own on first use. Replicas that serve each other's retries share one that the operator made.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::error::{Problem, exit};

use super::config::Config;

/// Bytes of a key.
const KEY_BYTES: usize = 32;

/// The name of our own key in the state directory.
const KEY_FILE: &str = "state.key";

/// The name of the key of the audit log's checkpoints, beside it.
const AUDIT_KEY_FILE: &str = "audit.key";

/// Permission bits that nobody but the owner may have on a key of our own.
const OTHERS: u32 = 0o077;

/// The same for an operator's key: a group may read it, which is how secrets are mounted into containers.
const WORLD: u32 = 0o007;

/// The key of this process: the operator's, or the one in the state directory, made if there is none.
///
/// Errors: the file cannot be read or made, others can read it, or it is no key.
pub fn request_state_key(config: &Config) -> Result<[u8; KEY_BYTES], Problem> {
    if let Some(path) = &config.request_state_key_file {
        return read(path, WORLD).map_err(|fault| {
            let remedy = "make one with `head -c 32 /dev/urandom`, readable to this user alone";
            problem("request_state_key_file", path, fault, remedy)
        });
    }
    let remedy = "remove it; margay makes a new one, and retries of before it are refused";
    own_key(&config.state_dir, KEY_FILE, "key of request states", remedy)
}

/// The key of the audit log's checkpoints, in the state directory, made if there is none.
///
/// Errors: the file cannot be read or made, others can read it, or it is no key.
pub fn audit_key(config: &Config) -> Result<[u8; KEY_BYTES], Problem> {
    let remedy = "put the right one back, readable to this user alone";
    own_key(
        &config.state_dir,
        AUDIT_KEY_FILE,
        "key of the audit log",
        remedy,
    )
}

/// The key of an audit log's checkpoints in this file.
///
/// Errors: the file cannot be read, others can read it, or it is no key.
pub fn known_audit_key(path: &Path) -> Result<[u8; KEY_BYTES], Problem> {
    read(path, OTHERS).map_err(|fault| {
        let remedy = "name the audit.key of the process that wrote the log";
        problem("key of the audit log", path, fault, remedy)
    })
}

fn own_key(
    directory: &Path,
    file: &str,
    thing: &str,
    remedy: &str,
) -> Result<[u8; KEY_BYTES], Problem> {
    let path = directory.join(file);
    let unusable = |error: io::Error| {
        let remedy = "name a directory that this user can write, with --state-dir";
        problem("state directory", directory, error.to_string(), remedy)
    };
    fs::create_dir_all(directory).map_err(unusable)?;
    match make(directory, &path) {
        Ok(key) => return Ok(key),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(unusable(error)),
    }
    read(&path, OTHERS).map_err(|fault| problem(thing, &path, fault, remedy))
}

/// Makes a key file, whole or not at all: another process may start at the same moment.
fn make(directory: &Path, path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    if path.exists() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let mut key = [0; KEY_BYTES];
    let mut suffix = [0; 8];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    getrandom::fill(&mut suffix).map_err(io::Error::other)?;
    let temporary = directory.join(format!(".{:016x}.tmp", u64::from_ne_bytes(suffix)));
    let made = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(&key)?;
        file.sync_all()?;
        // A link is refused where a rename would replace the key that somebody else has just read.
        fs::hard_link(&temporary, path)
    })();
    let _ = fs::remove_file(&temporary);
    made.map(|()| key)
}

/// Reads a key file: 32 bytes, or 64 hexadecimal digits.
fn read(path: &Path, forbidden: u32) -> Result<[u8; KEY_BYTES], String> {
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & forbidden != 0 {
        return Err(format!(
            "mode {mode:03o}, owner {}: other users could read it, and forge what it is for",
            metadata.uid()
        ));
    }
    let mut bytes = Vec::new();
    // A little more than the longest form, to see that it is longer.
    let most = 2 * KEY_BYTES as u64 + 3;
    let read = Read::by_ref(&mut file).take(most).read_to_end(&mut bytes);
    read.map_err(|error| error.to_string())?;
    parse(&bytes).ok_or_else(|| {
        format!(
            "is neither {KEY_BYTES} bytes nor {} hexadecimal digits",
            2 * KEY_BYTES
        )
    })
}

fn parse(bytes: &[u8]) -> Option<[u8; KEY_BYTES]> {
    if let Ok(key) = bytes.try_into() {
        return Some(key);
    }
    let digits = bytes.trim_ascii_end();
    if digits.len() != 2 * KEY_BYTES {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut key = [0; KEY_BYTES];
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
    }
    Some(key)
}

fn problem(thing: &str, path: &Path, fault: impl Into<String>, remedy: &str) -> Problem {
    Problem::operator(
        exit::CONFIG,
        thing,
        path.display().to_string(),
        fault.into(),
        remedy,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(directory: &Path) -> Result<[u8; KEY_BYTES], Problem> {
        own_key(directory, KEY_FILE, "key", "remove it")
    }

    #[test]
    fn a_key_is_made_once_for_its_owner_alone_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("deep/state");
        let key = own(&directory).unwrap();
        assert_ne!(key, [0; KEY_BYTES]);
        assert_eq!(own(&directory).unwrap(), key);
        let path = directory.join(KEY_FILE);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let text = own(&directory).unwrap_err().to_string();
        assert!(
            text.contains("mode 640") && text.contains("remove it"),
            "{text}"
        );
    }

    #[test]
    fn many_that_start_at_once_read_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let keys: Vec<_> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| own(folder.path()).unwrap()))
                .collect();
            starts
                .into_iter()
                .map(|start| start.join().unwrap())
                .collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
    }

    #[test]
    fn an_operators_key_is_bytes_or_digits_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shared.key");
        let write = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).unwrap();
            let key = read(&path, WORLD);
            fs::remove_file(&path).unwrap();
            key
        };
        assert_eq!(write(&[7; 32]), Ok([7; 32]));
        assert_eq!(write("0a".repeat(32).as_bytes()), Ok([10; 32]));
        assert_eq!(
            write(format!("{}\n", "FF".repeat(32)).as_bytes()),
            Ok([255; 32])
        );
        for wrong in [
            &b""[..],
            &[1; 31],
            &[1; 33],
            "0g".repeat(32).as_bytes(),
            &[b'0'; 70],
        ] {
            assert!(
                write(wrong).unwrap_err().contains("hexadecimal"),
                "{wrong:?}"
            );
        }
        fs::write(&path, [7; 32]).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(read(&path, WORLD).unwrap_err().contains("other users"));
    }
}
