//! What is served: the components named by the operator, those of the directory, what upstreams offer, and the demo while there is
//! nothing else.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::audit::{Audit, Kind};
use crate::catalog::pin::Judge;
use crate::catalog::{Catalog, Sources};
use crate::component::{Component, ComponentOptions, ComponentSecrets, Runtime, RuntimeOptions};
use crate::error::Problem;

use super::audit;
use super::config::Config;
use super::manifest::{self, Provision};
use super::own;
use super::pins::{OnChange, Pins};
use super::policies::{self, Policies};
use super::secrets::Secrets;
use super::store::{Change, Store, Watch};
use super::upstreams::OfferSet;

/// The components in force, and where each came from.
#[derive(Debug, Default)]
pub struct ComponentSet {
    named: Vec<Arc<Component>>,
    stored: BTreeMap<String, Arc<Component>>,
    demo: Vec<Arc<Component>>,
    generation: u64,
    list_page_max: usize,
    options: BTreeMap<String, ComponentOptions>,
    policies: Policies,
    upstreams: OfferSet,
    pins: Option<Arc<Pins>>,
    audit: Audit,
    neutralises: bool,
}

impl ComponentSet {
    /// A set of these, for tests.
    #[cfg(test)]
    pub(crate) fn of(named: Vec<Arc<Component>>) -> Self {
        Self {
            named,
            list_page_max: 100,
            ..Self::default()
        }
    }

    /// All of them: named ones first, as they were named, then the directory's by name.
    pub fn all(&self) -> Vec<Arc<Component>> {
        let given: Vec<_> = self
            .named
            .iter()
            .chain(self.stored.values())
            .cloned()
            .collect();
        if given.is_empty() {
            self.demo.clone()
        } else {
            given
        }
    }

    /// Loads what was added and forgets what was removed. Compiles: blocks.
    ///
    /// Errors: one for each component that could not be loaded. Its predecessor, if it replaces one, stays.
    pub fn apply(&mut self, runtime: &Runtime, change: &Change) -> Vec<Problem> {
        let mut problems = change.damaged.clone();
        let mut failed = Vec::new();
        for (manifest, bytes) in &change.added {
            let is_repoliced = change.repoliced.contains(&manifest.name);
            let told = |detail: &str| {
                let (name, digest) = (&manifest.name, &manifest.digest);
                let kind = match is_repoliced {
                    true => Kind::ConfigurationChanged,
                    false => Kind::ComponentLoad,
                };
                audit::component(&self.audit, kind, name, digest, detail);
            };
            let beside = self.policies.beside(&manifest.name);
            let loaded = self
                .options_of(&manifest.name, &beside)
                .and_then(|options| {
                    let loaded = runtime.load_with(&manifest.name, bytes, options);
                    loaded.map_err(|error| {
                        error.into_problem(format!("{} ({})", manifest.name, manifest.source))
                    })
                });
            match loaded {
                Ok(component) => {
                    told("");
                    let before = self
                        .stored
                        .insert(manifest.name.clone(), Arc::clone(&component));
                    if let Some(before) = before {
                        before.supersede(Some(&component));
                    }
                    // What was only there for a first try does not come back in the life of this process.
                    self.demo.clear();
                }
                Err(problem) => {
                    failed.push(manifest.name.as_str());
                    told(&problem.to_string());
                    problems.push(problem);
                }
            }
        }
        for manifest in &change.removed {
            let replaced = change
                .added
                .iter()
                .any(|(new, _)| new.name == manifest.name);
            if !replaced && !failed.contains(&manifest.name.as_str()) {
                if let Some(before) = self.stored.remove(&manifest.name) {
                    before.supersede(None);
                }
                let (name, digest) = (&manifest.name, &manifest.digest);
                audit::component(&self.audit, Kind::ComponentUnload, name, digest, "");
            }
        }
        problems
    }

    /// The component with this id, if it is in force.
    pub fn find(&self, id: u64) -> Option<Arc<Component>> {
        self.all()
            .into_iter()
            .find(|component| component.id() == id)
    }

    /// What was chosen about a component, with its policy; `beside` is where that is if the configuration has none.
    fn options_of(&self, name: &str, beside: &Path) -> Result<ComponentOptions, Problem> {
        let options = self.options.get(name).cloned().unwrap_or_default();
        self.policies.complete(options, name, beside)
    }

    /// Loads a component file that was named.
    fn load_named(&mut self, runtime: &Runtime, path: &Path) -> Result<(), Problem> {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let options = self.options_of(&name, &policies::beside(path))?;
        let loaded = runtime.load_file_with(path, |_| options);
        self.named
            .push(loaded.map_err(|error| error.into_problem(path.display().to_string()))?);
        Ok(())
    }

    /// Loads a component of a manifest: the bytes that are checked are those that are loaded.
    fn load_provision(
        &mut self,
        runtime: &Runtime,
        config: &Config,
        provision: &Provision,
    ) -> Result<(), Problem> {
        let bytes = provision.read(&config.limits)?;
        let options = self
            .options
            .get(&provision.name)
            .cloned()
            .unwrap_or_default();
        let options = ComponentOptions {
            policy: Some(Arc::clone(&provision.policy)),
            profiles: self.policies.profiles().clone(),
            ..options
        };
        let loaded = runtime.load_with(&provision.name, &bytes, options);
        self.named.push(
            loaded.map_err(|error| error.into_problem(provision.path.display().to_string()))?,
        );
        Ok(())
    }

    /// Warns of options for components that are not there: they may come later, or their name is misspelt.
    fn warn_of_unused_options(&self) {
        let components = self.all();
        for name in self.options.keys() {
            if components.iter().all(|component| component.name() != name) {
                tracing::warn!(
                    component = name,
                    "has options (component_options) and is not there; its options count once it is loaded"
                );
            }
        }
    }

    /// From now on this audit log is told what is loaded and removed; at once, what is there already.
    pub fn tell(&mut self, audit: Audit) {
        for component in self.all() {
            let (name, digest) = (component.name(), component.digest());
            audit::component(&audit, Kind::ComponentLoad, name, digest, "");
        }
        self.audit = audit;
    }

    /// From now on the pins of this configuration say what may be offered.
    ///
    /// Errors: their file cannot be read.
    pub fn pin(&mut self, config: &Config, audit: Audit) -> Result<(), Problem> {
        if config.pinning.on_change != OnChange::Ignore {
            let pins = Pins::open(config.pinning.clone(), audit)?;
            self.pins = Some(Arc::new(pins));
        }
        Ok(())
    }

    /// The pins, if tools are pinned.
    pub fn pins(&self) -> Option<Arc<Pins>> {
        self.pins.clone()
    }

    /// What upstreams offer beside the components.
    pub fn upstreams(&mut self) -> &mut OfferSet {
        &mut self.upstreams
    }

    /// The catalogue of all that is in force, with the next generation number.
    pub fn catalog(&mut self) -> Catalog {
        self.generation += 1;
        let sources = Sources {
            components: &self.all(),
            offers: &self.upstreams.offers(),
            unlisted: &self.upstreams.unlisted(),
            missing: &self.upstreams.missing(),
            judge: self.pins.as_deref().map(|pins| pins as &dyn Judge),
            neutralises: self.neutralises,
        };
        let catalog = Catalog::build_of(sources, self.generation, self.list_page_max);
        if let Some(pins) = &self.pins {
            pins.save();
        }
        catalog
    }
}

/// Everything that has to be loaded before the first request.
pub struct Prepared {
    /// The WebAssembly runtime.
    pub runtime: Arc<Runtime>,
    /// The components.
    pub set: ComponentSet,
    /// The directory as it was seen, if one is watched.
    pub watch: Option<Watch>,
}

/// Makes the runtime and loads the components. Compiles: blocks, and must not be called inside an async context.
///
/// Errors: the host is not fit for the runtime, or a component that was named cannot be loaded. A bad one in the directory is logged and
/// left out: it must not keep the others from being served.
pub fn prepare(config: &Config, secrets: &Secrets) -> Result<Prepared, Problem> {
    let options = RuntimeOptions {
        cache_dir: Some(config.cache_dir.clone()),
        worker_count: config.workers,
        shard_count: config.shards,
        secrets: ComponentSecrets(Arc::new(secrets.clone())),
        own: own::of(config),
        ..RuntimeOptions::default()
    };
    let runtime = Runtime::new(&config.limits, options)?;
    let mut set = ComponentSet {
        list_page_max: config.limits.list_page_max,
        options: config.component_options.clone(),
        policies: Policies::new(config)?,
        neutralises: config.sanitize.descriptions,
        ..ComponentSet::default()
    };
    for path in &config.components {
        set.load_named(&runtime, path)?;
    }
    let provisions = config.manifest.as_deref().map(manifest::read);
    for provision in provisions.transpose()?.iter().flatten() {
        if let Some(manifest) = &config.manifest {
            provision.tell_remarks(manifest);
        }
        match set.load_provision(&runtime, config, provision) {
            Err(problem) if config.continue_on_provisioning_failure => {
                tracing::error!(%problem, "a component of the manifest is not served");
            }
            loaded => loaded?,
        }
    }
    let mut watch = config
        .component_dir
        .clone()
        .map(|directory| Watch::new(Store::new(directory)));
    if let Some(watch) = &mut watch {
        let change = watch.poll()?;
        for problem in set.apply(&runtime, &change) {
            tracing::error!(%problem, "a component is not served");
        }
    }
    if config.demo && set.stored.is_empty() {
        set.demo = runtime
            .load_demo_with(|name| set.options.get(name).cloned().unwrap_or_default())
            .map_err(|error| error.into_problem("demo"))?;
    }
    set.warn_of_unused_options();
    Ok(Prepared {
        runtime,
        set,
        watch,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::control::store::Manifest;
    use crate::limits::Limits;
    use crate::policy::permission::{Ask, Decide};

    const ECHO: &str = include_str!("../component/demo/echo.wat");

    /// As a whole, as an editor or the command does.
    fn put(directory: &Path, policy: &str) {
        let new = directory.join("new");
        fs::write(&new, policy).unwrap();
        fs::rename(new, directory.join("echo.policy.yaml")).unwrap();
    }

    fn granting(host: &str) -> String {
        format!("version: \"1.0\"\npermissions: {{network: {{allow: [{{host: {host}}}]}}}}\n")
    }

    #[test]
    fn a_component_has_the_policy_beside_it_and_keeps_it_until_another_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let manifest = Manifest::new(
            "echo".to_owned(),
            ECHO.as_bytes(),
            folder.path(),
            Vec::new(),
        );
        fs::write(
            folder.path().join(format!("{}.wasm", manifest.digest)),
            ECHO,
        )
        .unwrap();
        fs::write(folder.path().join("echo.json"), manifest.to_json()).unwrap();
        let runtime = Runtime::new(&Limits::default(), RuntimeOptions::default()).unwrap();
        let mut set = ComponentSet {
            policies: Policies::of_directory(folder.path()),
            ..ComponentSet::default()
        };
        let mut watch = Watch::new(Store::new(folder.path()));
        let mut look = |set: &mut ComponentSet| {
            let change = watch.poll().unwrap();
            let problems = set.apply(&runtime, &change);
            problems.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let resolves = |set: &ComponentSet, name: &str| {
            set.stored.get("echo").map(|component| {
                let policy = component.options().policy.as_ref();
                policy.is_some_and(|policy| policy.decide(&Ask::Resolve { name }).is_allowed)
            })
        };
        put(
            folder.path(),
            "version: \"1.0\"\npermissions: {netwrok: {}}\n",
        );
        let problems = look(&mut set);
        assert!(
            problems[0].contains("did you mean `network`"),
            "{problems:?}"
        );
        assert_eq!(
            resolves(&set, "a.com"),
            None,
            "what cannot be read loads nothing"
        );
        put(folder.path(), &granting("a.com"));
        assert_eq!(look(&mut set), [""; 0]);
        assert_eq!(
            (resolves(&set, "a.com"), resolves(&set, "b.com")),
            (Some(true), Some(false))
        );
        put(folder.path(), "version: \"3.0\"\npermissions: {}\n");
        assert_eq!(look(&mut set).len(), 1, "it is told once");
        assert!(look(&mut set).is_empty());
        assert_eq!(
            resolves(&set, "a.com"),
            Some(true),
            "what was granted stays while a change cannot be read"
        );
        put(folder.path(), &granting("b.com"));
        let running = Arc::clone(&set.stored["echo"]);
        let may = |name: &str| running.decider().decide(&Ask::Resolve { name }).is_allowed;
        assert!(may("a.com"));
        assert!(look(&mut set).is_empty());
        assert!(
            !may("a.com") && !may("b.com"),
            "what runs has what both grant"
        );
        assert_eq!(
            (resolves(&set, "a.com"), resolves(&set, "b.com")),
            (Some(false), Some(true))
        );
        fs::remove_file(folder.path().join("echo.policy.yaml")).unwrap();
        assert!(look(&mut set).is_empty());
        assert_eq!(
            resolves(&set, "b.com"),
            Some(false),
            "without a policy nothing is granted"
        );
        put(folder.path(), &granting("b.com"));
        assert!(look(&mut set).is_empty());
        let running = set.stored["echo"].decider();
        let ask = Ask::Resolve { name: "b.com" };
        assert!(running.decide(&ask).is_allowed);
        fs::remove_file(folder.path().join("echo.json")).unwrap();
        assert!(look(&mut set).is_empty());
        assert!(!running.decide(&ask).is_allowed, "nor to what was removed");
    }
}
