//! Which policy a component has: the one beside its file, or the one that the configuration names.
//!
//! A policy that cannot be read, or has a fault, keeps its component from being loaded. While a component is served, a faulty change of its
//! policy changes nothing and is logged: what was granted before stays, until the file can be read again or is removed. No policy at all
//! grants nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;

use crate::component::ComponentOptions;
use crate::error::{Problem, exit};
use crate::policy::permission::{Callers, Fault, POLICY_BYTES_MAX, Policy, Profile, Profiles};

use super::config::Config;
use super::harden::Roots;
use super::manifest;

/// What a policy's file has in its name, behind the component's.
pub const SUFFIX: &str = ".policy.yaml";

/// Where the configuration has a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicySource {
    /// In this file.
    File(PathBuf),
    /// In the configuration file itself.
    Inline(Arc<Policy>),
}

/// A narrowing as the configuration has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileOptions {
    /// Its name.
    pub name: String,
    /// Whom it is about.
    pub who: Callers,
    /// Of these, whom it is not about.
    pub except: Option<Callers>,
    /// What it leaves.
    pub policy: PolicySource,
}

/// The policies of all components.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    given: BTreeMap<String, PolicySource>,
    profiles: Profiles,
    directory: PathBuf,
}

impl Policies {
    /// Those of a configuration. Reads the files of the narrowings.
    ///
    /// Errors: one of these files cannot be read or has a fault.
    pub fn new(config: &Config) -> Result<Self, Problem> {
        let profiles = config.permission_profiles.iter().map(|given| {
            let policy = match &given.policy {
                PolicySource::Inline(policy) => Arc::clone(policy),
                PolicySource::File(path) => Arc::new(named(path, Policy::parse_narrowing)?),
            };
            tell_remarks(&policy);
            Ok(Profile {
                name: given.name.as_str().into(),
                who: given.who.clone(),
                except: given.except.clone(),
                policy,
            })
        });
        Ok(Self {
            given: config.component_policies.clone(),
            profiles: Profiles::new(profiles.collect::<Result<_, Problem>>()?),
            directory: config.component_dir.clone().unwrap_or_default(),
        })
    }

    /// Those of a directory, for tests.
    #[cfg(test)]
    pub(super) fn of_directory(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            ..Self::default()
        }
    }

    /// Where the policy of a component of the directory is, if the configuration has none for it.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}{SUFFIX}"))
    }

    /// The narrowings.
    pub fn profiles(&self) -> &Profiles {
        &self.profiles
    }

    /// The policy of the component of this name; `beside` is where it is if the configuration has none.
    ///
    /// Errors: it cannot be read, or has a fault.
    pub fn of(&self, name: &str, beside: &Path) -> Result<Option<Arc<Policy>>, Problem> {
        let policy = match self.given.get(name) {
            Some(given) => {
                if beside.exists() {
                    tracing::warn!(
                        component = name,
                        file = %beside.display(),
                        "is not read: component_options has a policy for this component"
                    );
                }
                match given {
                    PolicySource::Inline(policy) => Some(Arc::clone(policy)),
                    PolicySource::File(path) => Some(Arc::new(named(path, Policy::parse)?)),
                }
            }
            None => read(beside)?.map(Arc::new),
        };
        if let Some(policy) = &policy {
            tell_remarks(policy);
        }
        Ok(policy)
    }

    /// Adds to a component's options what it may reach.
    pub fn complete(
        &self,
        options: ComponentOptions,
        name: &str,
        beside: &Path,
    ) -> Result<ComponentOptions, Problem> {
        Ok(ComponentOptions {
            policy: self.of(name, beside)?,
            profiles: self.profiles.clone(),
            ..options
        })
    }
}

/// What the process has to reach for the policies that there are when it starts: the places that they grant, and where their secrets are.
/// A place that is granted later, outside of all these, is reached once the process is started again.
///
/// A policy that cannot be read is left out: whoever loads its component says what is wrong with it.
pub(super) fn reach(config: &Config) -> Roots {
    let mut roots = Roots::default();
    let mut add = |policy: &Policy| {
        for root in policy.roots() {
            match root.may_write {
                true => roots.write.push(root.path),
                false => roots.read.push(root.path),
            }
        }
        roots.read.extend(policy.secret_files().map(Path::to_owned));
    };
    let beside_named = config.components.iter().map(|component| beside(component));
    let entries = config
        .component_dir
        .iter()
        .filter_map(|directory| std::fs::read_dir(directory).ok());
    let in_directory = entries.flatten().flatten().map(|entry| entry.path());
    let is_policy = |path: &PathBuf| path.to_string_lossy().ends_with(SUFFIX);
    for path in beside_named.chain(in_directory.filter(is_policy)) {
        if let Ok(Some(policy)) = read(&path) {
            add(&policy);
        }
    }
    for source in config.component_policies.values() {
        match source {
            PolicySource::Inline(policy) => add(policy),
            PolicySource::File(path) => named(path, Policy::parse).iter().for_each(&mut add),
        }
    }
    let provisions = config
        .manifest
        .as_deref()
        .map(manifest::read)
        .and_then(Result::ok);
    let mut components = Vec::new();
    for provision in provisions.into_iter().flatten() {
        add(&provision.policy);
        components.push(provision.path);
    }
    let profiles = config
        .permission_profiles
        .iter()
        .map(|profile| &profile.policy);
    let sources = config.component_policies.values().chain(profiles);
    let files = sources.filter_map(|source| match source {
        PolicySource::File(path) => Some(path.clone()),
        PolicySource::Inline(_) => None,
    });
    let files: Vec<PathBuf> = files.chain(components).collect();
    roots.read.extend(files);
    roots
}

/// Where the policy of a component file is: `weather.policy.yaml` beside `weather.wasm`.
pub fn beside(component: &Path) -> PathBuf {
    let mut name = component.file_stem().unwrap_or_default().to_owned();
    name.push(SUFFIX);
    component.with_file_name(name)
}

/// The policy in this file; none, if there is no such file.
///
/// Errors: it cannot be read, or has a fault.
pub fn read(path: &Path) -> Result<Option<Policy>, Problem> {
    match text(path)? {
        Some(text) => parsed(&text, path, Policy::parse).map(Some),
        None => Ok(None),
    }
}

/// The text of this file; none, if there is no such file.
pub fn text(path: &Path) -> Result<Option<String>, Problem> {
    let unreadable = |code, rule: String| {
        let remedy = "make it readable, or remove it: without a policy nothing is granted";
        Problem::operator(code, "policy", path.display().to_string(), rule, remedy)
    };
    let mut text = String::new();
    // A pipe of that name is not waited for.
    let mut options = File::options();
    options
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    let read = options.open(path).and_then(|file| {
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("is not a regular file"));
        }
        file.take(POLICY_BYTES_MAX as u64 + 1)
            .read_to_string(&mut text)
    });
    match read {
        Ok(_) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(exit::NO_INPUT, error.to_string())),
    }
}

/// The policy in a file that somebody named: it has to be there.
pub fn named(
    path: &Path,
    parse: fn(&str, &str, &Path) -> Result<Policy, Fault>,
) -> Result<Policy, Problem> {
    let missing = || {
        let remedy = "name a readable policy file";
        Problem::operator(
            exit::NO_INPUT,
            "policy",
            path.display().to_string(),
            "is not there",
            remedy,
        )
    };
    parsed(&text(path)?.ok_or_else(missing)?, path, parse)
}

/// Reads a policy's text; verdicts name the file without its folder, which is nobody's business who is refused.
pub fn parsed(
    text: &str,
    path: &Path,
    parse: fn(&str, &str, &Path) -> Result<Policy, Fault>,
) -> Result<Policy, Problem> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    parse(text, &name, whole.parent().unwrap_or(&whole)).map_err(|fault| {
        let policy = path.display().to_string().into();
        Fault { policy, ..fault }.into_problem(exit::CONFIG)
    })
}

fn tell_remarks(policy: &Policy) {
    for remark in policy.remarks() {
        tracing::warn!(
            policy = policy.name(),
            line = remark.line,
            "{}",
            remark.text
        );
    }
}
