//! Lines on standard input: the same lines at every split, oversized ones refused and passed over.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| margay::wire::stdio::check(data));
