//! Traces as the intake takes them: protobuf, written from borrowed spans into the bytes that wait to be sent.
//!
//! A [`TracerPayload`] is one element of the list in an agent payload, tag and length included, so that agent payloads are put together by joining them. One that
//! leaves alone is not copied for that.
//!
//! Source: Datadog's `agent_payload.proto`, `tracer_payload.proto` and `span.proto`.

use bytes::Bytes;

use super::{
    chunk::Chunk,
    span::{Event, Link, Span, Text, Value},
    tags::{CommonTags, META},
};
use crate::process::protobuf::{self, Message, Sink, Size, field_length};

/// Maximum size of an agent payload before compression, in bytes, as the public extension has it. The intake takes somewhat more.
pub const MAX_PAYLOAD_BYTES: usize = 12_000_000;

/// What an agent payload has besides its tracer payloads, in bytes.
pub const OVERHEAD: usize = 18;

/// Maximum length of a text in the head of a tracer payload, and of the head as a whole, in bytes.
const MAX_HEAD_TEXT: usize = 6_000;
const MAX_HEAD_BYTES: usize = 64 << 10;

/// Maximum size of the chunks of a tracer payload, in bytes.
const MAX_CHUNKS_BYTES: usize = MAX_PAYLOAD_BYTES - OVERHEAD - MAX_HEAD_BYTES - GAP;

/// Room for a tag and a length of at most 16 MiB, in bytes.
const GAP: usize = 5;

/// Numbers of fields of the agent payload, the tracer payload and the chunk.
const TRACER_PAYLOADS: u64 = 5;
const CHUNKS: u64 = 6;
const SPANS: u64 = 3;

/// How many traces and errors a second the agent's samplers want. There are none here; the backend expects to be told something.
const SAMPLER_RATE: f64 = 60.0;

/// The start of the tags that belong to a trace as a whole.
const TRACE_TAG: &str = "_dd.p.";

/// Spans of one tracer, encoded: an element of an agent payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracerPayload {
    buffer: Vec<u8>,
    /// Where it begins: tag and length are written when everything else is, before it.
    start: usize,
    /// How many spans it holds.
    pub spans: usize,
}

impl TracerPayload {
    /// What it is in an agent payload.
    pub fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }
}

/// Joins tracer payloads to one agent payload, [`OVERHEAD`] larger than all of them together.
pub fn agent_payload(payloads: Vec<TracerPayload>) -> Bytes {
    let bytes: usize = payloads.iter().map(|payload| payload.bytes().len()).sum();
    let mut payloads = payloads.into_iter();
    let (mut joined, start) = payloads.next().map_or_else(Default::default, |first| (first.buffer, first.start));
    // Growing step by step, it would take up to twice the memory.
    joined.reserve_exact((start + bytes + OVERHEAD).saturating_sub(joined.len()));
    for payload in payloads {
        joined.extend_from_slice(payload.bytes());
    }
    protobuf::double(&mut joined, 8, SAMPLER_RATE);
    protobuf::double(&mut joined, 9, SAMPLER_RATE);
    Bytes::from(joined).slice(start..)
}

/// What a tracer payload says about all of its spans.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) container_id: String,
    pub(super) language: String,
    pub(super) language_version: String,
    pub(super) tracer_version: String,
    pub(super) runtime_id: String,
    pub(super) env: String,
    pub(super) hostname: String,
    pub(super) app_version: String,
    /// All tags of the function, as `key:value` joined by commas.
    pub(super) function_tags: String,
}

/// Spans that can't be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Lost {
    /// Those of which one alone is larger than a payload may be.
    pub(super) oversized: usize,
    /// Those for which there was no room.
    pub(super) without_room: usize,
}

/// Encodes chunks into payloads that are small enough each.
#[derive(Debug)]
pub(super) struct Encoder<'t> {
    tags: &'t CommonTags,
    /// How many bytes may still be written.
    room: usize,
    full: Vec<Chunks>,
    current: Chunks,
    lost: Lost,
}

/// Encoded chunks, after a gap.
#[derive(Debug)]
struct Chunks {
    buffer: Vec<u8>,
    spans: usize,
}

impl Default for Chunks {
    fn default() -> Self {
        Self { buffer: vec![0; GAP], spans: 0 }
    }
}

impl<'t> Encoder<'t> {
    /// `room` is how many bytes it may write.
    pub(super) fn new(tags: &'t CommonTags, room: usize) -> Self {
        Self { tags, room, full: Vec::new(), current: Chunks::default(), lost: Lost::default() }
    }

    /// Encodes a chunk, in pieces if it is too large for one payload.
    pub(super) fn push(&mut self, chunk: &Chunk<'_>) {
        let sizes: Vec<usize> = chunk.spans.iter().map(|span| self.size_of(span)).collect();
        let head = ChunkHead { priority: chunk.priority, origin: &chunk.origin };
        let content = head.size() + sizes.iter().map(|size| field_length(*size)).sum::<usize>();
        if field_length(content) <= MAX_CHUNKS_BYTES {
            self.write(&head, &chunk.spans, &sizes);
        } else {
            self.split(chunk);
        }
    }

    /// What has been encoded, and what could not be.
    pub(super) fn finish(mut self, head: &Head) -> (Vec<TracerPayload>, Lost) {
        self.full.push(self.current);
        let full = self.full.into_iter().filter(|chunks| chunks.spans > 0);
        (full.map(|chunks| chunks.seal(head)).collect(), self.lost)
    }

    fn size_of(&self, span: &Span<'_>) -> usize {
        let mut size = Size::default();
        write_span(&mut size, span, self.tags);
        size.0
    }

    /// Spreads the spans over chunks of the same trace. Each begins with what the trace as a whole says, which else only its root does.
    fn split(&mut self, chunk: &Chunk<'_>) {
        let head = ChunkHead { priority: chunk.priority, origin: &chunk.origin };
        let trace_tags = trace_tags(chunk);
        let (mut piece, mut sizes, mut bytes, mut is_first) = (Vec::new(), Vec::new(), head.size(), true);
        for span in &chunk.spans {
            let mut span = span.clone();
            let mut size = self.size_of(&span);
            if !piece.is_empty() && field_length(bytes + field_length(size)) > MAX_CHUNKS_BYTES {
                self.write(&head, &piece, &sizes);
                piece.clear();
                sizes.clear();
                (bytes, is_first) = (head.size(), false);
            }
            if piece.is_empty() && !is_first {
                for (key, value) in &trace_tags {
                    if !span.meta.contains(key) {
                        span.meta.set(key.clone(), Text::Owned(value.clone()));
                    }
                }
                size = self.size_of(&span);
            }
            if field_length(bytes + field_length(size)) > MAX_CHUNKS_BYTES {
                self.lost.oversized += 1;
                continue;
            }
            bytes += field_length(size);
            sizes.push(size);
            piece.push(span);
        }
        self.write(&head, &piece, &sizes);
    }

    /// Writes a chunk that fits into a payload.
    fn write(&mut self, head: &ChunkHead<'_>, spans: &[Span<'_>], sizes: &[usize]) {
        if spans.is_empty() {
            return;
        }
        let content = head.size() + sizes.iter().map(|size| field_length(*size)).sum::<usize>();
        let whole = field_length(content);
        if whole > self.room {
            self.lost.without_room += spans.len();
            return;
        }
        self.room -= whole;
        if self.current.buffer.len() + whole > MAX_CHUNKS_BYTES {
            self.full.push(std::mem::take(&mut self.current));
        }
        let bytes = &mut self.current.buffer;
        bytes.reserve(whole);
        protobuf::begin(bytes, CHUNKS, content);
        head.write(bytes);
        for (span, size) in spans.iter().zip(sizes) {
            protobuf::begin(bytes, SPANS, *size);
            write_span(bytes, span, self.tags);
        }
        self.current.spans += spans.len();
    }
}

impl Chunks {
    /// Puts the head behind the chunks, where it stands as well as before them, and tag and length into the gap.
    fn seal(self, head: &Head) -> TracerPayload {
        let mut buffer = self.buffer;
        let mut size = Size::default();
        head.write(&mut size);
        // Nothing grows any more once it is joined to others.
        buffer.reserve_exact(size.0 + OVERHEAD);
        head.write(&mut buffer);
        buffer.shrink_to(buffer.len() + OVERHEAD);
        let mut front = Vec::with_capacity(GAP);
        protobuf::begin(&mut front, TRACER_PAYLOADS, buffer.len() - GAP);
        let start = GAP.saturating_sub(front.len());
        if let Some(gap) = buffer.get_mut(start..GAP) {
            gap.copy_from_slice(&front);
        }
        TracerPayload { buffer, start, spans: self.spans }
    }
}

fn trace_tags(chunk: &Chunk<'_>) -> Vec<(String, String)> {
    let of = |span: &Span<'_>| -> Vec<(String, String)> {
        let tags = span.meta.iter().filter(|(key, _)| key.starts_with(TRACE_TAG));
        tags.map(|(key, value)| (key.to_owned(), value.clone().into_owned())).collect()
    };
    let of_root = chunk.root().map(of).filter(|tags| !tags.is_empty());
    of_root.or_else(|| chunk.spans.iter().map(of).find(|tags| !tags.is_empty())).unwrap_or_default()
}

/// What a chunk has besides its spans.
struct ChunkHead<'c> {
    priority: i32,
    origin: &'c str,
}

impl ChunkHead<'_> {
    fn size(&self) -> usize {
        let mut size = Size::default();
        self.write(&mut size);
        size.0
    }
}

impl Message for ChunkHead<'_> {
    fn write(&self, sink: &mut impl Sink) {
        protobuf::signed(sink, 1, self.priority.into());
        protobuf::bytes(sink, 2, self.origin.as_bytes());
    }
}

impl Message for Head {
    fn write(&self, sink: &mut impl Sink) {
        for (field, text) in [
            (1, &self.container_id),
            (2, &self.language),
            (3, &self.language_version),
            (4, &self.tracer_version),
            (5, &self.runtime_id),
            (8, &self.env),
            (9, &self.hostname),
            (10, &self.app_version),
        ] {
            protobuf::bytes(sink, field, head_text(text));
        }
        protobuf::text_entry(sink, 7, "_dd.tags.function", head_text(&self.function_tags));
    }
}

fn head_text(text: &str) -> &[u8] {
    text.get(..text.floor_char_boundary(MAX_HEAD_TEXT)).unwrap_or_default().as_bytes()
}

fn write_span(sink: &mut impl Sink, span: &Span<'_>, tags: &CommonTags) {
    protobuf::bytes(sink, 1, span.service.as_bytes());
    protobuf::bytes(sink, 2, span.name.as_bytes());
    protobuf::bytes(sink, 3, span.resource.as_bytes());
    protobuf::unsigned(sink, 4, span.trace_id);
    protobuf::unsigned(sink, 5, span.span_id);
    protobuf::unsigned(sink, 6, span.parent_id);
    protobuf::signed(sink, 7, span.start);
    protobuf::signed(sink, 8, span.duration);
    protobuf::signed(sink, 9, span.error.into());
    sink.bytes(tags.encoded());
    for (key, value) in span.meta.iter() {
        protobuf::text_entry(sink, META, key, value.as_bytes());
    }
    for (key, value) in span.metrics.iter() {
        protobuf::double_entry(sink, 11, key, *value);
    }
    protobuf::bytes(sink, 12, span.kind.as_bytes());
    for (key, value) in span.meta_struct.iter() {
        protobuf::text_entry(sink, 13, key, value);
    }
    for link in &span.links {
        protobuf::message(sink, 14, link);
    }
    for event in &span.events {
        protobuf::message(sink, 15, event);
    }
}

impl Message for Link<'_> {
    fn write(&self, sink: &mut impl Sink) {
        protobuf::unsigned(sink, 1, self.trace_id);
        protobuf::unsigned(sink, 2, self.trace_id_high);
        protobuf::unsigned(sink, 3, self.span_id);
        for (key, value) in self.attributes.iter() {
            protobuf::text_entry(sink, 4, key, value.as_bytes());
        }
        protobuf::bytes(sink, 5, self.tracestate.as_bytes());
        protobuf::unsigned(sink, 6, self.flags.into());
    }
}

impl Message for Event<'_> {
    fn write(&self, sink: &mut impl Sink) {
        protobuf::fixed64(sink, 1, self.time);
        protobuf::bytes(sink, 2, self.name.as_bytes());
        for (key, value) in self.attributes.iter() {
            protobuf::message(sink, 3, &Attribute { key, value });
        }
    }
}

/// An entry of a map from text to values.
struct Attribute<'a> {
    key: &'a str,
    value: &'a Value<'a>,
}

impl Message for Attribute<'_> {
    fn write(&self, sink: &mut impl Sink) {
        protobuf::begin(sink, 1, self.key.len());
        sink.bytes(self.key.as_bytes());
        protobuf::message(sink, 2, self.value);
    }
}

impl Message for Value<'_> {
    fn write(&self, sink: &mut impl Sink) {
        match self {
            Self::Text(text) => protobuf::bytes(sink, 2, text.as_bytes()),
            Self::Bool(value) => {
                protobuf::unsigned(sink, 1, 1);
                protobuf::unsigned(sink, 3, (*value).into());
            }
            Self::Int(value) => {
                protobuf::unsigned(sink, 1, 2);
                protobuf::signed(sink, 4, *value);
            }
            Self::Double(value) => {
                protobuf::unsigned(sink, 1, 3);
                protobuf::double(sink, 5, *value);
            }
            Self::Array(values) => {
                protobuf::unsigned(sink, 1, 4);
                protobuf::message(sink, 6, &Elements(values));
            }
        }
    }
}

struct Elements<'v>(&'v [Value<'v>]);

impl Message for Elements<'_> {
    fn write(&self, sink: &mut impl Sink) {
        for value in self.0 {
            protobuf::message(sink, 1, value);
        }
    }
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
