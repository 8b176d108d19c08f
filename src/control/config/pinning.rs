//! `pinning:` and `sanitize:`.

use std::path::PathBuf;

use serde::Deserialize;

use super::Parsed;
use crate::control::pins::{OnChange, PinOptions};

/// The file's name in the state directory.
const FILE: &str = "pins.json";

/// `pinning:` as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PinningDocument {
    mode: Option<ModeName>,
    new: Option<NewName>,
    file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ModeName {
    Off,
    Alert,
    Block,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum NewName {
    Accept,
    Block,
}

/// `sanitize:` as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SanitizeDocument {
    descriptions: Option<bool>,
    outputs: Option<bool>,
}

/// Where texts are made harmless for terminals and readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sanitize {
    /// In lists.
    pub descriptions: bool,
    /// In what tools answer.
    pub outputs: bool,
}

impl Parsed<'_> {
    /// How tools are pinned. Where others can reach the listener, a change blocks unless somebody says otherwise.
    pub(super) fn pinning(&self, state_dir: PathBuf, is_exposed: bool) -> PinOptions {
        let document = &self.document.pinning;
        PinOptions {
            on_change: match document.mode {
                Some(ModeName::Off) => OnChange::Ignore,
                Some(ModeName::Alert) => OnChange::Alert,
                Some(ModeName::Block) => OnChange::Block,
                None if is_exposed => OnChange::Block,
                None => OnChange::Alert,
            },
            accepts_new: !matches!(document.new, Some(NewName::Block)),
            path: match &document.file {
                Some(path) => self.relative(path),
                None => state_dir.join(FILE),
            },
        }
    }

    pub(super) fn sanitize(&self) -> Sanitize {
        let document = &self.document.sanitize;
        Sanitize {
            descriptions: document.descriptions.unwrap_or(true),
            outputs: document.outputs.unwrap_or(true),
        }
    }
}
