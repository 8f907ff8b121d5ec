//! Points of ten seconds each, and the payload that is made of them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{Point, sketch::Sketch};
use crate::process::{Digest, msgpack::Writer};

/// Nanoseconds of a bucket.
const DURATION: i64 = 10_000_000_000;

/// Edges and buckets together that wait to be sent. Beyond, points are dropped and counted.
const MAX_GROUPS: usize = 1_000;

/// Service, environment and version that checkpoints are reported for.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The function's service as given, else its name.
    pub service: String,
    /// Empty if the customer gave none.
    pub env: String,
    pub version: String,
    pub sha256: Digest,
}

/// Points that wait to be sent, by time and edge.
#[derive(Debug, Default)]
pub struct Buckets {
    /// Groups by hash, in buckets by their beginning in nanoseconds since the epoch.
    by_start: BTreeMap<i64, HashMap<u64, Group>>,
    groups: usize,
    dropped: u64,
}

#[derive(Debug)]
struct Group {
    parent: u64,
    tags: Arc<[String]>,
    edge_latency: Sketch,
    pathway_latency: Sketch,
    bytes: Sketch,
}

impl Buckets {
    pub fn push(&mut self, point: Point) {
        let bucket = self.by_start.entry(point.time - point.time.rem_euclid(DURATION)).or_default();
        if !bucket.contains_key(&point.hash) {
            if self.groups >= MAX_GROUPS {
                self.dropped += 1;
                return;
            }
            self.groups += 1;
        }
        let group = bucket.entry(point.hash).or_insert_with(|| Group {
            parent: point.parent,
            tags: point.tags,
            edge_latency: Sketch::default(),
            pathway_latency: Sketch::default(),
            bytes: Sketch::default(),
        });
        group.edge_latency.insert(point.edge_latency);
        group.pathway_latency.insert(point.pathway_latency);
        group.bytes.insert(as_float(point.bytes));
    }

    /// Points that were dropped since the last call.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// The body of a request with all that waits, a msgpack document that is not compressed; None if nothing waits.
    pub fn drain(&mut self, origin: &Origin, tracer_version: &str, tags: &[&str]) -> Option<Vec<u8>> {
        self.groups = 0;
        let buckets = std::mem::take(&mut self.by_start);
        let buckets: Vec<_> = buckets.into_iter().filter(|(_, groups)| !groups.is_empty()).collect();
        if buckets.is_empty() {
            return None;
        }
        let mut writer = Writer::default();
        writer.map(7);
        for (key, text) in [
            ("Env", &*origin.env),
            ("Service", &origin.service),
            ("TracerVersion", tracer_version),
            ("Lang", "rust-extension"),
            ("Version", &origin.version),
        ] {
            writer.text(key);
            writer.text(text);
        }
        writer.text("Tags");
        texts(&mut writer, tags.iter().copied());
        writer.text("Stats");
        writer.array(buckets.len());
        for (start, groups) in &buckets {
            write_bucket(&mut writer, *start, groups);
        }
        Some(writer.into_bytes())
    }
}

fn write_bucket(writer: &mut Writer, start: i64, groups: &HashMap<u64, Group>) {
    writer.map(4);
    writer.text("Start");
    writer.unsigned(start.unsigned_abs());
    writer.text("Duration");
    writer.unsigned(DURATION.unsigned_abs());
    writer.text("Backlogs");
    writer.array(0);
    writer.text("Stats");
    writer.array(groups.len());
    for (hash, group) in groups {
        writer.map(6);
        writer.text("Hash");
        writer.unsigned(*hash);
        writer.text("ParentHash");
        writer.unsigned(group.parent);
        writer.text("EdgeTags");
        texts(writer, group.tags.iter().map(String::as_str));
        for (key, sketch) in [
            ("EdgeLatency", &group.edge_latency),
            ("PathwayLatency", &group.pathway_latency),
            ("PayloadSize", &group.bytes),
        ] {
            writer.text(key);
            writer.bytes(&sketch.encode());
        }
    }
}

fn texts<'t>(writer: &mut Writer, texts: impl ExactSizeIterator<Item = &'t str>) {
    writer.array(texts.len());
    texts.for_each(|text| writer.text(text));
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn as_float(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::tls::sha256;

    fn point(time: i64, hash: u64) -> Point {
        let tags = ["direction:in".to_owned(), "topic:t".to_owned()].into();
        Point { time, hash, parent: 3, tags, edge_latency: 0.5, pathway_latency: 2.0, bytes: 7 }
    }

    fn origin() -> Origin {
        Origin { service: "Shop".to_owned(), env: "prod".to_owned(), version: "2".to_owned(), sha256 }
    }

    #[test]
    fn points_are_sent_once_by_ten_seconds_and_edge() {
        let mut buckets = Buckets::default();
        assert_eq!(buckets.drain(&origin(), "1", &[]), None);
        for (time, hash) in [(15_000_000_000, 8), (19_999_999_999, 8), (20_000_000_000, 8), (11, 9)] {
            buckets.push(point(time, hash));
        }
        let payload = buckets.drain(&origin(), "1.2", &["team:a"]).unwrap();
        let text = String::from_utf8_lossy(&payload).into_owned();
        for part in ["Shop", "prod", "rust-extension", "1.2", "team:a", "direction:in", "topic:t"] {
            assert!(text.contains(part), "{part}");
        }
        assert_eq!(text.matches("Duration").count(), 3, "buckets");
        assert_eq!(text.matches("EdgeLatency").count(), 3, "edges, of which one has two points");
        assert_eq!(buckets.drain(&origin(), "1", &[]), None);
    }

    #[test]
    fn what_waits_is_bounded_and_the_rest_is_counted() {
        let mut buckets = Buckets::default();
        for hash in 0..1_500 {
            buckets.push(point(1, hash));
            buckets.push(point(1, 0));
        }
        assert_eq!((buckets.take_dropped(), buckets.take_dropped()), (500, 0));
        assert!(buckets.drain(&origin(), "1", &[]).is_some());
        buckets.push(point(1, 5_000));
        assert_eq!(buckets.take_dropped(), 0);
    }
}
