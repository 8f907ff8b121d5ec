//! Trace statistics as their intake takes them.

use super::{
    Kind, Target, UnsealedPayload,
    descriptor::{Descriptor, Encoding, Success},
};
use crate::{
    config::Apm,
    process::trace::stats::{self, ClientPayload},
};

/// What the intake of trace statistics takes. It answers 202 where it has accepted them; other successes come from something in between.
pub(super) const DESCRIPTOR: Descriptor = Descriptor {
    name: "STATS",
    path: "/api/v0.2/stats",
    content_type: "application/msgpack",
    headers: &[],
    encoding: Encoding::Gzip,
    max_sealed_bytes: None,
    success: Success::Accepted,
};

/// Encoded statistics as one payload.
pub fn unsealed(batch: &[ClientPayload], settings: &Apm) -> UnsealedPayload {
    UnsealedPayload {
        kind: Kind::Stats,
        head: None,
        body: stats::payload(batch.iter()).into(),
        // Gzip has one level here.
        level: Some(0),
        items: batch.iter().map(|payload| payload.groups).sum(),
        to: Target::all(&settings.additional_endpoints),
        plain_to: Vec::new(),
    }
}
