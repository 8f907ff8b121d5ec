//! Distributions as the sketches intake takes them.
//!
//! Source: the public `agent-payload` protocol (`SketchPayload`), which the agent speaks to `/api/beta/sketches`.

use prost::Message;

use super::{Draft, Kind};
use crate::aggregate::points::Distribution;

/// The intake's limits on one request: entries, and bytes before compression.
const MAX_ENTRIES: usize = 1000;
const MAX_BYTES: usize = 62 << 20;

/// Origin numbers by which Datadog knows enhanced metrics of Lambda functions.
const ORIGIN_AGENT: u32 = 1;
const ORIGIN_LAMBDA: u32 = 38;
const ORIGIN_ENHANCED: u32 = 473;

/// As many requests as the limits ask for. Every entry carries the function's tags beside its own, sorted.
pub fn drafts(distributions: Vec<Distribution>, function_tags: &[String], level: i32) -> Vec<Draft> {
    let mut drafts = Vec::new();
    let mut open = SketchPayload::default();
    let mut open_bytes = 0;
    for distribution in distributions {
        let sketch = encode(&distribution, function_tags);
        // The tag and length in front of each entry take at most six bytes.
        let bytes = sketch.encoded_len() + 6;
        if open.sketches.len() == MAX_ENTRIES || (open_bytes + bytes > MAX_BYTES && !open.sketches.is_empty()) {
            drafts.push(close(&std::mem::take(&mut open), level));
            open_bytes = 0;
        }
        open.sketches.push(sketch);
        open_bytes += bytes;
    }
    if !open.sketches.is_empty() {
        drafts.push(close(&open, level));
    }
    drafts
}

fn close(payload: &SketchPayload, level: i32) -> Draft {
    let (body, items) = (payload.encode_to_vec(), payload.sketches.len());
    Draft { kind: Kind::Sketches, body, level: Some(level), items }
}

fn encode(distribution: &Distribution, function_tags: &[String]) -> Sketch {
    let mut tags: Vec<_> = function_tags.iter().chain(distribution.series.tags.iter()).cloned().collect();
    tags.sort();
    tags.dedup();
    let sketch = &distribution.sketch;
    let bins: Vec<_> = sketch.bins().collect();
    Sketch {
        metric: distribution.series.name.to_owned(),
        tags,
        dogsketches: vec![Dogsketch {
            ts: distribution.series.second,
            cnt: i64::try_from(sketch.count()).unwrap_or(i64::MAX),
            min: sketch.min(),
            max: sketch.max(),
            avg: sketch.average(),
            sum: sketch.sum(),
            k: bins.iter().map(|bin| i32::from(bin.key)).collect(),
            n: bins.iter().map(|bin| bin.count).collect(),
        }],
        metadata: Some(Metadata {
            origin: Some(Origin { product: ORIGIN_AGENT, category: ORIGIN_LAMBDA, service: ORIGIN_ENHANCED }),
        }),
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct SketchPayload {
    #[prost(message, repeated, tag = "1")]
    sketches: Vec<Sketch>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Sketch {
    #[prost(string, tag = "1")]
    metric: String,
    #[prost(string, repeated, tag = "4")]
    tags: Vec<String>,
    #[prost(message, repeated, tag = "7")]
    dogsketches: Vec<Dogsketch>,
    #[prost(message, optional, tag = "8")]
    metadata: Option<Metadata>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Dogsketch {
    #[prost(int64, tag = "1")]
    ts: i64,
    #[prost(int64, tag = "2")]
    cnt: i64,
    #[prost(double, tag = "3")]
    min: f64,
    #[prost(double, tag = "4")]
    max: f64,
    #[prost(double, tag = "5")]
    avg: f64,
    #[prost(double, tag = "6")]
    sum: f64,
    #[prost(sint32, repeated, tag = "7")]
    k: Vec<i32>,
    #[prost(uint32, repeated, tag = "8")]
    n: Vec<u32>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Metadata {
    #[prost(message, optional, tag = "1")]
    origin: Option<Origin>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Origin {
    #[prost(uint32, tag = "4")]
    product: u32,
    #[prost(uint32, tag = "5")]
    category: u32,
    #[prost(uint32, tag = "6")]
    service: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::{points::Series, sketch};
    use std::sync::Arc;

    fn distribution(second: i64) -> Distribution {
        let mut sketch = sketch::Sketch::default();
        sketch.insert(2.0);
        sketch.insert(4.0);
        let tags = Arc::from(["cold_start:true".to_owned(), "a:1".to_owned()]);
        Distribution { series: Series { name: "aws.lambda.enhanced.duration", tags, second }, sketch }
    }

    fn decode(draft: &Draft) -> SketchPayload {
        SketchPayload::decode(&draft.body[..]).unwrap()
    }

    #[test]
    fn an_entry_carries_both_kinds_of_tags_and_the_whole_sketch() {
        let drafts = drafts(vec![distribution(10)], &["b:2".to_owned(), "a:1".to_owned()], 3);
        let decoded = decode(&drafts[0]);
        let sketch = &decoded.sketches[0];
        assert_eq!(sketch.metric, "aws.lambda.enhanced.duration");
        assert_eq!(sketch.tags, ["a:1", "b:2", "cold_start:true"]);
        let dogsketch = &sketch.dogsketches[0];
        assert_eq!((dogsketch.ts, dogsketch.cnt), (10, 2));
        assert_eq!((dogsketch.min, dogsketch.max, dogsketch.avg, dogsketch.sum), (2.0, 4.0, 3.0, 6.0));
        assert_eq!((&dogsketch.k[..], &dogsketch.n[..]), (&[1383, 1427][..], &[1, 1][..]));
    }

    #[test]
    fn no_payload_has_more_than_a_thousand_entries_and_none_is_lost() {
        let drafts = drafts((0..2001).map(distribution).collect(), &[], 3);
        assert_eq!(drafts.iter().map(|draft| draft.items).collect::<Vec<_>>(), [1000, 1000, 1]);
        let seconds: Vec<_> =
            drafts.iter().flat_map(|draft| decode(draft).sketches).map(|sketch| sketch.dogsketches[0].ts).collect();
        assert_eq!(seconds, (0..2001).collect::<Vec<_>>());
    }

    #[test]
    fn nothing_makes_no_payload() {
        assert_eq!(drafts(vec![], &["a:1".to_owned()], 3), []);
    }
}
