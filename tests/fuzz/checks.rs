//! What holds of every body that tracers and SDKs send, whatever it is. The targets in `fuzz/` check the same.

use bottlecap::{
    config::Config,
    platform::Environment,
    process::{
        otlp::{Encoding, NameRules, Settings, Traces, convert::invalid_spans, decode as otlp_decode},
        tags::FunctionTags,
        trace::{
            self, Pipeline, RecentSpans, Source, TraceSettings, TracerHeaders,
            decode::{self, Version},
            stats::{self, client},
        },
    },
};
use prost::Message as _;

/// Nanoseconds since the epoch.
const NOW: i64 = 1_700_000_000_000_000_000;

/// The pipeline of an extension that computes statistics.
pub fn pipeline() -> Pipeline {
    let function = FunctionTags::collect(&Environment::read(|_| None), None, &Config::default());
    let settings = TraceSettings { compute_stats: true, ..TraceSettings::default() };
    Pipeline::new(settings, &function, stats::Keys::default()).0
}

/// What the intake would be sent holds as many spans as were neither dropped for a reason nor sent before, and can be read.
pub fn traces(version: Version, pipeline: &Pipeline, body: &[u8]) {
    let headers = TracerHeaders::default();
    let (mut recent, mut repeated) = (RecentSpans::default(), 0);
    let Ok(traces) = decode::traces(version, body) else { return };
    let traces = traces.map(|spans| {
        spans.map(|mut spans| {
            repeated += recent.retain_new(&mut spans);
            spans
        })
    });
    let source = Source { headers: &headers, now: NOW, room: 10_000 };
    let Ok(output) = pipeline.run(source, traces) else { return };
    let counts = output.counts;
    let sent: usize = output.payloads.iter().map(|payload| payload.spans).sum();
    let dropped = counts.filtered + counts.self_traffic + counts.sampled_out + counts.oversized + counts.without_room;
    assert_eq!(counts.received, sent + dropped, "{counts:?}");
    assert!(counts.bytes < 10_000 + trace::OVERHEAD + 2_000);
    let payload = Agent::decode(trace::agent_payload(output.payloads)).unwrap();
    let chunks = payload.tracers.iter().flat_map(|tracer| &tracer.chunks);
    assert_eq!(chunks.map(|chunk| chunk.spans.len()).sum::<usize>(), sent);
}

#[derive(Clone, PartialEq, prost::Message)]
struct Agent {
    #[prost(message, repeated, tag = "5")]
    tracers: Vec<Tracer>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Tracer {
    #[prost(message, repeated, tag = "6")]
    chunks: Vec<Chunk>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Chunk {
    #[prost(bytes = "vec", repeated, tag = "3")]
    spans: Vec<Vec<u8>>,
}

/// Statistics of a tracer that are encoded for the intake stay the same when they are read and encoded again.
pub fn statistics(body: &[u8]) {
    if let Ok(Some(client)) = client::read(body, 10) {
        assert_eq!(client::read(client.bytes(), 10), Ok(Some(client)));
    }
}

/// Every span of an OTLP request is sent or counted, with either version of the rules for names.
pub fn otlp(encoding: Encoding, pipeline: &Pipeline, body: &[u8]) {
    let first = Settings { names: NameRules::First, top_level_by_kind: true, ..Settings::default() };
    let ignoring = Settings { ignore_missing_datadog_fields: true, ..Settings::default() };
    for settings in [Settings::default(), first, ignoring] {
        let Ok(request) = otlp_decode::request(encoding, body) else { return };
        let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
        let (spans, invalid) = (scopes.map(|scope| scope.spans.len()).sum::<usize>(), invalid_spans(&request));
        let headers = TracerHeaders::default();
        let source = Source { headers: &headers, now: NOW, room: 20_000 };
        let Ok(output) = pipeline.run(source, Traces::new(request, &settings)) else { continue };
        let counts = output.counts;
        let sent: usize = output.payloads.iter().map(|payload| payload.spans).sum();
        let dropped = counts.self_traffic + counts.sampled_out + counts.oversized + counts.without_room;
        assert_eq!((counts.received + invalid, counts.received), (spans, sent + dropped), "{counts:?}");
    }
}
