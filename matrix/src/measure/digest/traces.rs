//! Spans, trace statistics and what is passed on, as parts of the digest.
//!
//! Times are left out, ids are blanked (which spans have one in common counts, and so who is whose parent), and requests, tracer payloads and chunks may be cut
//! as they like.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{BUILD_TAGS, Content, MACHINE_TAGS, Total, canonical, tags};
use crate::sandbox::intake::{AgentPayload, ProxiedBody, Request, Span, StatsPayload, TraceChunk, TracerPayload};

/// Numeric tags that differ between any two runs; that they are there counts.
const MEASURED: [&str; 3] = ["process_id", "system.pid", "_dd.tracer_kr"];
/// The tag that holds all of the function's tags.
const FUNCTION_TAGS: &str = "_dd.tags.function";

impl Content {
    pub(super) fn traces(&mut self, payload: &AgentPayload) {
        for tracer in &payload.tracer_payloads {
            for chunk in &tracer.chunks {
                chunk.spans.iter().for_each(|span| self.span(payload, tracer, chunk, span));
            }
        }
    }

    fn span(&mut self, payload: &AgentPayload, tracer: &TracerPayload, chunk: &TraceChunk, span: &Span) {
        let mut ids = Vec::new();
        // A trace and a span may have the same number by chance.
        let mut id = |kind: &str, number: u64| {
            // A root has no parent, and every trace has one.
            if number == 0 {
                return "none";
            }
            ids.push(format!("{kind} {number}"));
            "(id)"
        };
        let links: Vec<Value> = span
            .links
            .iter()
            .map(|link| {
                json!([
                    id("trace", link.trace_id),
                    id("span", link.span_id),
                    link.attributes,
                    link.tracestate,
                    link.flags
                ])
            })
            .collect();
        let events: Vec<Value> = span.events.iter().map(|event| json!([event.name, event.attributes])).collect();
        let element = json!({
            "span": [span.service, span.name, span.resource, span.kind, span.error],
            "ids": [id("trace", span.trace_id), id("span", span.span_id), id("span", span.parent_id)],
            "meta": meta(&span.meta),
            "metrics": span.metrics.iter().map(|(key, value)| (key.clone(), number(key, *value))).collect::<BTreeMap<_, _>>(),
            "meta_struct": span.meta_struct,
            "links": links,
            "events": events,
            "chunk": [json!(chunk.priority), json!(chunk.origin), json!(meta(&chunk.tags)), json!(chunk.dropped)],
            "tracer": [
                tracer.container_id, tracer.language_name, tracer.language_version, tracer.tracer_version, tracer.runtime_id,
                tracer.env, tracer.hostname, tracer.app_version,
            ],
            "tracer tags": meta(&tracer.tags),
            "agent": [json!(payload.hostname), json!(payload.env), json!(meta(&payload.tags))],
        });
        let text = canonical("", &element, &mut ids).to_string();
        self.elements.push(super::TextWithoutIds { text, ids });
    }

    /// Over all intervals: in which of them a span ends depends on the time.
    pub(super) fn stats(&mut self, payload: &StatsPayload) {
        for client in &payload.stats {
            for group in client.buckets.iter().flat_map(|bucket| &bucket.groups) {
                let mut peers = group.peer_tags.clone();
                peers.sort_unstable();
                let what = json!({
                    "stats": [group.service, group.name, group.resource, group.kind, group.span_kind],
                    "status": [group.http_status.to_string(), group.grpc_status.clone()],
                    "http": [group.http_method, group.http_endpoint],
                    "root": [json!(group.is_trace_root), json!(group.synthetics)],
                    "peers": peers,
                    "source": group.service_source,
                    "client": [client.hostname, client.env, client.version, client.lang, client.tracer_version, client.service],
                    "computed": payload.client_computed,
                });
                for (name, count) in [
                    ("hits", number_of(group.hits)),
                    ("errors", number_of(group.errors)),
                    ("top level", number_of(group.top_level_hits)),
                    ("durations", group.ok_count),
                    ("durations of errors", group.error_count),
                ] {
                    self.total("", &json!({"count": name, "of": what}), Total { count: 0, sum: count });
                }
            }
        }
    }

    pub(super) fn proxied(&mut self, request: &Request, body: &ProxiedBody) {
        let tags = request.header("x-datadog-additional-tags");
        self.element(&json!({"proxied": request.path, "type": body.content_type, "hash": body.sha256, "tags": tags}));
    }
}

/// Tags without those that name the build, and without the values of those that depend on the machine.
fn meta(tags: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let kept = tags.iter().filter(|(key, _)| !BUILD_TAGS.contains(&key.as_str()));
    let value = |key: &str, value: &str| match key {
        FUNCTION_TAGS => self::tags(value.split(',')),
        key if MACHINE_TAGS.contains(&key) => String::new(),
        _ => value.to_owned(),
    };
    kept.map(|(key, text)| (key.clone(), value(key, text))).collect()
}

fn number(key: &str, value: f64) -> Value {
    if MEASURED.contains(&key) { json!("(measured)") } else { json!(value) }
}

#[expect(clippy::cast_precision_loss, reason = "nobody sends 2^53 spans")]
fn number_of(count: u64) -> f64 {
    count as f64
}
