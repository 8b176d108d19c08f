//! What a session keeps for its client, over any course of appending, leaving and coming back.
#![no_main]

libfuzzer_sys::fuzz_target!(|course: &[u8]| margay::mcp::check::events(course));
