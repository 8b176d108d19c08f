//! The secrets that tokens are verified with.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::secret::{Secret, SecretRef};

/// Bytes of a secret's file.
const SECRET_BYTES_MAX: u64 = 64 << 10;
/// Permission bits that nobody outside its group may have on a secret.
const WORLD: u32 = 0o007;

/// Reads a secret.
///
/// Errors: in words, without anything of it.
pub(super) fn read(reference: &SecretRef) -> Result<Secret, String> {
    match reference {
        SecretRef::Environment(name) => {
            let value = std::env::var(name);
            value
                .map(Secret::new)
                .map_err(|_| format!("the variable {name} is not set, or is not UTF-8"))
        }
        SecretRef::File(path) => read_file(path),
        SecretRef::Credential(name) => {
            let directory = std::env::var_os("CREDENTIALS_DIRECTORY")
                .ok_or("CREDENTIALS_DIRECTORY is not set: this is no service with credentials")?;
            if name.contains('/') || name == ".." {
                return Err(format!("`{name}` is no name of a credential"));
            }
            read_file(&PathBuf::from(directory).join(name))
        }
        SecretRef::Stored(name) => Err(format!(
            "`{name}` stands in the encrypted store, which is not read here"
        )),
    }
}

fn read_file(path: &Path) -> Result<Secret, String> {
    let wrong = |what: String| format!("{}: {what}", path.display());
    let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
    let metadata = file.metadata().map_err(|error| wrong(error.to_string()))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & WORLD != 0 {
        return Err(wrong(format!(
            "mode {mode:03o}: every user could read it, and sign tokens; chmod it to 600"
        )));
    }
    let mut text = String::new();
    let read = file.take(SECRET_BYTES_MAX).read_to_string(&mut text);
    read.map_err(|error| wrong(error.to_string()))?;
    // An editor ends the last line.
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let secret = Secret::new(line.strip_suffix('\r').unwrap_or(line));
    drop(zeroize::Zeroizing::new(text));
    Ok(secret)
}
