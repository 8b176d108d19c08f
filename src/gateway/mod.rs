//! Requests of our clients that upstreams answer: what the threads, and control, say to each other about them.
//!
//! ```text
//!   caller's thread ──Word::Begin──▶ home thread: Gateway ──Action──▶ transport ──▶ upstream
//!                   ◀─Word::Done─── (pure state machine) ◀─events─── transport ◀──
//!   control ──Word::Child──▶        ──News, ChildOrder──▶ control
//! ```
//!
//! What leads to an upstream (a session, a child, a shared connection) has one home: the thread that owns it. A call from
//! another thread goes there and back through the threads' ports; what it says before its answer goes straight into its outbox.
#![forbid(unsafe_code)]

mod word;

pub use word::{
    AskKey, Call, CallerKey, ChildKey, ChildNews, ChildOrder, ControlLink, Done, News, RawListing,
    Word,
};
