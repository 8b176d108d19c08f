//! A loaded component's manifest: one small JSON file.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Problem, exit};

/// Bytes of a component's name.
const NAME_BYTES_MAX: usize = 64;

/// Bytes of a manifest; a larger file is none of ours.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;

/// The only version there is.
const VERSION: u32 = 1;

/// What is known of a loaded component without compiling it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    version: u32,
    /// Its name, unique in the directory.
    pub name: String,
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
    /// Length of the component in bytes.
    pub bytes: u64,
    /// The file that it was loaded from.
    pub source: String,
    /// When it was loaded, in seconds since 1970-01-01 UTC.
    pub loaded_at: u64,
    /// The names of its tools.
    pub tools: Vec<String>,
}

impl Manifest {
    pub(in crate::control) fn new(
        name: String,
        bytes: &[u8],
        source: &Path,
        tools: Vec<String>,
    ) -> Self {
        let source = fs::canonicalize(source).unwrap_or_else(|_| source.to_owned());
        Self {
            version: VERSION,
            name,
            digest: digest(bytes),
            bytes: bytes.len() as u64,
            source: source.display().to_string(),
            loaded_at: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
            tools,
        }
    }

    pub(in crate::control) fn to_json(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self)
            .expect("invariant: strings and numbers always serialize");
        text.push(b'\n');
        text
    }

    pub(super) fn read(path: &Path, name: &str) -> Result<Self, Problem> {
        let damaged = |rule: String| {
            let remedy = "load the component again, or remove the file";
            Problem::operator(
                exit::DATA,
                "manifest",
                path.display().to_string(),
                rule,
                remedy,
            )
        };
        let length = fs::metadata(path)
            .map_err(|error| damaged(error.to_string()))?
            .len();
        if length > MANIFEST_BYTES_MAX {
            return Err(damaged(format!(
                "has {length} bytes, more than a manifest can have"
            )));
        }
        let text = fs::read(path).map_err(|error| damaged(error.to_string()))?;
        let manifest: Self =
            serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        if manifest.version != VERSION {
            return Err(damaged(format!(
                "has version {}, this margay reads {VERSION}",
                manifest.version
            )));
        }
        // The digest becomes part of a path.
        if manifest.name != name || !is_name(name) || !is_digest(&manifest.digest) {
            return Err(damaged(
                "does not belong to its file name, or has no valid digest".to_owned(),
            ));
        }
        Ok(manifest)
    }
}

pub(in crate::control) fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write;
    Sha256::digest(bytes)
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

pub(super) fn is_digest(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The name that a component file is loaded under: the one that is asked for, or the file's stem.
pub(super) fn name_of(file: &Path, asked: Option<&str>) -> Result<String, Problem> {
    let stem = file
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default();
    let name = asked.unwrap_or(&stem);
    if is_name(name) {
        return Ok(name.to_owned());
    }
    let rule = format!(
        "must be letters, digits, `-`, `_` or `.`, not begin with `.`, and have at most {NAME_BYTES_MAX} bytes"
    );
    Err(Problem::operator(
        exit::USAGE,
        "component name",
        format!("`{name}`"),
        rule,
        "choose one with --name",
    ))
}

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && !name.starts_with('.')
        && name.bytes().all(allowed)
}
