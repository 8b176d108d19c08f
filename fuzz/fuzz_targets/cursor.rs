//! The cursors of lists: a name comes back from its own, and nothing else is one.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| margay::mcp::check::cursor(data));
