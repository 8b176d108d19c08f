//! HTTP/1.1 heads: parsing requests strictly, framing their bodies, writing response heads; and the client's side of the
//! same in [`client`].
//!
//! Invariants: a head is judged line by line, each line once it is complete, and what concerns several lines (a field
//! twice, a missing `Host`, the framing) at the end; so the verdict is the same however the bytes arrive. Whoever gets
//! a [`HeadError`] answers with its status and closes: after any doubt about framing nothing more of that connection
//! can be believed. Nothing here allocates. It never accepts obsolete forms (folded lines, bare line feeds, white space
//! before a colon, HTTP/1.0 with chunks), and it has no notion of forwarding a head as it came.
//!
//! Source: RFC 9110, RFC 9112.
#![forbid(unsafe_code)]

mod bytes;
mod check;
pub mod client;
mod error;
mod field;
mod framing;
mod head;
mod line;
mod parse;
pub mod response;
mod target;

#[cfg(test)]
mod tests;

pub(super) use bytes::{is_token, is_value};
pub use check::check;
pub use error::HeadError;
pub use framing::Framing;
pub use head::{Fields, Head, Method, Version};
pub use parse::{HeadLimits, HeadScan, Parsed, parse_head, parse_head_from};
