//! The integration tests: the binary as its users run it, and the rules that the sources keep.

// In a test a broken expectation is meant to panic.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod harness;
mod style;

mod allocations;
mod batches;
mod calls;
mod children;
mod command_line;
mod eras;
mod framing;
mod gateway;
mod hardening;
mod host;
mod http_sse;
mod legacy;
mod lifecycle;
mod modern;
mod news;
mod offers;
mod permissions;
mod questions;
mod regressions;
mod resumption;
mod scale;
mod security;
mod stdio;
mod streams;
mod tasks;
mod tls;
mod upstream;
