//! Decodes a request in either encoding. The fields of each message are listed once, in `schema`; `protobuf` and `json` show their values.
//!
//! What is decoded takes at most [`MAX_DECODED_BYTES`] of memory, whatever the body says, and messages are at most [`MAX_DEPTH`] deep.
//!
//! Written by hand: the messages of `prost` own their strings, and nothing bounds their memory: an empty span of two bytes becomes hundreds.

mod json;
mod protobuf;
mod schema;

use std::{borrow::Cow, cell::Cell};

use super::{Encoding, TooLarge, message::Request};
use crate::process::trace::span::Text;

/// Maximum memory of a decoded request, in bytes. One of ordinary spans takes up to three times the length of its body.
pub const MAX_DECODED_BYTES: usize = 128 << 20;

/// What a list begins with, in bytes: one span, or four attributes. A list that grows by itself begins with four of either, and many lists of spans have one.
const FIRST_BYTES: usize = 256;

/// Maximum number of messages that are inside of each other, as in most decoders of protobuf. An attribute whose value is a list of lists has two for each.
pub const MAX_DEPTH: usize = 100;

/// Why a request can't be decoded.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("the body ends inside a field")]
    Truncated,
    #[error("a number has more than 64 bits")]
    LongNumber,
    #[error("a field has the number 0")]
    ZeroField,
    #[error("a field has the wire type {0}, which messages do not use")]
    UnknownType(u8),
    #[error("a field has another type than {expected}")]
    WrongType { expected: &'static str },
    #[error("a text is not UTF-8")]
    NotUtf8,
    #[error("messages are more than {MAX_DEPTH} deep")]
    TooDeep,
    #[error("it is not the JSON of a request")]
    Json(#[source] serde_json::Error),
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
}

/// Decodes a request.
pub fn request(encoding: Encoding, body: &[u8]) -> Result<Request<'_>, DecodeError> {
    request_within(encoding, body, MAX_DECODED_BYTES)
}

fn request_within(encoding: Encoding, body: &[u8], max_bytes: usize) -> Result<Request<'_>, DecodeError> {
    let budget = Budget::new(max_bytes);
    match encoding {
        Encoding::Protobuf => protobuf::message(body, &budget),
        Encoding::Json => json::message(body, &budget),
    }
}

/// A message of which one field after the other is read.
trait Message<'b>: Default {
    /// Fields of the message that are decoded; others are skipped.
    const FIELDS: &'static [Field];

    /// Takes in a field by its number, or an element of it where it is repeated. One that is not known is read over.
    fn read<V: FieldValue<'b>>(&mut self, number: u64, value: V) -> Result<(), V::Error>;
}

/// A field of a message.
struct Field {
    number: u64,
    /// In JSON.
    name: &'static str,
    is_repeated: bool,
}

/// The value of a field, which knows its encoding.
trait FieldValue<'b>: Sized {
    type Error: Sized;

    fn text(self) -> Result<Text<'b>, Self::Error>;
    fn bytes(self) -> Result<Cow<'b, [u8]>, Self::Error>;
    /// None where there are more bytes or fewer.
    fn id<const N: usize>(self) -> Result<Option<[u8; N]>, Self::Error>;
    fn bool(self) -> Result<bool, Self::Error>;
    fn unsigned(self) -> Result<u64, Self::Error>;
    fn signed(self) -> Result<i64, Self::Error>;
    fn double(self) -> Result<f64, Self::Error>;
    /// The number of a value of an enumeration, of which JSON may say the name.
    fn enumeration(self, name: impl Fn(&str) -> Option<i64>) -> Result<i64, Self::Error>;
    fn message<M: Message<'b>>(self) -> Result<M, Self::Error>;
    /// Adds a message to a list.
    fn push<M: Message<'b>>(self, list: &mut Vec<M>) -> Result<(), Self::Error>;
    fn skip(self) -> Result<(), Self::Error>;
}

/// Bytes that decoding may still allocate.
struct Budget {
    bytes: Cell<usize>,
    depth: Cell<usize>,
    has_failed: Cell<bool>,
}

impl Budget {
    fn new(bytes: usize) -> Self {
        Self { bytes: Cell::new(bytes), depth: Cell::new(MAX_DEPTH), has_failed: Cell::new(false) }
    }

    /// Counts memory that is about to be allocated.
    fn charge(&self, bytes: usize) -> Result<(), TooLarge> {
        let left = self.bytes.get().checked_sub(bytes);
        self.has_failed.set(left.is_none());
        self.bytes.set(left.ok_or(TooLarge)?);
        Ok(())
    }

    /// Makes room for one more message in a list, and counts all of it; while the list moves there, what it had as well. A message that is no element takes no memory
    /// of its own: it is a part of another one.
    fn make_room<M>(&self, list: &mut Vec<M>) -> Result<(), TooLarge> {
        if list.len() < list.capacity() {
            return Ok(());
        }
        let first = (FIRST_BYTES / size_of::<M>().max(1)).clamp(1, 4);
        let more = if list.is_empty() { first } else { list.len() };
        let old = list.capacity().saturating_mul(size_of::<M>());
        self.charge(more.saturating_mul(size_of::<M>()).saturating_add(old))?;
        list.reserve_exact(more);
        self.bytes.set(self.bytes.get().saturating_add(old));
        Ok(())
    }

    /// Goes one message deeper; false if that is too deep.
    fn enter(&self) -> bool {
        let depth = self.depth.get().checked_sub(1);
        self.depth.set(depth.unwrap_or_default());
        depth.is_some()
    }

    fn leave(&self) {
        self.depth.set(self.depth.get() + 1);
    }
}

#[cfg(test)]
mod tests;
