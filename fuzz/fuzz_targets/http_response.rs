//! HTTP response heads: the same verdict at every split, and nothing accepted that httparse refuses.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| margay::wire::http1::client::check(
    data,
    margay_fuzz::http_response
));
