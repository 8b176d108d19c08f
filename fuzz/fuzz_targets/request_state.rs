//! The states that clients carry: only what was sealed is opened, and it comes back whole.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| margay::mcp::check::request_state(data));
