//! The encrypted store: one file in the age format, with names and values, for one X25519 identity.
//!
//! It is replaced whole with each change, under a lock that other processes of ours respect. Who has the identity has the secrets:
//! encryption keeps them out of backups, images and logs, not from whoever can read both files.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::str::FromStr;

use age::secrecy::ExposeSecret;
use age::x25519::Identity;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::Problem;
use crate::secret::{Resolve, Secret, SecretRef, Shape, Unresolved, is_stored_name};

use super::{private, problem};

/// Entries of one store.
const ENTRY_COUNT_MAX: usize = 1_024;

/// Bytes of one store's file.
const STORE_BYTES_MAX: usize = 8 << 20;

/// What an identity's line begins with.
const IDENTITY_PREFIX: &str = "AGE-SECRET-KEY-1";

/// Names and values.
pub type Entries = BTreeMap<String, Secret>;

/// Where the store is, and what opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorePlace {
    /// The encrypted file.
    pub file: PathBuf,
    /// The identity: a file as `age-keygen` writes it, or a credential.
    pub identity: SecretRef,
    /// Whether the identity's file is made where there is none: nobody has named another.
    pub makes_identity: bool,
}

impl StorePlace {
    /// The store of a state directory.
    pub fn of(state_dir: &std::path::Path) -> Self {
        Self {
            file: state_dir.join("secrets.age"),
            identity: SecretRef::File(state_dir.join("secrets.key")),
            makes_identity: true,
        }
    }
}

/// What tells one version of the file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    changed: (i64, i64),
    length: u64,
}

/// The encrypted store.
#[derive(Debug)]
pub struct SecretStore {
    place: StorePlace,
}

/// What is encrypted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u32,
    secrets: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct ContentOut<'e> {
    version: u32,
    secrets: BTreeMap<&'e str, &'e str>,
}

impl SecretStore {
    /// The store at this place. Nothing is read yet.
    pub fn new(place: StorePlace) -> Self {
        Self { place }
    }

    /// Where it is.
    pub fn place(&self) -> &StorePlace {
        &self.place
    }

    pub(super) fn stamp(&self) -> Option<Stamp> {
        let facts = fs::metadata(&self.place.file).ok()?;
        Some(Stamp {
            inode: facts.ino(),
            changed: (facts.ctime(), facts.ctime_nsec()),
            length: facts.len(),
        })
    }

    /// Everything that is in it; nothing where there is no file.
    ///
    /// Errors: it cannot be read, or not with this identity.
    pub fn read(&self, secrets: &impl Resolve) -> Result<Entries, Problem> {
        let file = &self.place.file;
        let encrypted = match private::read_up_to(file, STORE_BYTES_MAX) {
            Ok(encrypted) => encrypted,
            Err(Unresolved::Missing) => return Ok(Entries::new()),
            Err(unresolved) => {
                let remedy = format!("`chmod 600 {}`, or name another file", file.display());
                return Err(problem(file, unresolved.to_string(), &remedy));
            }
        };
        let identity = self.identity(secrets)?;
        let content = age::decrypt(&identity, &encrypted).map_err(|error| {
            let rule = format!("cannot be decrypted: {error}");
            problem(
                file,
                rule,
                "name the identity that it was encrypted for (secrets.identity)",
            )
        })?;
        let content = Zeroizing::new(content);
        let content: Content = serde_json::from_slice(&content)
            .map_err(|_| problem(file, "does not hold secrets of margay", "name another file"))?;
        if content.version != 1 {
            let rule = format!("has version {}, and 1 is known", content.version);
            return Err(problem(file, rule, "use the margay that wrote it"));
        }
        let entries = content.secrets.into_iter();
        Ok(entries
            .map(|(name, value)| (name, Secret::new(value)))
            .collect())
    }

    /// Changes what is in it, while no other process does. What `change` answers is answered.
    ///
    /// Errors: those of `change`, and that it cannot be read or written.
    pub fn change<T>(
        &self,
        secrets: &impl Resolve,
        change: impl FnOnce(&mut Entries) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let file = &self.place.file;
        let remedy = "name a place that this user can write (state_dir, secrets.file)";
        let unwritable = |error: io::Error| problem(file, error.to_string(), remedy);
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent).map_err(unwritable)?;
        }
        let _locked = self.lock().map_err(unwritable)?;
        let mut entries = self.read(secrets)?;
        let answer = change(&mut entries)?;
        if entries.len() > ENTRY_COUNT_MAX {
            let rule = format!("would have more than {ENTRY_COUNT_MAX} secrets");
            return Err(problem(file, rule, "remove what is not used"));
        }
        let identity = self.identity_or_make(secrets)?;
        let out = ContentOut {
            version: 1,
            secrets: entries
                .iter()
                .map(|(name, secret)| (name.as_str(), secret.reveal()))
                .collect(),
        };
        // As long as it may get: a buffer that grows leaves copies behind that are not wiped.
        let length: usize = entries
            .iter()
            .map(|(name, secret)| name.len() + secret.reveal().len() * 6 + 16)
            .sum();
        let mut content = Zeroizing::new(Vec::with_capacity(length + 64));
        serde_json::to_writer(&mut *content, &out)
            .expect("invariant: strings always serialize into memory");
        let encrypted = age::encrypt(&identity.to_public(), &content)
            .map_err(|error| problem(file, error.to_string(), "report it"))?;
        if encrypted.len() > STORE_BYTES_MAX {
            let rule = format!("would be longer than {STORE_BYTES_MAX} bytes");
            return Err(problem(file, rule, "remove what is not used"));
        }
        private::replace(file, &encrypted).map_err(unwritable)?;
        Ok(answer)
    }

    /// Keeps a secret under this name; true if there was one already.
    ///
    /// Errors: the name cannot be one; and those of [`SecretStore::change`].
    pub fn set(&self, secrets: &impl Resolve, name: &str, value: Secret) -> Result<bool, Problem> {
        if !is_stored_name(name) {
            return Err(
                Unresolved::NotAName.into_problem("secret", &SecretRef::Stored(name.to_owned()))
            );
        }
        self.change(secrets, |entries| {
            Ok(entries.insert(name.to_owned(), value).is_some())
        })
    }

    fn lock(&self) -> io::Result<File> {
        let mut path = self.place.file.clone().into_os_string();
        path.push(".lock");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        lock.lock()?;
        Ok(lock)
    }

    fn identity(&self, secrets: &impl Resolve) -> Result<Identity, Problem> {
        let from = &self.place.identity;
        if matches!(from, SecretRef::Stored(_)) {
            return Err(problem(
                &self.place.file,
                "its identity would be in itself",
                "use {file: …} or {credential: …} for secrets.identity",
            ));
        }
        let text = secrets.secret("secrets.identity", from, Shape::Text)?;
        let line = text
            .reveal()
            .lines()
            .map(str::trim)
            .find(|line| line.starts_with(IDENTITY_PREFIX));
        line.and_then(|line| Identity::from_str(line).ok())
            .ok_or_else(|| {
                let remedy = "`age-keygen -o FILE` makes one";
                Problem::operator(
                    crate::error::exit::CONFIG,
                    "secrets.identity",
                    from.to_string(),
                    "has no X25519 identity of age",
                    remedy,
                )
            })
    }

    fn identity_or_make(&self, secrets: &impl Resolve) -> Result<Identity, Problem> {
        if let (SecretRef::File(path), true) = (&self.place.identity, self.place.makes_identity)
            && !path.exists()
        {
            let identity = Identity::generate();
            let text = Zeroizing::new(format!(
                "# The identity of margay's secrets. Keep a copy: without it they cannot be read.\n# public key: {}\n{}\n",
                identity.to_public(),
                identity.to_string().expose_secret()
            ));
            match private::make(path, text.as_bytes()) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    let remedy = "name a directory that this user can write, with --state-dir";
                    return Err(problem(path, error.to_string(), remedy));
                }
            }
        }
        self.identity(secrets)
    }
}
