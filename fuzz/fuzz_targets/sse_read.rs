//! Event streams: the same items at every split, and those of a naive reading.
#![no_main]

libfuzzer_sys::fuzz_target!(|stream: &[u8]| margay::wire::sse::check_reader(stream));
