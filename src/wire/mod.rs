//! The bytes of the protocols: HTTP/1.1 heads and bodies, JSON, event streams and stdio lines.
//!
//! Invariants: a verdict depends on the bytes alone, never on how they were split into reads; no input makes a
//! function here panic; work and memory grow linearly with the input. Everything is a function over slices, and
//! writers append to the caller's buffer. This module never touches a socket, a clock, a file or a runtime, and it
//! never mends what it reads: what is ambiguous is refused.
#![forbid(unsafe_code)]

pub mod chunked;
pub mod http1;
pub mod json;
pub mod sse;
pub mod stdio;
