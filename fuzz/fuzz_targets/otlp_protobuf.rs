//! Requests over OTLP, in protobuf.

#![no_main]
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "a target needs some of the checks, and a check that cannot go on has failed"
)]

#[path = "../../tests/fuzz/checks.rs"]
mod checks;

use std::sync::LazyLock;

use bottlecap::process::{otlp::Encoding, trace::Pipeline};
use libfuzzer_sys::fuzz_target;

static PIPELINE: LazyLock<Pipeline> = LazyLock::new(checks::pipeline);

fuzz_target!(|body: &[u8]| checks::otlp(Encoding::Protobuf, &PIPELINE, body));
