//! One MCP message, over stdio and over HTTP: scanned, routed, answered or refused in valid JSON.
#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| margay::mcp::check::message(body));
