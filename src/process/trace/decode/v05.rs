//! v0.5: every string stands once in a table; a span is an array of twelve.

use super::{MAX_STRINGS, MAX_TRACE_BYTES, with_spare};
use crate::process::{
    msgpack::{DecodeError, Reader},
    trace::{
        map::Map,
        span::{Span, Text},
    },
};

const SPAN_LENGTH: usize = 12;

/// The table.
#[derive(Debug)]
pub(super) struct Strings<'b>(Vec<Text<'b>>);

/// Reads the outer array of two and the table that is its first element.
pub(super) fn strings<'b>(reader: &mut Reader<'b>) -> Result<Strings<'b>, DecodeError> {
    let offset = reader.offset();
    let length = reader.array_or_nil()?;
    if length != 2 {
        return Err(DecodeError::WrongLength { offset, what: "a payload", length, expected: 2 });
    }
    let count = reader.array_or_nil()?;
    if count > MAX_STRINGS {
        return Err(DecodeError::TooManyStrings { strings: count, max: MAX_STRINGS });
    }
    reader.set_memory(MAX_TRACE_BYTES);
    let mut strings = reader.list(count)?;
    for _ in 0..count {
        reader.make_room(&mut strings, count)?;
        strings.push(reader.text()?);
    }
    Ok(Strings(strings))
}

impl<'b> Strings<'b> {
    fn read(&self, reader: &mut Reader<'b>) -> Result<Text<'b>, DecodeError> {
        let offset = reader.offset();
        let index: u64 = reader.integer()?;
        let text = usize::try_from(index).ok().and_then(|index| self.0.get(index));
        let text = text.ok_or(DecodeError::UnknownString { offset, index, strings: self.0.len() })?;
        match text {
            Text::Borrowed(text) => Ok(Text::Borrowed(text)),
            Text::Owned(text) => {
                reader.charge(text.len())?;
                Ok(Text::Owned(text.clone()))
            }
        }
    }
}

pub(super) fn span<'b>(reader: &mut Reader<'b>, strings: &Strings<'b>, span: &mut Span<'b>) -> Result<(), DecodeError> {
    let offset = reader.offset();
    let length = reader.array_or_nil()?;
    if length != SPAN_LENGTH {
        return Err(DecodeError::WrongLength { offset, what: "a span", length, expected: SPAN_LENGTH });
    }
    span.service = strings.read(reader)?;
    span.name = strings.read(reader)?;
    span.resource = strings.read(reader)?;
    span.trace_id = reader.integer()?;
    span.span_id = reader.integer()?;
    span.parent_id = reader.integer()?;
    span.start = reader.integer()?;
    span.duration = reader.integer()?;
    span.error = reader.integer()?;
    span.meta = map(reader, strings, |reader| strings.read(reader))?;
    span.metrics = map(reader, strings, Reader::float)?;
    span.kind = strings.read(reader)?;
    Ok(())
}

fn map<'b, V>(
    reader: &mut Reader<'b>,
    strings: &Strings<'b>,
    value: impl Fn(&mut Reader<'b>) -> Result<V, DecodeError>,
) -> Result<Map<'b, V>, DecodeError> {
    let count = reader.map_or_nil()?;
    let room = with_spare(count);
    let mut pairs = reader.list(room)?;
    for _ in 0..count {
        reader.make_room(&mut pairs, room)?;
        pairs.push((strings.read(reader)?, value(reader)?));
    }
    Ok(Map::from_pairs(pairs))
}
