//! Requests with traces of version 0.4.

#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| fuzz::v04(body));
