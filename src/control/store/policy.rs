//! The policies beside the components of the directory: changed whole or not at all, under the directory's lock.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Manifest, Store, TEMPORARY};
use crate::control::config::nearest;
use crate::control::policies;
use crate::error::{Problem, exit};
use crate::policy::permission::{Change, Edited, Policy, edit};

/// What tells a file from the one that took its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

/// How long nobody writes to a file that was written to the end.
const SETTLED: Duration = Duration::from_millis(500);

impl Stamp {
    /// Whether somebody may be about to write more of the file that this was: it is the same file, and has only just changed. One that
    /// takes the place of another does so as a whole.
    pub(super) fn is_being_written(&self, before: &Self, now: SystemTime) -> bool {
        let (seconds, nanoseconds) = self.changed;
        let changed = u64::try_from(seconds)
            .ok()
            .zip(u32::try_from(nanoseconds).ok());
        let changed = changed.map(|(seconds, nanoseconds)| {
            SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds)
        });
        let age = changed.map(|changed| match now.duration_since(changed) {
            Ok(age) => age,
            Err(ahead) => ahead.duration(),
        });
        self.inode == before.inode && age.is_some_and(|age| age < SETTLED)
    }

    /// None, if there is no such file. A file that cannot be looked at is as one that has just changed, once.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let facts = fs::metadata(path).ok()?;
        Some(Self {
            inode: facts.ino(),
            bytes: facts.len(),
            changed: (facts.ctime(), facts.ctime_nsec()),
        })
    }
}

/// A policy that was changed.
#[derive(Clone, Debug)]
pub struct PolicyChange {
    /// The component.
    pub component: Manifest,
    /// Its policy's file.
    pub path: PathBuf,
    /// What was done to the file.
    pub edited: Edited,
    /// What it says now.
    pub policy: Policy,
}

impl Store {
    /// Where the policy of the component of this name is.
    pub fn policy_path(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}{}", policies::SUFFIX))
    }

    /// Changes the policy of a component, by its name or a unique beginning of its digest. A server that watches the directory takes it
    /// within a second.
    ///
    /// Errors: no such component; its policy has a fault already, or would have one; nothing grants what is taken back; the directory
    /// cannot be written. Then nothing has changed.
    pub fn change_policy(&self, name: &str, change: &Change) -> Result<PolicyChange, Problem> {
        if self.is_absent()? {
            return Err(self.unknown(name, &[]));
        }
        let _lock = self.lock_exclusive()?;
        let component = self.find(&self.list_locked()?.manifests, name)?.clone();
        let path = self.policy_path(&component.name);
        let before = policies::text(&path)?.unwrap_or_default();
        if !before.trim().is_empty() {
            policies::parsed(&before, &path, Policy::parse)?;
        }
        let edited = edit(&before, change).map_err(|nowhere| {
            let value = match change {
                Change::RevokeStorage { uri } => uri,
                Change::RevokeNetwork { host } => host,
                Change::RevokeEnvironment { key } => key,
                _ => "",
            };
            let remedy = match nearest(value, nowhere.granted.iter().map(String::as_str)) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None if nowhere.granted.is_empty() => "nothing of the kind is granted".to_owned(),
                None => format!("granted are: {}", nowhere.granted.join(", ")),
            };
            let thing = format!("policy {}", path.display());
            Problem::operator(
                exit::DATA,
                thing,
                format!("`{value}`"),
                "is not granted",
                remedy,
            )
        })?;
        let policy = policies::parsed(&edited.text, &path, Policy::parse)?;
        if edited.is_changed {
            // A link to where an operator keeps it stays one.
            let file = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
            replace(&file, edited.text.as_bytes()).map_err(|error| self.unusable(&error))?;
        }
        Ok(PolicyChange {
            component,
            path,
            edited,
            policy,
        })
    }

    /// Takes over the policy beside a file that is loaded, if the component has none here yet: what was granted here stays.
    ///
    /// Errors: it has a fault.
    pub(super) fn adopt_policy(&self, file: &Path, name: &str) -> Result<(), Problem> {
        let (from, to) = (policies::beside(file), self.policy_path(name));
        let Some(text) = policies::text(&from)? else {
            return Ok(());
        };
        let policy = policies::parsed(&text, &from, Policy::parse)?;
        if to.exists() {
            return Ok(());
        }
        for guest in policy.relative() {
            tracing::warn!(
                component = name,
                "its policy grants fs://{guest}, which is {} from now on: relative places and secrets' files are beside the policy",
                self.directory.join(&guest).display()
            );
        }
        replace(&to, text.as_bytes()).map_err(|error| self.unusable(&error))
    }

    /// Forgets a component's policy before the component is forgotten: another one of its name must not find it.
    pub(super) fn forget_policy(&self, name: &str) -> Result<(), Problem> {
        match fs::remove_file(self.policy_path(name)) {
            Ok(()) => sync_folder(&self.directory).map_err(|error| self.unusable(&error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(self.unusable(&error)),
        }
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Puts a file in the place of another; after a crash there is the one or the other, whole.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}{TEMPORARY}{}", std::process::id()));
    let mode = fs::metadata(path).map_or(0o600, |facts| facts.mode() & 0o777);
    let written = (|| {
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        sync_folder(path.parent().unwrap_or(Path::new(".")))
    })();
    if written.is_err() {
        // The failure is told; what is left of the attempt is removed with the next change anyhow.
        let _ = fs::remove_file(&temporary);
    }
    written
}
