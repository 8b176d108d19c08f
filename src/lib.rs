//! Margay: WebAssembly components served as MCP tools, and the gateway in front of other MCP servers, in one process, on io_uring.
//!
//! ```text
//!  clients ──HTTP/1.1──▶ shard 0..N-1 ── scan ── route ──┬─ lease ──▶ component instance (this thread)
//!                            │  ▲                        │      └───▶ worker thread (calls that outlive a slice)
//!                            │  │                        └─ home ───▶ upstream over HTTP(S), or a supervised child
//!                            │  └── mailbox: finished calls, words between homes, new catalogue, drain
//!                            ├──▶ recorder thread: access log, component store, tasks' files
//!                            ├──▶ tasks thread: calls that nobody waits for, on the workers
//!                            └──▶ counters + histograms ──▶ control thread: /metrics, /healthz, /readyz
//! ```
//!
//! A **shard** is one thread with its own listener, ring, buffers, arenas and warm instances; nothing mutable is
//! shared between shards but the catalogue snapshot, the session table and bounded queues. What leads to an upstream has one
//! **home**, the shard that owns it, and calls from others go there as words. The modules stand here
//! in dependency order: each imports only from those above it, and a test holds that.

pub mod limits;

pub mod error;

#[allow(unsafe_code)]
pub mod mem;

pub mod audit;

pub mod secret;

#[allow(unsafe_code)]
pub mod ring;

pub mod wire;

pub mod mcp;

pub mod policy;

pub mod component;

pub mod upstream;

pub mod gateway;

pub mod catalog;

pub mod tape;

pub mod task;

pub mod metrics;

pub mod shard;

pub mod control;

pub mod cli;
