//! Header values and a body that must say the same: a request is served only if both do.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| margay::mcp::check::head_and_body(data));
