//! Trace stats: how often, how long and with how many errors each kind of operation ran, from all spans, also those that are never sent.
//!
//! ```text
//! Pipeline::run ──▶ Groups ──▶ Concentrator::merge ──▶ flush ──▶ ClientPayload ──┐
//!                   one request  10-second buckets                               ├──▶ payload
//! /v0.6/stats body ──────────────────▶ client::read ───────────▶ ClientPayload ──┘
//! ```
//!
//! Source: Datadog's `stats.proto`; the buckets, keys and eligibility of the full agent. Written by hand: `libdd-trace-stats` keeps seven owned strings a group and
//! brings an HTTP client, and its spans are the owned ones of `libdd-trace-protobuf`.

pub mod client;

mod concentrator;
mod encode;
mod groups;
mod key;
mod peer;
mod sketch;

pub use concentrator::{CollapsedGroups, Concentrator, Flush};
pub use encode::{ClientPayload, MAX_PAYLOAD_BYTES, Origin, payload};
pub use groups::Groups;
pub use key::Keys;

/// The width of a bucket in nanoseconds.
pub const BUCKET_NANOSECONDS: i64 = 10_000_000_000;

/// The start of the bucket that a time falls into, both in nanoseconds since the epoch.
fn aligned(time: i64) -> i64 {
    time.div_euclid(BUCKET_NANOSECONDS).saturating_mul(BUCKET_NANOSECONDS)
}
