//! A question's word in the first line, a policy in the rest.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| margay::policy::permission::check(data));
