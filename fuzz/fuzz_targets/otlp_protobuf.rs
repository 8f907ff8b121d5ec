//! Requests over OTLP, in protobuf.

#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| fuzz::otlp_protobuf(body));
