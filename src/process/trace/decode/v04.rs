//! v0.4: a span is a map with the names of its fields.

use super::with_spare;
use crate::process::{
    msgpack::{DecodeError, Reader},
    trace::{
        map::Map,
        span::{Event, Link, Span, Text, Value},
    },
};

/// Missing and nil fields keep their defaults, unknown ones are skipped, of a field that comes twice the last counts.
pub(super) fn span<'b>(reader: &mut Reader<'b>, span: &mut Span<'b>) -> Result<(), DecodeError> {
    for _ in 0..reader.map_or_nil()? {
        match reader.string()? {
            b"service" => span.service = reader.text_or_nil()?,
            b"name" => span.name = reader.text_or_nil()?,
            b"resource" => span.resource = reader.text_or_nil()?,
            b"type" => span.kind = reader.text_or_nil()?,
            b"trace_id" => span.trace_id = reader.integer()?,
            b"span_id" => span.span_id = reader.integer()?,
            b"parent_id" => span.parent_id = reader.integer()?,
            b"start" => span.start = reader.integer()?,
            b"duration" => span.duration = reader.integer()?,
            b"error" => span.error = reader.integer()?,
            b"meta" => span.meta = texts(reader)?,
            b"metrics" => span.metrics = map(reader, Reader::float)?,
            b"meta_struct" => span.meta_struct = map(reader, |reader| Ok(reader.bytes_or_nil()?.into()))?,
            b"span_links" => span.links = list(reader, link)?,
            b"span_events" => span.events = list(reader, event)?,
            _ => reader.skip()?,
        }
    }
    Ok(())
}

fn texts<'b>(reader: &mut Reader<'b>) -> Result<Map<'b, Text<'b>>, DecodeError> {
    map(reader, Reader::text_or_nil)
}

fn map<'b, V>(
    reader: &mut Reader<'b>,
    value: impl Fn(&mut Reader<'b>) -> Result<V, DecodeError>,
) -> Result<Map<'b, V>, DecodeError> {
    let count = reader.map_or_nil()?;
    let room = with_spare(count);
    let mut pairs = reader.list(room)?;
    for _ in 0..count {
        let key = reader.text()?;
        // A key with nothing is no key.
        if !reader.nil()? {
            reader.make_room(&mut pairs, room)?;
            pairs.push((key, value(reader)?));
        }
    }
    Ok(Map::from_pairs(pairs))
}

fn list<'b, T>(
    reader: &mut Reader<'b>,
    element: impl Fn(&mut Reader<'b>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let count = reader.array_or_nil()?;
    let mut elements = reader.list(count)?;
    for _ in 0..count {
        reader.make_room(&mut elements, count)?;
        elements.push(element(reader)?);
    }
    Ok(elements)
}

fn link<'b>(reader: &mut Reader<'b>) -> Result<Link<'b>, DecodeError> {
    let mut link = Link::default();
    for _ in 0..reader.map_or_nil()? {
        match reader.string()? {
            b"trace_id" => link.trace_id = reader.integer()?,
            b"trace_id_high" => link.trace_id_high = reader.integer()?,
            b"span_id" => link.span_id = reader.integer()?,
            b"attributes" => link.attributes = texts(reader)?,
            b"tracestate" => link.tracestate = reader.text_or_nil()?,
            b"flags" => link.flags = reader.integer()?,
            _ => reader.skip()?,
        }
    }
    Ok(link)
}

fn event<'b>(reader: &mut Reader<'b>) -> Result<Event<'b>, DecodeError> {
    let mut event = Event::default();
    for _ in 0..reader.map_or_nil()? {
        match reader.string()? {
            b"time_unix_nano" => event.time = reader.integer()?,
            b"name" => event.name = reader.text_or_nil()?,
            b"attributes" => event.attributes = map(reader, |reader| value(reader, Arrays::Allowed))?,
            _ => reader.skip()?,
        }
    }
    Ok(event)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Arrays {
    Allowed,
    Refused,
}

/// A value is a map: `type` says which of the others counts.
fn value<'b>(reader: &mut Reader<'b>, arrays: Arrays) -> Result<Value<'b>, DecodeError> {
    let offset = reader.offset();
    let mut kind: u64 = 0;
    let (mut text, mut bool, mut int, mut double, mut array) = (Text::default(), false, 0, 0.0, Vec::new());
    for _ in 0..reader.map_or_nil()? {
        match reader.string()? {
            b"type" => kind = reader.integer()?,
            b"string_value" => text = reader.text_or_nil()?,
            b"bool_value" => bool = reader.bool_or_nil()?,
            b"int_value" => int = reader.integer()?,
            b"double_value" => double = reader.float()?,
            b"array_value" if arrays == Arrays::Allowed => array = values(reader)?,
            _ => reader.skip()?,
        }
    }
    Ok(match (kind, arrays) {
        (0, _) => Value::Text(text),
        (1, _) => Value::Bool(bool),
        (2, _) => Value::Int(int),
        (3, _) => Value::Double(double),
        (4, Arrays::Allowed) => Value::Array(array),
        _ => return Err(DecodeError::OutOfRange { offset, expected: "the type of an attribute" }),
    })
}

/// An array is a map with the list in it.
fn values<'b>(reader: &mut Reader<'b>) -> Result<Vec<Value<'b>>, DecodeError> {
    let mut found = Vec::new();
    for _ in 0..reader.map_or_nil()? {
        match reader.string()? {
            b"values" => found = list(reader, |reader| value(reader, Arrays::Refused))?,
            _ => reader.skip()?,
        }
    }
    Ok(found)
}
