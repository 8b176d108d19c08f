//! Secrets: what they are, where they come from, and that they are not shown.
//!
//! Invariants: a [`Secret`] has no `Display`, its `Debug` shows nothing, and its memory is wiped when it goes.
#![forbid(unsafe_code)]

use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

/// A secret text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Keeps this text secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Where a secret is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SecretRef {
    /// A variable of our own environment: `{env: NAME}`.
    Environment(String),
    /// A file, its last line end left out: `{file: PATH}`.
    File(PathBuf),
    /// A credential of the service manager, in `$CREDENTIALS_DIRECTORY`: `{credential: NAME}`.
    Credential(String),
    /// An entry of the encrypted store: `{secret: NAME}`.
    Stored(String),
}
