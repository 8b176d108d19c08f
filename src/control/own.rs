//! Which files are the server's own: those that it reads its orders and keys from, and those that it writes.

use std::path::{Path, PathBuf};

use crate::policy::permission::Own;
use crate::secret::SecretRef;

use super::config::Config;
use super::policies::{self, PolicySource};

/// Those of a configuration, as the system calls them now.
pub fn of(config: &Config) -> Own {
    let mut files: Vec<PathBuf> = config
        .file
        .iter()
        .chain(&config.components)
        .chain(&config.manifest)
        .chain(&config.request_state_key_file)
        .chain(&config.access_log)
        .cloned()
        .collect();
    files.extend(
        config
            .components
            .iter()
            .map(|component| policies::beside(component)),
    );
    files.extend([config.pinning.path.clone(), config.secrets.file.clone()]);
    if let SecretRef::File(identity) = &config.secrets.identity {
        files.push(identity.clone());
    }
    for tls in config.tls.iter().chain(&config.admin_tls) {
        files.extend([tls.cert.clone(), tls.key.clone()]);
        files.extend(tls.client_ca.clone());
    }
    let keys = config.auth.files().chain(config.admin_auth.files());
    files.extend(keys.map(Path::to_owned));
    let profiles = config
        .permission_profiles
        .iter()
        .map(|profile| &profile.policy);
    for source in config.component_policies.values().chain(profiles) {
        if let PolicySource::File(path) = source {
            files.push(path.clone());
        }
    }
    let mut trees = vec![config.cache_dir.clone(), config.state_dir.clone()];
    trees.extend(config.audit.as_ref().map(|audit| audit.directory.clone()));
    let stores: Vec<PathBuf> = config.component_dir.iter().cloned().collect();
    Own::new(names(&files), names(&trees), names(&stores))
}

/// Each as it is called itself, and as what it leads to where it is a link.
fn names(paths: &[PathBuf]) -> Vec<String> {
    let mut names = Vec::new();
    for path in paths {
        let whole = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let itself = match (whole.parent(), whole.file_name()) {
            (Some(parent), Some(name)) => resolved(parent).join(name),
            _ => whole.clone(),
        };
        for name in [itself, resolved(&whole)] {
            // What has another name no policy can name either.
            let name = name.into_os_string().into_string();
            names.extend(name.ok().filter(|name| !names.contains(name)));
        }
    }
    names
}

/// An absolute path without links in it, as far as there is something: that is what a component is asked about.
pub fn resolved(path: &Path) -> PathBuf {
    let mut rest = Vec::new();
    let mut there = path;
    let found = loop {
        match (there.canonicalize(), there.parent(), there.file_name()) {
            (Ok(found), ..) => break found,
            (Err(_), Some(parent), Some(name)) => {
                rest.push(name);
                there = parent;
            }
            _ => return path.to_owned(),
        }
    };
    rest.iter().rev().fold(found, |path, name| path.join(name))
}
