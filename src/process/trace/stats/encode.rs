//! Stats as the intake takes them: msgpack.

use std::borrow::Cow;

use super::{groups::Values, key::Key};
use crate::process::msgpack::Writer;

/// Maximum size of a payload before compression, in bytes.
pub const MAX_PAYLOAD_BYTES: usize = 3 << 20;

/// Where stats come from: environment, version, service, tracer and container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    pub env: String,
    pub version: String,
    pub service: String,
    pub language: String,
    pub tracer_version: String,
    pub runtime_id: String,
    pub container_id: String,
}

/// The stats of one client, encoded: an element of a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientPayload {
    pub(super) bytes: Vec<u8>,
    /// How many groups it holds.
    pub groups: usize,
    /// Whether the client's stats are in several of these.
    pub(super) is_part: bool,
}

impl ClientPayload {
    /// Its size in a payload.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Joins the stats of several clients to one payload.
pub fn payload<'p>(clients: impl ExactSizeIterator<Item = &'p ClientPayload> + Clone) -> Vec<u8> {
    let mut out = Writer::default();
    out.map(6);
    for (key, text) in [("AgentHostname", ""), ("AgentEnv", ""), ("AgentVersion", "")] {
        out.text(key);
        out.text(text);
    }
    out.text("ClientComputed");
    out.bool(true);
    out.text("SplitPayload");
    out.bool(clients.clone().any(|client| client.is_part));
    out.text("Stats");
    out.array(clients.len());
    for client in clients {
        out.document(&client.bytes);
    }
    out.into_bytes()
}

/// What a client says of its stats besides the buckets.
#[derive(Debug, Clone, Default)]
pub(super) struct ClientHead<'h> {
    pub(super) hostname: Cow<'h, str>,
    pub(super) env: Cow<'h, str>,
    pub(super) version: Cow<'h, str>,
    pub(super) language: Cow<'h, str>,
    pub(super) tracer_version: Cow<'h, str>,
    pub(super) runtime_id: Cow<'h, str>,
    pub(super) sequence: u64,
    pub(super) agent_aggregation: Cow<'h, str>,
    pub(super) service: Cow<'h, str>,
    pub(super) container_id: Cow<'h, str>,
    pub(super) tags: Vec<Cow<'h, str>>,
    pub(super) git_commit_sha: Cow<'h, str>,
    pub(super) image_tag: Cow<'h, str>,
    pub(super) process_tags_hash: u64,
    pub(super) process_tags: Cow<'h, str>,
}

impl ClientHead<'_> {
    /// Everything of the map but its last value, the list of so many buckets, which the caller writes next.
    pub(super) fn write(&self, out: &mut Writer, buckets: usize) {
        out.map(16);
        for (key, text) in [
            ("Hostname", &self.hostname),
            ("Env", &self.env),
            ("Version", &self.version),
            ("Lang", &self.language),
            ("TracerVersion", &self.tracer_version),
            ("RuntimeID", &self.runtime_id),
            ("AgentAggregation", &self.agent_aggregation),
            ("Service", &self.service),
            ("ContainerID", &self.container_id),
            ("GitCommitSha", &self.git_commit_sha),
            ("ImageTag", &self.image_tag),
            ("ProcessTags", &self.process_tags),
        ] {
            out.text(key);
            out.text(text);
        }
        out.text("Sequence");
        out.unsigned(self.sequence);
        out.text("ProcessTagsHash");
        out.unsigned(self.process_tags_hash);
        out.text("Tags");
        texts(out, &self.tags);
        out.text("Stats");
        out.array(buckets);
    }
}

/// Everything of a bucket but its last value, the list of so many groups, which the caller writes next. Times are in nanoseconds.
pub(super) fn bucket(out: &mut Writer, start: u64, duration: u64, time_shift: i64, groups: usize) {
    out.map(4);
    out.text("Start");
    out.unsigned(start);
    out.text("Duration");
    out.unsigned(duration);
    out.text("AgentTimeShift");
    out.signed(time_shift);
    out.text("Stats");
    out.array(groups);
}

/// A group as it stands on the wire.
#[derive(Debug, Clone, Default)]
pub(super) struct WireGroup<'g> {
    pub(super) service: Cow<'g, str>,
    pub(super) name: Cow<'g, str>,
    pub(super) resource: Cow<'g, str>,
    pub(super) http_status: u32,
    pub(super) kind: Cow<'g, str>,
    pub(super) db_type: Cow<'g, str>,
    pub(super) hits: u64,
    pub(super) errors: u64,
    pub(super) duration: u64,
    pub(super) ok_summary: &'g [u8],
    pub(super) error_summary: &'g [u8],
    pub(super) synthetics: bool,
    pub(super) top_level_hits: u64,
    pub(super) span_kind: Cow<'g, str>,
    pub(super) peer_tags: Vec<Cow<'g, str>>,
    pub(super) is_root: u64,
    pub(super) grpc_status: Cow<'g, str>,
    pub(super) http_method: Cow<'g, str>,
    pub(super) http_endpoint: Cow<'g, str>,
    pub(super) service_source: Cow<'g, str>,
    pub(super) primary_tags: Vec<Cow<'g, str>>,
    pub(super) additional_tags: Vec<Cow<'g, str>>,
}

impl WireGroup<'_> {
    pub(super) fn write(&self, out: &mut Writer) {
        out.map(22);
        for (key, text) in [
            ("Service", &self.service),
            ("Name", &self.name),
            ("Resource", &self.resource),
            ("Type", &self.kind),
            ("DBType", &self.db_type),
            ("SpanKind", &self.span_kind),
            ("GRPCStatusCode", &self.grpc_status),
            ("HTTPMethod", &self.http_method),
            ("HTTPEndpoint", &self.http_endpoint),
            ("srv_src", &self.service_source),
        ] {
            out.text(key);
            out.text(text);
        }
        for (key, number) in [
            ("HTTPStatusCode", self.http_status.into()),
            ("Hits", self.hits),
            ("Errors", self.errors),
            ("Duration", self.duration),
            ("TopLevelHits", self.top_level_hits),
            ("IsTraceRoot", self.is_root),
        ] {
            out.text(key);
            out.unsigned(number);
        }
        for (key, summary) in [("OkSummary", self.ok_summary), ("ErrorSummary", self.error_summary)] {
            out.text(key);
            out.bytes(summary);
        }
        out.text("Synthetics");
        out.bool(self.synthetics);
        for (key, tags) in [
            ("PeerTags", &self.peer_tags),
            ("SpanDerivedPrimaryTags", &self.primary_tags),
            ("AdditionalMetricTags", &self.additional_tags),
        ] {
            out.text(key);
            texts(out, tags);
        }
    }
}

/// Writes a group of our own. Its spans come from Lambda, whatever their traces came from: none is of a synthetic test.
pub(super) fn group(out: &mut Writer, key: &Key<'_>, values: &Values) {
    let group = WireGroup {
        service: Cow::Borrowed(&key.service),
        name: Cow::Borrowed(&key.name),
        resource: Cow::Borrowed(&key.resource),
        http_status: key.http_status,
        kind: Cow::Borrowed(&key.kind),
        hits: values.hits,
        errors: values.errors,
        duration: values.duration,
        ok_summary: &values.ok_summary.encode(),
        error_summary: &values.error_summary.encode(),
        top_level_hits: values.top_level_hits,
        span_kind: Cow::Borrowed(&key.span_kind),
        peer_tags: key.peer_tags.iter().map(|tag| Cow::Borrowed(&**tag)).collect(),
        is_root: key.is_root as u64,
        grpc_status: key.grpc_status.map(|status| Cow::Owned(status.to_string())).unwrap_or_default(),
        http_method: Cow::Borrowed(&key.http_method),
        http_endpoint: Cow::Borrowed(&key.http_endpoint),
        service_source: Cow::Borrowed(&key.service_source),
        additional_tags: key.additional_tags.iter().map(|tag| Cow::Borrowed(&**tag)).collect(),
        ..WireGroup::default()
    };
    group.write(out);
}

fn texts(out: &mut Writer, texts: &[Cow<'_, str>]) {
    out.array(texts.len());
    for text in texts {
        out.text(text);
    }
}
