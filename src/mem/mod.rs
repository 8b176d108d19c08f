//! Memory with bounds: pooled buffers, per-request arenas, generational tables, shared byte ranges.
//!
//! Invariants:
//! - every byte handed out is charged to a cap, and comes home when its handle is dropped;
//! - a key of a slab names one value for ever: when the value is gone, so is the key;
//! - the steady state allocates nothing: what comes home is handed out again.
//!
//! Nothing here blocks, spawns, or reads a clock. All but [`ByteBudget`] and [`SharedBytes`] stay on one thread.

mod arena;
mod buffer_pool;
mod output;
mod sealed;
mod shared_bytes;
mod slab;
mod trim;

pub use arena::{Arena, ArenaFull, ArenaPool, PooledArena};
pub use buffer_pool::{BufferPool, BufferPoolStats, ByteBudget, PoolBuffer, PoolExhausted};
pub use output::{OUTPUT_SEGMENTS_MAX, Output, OutputFull, Segment};
pub use sealed::{SealKey, Sealed};
pub use shared_bytes::SharedBytes;
pub use slab::{Slab, SlabFull};
pub use trim::give_back;
