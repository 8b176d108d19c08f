//! The integration tests: the binary as its users run it, and the rules that the sources keep.

// In a test a broken expectation is meant to panic.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod harness;
mod style;

mod allocations;
mod calls;
mod children;
mod command_line;
mod framing;
mod host;
mod legacy;
mod lifecycle;
mod modern;
mod regressions;
mod scale;
mod upstream;
