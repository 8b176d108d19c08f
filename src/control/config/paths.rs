//! Which files and directories a configuration names, and where they are when it names none.

use std::path::{Path, PathBuf};

use super::{Overrides, Parsed};

impl Parsed<'_> {
    pub(super) fn components(&self, overrides: &Overrides) -> Vec<PathBuf> {
        if overrides.components.is_empty() {
            let named = self.document.components.as_deref().unwrap_or_default();
            return named.iter().map(|path| self.relative(path)).collect();
        }
        overrides.components.clone()
    }

    /// The directory is served when it is asked for, or when nothing else is named.
    pub(super) fn component_dir(&self, overrides: &Overrides, named: bool) -> Option<PathBuf> {
        let given = overrides.component_dir.clone();
        let given = given.or_else(|| {
            self.document
                .component_dir
                .as_ref()
                .map(|dir| self.relative(dir))
        });
        given.or_else(|| (!named).then(default_component_dir))
    }

    pub(super) fn cache_dir(&self, overrides: &Overrides) -> PathBuf {
        let key = self.document.cache_dir.as_deref();
        self.directory(overrides.cache_dir.as_deref(), key)
            .unwrap_or_else(|| home("XDG_CACHE_HOME", ".cache").join("margay"))
    }

    pub(super) fn state_dir(&self, overrides: &Overrides) -> PathBuf {
        let key = self.document.state_dir.as_deref();
        self.directory(overrides.state_dir.as_deref(), key)
            .unwrap_or_else(|| home("XDG_STATE_HOME", ".local/state").join("margay"))
    }

    fn directory(&self, flag: Option<&Path>, key: Option<&Path>) -> Option<PathBuf> {
        flag.map(Path::to_owned)
            .or_else(|| key.map(|key| self.relative(key)))
    }

    pub(super) fn relative(&self, path: &Path) -> PathBuf {
        self.path
            .parent()
            .map_or_else(|| path.to_owned(), |folder| folder.join(path))
    }
}

/// Where components are kept unless told otherwise: `$XDG_DATA_HOME/margay/components`.
pub fn default_component_dir() -> PathBuf {
    home("XDG_DATA_HOME", ".local/share").join("margay/components")
}

fn home(variable: &str, below: &str) -> PathBuf {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute(variable)
        .or_else(|| absolute("HOME").map(|home| home.join(below)))
        .unwrap_or_else(std::env::temp_dir)
}
