//! Reading certificates and keys, and saying what is wrong with a file that has none.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use crate::error::{Problem, exit};

/// Bytes of a PEM file. All roots of a system together have a fifth of it.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Permission bits that the world may not have on a key. A group may read it, which is how secrets are mounted into containers.
const WORLD: u32 = 0o007;

/// The certificates of a file; at least one.
pub(super) fn certificates(
    thing: &str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let text = read(thing, path, false)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| malformed(thing, path, &error))?;
    if found.is_empty() {
        let rule = match PrivateKeyDer::from_pem_slice(&text) {
            Ok(_) => "has a key in it and no certificate",
            Err(_) => "has no certificate in it",
        };
        let remedy = "name a PEM file with -----BEGIN CERTIFICATE----- in it";
        return Err(problem(thing, path, rule, remedy));
    }
    Ok(found)
}

/// The key of a file that nobody else can read.
pub(super) fn key(thing: &str, path: &Path) -> Result<PrivateKeyDer<'static>, Problem> {
    let text = read(thing, path, true)?;
    match PrivateKeyDer::from_pem_slice(&text) {
        Ok(_) if has(&text, b"Proc-Type: 4,ENCRYPTED") => Err(encrypted(thing, path)),
        Ok(key) => Ok(key),
        Err(PemError::NoItemsFound) if has(&text, b"ENCRYPTED PRIVATE KEY") => {
            Err(encrypted(thing, path))
        }
        Err(PemError::NoItemsFound) => {
            let rule = match CertificateDer::from_pem_slice(&text) {
                Ok(_) => "has a certificate in it and no key",
                Err(_) => "has no key in it",
            };
            let remedy = "name a PEM file with -----BEGIN PRIVATE KEY----- in it";
            Err(problem(thing, path, rule, remedy))
        }
        Err(error) => Err(malformed(thing, path, &error)),
    }
}

fn has(text: &[u8], words: &[u8]) -> bool {
    memchr::memmem::find(text, words).is_some()
}

fn read(thing: &str, path: &Path, is_secret: bool) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let unreadable = |error: std::io::Error| {
        let remedy = "name a file that this user can read";
        Problem::operator(
            exit::NO_INPUT,
            thing,
            path.display().to_string(),
            error.to_string(),
            remedy,
        )
    };
    let mut file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let mode = metadata.permissions().mode() & 0o777;
    if is_secret && mode & WORLD != 0 {
        let rule = format!(
            "mode {mode:03o}, owner {}: other users could read it, and pass for this server",
            metadata.uid()
        );
        return Err(problem(
            thing,
            path,
            &rule,
            "take their permissions away: chmod o= FILE",
        ));
    }
    // With room for all of it, so that no copy of a key stays behind where a buffer grew.
    let room = usize::try_from(metadata.len().min(FILE_BYTES_MAX)).unwrap_or(0) + 1;
    let mut text = Zeroizing::new(Vec::with_capacity(room));
    Read::by_ref(&mut file)
        .take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut text)
        .map_err(unreadable)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        let rule = format!("is larger than {FILE_BYTES_MAX} bytes");
        return Err(problem(thing, path, &rule, "name a PEM file"));
    }
    Ok(text)
}

fn encrypted(thing: &str, path: &Path) -> Problem {
    let remedy = "decrypt it with `openssl pkey -in FILE -out NEW`, readable to this user alone";
    problem(thing, path, "is encrypted with a passphrase", remedy)
}

fn malformed(thing: &str, path: &Path, error: &PemError) -> Problem {
    let rule = format!("is no proper PEM file: {error}");
    problem(thing, path, &rule, "write it anew from where it came")
}

/// A file with the wrong content.
pub(super) fn problem(thing: &str, path: &Path, rule: &str, remedy: &str) -> Problem {
    Problem::operator(
        exit::CONFIG,
        thing,
        path.display().to_string(),
        rule,
        remedy,
    )
}
