//! Spans as the trace intake takes them.
//!
//! Source: the public `agent-payload` protocol, which the agent speaks to `/api/v0.2/traces`.

use super::{
    Kind, Target, UnsealedPayload,
    descriptor::{Descriptor, Encoding, Success},
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::{
        config::Config,
        intake::MemoryBudget,
        platform::Environment,
        process::{
            tags::FunctionTags,
            trace::{Pipeline, Source, Span, TraceSettings, TracerHeaders, stats::Keys},
        },
    };

    fn payload(pipeline: &Pipeline, bytes: usize) -> TracerPayload {
        let source = Source { headers: &TracerHeaders::default(), now: 0, room: usize::MAX };
        let span = Span { trace_id: 1, span_id: 1, resource: "x".repeat(bytes).into(), ..Span::default() };
        pipeline.run(source, [Ok::<_, Infallible>(vec![span])]).unwrap().payloads.remove(0)
    }

    #[test]
    fn many_requests_of_spans_take_the_memory_of_their_bytes() {
        let config = Config::default();
        let tags = FunctionTags::collect(&Environment::read(|_| None), None, &config);
        let (pipeline, _) = Pipeline::new(TraceSettings::default(), &tags, Keys::default());
        // Doubling a buffer of 1 MB until all fit would end at 16 MB.
        let payloads: Vec<_> = (0..9).map(|_| payload(&pipeline, 1_000_000)).collect();
        let mut batch = unsealed(payloads, &config.apm);
        let budget = MemoryBudget::default();
        batch.body.count_in(&budget);
        assert!(batch.body.len() > 9_000_000 && batch.items == 9);
        assert!(budget.used() < batch.body.len() + 1000, "{} for {}", budget.used(), batch.body.len());
    }
}
