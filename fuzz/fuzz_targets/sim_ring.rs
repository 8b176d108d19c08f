//! The socket driver under a simulated, faulty kernel: no byte lost, doubled or crossed, nothing kept.
#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| margay_fuzz::sim_ring::check(script));
