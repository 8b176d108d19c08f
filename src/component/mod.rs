//! WebAssembly components as servers: loading, the instance pool, calls and their limits.
//!
//! A [`Component`] is immutable and digest-pinned; its tools' JSON Schemas and the plan from JSON text to component values are
//! made once, at load, and what it lists is asked for then and when it announces a change. A call takes a fresh instance, runs to
//! completion on the shard that asked, and only what is still computing after its first slice goes to a worker thread.
//! What a component writes against the package `margay:host` is in `host`.
//!
//! Invariants:
//! - an instance serves one call; nothing of one call can be seen by the next, unless the operator chose that for the component;
//! - a call that was started on a fiber is never dropped half way: it is told to stop, and traps within a tick or two;
//! - compiled code is executed only if this process compiled it, or if its authentication code verifies;
//! - whatever a guest does ends as a [`CallOutcome`]; no trap, limit or hang reaches the shard.
//!
//! Nothing here knows of HTTP or of JSON-RPC's frame: what goes in is the text of `params.arguments` or a [`Job`], what comes out are
//! the members of a result or of an error.
#![forbid(unsafe_code)]

mod cache;
mod call;
mod delivery;
mod engine;
mod grant;
mod host;
mod imports;
mod limits;
mod live;
mod load;
mod load_error;
mod mailbox;
mod options;
mod placed;
mod pool;
mod pulse;
mod runtime;
mod store;
mod tool;
mod traffic;
mod waits;
mod wasi;
pub mod wit;
mod worker;

#[cfg(test)]
pub(crate) mod tests;

pub use call::{
    CallContext, CallOutcome, CallReport, CallTimings, CancelHandle, Ending, Overloaded, Started,
};
pub use engine::{EngineChoice, EngineMode};
pub use grant::{Behalf, Grants, Injector, Resolve, Resolving, Value};
pub(crate) use host::header_bindings;
pub use host::{
    Announcement, Asked, Asking, Asks, CacheHints, Caller, CompletionRef, Definitions, Entry,
    Full as AsksFull, Job, OnAnswer, Outbox, Outgoing, PromptDefinition, Recorded, RemoteQuestion,
    ResourceDefinition, TaskSupport, TemplateDefinition, ToolDefinition,
};
pub use load::{Component, LoadError};
pub use mailbox::{Finished, Mailbox};
pub use options::{ComponentOptions, InstanceMode};
pub use pool::{InstancePool, PoolStats};
pub use runtime::{Runtime, RuntimeOptions, RuntimeStats, Secrets as ComponentSecrets};
pub use tool::{Skipped, Tool};
