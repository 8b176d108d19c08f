//! Tasks: calls that nobody waits for, and that are not lost once they were acknowledged.
//!
//! ```text
//! shard ── make, update, cancel ──▶ engine ── record ──▶ recorder ──▶ STATE_DIR/tasks/<id>.json
//!   ▲                                 │  └──── run ────▶ workers
//!   └── get, list, follow ◀── table ◀─┘ (after the disk has it)
//! ```
//!
//! A [`Record`] is a task at one moment; a [`Life`] decides, purely, what follows from what happens to it; the engine ([`Tasks`]) stores, runs
//! and stops; the [`Table`] is what everybody reads, without a lock; [`wire`] writes both forms of the protocol.
//!
//! Invariants: a task is acknowledged, and a step of it seen, only once it is on the disk; a crash at any moment leaves each
//! acknowledged task as it was last seen or one step further; a task that was at work then has failed and says why;
//! nothing here is without a bound.
#![forbid(unsafe_code)]

mod engine;
mod file;
mod folder;
mod handle;
mod id;
mod life;
mod record;
mod run;
#[cfg(test)]
mod samples;
mod table;
mod time;
mod who;
pub mod wire;

pub use file::{Unreadable, check};
pub use folder::{Folder, Purpose, Store};
pub use handle::{EngineOptions, NewTask, Reply, Tasks, Watcher};
pub use id::{Owner, TaskId};
pub use life::{Action, Bounds, Event, Life, Refused, Word};
pub use record::{Answered, Order, Question, Record, RunEnd, State, Work};
pub use run::{ComponentRunner, Done, NotRun, Runner, Stop};
pub use table::{Entry, Follow, Table, TaskCounts, TaskPage};
pub use who::Who;
