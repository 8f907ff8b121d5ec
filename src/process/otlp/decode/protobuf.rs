//! Protobuf, read in place.
//!
//! Source: the protobuf encoding guide. Of a field that is not repeated and comes twice, the last counts.

use std::borrow::Cow;

use super::{Budget, DecodeError, FieldValue, Message};
use crate::process::trace::span::Text;

/// Reads the fields of a message.
pub(super) fn message<'b, M: Message<'b>>(body: &'b [u8], budget: &Budget) -> Result<M, DecodeError> {
    let mut message = M::default();
    let mut rest = body;
    while !rest.is_empty() {
        let tag = varint(&mut rest)?;
        let wire = wire(tag, &mut rest)?;
        let number = tag >> 3;
        if number == 0 {
            return Err(DecodeError::ZeroField);
        }
        message.read(number, Value { wire, budget })?;
    }
    Ok(message)
}

/// A field's value by its wire type.
enum Wire<'b> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'b [u8]),
}

struct Value<'b, 's> {
    wire: Wire<'b>,
    budget: &'s Budget,
}

fn varint(rest: &mut &[u8]) -> Result<u64, DecodeError> {
    let mut value = 0_u64;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, after) = rest.split_first().ok_or(DecodeError::Truncated)?;
        *rest = after;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return Err(DecodeError::LongNumber);
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(DecodeError::LongNumber)
}

fn wire<'b>(tag: u64, rest: &mut &'b [u8]) -> Result<Wire<'b>, DecodeError> {
    Ok(match tag & 7 {
        0 => Wire::Varint(varint(rest)?),
        1 => Wire::Fixed64(u64::from_le_bytes(fixed(rest)?)),
        2 => {
            let length = usize::try_from(varint(rest)?).map_err(|_| DecodeError::Truncated)?;
            let (bytes, after) = rest.split_at_checked(length).ok_or(DecodeError::Truncated)?;
            *rest = after;
            Wire::Bytes(bytes)
        }
        5 => Wire::Fixed32(u32::from_le_bytes(fixed(rest)?)),
        other => return Err(DecodeError::UnknownType(u8::try_from(other).unwrap_or_default())),
    })
}

fn fixed<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], DecodeError> {
    let (bytes, after) = rest.split_first_chunk().ok_or(DecodeError::Truncated)?;
    *rest = after;
    Ok(*bytes)
}

impl<'b> Value<'b, '_> {
    fn slice(&self, expected: &'static str) -> Result<&'b [u8], DecodeError> {
        if let Wire::Bytes(bytes) = self.wire { Ok(bytes) } else { Err(DecodeError::WrongType { expected }) }
    }
}

impl<'b> FieldValue<'b> for Value<'b, '_> {
    type Error = DecodeError;

    fn text(self) -> Result<Text<'b>, DecodeError> {
        let text = std::str::from_utf8(self.slice("text")?).map_err(|_| DecodeError::NotUtf8)?;
        Ok(Cow::Borrowed(text))
    }

    fn bytes(self) -> Result<Cow<'b, [u8]>, DecodeError> {
        self.slice("bytes").map(Cow::Borrowed)
    }

    fn id<const N: usize>(self) -> Result<Option<[u8; N]>, DecodeError> {
        Ok(self.slice("an id")?.try_into().ok())
    }

    fn bool(self) -> Result<bool, DecodeError> {
        Ok(self.unsigned()? != 0)
    }

    fn unsigned(self) -> Result<u64, DecodeError> {
        match self.wire {
            Wire::Varint(value) | Wire::Fixed64(value) => Ok(value),
            Wire::Fixed32(value) => Ok(value.into()),
            Wire::Bytes(_) => Err(DecodeError::WrongType { expected: "a number" }),
        }
    }

    fn signed(self) -> Result<i64, DecodeError> {
        Ok(self.unsigned()?.cast_signed())
    }

    fn double(self) -> Result<f64, DecodeError> {
        if let Wire::Fixed64(bits) = self.wire {
            return Ok(f64::from_bits(bits));
        }
        Err(DecodeError::WrongType { expected: "a double" })
    }

    fn enumeration(self, _: impl Fn(&str) -> Option<i64>) -> Result<i64, DecodeError> {
        self.signed()
    }

    fn message<M: Message<'b>>(self) -> Result<M, DecodeError> {
        let body = self.slice("a message")?;
        if !self.budget.enter() {
            return Err(DecodeError::TooDeep);
        }
        let read = message(body, self.budget);
        self.budget.leave();
        read
    }

    fn push<M: Message<'b>>(self, list: &mut Vec<M>) -> Result<(), DecodeError> {
        self.budget.make_room(list)?;
        list.push(self.message()?);
        Ok(())
    }

    fn skip(self) -> Result<(), DecodeError> {
        Ok(())
    }
}
