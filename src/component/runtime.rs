//! The process's one WebAssembly runtime: engines, epoch clock, worker threads, compiled-code cache.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::audit::Audit;
use crate::error::{Problem, exit};
use crate::limits::Limits;
use crate::mcp::SessionId;
use crate::policy::permission::Own;
use crate::ring::step_back;
use crate::secret::{self, Secret, SecretRef, Shape, Unresolved};

use super::cache::Cache;
use super::call::{CancelHandle, Control, Ending, Overloaded};
use super::delivery::{Receiver, finish_elsewhere};
use super::engine::{EngineChoice, Engines, Ticker};
use super::grant::{Outward, Resolve};
use super::host::{Announcement, Announcer, Asks, Caller, Exchange, Job};
use super::live::LiveSet;
use super::load::{Component, LoadError};
use super::mailbox::Mailbox;
use super::pool::InstancePool;
use super::traffic::Traffic;
use super::worker::{self, Work};

/// How long a runtime that is dropped waits for calls on workers to stop. They are told to, and look each tick.
const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// What an operator chooses about the runtime, beside the limits.
#[derive(Clone, Debug, Default)]
pub struct RuntimeOptions {
    /// Where compiled code is kept between runs; nothing is kept without it.
    pub cache_dir: Option<PathBuf>,
    /// Worker threads; 0 means one per core.
    pub worker_count: usize,
    /// How a component's engine is chosen.
    pub engine: EngineChoice,
    /// Shards that will have an instance pool; 0 means one.
    pub shard_count: usize,
    /// Who knows the addresses of the names that components ask for; the system, if nobody else.
    pub resolver: Option<Arc<dyn Resolve>>,
    /// Whoever tells the secrets that policies name.
    pub secrets: Secrets,
    /// PEM file of the roots that components' HTTPS trusts instead of the system's.
    pub ca: Option<PathBuf>,
    /// The server's own files, which no component is given.
    pub own: Own,
}

/// Whoever tells secrets; without anybody, there are none.
#[derive(Clone)]
pub struct Secrets(pub Arc<dyn secret::Resolve>);

impl Default for Secrets {
    fn default() -> Self {
        Self(Arc::new(NoSecrets))
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(…)")
    }
}

struct NoSecrets;

impl secret::Resolve for NoSecrets {
    fn resolve(&self, _: &SecretRef, _: Shape) -> Result<Secret, Unresolved> {
        Err(Unresolved::Missing)
    }
}

/// Counters of a runtime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuntimeStats {
    /// Calls that are away from their shard now: waiting for a worker, running on one, or finished and not yet read.
    pub calls_away: usize,
    /// How many may be.
    pub calls_away_max: usize,
    /// Components loaded from the compiled-code cache.
    pub cache_hits: u64,
    /// Components compiled.
    pub cache_misses: u64,
    /// Cache entries whose authentication failed; they were not executed.
    pub cache_rejected: u64,
}

/// The runtime. Shared by all shards.
pub struct Runtime {
    pub(super) engines: Arc<Engines>,
    pub(super) limits: Arc<Limits>,
    pub(super) options: RuntimeOptions,
    pub(super) cache: Option<Cache>,
    pub(super) traffic: Arc<Traffic>,
    pub(super) clock: quanta::Clock,
    pub(super) hits: AtomicU64,
    pub(super) misses: AtomicU64,
    pub(super) rejected: AtomicU64,
    pub(super) component_ids: AtomicU64,
    /// Instance pools, one a shard: what may be kept ready is divided among them.
    pub(super) pool_count: AtomicUsize,
    /// Pools made since the start: each takes the next place.
    pub(super) pools_made: AtomicUsize,
    pub(super) exchange: Arc<Exchange>,
    pub(super) outward: Arc<Outward>,
    pub(super) live: Arc<LiveSet>,
    /// Calls that no shard waits for go round the places.
    detached: AtomicUsize,
    workers: Option<tokio::runtime::Runtime>,
    _ticker: Ticker,
}

impl Runtime {
    /// Starts engines, clock and workers.
    ///
    /// Errors: the host cannot give the address space or the threads, or the cache directory is not safe to use.
    pub fn new(limits: &Limits, options: RuntimeOptions) -> Result<Arc<Self>, Problem> {
        let engines = Engines::new(limits, options.shard_count)?;
        let thread_problem = |error: std::io::Error| {
            Problem::operator(
                exit::HOST,
                "threads for components",
                "",
                error.to_string(),
                "raise the thread limit (ulimit -u, or TasksMax of the unit)",
            )
        };
        let worker_count = match options.worker_count {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let traffic = Traffic::new(limits.worker_queue_max + worker_count);
        let ticker = Ticker::start(&engines, &traffic).map_err(thread_problem)?;
        let workers = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(worker_count)
            .thread_name("margay-worker")
            .on_thread_start(|| {
                // What comes here computes for long. With as many workers as processors, shards of the same priority would wait for
                // a whole time slice of the scheduler: the p99 of an echo beside spinning guests was eight times its own.
                if let Err(error) = step_back() {
                    tracing::warn!(%error, "workers cannot step back behind the shards; long calls may delay short ones");
                }
            })
            .enable_all()
            .build()
            .map_err(thread_problem)?;
        let cache = options.cache_dir.as_deref().map(Cache::open).transpose()?;
        let outward = Outward::new(
            options.resolver.clone(),
            options.ca.clone(),
            options.own.clone(),
        );
        Ok(Arc::new(Self {
            engines,
            limits: Arc::new(limits.clone()),
            options,
            cache,
            traffic,
            clock: quanta::Clock::new(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            component_ids: AtomicU64::new(0),
            pool_count: AtomicUsize::new(0),
            pools_made: AtomicUsize::new(0),
            exchange: Arc::new(Exchange {
                asks: Asks::new(limits),
                announcer: Announcer::default(),
            }),
            outward,
            live: LiveSet::new(limits),
            detached: AtomicUsize::new(0),
            workers: Some(workers),
            _ticker: ticker,
        }))
    }

    /// Who is told what components were refused; of components that are loaded already too. To be set once: whether this was the first.
    pub fn set_audit(&self, audit: Audit) -> bool {
        self.outward.set_audit(audit)
    }

    /// A mailbox for one shard; `wake` is called from worker threads after each arrival.
    pub fn mailbox(&self, wake: impl Fn() + Send + Sync + 'static) -> Arc<Mailbox> {
        Mailbox::new(self.traffic.away_max(), wake)
    }

    /// An instance pool for one shard, whose moved calls report to `mailbox`.
    pub fn instance_pool(self: &Arc<Self>, mailbox: Arc<Mailbox>) -> InstancePool {
        InstancePool::new(Arc::clone(self), mailbox)
    }

    /// The open questions, for whoever receives their answers.
    pub fn asks(&self) -> &Arc<Asks> {
        &self.exchange.asks
    }

    /// Who is told, with the component's id, what components announce. Called from any thread, and must not block. To be set once.
    pub fn set_announcer(&self, listener: impl Fn(u64, Announcement) + Send + Sync + 'static) {
        self.exchange.announcer.set(listener);
    }

    /// Asks the component for its lists anew. Blocks: never on a shard.
    ///
    /// Errors: the component fails, or lists too much; then what it listed before stays in force.
    pub fn relist(&self, component: &Arc<Component>) -> Result<(), LoadError> {
        self.list(component)
    }

    /// Runs a job that no shard waits for: on the workers, with its end handed to `done`, on whatever thread it comes to be.
    ///
    /// Errors: as many calls are away from their shards as may be.
    pub fn run_detached(
        &self,
        component: &Arc<Component>,
        job: Job,
        caller: Arc<Caller>,
        deadline: Instant,
        done: Box<dyn FnOnce(Ending) + Send>,
    ) -> Result<CancelHandle, Overloaded> {
        let permit = self.traffic.permit().ok_or(Overloaded)?;
        let place = self.detached.fetch_add(1, Ordering::Relaxed);
        let is_tool = job.is_tool();
        let live = self
            .live
            .find(component, Some(&caller), self.workers())
            .map_err(|_| Overloaded)?;
        let control = Control::new(deadline);
        let work = Work {
            component: Arc::clone(component),
            place,
            job,
            behalf: caller.behalf.clone(),
            caller: component.is_host_aware().then_some(caller),
            control: Arc::clone(&control),
            limits: Arc::clone(&self.limits),
            traffic: Arc::clone(&self.traffic),
            exchange: Arc::clone(&self.exchange),
            lease: None,
            live,
        };
        let driven = Box::pin(worker::run(work, self.clock.clone()));
        let receiver = Receiver::Task(done);
        finish_elsewhere(
            self.workers(),
            &self.traffic,
            driven,
            is_tool,
            receiver,
            permit,
        );
        Ok(CancelHandle { control })
    }

    /// A session ended: drops what lived for it.
    pub fn end_session(&self, session: SessionId) {
        self.exchange.asks.end_session(session);
        self.live.end_session(session);
    }

    /// The same for all sessions that are no more.
    pub fn end_sessions(&self, is_over: impl Fn(SessionId) -> bool) {
        self.exchange.asks.end_sessions(&is_over);
        self.live.end_sessions(&is_over);
    }

    /// The bounds in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The counters as they are now.
    pub fn stats(&self) -> RuntimeStats {
        RuntimeStats {
            calls_away: self.traffic.away(),
            calls_away_max: self.traffic.away_max(),
            cache_hits: self.hits.load(Ordering::Relaxed),
            cache_misses: self.misses.load(Ordering::Relaxed),
            cache_rejected: self.rejected.load(Ordering::Relaxed),
        }
    }

    pub(super) fn workers(&self) -> &tokio::runtime::Handle {
        self.workers
            .as_ref()
            .expect("the workers live until the runtime is dropped")
            .handle()
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        // Calls are stopped, not dropped: dropping a call half way would corrupt the engine's bookkeeping.
        self.traffic.stop();
        let end = Instant::now() + STOP_DEADLINE;
        while self.traffic.running() > 0 && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
        if let Some(workers) = self.workers.take() {
            // Also right inside another runtime, where a blocking shutdown would panic.
            workers.shutdown_background();
        }
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("options", &self.options)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
