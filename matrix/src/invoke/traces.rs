//! What arrived of traces: each one as a tree, and the statistics of spans added up.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::log::Log;
use super::security::{self, SecurityEvent};
use crate::sandbox::intake::{Payload, Request, Span, StatsGroup};

/// A trace that was delivered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trace {
    /// The low half, decimal.
    pub trace_id: String,
    /// The invocation that the trace belongs to.
    pub request_id: Option<String>,
    /// From the invocation's event to the beginning of the trace, milliseconds.
    pub starts_ms: Option<f64>,
    /// A parent before its children, and those in the order in which they begin.
    pub spans: Vec<TraceSpan>,
}

/// A span of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TraceSpan {
    /// How many spans stand above it.
    pub depth: usize,
    pub name: String,
    pub service: String,
    pub resource: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// From the beginning of the trace, milliseconds.
    pub starts_ms: f64,
    pub duration_ms: f64,
    pub error: bool,
    pub error_message: Option<String>,
    /// Decimal.
    pub span_id: String,
    pub request_id: Option<String>,
    pub tags: BTreeMap<String, String>,
    pub metrics: BTreeMap<String, f64>,
    /// Those that carry the span's id.
    pub logs: Vec<Log>,
    /// What was found in the request and its response.
    pub security_events: Vec<SecurityEvent>,
}

/// The moment at which an invocation began, its event on its way to the function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvocationStart {
    pub request_id: String,
    /// Nanoseconds since the epoch.
    pub at: i64,
}

/// Statistics of one operation over the whole run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Operation {
    pub name: String,
    pub service: String,
    pub resource: String,
    pub hits: u64,
    pub errors: u64,
    pub top_level_hits: u64,
    /// Of all of them together.
    pub duration_ms: f64,
}

/// The traces in the order in which they begin.
pub fn traces(delivered: &[&Request], invocations: &[InvocationStart], logs: &[Log]) -> Vec<Trace> {
    let mut by_id: BTreeMap<u64, Vec<&Span>> = BTreeMap::new();
    let payloads = delivered.iter().filter_map(|request| match &request.payload {
        Payload::Traces(payload) => Some(&payload.tracer_payloads),
        _ => None,
    });
    for span in payloads.flatten().flat_map(|tracer| &tracer.chunks).flat_map(|chunk| &chunk.spans) {
        by_id.entry(span.trace_id).or_default().push(span);
    }
    let mut logs_of: BTreeMap<&str, Vec<&Log>> = BTreeMap::new();
    for log in logs {
        log.span_id.iter().for_each(|id| logs_of.entry(id.as_str()).or_default().push(log));
    }
    let mut traces: Vec<(i64, Trace)> = by_id.into_iter().map(|(id, spans)| tree(id, spans, invocations)).collect();
    traces.sort_by_key(|(start, _)| *start);
    for span in traces.iter_mut().flat_map(|(_, trace)| &mut trace.spans) {
        span.logs = logs_of.get(span.span_id.as_str()).into_iter().flatten().map(|log| (*log).clone()).collect();
    }
    traces.into_iter().map(|(_, trace)| trace).collect()
}

fn tree(id: u64, mut spans: Vec<&Span>, invocations: &[InvocationStart]) -> (i64, Trace) {
    spans.sort_by_key(|span| (span.start, span.span_id));
    let start = spans.first().map_or(0, |span| span.start);
    let ids: BTreeSet<u64> = spans.iter().map(|span| span.span_id).collect();
    let mut children: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (index, span) in spans.iter().enumerate() {
        children.entry(span.parent_id).or_default().push(index);
    }
    let mut tree = Tree { start, spans: &spans, children, placed: vec![false; spans.len()], rows: Vec::new() };
    // Roots, and spans whose parents are somewhere else.
    for (index, span) in spans.iter().enumerate() {
        if !ids.contains(&span.parent_id) || span.parent_id == span.span_id {
            tree.place(index);
        }
    }
    // Spans that are each other's parents.
    (0..spans.len()).for_each(|index| tree.place(index));
    let rows = tree.rows;
    let invocation = invocation_of(&spans, start, invocations);
    let trace = Trace {
        trace_id: id.to_string(),
        request_id: invocation.map(|invocation| invocation.request_id.clone()),
        starts_ms: invocation.map(|invocation| milliseconds(start.saturating_sub(invocation.at))),
        spans: rows,
    };
    (start, trace)
}

/// The invocation whose request id the spans have, or else the last one that began before them. A retry has the request id of its first attempt.
fn invocation_of<'i>(spans: &[&Span], start: i64, invocations: &'i [InvocationStart]) -> Option<&'i InvocationStart> {
    let named = spans.iter().find_map(|span| span.meta.get("request_id"));
    let of_name = |invocation: &&InvocationStart| named.is_none_or(|named| invocation.request_id == *named);
    let latest = invocations.iter().rev().filter(of_name).find(|invocation| invocation.at <= start);
    latest.or_else(|| named.and_then(|_| invocations.iter().find(of_name)))
}

struct Tree<'s> {
    start: i64,
    spans: &'s [&'s Span],
    /// By the parent's id.
    children: BTreeMap<u64, Vec<usize>>,
    placed: Vec<bool>,
    rows: Vec<TraceSpan>,
}

impl Tree<'_> {
    /// Adds a span and all below it. Without recursion: a trace may be as deep as it is long.
    fn place(&mut self, root: usize) {
        let mut waiting = vec![(root, 0)];
        while let Some((index, depth)) = waiting.pop() {
            let (Some(span), Some(placed)) = (self.spans.get(index), self.placed.get_mut(index)) else { continue };
            if std::mem::replace(placed, true) {
                continue;
            }
            self.rows.push(row(span, depth, self.start));
            let children = self.children.get(&span.span_id).into_iter().flatten();
            waiting.extend(children.rev().map(|child| (*child, depth + 1)));
        }
    }
}

fn row(span: &Span, depth: usize, start: i64) -> TraceSpan {
    TraceSpan {
        depth,
        name: span.name.clone(),
        service: span.service.clone(),
        resource: span.resource.clone(),
        kind: span.kind.clone(),
        starts_ms: milliseconds(span.start.saturating_sub(start)),
        duration_ms: milliseconds(span.duration),
        error: span.error != 0,
        error_message: ["error.message", "error.msg"].iter().find_map(|key| span.meta.get(*key).cloned()),
        span_id: span.span_id.to_string(),
        request_id: span.meta.get("request_id").cloned(),
        tags: span.meta.clone(),
        metrics: span.metrics.clone(),
        logs: Vec::new(),
        security_events: security::events(&span.meta),
    }
}

/// The operations by service, name and resource.
pub fn operations(delivered: &[&Request]) -> Vec<Operation> {
    let mut operations: BTreeMap<[&str; 3], Operation> = BTreeMap::new();
    let payloads = delivered.iter().filter_map(|request| match &request.payload {
        Payload::Stats(payload) => Some(&payload.stats),
        _ => None,
    });
    for group in payloads.flatten().flat_map(|client| &client.buckets).flat_map(|bucket| &bucket.groups) {
        let StatsGroup { service, name, resource, .. } = group;
        let operation = operations.entry([service, name, resource]).or_insert_with(|| Operation {
            name: name.clone(),
            service: service.clone(),
            resource: resource.clone(),
            ..Operation::default()
        });
        operation.hits += group.hits;
        operation.errors += group.errors;
        operation.top_level_hits += group.top_level_hits;
        operation.duration_ms += milliseconds(i64::try_from(group.duration).unwrap_or(i64::MAX));
    }
    operations.into_values().collect()
}

#[expect(clippy::cast_precision_loss, reason = "shown to a tenth of a millisecond")]
fn milliseconds(nanoseconds: i64) -> f64 {
    nanoseconds as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: u64, parent: u64, start: i64) -> Span {
        Span {
            name: format!("span {id}"),
            trace_id: 1,
            span_id: id,
            parent_id: parent,
            start: start * 1_000_000,
            duration: 2_500_000,
            ..Span::default()
        }
    }

    fn depths(spans: &[Span]) -> Vec<(String, usize)> {
        let (_, trace) = tree(1, spans.iter().collect(), &[]);
        trace.spans.into_iter().map(|span| (span.span_id, span.depth)).collect()
    }

    #[test]
    fn children_follow_their_parents_in_the_order_of_their_starts() {
        let spans = [span(4, 2, 3), span(3, 1, 5), span(1, 0, 1), span(2, 1, 2), span(9, 77, 8)];
        let expected = [("1", 0), ("2", 1), ("4", 2), ("3", 1), ("9", 0)];
        assert_eq!(depths(&spans), expected.map(|(id, depth)| (id.to_owned(), depth)));
    }

    #[test]
    fn spans_that_are_each_others_parents_are_shown_once() {
        assert_eq!(depths(&[span(1, 2, 1), span(2, 1, 2), span(3, 3, 3)]).len(), 3);
    }

    #[test]
    fn a_trace_belongs_to_the_invocation_that_it_names_or_began_in() {
        let start = |id: &str, at: i64| InvocationStart { request_id: id.to_owned(), at: at * 1_000_000 };
        let invocations = [start("r1", 10), start("r2", 20), start("r1", 30)];
        let of = |begin: i64, named: Option<&str>| {
            let meta = named.map(|id| ("request_id".to_owned(), id.to_owned())).into_iter().collect();
            let spans = [Span { meta, ..span(1, 0, begin) }];
            let (_, trace) = tree(1, spans.iter().collect(), &invocations);
            trace.request_id.zip(trace.starts_ms)
        };
        let found = |id: &str, starts_ms: f64| Some((id.to_owned(), starts_ms));
        assert_eq!(of(5, None), None);
        assert_eq!(of(22, None), found("r2", 2.0));
        assert_eq!(of(32, Some("r2")), found("r2", 12.0));
        assert_eq!(of(33, Some("r1")), found("r1", 3.0), "a retry");
        assert_eq!(of(9, Some("r1")), found("r1", -1.0), "an init that precedes it");
    }

    #[test]
    fn times_are_relative_to_the_beginning_of_the_trace() {
        let spans = [span(1, 0, 10), span(2, 1, 14)];
        let (_, trace) = tree(1, spans.iter().collect(), &[]);
        let times: Vec<_> = trace.spans.iter().map(|span| (span.starts_ms, span.duration_ms)).collect();
        assert_eq!(times, [(0.0, 2.5), (4.0, 2.5)]);
    }
}
