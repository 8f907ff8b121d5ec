//! v0.4: a span is a map with the names of its fields.

use crate::process::{
    msgpack::{DecodeError, Reader, Unreadable},
    trace::{
        map::Map,
        span::{Event, Link, Span, Text, Value},
    },
};

/// Missing and nil fields keep their defaults, unknown ones are skipped, of a field that comes twice the last counts.
pub(super) fn span<'b>(reader: &mut Reader<'b>, span: &mut Span<'b>) -> Result<(), Unreadable> {
    for _ in 0..reader.map_or_nil()? {
        let name = reader.string()?;
        match Word::of(name) {
            Word::SERVICE => reader.put_text(&mut span.service)?,
            Word::NAME => reader.put_text(&mut span.name)?,
            Word::RESOURCE => reader.put_text(&mut span.resource)?,
            Word::TYPE => reader.put_text(&mut span.kind)?,
            Word::TRACE_ID => span.trace_id = reader.integer()?,
            Word::SPAN_ID => span.span_id = reader.integer()?,
            Word::START => span.start = reader.integer()?,
            Word::DURATION => span.duration = reader.integer()?,
            Word::ERROR => span.error = reader.integer()?,
            Word::META => span.meta = texts(reader)?,
            Word::METRICS => span.metrics = numbers(reader)?,
            _ => match name {
                b"parent_id" => span.parent_id = reader.integer()?,
                b"meta_struct" => span.meta_struct = map(reader, |reader| Ok(reader.bytes_or_nil()?.into()))?,
                b"span_links" => span.links = list(reader, link)?,
                b"span_events" => span.events = list(reader, event)?,
                _ => reader.skip()?,
            },
        }
    }
    Ok(())
}

/// A name of four to eight bytes as a number, or zero. Comparing numbers is faster than comparing slices, which calls a function for each.
struct Word;

impl Word {
    const SERVICE: u128 = Self::of(b"service");
    const NAME: u128 = Self::of(b"name");
    const RESOURCE: u128 = Self::of(b"resource");
    const TYPE: u128 = Self::of(b"type");
    const TRACE_ID: u128 = Self::of(b"trace_id");
    const SPAN_ID: u128 = Self::of(b"span_id");
    const START: u128 = Self::of(b"start");
    const DURATION: u128 = Self::of(b"duration");
    const ERROR: u128 = Self::of(b"error");
    const META: u128 = Self::of(b"meta");
    const METRICS: u128 = Self::of(b"metrics");

    /// The length, and the first and the last four bytes, which may be the same in part.
    #[inline]
    const fn of(name: &[u8]) -> u128 {
        match (name.first_chunk::<4>(), name.last_chunk::<4>()) {
            (Some(first), Some(last)) if name.len() <= 8 => {
                (name.len() as u128) << 64
                    | (u32::from_le_bytes(*first) as u128) << 32
                    | u32::from_le_bytes(*last) as u128
            }
            _ => 0,
        }
    }
}

fn texts<'b>(reader: &mut Reader<'b>) -> Result<Map<'b, Text<'b>>, Unreadable> {
    let count = reader.map_or_nil()?;
    let plain = |reader: &mut Reader<'b>| {
        let (key, value) = (reader.plain_text()?, reader.plain_text()?);
        Some((Text::Borrowed(key), Text::Borrowed(value)))
    };
    Ok(Map::from_pairs(reader.entries(count, plain, |reader| entry(reader, Reader::text))?))
}

fn numbers<'b>(reader: &mut Reader<'b>) -> Result<Map<'b, f64>, Unreadable> {
    let count = reader.map_or_nil()?;
    let plain = |reader: &mut Reader<'b>| Some((Text::Borrowed(reader.plain_text()?), reader.plain_float()?));
    Ok(Map::from_pairs(reader.entries(count, plain, |reader| entry(reader, Reader::float))?))
}

fn map<'b, V>(
    reader: &mut Reader<'b>,
    value: impl Fn(&mut Reader<'b>) -> Result<V, Unreadable>,
) -> Result<Map<'b, V>, Unreadable> {
    let count = reader.map_or_nil()?;
    Ok(Map::from_pairs(reader.entries(count, |_| None, |reader| entry(reader, &value))?))
}

/// An entry of a map. A key with nothing is no key.
#[inline(never)]
fn entry<'b, V>(
    reader: &mut Reader<'b>,
    value: impl Fn(&mut Reader<'b>) -> Result<V, Unreadable>,
) -> Result<Option<(Text<'b>, V)>, Unreadable> {
    let key = reader.text()?;
    Ok(if reader.nil()? { None } else { Some((key, value(reader)?)) })
}

fn list<'b, T>(
    reader: &mut Reader<'b>,
    element: impl Fn(&mut Reader<'b>) -> Result<T, Unreadable>,
) -> Result<Vec<T>, Unreadable> {
    let count = reader.array_or_nil()?;
    let mut elements = reader.list(count)?;
    for _ in 0..count {
        reader.make_room(&mut elements, count)?;
        elements.push(element(reader)?);
    }
    Ok(elements)
}

fn link<'b>(reader: &mut Reader<'b>) -> Result<Link<'b>, Unreadable> {
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

fn event<'b>(reader: &mut Reader<'b>) -> Result<Event<'b>, Unreadable> {
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
fn value<'b>(reader: &mut Reader<'b>, arrays: Arrays) -> Result<Value<'b>, Unreadable> {
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
        _ => return reader.fail(DecodeError::OutOfRange { offset, expected: "the type of an attribute" }),
    })
}

/// An array is a map with the list in it.
fn values<'b>(reader: &mut Reader<'b>) -> Result<Vec<Value<'b>>, Unreadable> {
    let mut found = Vec::new();
    for _ in 0..reader.map_or_nil()? {
        match reader.string()? {
            b"values" => found = list(reader, |reader| value(reader, Arrays::Refused))?,
            _ => reader.skip()?,
        }
    }
    Ok(found)
}
