//! The component directory: components loaded by `margay component load`, served by every `margay serve` that watches it.
//!
//! ```text
//! DIR/.lock               flock: shared to read, exclusive to change
//! DIR/<sha256>.wasm       a component, named by its digest; never changed
//! DIR/<name>.json         its manifest: the one thing that says the component is loaded
//! DIR/<name>.policy.yaml  what it may reach; without one, nothing
//! ```
//!
//! Invariants: a manifest is written after its component is durable and removed before it; renaming or removing the manifest is the
//! one step that counts. So a crash at any point leaves the old state or the new, plus at most files that no manifest
//! names, which the next change removes. Bytes are handed out only after their digest was checked.
#![forbid(unsafe_code)]

mod manifest;
mod policy;
mod source;
#[cfg(test)]
mod tests;
mod watch;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Problem, exit};
use crate::limits::Limits;
use crate::tape::RecorderHandle;
pub use manifest::Manifest;
pub(super) use manifest::digest;
pub use policy::PolicyChange;
pub use source::read_component;
pub use watch::{Change, POLL_INTERVAL, Watch};

/// What a file in the making has in its name; see [`crate::tape`].
const TEMPORARY: &str = ".margay-tmp-";

/// A component directory. Holding one costs nothing; every call looks at the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    directory: PathBuf,
}

/// What a load did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// A component of this name was not there before.
    New(Manifest),
    /// It took the place of another file of the same name.
    Replaced {
        /// What was there.
        old: Manifest,
        /// What is there now.
        new: Manifest,
    },
    /// The same bytes were there already.
    Unchanged(Manifest),
}

/// Everything a directory has.
#[derive(Debug, Default)]
pub struct Listing {
    /// Readable manifests, by name.
    pub manifests: Vec<Manifest>,
    /// What could not be read, each with its file; the rest is served all the same.
    pub damaged: Vec<Problem>,
}

/// Says whether bytes are a component that can be served, and its tools' names; if not, why, in one line.
pub type Validate<'v> = &'v (dyn Fn(&str, &[u8]) -> Result<Vec<String>, Problem> + Sync);

impl Store {
    /// The store in this directory, which need not exist yet.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
        }
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Loads a component file under `name`, or under its own stem.
    ///
    /// Errors: the file is missing, too large, no component, or refused by `validate`; the directory cannot be written or is full.
    /// Then nothing has changed.
    pub async fn load(
        &self,
        recorder: &RecorderHandle,
        file: &Path,
        name: Option<&str>,
        limits: &Limits,
        validate: Validate<'_>,
    ) -> Result<Loaded, Problem> {
        let name = manifest::name_of(file, name)?;
        let bytes = read_component(file, limits.component_bytes_max)?;
        // Compiling takes long, so it is done before the lock is taken.
        let tools = validate(&name, &bytes)?;
        let new = Manifest::new(name, &bytes, file, tools);

        fs::create_dir_all(&self.directory).map_err(|error| self.unusable(&error))?;
        let _lock = self.lock_exclusive()?;
        let listing = self.list_locked()?;
        self.remove_leftovers(&listing);
        let old = listing
            .manifests
            .iter()
            .find(|manifest| manifest.name == new.name)
            .cloned();
        if old.is_none() && listing.manifests.len() >= limits.component_count_max {
            return Err(Problem::operator(
                exit::DATA,
                format!("component directory {}", self.directory.display()),
                format!("{} components", listing.manifests.len()),
                "is at limits.component_count_max",
                "remove one with `margay component remove NAME`, or raise the limit",
            ));
        }
        if let Some(old) = old.as_ref().filter(|old| old.digest == new.digest) {
            // Written again all the same if the file under the manifest was lost or damaged.
            if self.read_checked(old).is_ok() {
                self.adopt_policy(file, &new.name)?;
                return Ok(Loaded::Unchanged(old.clone()));
            }
        }
        self.adopt_policy(file, &new.name)?;
        recorder
            .write_file(self.component_path(&new), bytes)
            .await
            .map_err(|error| self.unusable(&error))?;
        recorder
            .write_file(self.manifest_path(&new.name), new.to_json())
            .await
            .map_err(|error| self.unusable(&error))?;
        self.remove_leftovers(&self.list_locked()?);
        Ok(match old {
            Some(old) => Loaded::Replaced { old, new },
            None => Loaded::New(new),
        })
    }

    /// Removes a component by name, or by a unique beginning of its digest.
    pub async fn remove(&self, recorder: &RecorderHandle, name: &str) -> Result<Manifest, Problem> {
        if self.is_absent()? {
            return Err(self.unknown(name, &[]));
        }
        let _lock = self.lock_exclusive()?;
        let listing = self.list_locked()?;
        let found = self.find(&listing.manifests, name)?.clone();
        self.forget_policy(&found.name)?;
        recorder
            .remove_file(self.manifest_path(&found.name))
            .await
            .map_err(|error| self.unusable(&error))?;
        self.remove_leftovers(&self.list_locked()?);
        Ok(found)
    }

    /// What is loaded, by name. A directory that does not exist is an empty one.
    pub fn list(&self) -> Result<Listing, Problem> {
        if self.is_absent()? {
            return Ok(Listing::default());
        }
        let _lock = self.lock_shared()?;
        self.list_locked()
    }

    /// One component's manifest, by name or by a unique beginning of its digest.
    pub fn inspect(&self, name: &str) -> Result<Manifest, Problem> {
        self.find(&self.list()?.manifests, name).cloned()
    }

    /// A component's bytes, checked against its digest.
    ///
    /// Errors: gone (replaced meanwhile), unreadable or damaged.
    pub fn read(&self, manifest: &Manifest) -> Result<Vec<u8>, Problem> {
        let _lock = self.lock_shared()?;
        self.read_checked(manifest)
    }

    fn read_checked(&self, manifest: &Manifest) -> Result<Vec<u8>, Problem> {
        let path = self.component_path(manifest);
        let thing = || format!("component {}: {}", manifest.name, path.display());
        let remedy = format!("load it again: margay component load {}", manifest.source);
        let bytes = fs::read(&path).map_err(|error| {
            Problem::operator(exit::DATA, thing(), error.to_string(), "", remedy.clone())
        })?;
        if manifest::digest(&bytes) != manifest.digest {
            return Err(Problem::operator(
                exit::DATA,
                thing(),
                "",
                "is damaged: its digest is another one",
                remedy,
            ));
        }
        Ok(bytes)
    }

    fn list_locked(&self) -> Result<Listing, Problem> {
        let mut listing = Listing::default();
        for entry in fs::read_dir(&self.directory).map_err(|error| self.unusable(&error))? {
            let path = entry.map_err(|error| self.unusable(&error))?.path();
            let Some(name) = path
                .file_name()
                .and_then(|name| name.to_str())
                .and_then(|name| name.strip_suffix(".json"))
            else {
                continue;
            };
            // What other programs note of a policy is theirs.
            if name.starts_with('.') || name.ends_with(".policy.meta") {
                continue;
            }
            match Manifest::read(&path, name) {
                Ok(manifest) => listing.manifests.push(manifest),
                Err(problem) => listing.damaged.push(problem),
            }
        }
        listing
            .manifests
            .sort_by(|left, right| left.name.cmp(&right.name));
        Ok(listing)
    }

    /// Removes what a crash may have left: unfinished files, and components that no manifest names.
    fn remove_leftovers(&self, listing: &Listing) {
        // A damaged manifest may name any component; what cannot be known to be unused stays.
        let keep_components = !listing.damaged.is_empty();
        let Ok(entries) = fs::read_dir(&self.directory) else {
            return;
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            let unfinished = name.starts_with('.') && name.contains(TEMPORARY);
            let unused = name.strip_suffix(".wasm").is_some_and(|digest| {
                manifest::is_digest(digest)
                    && listing
                        .manifests
                        .iter()
                        .all(|manifest| manifest.digest != digest)
            });
            if unfinished || (unused && !keep_components) {
                // Not durable, and need not be: what comes back after a crash is removed again.
                if let Err(error) = fs::remove_file(&path) {
                    tracing::warn!(path = %path.display(), %error, "a leftover file could not be removed");
                }
            }
        }
    }

    fn find<'m>(&self, manifests: &'m [Manifest], name: &str) -> Result<&'m Manifest, Problem> {
        if let Some(found) = manifests.iter().find(|manifest| manifest.name == name) {
            return Ok(found);
        }
        let mut by_digest = manifests
            .iter()
            .filter(|manifest| name.len() >= 6 && manifest.digest.starts_with(name));
        match (by_digest.next(), by_digest.next()) {
            (Some(found), None) => Ok(found),
            _ => Err(self.unknown(name, manifests)),
        }
    }

    fn unknown(&self, name: &str, manifests: &[Manifest]) -> Problem {
        let names = manifests.iter().map(|manifest| manifest.name.as_str());
        let remedy = match super::config::nearest(name, names) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "`margay component list` names what is loaded".to_owned(),
        };
        let rule = format!("is not loaded in {}", self.directory.display());
        Problem::operator(
            exit::NO_INPUT,
            "component",
            format!("`{name}`"),
            rule,
            remedy,
        )
    }

    /// Errors: something else is there, or it cannot be known what.
    fn is_absent(&self) -> Result<bool, Problem> {
        match fs::metadata(&self.directory) {
            Ok(facts) if facts.is_dir() => Ok(false),
            Ok(_) => Err(self.unusable(&io::ErrorKind::NotADirectory.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(self.unusable(&error)),
        }
    }

    fn component_path(&self, manifest: &Manifest) -> PathBuf {
        self.directory.join(format!("{}.wasm", manifest.digest))
    }

    fn manifest_path(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.json"))
    }

    fn lock_exclusive(&self) -> Result<File, Problem> {
        let lock = self.open_lock().map_err(|error| self.unusable(&error))?;
        lock.lock().map_err(|error| self.unusable(&error))?;
        Ok(lock)
    }

    /// A directory that this process may only read is read without a lock if nobody ever made one: then nobody ever wrote.
    fn lock_shared(&self) -> Result<Option<File>, Problem> {
        let opened = self
            .open_lock()
            .or_else(|_| File::open(self.directory.join(".lock")));
        let lock = match opened {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.unusable(&error)),
        };
        lock.lock_shared().map_err(|error| self.unusable(&error))?;
        Ok(Some(lock))
    }

    fn open_lock(&self) -> io::Result<File> {
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.directory.join(".lock"))
    }

    fn unusable(&self, error: &io::Error) -> Problem {
        Problem::operator(
            exit::NO_INPUT,
            "component directory",
            self.directory.display().to_string(),
            error.to_string(),
            "name a directory that can be written with --component-dir",
        )
    }
}
