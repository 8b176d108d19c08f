//! `secrets:`: the encrypted store.

use std::path::PathBuf;

use serde::Deserialize;

use crate::control::secrets::StorePlace;

use super::secret_document::SecretRefDocument;
use super::{Overrides, Parsed};

/// `secrets:` as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SecretsDocument {
    pub(super) file: Option<PathBuf>,
    pub(super) identity: Option<SecretRefDocument>,
}

impl Parsed<'_> {
    /// The store: in the state directory, unless another place is named.
    pub(super) fn secrets(&self, overrides: &Overrides) -> StorePlace {
        let mut place = StorePlace::of(&self.state_dir(overrides));
        let Some(document) = &self.document.secrets else {
            return place;
        };
        if let Some(file) = &document.file {
            place.file = self.relative(file);
        }
        if let Some(identity) = &document.identity {
            place.identity = identity.place(|path| self.relative(path));
            place.makes_identity = false;
        }
        place
    }
}
