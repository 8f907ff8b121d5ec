//! Spans as protobuf messages.
//!
//! Source: Datadog's `span.proto`.

use super::{
    span::{Event, Link, Span, Value},
    tags::{CommonTags, META},
};
use crate::process::protobuf::{self, Message, Sink};

/// Writes a span with the tags of its function.
pub(super) fn write_span(sink: &mut impl Sink, span: &Span<'_>, tags: &CommonTags) {
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
    write_rare(sink, span);
}

/// Writes the fields that few spans have.
pub(super) fn write_rare(sink: &mut impl Sink, span: &Span<'_>) {
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
