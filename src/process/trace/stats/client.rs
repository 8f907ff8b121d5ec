//! Stats that a tracer has computed itself: the body of `/v0.6/stats`, decoded, checked and encoded again.

use std::borrow::Cow;

use super::{
    ClientPayload,
    encode::{self, ClientHead, WireGroup},
};
use crate::process::msgpack::{DecodeError, Reader, Unreadable, Writer};

/// Maximum memory of what is decoded and encoded again, in bytes. A body may have 2 MiB; groups of one byte each would become hundreds of times as much.
const MAX_BYTES: usize = 16 << 20;

/// What a group takes at most besides its texts when it is encoded again, in bytes.
const GROUP_BYTES: usize = 512;

/// Decodes a body. None if there is no bucket in it. The first bucket's start becomes `now`, nanoseconds since the epoch, as the public extension has it.
pub fn read(body: &[u8], now: u64) -> Result<Option<ClientPayload>, DecodeError> {
    let mut reader = Reader::new(body, MAX_BYTES);
    payload(&mut reader, now).map_err(|Unreadable| reader.error())
}

fn payload(reader: &mut Reader<'_>, now: u64) -> Result<Option<ClientPayload>, Unreadable> {
    let mut head = ClientHead::default();
    let mut buckets = Buckets { out: Writer::default(), count: 0, groups: 0, now };
    for _ in 0..reader.map_or_nil()? {
        match reader.string()? {
            b"Hostname" => head.hostname = reader.text_or_nil()?,
            b"Env" => head.env = reader.text_or_nil()?,
            b"Version" => head.version = reader.text_or_nil()?,
            b"Lang" => head.language = reader.text_or_nil()?,
            b"TracerVersion" => head.tracer_version = reader.text_or_nil()?,
            b"RuntimeID" => head.runtime_id = reader.text_or_nil()?,
            b"Sequence" => head.sequence = reader.integer()?,
            b"AgentAggregation" => head.agent_aggregation = reader.text_or_nil()?,
            b"Service" => head.service = reader.text_or_nil()?,
            b"ContainerID" => head.container_id = reader.text_or_nil()?,
            b"Tags" => head.tags = texts(reader)?,
            b"GitCommitSha" => head.git_commit_sha = reader.text_or_nil()?,
            b"ImageTag" => head.image_tag = reader.text_or_nil()?,
            b"ProcessTagsHash" => head.process_tags_hash = reader.integer()?,
            b"ProcessTags" => head.process_tags = reader.text_or_nil()?,
            b"Stats" => buckets.read(reader)?,
            _ => reader.skip()?,
        }
    }
    if buckets.count == 0 {
        return Ok(None);
    }
    let mut out = Writer::default();
    head.write(&mut out, buckets.count);
    out.document(&buckets.out.into_bytes());
    Ok(Some(ClientPayload { bytes: out.into_bytes(), groups: buckets.groups, is_part: false }))
}

/// The buckets of a body, encoded again as they are read.
struct Buckets {
    out: Writer,
    count: usize,
    groups: usize,
    now: u64,
}

impl Buckets {
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Unreadable> {
        let count = reader.array_or_nil()?;
        (self.out, self.count, self.groups) = (Writer::default(), count, 0);
        for index in 0..count {
            reader.charge(GROUP_BYTES)?;
            self.bucket(reader, index == 0)?;
        }
        Ok(())
    }

    fn bucket(&mut self, reader: &mut Reader<'_>, is_first: bool) -> Result<(), Unreadable> {
        let (mut start, mut duration, mut time_shift) = (0, 0, 0);
        let (mut groups, mut count) = (Writer::default(), 0);
        for _ in 0..reader.map_or_nil()? {
            match reader.string()? {
                b"Start" => start = reader.integer()?,
                b"Duration" => duration = reader.integer()?,
                b"AgentTimeShift" => time_shift = reader.integer()?,
                b"Stats" => {
                    count = reader.array_or_nil()?;
                    groups = Writer::default();
                    for _ in 0..count {
                        reader.charge(GROUP_BYTES)?;
                        group(reader)?.write(&mut groups);
                    }
                }
                _ => reader.skip()?,
            }
        }
        let start = if is_first { self.now } else { start };
        encode::bucket(&mut self.out, start, duration, time_shift, count);
        self.out.document(&groups.into_bytes());
        self.groups += count;
        Ok(())
    }
}

/// What is no UTF-8 in a text is replaced, as in spans: one byte of one resource would cost the stats of all others.
fn group<'b>(reader: &mut Reader<'b>) -> Result<WireGroup<'b>, Unreadable> {
    let mut group = WireGroup::default();
    for _ in 0..reader.map_or_nil()? {
        match reader.string()? {
            b"Service" => group.service = reader.text_or_nil()?,
            b"Name" => group.name = reader.text_or_nil()?,
            b"Resource" => group.resource = reader.text_or_nil()?,
            b"HTTPStatusCode" => group.http_status = reader.integer()?,
            b"Type" => group.kind = reader.text_or_nil()?,
            b"DBType" => group.db_type = reader.text_or_nil()?,
            b"Hits" => group.hits = reader.integer()?,
            b"Errors" => group.errors = reader.integer()?,
            b"Duration" => group.duration = reader.integer()?,
            b"OkSummary" => group.ok_summary = reader.bytes_or_nil()?,
            b"ErrorSummary" => group.error_summary = reader.bytes_or_nil()?,
            b"Synthetics" => group.synthetics = reader.bool_or_nil()?,
            b"TopLevelHits" => group.top_level_hits = reader.integer()?,
            b"SpanKind" => group.span_kind = reader.text_or_nil()?,
            b"PeerTags" => group.peer_tags = texts(reader)?,
            b"IsTraceRoot" => group.is_root = reader.integer()?,
            b"GRPCStatusCode" => group.grpc_status = reader.text_or_nil()?,
            b"HTTPMethod" => group.http_method = reader.text_or_nil()?,
            b"HTTPEndpoint" => group.http_endpoint = reader.text_or_nil()?,
            b"srv_src" => group.service_source = reader.text_or_nil()?,
            b"SpanDerivedPrimaryTags" => group.primary_tags = texts(reader)?,
            b"AdditionalMetricTags" => group.additional_tags = texts(reader)?,
            _ => reader.skip()?,
        }
    }
    Ok(group)
}

/// A list of texts; nil is an empty one, and so is each text.
fn texts<'b>(reader: &mut Reader<'b>) -> Result<Vec<Cow<'b, str>>, Unreadable> {
    let count = reader.array_or_nil()?;
    let mut texts = reader.list(count)?;
    for _ in 0..count {
        reader.make_room(&mut texts, count)?;
        texts.push(reader.text_or_nil()?);
    }
    Ok(texts)
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
