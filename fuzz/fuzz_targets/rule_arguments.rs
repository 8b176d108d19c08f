//! Arguments before rules: no spelling of them leads around an allow or a deny.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| margay::policy::rule::check(data));
