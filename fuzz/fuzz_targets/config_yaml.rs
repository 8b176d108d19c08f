//! The configuration file: any text is a configuration or one line that says what is wrong.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &[u8]| margay::control::config::check(text));
