//! A policy as it is written: the shape that the strict YAML reader checks.
//!
//! Every key of the policies that Wassette reads is here, and ours beside them. A key that is not here is an error.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize as Document;
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, Visitor};
use serde_saphyr::Spanned;

use crate::secret::SecretRef;

/// A policy file.
#[derive(Debug, Document)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(rename = "$schema")]
    pub(super) _schema: Option<IgnoredAny>,
    pub(super) version: Spanned<Word>,
    pub(super) description: Option<String>,
    pub(super) permissions: Spanned<Option<Permissions>>,
}

/// `permissions:` of a policy file, of a manifest, or of the configuration.
#[derive(Debug, Default, Document)]
#[serde(deny_unknown_fields)]
pub struct Permissions {
    pub(super) storage: Option<Spanned<Option<Storage>>>,
    pub(super) network: Option<Spanned<Option<Network>>>,
    pub(super) environment: Option<Spanned<Option<Environment>>>,
    pub(super) runtime: Option<Spanned<IgnoredAny>>,
    pub(super) resources: Option<Option<Resources>>,
    pub(super) ipc: Option<Spanned<Option<Ipc>>>,
}

#[derive(Debug, Default, Document)]
#[serde(deny_unknown_fields)]
pub(super) struct Storage {
    pub(super) allow: Option<Vec<Spanned<StorageEntry>>>,
    pub(super) deny: Option<Vec<Spanned<StorageEntry>>>,
}

#[derive(Debug, Document)]
#[serde(deny_unknown_fields)]
pub(super) struct StorageEntry {
    pub(super) uri: String,
    pub(super) access: Vec<AccessWord>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Document)]
#[serde(rename_all = "lowercase")]
pub(super) enum AccessWord {
    Read,
    Write,
}

#[derive(Debug, Default, Document)]
#[serde(deny_unknown_fields)]
pub(super) struct Network {
    pub(super) allow: Option<Vec<Spanned<NetworkEntry>>>,
    pub(super) deny: Option<Vec<Spanned<NetworkEntry>>>,
}

/// Host or cidr, and what limits it.
#[derive(Debug, Default, Document)]
#[serde(deny_unknown_fields)]
pub(super) struct NetworkEntry {
    pub(super) host: Option<String>,
    pub(super) cidr: Option<String>,
    pub(super) ports: Option<Vec<Word>>,
    pub(super) protocols: Option<Vec<ProtocolWord>>,
    pub(super) schemes: Option<Vec<SchemeWord>>,
    pub(super) methods: Option<Vec<String>>,
    pub(super) paths: Option<Vec<String>>,
    pub(super) inject: Option<Inject>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Document)]
#[serde(rename_all = "lowercase")]
pub(super) enum ProtocolWord {
    Tcp,
    Udp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Document)]
#[serde(rename_all = "lowercase")]
pub(super) enum SchemeWord {
    Http,
    Https,
}

/// A header that the host adds, so that the component never holds the secret in it.
#[derive(Debug, Document)]
#[serde(deny_unknown_fields)]
pub(super) struct Inject {
    pub(super) header: String,
    pub(super) value: Option<String>,
    pub(super) secret: Secret,
}

/// Where a secret is kept; exactly one of the four.
#[derive(Debug, Document)]
#[serde(deny_unknown_fields)]
pub(super) struct Secret {
    env: Option<String>,
    file: Option<PathBuf>,
    credential: Option<String>,
    secret: Option<String>,
}

impl Secret {
    /// The place, if exactly one is named.
    pub(super) fn place(&self) -> Option<SecretRef> {
        let given = [
            self.env.clone().map(SecretRef::Environment),
            self.file.clone().map(SecretRef::File),
            self.credential.clone().map(SecretRef::Credential),
            self.secret.clone().map(SecretRef::Stored),
        ];
        let mut given = given.into_iter().flatten();
        given.next().filter(|_| given.next().is_none())
    }
}

#[derive(Debug, Default, Document)]
#[serde(deny_unknown_fields)]
pub(super) struct Environment {
    pub(super) allow: Option<Vec<Spanned<Variable>>>,
}

#[derive(Debug, Document)]
#[serde(deny_unknown_fields)]
pub(super) struct Variable {
    pub(super) key: String,
    pub(super) value_from: Option<String>,
    pub(super) secret: Option<Secret>,
}

#[derive(Debug, Default, Document)]
#[serde(deny_unknown_fields)]
pub(super) struct Resources {
    pub(super) cpu: Option<Spanned<Word>>,
    pub(super) memory: Option<Spanned<Word>>,
    pub(super) io: Option<Spanned<Word>>,
    pub(super) limits: Option<Option<ResourceLimits>>,
    pub(super) memory_bytes: Option<Spanned<Word>>,
    pub(super) cpu_time_ms: Option<Spanned<Word>>,
    pub(super) http_requests: Option<Spanned<Word>>,
    pub(super) http_bytes: Option<Spanned<Word>>,
    pub(super) open_files: Option<Spanned<Word>>,
}

#[derive(Debug, Default, Document)]
#[serde(deny_unknown_fields)]
pub(super) struct ResourceLimits {
    pub(super) cpu: Option<Spanned<Word>>,
    pub(super) memory: Option<Spanned<Word>>,
}

#[derive(Debug, Default, Document)]
#[serde(deny_unknown_fields)]
pub(super) struct Ipc {
    pub(super) allow: Option<Vec<IpcEntry>>,
    pub(super) deny: Option<Vec<IpcEntry>>,
}

#[derive(Debug, Document)]
#[serde(deny_unknown_fields)]
pub(super) struct IpcEntry {
    #[serde(rename = "uri")]
    _uri: String,
}

/// A scalar as it is written: `443`, `8000-9000`, `512Mi`, `1.0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word(pub(super) String);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl Visitor<'_> for Words {
            type Value = Word;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a word")
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Word, E> {
                Ok(Word(number.to_string()))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Word, E> {
                Ok(Word(number.to_string()))
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Word, E> {
                // As 1.0, not as 1: a version has its point.
                Ok(Word(format!("{number:?}")))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Word, E> {
                Ok(Word(text.to_owned()))
            }
        }
        deserializer.deserialize_any(Words)
    }
}
