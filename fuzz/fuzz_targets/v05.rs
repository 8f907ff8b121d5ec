//! Requests with traces of version 0.5.

#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| fuzz::v05(body));
