//! The engines, and the clock that interrupts guests.
//!
//! With guard pages an out-of-bounds access is caught by the MMU and costs nothing, but each growth of a memory is an
//! `mprotect` under the process's one address-space lock, so calls do not scale with shards. Without them every access is
//! compared with the memory's size, and growth is a store to a variable. What is left of a used memory has to be cleared, and
//! giving its pages back to the kernel takes the same lock: so pages stay, and either all of a small memory is overwritten, or
//! the kernel is asked which pages of a larger one were touched.
//!
//! The mode is part of an instance's whole life, so there is one engine for each, made when the first component needs it; and
//! each shard has its own, but for large components: see [`placed`](super::placed).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::error::{Problem, exit};
use crate::limits::{EPOCH_TICK, Limits};

use super::pulse::Look;
use super::traffic::Traffic;

/// Ticks without a guest after which the clock parks. Waking it costs the next call a system call, so this is not short.
const TICKS_BEFORE_PARKING: u32 = 100;

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

/// Bytes of a page of linear memory.
pub(crate) const WASM_PAGE_BYTES: usize = 64 << 10;

/// Linear memory that a component may start with to be [`EngineMode::Compact`].
pub(crate) const COMPACT_MEMORY_BYTES_MAX: usize = 128 << 10;

/// Bytes of a component file up to which it is compiled for [`EngineMode::Compact`] first, before its memory is known.
const COMPACT_FILE_BYTES_MAX: usize = 32 << 10;

/// Bytes of a used memory that stay resident where the kernel says which pages were touched. A Rust guest starts with 1 MiB of
/// stack, of which it touches the last page, and its data above that.
const SCANNED_RESIDENT_BYTES: usize = 1280 << 10;

/// How the process's memory is protected from a guest's, and how a used memory is cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EngineMode {
    /// Guard pages around each memory, traps by signal: for large language runtimes.
    Guarded,
    /// Explicit bounds checks, no guard pages, no signals: memory growth takes no lock. Of a used memory, the touched pages are
    /// cleared: one system call, off the hot path. The default.
    Unguarded,
    /// The same code for components that start with at most 128 KiB of memory: clearing all of it costs less than asking.
    Compact,
}

impl EngineMode {
    /// The word used in logs and `component inspect`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guarded => "guarded",
            Self::Unguarded => "unguarded",
            Self::Compact => "compact",
        }
    }

    /// The name of the compiled code: two of the modes share it.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Guarded => "guarded",
            Self::Unguarded | Self::Compact => "unguarded",
        }
    }

    /// The mode of a component of which it is now known how much memory it starts with.
    pub(crate) fn with_memory(self, bytes: usize) -> Self {
        match self {
            Self::Guarded => Self::Guarded,
            Self::Unguarded | Self::Compact if bytes <= COMPACT_MEMORY_BYTES_MAX => Self::Compact,
            Self::Unguarded | Self::Compact => Self::Unguarded,
        }
    }
}

/// How a component's engine is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineChoice {
    /// By the size of the file and of the memory it starts with: see [`EngineMode`].
    #[default]
    Auto,
    /// Always this one.
    Always(EngineMode),
}

impl EngineChoice {
    /// The mode to begin with.
    pub(crate) fn mode(self, file_bytes: usize) -> EngineMode {
        match self {
            Self::Always(mode) => mode,
            Self::Auto if file_bytes >= GUARDED_BYTES_MIN => EngineMode::Guarded,
            Self::Auto if file_bytes <= COMPACT_FILE_BYTES_MAX => EngineMode::Compact,
            Self::Auto => EngineMode::Unguarded,
        }
    }
}

/// The engines, each made at its first use: reserving a pool's address space is most of a start.
pub(crate) struct Engines {
    limits: Limits,
    /// By place: a shard's number.
    made: Vec<[OnceLock<Engine>; 3]>,
}

impl Engines {
    /// Makes the engine that small components need, so that an unfit host is found out at once.
    pub(crate) fn new(limits: &Limits, place_count: usize) -> Result<Arc<Self>, Problem> {
        let engines = Arc::new(Self {
            limits: limits.clone(),
            made: (0..place_count.max(1))
                .map(|_| Default::default())
                .collect(),
        });
        engines.get(EngineMode::Compact, 0).map_err(|error| {
            Problem::operator(
                exit::HOST,
                "WebAssembly engine",
                format!("{} instances of {} bytes", limits.instance_count_max, limits.memory_bytes_max),
                format!("{error:#}"),
                "lower limits.instance_count_max or limits.memory_bytes_max, or raise the address-space limit (ulimit -v)",
            )
        })?;
        Ok(engines)
    }

    /// The engine of a mode at one place; those of language runtimes are all the first place's.
    pub(crate) fn get(&self, mode: EngineMode, place: usize) -> wasmtime::Result<&Engine> {
        let place_count = self.place_count(mode);
        let slot = &self.made[place % place_count][mode as usize];
        if let Some(engine) = slot.get() {
            return Ok(engine);
        }
        // Two loads may both make one; the loser's is dropped unused.
        let count = self.limits.instance_count_max.div_ceil(place_count);
        let engine = engine(&self.limits, mode, count)?;
        Ok(slot.get_or_init(|| engine))
    }

    /// Places at which a mode has engines of its own.
    pub(crate) fn place_count(&self, mode: EngineMode) -> usize {
        match mode {
            EngineMode::Guarded => 1,
            EngineMode::Unguarded | EngineMode::Compact => self.made.len(),
        }
    }

    /// All engines of a mode, by place.
    pub(crate) fn all(&self, mode: EngineMode) -> wasmtime::Result<Vec<&Engine>> {
        (0..self.place_count(mode))
            .map(|place| self.get(mode, place))
            .collect()
    }

    fn tick(&self) {
        for engine in self.made.iter().flatten().filter_map(OnceLock::get) {
            engine.increment_epoch();
        }
    }
}

/// An engine with slots for this many instances.
fn engine(limits: &Limits, mode: EngineMode, instance_count: usize) -> wasmtime::Result<Engine> {
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
        EngineMode::Unguarded | EngineMode::Compact => limits.stack_bytes_max,
    };
    config.max_wasm_stack(stack_bytes);
    config.async_stack_size(stack_bytes + FIBER_HOST_STACK_BYTES);
    // Zeroing a fiber's stack costs more than the rest of a small call. What is left on it are host frames and spilled guest
    // registers; a guest addresses linear memory only and cannot read it.
    config.async_stack_zeroing(false);
    if mode != EngineMode::Guarded {
        config.signals_based_traps(false);
        config.memory_guard_size(0);
        config.memory_reservation(page_align(limits.memory_bytes_max) as u64);
        config.memory_reservation_for_growth(0);
        config.guard_before_linear_memory(false);
    }
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(
        limits,
        mode,
        instance_count,
    )));
    Engine::new(&config)
}

fn pool(limits: &Limits, mode: EngineMode, instance_count: usize) -> PoolingAllocationConfig {
    let count = u32::try_from(instance_count)
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
    // Above the working set: what stays resident is cleared by writing zeros, the rest by a system call and page faults, on
    // which threads queue. A guest laid out like Rust's served 0.9 times as many calls on two threads as on one with 128 KiB
    // kept, and 1.9 times as many with this, at 5 µs a call instead of 13; a tiny guest pays 0.8 µs for the scan.
    match mode {
        EngineMode::Compact => {
            pool.linear_memory_keep_resident(COMPACT_MEMORY_BYTES_MAX);
            pool.table_keep_resident(4 << 10);
            pool.pagemap_scan(Enabled::No);
        }
        EngineMode::Unguarded | EngineMode::Guarded => {
            pool.linear_memory_keep_resident(SCANNED_RESIDENT_BYTES);
            pool.table_keep_resident(16 << 10);
            pool.pagemap_scan(Enabled::Auto);
        }
    }
    // Bounds what idle slots keep: this count times the bytes above.
    pool.max_unused_warm_slots(count.min(100));
    pool
}

fn page_align(bytes: usize) -> usize {
    bytes.div_ceil(WASM_PAGE_BYTES) * WASM_PAGE_BYTES
}

/// The thread that advances the engines' epochs each [`EPOCH_TICK`] while a guest runs or has just run, and parks when none does.
/// Dropping it stops the thread.
pub(crate) struct Ticker {
    stopping: Arc<AtomicBool>,
    traffic: Arc<Traffic>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    pub(crate) fn start(engines: &Arc<Engines>, traffic: &Arc<Traffic>) -> std::io::Result<Self> {
        let stopping = Arc::new(AtomicBool::new(false));
        let engines = Arc::clone(engines);
        let (seen, asked) = (Arc::clone(&stopping), Arc::clone(traffic));
        let thread = std::thread::Builder::new()
            .name("margay-epoch".to_owned())
            .spawn(move || {
                let mut quiet_ticks = 0;
                let mut look = Look::default();
                while !seen.load(Ordering::SeqCst) {
                    std::thread::sleep(EPOCH_TICK);
                    engines.tick();
                    quiet_ticks = match asked.may_run_guests(&mut look) {
                        true => 0,
                        false => quiet_ticks + 1,
                    };
                    if quiet_ticks >= TICKS_BEFORE_PARKING {
                        quiet_ticks = 0;
                        asked.pulse().park_unless(|| {
                            seen.load(Ordering::SeqCst) || asked.may_run_guests(&mut look)
                        });
                    }
                }
            })?;
        traffic.pulse().set_clock(thread.thread().clone());
        Ok(Self {
            stopping,
            traffic: Arc::clone(traffic),
            thread: Some(thread),
        })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.traffic.pulse().wake();
        if let Some(thread) = self.thread.take() {
            // The thread runs nothing that can panic.
            let _ = thread.join();
        }
    }
}
