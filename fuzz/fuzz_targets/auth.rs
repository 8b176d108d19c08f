//! Who calls: whatever stands in the header or the certificate, nobody is let in by chance.
#![no_main]

libfuzzer_sys::fuzz_target!(|proof: &[u8]| margay::policy::auth::check(proof));
