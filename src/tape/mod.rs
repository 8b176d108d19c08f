//! The recorder: one thread that writes files for the whole appliance, so that no shard ever waits for a disk.
//!
//! - Shards push **frames** into bounded lanes ([`LogProducer::try_push`]): no lock, no wait, no allocation once warm. What does
//!   not fit is dropped and counted.
//! - The thread gathers frames into registered buffers, appends them, and syncs in groups: one sync answers everyone
//!   who asked for durability meanwhile.
//! - A log whose write or sync failed is **sealed**: cut back to its last whole frame, set aside under a new name, and
//!   a new file is begun after a pause. After a failed sync nobody can know what the disk holds, so nothing is appended
//!   to it; what was lost is counted.
//! - Whole files are replaced **atomically**: temporary file, sync, rename, sync of the directory.
//! - Stopping drains every lane.
//!
//! It runs on tokio-uring; hosts that forbid io_uring get the same recorder on ordinary system calls ([`Backend`]).
//! It never reads what it has written, but for cutting a torn last line when a log is opened.
#![forbid(unsafe_code)]

mod audit;
mod disk;
mod files;
mod lane;
mod log;
mod recorder;
#[cfg(test)]
mod tests;

/// Memory that the recorder registers with the kernel, which counts against the locked-memory limit.
///
/// Units: bytes.
pub const REGISTERED_BYTES: u64 = (disk::BUFFER_BYTES * disk::BUFFER_COUNT) as u64;

pub use audit::{
    AuditLane, AuditLog, AuditOptions, AuditStats, HEAD_FILE, Kept, Segment, segments,
};
pub use lane::LogProducer;
pub use log::{LogOptions, LogStats};
pub use recorder::{Backend, LogKey, Recorder, RecorderHandle, Stopped};
