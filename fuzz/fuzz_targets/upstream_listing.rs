//! What an upstream says that it offers becomes lists, each name once, whatever it says.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| margay::catalog::check(data));
