//! Chunked bodies: the same data at every split, and the size lines read as httparse reads them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| margay::wire::chunked::check(
    data,
    margay_fuzz::chunk_size
));
