//! Values: what JSON has, with byte strings instead of text.

use alloc::{borrow::ToOwned as _, string::String, vec::Vec};

use crate::{Error, MAX_DEPTH, MAX_VALUES, Reader};

/// A value. Texts are bytes, because a request may have any.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(Vec<u8>),
    Array(Vec<Value>),
    /// A name may be there more than once.
    Map(Vec<(Vec<u8>, Value)>),
}

/// The beginning of an encoded value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Token<'m> {
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(&'m [u8]),
    /// So many values follow.
    Array(u32),
    /// So many names (byte strings), each with a value behind it, follow.
    Map(u32),
}

mod tag {
    pub const NULL: u8 = 0;
    pub const FALSE: u8 = 1;
    pub const TRUE: u8 = 2;
    pub const SIGNED: u8 = 3;
    pub const UNSIGNED: u8 = 4;
    pub const FLOAT: u8 = 5;
    pub const TEXT: u8 = 6;
    pub const ARRAY: u8 = 7;
    pub const MAP: u8 = 8;
}

impl<'m> Token<'m> {
    /// Reads the beginning of a value.
    pub fn read(reader: &mut Reader<'m>) -> Result<Self, Error> {
        Ok(match reader.u8()? {
            tag::NULL => Self::Null,
            tag::FALSE => Self::Bool(false),
            tag::TRUE => Self::Bool(true),
            tag::SIGNED => Self::Signed(reader.u64()?.cast_signed()),
            tag::UNSIGNED => Self::Unsigned(reader.u64()?),
            tag::FLOAT => Self::Float(f64::from_bits(reader.u64()?)),
            tag::TEXT => Self::Text(reader.text()?),
            tag::ARRAY => Self::Array(bounded(reader.u32()?, 1, reader)?),
            tag::MAP => Self::Map(bounded(reader.u32()?, 5, reader)?),
            other => return Err(Error::Tag(other)),
        })
    }
}

/// Refuses a number of entries that the bytes that are left cannot hold, so that memory can be reserved for them.
fn bounded(count: u32, entry_bytes: usize, reader: &Reader) -> Result<u32, Error> {
    let fits = usize::try_from(count).is_ok_and(|count| count <= reader.left() / entry_bytes);
    if fits { Ok(count) } else { Err(Error::Truncated) }
}

/// Writes a value that has no others in it, or the beginning of one that has.
pub fn write_token(out: &mut Vec<u8>, token: Token) {
    match token {
        Token::Null => out.push(tag::NULL),
        Token::Bool(false) => out.push(tag::FALSE),
        Token::Bool(true) => out.push(tag::TRUE),
        Token::Signed(number) => fixed(out, tag::SIGNED, number.cast_unsigned()),
        Token::Unsigned(number) => fixed(out, tag::UNSIGNED, number),
        Token::Float(number) => fixed(out, tag::FLOAT, number.to_bits()),
        Token::Text(text) => {
            out.push(tag::TEXT);
            write_text(out, text);
        }
        Token::Array(count) => write_array(out, count),
        Token::Map(count) => write_map(out, count),
    }
}

/// Writes the beginning of an array.
pub fn write_array(out: &mut Vec<u8>, count: u32) {
    out.push(tag::ARRAY);
    out.extend(count.to_le_bytes());
}

/// Writes the beginning of a map.
pub fn write_map(out: &mut Vec<u8>, count: u32) {
    out.push(tag::MAP);
    out.extend(count.to_le_bytes());
}

/// Writes a byte string, cut at the 4 GiB that its length can say.
pub fn write_text(out: &mut Vec<u8>, text: &[u8]) {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    out.extend(length.to_le_bytes());
    out.extend(text.iter().take(usize::try_from(length).unwrap_or(usize::MAX)));
}

fn fixed(out: &mut Vec<u8>, tag: u8, number: u64) {
    out.push(tag);
    out.extend(number.to_le_bytes());
}

impl Value {
    /// Appends the encoded value.
    pub fn write(&self, out: &mut Vec<u8>) {
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        match self {
            Self::Null => write_token(out, Token::Null),
            Self::Bool(value) => write_token(out, Token::Bool(*value)),
            Self::Signed(number) => write_token(out, Token::Signed(*number)),
            Self::Unsigned(number) => write_token(out, Token::Unsigned(*number)),
            Self::Float(number) => write_token(out, Token::Float(*number)),
            Self::Text(text) => write_token(out, Token::Text(text)),
            Self::Array(values) => {
                write_array(out, count(values.len()));
                for value in values {
                    value.write(out);
                }
            }
            Self::Map(entries) => {
                write_map(out, count(entries.len()));
                for (name, value) in entries {
                    write_text(out, name);
                    value.write(out);
                }
            }
        }
    }

    /// Reads a value.
    pub fn read(reader: &mut Reader) -> Result<Self, Error> {
        Self::read_below(reader, MAX_DEPTH, &mut { MAX_VALUES })
    }

    /// Reads a value that may have so many levels, and of which so many may be left to read.
    fn read_below(reader: &mut Reader, depth: usize, left: &mut usize) -> Result<Self, Error> {
        *left = left.checked_sub(1).ok_or(Error::Values)?;
        let below = || depth.checked_sub(1).ok_or(Error::Depth);
        Ok(match Token::read(reader)? {
            Token::Null => Self::Null,
            Token::Bool(value) => Self::Bool(value),
            Token::Signed(number) => Self::Signed(number),
            Token::Unsigned(number) => Self::Unsigned(number),
            Token::Float(number) => Self::Float(number),
            Token::Text(text) => Self::Text(text.to_owned()),
            Token::Array(count) => {
                let depth = below()?;
                Self::Array((0..count).map(|_| Self::read_below(reader, depth, left)).collect::<Result<_, _>>()?)
            }
            Token::Map(count) => {
                let depth = below()?;
                let entry = |_| Ok((reader.text()?.to_owned(), Self::read_below(reader, depth, left)?));
                Self::Map((0..count).map(entry).collect::<Result<_, _>>()?)
            }
        })
    }

    /// The value of a name in a map; of one that is repeated, the first.
    pub fn field(&self, name: &str) -> Option<&Self> {
        let Self::Map(entries) = self else { return None };
        entries.iter().find(|(known, _)| known == name.as_bytes()).map(|(_, value)| value)
    }

    /// The text, if it is one; bytes that are no UTF-8 are replaced.
    pub fn text(&self) -> Option<String> {
        let Self::Text(text) = self else { return None };
        Some(String::from_utf8_lossy(text).into_owned())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.as_bytes().to_vec())
    }
}
