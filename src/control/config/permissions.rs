//! `component_options.X.policy` and `.permissions`, and `permission_profiles:`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::Parsed;
use crate::control::policies::{PolicySource, ProfileOptions};
use crate::error::{Problem, exit};
use crate::policy::pattern::Pattern;
use crate::policy::permission::{Callers, Permissions, Policy, Use};

/// One of `permission_profiles:`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProfileDocument {
    name: String,
    who: Option<CallersDocument>,
    except: Option<CallersDocument>,
    policy: Option<PathBuf>,
    permissions: Option<Permissions>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CallersDocument {
    subjects: Option<Vec<String>>,
    issuers: Option<Vec<String>>,
    scopes: Option<Vec<String>>,
    roles: Option<Vec<String>>,
}

impl CallersDocument {
    /// Errors: the key whose list is empty; nobody could tell whether that is everybody or nobody.
    fn callers(&self) -> Result<Callers, &'static str> {
        let lists = [
            ("subjects", &self.subjects),
            ("issuers", &self.issuers),
            ("scopes", &self.scopes),
            ("roles", &self.roles),
        ];
        for (key, list) in lists {
            if list.as_ref().is_some_and(Vec::is_empty) {
                return Err(key);
            }
        }
        let words = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
        let patterns = |list| words(list).iter().map(|text| Pattern::new(text)).collect();
        Ok(Callers {
            subjects: patterns(&self.subjects),
            issuers: patterns(&self.issuers),
            scopes: words(&self.scopes),
            roles: words(&self.roles),
        })
    }
}

impl Parsed<'_> {
    pub(super) fn component_policies(&self) -> Result<BTreeMap<String, PolicySource>, Problem> {
        let mut policies = BTreeMap::new();
        for (name, given) in &self.document.component_options {
            let inline = given.permissions.as_ref();
            let key = format!("component_options.{name}");
            let line = inline.map(|inline| inline.referenced.line());
            let source = self.policy_source(
                &key,
                line,
                given.policy.as_deref(),
                inline.map(|inline| inline.value.as_ref()),
                Use::Grant,
            )?;
            policies.extend(source.map(|source| (name.clone(), source)));
        }
        Ok(policies)
    }

    pub(super) fn permission_profiles(&self) -> Result<Vec<ProfileOptions>, Problem> {
        let mut names = BTreeSet::new();
        let read = |given: &Spanned<ProfileDocument>| {
            let (line, profile) = (Some(given.referenced.line()), &given.value);
            let key = format!("permission_profiles.{}", profile.name);
            if profile.name.is_empty() || !names.insert(profile.name.clone()) {
                let rule = "is the name of another profile, or empty";
                return Err(self.problem(
                    line,
                    "permission_profiles",
                    &profile.name,
                    rule,
                    "give it a name of its own",
                ));
            }
            let callers = |document: &CallersDocument| {
                document.callers().map_err(|empty| {
                    self.problem(
                        line,
                        &key,
                        empty,
                        "is an empty list",
                        "name somebody, or leave the key out",
                    )
                })
            };
            let permissions = profile.permissions.as_ref();
            let source = self.policy_source(
                &key,
                line,
                profile.policy.as_deref(),
                permissions.map(Some),
                Use::Narrow,
            )?;
            let except = profile.except.as_ref().map(callers).transpose()?;
            if except.as_ref().is_some_and(Callers::is_empty) {
                let remedy = "name somebody, or leave the key out";
                return Err(self.problem(line, &key, "except", "excepts everybody", remedy));
            }
            Ok(ProfileOptions {
                name: profile.name.clone(),
                who: profile
                    .who
                    .as_ref()
                    .map(callers)
                    .transpose()?
                    .unwrap_or_default(),
                except,
                policy: source.ok_or_else(|| {
                    let remedy = "add policy: FILE, or permissions:";
                    self.problem(line, &key, "", "narrows nothing", remedy)
                })?,
            })
        };
        self.document
            .permission_profiles
            .iter()
            .flatten()
            .map(read)
            .collect()
    }

    /// The policy that stands there: a file's name, or its permissions.
    fn policy_source(
        &self,
        key: &str,
        line: Option<u64>,
        file: Option<&Path>,
        inline: Option<Option<&Permissions>>,
        what_for: Use,
    ) -> Result<Option<PolicySource>, Problem> {
        match (file, inline) {
            (None, None) => Ok(None),
            (Some(file), None) => Ok(Some(PolicySource::File(self.relative(file)))),
            (Some(_), Some(_)) => {
                let rule = "has both policy and permissions";
                Err(self.problem(line, key, "", rule, "keep one of them"))
            }
            (None, Some(permissions)) => {
                let path = std::path::absolute(self.path).unwrap_or_else(|_| self.path.to_owned());
                let name = self.path.file_name().unwrap_or_default().to_string_lossy();
                let base = path.parent().unwrap_or(&path);
                let policy = Policy::of(permissions, &name, base, what_for);
                let policy = policy.map_err(|fault| fault.into_problem(exit::CONFIG))?;
                Ok(Some(PolicySource::Inline(Arc::new(policy))))
            }
        }
    }
}
