//! Requests with statistics that a tracer has computed.

#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| fuzz::stats(body));
