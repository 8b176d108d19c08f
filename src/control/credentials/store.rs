//! What is remembered of one upstream's credentials, in a file that only this user can read: what we were registered as, by
//! issuer, and what gets the next token.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::control::secrets::replace;
use crate::upstream::credential::Registered;

/// The folder in the state directory.
const FOLDER: &str = "credentials";
/// Bytes of one file.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Permission bits that nobody but the owner may have.
const OTHERS: u32 = 0o077;

/// What is known of one upstream.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Memory {
    /// The issuer that was first shown the operator's client, and is the only one from then on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) issuer: Option<String>,
    /// Scopes that the upstream wanted and nobody has allowed yet.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) wanted_scopes: String,
    /// By issuer.
    pub(super) issuers: BTreeMap<String, AtIssuer>,
}

/// What is known at one issuer.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AtIssuer {
    /// What it made of us.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client: Option<Registered>,
    /// What gets the next token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refresh_token: Option<String>,
    /// The scopes that were asked for.
    pub(super) scopes: String,
}

/// The file of one upstream.
#[derive(Clone, Debug)]
pub(super) struct Store {
    path: PathBuf,
}

impl Store {
    /// That of the upstream of this name, which is none of a path.
    pub(super) fn new(state_dir: &Path, upstream: &str) -> Self {
        Self {
            path: state_dir.join(FOLDER).join(format!("{upstream}.json")),
        }
    }

    /// What is remembered; nothing where there is no file.
    ///
    /// Errors: it cannot be read, or others can read it.
    pub(super) fn load(&self) -> Result<Memory, String> {
        let failed = |problem: String| format!("{}: {problem}", self.path.display());
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Memory::default()),
            Err(error) => return Err(failed(error.to_string())),
        };
        let mode = file.metadata().map_err(|error| failed(error.to_string()))?;
        let mode = mode.permissions().mode() & 0o777;
        if mode & OTHERS != 0 {
            return Err(failed(format!(
                "mode {mode:03o}: other users could read the tokens; remove it and log in again"
            )));
        }
        let mut text = String::new();
        file.take(FILE_BYTES_MAX)
            .read_to_string(&mut text)
            .map_err(|error| failed(error.to_string()))?;
        // The reader's words could have a token in them.
        serde_json::from_str(&text)
            .map_err(|_| failed("is not what margay wrote; remove it and log in again".to_owned()))
    }

    /// Changes what is remembered: whole, or not at all.
    ///
    /// Errors: it cannot be read or written.
    pub(super) fn change(&self, change: impl FnOnce(&mut Memory)) -> Result<(), String> {
        let mut memory = self.load()?;
        change(&mut memory);
        self.save(&memory)
            .map_err(|error| format!("{}: {error}", self.path.display()))
    }

    fn save(&self, memory: &Memory) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        replace(&self.path, &serde_json::to_vec_pretty(memory)?)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_remembered_is_the_owner_s_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(&folder.path().join("state"), "docs");
        assert!(store.load().unwrap().issuers.is_empty());
        store
            .change(|memory| {
                let at = memory.issuers.entry("https://as".to_owned()).or_default();
                at.refresh_token = Some("hush".to_owned());
            })
            .unwrap();
        store
            .change(|memory| memory.wanted_scopes = "a".to_owned())
            .unwrap();
        let memory = store.load().unwrap();
        assert_eq!(
            memory.issuers["https://as"].refresh_token.as_deref(),
            Some("hush")
        );
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&store.path), 0o600);
        assert_eq!(mode(store.path.parent().unwrap()), 0o700);
        let left = fs::read_dir(store.path.parent().unwrap()).unwrap().count();
        assert_eq!(left, 1, "no temporary file is left");
        fs::set_permissions(&store.path, fs::Permissions::from_mode(0o644)).unwrap();
        let said = store.load().err().unwrap();
        assert!(
            said.contains("mode 644") && !said.contains("hush"),
            "{said}"
        );
        fs::set_permissions(&store.path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&store.path, "hush").unwrap();
        let said = store.load().err().unwrap();
        assert!(
            said.contains("remove it") && !said.contains("hush"),
            "{said}"
        );
    }
}
