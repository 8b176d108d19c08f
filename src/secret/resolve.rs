//! What may be a secret, and why one is not there.

use std::fmt;

use zeroize::Zeroizing;

use crate::error::{Problem, exit};

use super::{Secret, SecretRef};

/// Bytes of one secret: a chain of certificates with its key fits.
pub const SECRET_BYTES_MAX: usize = 64 << 10;

/// Bytes of a name in the encrypted store.
const NAME_BYTES_MAX: usize = 200;

/// What a secret has to look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One line: a token, a password, what is sent in a header. One line end after it is not part of it.
    Line,
    /// Text with lines: a key in PEM.
    Text,
}

/// Whoever can tell a secret by where it is kept.
pub trait Resolve: Send + Sync {
    /// The secret, which the process's [`super::redactor`] knows from then on. Reads files: blocks.
    ///
    /// Errors: why there is none; never with anything of its value.
    fn resolve(&self, from: &SecretRef, shape: Shape) -> Result<Secret, Unresolved>;

    /// The same, with its problem: `thing` is what wanted it, as the operator knows it (`upstreams.docs.headers.Authorization`).
    ///
    /// Errors: one line with the thing, the place, what is wrong and what to do.
    fn secret(&self, thing: &str, from: &SecretRef, shape: Shape) -> Result<Secret, Problem> {
        self.resolve(from, shape)
            .map_err(|unresolved| unresolved.into_problem(thing, from))
    }
}

/// Why there is no secret. Nothing of its value is in here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unresolved {
    /// There is none of this name.
    #[error("is not there")]
    Missing,
    /// There is nothing in it.
    #[error("is empty")]
    Empty,
    /// More than [`SECRET_BYTES_MAX`].
    #[error("is longer than {SECRET_BYTES_MAX} bytes")]
    TooLong,
    /// Any user of the machine can read or change it.
    #[error("has mode {mode:03o}: other users can read or change it")]
    Exposed {
        /// Its permission bits.
        mode: u32,
    },
    /// Not UTF-8.
    #[error("is not UTF-8 text")]
    NotText,
    /// Line ends or other control characters where one line is wanted.
    #[error("has line ends or control characters, and must be one line")]
    NotOneLine,
    /// A directory, a device, a pipe.
    #[error("is not a regular file")]
    NotAFile,
    /// A name that cannot be one.
    #[error("is not a name: letters, digits and . _ - are, and / between them")]
    NotAName,
    /// The service manager has given no credentials.
    #[error("has no place: $CREDENTIALS_DIRECTORY is not set")]
    NoCredentials,
    /// The system's word.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// The encrypted store cannot be opened.
    #[error("is in a store that cannot be opened: {0}")]
    Locked(String),
}

impl Unresolved {
    /// One line for the operator.
    pub fn into_problem(self, thing: &str, from: &SecretRef) -> Problem {
        let remedy = self.remedy(from);
        let rule = match (&self, from) {
            (Self::Missing, SecretRef::Environment(_)) => "is not set".to_owned(),
            _ => self.to_string(),
        };
        Problem::operator(exit::CONFIG, thing, from.to_string(), rule, remedy)
    }

    fn remedy(&self, from: &SecretRef) -> String {
        match (self, from) {
            (Self::Exposed { .. }, SecretRef::File(path)) => {
                format!("`chmod 600 {}`", path.display())
            }
            (Self::NoCredentials, _) => {
                "start margay as a service with LoadCredential=, or use {file: …}".to_owned()
            }
            (Self::Missing | Self::Empty, SecretRef::Environment(_)) => {
                "set it where margay is started".to_owned()
            }
            (Self::Missing, SecretRef::Credential(name)) => {
                format!("add LoadCredential={name}:… to the service")
            }
            (Self::Missing | Self::Empty | Self::NotOneLine, SecretRef::Stored(name)) => {
                format!("`margay secret set {name}` reads it from standard input")
            }
            (Self::Locked(_), _) => {
                "`margay secret list` says more; the identity is named by secrets.identity"
                    .to_owned()
            }
            _ => "correct it, or name another place".to_owned(),
        }
    }
}

/// Takes what was read as a secret, and makes it known to the [`super::redactor`].
///
/// Errors: it cannot be one of this shape.
pub fn admit(bytes: Zeroizing<Vec<u8>>, shape: Shape) -> Result<Secret, Unresolved> {
    if bytes.len() > SECRET_BYTES_MAX {
        return Err(Unresolved::TooLong);
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| Unresolved::NotText)?;
    let text = match shape {
        Shape::Line => {
            let line = text.strip_suffix('\n').unwrap_or(text);
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line.chars().any(char::is_control) {
                return Err(Unresolved::NotOneLine);
            }
            line
        }
        Shape::Text => text,
    };
    if text.trim().is_empty() {
        return Err(Unresolved::Empty);
    }
    let secret = Secret::new(text);
    super::redactor().add(&secret);
    Ok(secret)
}

/// Whether this can be the name of an entry of the encrypted store: `GITHUB_TOKEN`, `weather/API_KEY`.
pub fn is_stored_name(name: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && !part.trim_matches('.').is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
    };
    name.len() <= NAME_BYTES_MAX && name.split('/').all(part)
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Line => "one line",
            Self::Text => "text",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(bytes: &[u8], shape: Shape) -> Result<String, Unresolved> {
        let secret = admit(Zeroizing::new(bytes.to_vec()), shape)?;
        Ok(secret.reveal().to_owned())
    }

    #[test]
    fn one_line_end_is_not_part_of_a_secret_and_what_cannot_be_one_is_refused() {
        for text in [
            "one-line-of-text",
            "one-line-of-text\n",
            "one-line-of-text\r\n",
        ] {
            let found = admitted(text.as_bytes(), Shape::Line);
            assert_eq!(found.as_deref(), Ok("one-line-of-text"), "{text:?}");
        }
        for (bytes, refused) in [
            (&b""[..], Unresolved::Empty),
            (b"\n", Unresolved::Empty),
            (b"  \n", Unresolved::Empty),
            (b"a\nb", Unresolved::NotOneLine),
            (b"a\n\n", Unresolved::NotOneLine),
            (b"a\rb", Unresolved::NotOneLine),
            (b"a\0b", Unresolved::NotOneLine),
            (b"\xff\xfe", Unresolved::NotText),
            (&[b'x'; SECRET_BYTES_MAX + 1], Unresolved::TooLong),
        ] {
            assert_eq!(admitted(bytes, Shape::Line), Err(refused));
        }
        assert!(admitted(b"-----BEGIN KEY-----\nabc\n", Shape::Text).is_ok());
    }

    #[test]
    fn a_problem_names_the_thing_and_the_place_and_what_to_do() {
        let from = SecretRef::File("/etc/token".into());
        let problem = Unresolved::Exposed { mode: 0o644 }.into_problem("auth.key", &from);
        let text = problem.to_string();
        for part in ["auth.key", "/etc/token", "mode 644", "chmod 600 /etc/token"] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
    }

    #[test]
    fn names_of_the_store_cannot_leave_their_place() {
        for name in ["A", "weather/API_KEY", "a.b-c_d/e"] {
            assert!(is_stored_name(name), "{name}");
        }
        for name in ["", "/a", "a/", "a//b", "..", "a/../b", "a b", "a\n", "é"] {
            assert!(!is_stored_name(name), "{name}");
        }
    }
}
