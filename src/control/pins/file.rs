//! The file of pinned tools.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::catalog::pin::Definition;
use crate::error::{Problem, exit};

/// Bytes of a file that is read: far more than the definitions of all tools that there may be.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Tools of one owner that are kept: as many as one lists, and as many that it has listed before.
const TOOLS_PER_SOURCE_MAX: usize = 20_000;

/// What a tool said of itself, and when.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Said {
    /// SHA-256 of the definition.
    pub sha256: String,
    /// Seconds since 1970-01-01 UTC.
    pub at: u64,
    /// The definition.
    pub definition: Map<String, Value>,
}

/// One tool.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// `component:NAME` or `upstream:NAME`.
    pub source: String,
    /// The name that it has there.
    pub tool: String,
    /// What was approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approved: Option<Said>,
    /// What it says now, where that was not approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Said>,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PinFile {
    version: u32,
    tools: Vec<Pin>,
}

/// How a tool stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It says what was approved.
    Approved,
    /// It was never approved.
    New,
    /// It says something else.
    Changed,
}

/// The same, and whether the file has to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sight {
    pub(super) standing: Seen,
    pub(super) is_news: bool,
}

impl PinFile {
    /// The only version there is.
    const VERSION: u32 = 1;

    /// Reads a file; one that does not exist is an empty one.
    ///
    /// Errors: it cannot be read, or is no such file.
    pub fn read(path: &Path) -> Result<Self, Problem> {
        let bytes = match fs::metadata(path).and_then(|facts| match facts.len() {
            0..=FILE_BYTES_MAX => fs::read(path),
            _ => Err(io::Error::other(format!(
                "is larger than {FILE_BYTES_MAX} bytes"
            ))),
        }) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Self {
                    version: Self::VERSION,
                    tools: Vec::new(),
                });
            }
            Err(error) => return Err(problem(path, error.to_string())),
        };
        let file: Self =
            serde_json::from_slice(&bytes).map_err(|error| problem(path, error.to_string()))?;
        match file.version {
            Self::VERSION => Ok(file),
            version => Err(problem(path, format!("has version {version}, and not 1"))),
        }
    }

    /// Replaces the file, whole or not at all.
    ///
    /// Errors: the folder cannot be written.
    pub(super) fn write(&self, path: &Path) -> Result<(), Problem> {
        let text = serde_json::to_vec_pretty(self)
            .expect("invariant: strings, numbers and JSON values always serialize");
        if text.len() as u64 > FILE_BYTES_MAX {
            // Nobody could read it again.
            let rule = format!("would be larger than {FILE_BYTES_MAX} bytes");
            return Err(problem(path, rule));
        }
        let folder = path.parent().unwrap_or(Path::new("."));
        let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
        let written = (|| {
            fs::create_dir_all(folder)?;
            let mut options = fs::OpenOptions::new();
            let options = options.write(true).create(true).truncate(true).mode(0o600);
            let mut file = options.open(&temporary)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&temporary, path)?;
            fs::File::open(folder)?.sync_all()
        })();
        written.map_err(|error| problem(path, error.to_string()))
    }

    /// The tools, in the order in which they were first seen.
    pub fn pins(&self) -> &[Pin] {
        &self.tools
    }

    #[cfg(test)]
    pub(super) fn push(&mut self, pin: Pin) {
        self.tools.push(pin);
    }

    /// Notes what a tool says of itself now.
    pub(super) fn see(
        &mut self,
        source: &str,
        tool: &str,
        definition: Definition,
        accepts_new: bool,
        at: u64,
    ) -> Sight {
        let said = Said {
            sha256: definition.sha256,
            at,
            definition: definition.members,
        };
        let known = self
            .tools
            .iter_mut()
            .find(|pin| pin.source == source && pin.tool == tool);
        let Some(pin) = known else {
            let of_source = self.tools.iter().filter(|pin| pin.source == source);
            if of_source.count() >= TOOLS_PER_SOURCE_MAX {
                // Whoever invents names fills no file with them, and has none of them approved by being seen.
                return Sight {
                    standing: Seen::New,
                    is_news: false,
                };
            }
            let (approved, waiting) = match accepts_new {
                true => (Some(said), None),
                false => (None, Some(said)),
            };
            self.tools.push(Pin {
                source: source.to_owned(),
                tool: tool.to_owned(),
                approved,
                waiting,
            });
            let standing = if accepts_new {
                Seen::Approved
            } else {
                Seen::New
            };
            return Sight {
                standing,
                is_news: true,
            };
        };
        let is_same = |other: &Option<Said>| {
            other
                .as_ref()
                .is_some_and(|other| other.sha256 == said.sha256)
        };
        if is_same(&pin.approved) {
            // It says again what was approved: what waited is of no interest.
            let is_news = pin.waiting.take().is_some();
            return Sight {
                standing: Seen::Approved,
                is_news,
            };
        }
        let is_news = !is_same(&pin.waiting);
        if is_news {
            pin.waiting = Some(said);
        }
        let standing = match pin.approved {
            Some(_) => Seen::Changed,
            None => Seen::New,
        };
        Sight { standing, is_news }
    }

    /// Approves what waits: of the tool of this name, with or without its source before a slash, or of all.
    pub(super) fn approve(
        &mut self,
        name: Option<&str>,
        sha256: Option<&str>,
        at: u64,
    ) -> Vec<Pin> {
        let mut approved = Vec::new();
        for pin in &mut self.tools {
            let is_other = |said: &Said| sha256.is_some_and(|hash| !said.sha256.starts_with(hash));
            if name.is_some_and(|name| !pin.is_called(name))
                || pin.waiting.as_ref().is_some_and(is_other)
            {
                continue;
            }
            if let Some(said) = pin.waiting.take() {
                pin.approved = Some(Said { at, ..said });
                approved.push(pin.clone());
            }
        }
        approved
    }
}

impl Pin {
    /// Whether this names it: `search`, or `upstream:docs/search`.
    pub fn is_called(&self, name: &str) -> bool {
        let whole = name.strip_prefix(&*self.source);
        self.tool == name || whole.and_then(|rest| rest.strip_prefix('/')) == Some(&*self.tool)
    }
}

/// When the file was last written.
pub(super) fn stamp(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|facts| facts.modified()).ok()
}

fn problem(path: &Path, rule: String) -> Problem {
    let remedy = "restore it, or remove it: then every tool counts as new";
    Problem::operator(
        exit::CONFIG,
        "file of pinned tools",
        path.display().to_string(),
        rule,
        remedy,
    )
}
