//! Argument text for a function with a parameter of every WIT type.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| margay_fuzz::arguments::check(text, margay_fuzz::json));
