//! Any text from one era to the other: what was JSON stays JSON, and what has no meaning there stays as it was.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| margay::upstream::bridge::check(text));
