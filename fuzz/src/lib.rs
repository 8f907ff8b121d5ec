//! What the targets do with an input: the checks of `cargo test`, for one decoder each.

#![allow(clippy::unwrap_used, reason = "a check that cannot go on has failed")]

#[path = "../../tests/fuzz/checks.rs"]
mod checks;

use std::sync::LazyLock;

use bottlecap::process::{
    otlp::Encoding,
    trace::{Pipeline, decode::Version},
};

static PIPELINE: LazyLock<Pipeline> = LazyLock::new(checks::pipeline);

/// Traces of version 0.4.
pub fn v04(body: &[u8]) {
    checks::traces(Version::V04, &PIPELINE, body);
}

/// Traces of version 0.5.
pub fn v05(body: &[u8]) {
    checks::traces(Version::V05, &PIPELINE, body);
}

/// Statistics that a tracer has computed.
pub fn stats(body: &[u8]) {
    checks::statistics(body);
}

/// A request over OTLP, in protobuf.
pub fn otlp_protobuf(body: &[u8]) {
    checks::otlp(Encoding::Protobuf, &PIPELINE, body);
}

/// A request over OTLP, in JSON.
pub fn otlp_json(body: &[u8]) {
    checks::otlp(Encoding::Json, &PIPELINE, body);
}
