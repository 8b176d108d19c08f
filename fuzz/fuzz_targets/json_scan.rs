//! JSON texts: read and skipped alike, and nothing accepted that serde_json refuses.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| margay::wire::json::check(text, margay_fuzz::json));
