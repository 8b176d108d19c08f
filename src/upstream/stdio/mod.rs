//! Upstreams over stdio: children that live as long as they are wanted, and no longer.
//!
//! ```text
//!   margay ──spawns──▶ keeper ──spawns──▶ launcher ──becomes──▶ the server, and whatever it starts
//!      ▲                 │ waits for margay's end, the server's end, and margay's word
//!      └── stream (socketpair): the server's standard input and output; a shard's ring adopts it
//! ```
//!
//! A program that dies takes nothing with it by itself, and one that is killed cannot clean up. So every child has a
//! *keeper*: this same binary, which outlives margay just long enough to end the child and all that it started, whatever
//! process group they have moved to. If the keeper is killed, the kernel ends the server. The *launcher* sets the resource
//! limits before the server runs its first instruction.
//!
//! What is run comes from the configuration and never from a message; it gets the environment that it was granted.

mod backoff;
mod keeper;
mod log;
mod spawn;
mod spec;
mod supervise;
mod tree;

pub use backoff::{Action, Lifetime, LifetimeRules};
pub use keeper::{keep, launch, not_launched};
pub use log::{ErrorLog, LogLine};
pub use spawn::{Spawned, Spawner, spawn};
pub use spec::{ChildSpec, KeepOptions, ResourceLimits, environment};
pub use supervise::{ChildEvent, Order, supervise};
