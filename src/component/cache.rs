//! Compiled code kept on disk between runs.
//!
//! Loading compiled code is executing it, so an entry is used only if its authentication code verifies under a key that only
//! this user can read; anything else is compiled again and replaced. An entry's name is made of everything that its code
//! depends on: the component's digest, the engine's mode and settings, the processor's features, and wasmtime's version.

use std::fs::{self, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::audit::hex;
use crate::error::{Problem, exit};
use crate::mem::{SealKey, Sealed};

use super::engine::EngineMode;

/// The name of the key's file in the cache directory.
const KEY_FILE: &str = "cache.key";

/// Bytes of the key.
const KEY_BYTES: usize = 32;

/// Permission bits that nobody but the owner may have on the key.
const OTHERS: u32 = 0o077;

/// A directory of authenticated compiled code.
pub(crate) struct Cache {
    directory: PathBuf,
    key: SealKey,
}

/// What was found for a component.
pub(crate) enum Lookup {
    Found(Box<Component>),
    Absent,
    /// There is an entry, and it is not ours, or it is damaged.
    Rejected,
}

impl Cache {
    /// Opens the directory, making it and its key if they are not there.
    ///
    /// Errors: they cannot be made or read, or the key can be read by other users.
    pub(crate) fn open(directory: &Path) -> Result<Self, Problem> {
        let problem = |path: &Path, rule: String, remedy: &str| {
            Problem::operator(
                exit::CONFIG,
                "compiled-code cache",
                path.display().to_string(),
                rule,
                remedy,
            )
        };
        let unusable = |path: &Path, error: io::Error| {
            problem(
                path,
                error.to_string(),
                "name a directory that this user can write, or switch the cache off",
            )
        };
        fs::create_dir_all(directory).map_err(|error| unusable(directory, error))?;
        let path = directory.join(KEY_FILE);
        let key = match make_key(&path) {
            Ok(key) => key,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let mut file = File::open(&path).map_err(|error| unusable(&path, error))?;
                let metadata = file.metadata().map_err(|error| unusable(&path, error))?;
                let mode = metadata.permissions().mode();
                if mode & OTHERS != 0 || metadata.uid() != current_user() {
                    let rule = format!(
                        "mode {:03o}, owner {}: other users could forge compiled code",
                        mode & 0o777,
                        metadata.uid()
                    );
                    return Err(problem(
                        &path,
                        rule,
                        "remove the directory's contents and chmod 700 it; margay makes a new key",
                    ));
                }
                let mut key = [0; KEY_BYTES];
                let read = file.read_exact(&mut key);
                if read.is_err() || metadata.len() != KEY_BYTES as u64 {
                    let rule = format!("{} bytes where {KEY_BYTES} belong", metadata.len());
                    return Err(problem(&path, rule, "remove it; margay makes a new one"));
                }
                key
            }
            Err(error) => return Err(unusable(&path, error)),
        };
        Ok(Self {
            directory: directory.to_owned(),
            key: SealKey::new(key),
        })
    }

    /// The component compiled from the file with this digest, if it is here and ours.
    pub(crate) fn get(&self, digest: &[u8; 32], engine: &Engine, mode: EngineMode) -> Lookup {
        let name = entry_name(digest, engine, mode);
        let Ok(bytes) = fs::read(self.path(&name)) else {
            return Lookup::Absent;
        };
        // The name is under the authentication code too: an entry cannot be passed off as another's.
        let Some(sealed) = Sealed::open(&self.key, name.as_bytes(), bytes) else {
            return Lookup::Rejected;
        };
        match sealed.component(engine) {
            Ok(component) => Lookup::Found(Box::new(component)),
            Err(error) => {
                tracing::warn!("compiled code {name} does not fit this engine: {error:#}");
                Lookup::Rejected
            }
        }
    }

    /// Keeps a compiled component. Failing to is not an error of the load: it is logged.
    pub(crate) fn put(
        &self,
        digest: &[u8; 32],
        engine: &Engine,
        mode: EngineMode,
        component: &Component,
    ) {
        let name = entry_name(digest, engine, mode);
        let kept = component
            .serialize()
            .map_err(io::Error::other)
            .and_then(|code| {
                let sealed = Sealed::seal(&self.key, name.as_bytes(), &code);
                write_atomically(&self.directory, &self.path(&name), &sealed)
            });
        if let Err(error) = kept {
            tracing::warn!(
                "compiled code was not kept in {}: {error}",
                self.directory.display()
            );
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.cwasm"))
    }
}

/// Makes a new key file; fails with `AlreadyExists` if there is one.
fn make_key(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(|error| io::Error::other(error.to_string()))?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(&key)?;
    file.sync_all()?;
    Ok(key)
}

fn current_user() -> u32 {
    // The owner of our own entry in /proc is the effective user; asking the kernel directly needs an unsafe call.
    fs::metadata("/proc/self").map_or(u32::MAX, |metadata| metadata.uid())
}

fn write_atomically(directory: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut suffix = [0; 8];
    getrandom::fill(&mut suffix).map_err(|error| io::Error::other(error.to_string()))?;
    let temporary = directory.join(format!(".{:016x}.tmp", u64::from_ne_bytes(suffix)));
    let written = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    })();
    if written.is_err() {
        // Best effort: the file may not have been made.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn entry_name(digest: &[u8; 32], engine: &Engine, mode: EngineMode) -> String {
    let mut hasher = Sha256Hasher(Sha256::new());
    hasher.write(digest);
    hasher.write(mode.code().as_bytes());
    // Settings, target features and wasmtime's version.
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hex(&hasher.0.finalize())
}

/// Lets `Hash` values flow into SHA-256: their std hash is neither stable nor wide enough for a name.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}
