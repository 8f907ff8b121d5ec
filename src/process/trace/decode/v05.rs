//! v0.5: every string stands once in a table; a span is an array of twelve.

use super::{MAX_STRINGS, MAX_TRACE_BYTES};
use crate::process::{
    msgpack::{DecodeError, Reader, Unreadable},
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
pub(super) fn strings<'b>(reader: &mut Reader<'b>) -> Result<Strings<'b>, Unreadable> {
    let offset = reader.offset();
    let length = reader.array_or_nil()?;
    if length != 2 {
        return reader.fail(DecodeError::WrongLength { offset, what: "a payload", length, expected: 2 });
    }
    let count = reader.array_or_nil()?;
    if count > MAX_STRINGS {
        return reader.fail(DecodeError::TooManyStrings { strings: count, max: MAX_STRINGS });
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
    /// A text that is a slice of the body, as almost all are. None for anything else, of which some may have been read.
    #[expect(clippy::inline_always, reason = "two for each tag of each span")]
    #[inline(always)]
    fn plain(&self, reader: &mut Reader<'b>) -> Option<&'b str> {
        match self.0.get(reader.plain_index()?)? {
            Text::Borrowed(text) => Some(text),
            Text::Owned(_) => None,
        }
    }

    #[inline(never)]
    fn any(&self, reader: &mut Reader<'b>) -> Result<Text<'b>, Unreadable> {
        let offset = reader.offset();
        let index: u64 = reader.integer()?;
        match usize::try_from(index).ok().and_then(|index| self.0.get(index)) {
            Some(Text::Borrowed(text)) => Ok(Text::Borrowed(text)),
            Some(Text::Owned(text)) => {
                reader.charge(text.len())?;
                Ok(Text::Owned(text.clone()))
            }
            None => reader.fail(DecodeError::UnknownString { offset, index, strings: self.0.len() }),
        }
    }

    /// Puts a text in its place.
    fn put(&self, reader: &mut Reader<'b>, place: &mut Text<'b>) -> Result<(), Unreadable> {
        *place = match reader.plain(|reader| self.plain(reader)) {
            Some(text) => Text::Borrowed(text),
            None => self.any(reader)?,
        };
        Ok(())
    }
}

pub(super) fn span<'b>(reader: &mut Reader<'b>, strings: &Strings<'b>, span: &mut Span<'b>) -> Result<(), Unreadable> {
    let offset = reader.offset();
    let length = reader.array_or_nil()?;
    if length != SPAN_LENGTH {
        return reader.fail(DecodeError::WrongLength { offset, what: "a span", length, expected: SPAN_LENGTH });
    }
    strings.put(reader, &mut span.service)?;
    strings.put(reader, &mut span.name)?;
    strings.put(reader, &mut span.resource)?;
    span.trace_id = reader.integer()?;
    span.span_id = reader.integer()?;
    span.parent_id = reader.integer()?;
    span.start = reader.integer()?;
    span.duration = reader.integer()?;
    span.error = reader.integer()?;
    span.meta = texts(reader, strings)?;
    span.metrics = numbers(reader, strings)?;
    strings.put(reader, &mut span.kind)
}

fn texts<'b>(reader: &mut Reader<'b>, strings: &Strings<'b>) -> Result<Map<'b, Text<'b>>, Unreadable> {
    let count = reader.map_or_nil()?;
    let plain = |reader: &mut Reader<'b>| {
        let (key, value) = (strings.plain(reader)?, strings.plain(reader)?);
        Some((Text::Borrowed(key), Text::Borrowed(value)))
    };
    let any = |reader: &mut Reader<'b>| Ok(Some((strings.any(reader)?, strings.any(reader)?)));
    Ok(Map::from_pairs(reader.entries(count, plain, any)?))
}

fn numbers<'b>(reader: &mut Reader<'b>, strings: &Strings<'b>) -> Result<Map<'b, f64>, Unreadable> {
    let count = reader.map_or_nil()?;
    let plain = |reader: &mut Reader<'b>| Some((Text::Borrowed(strings.plain(reader)?), reader.plain_float()?));
    let any = |reader: &mut Reader<'b>| Ok(Some((strings.any(reader)?, reader.float()?)));
    Ok(Map::from_pairs(reader.entries(count, plain, any)?))
}
