//! Traces as the intake takes them: protobuf, written from borrowed spans into the bytes that wait to be sent.
//!
//! A [`TracerPayload`] is one element of the list in an agent payload, tag and length included, so that agent payloads are put together by joining them. One that
//! leaves alone is not copied for that.
//!
//! Source: Datadog's `agent_payload.proto`, `tracer_payload.proto` and `span.proto`.

use bytes::Bytes;

use super::{
    chunk::Chunk,
    span::{Span, Text},
    tags::CommonTags,
    wire::{write_rare, write_span},
};
use crate::process::protobuf::{self, Message, Scratch, Sink, Size, field_length};

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

/// Maximum size of a span that is written before its length is known, in bytes: the memory for that stays, and is up to twice the largest.
const MAX_SCRATCH_SPAN: usize = 256 << 10;

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
    /// Its bytes, a field of the agent payload.
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
pub(super) struct UnsendableSpans {
    /// Those of which one alone is larger than a payload may be.
    pub(super) oversized: usize,
    /// Spans that were dropped because the memory bound was reached.
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
    /// Where a span is written before its length is known.
    scratch: Scratch,
    lost: UnsendableSpans,
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
        let (full, current) = (Vec::new(), Chunks::default());
        Self { tags, room, full, current, scratch: Scratch::default(), lost: UnsendableSpans::default() }
    }

    /// Encodes a chunk, in pieces if it is too large for one payload.
    pub(super) fn push(&mut self, chunk: &Chunk<'_>) {
        if !self.push_at_once(chunk) {
            self.push_measured(chunk);
        }
    }

    /// Encodes a chunk of small spans for which there certainly is room, in one pass over them. False, and nothing is written, if there may be none or a span may be
    /// large.
    fn push_at_once(&mut self, chunk: &Chunk<'_>) -> bool {
        let Some(first) = chunk.spans.first() else { return true };
        if chunk.origin.len() > MAX_HEAD_TEXT {
            return false;
        }
        let max = MAX_CHUNKS_BYTES.min(self.room);
        let head = ChunkHead { priority: chunk.priority, origin: &chunk.origin };
        let expected = self.bound(first).saturating_mul(chunk.spans.len()).min(MAX_CHUNKS_BYTES);
        let bytes = &mut self.current.buffer;
        let start = bytes.len();
        bytes.reserve(expected);
        // Room for tag and length, which most often turns out to be what they take.
        let gap = field_length(expected) - expected;
        bytes.resize(start + gap, 0);
        head.write(bytes);
        for span in &chunk.spans {
            let written = self.current.buffer.len() - start;
            let bound = self.bound(span);
            if bound > MAX_SCRATCH_SPAN || written.saturating_add(bound) > max {
                self.current.buffer.truncate(start);
                return false;
            }
            self.scratch.clear();
            write_span(&mut self.scratch, span, self.tags);
            let span = self.scratch.written();
            protobuf::begin(&mut self.current.buffer, SPANS, span.len());
            self.current.buffer.extend_from_slice(span);
        }
        self.close_gap(start, gap);
        self.room = self.room.saturating_sub(self.current.buffer.len() - start);
        if self.current.buffer.len() > MAX_CHUNKS_BYTES {
            let mut next = Chunks::default();
            next.buffer.extend_from_slice(self.current.buffer.get(start..).unwrap_or_default());
            self.current.buffer.truncate(start);
            self.full.push(std::mem::replace(&mut self.current, next));
        }
        self.current.spans += chunk.spans.len();
        true
    }

    /// Puts tag and length of the chunk that ends the buffer into the gap at its start, which becomes as long as they are.
    fn close_gap(&mut self, start: usize, gap: usize) {
        let buffer = &mut self.current.buffer;
        let content = buffer.len() - start - gap;
        let mut front = Vec::with_capacity(GAP);
        protobuf::begin(&mut front, CHUNKS, content);
        if front.len() > gap {
            buffer.resize(buffer.len() + front.len() - gap, 0);
        }
        if front.len() != gap {
            buffer.copy_within(start + gap..start + gap + content, start + front.len());
            buffer.truncate(start + front.len() + content);
        }
        if let Some(place) = buffer.get_mut(start..start + front.len()) {
            place.copy_from_slice(&front);
        }
    }

    /// At least as many bytes as a span takes in a chunk.
    fn bound(&self, span: &Span<'_>) -> usize {
        /// What all other fields of a span, and tags and lengths of an entry, take at most.
        const FIELDS: usize = 128;
        const ENTRY: usize = 24;
        let texts =
            [&span.service, &span.name, &span.resource, &span.kind].iter().map(|text| text.len()).sum::<usize>();
        let tags =
            span.meta.iter().fold(0_usize, |sum, (key, value)| sum.saturating_add(ENTRY + key.len() + value.len()));
        let numbers = span.metrics.iter().fold(0, |sum, (key, _)| sum + ENTRY + key.len());
        let mut rare = Size::default();
        write_rare(&mut rare, span);
        texts.saturating_add(tags).saturating_add(numbers + rare.0 + self.tags.encoded().len() + FIELDS)
    }

    /// The same for any chunk: the size of every span is known before it is written.
    fn push_measured(&mut self, chunk: &Chunk<'_>) {
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
    pub(super) fn finish(mut self, head: &Head) -> (Vec<TracerPayload>, UnsendableSpans) {
        self.full.push(self.current);
        let full = self.full.into_iter().filter(|chunks| chunks.spans > 0);
        (full.map(|chunks| chunks.seal(head)).collect(), self.lost)
    }

    fn size_of(&self, span: &Span<'_>) -> usize {
        let mut size = Size::default();
        write_span(&mut size, span, self.tags);
        size.0
    }

    /// Spreads the spans over chunks of the same trace. Each begins with what the trace as a whole says, which else only its root does: the first one too, because
    /// the root may be a span that is too large.
    fn split(&mut self, chunk: &Chunk<'_>) {
        let head = ChunkHead { priority: chunk.priority, origin: &chunk.origin };
        let trace_tags = trace_tags(chunk);
        let (mut piece, mut sizes, mut bytes) = (Vec::new(), Vec::new(), head.size());
        for span in &chunk.spans {
            let mut span = span.clone();
            let mut size = self.size_of(&span);
            if !piece.is_empty() && field_length(bytes + field_length(size)) > MAX_CHUNKS_BYTES {
                self.write(&head, &piece, &sizes);
                piece.clear();
                sizes.clear();
                bytes = head.size();
            }
            if piece.is_empty() {
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

/// The fields of a chunk besides its spans.
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

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
