//! The Model Context Protocol, without a transport: bytes and facts in, decisions and bytes out.
//!
//! ```text
//! body ─ scan ─▶ Message ─┐
//! head ─ HttpFacts ───────┼─ route ─▶ Invoke(Invocation) | Notice | Response      (or a Refusal, which writes itself)
//! Sessions, Principal ────┘                │
//!                        tool's members ───┴─ reply ─▶ body
//! ```
//!
//! Two eras are served side by side: the modern one (2026-07-28), whose requests stand alone, and the legacy one
//! (2025-03-26 to 2025-11-25, over stdio also 2024-11-05) with its handshake and sessions.
//!
//! Invariants: what is read from a message is read once and stands there once; a header never decides over what the body
//! says; an id goes back byte for byte; on the way from a body to a call and back nothing is allocated.
//!
//! Never here: a socket, a clock, a file, randomness, a thread. Time and random bytes are parameters.
#![forbid(unsafe_code)]

mod canonical;
pub mod capability;
pub mod changes;
pub mod check;
pub mod code;
pub mod cursor;
pub mod events;
pub mod headers;
pub mod host;
pub mod id;
pub mod list;
pub mod message;
pub mod method;
pub mod neutral;
pub mod refusal;
pub mod reply;
pub mod request_state;
pub mod revision;
pub mod route;
pub mod sessions;

pub use capability::{ClientCapabilities, LogLevel};
pub use changes::{Changes, News, SubscribeError, Subscriptions, Told};
pub use events::{EventId, SessionEvents, StreamId};
pub use headers::Accept;
pub use host::HostRules;
pub use id::{InlineId, RawId, WriteId};
pub use list::List;
pub use message::{Message, Shape, scan};
pub use method::Method;
pub use neutral::neutralise;
pub use refusal::{Reason, Refusal, ShortName, StateFault};
pub use reply::{CacheScope, Hints, Offer};
pub use request_state::{RequestDigest, RequestState, StateKey};
pub use revision::{Era, Revision};
pub use route::{
    HttpFacts, Invocation, Members, Notice, Operation, Respond, Retry, Route, Strings, TaskRequest,
    Trace,
};
pub use sessions::{NewSession, Principal, SessionId, Sessions, StreamClaim};
