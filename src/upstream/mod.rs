//! Other MCP servers, called on behalf of our own clients: over HTTP(S), and over a child's standard input and output.
//!
//! ```text
//!   caller's message ─▶ multiplex (ids) ─▶ http: head + body ─▶ [tls] ─▶ ring
//!                                       └▶ stdio: a line ─────────────▶ ring (the child's stream)
//!   caller ◀─ multiplex (whose answer?) ◀─ http: events ◀─ [tls] ◀─ ring
//!                                       ◀─ stdio: lines ◀────────── ring
//! ```
//!
//! All but the spawning of children is a state machine over bytes and times: a shard drives it with its ring, a test with
//! slices. An upstream is not trusted: what it sends is bounded, its ids name only what it was asked, and what it says
//! of itself (its address, its era, its session) changes nothing beyond itself.
//!
//! Invariants: an answer reaches the caller whose request it answers, or nobody; every request that was begun ends in an
//! answer, a failure or a cancellation; nothing here grows without a bound that has a name.
#![forbid(unsafe_code)]

pub mod bridge;
pub mod credential;
pub mod envelope;
pub mod era;
pub mod http;
pub mod multiplex;
pub mod naming;
pub mod remote;
pub mod say;
pub mod session;
pub mod settings;
pub mod stdio;
pub mod task_id;
pub mod tls;
pub mod transport;
