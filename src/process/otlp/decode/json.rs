//! JSON, as OTLP maps it: ids are hexadecimal, bytes are base64, 64-bit numbers may be text, and `null` is as good as nothing.
//!
//! More is understood than the mapping says, because SDKs write it: a number of 64 bits may be an object with its halves, `low` and `high`; and a value of an
//! enumeration may be its name.

use std::{borrow::Cow, fmt, marker::PhantomData};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};

use super::{Budget, DecodeError, Field, FieldValue, MAX_DEPTH, Message};
use crate::process::otlp::TooLarge;
use crate::process::trace::span::Text;

/// Reads a document that is one message.
pub(super) fn message<'b, M: Message<'b>>(body: &'b [u8], budget: &Budget) -> Result<M, DecodeError> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let read = Value { deserializer: &mut deserializer, budget }.message();
    let read = read.and_then(|message| deserializer.end().map(|()| message));
    read.map_err(
        |error| {
            if budget.has_failed.get() { DecodeError::TooLarge(TooLarge) } else { DecodeError::Json(error) }
        },
    )
}

struct Value<'s, D> {
    deserializer: D,
    budget: &'s Budget,
}

impl<'b, D: Deserializer<'b>> FieldValue<'b> for Value<'_, D> {
    type Error = D::Error;

    fn text(self) -> Result<Text<'b>, D::Error> {
        let text = self.deserializer.deserialize_str(TextVisitor)?;
        // One with escapes is a copy.
        if let Text::Owned(owned) = &text {
            self.budget.charge(owned.capacity()).map_err(Error::custom)?;
        }
        Ok(text)
    }

    fn bytes(self) -> Result<Cow<'b, [u8]>, D::Error> {
        let budget = self.budget;
        let text = self.text()?;
        budget.charge(text.len()).map_err(Error::custom)?;
        let bytes = BASE64_STANDARD.decode(&*text);
        bytes.map(Cow::Owned).map_err(|_| Error::invalid_value(Unexpected::Other("text"), &"base64"))
    }

    fn id<const N: usize>(self) -> Result<Option<[u8; N]>, D::Error> {
        self.text().map(|text| hexadecimal(&text))
    }

    fn bool(self) -> Result<bool, D::Error> {
        self.deserializer.deserialize_bool(BoolVisitor)
    }

    fn unsigned(self) -> Result<u64, D::Error> {
        self.deserializer.deserialize_any(NumberVisitor).and_then(Number::unsigned)
    }

    fn signed(self) -> Result<i64, D::Error> {
        self.deserializer.deserialize_any(NumberVisitor).and_then(Number::signed)
    }

    fn double(self) -> Result<f64, D::Error> {
        self.deserializer.deserialize_any(NumberVisitor).map(Number::double)
    }

    fn enumeration(self, name: impl Fn(&str) -> Option<i64>) -> Result<i64, D::Error> {
        self.deserializer.deserialize_any(EnumerationVisitor { name })
    }

    fn message<M: Message<'b>>(self) -> Result<M, D::Error> {
        if !self.budget.enter() {
            return Err(Error::custom(format_args!("messages are more than {MAX_DEPTH} deep")));
        }
        let read = self.deserializer.deserialize_map(MessageVisitor { budget: self.budget, message: PhantomData });
        self.budget.leave();
        read
    }

    fn push<M: Message<'b>>(self, list: &mut Vec<M>) -> Result<(), D::Error> {
        self.budget.make_room(list).map_err(Error::custom)?;
        list.push(self.message()?);
        Ok(())
    }

    fn skip(self) -> Result<(), D::Error> {
        self.deserializer.deserialize_ignored_any(IgnoredAny).map(drop)
    }
}

/// The bytes that pairs of digits stand for; None unless they are as many as are asked for.
fn hexadecimal<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.is_ascii() {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    // A sign would be taken for a digit.
    text.bytes().all(|digit| digit.is_ascii_hexdigit()).then_some(bytes)
}

struct MessageVisitor<'s, M> {
    budget: &'s Budget,
    message: PhantomData<M>,
}

impl<'b, M: Message<'b>> Visitor<'b> for MessageVisitor<'_, M> {
    type Value = M;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'b>>(self, mut fields: A) -> Result<M, A::Error> {
        let mut message = M::default();
        while let Some(field) = fields.next_key_seed(FieldName(M::FIELDS))? {
            match field {
                Some(field) => {
                    fields.next_value_seed(FieldSeed { message: &mut message, field, budget: self.budget })?;
                }
                None => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        Ok(message)
    }
}

/// Finds a field by its name.
struct FieldName(&'static [Field]);

impl<'b> DeserializeSeed<'b> for FieldName {
    type Value = Option<&'static Field>;

    fn deserialize<D: Deserializer<'b>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for FieldName {
    type Value = Option<&'static Field>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().find(|field| field.name == name))
    }
}

/// Reads a field into a message, unless it is `null`.
struct FieldSeed<'s, M> {
    message: &'s mut M,
    field: &'static Field,
    budget: &'s Budget,
}

impl<'b, M: Message<'b>> DeserializeSeed<'b> for FieldSeed<'_, M> {
    type Value = ();

    fn deserialize<D: Deserializer<'b>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'b, M: Message<'b>> Visitor<'b> for FieldSeed<'_, M> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.field.is_repeated { "an array" } else { "a value" })
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'b>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.field.is_repeated {
            return deserializer.deserialize_seq(self);
        }
        self.message.read(self.field.number, Value { deserializer, budget: self.budget })
    }

    fn visit_seq<A: SeqAccess<'b>>(self, mut elements: A) -> Result<(), A::Error> {
        let Self { message, field, budget } = self;
        while elements.next_element_seed(Element { message: &mut *message, field, budget })?.is_some() {}
        Ok(())
    }
}

/// Reads an element of a repeated field into a message.
struct Element<'s, M> {
    message: &'s mut M,
    field: &'static Field,
    budget: &'s Budget,
}

impl<'b, M: Message<'b>> DeserializeSeed<'b> for Element<'_, M> {
    type Value = ();

    fn deserialize<D: Deserializer<'b>>(self, deserializer: D) -> Result<(), D::Error> {
        self.message.read(self.field.number, Value { deserializer, budget: self.budget })
    }
}

struct TextVisitor;

impl<'b> Visitor<'b> for TextVisitor {
    type Value = Text<'b>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("text")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'b str) -> Result<Text<'b>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text<'b>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

struct BoolVisitor;

impl Visitor<'_> for BoolVisitor {
    type Value = bool;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("true or false")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<bool, E> {
        Ok(value)
    }
}

struct EnumerationVisitor<F> {
    name: F,
}

impl<F: Fn(&str) -> Option<i64>> Visitor<'_> for EnumerationVisitor<F> {
    type Value = i64;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value of an enumeration")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<i64, E> {
        Ok(number)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<i64, E> {
        i64::try_from(number).map_err(|_| Error::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<i64, E> {
        (self.name)(text)
            .or_else(|| text.parse().ok())
            .ok_or_else(|| Error::invalid_value(Unexpected::Other("another name"), &self))
    }
}

/// A number in any of the ways in which it may be written.
enum Number {
    Unsigned(u64),
    Signed(i64),
    Double(f64),
}

impl Number {
    fn unsigned<E: Error>(self) -> Result<u64, E> {
        match self {
            Self::Unsigned(value) => Some(value),
            Self::Signed(value) => u64::try_from(value).ok(),
            Self::Double(value) => whole(value).filter(|value| !value.is_sign_negative()).map(as_unsigned),
        }
        .ok_or_else(|| Error::invalid_value(Unexpected::Other("another number"), &"a whole number of 64 bits"))
    }

    fn signed<E: Error>(self) -> Result<i64, E> {
        match self {
            Self::Unsigned(value) => i64::try_from(value).ok(),
            Self::Signed(value) => Some(value),
            Self::Double(value) => whole(value).map(as_signed),
        }
        .ok_or_else(|| Error::invalid_value(Unexpected::Other("another number"), &"a whole number of 64 bits"))
    }

    #[expect(clippy::cast_precision_loss, reason = "a double is what is wanted")]
    fn double(self) -> f64 {
        match self {
            Self::Unsigned(value) => value as f64,
            Self::Signed(value) => value as f64,
            Self::Double(value) => value,
        }
    }
}

/// A double without a fraction that 64 bits can hold, more or less: what is beyond saturates.
fn whole(value: f64) -> Option<f64> {
    (value.is_finite() && value.fract() == 0.0 && value.abs() < 1.9e19).then_some(value)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is whole and not negative")]
fn as_unsigned(value: f64) -> u64 {
    value as u64
}

#[expect(clippy::cast_possible_truncation, reason = "it is whole")]
fn as_signed(value: f64) -> i64 {
    value as i64
}

struct NumberVisitor;

impl<'b> Visitor<'b> for NumberVisitor {
    type Value = Number;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a number")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Number, E> {
        Ok(Number::Unsigned(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Number, E> {
        Ok(Number::Signed(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Number, E> {
        Ok(Number::Double(value))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Number, E> {
        let unsigned = || text.parse().ok().map(Number::Unsigned);
        let signed = || text.parse().ok().map(Number::Signed);
        let double = || text.parse().ok().map(Number::Double);
        unsigned()
            .or_else(signed)
            .or_else(double)
            .ok_or_else(|| Error::invalid_value(Unexpected::Other("text"), &"a number"))
    }

    /// Two halves, as JavaScript has them, which knows no whole numbers of 64 bits. Either may have a sign, which says nothing.
    fn visit_map<A: MapAccess<'b>>(self, mut fields: A) -> Result<Number, A::Error> {
        let (mut low, mut high) = (0, 0);
        while let Some(name) = fields.next_key::<Cow<str>>()? {
            match &*name {
                "low" => low = fields.next_value::<i64>()?.cast_unsigned() & 0xffff_ffff,
                "high" => high = fields.next_value::<i64>()?.cast_unsigned() & 0xffff_ffff,
                _ => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Number::Unsigned(high << 32 | low))
    }
}
