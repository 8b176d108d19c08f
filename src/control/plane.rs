//! What control asks of the data plane.
//!
//! Everything here is called from control's thread; what takes long says so and is called on a blocking thread.

use std::future::Future;
use std::pin::Pin;

use crate::error::Problem;
use crate::metrics::{Extra, ShardMetrics};

use super::store::Change;

/// A future that control awaits.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The shards and what they share, as control sees them.
pub trait Plane: Send + Sync + 'static {
    /// Loads what was added, forgets what was removed, puts the new catalogue in force, and tells clients. Compiles: blocks.
    ///
    /// Errors: one for each component that could not be loaded; the others are served all the same.
    fn apply(&self, change: Change) -> Vec<Problem>;

    /// A copy of each shard's metrics, in their order; a shard that does not answer in time is left out.
    fn metrics(&self) -> Answer<'_, Vec<ShardMetrics>>;

    /// The numbers that no shard keeps.
    fn extra(&self) -> Vec<Extra>;

    /// How many shards there are.
    fn shard_count(&self) -> usize;

    /// How many tools can be called.
    fn tool_count(&self) -> usize;

    /// Housekeeping that is due once a second.
    fn tick(&self);

    /// Tells the shards to accept no more, finish and end.
    fn drain(&self);

    /// How many shards still run.
    fn running(&self) -> usize;

    /// How many tasks are at work.
    fn tasks_running(&self) -> usize;
}
