//! The two engines, and the clock that interrupts guests.
//!
//! With guard pages an out-of-bounds access is caught by the MMU and costs nothing, but each growth of a memory is an
//! `mprotect` under the process's one address-space lock, so calls do not scale with shards. Without them every access is
//! compared with the memory's size, and growth is a store to a variable. The mode is part of the compiled code, so there is
//! one engine for each, and a component belongs to one of them for its whole life.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::error::{Problem, exit};
use crate::limits::{EPOCH_TICK, Limits};

/// Native stack of guests on the guarded engine, at least: language runtimes (JavaScript, Python) recurse deeply.
const GUARDED_STACK_BYTES_MIN: usize = 1 << 20;

/// What a fiber's stack has beside the guest's: room for host functions.
const FIBER_HOST_STACK_BYTES: usize = 256 << 10;

/// Bytes of a component file from which [`EngineChoice::Auto`] takes the guarded engine.
///
/// Files of this size carry a language runtime (12 MB JavaScript, 18 MB Python). Those run 25–50 % slower and compile twice as
/// long with explicit bounds checks, and do not gain the scaling: their cost is first-touch page faults. Small components
/// grow their memory in nearly every call (twice for Rust's allocator) and serve 3–4 × as many calls on two threads without
/// guard pages.
const GUARDED_BYTES_MIN: usize = 4 << 20;

/// How the process's memory is protected from a guest's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EngineMode {
    /// Guard pages around each memory, traps by signal: for large language runtimes.
    Guarded,
    /// Explicit bounds checks, no guard pages, no signals: memory growth takes no lock. The default for small components.
    Unguarded,
}

impl EngineMode {
    /// The word used in file names, logs and `component inspect`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guarded => "guarded",
            Self::Unguarded => "unguarded",
        }
    }
}

/// How a component's engine is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineChoice {
    /// By the size of the file: see [`EngineMode`].
    #[default]
    Auto,
    /// Always this one.
    Always(EngineMode),
}

impl EngineChoice {
    pub(crate) fn mode(self, file_bytes: usize) -> EngineMode {
        match self {
            Self::Always(mode) => mode,
            Self::Auto if file_bytes >= GUARDED_BYTES_MIN => EngineMode::Guarded,
            Self::Auto => EngineMode::Unguarded,
        }
    }
}

/// Both engines.
pub(crate) struct Engines {
    guarded: Engine,
    unguarded: Engine,
}

impl Engines {
    pub(crate) fn new(limits: &Limits) -> Result<Self, Problem> {
        let build = |mode| {
            engine(limits, mode).map_err(|error| {
                Problem::operator(
                    exit::HOST,
                    format!("{} WebAssembly engine", EngineMode::as_str(mode)),
                    format!("{} instances of {} bytes", limits.instance_count_max, limits.memory_bytes_max),
                    format!("{error:#}"),
                    "lower limits.instance_count_max or limits.memory_bytes_max, or raise the address-space limit (ulimit -v)",
                )
            })
        };
        Ok(Self {
            guarded: build(EngineMode::Guarded)?,
            unguarded: build(EngineMode::Unguarded)?,
        })
    }

    pub(crate) fn get(&self, mode: EngineMode) -> &Engine {
        match mode {
            EngineMode::Guarded => &self.guarded,
            EngineMode::Unguarded => &self.unguarded,
        }
    }
}

fn engine(limits: &Limits, mode: EngineMode) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config.strategy(wasmtime::Strategy::Cranelift);
    config.wasm_component_model(true);
    // What no component of ours needs is attack surface.
    config.wasm_memory64(false);
    config.shared_memory(false);
    config.concurrency_support(false);
    config.epoch_interruption(true);
    config.wasm_backtrace_max_frames(None);
    config.generate_address_map(false);
    config.memory_init_cow(true);
    let stack_bytes = match mode {
        EngineMode::Guarded => limits.stack_bytes_max.max(GUARDED_STACK_BYTES_MIN),
        EngineMode::Unguarded => limits.stack_bytes_max,
    };
    config.max_wasm_stack(stack_bytes);
    config.async_stack_size(stack_bytes + FIBER_HOST_STACK_BYTES);
    // Zeroing a fiber's stack costs more than the rest of a small call. What is left on it are host frames and spilled guest
    // registers; a guest addresses linear memory only and cannot read it.
    config.async_stack_zeroing(false);
    if mode == EngineMode::Unguarded {
        config.signals_based_traps(false);
        config.memory_guard_size(0);
        config.memory_reservation(page_align(limits.memory_bytes_max) as u64);
        config.memory_reservation_for_growth(0);
        config.guard_before_linear_memory(false);
    }
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits, mode)));
    Engine::new(&config)
}

fn pool(limits: &Limits, mode: EngineMode) -> PoolingAllocationConfig {
    let count = u32::try_from(limits.instance_count_max)
        .unwrap_or(u32::MAX / 32)
        .clamp(1, u32::MAX / 32);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(count);
    pool.total_core_instances(count * 24);
    pool.total_memories(count * 2);
    pool.total_tables(count * 8);
    pool.total_stacks(count);
    pool.max_core_instances_per_component(64);
    pool.max_memories_per_component(4);
    pool.max_tables_per_component(16);
    pool.max_memory_size(page_align(limits.memory_bytes_max));
    pool.table_elements(limits.table_elements_max);
    pool.max_core_instance_size(1 << 20);
    pool.max_component_instance_size(1 << 20);
    // Just above the working set: a slot that stays resident is cleared by `memset`, not by a system call. Large guests keep
    // more, and only what they touched is cleared.
    match mode {
        EngineMode::Unguarded => {
            pool.linear_memory_keep_resident(128 << 10);
            pool.table_keep_resident(4 << 10);
            pool.pagemap_scan(Enabled::No);
        }
        EngineMode::Guarded => {
            pool.linear_memory_keep_resident(1 << 20);
            pool.table_keep_resident(16 << 10);
            pool.pagemap_scan(Enabled::Auto);
        }
    }
    // Bounds what idle slots keep: this count times the bytes above.
    pool.max_unused_warm_slots(count.min(100));
    pool
}

fn page_align(bytes: usize) -> usize {
    const WASM_PAGE_BYTES: usize = 64 << 10;
    bytes.div_ceil(WASM_PAGE_BYTES) * WASM_PAGE_BYTES
}

/// The thread that advances both engines' epochs each [`EPOCH_TICK`]. Dropping it stops the thread.
pub(crate) struct Ticker {
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    pub(crate) fn start(engines: &Engines) -> std::io::Result<Self> {
        let stopping = Arc::new(AtomicBool::new(false));
        let (guarded, unguarded) = (engines.guarded.clone(), engines.unguarded.clone());
        let seen = Arc::clone(&stopping);
        let thread = std::thread::Builder::new()
            .name("margay-epoch".to_owned())
            .spawn(move || {
                while !seen.load(Ordering::Relaxed) {
                    std::thread::sleep(EPOCH_TICK);
                    guarded.increment_epoch();
                    unguarded.increment_epoch();
                }
            })?;
        Ok(Self {
            stopping,
            thread: Some(thread),
        })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // The thread runs nothing that can panic.
            let _ = thread.join();
        }
    }
}
