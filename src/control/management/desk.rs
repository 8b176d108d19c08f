//! What the management tools do: to the component directory, and to the policies beside its components.

use std::path::Path;

use serde_json::{Value, json};

use super::tools::{self, Order, Permission};
use crate::control::config::Config;
use crate::control::loading;
use crate::control::policies::PolicySource;
use crate::control::store::{Loaded, Manifest, Store};
use crate::error::{Problem, exit};
use crate::policy::permission::{Access, Change};

/// The component directory and what it takes to change it.
#[derive(Debug)]
pub struct Desk {
    config: Config,
    store: Store,
}

impl Desk {
    /// A desk over the component directory of a configuration.
    pub fn new(config: &Config) -> Self {
        let directory = config.component_dir.clone();
        let directory = directory.unwrap_or_else(crate::control::config::default_component_dir);
        Self {
            config: config.clone(),
            store: Store::new(directory),
        }
    }

    pub(super) fn json_depth_max(&self) -> usize {
        self.config.limits.json_depth_max
    }

    pub(super) fn body_bytes_max(&self) -> usize {
        self.config.limits.body_bytes_max
    }

    pub(super) fn session_count_max(&self) -> usize {
        self.config.limits.session_count_max
    }

    /// Does what was ordered; the text of the answer. Blocks, for seconds where it compiles.
    ///
    /// Errors: the text that says what could not be done, and why.
    pub(super) fn carry_out(&self, order: &Order) -> Result<String, String> {
        let done = match order {
            Order::Load { path } => self.load(path),
            Order::Unload { id } => return self.unload(id),
            Order::List => self.list("", 0, usize::MAX),
            Order::Search {
                query,
                offset,
                limit,
            } => self.list(query, *offset, *limit),
            Order::GetPolicy { id } => self.policy(id),
            Order::Grant { id, what } => self.grant(id, what),
            Order::Revoke { id, what } => self.revoke(id, what),
            Order::Reset { id } => self
                .change(id, &Change::Reset)
                .map(|()| json!({"status": "permission reset", "component_id": id})),
        };
        match done {
            Ok(answer) => Ok(answer.to_string()),
            Err(problem) => Err(problem.to_string()),
        }
    }

    fn load(&self, path: &str) -> Result<Value, Problem> {
        let file = local(path)?;
        let loaded = loading::load(&self.config, &self.store, Path::new(file), None)?;
        let (status, manifest) = match &loaded {
            Loaded::New(manifest) | Loaded::Unchanged(manifest) => {
                ("component loaded successfully", manifest)
            }
            Loaded::Replaced { new, .. } => ("component reloaded successfully", new),
        };
        Ok(json!({"status": status, "id": manifest.name, "tools": manifest.tools}))
    }

    fn unload(&self, id: &str) -> Result<String, String> {
        let removed = loading::remove(&self.store, id);
        match removed {
            Ok(manifest) => {
                let answer =
                    json!({"status": "component unloaded successfully", "id": manifest.name});
                Ok(answer.to_string())
            }
            Err(problem) => {
                let message = problem.to_string();
                Err(json!({"status": "error", "message": message, "id": id}).to_string())
            }
        }
    }

    /// Whether a component has a policy, and where it is; never what it says.
    fn policy(&self, id: &str) -> Result<Value, Problem> {
        let manifest = self.store.inspect(id)?;
        let path = match self.config.component_policies.get(&manifest.name) {
            None => self.store.policy_path(&manifest.name),
            Some(PolicySource::File(path)) => path.clone(),
            Some(PolicySource::Inline(_)) => self.config.file.clone().unwrap_or_default(),
        };
        let Ok(facts) = std::fs::metadata(&path) else {
            return Ok(json!({"status": "no policy found", "component_id": id}));
        };
        let since = |time: std::time::SystemTime| time.duration_since(std::time::UNIX_EPOCH).ok();
        let created_at = facts
            .modified()
            .ok()
            .and_then(since)
            .map_or(0, |time| time.as_secs());
        let path = path.display().to_string();
        let info = json!({
            "policy_id": format!("{}-policy", manifest.name),
            "source_uri": format!("file://{path}"),
            "local_path": path,
            "created_at": created_at,
        });
        Ok(json!({"status": "policy found", "component_id": id, "policy_info": info}))
    }

    fn grant(&self, id: &str, what: &Permission) -> Result<Value, Problem> {
        let (kind, details, change) = match what {
            Permission::Storage { uri, access } => {
                let words = access.iter().map(|access| match access {
                    tools::Access::Read => ("read", Access::Read),
                    tools::Access::Write => ("write", Access::Write),
                });
                let (names, access): (Vec<&str>, Vec<Access>) = words.unzip();
                let change = Change::GrantStorage {
                    uri: uri.clone(),
                    access,
                };
                ("storage", json!({"uri": uri, "access": names}), change)
            }
            Permission::Network { host } => {
                let change = Change::GrantNetwork { host: host.clone() };
                ("network", json!({"host": host}), change)
            }
            Permission::Environment { key } => {
                let change = Change::GrantEnvironment { key: key.clone() };
                ("environment", json!({"key": key}), change)
            }
        };
        self.change(id, &change)?;
        Ok(
            json!({"status": "permission granted", "component_id": id, "permission_type": kind, "details": details}),
        )
    }

    fn revoke(&self, id: &str, what: &Permission) -> Result<Value, Problem> {
        let (kind, details, change) = match what {
            Permission::Storage { uri, .. } => {
                let change = Change::RevokeStorage { uri: uri.clone() };
                ("storage", json!({"uri": uri}), change)
            }
            Permission::Network { host } => {
                let change = Change::RevokeNetwork { host: host.clone() };
                ("network", json!({"host": host}), change)
            }
            Permission::Environment { key } => {
                let change = Change::RevokeEnvironment { key: key.clone() };
                ("environment", json!({"key": key}), change)
            }
        };
        self.change(id, &change)?;
        Ok(
            json!({"status": "permission revoked", "component_id": id, "permission_type": kind, "details": details}),
        )
    }

    fn change(&self, id: &str, change: &Change) -> Result<(), Problem> {
        let name = self.store.inspect(id)?.name;
        if self.config.component_policies.contains_key(&name) {
            let rule = "has its policy in the configuration (component_options), which these tools do not change";
            return Err(Problem::operator(
                exit::CONFIG,
                "component",
                name,
                rule,
                "change it there",
            ));
        }
        self.store.change_policy(&name, change).map(drop)
    }

    /// The components whose name, or a tool's, has this in it.
    fn list(&self, query: &str, offset: usize, limit: usize) -> Result<Value, Problem> {
        let query = query.to_lowercase();
        let has_it = |text: &String| text.to_lowercase().contains(&query);
        let listing = self.store.list()?;
        let found: Vec<&Manifest> = listing
            .manifests
            .iter()
            .filter(|manifest| has_it(&manifest.name) || manifest.tools.iter().any(has_it))
            .collect();
        let page = found.iter().skip(offset).take(limit);
        let runtime = loading::runtime(&self.config)?;
        let shown = page.map(|manifest| {
            let bytes = self.store.read(manifest)?;
            let component = runtime
                .load(&manifest.name, &bytes)
                .map_err(|error| error.into_problem(manifest.name.clone()))?;
            let tools = component.tools().iter().map(|tool| {
                json!({
                    "name": tool.name(),
                    "description": tool.description(),
                    "inputSchema": tool.input_schema(),
                    "outputSchema": tool.output_schema(),
                })
            });
            let listed = component.definitions();
            let listed = listed.tools.iter().map(|tool| {
                let mut whole = tool.entry.to_value();
                whole["name"] = tool.name.as_ref().into();
                whole
            });
            let tools: Vec<Value> = tools.chain(listed).collect();
            Ok(json!({"id": manifest.name, "tools_count": tools.len(), "schema": {"tools": tools}}))
        });
        let shown: Vec<Value> = shown.collect::<Result<_, Problem>>()?;
        let total = found.len();
        let next_offset = offset.saturating_add(limit);
        let mut answer = json!({"components": shown, "total": total});
        if next_offset < total {
            answer["next_offset"] = next_offset.into();
        }
        Ok(answer)
    }
}

/// The path of a `file://` address, or one that stands for itself.
fn local(address: &str) -> Result<&str, Problem> {
    let wrong = |rule: &str, remedy: &str| {
        let code = crate::error::exit::USAGE;
        Err(Problem::operator(code, "path", address, rule, remedy))
    };
    let path = match address.split_once("://") {
        None => address,
        Some(("file", path)) => path,
        Some(_) => {
            let remedy = "fetch it to a file, and name that with file://";
            return wrong("is not a file of this machine", remedy);
        }
    };
    if !Path::new(path).is_absolute() {
        return wrong("is not absolute", "write it like file:///srv/weather.wasm");
    }
    Ok(path)
}
