//! The extension as Lambda sees it and as Datadog sees it: a black box in matrix's sandbox, in front of matrix's fake intake.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod answers;
mod appsec;
mod contract;
mod deliveries;
mod destinations;
mod durable;
mod exercise;
mod exhaustion;
mod extension_log;
mod extensions_api;
mod failures;
mod fips;
mod fips_proofs;
mod invocation_spans;
mod launcher;
mod libraries;
mod log_lines;
mod metrics;
mod node;
mod otel;
mod otlp;
mod outages;
mod redirects;
mod report_metrics;
mod retries;
mod runtime_proxy;
mod rust;
mod secrets;
mod settings;
mod stand_in;
mod startup_failures;
mod support;
mod tls_roots;
#[path = "../tls_server/mod.rs"]
#[expect(dead_code, reason = "the benchmark has use for more")]
mod tls_server;
mod tracers;
mod traces;
mod usage;
mod while_waiting;
