//! What arrived of traces: each one as a tree, and the statistics of spans added up.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::sandbox::intake::{Payload, Request, Span, StatsGroup};

/// A trace that was delivered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trace {
    /// The low half, decimal.
    pub trace_id: String,
    /// A parent before its children, and those in the order in which they begin.
    pub spans: Vec<TraceSpan>,
}

/// A span of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TraceSpan {
    /// How many spans stand above it.
    pub depth: usize,
    pub name: String,
    pub service: String,
    pub resource: String,
    /// From the beginning of the trace, milliseconds.
    pub starts_ms: f64,
    pub duration_ms: f64,
    pub error: bool,
    /// Decimal.
    pub span_id: String,
    pub request_id: Option<String>,
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
pub fn traces(delivered: &[&Request]) -> Vec<Trace> {
    let mut by_id: BTreeMap<u64, Vec<&Span>> = BTreeMap::new();
    let payloads = delivered.iter().filter_map(|request| match &request.payload {
        Payload::Traces(payload) => Some(&payload.tracer_payloads),
        _ => None,
    });
    for span in payloads.flatten().flat_map(|tracer| &tracer.chunks).flat_map(|chunk| &chunk.spans) {
        by_id.entry(span.trace_id).or_default().push(span);
    }
    let mut traces: Vec<(i64, Trace)> = by_id.into_iter().map(|(id, spans)| tree(id, spans)).collect();
    traces.sort_by_key(|(start, _)| *start);
    traces.into_iter().map(|(_, trace)| trace).collect()
}

fn tree(id: u64, mut spans: Vec<&Span>) -> (i64, Trace) {
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
    (start, Trace { trace_id: id.to_string(), spans: rows })
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
        starts_ms: milliseconds(span.start.saturating_sub(start)),
        duration_ms: milliseconds(span.duration),
        error: span.error != 0,
        span_id: span.span_id.to_string(),
        request_id: span.meta.get("request_id").cloned(),
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
        let (_, trace) = tree(1, spans.iter().collect());
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
    fn times_are_relative_to_the_beginning_of_the_trace() {
        let spans = [span(1, 0, 10), span(2, 1, 14)];
        let (_, trace) = tree(1, spans.iter().collect());
        let times: Vec<_> = trace.spans.iter().map(|span| (span.starts_ms, span.duration_ms)).collect();
        assert_eq!(times, [(0.0, 2.5), (4.0, 2.5)]);
    }
}
