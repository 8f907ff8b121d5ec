//! Queries over the delivered requests, for tests.

use super::{Payload, Request, Sketch, Span, StatsGroup};

/// A point of a metric, from a series or a sketch.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Point {
    pub tags: Vec<String>,
    /// Seconds since the epoch.
    pub ts: i64,
    /// Number of samples: 1 for a series point.
    pub cnt: i64,
    /// Equal to `min` and `max` for a series point.
    pub sum: f64,
    pub min: f64,
    pub max: f64,
}

pub(super) fn logs(requests: &[Request]) -> Vec<serde_json::Value> {
    requests
        .iter()
        .filter_map(|request| match &request.payload {
            Payload::Logs(logs) => Some(logs),
            _ => None,
        })
        .flatten()
        .cloned()
        .collect()
}

pub(super) fn points(requests: &[Request], metric: &str) -> Vec<Point> {
    let mut points = Vec::new();
    for request in requests {
        match &request.payload {
            Payload::Series(all) => {
                for series in all.iter().filter(|series| series.metric == metric) {
                    points.extend(series.points.iter().map(|point| Point {
                        tags: series.tags.clone(),
                        ts: point.timestamp,
                        cnt: 1,
                        sum: point.value,
                        min: point.value,
                        max: point.value,
                    }));
                }
            }
            Payload::Sketches(all) => {
                points.extend(all.iter().filter(|sketch| sketch.metric == metric).flat_map(distributions));
            }
            _ => {}
        }
    }
    points
}

pub(super) fn spans(requests: &[Request]) -> Vec<Span> {
    let payloads = requests.iter().filter_map(|request| match &request.payload {
        Payload::Traces(payload) => Some(&payload.tracer_payloads),
        _ => None,
    });
    payloads.flatten().flat_map(|tracer| &tracer.chunks).flat_map(|chunk| &chunk.spans).cloned().collect()
}

pub(super) fn stats(requests: &[Request]) -> Vec<StatsGroup> {
    let payloads = requests.iter().filter_map(|request| match &request.payload {
        Payload::Stats(payload) => Some(&payload.stats),
        _ => None,
    });
    payloads.flatten().flat_map(|client| &client.buckets).flat_map(|bucket| &bucket.groups).cloned().collect()
}

fn distributions(sketch: &Sketch) -> impl Iterator<Item = Point> {
    sketch.distributions.iter().map(|point| Point {
        tags: sketch.tags.clone(),
        ts: point.ts,
        cnt: point.cnt,
        sum: point.sum,
        min: point.min,
        max: point.max,
    })
}
