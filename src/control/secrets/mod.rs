//! The operator's secrets: found where a configuration says they are.
//!
//! A [`Secrets`] is made once and cheap to clone. Files, credentials and variables are read when they are asked for; the encrypted
//! store is opened once, kept in memory, and opened again when [`Secrets::refresh`] finds another file in its place.

pub mod import;
mod private;
mod store;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use zeroize::Zeroizing;

use crate::error::{Problem, exit};
use crate::secret::{
    Resolve, Secret, SecretRef, Shape, Unresolved, admit, is_sensitive_header, redactor,
};
use crate::upstream::credential::AuthSettings;
use crate::upstream::settings::{HeaderValue, Transport};

use super::config::Config;
pub(super) use private::replace;
use store::Stamp;
pub use store::{Entries, SecretStore, StorePlace};

/// The operator's secrets.
#[derive(Clone)]
pub struct Secrets(Arc<Inner>);

/// Gives the value of a variable.
type Environment = Box<dyn Fn(&str) -> Option<OsString> + Send + Sync>;

struct Inner {
    environment: Environment,
    store: SecretStore,
    kept: ArcSwap<Kept>,
    // Held while the store is opened, by control's threads only.
    opening: Mutex<()>,
    generation: AtomicU64,
}

/// The store as it was last seen.
enum Kept {
    /// Nobody has looked.
    Unread,
    /// It was opened; `stamp` tells the file from another.
    Open {
        entries: Entries,
        stamp: Option<Stamp>,
    },
    /// It could not be.
    Broken { why: String, stamp: Option<Stamp> },
}

impl Secrets {
    /// The secrets that this configuration names, from this process's environment. Those that stand in it in plain text are known to the
    /// [`redactor`] from then on.
    pub fn new(config: &Config) -> Self {
        know_plain(config);
        Self::with_environment(config.secrets.clone(), |name| std::env::var_os(name))
    }

    /// The same with another environment.
    pub fn with_environment(
        place: StorePlace,
        environment: impl Fn(&str) -> Option<OsString> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Inner {
            environment: Box::new(environment),
            store: SecretStore::new(place),
            kept: ArcSwap::from_pointee(Kept::Unread),
            opening: Mutex::new(()),
            generation: AtomicU64::new(0),
        }))
    }

    /// The encrypted store.
    pub fn store(&self) -> &SecretStore {
        &self.0.store
    }

    /// How often the store was found changed: whoever made something of a secret makes it anew when this is another.
    pub fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    /// Opens the store again if its file is another than before. Called once a second by control; a store that nobody has asked for
    /// anything is not looked at. True if its secrets have changed.
    ///
    /// Errors: it cannot be opened, said once for each file; what it held before stays in force.
    pub fn refresh(&self) -> Result<bool, Problem> {
        let kept = self.0.kept.load_full();
        let stamp = match &*kept {
            Kept::Unread => return Ok(false),
            Kept::Open { stamp, .. } | Kept::Broken { stamp, .. } => stamp,
        };
        if self.0.store.stamp() == *stamp {
            return Ok(false);
        }
        let (found, stamp) = self.read_store();
        let before = match &*kept {
            Kept::Open { entries, .. } => Some(entries),
            _ => None,
        };
        match found {
            Ok(entries) => {
                let is_changed = before != Some(&entries);
                self.0.kept.store(Arc::new(Kept::Open { entries, stamp }));
                if is_changed {
                    self.0.generation.fetch_add(1, Ordering::Release);
                }
                Ok(is_changed)
            }
            Err(problem) => {
                let next = match before {
                    Some(entries) => Kept::Open {
                        entries: entries.clone(),
                        stamp,
                    },
                    None => Kept::Broken {
                        why: problem.to_string(),
                        stamp,
                    },
                };
                self.0.kept.store(Arc::new(next));
                Err(problem)
            }
        }
    }

    fn stored(&self, name: &str) -> Result<Secret, Unresolved> {
        let mut kept = self.0.kept.load_full();
        if matches!(&*kept, Kept::Unread) {
            let _opening = self
                .0
                .opening
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            kept = self.0.kept.load_full();
            if matches!(&*kept, Kept::Unread) {
                let (found, stamp) = self.read_store();
                kept = Arc::new(match found {
                    Ok(entries) => Kept::Open { entries, stamp },
                    Err(problem) => Kept::Broken {
                        why: problem.to_string(),
                        stamp,
                    },
                });
                self.0.kept.store(Arc::clone(&kept));
            }
        }
        match &*kept {
            Kept::Open { entries, .. } => entries.get(name).cloned().ok_or(Unresolved::Missing),
            Kept::Broken { why, .. } => Err(Unresolved::Locked(why.clone())),
            Kept::Unread => Err(Unresolved::Missing),
        }
    }

    /// The store's entries, and the stamp of a file that is not newer than they are.
    fn read_store(&self) -> (Result<Entries, Problem>, Option<Stamp>) {
        let stamp = self.0.store.stamp();
        let found = self.0.store.read(self);
        if let Ok(entries) = &found {
            redactor().add_all(entries.values());
        }
        (found, stamp)
    }
}

impl Resolve for Secrets {
    fn resolve(&self, from: &SecretRef, shape: Shape) -> Result<Secret, Unresolved> {
        match from {
            SecretRef::Environment(name) => {
                let value = (self.0.environment)(name).ok_or(Unresolved::Missing)?;
                let text = value.into_string().map_err(|_| Unresolved::NotText)?;
                admit(Zeroizing::new(text.into_bytes()), shape)
            }
            SecretRef::File(path) => admit(private::read(path)?, shape),
            SecretRef::Credential(name) => {
                if name.contains('/') || !crate::secret::is_stored_name(name) {
                    return Err(Unresolved::NotAName);
                }
                let directory = (self.0.environment)("CREDENTIALS_DIRECTORY");
                let directory = directory.ok_or(Unresolved::NoCredentials)?;
                admit(private::read(&Path::new(&directory).join(name))?, shape)
            }
            SecretRef::Stored(name) => {
                let secret = self.stored(name)?;
                // What has lines may be stored, and is refused where one line is wanted.
                admit(Zeroizing::new(secret.reveal().as_bytes().to_vec()), shape)
            }
        }
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Secrets").field(&self.0.store).finish()
    }
}

/// Makes known to the [`redactor`] what a configuration has in plain text where a credential belongs.
fn know_plain(config: &Config) {
    for upstream in &config.upstreams {
        let Transport::Http { headers, .. } = &upstream.transport else {
            continue;
        };
        let own = match &upstream.auth {
            Some(AuthSettings::Header(own)) => Some((&own.name, &own.value)),
            _ => None,
        };
        for (name, value) in headers.iter().map(|(name, value)| (name, value)).chain(own) {
            if let HeaderValue::Text(text) = value
                && (own.is_some_and(|(own, _)| own == name) || is_sensitive_header(name))
            {
                // `Bearer TOKEN`: the token alone, too.
                let token = text.rsplit(' ').next().unwrap_or_default();
                redactor().add_all(&[Secret::new(text.as_str()), Secret::new(token)]);
            }
        }
    }
}

/// What is wrong with the store, or with what is brought into it.
fn problem(path: &Path, rule: impl Into<String>, remedy: &str) -> Problem {
    let path: PathBuf = path.to_owned();
    Problem::operator(
        exit::CONFIG,
        "secrets",
        path.display().to_string(),
        rule,
        remedy,
    )
}
