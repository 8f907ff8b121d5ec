//! Spans as the trace intake takes them.
//!
//! Source: the public `agent-payload` protocol, which the agent speaks to `/api/v0.2/traces`.

use super::{
    Kind, Target, UnsealedPayload,
    kind::{Descriptor, Encoding, Success},
};
use crate::{
    config::Apm,
    process::trace::{TracerPayload, agent_payload},
};

/// What the trace intake takes. The header asks for the status that an upload really has.
pub(super) const DESCRIPTOR: Descriptor = Descriptor {
    name: "TRACES",
    path: "/api/v0.2/traces",
    content_type: "application/x-protobuf",
    headers: &[("datadog-send-real-http-status", "1")],
    encoding: Encoding::Zstd,
    max_sealed_bytes: None,
    success: Success::Any,
};

/// Encoded spans as one payload.
pub fn unsealed(batch: Vec<TracerPayload>, settings: &Apm) -> UnsealedPayload {
    let items = batch.iter().map(|payload| payload.spans).sum();
    UnsealedPayload {
        kind: Kind::Traces,
        head: None,
        // Nobody else has them, so that no second buffer is needed.
        body: Vec::from(agent_payload(batch)).into(),
        level: Some(settings.compression_level),
        items,
        to: Target::all(&settings.additional_endpoints),
        plain_to: Vec::new(),
    }
}
