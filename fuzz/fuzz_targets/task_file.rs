//! The files of tasks: what is read is written and read again as it is.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| margay::task::check(data));
