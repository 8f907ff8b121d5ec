//! Requests with statistics that a tracer has computed.

#![no_main]
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "a target needs some of the checks, and a check that cannot go on has failed"
)]

#[path = "../../tests/fuzz/checks.rs"]
mod checks;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| checks::statistics(body));
