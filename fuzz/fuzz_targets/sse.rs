//! Any data as an event: read back, it is one event with the same lines.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| margay::wire::sse::check(data));
