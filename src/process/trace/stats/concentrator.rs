//! Stats that wait to be sent, merged from all requests.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, HashSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use super::{
    BUCKET_NANOSECONDS, ClientPayload, Groups, MAX_PAYLOAD_BYTES, Origin, aligned,
    encode::{self, ClientHead},
    groups::{MAX_BINS, MAX_GROUPS, MAX_KEY_BYTES, Values},
    key::Key,
};
use crate::process::msgpack::Writer;

/// How many buckets stay when what is due is flushed: spans of them may still be on their way.
const KEPT_BUCKETS: i64 = 2;

/// Maximum numbers of distinct values in a bucket; the spans of further ones are counted under one.
const MAX_RESOURCES: usize = 1_024;
const MAX_ENDPOINTS: usize = 512;
const MAX_PEER_TAGS: usize = 512;
const MAX_ADDITIONAL_TAGS: usize = 100;

/// What stands for values of which there are too many; the backend knows it.
const BLOCKED: &str = "tracer_blocked_value";

/// Which buckets to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// Buckets whose ten seconds are over.
    Due,
    /// All, because the sandbox ends.
    All,
}

/// Counts of the groups of a request that were counted under another because there were too many, by what there was too much of. Where the request alone has too many
/// groups, their spans count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CollapsedGroups {
    pub groups: usize,
    pub resources: usize,
    pub endpoints: usize,
    pub peer_tags: usize,
    pub additional_tags: usize,
}

/// Merges the stats of requests in buckets of ten seconds.
#[derive(Debug)]
pub struct Concentrator {
    /// By start, in nanoseconds since the epoch.
    buckets: BTreeMap<i64, Bucket>,
    /// The start of the oldest bucket that still takes stats; older ones have left.
    oldest: i64,
    /// The function's own part of the origin, completed by the first tracer that says the rest.
    origin: Origin,
    spare_bins: usize,
    spare_key_bytes: usize,
    max_additional_tags: usize,
}

#[derive(Debug, Default)]
struct Bucket {
    groups: HashMap<Box<[u8]>, Values>,
    resources: Distinct,
    endpoints: Distinct,
    peer_tags: Distinct,
    additional_tags: Distinct,
}

/// The hashes of values that were seen.
#[derive(Debug, Default)]
struct Distinct(HashSet<u64>);

impl Concentrator {
    /// Only environment, version and service of the origin count; a tracer says the rest. `now` is in nanoseconds since the epoch. The limit is the number of
    /// distinct values of additional tags (`DD_TRACE_STATS_ADDITIONAL_TAGS_CARDINALITY_LIMIT`); 0 and None stand for 100.
    pub fn new(origin: Origin, now: i64, max_additional_tags: Option<usize>) -> Self {
        let limit = max_additional_tags.filter(|limit| *limit > 0).unwrap_or(MAX_ADDITIONAL_TAGS);
        Self {
            buckets: BTreeMap::new(),
            oldest: aligned(now),
            origin,
            spare_bins: MAX_BINS,
            spare_key_bytes: MAX_KEY_BYTES,
            max_additional_tags: limit.min(MAX_GROUPS),
        }
    }

    /// Adds the stats of a request. Those that are older than what has left go to the oldest bucket, those that are ahead of the clock to the current one.
    pub fn merge(&mut self, groups: Groups, now: i64) -> CollapsedGroups {
        if let Some(tracer) = groups.origin {
            self.complete_origin(tracer);
        }
        let mut collapsed = CollapsedGroups { groups: groups.collapsed, ..CollapsedGroups::default() };
        for (start, bucket) in groups.buckets {
            let start = start.min(aligned(now)).max(self.oldest);
            for (key, values) in bucket.groups {
                self.add(start, key, &values, &mut collapsed);
            }
            if bucket.others.hits > 0 {
                self.put(start, blocked(), &bucket.others);
            }
        }
        collapsed
    }

    /// Fills in what is not known yet. Spans of the extension's own and those of OpenTelemetry SDKs may come first, and name no tracer.
    fn complete_origin(&mut self, tracer: Origin) {
        for (known, new) in [
            (&mut self.origin.language, tracer.language),
            (&mut self.origin.tracer_version, tracer.tracer_version),
            (&mut self.origin.runtime_id, tracer.runtime_id),
            (&mut self.origin.container_id, tracer.container_id),
        ] {
            if known.is_empty() {
                *known = new;
            }
        }
    }

    fn add(&mut self, start: i64, key: Box<[u8]>, values: &Values, collapsed: &mut CollapsedGroups) {
        let bucket = self.buckets.entry(start).or_default();
        if let Some(known) = bucket.groups.get_mut(&key) {
            known.merge(values, &mut self.spare_bins);
            return;
        }
        let mut key = bucket.limited(key, self.max_additional_tags, collapsed);
        if !bucket.groups.contains_key(&key) && (bucket.groups.len() >= MAX_GROUPS || key.len() > self.spare_key_bytes)
        {
            collapsed.groups += 1;
            key = blocked();
        }
        self.put(start, key, values);
    }

    /// Adds values to a group, which is made if it is not there.
    fn put(&mut self, start: i64, key: Box<[u8]>, values: &Values) {
        let bucket = self.buckets.entry(start).or_default();
        let key_bytes = key.len();
        let group = bucket.groups.entry(key).or_insert_with(|| {
            self.spare_key_bytes = self.spare_key_bytes.saturating_sub(key_bytes);
            Values::default()
        });
        group.merge(values, &mut self.spare_bins);
    }

    /// Takes buckets and encodes them. `now` is in nanoseconds since the epoch.
    pub fn flush(&mut self, now: i64, which: Flush) -> Vec<ClientPayload> {
        let taken = match which {
            Flush::All => {
                self.oldest = aligned(now);
                std::mem::take(&mut self.buckets)
            }
            Flush::Due => {
                self.oldest = aligned(now) - (KEPT_BUCKETS - 1) * BUCKET_NANOSECONDS;
                let kept = self.buckets.split_off(&(now - KEPT_BUCKETS * BUCKET_NANOSECONDS + 1));
                std::mem::replace(&mut self.buckets, kept)
            }
        };
        for (key, values) in taken.values().flat_map(|bucket| &bucket.groups) {
            self.spare_bins += values.bins();
            self.spare_key_bytes += key.len();
        }
        self.encode(taken)
    }

    fn encode(&self, buckets: BTreeMap<i64, Bucket>) -> Vec<ClientPayload> {
        let mut batches = Batches::default();
        for (start, bucket) in buckets {
            let mut groups: Vec<_> = bucket.groups.into_iter().collect();
            // Equal stats make equal payloads.
            groups.sort_by(|(left, _), (right, _)| left.cmp(right));
            for (key, values) in groups {
                // What was written here can be read here.
                let Ok(key) = Key::read(&key) else { continue };
                let mut out = Writer::default();
                encode::group(&mut out, &key, &values);
                batches.push(start, &out.into_bytes());
            }
        }
        let batches = batches.finish();
        let is_part = batches.len() > 1;
        batches.into_iter().map(|batch| self.payload(&batch, is_part)).collect()
    }

    fn payload(&self, batch: &[EncodedBucket], is_part: bool) -> ClientPayload {
        let origin = &self.origin;
        let env = if origin.env.is_empty() { "unknown-env" } else { &*origin.env };
        let head = ClientHead {
            env: Cow::Borrowed(env),
            version: Cow::Borrowed(&origin.version),
            service: Cow::Borrowed(&origin.service),
            language: Cow::Borrowed(&origin.language),
            tracer_version: Cow::Borrowed(&origin.tracer_version),
            runtime_id: Cow::Borrowed(&origin.runtime_id),
            container_id: Cow::Borrowed(&origin.container_id),
            ..ClientHead::default()
        };
        let mut out = Writer::default();
        head.write(&mut out, batch.len());
        for bucket in batch {
            let duration = BUCKET_NANOSECONDS.unsigned_abs();
            encode::bucket(&mut out, u64::try_from(bucket.start).unwrap_or_default(), duration, 0, bucket.groups);
            out.document(&bucket.bytes);
        }
        let groups = batch.iter().map(|bucket| bucket.groups).sum();
        ClientPayload { bytes: out.into_bytes(), groups, is_part }
    }
}

impl Bucket {
    /// The key with what there is too much of replaced.
    fn limited(&mut self, bytes: Box<[u8]>, max_additional_tags: usize, collapsed: &mut CollapsedGroups) -> Box<[u8]> {
        let Ok(mut key) = Key::read(&bytes) else { return bytes };
        let mut is_changed = false;
        let mut limit = |distinct: &mut Distinct, text: &mut Cow<'_, str>, limit, count: &mut usize| {
            if !distinct.admits(text, limit) {
                *text = Cow::Borrowed(BLOCKED);
                *count += 1;
                is_changed = true;
            }
        };
        limit(&mut self.resources, &mut key.resource, MAX_RESOURCES, &mut collapsed.resources);
        limit(&mut self.endpoints, &mut key.http_endpoint, MAX_ENDPOINTS, &mut collapsed.endpoints);
        for tag in &mut key.peer_tags {
            limit(&mut self.peer_tags, tag, MAX_PEER_TAGS, &mut collapsed.peer_tags);
        }
        for tag in &mut key.additional_tags {
            limit(&mut self.additional_tags, tag, max_additional_tags, &mut collapsed.additional_tags);
        }
        if !is_changed {
            return bytes;
        }
        let mut limited = Writer::default();
        key.write(&mut limited);
        limited.into_bytes().into()
    }
}

impl Distinct {
    /// Whether a value is known, or one more is allowed. An empty one always is.
    fn admits(&mut self, value: &str, limit: usize) -> bool {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        let hash = hasher.finish();
        if value.is_empty() || self.0.contains(&hash) {
            return true;
        }
        self.0.len() < limit && self.0.insert(hash)
    }
}

/// The key of all groups for which there is no room.
fn blocked() -> Box<[u8]> {
    let text = || Cow::Borrowed(BLOCKED);
    let key = Key {
        service: text(),
        name: text(),
        resource: text(),
        kind: text(),
        span_kind: text(),
        http_method: text(),
        http_endpoint: text(),
        service_source: text(),
        ..Key::default()
    };
    let mut bytes = Writer::default();
    key.write(&mut bytes);
    bytes.into_bytes().into()
}

/// Encoded groups of one bucket.
#[derive(Debug)]
struct EncodedBucket {
    start: i64,
    groups: usize,
    bytes: Vec<u8>,
}

/// Encoded buckets, cut where a payload would become too large.
#[derive(Debug, Default)]
struct Batches {
    full: Vec<Vec<EncodedBucket>>,
    current: Vec<EncodedBucket>,
    bytes: usize,
}

/// What a payload and each of its buckets may have besides the groups, in bytes.
const HEAD_BYTES: usize = 16 << 10;
const BUCKET_BYTES: usize = 64;

impl Batches {
    fn push(&mut self, start: i64, group: &[u8]) {
        if self.bytes + group.len() + BUCKET_BYTES > MAX_PAYLOAD_BYTES - HEAD_BYTES && self.bytes > 0 {
            self.full.push(std::mem::take(&mut self.current));
            self.bytes = 0;
        }
        if let Some(bucket) = self.current.last_mut().filter(|bucket| bucket.start == start) {
            bucket.groups += 1;
            bucket.bytes.extend_from_slice(group);
        } else {
            self.bytes += BUCKET_BYTES;
            self.current.push(EncodedBucket { start, groups: 1, bytes: group.to_vec() });
        }
        self.bytes += group.len();
    }

    fn finish(mut self) -> Vec<Vec<EncodedBucket>> {
        self.full.push(self.current);
        self.full.retain(|batch| !batch.is_empty());
        self.full
    }
}

#[cfg(test)]
#[path = "concentrator_tests.rs"]
mod tests;
