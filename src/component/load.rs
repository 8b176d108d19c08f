//! From a file to tools: compile or take from the cache, link, find the exports, plan their arguments.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component as Compiled;

use crate::audit::hex;
use crate::limits::EPOCH_TICK;
use crate::mcp::Revision;

use super::cache::Lookup;
use super::call::Control;
use super::engine::{EngineChoice, EngineMode, WASM_PAGE_BYTES};
use super::grant::{Grants, Guard};
use super::host::{Caller, Definitions};
use super::live::Live;
pub use super::load_error::LoadError;
use super::options::{ComponentOptions, InstanceMode};
use super::placed::{Placed, has_imports, is_speaking, spread};
use super::runtime::Runtime;
use super::tool::{self, Skipped, Tool};
use super::worker::{self, Bounds, Listing};
use crate::policy::permission::{Decider, Nothing};

/// How long a component may take to instantiate when it is loaded.
const TRIAL_DEADLINE: Duration = Duration::from_secs(10);

/// How long a component may take to say what it has.
const LIST_DEADLINE: Duration = Duration::from_secs(10);

/// Instances made at load, at most.
const TRIALS: usize = 5;

/// The head of a WebAssembly file, and how a core module's goes on.
const WASM_MAGIC: &[u8] = b"\0asm";
const CORE_VERSION: &[u8] = &[1, 0, 0, 0];

/// The components in the binary: nothing needs to be on disk for a first try.
const DEMO: [(&str, &str); 3] = [
    ("echo", include_str!("demo/echo.wat")),
    ("time", include_str!("demo/time.wat")),
    ("types", include_str!("demo/types.wat")),
];

/// A component as loaded: immutable, digest-pinned. Calls in flight keep theirs alive when it is unloaded.
pub struct Component {
    id: u64,
    name: Arc<str>,
    options: ComponentOptions,
    guard: Arc<Guard>,
    is_host_aware: bool,
    /// The one instance of everybody, for a component of that mode.
    singleton: Option<Arc<Live>>,
    definitions: ArcSwap<Definitions>,
    digest: Arc<str>,
    mode: EngineMode,
    has_imports: bool,
    starts_quickly: AtomicBool,
    tools: Vec<Tool>,
    skipped: Vec<Skipped>,
    absent_imports: Vec<String>,
    initial_memory_bytes: usize,
    /// One for each place that has an engine of the mode.
    copies: Vec<Placed>,
}

impl Component {
    /// A number that no other component of this process has, not even a later load of the same file.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The name it was loaded under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the operator chose about it.
    pub fn options(&self) -> &ComponentOptions {
        &self.options
    }

    /// What it was granted, and who is told what it was not.
    pub(super) fn guard(&self) -> &Arc<Guard> {
        &self.guard
    }

    /// Another one takes its place, or none: whatever still runs of this one may do no more than that one.
    pub fn supersede(&self, by: Option<&Self>) {
        self.guard.supersede(match by {
            Some(by) => Arc::<Guard>::clone(&by.guard),
            None => Arc::new(Nothing),
        });
    }

    /// What is allowed to it.
    pub fn decider(&self) -> Decider {
        Arc::<Guard>::clone(&self.guard)
    }

    /// Whether its calls need to know who calls: they go through [`InstancePool::invoke`](super::InstancePool::invoke). So it is for a
    /// component that has to do with `margay:host`, and for one whose instances outlive a call.
    pub fn is_host_aware(&self) -> bool {
        self.is_host_aware
    }

    /// Whether its calls run on fibers: they may wait, or their instance is not theirs alone.
    pub(super) fn runs_on_fibers(&self) -> bool {
        self.has_imports || self.is_host_aware
    }

    /// The one instance that serves everybody, if it is of that mode.
    pub(super) fn singleton(&self) -> Option<&Arc<Live>> {
        self.singleton.as_ref()
    }

    /// What it lists beside its plain tools.
    pub fn definitions(&self) -> Arc<Definitions> {
        self.definitions.load_full()
    }

    /// SHA-256 of the file, in hexadecimal.
    pub fn digest(&self) -> &Arc<str> {
        &self.digest
    }

    /// The engine it was compiled for.
    pub fn engine_mode(&self) -> EngineMode {
        self.mode
    }

    /// Whether it imports anything. One that does not is pure: its calls have no effect but their result.
    pub fn has_imports(&self) -> bool {
        self.has_imports
    }

    /// The tools, in the order of the exports.
    pub fn tools(&self) -> &[Tool] {
        &self.tools
    }

    /// The exports that are not tools.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// What it imports and this host does not offer: a call that comes to use one of these ends there.
    pub fn absent_imports(&self) -> &[String] {
        &self.absent_imports
    }

    /// Linear memory that an instance starts with, in bytes.
    pub(super) fn initial_memory_bytes(&self) -> usize {
        self.initial_memory_bytes
    }

    /// Whether an instance can be made within a slice, without waiting for anything.
    pub(super) fn starts_quickly(&self) -> bool {
        self.starts_quickly.load(Ordering::Relaxed)
    }

    pub(super) fn tool(&self, index: usize) -> &Tool {
        &self.tools[index]
    }

    pub(super) fn name_shared(&self) -> &Arc<str> {
        &self.name
    }

    /// Its copy for the shard at `place`.
    pub(super) fn at(&self, place: usize) -> &Placed {
        &self.copies[place % self.copies.len()]
    }
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Component")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("mode", &self.mode)
            .field("tools", &self.tools)
            .finish_non_exhaustive()
    }
}

impl Runtime {
    /// Loads a `.wasm` or `.wat` file; its stem is the component's name. Takes seconds for a large one: never on a shard.
    pub fn load_file(&self, path: &Path) -> Result<Arc<Component>, LoadError> {
        self.load_file_with(path, |_| ComponentOptions::default())
    }

    /// As [`load_file`](Self::load_file), with what the operator chose about the component of this name.
    pub fn load_file_with(
        &self,
        path: &Path,
        options: impl FnOnce(&str) -> ComponentOptions,
    ) -> Result<Arc<Component>, LoadError> {
        let read = |error: std::io::Error| LoadError::Read(format!("{}: {error}", path.display()));
        let bytes = std::fs::metadata(path).map_err(read)?.len();
        self.check_size(bytes)?;
        let name = path.file_stem().map_or_else(
            || "component".to_owned(),
            |stem| stem.to_string_lossy().into_owned(),
        );
        let bytes = std::fs::read(path).map_err(read)?;
        self.load_with(&name, &bytes, options(&name))
    }

    /// Loads a component from the bytes of a `.wasm` file or the text of a `.wat` file. Takes seconds for a large one: never
    /// on a shard.
    pub fn load(&self, name: &str, bytes: &[u8]) -> Result<Arc<Component>, LoadError> {
        self.load_with(name, bytes, ComponentOptions::default())
    }

    /// As [`load`](Self::load), with what the operator chose about it.
    pub fn load_with(
        &self,
        name: &str,
        bytes: &[u8],
        options: ComponentOptions,
    ) -> Result<Arc<Component>, LoadError> {
        let grants = self.grants(&options)?;
        self.load_granted(name, bytes, options, grants)
    }

    /// What the policy of a component grants, with the secrets and variables as they are now.
    fn grants(&self, options: &ComponentOptions) -> Result<Option<Arc<Grants>>, LoadError> {
        let Some(policy) = &options.policy else {
            return Ok(None);
        };
        let own = |name: &str| std::env::var(name).ok();
        Grants::of(policy, &*self.options.secrets.0, &own)
            .map(|grants| Some(Arc::new(grants)))
            .map_err(|problem| LoadError::Grants(problem.to_string()))
    }

    /// As [`load_with`](Self::load_with), with what it was granted instead of what its policy says; without, nothing is.
    pub fn load_granted(
        &self,
        name: &str,
        bytes: &[u8],
        options: ComponentOptions,
        grants: Option<Arc<Grants>>,
    ) -> Result<Arc<Component>, LoadError> {
        self.check_size(bytes.len() as u64)?;
        if bytes.starts_with(WASM_MAGIC) && bytes[WASM_MAGIC.len()..].starts_with(CORE_VERSION) {
            return Err(LoadError::CoreModule);
        }
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        let (mode, compiled) = self.compile(&digest, bytes)?;
        let digest: Arc<str> = hex(&digest).into();
        let (has_imports, is_speaking) = (has_imports(&compiled), is_speaking(&compiled));
        let initial_memory_bytes = initial_memory_bytes(&compiled);
        let (tools, skipped) = tool::find(&compiled, compiled.engine());
        let (copies, absent_imports) = self.place(mode, compiled, &tools)?;
        let exports_host = copies
            .first()
            .is_some_and(|copy| !copy.exports().is_empty());
        if tools.is_empty() && !exports_host {
            return Err(LoadError::NoTools(skipped));
        }
        let is_host_aware = exports_host || is_speaking || options.instances != InstanceMode::Fresh;
        let name_shared: Arc<str> = name.into();
        let outward = Arc::clone(&self.outward);
        let guard = Guard::new(
            Arc::clone(&name_shared),
            Arc::clone(&digest),
            grants,
            outward,
        );
        let component = Component {
            guard,
            id: self.component_ids.fetch_add(1, Ordering::Relaxed),
            name: name_shared,
            options,
            is_host_aware,
            singleton: None,
            definitions: ArcSwap::from_pointee(Definitions::default()),
            digest,
            mode,
            has_imports,
            starts_quickly: AtomicBool::new(false),
            tools,
            skipped,
            absent_imports,
            initial_memory_bytes,
            copies,
        };
        let component = self.settle(component)?;
        component
            .starts_quickly
            .store(self.trial(&component)?, Ordering::Relaxed);
        self.relist(&component)?;
        if component.tools.is_empty() && component.definitions().is_empty() {
            return Err(LoadError::NoTools(component.skipped.clone()));
        }
        for skip in &component.skipped {
            tracing::warn!(
                component = name,
                export = skip.export,
                "not a tool: {}",
                skip.reason
            );
        }
        if !component.absent_imports.is_empty() {
            tracing::warn!(
                component = name,
                "imports what this host does not offer; a call that uses it will fail: {}",
                component.absent_imports.join(", ")
            );
        }
        Ok(component)
    }

    /// Gives a component of one instance its place for that.
    fn settle(&self, mut component: Component) -> Result<Arc<Component>, LoadError> {
        if component.options.instances != InstanceMode::Singleton {
            return Ok(Arc::new(component));
        }
        let mut is_full = false;
        let component = Arc::new_cyclic(|itself| {
            component.singleton = self.live.singleton(itself);
            is_full = component.singleton.is_none();
            component
        });
        match is_full {
            true => Err(LoadError::Instantiate(self.live.full().text)),
            false => Ok(component),
        }
    }

    /// The components that come with the binary, for a first try.
    pub fn load_demo(&self) -> Result<Vec<Arc<Component>>, LoadError> {
        self.load_demo_with(|_| ComponentOptions::default())
    }

    /// As [`load_demo`](Self::load_demo), with what the operator chose about each.
    pub fn load_demo_with(
        &self,
        options: impl Fn(&str) -> ComponentOptions,
    ) -> Result<Vec<Arc<Component>>, LoadError> {
        DEMO.iter()
            .map(|(name, text)| self.load_with(name, text.as_bytes(), options(name)))
            .collect()
    }

    fn check_size(&self, bytes: u64) -> Result<(), LoadError> {
        let limit = self.limits.component_bytes_max;
        if bytes > limit as u64 {
            Err(LoadError::TooLarge { bytes, limit })
        } else {
            Ok(())
        }
    }

    /// The component, compiled now or before, on the engine that suits its size and memory.
    fn compile(
        &self,
        digest: &[u8; 32],
        bytes: &[u8],
    ) -> Result<(EngineMode, Compiled), LoadError> {
        let first = self.options.engine.mode(bytes.len());
        let engine = self.engine(first)?;
        let compiled = match self.cached(digest, first, engine) {
            Some(compiled) => compiled,
            None => {
                self.misses.fetch_add(1, Ordering::Relaxed);
                // Reads the text format too.
                let compiled =
                    Compiled::new(engine, bytes).map_err(|error| compile_error(&error, bytes))?;
                if let Some(cache) = &self.cache {
                    cache.put(digest, engine, first, &compiled);
                }
                compiled
            }
        };
        let mode = match self.options.engine {
            EngineChoice::Always(mode) => mode,
            EngineChoice::Auto => first.with_memory(initial_memory_bytes(&compiled)),
        };
        Ok((mode, compiled))
    }

    /// Copies for every place that has an engine of the mode, and what the component imports in vain.
    fn place(
        &self,
        mode: EngineMode,
        compiled: Compiled,
        tools: &[Tool],
    ) -> Result<(Vec<Placed>, Vec<String>), LoadError> {
        let failed = |error: wasmtime::Error| {
            LoadError::Compile(format!("the {} engine: {error:#}", mode.as_str()))
        };
        let engines = self.engines.all(mode).map_err(failed)?;
        let mut absent_imports = Vec::new();
        let mut copies = Vec::with_capacity(engines.len());
        for compiled in spread(compiled, &engines).map_err(failed)? {
            let (placed, absent) = Placed::link(&compiled, tools)?;
            absent_imports = absent;
            copies.push(placed);
        }
        Ok((copies, absent_imports))
    }

    fn engine(&self, mode: EngineMode) -> Result<&Engine, LoadError> {
        self.engines
            .get(mode, 0)
            .map_err(|error| LoadError::Compile(format!("the {} engine: {error:#}", mode.as_str())))
    }

    fn cached(&self, digest: &[u8; 32], mode: EngineMode, engine: &Engine) -> Option<Compiled> {
        match self.cache.as_ref()?.get(digest, engine, mode) {
            Lookup::Found(compiled) => {
                self.hits.fetch_add(1, Ordering::Relaxed);
                Some(*compiled)
            }
            Lookup::Absent => None,
            Lookup::Rejected => {
                self.rejected.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(
                    "a compiled-code cache entry is not authentic; the component is compiled again"
                );
                None
            }
        }
    }

    /// Makes instances on a worker, so that a component that cannot start is refused now, and not at its first call. Says
    /// whether one starts fast enough to be made on a shard: the best of a few, because a busy host slows any of them.
    fn trial(&self, component: &Arc<Component>) -> Result<bool, LoadError> {
        let (component, limits, traffic) = (
            Arc::clone(component),
            Arc::clone(&self.limits),
            Arc::clone(&self.traffic),
        );
        let tried = self.on_worker(async move {
            let mut result = Ok(false);
            for _ in 0..TRIALS {
                let started = Instant::now();
                let control = Control::new(started + TRIAL_DEADLINE);
                let bounds = Bounds::new(&control, &limits, &traffic);
                let lease = worker::instantiate(&component, 0, &bounds, None).await;
                result = lease.map(|_| started.elapsed() < EPOCH_TICK);
                if !matches!(result, Ok(false)) {
                    break;
                }
            }
            result
        });
        tried?.map_err(|failure| LoadError::Instantiate(failure.text))
    }

    /// Asks a component for its lists, and keeps what it says.
    pub(super) fn list(&self, component: &Arc<Component>) -> Result<(), LoadError> {
        if component.at(0).exports().is_empty() {
            return Ok(());
        }
        let listing = Listing {
            component: Arc::clone(component),
            control: Control::new(Instant::now() + LIST_DEADLINE),
            limits: Arc::clone(&self.limits),
            traffic: Arc::clone(&self.traffic),
            exchange: Arc::clone(&self.exchange),
            caller: Arc::new(Caller::silent("server/discover", Revision::MODERN)),
        };
        let listed = self.on_worker(worker::list(listing))?;
        let definitions = listed.map_err(|failure| LoadError::Lists(failure.text))?;
        component.definitions.store(Arc::new(definitions));
        Ok(())
    }

    /// Waits for something that runs guests on a worker.
    fn on_worker<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, LoadError> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let running = self.traffic.enter();
        self.workers().spawn(async move {
            let _running = running;
            // The loader waits for this, unless it was killed.
            let _ = sender.send(future.await);
        });
        receiver
            .recv()
            .map_err(|_| LoadError::Instantiate("the runtime is shutting down".to_owned()))
    }
}

/// Linear memory that an instance starts with; much, if that cannot be known.
fn initial_memory_bytes(compiled: &Compiled) -> usize {
    compiled
        .resources_required()
        .map_or(usize::MAX, |resources| {
            let pages = resources.max_initial_memory_size.unwrap_or(0);
            usize::try_from(pages)
                .unwrap_or(usize::MAX)
                .saturating_mul(WASM_PAGE_BYTES)
        })
}

fn compile_error(error: &wasmtime::Error, bytes: &[u8]) -> LoadError {
    let text = format!("{error:#}");
    if text.contains("a wasm module with a component parser")
        || text.contains("given a WebAssembly module")
    {
        LoadError::CoreModule
    } else if bytes.starts_with(WASM_MAGIC) {
        LoadError::Compile(text)
    } else {
        LoadError::NotWasm(text)
    }
}
