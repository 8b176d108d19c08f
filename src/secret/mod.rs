//! Secrets: what they are, where they come from, and that they are not shown.
//!
//! Invariants: a [`Secret`] has no `Display`, its `Debug` shows nothing, and its memory is wiped when it goes. Whoever makes one of what
//! an operator or an authority gave puts it into the process's [`redactor`], so that nothing that is written out shows it.
//!
//! Nothing here reads a file or the environment: that is [`Resolve`]'s, which control has.
#![forbid(unsafe_code)]

mod forms;
mod header;
mod redact;
mod resolve;

use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

pub use header::{is_sensitive_header, shown_header};
pub use redact::{REDACTED, Redactor, Registered, redactor};
pub use resolve::{Resolve, SECRET_BYTES_MAX, Shape, Unresolved, admit, is_stored_name};

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

/// As it is written in a configuration, without its key: `$TOKEN`, a path, a name.
impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(name) => write!(f, "${name}"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Credential(name) => write!(f, "credential {name}"),
            Self::Stored(name) => write!(f, "secret {name}"),
        }
    }
}
