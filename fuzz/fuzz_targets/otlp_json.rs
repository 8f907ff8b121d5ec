//! Requests over OTLP, in JSON.

#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| fuzz::otlp_json(body));
