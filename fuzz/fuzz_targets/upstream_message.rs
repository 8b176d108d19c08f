//! One message of an upstream: what is read can be changed in its ids and is otherwise the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| margay::upstream::envelope::check(body));
