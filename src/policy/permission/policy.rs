//! A policy that was read: its lines, ready to decide.

use std::path::Path;
use std::sync::Arc;

use serde_saphyr::Spanned;

use super::Decide;
use super::ask::{Ask, By, Verdict};
use super::document::{
    Environment, File, Network, NetworkEntry, Permissions, Storage, StorageEntry,
};
use super::fault::{Fault, Remark, Wrong, unreadable};
use super::inject::{Injection, based, no_place};
use super::network::{self, Connection, NOT_NARROWED, Request};
use super::resources::{self, Budgets};
use super::rule::Rule;
use super::storage::{self, Entry, Root};
use crate::secret::SecretRef;

/// Bytes of a policy: a hundred times what a long one has.
pub const POLICY_BYTES_MAX: usize = 1 << 20;

/// Lines of one list. Each may be looked at for each decision.
const LINE_COUNT_MAX: usize = 1_000;

/// What a policy is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It grants to a component: what no line allows is denied.
    Grant,
    /// It narrows what was granted, for some callers: an allow list that is not there narrows nothing.
    Narrow,
}

/// Where the value of a variable comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The variable of this name of our own environment, or what the operator set for the component.
    Own,
    /// Another variable of our own environment.
    Variable(Box<str>),
    /// A secret.
    Secret(SecretRef),
}

/// A variable that a component may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// The name it sees.
    pub key: Box<str>,
    /// Where the value comes from.
    pub source: Source,
    by: By,
}

impl Variable {
    pub(super) fn by(&self) -> &By {
        &self.by
    }
}

/// A policy. Immutable; several calls share one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    name: Arc<str>,
    description: Option<String>,
    storage: storage::Lines,
    network: network::Lines,
    environment: Vec<Variable>,
    is_environment_open: bool,
    budgets: Budgets,
    remarks: Vec<Remark>,
}

impl Policy {
    /// Reads a policy file.
    ///
    /// Shape: `name` is for messages and verdicts; relative `fs://` addresses and secrets' files are below `base`.
    /// Errors: the first thing that is wrong, with its line.
    pub fn parse(text: &str, name: &str, base: &Path) -> Result<Self, Fault> {
        let file = read_file(text, name)?;
        let mut policy = Self::of(file.permissions.value.as_ref(), name, base, Use::Grant)?;
        policy.description = file.description;
        Ok(policy)
    }

    /// The same for a file that narrows.
    pub fn parse_narrowing(text: &str, name: &str, base: &Path) -> Result<Self, Fault> {
        let file = read_file(text, name)?;
        Self::of(file.permissions.value.as_ref(), name, base, Use::Narrow)
    }

    /// Of `permissions:` that stand in another document.
    pub fn of(
        permissions: Option<&Permissions>,
        name: &str,
        base: &Path,
        what_for: Use,
    ) -> Result<Self, Fault> {
        let reading = Reading {
            name: name.into(),
            base,
            narrows: what_for == Use::Narrow,
        };
        match permissions {
            Some(permissions) => reading.policy(permissions),
            None => reading.policy(&Permissions::default()),
        }
    }

    /// One that allows nothing.
    pub fn nothing(name: &str) -> Self {
        Self {
            name: name.into(),
            description: None,
            storage: storage::Lines::default(),
            network: network::Lines::default(),
            environment: Vec::new(),
            is_environment_open: false,
            budgets: Budgets::default(),
            remarks: Vec::new(),
        }
    }

    /// Its file or name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it says that it is for.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// What it says and is not enforced.
    pub fn remarks(&self) -> &[Remark] {
        &self.remarks
    }

    /// The places of the storage that it allows something in.
    pub fn roots(&self) -> Vec<Root> {
        self.storage.roots()
    }

    /// The places that it allows something in and that depend on where its file is, as it names them.
    pub fn relative(&self) -> impl Iterator<Item = String> {
        let guests = self.roots().into_iter().map(|root| root.guest);
        guests.filter(|guest| !guest.starts_with('/'))
    }

    /// The variables that it allows.
    pub fn environment(&self) -> &[Variable] {
        &self.environment
    }

    /// What one call may use up.
    pub fn budgets(&self) -> Budgets {
        self.budgets
    }

    /// Every header that it adds to some request.
    pub fn injections(&self) -> impl Iterator<Item = &Injection> {
        self.network
            .allow
            .iter()
            .filter_map(|rule| rule.injection.as_ref())
    }

    /// The files that its secrets are in.
    pub fn secret_files(&self) -> impl Iterator<Item = &Path> {
        let injected = self.injections().map(|injection| &injection.secret);
        let seen = self
            .environment
            .iter()
            .filter_map(|variable| match &variable.source {
                Source::Secret(secret) => Some(secret),
                Source::Own | Source::Variable(_) => None,
            });
        injected.chain(seen).filter_map(|secret| match secret {
            SecretRef::File(path) => Some(path.as_path()),
            _ => None,
        })
    }

    /// Whether it lets anything out to the network at all.
    pub fn has_network(&self) -> bool {
        self.network.is_open || !self.network.allow.is_empty()
    }

    /// The headers to add to a request that was allowed; empty for any other question.
    pub fn injections_for(&self, ask: &Ask<'_>) -> Vec<&Injection> {
        match request(ask) {
            Some(request) => self.network.injections(&request),
            None => Vec::new(),
        }
    }

    pub(super) fn storage(&self) -> &storage::Lines {
        &self.storage
    }

    pub(super) fn network(&self) -> &network::Lines {
        &self.network
    }

    fn variable(&self, key: &str) -> Verdict {
        if self.is_environment_open {
            return Verdict::allowed(NOT_NARROWED);
        }
        match self
            .environment
            .iter()
            .find(|variable| *variable.key == *key)
        {
            Some(variable) => Verdict::allowed(variable.by.clone()),
            None => Verdict::denied(By::NoRule),
        }
    }
}

fn request<'a>(ask: &Ask<'a>) -> Option<Request<'a>> {
    let Ask::Http {
        method,
        scheme,
        host,
        port,
        path,
    } = *ask
    else {
        return None;
    };
    Some(Request {
        method,
        scheme,
        host,
        port,
        path,
    })
}

impl Decide for Policy {
    fn decide(&self, ask: &Ask<'_>) -> Verdict {
        match *ask {
            Ask::Http { .. } => match request(ask) {
                Some(request) => self.network.request(&request),
                None => Verdict::denied(By::NoRule),
            },
            Ask::Address {
                host,
                address,
                port,
                scheme,
                protocol,
            } => self.network.connection(&Connection {
                host,
                address,
                port,
                scheme,
                protocol,
            }),
            Ask::Resolve { name } => self.network.name(name),
            Ask::Path { access, path } => self.storage.path(access, path),
            Ask::Environment { key } => self.variable(key),
        }
    }
}

fn read_file(text: &str, name: &str) -> Result<File, Fault> {
    let policy: Arc<str> = name.into();
    if text.len() > POLICY_BYTES_MAX {
        let wrong = Wrong::new(
            format!("{} bytes", text.len()),
            "is more than 1 MiB",
            "write it shorter",
        );
        return Err(wrong.at(&policy, 0));
    }
    let options = serde_saphyr::options! {
        with_snippet: false,
        reject_unsupported_tags: true,
        merge_keys: serde_saphyr::MergeKeyPolicy::Error,
    };
    let file: File = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| unreadable(&policy, &error))?;
    if !file.version.value.0.starts_with("1.") {
        let version = &file.version;
        let rule = "is a version of policies that is not read here";
        let wrong = Wrong::new(&version.value.0, rule, "write version: \"1.0\"");
        return Err(wrong.at(&policy, version.referenced.line()));
    }
    Ok(file)
}

/// A document on its way to a policy.
struct Reading<'b> {
    name: Arc<str>,
    base: &'b Path,
    narrows: bool,
}

impl Reading<'_> {
    fn policy(self, permissions: &Permissions) -> Result<Policy, Fault> {
        let mut remarks = Vec::new();
        let mut remark = |line: u64, text: &str| {
            let text = text.to_owned();
            remarks.push(Remark { line, text });
        };
        if let Some(runtime) = &permissions.runtime {
            remark(
                runtime.referenced.line(),
                "runtime is not enforced: components run in WebAssembly, in no container and no virtual machine",
            );
        }
        let ipc = permissions
            .ipc
            .as_ref()
            .and_then(|ipc| Some((ipc, ipc.value.as_ref()?)));
        if let Some((ipc, given)) = ipc {
            let text = match (&given.allow, &given.deny) {
                (Some(allow), _) if !allow.is_empty() => {
                    "ipc.allow grants nothing: components reach no pipe or local socket"
                }
                _ => "ipc.deny is always so: components reach no pipe or local socket",
            };
            remark(ipc.referenced.line(), text);
        }
        let budgets = match permissions.resources.as_ref().and_then(Option::as_ref) {
            Some(given) => resources::read(given, &self.name, &mut remarks)?,
            None => Budgets::default(),
        };
        let (environment, is_environment_open) =
            self.environment(permissions.environment.as_ref())?;
        Ok(Policy {
            storage: self.storage(permissions.storage.as_ref())?,
            network: self.network(permissions.network.as_ref())?,
            environment,
            is_environment_open,
            budgets,
            remarks,
            description: None,
            name: self.name,
        })
    }

    fn storage(&self, section: Option<&Spanned<Option<Storage>>>) -> Result<storage::Lines, Fault> {
        let given = section.and_then(|section| section.value.as_ref());
        let list = |list: Option<&Vec<Spanned<StorageEntry>>>, is_allow| {
            let list = list.map(Vec::as_slice).unwrap_or_default();
            self.list(list, |given| {
                let mut entry = Entry::parse(&given.value, is_allow, self.base)?;
                entry.by = self.by(given.referenced.line(), &entry.text);
                Ok(entry)
            })
        };
        Ok(storage::Lines {
            allow: list(given.and_then(|given| given.allow.as_ref()), true)?,
            deny: list(given.and_then(|given| given.deny.as_ref()), false)?,
            is_open: self.is_open(
                section.is_some(),
                given.map(|given| (given.allow.is_some(), given.deny.is_some())),
            ),
        })
    }

    fn network(&self, section: Option<&Spanned<Option<Network>>>) -> Result<network::Lines, Fault> {
        let given = section.and_then(|section| section.value.as_ref());
        let list = |list: Option<&Vec<Spanned<NetworkEntry>>>, is_allow| {
            let list = list.map(Vec::as_slice).unwrap_or_default();
            self.list(list, |given| {
                let mut rule = Rule::parse(&given.value, is_allow)?;
                if rule.injection.is_some() && self.narrows {
                    let rule = "stands in what narrows permissions";
                    return Err(Wrong::new(
                        "inject",
                        rule,
                        "write it in the component's policy",
                    ));
                }
                rule.injection = rule.injection.map(|injection| injection.at(self.base));
                rule.by = self.by(given.referenced.line(), &rule.text);
                Ok(rule)
            })
        };
        Ok(network::Lines {
            allow: list(given.and_then(|given| given.allow.as_ref()), true)?,
            deny: list(given.and_then(|given| given.deny.as_ref()), false)?,
            is_open: self.is_open(
                section.is_some(),
                given.map(|given| (given.allow.is_some(), given.deny.is_some())),
            ),
        })
    }

    fn environment(
        &self,
        section: Option<&Spanned<Option<Environment>>>,
    ) -> Result<(Vec<Variable>, bool), Fault> {
        let given = section.and_then(|section| section.value.as_ref());
        let allow = given.and_then(|given| given.allow.as_ref());
        let mut variables: Vec<Variable> = Vec::new();
        let list = allow.map(Vec::as_slice).unwrap_or_default();
        for variable in self.list(list, |given| {
            let source = source(&given.value, self.base)?;
            if self.narrows && source != Source::Own {
                let rule = "has a source in what narrows permissions";
                return Err(Wrong::new(&given.value.key, rule, "write the key alone"));
            }
            let text = format!("allow env {}", given.value.key);
            Ok((
                given.referenced.line(),
                Variable {
                    key: given.value.key.as_str().into(),
                    source,
                    by: self.by(given.referenced.line(), &text),
                },
            ))
        })? {
            let (line, variable) = variable;
            if variables.iter().any(|other| other.key == variable.key) {
                let rule = "stands above already";
                return Err(
                    Wrong::new(&*variable.key, rule, "keep one of them").at(&self.name, line)
                );
            }
            variables.push(variable);
        }
        let is_open = self.is_open(
            section.is_some(),
            given.map(|given| (given.allow.is_some(), false)),
        );
        Ok((variables, is_open))
    }

    /// Whether what no line denies passes: in a narrowing, where no allow list was written. An empty section is an empty list.
    fn is_open(&self, is_written: bool, lists: Option<(bool, bool)>) -> bool {
        self.narrows && (!is_written || lists == Some((false, true)))
    }

    fn list<T, R>(
        &self,
        list: &[Spanned<T>],
        mut read: impl FnMut(&Spanned<T>) -> Result<R, Wrong>,
    ) -> Result<Vec<R>, Fault> {
        if let Some(past) = list.get(LINE_COUNT_MAX) {
            let wrong = Wrong::new(
                list.len().to_string(),
                "is more than the 1000 entries of a list",
                "join some of them",
            );
            return Err(wrong.at(&self.name, past.referenced.line()));
        }
        let read = |given: &Spanned<T>| {
            read(given).map_err(|wrong| wrong.at(&self.name, given.referenced.line()))
        };
        list.iter().map(read).collect()
    }

    fn by(&self, line: u64, text: &str) -> By {
        By::Line {
            policy: Arc::clone(&self.name),
            line,
            text: text.into(),
        }
    }
}

fn source(variable: &super::document::Variable, base: &Path) -> Result<Source, Wrong> {
    let is_name = |name: &str| !name.is_empty() && !name.contains(['*', '=', '\0']);
    let key = &variable.key;
    if !is_name(key) {
        let rule = "is not a variable's name, and there are no wildcards here";
        return Err(Wrong::new(key, rule, "name one variable"));
    }
    match (&variable.value_from, &variable.secret) {
        (Some(_), Some(_)) => {
            let rule = "has both value_from and secret";
            Err(Wrong::new(key, rule, "keep one of them"))
        }
        (Some(from), None) if is_name(from) => Ok(Source::Variable(from.as_str().into())),
        (Some(from), None) => Err(Wrong::new(
            from,
            "is not a variable's name",
            "name one variable",
        )),
        (None, Some(secret)) => Ok(Source::Secret(based(
            secret.place().ok_or_else(no_place)?,
            base,
        ))),
        (None, None) => Ok(Source::Own),
    }
}
