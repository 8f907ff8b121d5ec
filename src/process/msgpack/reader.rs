//! Reads msgpack from a slice.

use std::borrow::Cow;

use super::{DecodeError, Unreadable};

/// Up to this many elements of a list are allocated at once; longer lists grow as they are read, so that a large count followed by nothing costs nothing.
const RESERVED: usize = 4096;

/// A position in a msgpack document, and what its reader may still allocate.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'b> {
    pub(super) body: &'b [u8],
    /// How many bytes have been read.
    pub(super) at: usize,
    /// Bytes.
    memory: usize,
    /// Why it can't be read on.
    error: Option<DecodeError>,
}

impl<'b> Reader<'b> {
    pub(crate) fn new(body: &'b [u8], memory: usize) -> Self {
        Self { body, at: 0, memory, error: None }
    }

    /// How many bytes have been read.
    pub(crate) fn offset(&self) -> usize {
        self.at
    }

    pub(crate) fn set_memory(&mut self, bytes: usize) {
        self.memory = bytes;
    }

    /// Bytes that decoding may still allocate.
    #[cfg(test)]
    pub(crate) fn memory(&self) -> usize {
        self.memory
    }

    /// Why the document can't be read on.
    #[cold]
    pub(crate) fn error(&mut self) -> DecodeError {
        self.error.take().unwrap_or(DecodeError::Truncated(self.body.len()))
    }

    /// Gives the document up.
    #[cold]
    #[inline(never)]
    pub(crate) fn fail<T>(&mut self, error: DecodeError) -> Result<T, Unreadable> {
        self.error.get_or_insert(error);
        Err(Unreadable)
    }

    /// Counts memory that is about to be allocated.
    pub(crate) fn charge(&mut self, bytes: usize) -> Result<(), Unreadable> {
        let Some(left) = self.memory.checked_sub(bytes) else { return self.fail(DecodeError::TooLarge(self.at)) };
        self.memory = left;
        Ok(())
    }

    /// An empty list with room for what is to come, as far as that can be believed. The room is counted.
    pub(crate) fn list<T>(&mut self, count: usize) -> Result<Vec<T>, Unreadable> {
        let reserved = count.min(RESERVED);
        self.charge(reserved.saturating_mul(size_of::<T>()))?;
        Ok(Vec::with_capacity(reserved))
    }

    /// Makes room for one more element of a list that is to have so many. New room is counted, and is at most as much as there is.
    #[inline]
    pub(crate) fn make_room<T>(&mut self, list: &mut Vec<T>, count: usize) -> Result<(), Unreadable> {
        if list.len() == list.capacity() { self.grow(list, count) } else { Ok(()) }
    }

    #[cold]
    fn grow<T>(&mut self, list: &mut Vec<T>, count: usize) -> Result<(), Unreadable> {
        let more = list.len().min(count.saturating_sub(list.len())).max(1);
        self.charge(more.saturating_mul(size_of::<T>()))?;
        list.reserve_exact(more);
        Ok(())
    }

    /// Truncated inside a value.
    #[cold]
    fn truncated<T>(&mut self) -> Result<T, Unreadable> {
        self.fail(DecodeError::Truncated(self.body.len()))
    }

    #[expect(clippy::inline_always, reason = "a byte of every value: the call would cost more than the look")]
    #[inline(always)]
    fn peek(&mut self) -> Result<u8, Unreadable> {
        let Some(byte) = self.body.get(self.at) else { return self.truncated() };
        Ok(*byte)
    }

    /// Reads over the byte that was looked at.
    fn advance(&mut self) {
        self.at += 1;
    }

    fn take(&mut self, bytes: usize) -> Result<&'b [u8], Unreadable> {
        let end = self.at.saturating_add(bytes);
        let Some(taken) = self.body.get(self.at..end) else { return self.truncated() };
        self.at = end;
        Ok(taken)
    }

    #[expect(clippy::inline_always, reason = "an array is returned in memory")]
    #[inline(always)]
    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let Some(taken) = self.body.get(self.at..).and_then(<[u8]>::first_chunk) else { return self.truncated() };
        self.at += N;
        Ok(*taken)
    }

    /// A number of one, two, four or eight bytes: the power of two is given.
    fn big_endian(&mut self, power: u8) -> Result<u64, Unreadable> {
        Ok(match power {
            0 => u8::from_be_bytes(self.fixed()?).into(),
            1 => u16::from_be_bytes(self.fixed()?).into(),
            2 => u32::from_be_bytes(self.fixed()?).into(),
            _ => u64::from_be_bytes(self.fixed()?),
        })
    }

    /// A length of one, two or four bytes: the power of two is given.
    fn length(&mut self, power: u8) -> Result<usize, Unreadable> {
        let length = self.big_endian(power)?;
        let Ok(length) = usize::try_from(length) else { return self.fail(DecodeError::TooLarge(self.at)) };
        Ok(length)
    }

    #[cold]
    #[inline(never)]
    fn wrong<T>(&mut self, expected: &'static str, marker: u8) -> Result<T, Unreadable> {
        self.fail(DecodeError::WrongType { offset: self.at, expected, found: type_of(marker) })
    }

    /// Whether the next value is nil, which is read if so.
    #[expect(clippy::inline_always, reason = "as for a byte that is looked at")]
    #[inline(always)]
    pub(crate) fn nil(&mut self) -> Result<bool, Unreadable> {
        let is_nil = self.peek()? == 0xc0;
        if is_nil {
            self.advance();
        }
        Ok(is_nil)
    }

    /// The number of elements of an array, at most the number of bytes that follow; nil is an empty one.
    pub(crate) fn array_or_nil(&mut self) -> Result<usize, Unreadable> {
        let marker = self.peek()?;
        match marker {
            0x90..=0x9f => self.count(Some(marker & 0x0f), 0, 1),
            0xdc => self.count(None, 1, 1),
            0xdd => self.count(None, 2, 1),
            0xc0 => {
                self.advance();
                Ok(0)
            }
            _ => self.wrong("an array", marker),
        }
    }

    /// The number of entries of a map, at most half the number of bytes that follow; nil is an empty one.
    pub(crate) fn map_or_nil(&mut self) -> Result<usize, Unreadable> {
        let marker = self.peek()?;
        match marker {
            0x80..=0x8f => self.count(Some(marker & 0x0f), 0, 2),
            0xde => self.count(None, 1, 2),
            0xdf => self.count(None, 2, 2),
            0xc0 => {
                self.advance();
                Ok(0)
            }
            _ => self.wrong("a map", marker),
        }
    }

    /// A count: the marker's own, or that of the bytes after it. An element takes at least so many bytes.
    fn count(&mut self, own: Option<u8>, power: u8, element: usize) -> Result<usize, Unreadable> {
        self.advance();
        let count = match own {
            Some(count) => usize::from(count),
            None => self.length(power)?,
        };
        if count > self.body.len().saturating_sub(self.at) / element {
            return self.truncated();
        }
        Ok(count)
    }

    /// The bytes of a string.
    #[expect(clippy::inline_always, reason = "most of what spans are made of: the call would cost more than the read")]
    #[inline(always)]
    pub(crate) fn string(&mut self) -> Result<&'b [u8], Unreadable> {
        if let Some(marker @ 0xa0..=0xbf) = self.body.get(self.at) {
            let start = self.at + 1;
            let end = start + usize::from(marker & 0x1f);
            if let Some(string) = self.body.get(start..end) {
                self.at = end;
                return Ok(string);
            }
        }
        self.long_string()
    }

    /// The same for those with a length of its own, and for those that are none.
    #[inline(never)]
    fn long_string(&mut self) -> Result<&'b [u8], Unreadable> {
        let marker = self.peek()?;
        match marker {
            0xa0..=0xbf => return self.truncated(),
            0xd9..=0xdb => self.advance(),
            _ => return self.wrong("a string", marker),
        }
        let length = self.length(marker - 0xd9)?;
        self.take(length)
    }

    /// A text. What is no UTF-8 in it is replaced, as the full agent does: losing a whole request for one byte would be worse.
    pub(crate) fn text(&mut self) -> Result<Cow<'b, str>, Unreadable> {
        let bytes = self.string()?;
        match utf8(bytes) {
            Some(text) => Ok(Cow::Borrowed(text)),
            None => self.replaced(bytes),
        }
    }

    /// A text in which what is no UTF-8 is replaced.
    #[cold]
    fn replaced(&mut self, bytes: &'b [u8]) -> Result<Cow<'b, str>, Unreadable> {
        self.charge(bytes.len().saturating_mul(3))?;
        Ok(String::from_utf8_lossy(bytes))
    }

    /// A text; nil is an empty one.
    pub(crate) fn text_or_nil(&mut self) -> Result<Cow<'b, str>, Unreadable> {
        if self.nil()? { Ok(Cow::default()) } else { self.text() }
    }

    /// Bytes, of either type that can hold them; nil is none.
    pub(crate) fn bytes_or_nil(&mut self) -> Result<&'b [u8], Unreadable> {
        let marker = self.peek()?;
        match marker {
            0xc4..=0xc6 => self.advance(),
            0xc0 => {
                self.advance();
                return Ok(&[]);
            }
            0xa0..=0xbf | 0xd9..=0xdb => return self.string(),
            _ => return self.wrong("bytes", marker),
        }
        let length = self.length(marker - 0xc4)?;
        self.take(length)
    }

    pub(crate) fn bool_or_nil(&mut self) -> Result<bool, Unreadable> {
        let marker = self.peek()?;
        match marker {
            0xc0 | 0xc2 | 0xc3 => {
                self.advance();
                Ok(marker == 0xc3)
            }
            _ => self.wrong("true or false", marker),
        }
    }

    /// A whole number that is not negative by its type; nil is zero.
    fn unsigned(&mut self, expected: &'static str) -> Result<u64, Unreadable> {
        let marker = self.peek()?;
        match marker {
            0x00..=0x7f => {
                self.advance();
                Ok(marker.into())
            }
            0xcc..=0xcf => {
                self.advance();
                self.big_endian(marker - 0xcc)
            }
            0xc0 => {
                self.advance();
                Ok(0)
            }
            _ => self.wrong(expected, marker),
        }
    }

    /// A whole number with a sign by its type.
    #[expect(clippy::cast_possible_wrap, reason = "the format has the number in this form")]
    fn signed(&mut self, marker: u8) -> Result<i64, Unreadable> {
        self.advance();
        Ok(match marker {
            0xd0 => i8::from_be_bytes(self.fixed()?).into(),
            0xd1 => i16::from_be_bytes(self.fixed()?).into(),
            0xd2 => i32::from_be_bytes(self.fixed()?).into(),
            0xd3 => i64::from_be_bytes(self.fixed()?),
            _ => (marker as i8).into(),
        })
    }

    /// A whole number of the wanted type; nil is zero.
    #[expect(clippy::inline_always, reason = "an index of a string stands for every text")]
    #[inline(always)]
    pub(crate) fn integer<T: TryFrom<u64> + TryFrom<i64>>(&mut self) -> Result<T, Unreadable> {
        if let Some(small @ ..=0x7f) = self.body.get(self.at)
            && let Ok(value) = T::try_from(u64::from(*small))
        {
            self.at += 1;
            return Ok(value);
        }
        self.long_integer()
    }

    /// The same for those that do not stand in their marker, and for those that are none.
    #[inline(never)]
    fn long_integer<T: TryFrom<u64> + TryFrom<i64>>(&mut self) -> Result<T, Unreadable> {
        let (start, marker) = (self.at, self.peek()?);
        let value = match marker {
            0xd0..=0xd3 | 0xe0..=0xff => T::try_from(self.signed(marker)?).ok(),
            _ => T::try_from(self.unsigned("an integer")?).ok(),
        };
        match value {
            Some(value) => Ok(value),
            None => self.fail(DecodeError::OutOfRange { offset: start, expected: "its field" }),
        }
    }

    /// Any number; nil is zero.
    #[expect(clippy::cast_precision_loss, reason = "a metric is a float on the way out, whatever it was on the way in")]
    pub(crate) fn float(&mut self) -> Result<f64, Unreadable> {
        let marker = self.peek()?;
        Ok(match marker {
            0xcb => {
                self.advance();
                f64::from_be_bytes(self.fixed()?)
            }
            0xca => {
                self.advance();
                f32::from_be_bytes(self.fixed()?).into()
            }
            0xd0..=0xd3 | 0xe0..=0xff => self.signed(marker)? as f64,
            _ => self.unsigned("a number")? as f64,
        })
    }

    /// Reads over a value with all that is in it.
    pub(crate) fn skip(&mut self) -> Result<(), Unreadable> {
        let mut left = 1_usize;
        while left > 0 {
            left -= 1;
            let marker = self.peek()?;
            match marker {
                0x80..=0x8f | 0xde | 0xdf => left = left.saturating_add(2 * self.map_or_nil()?),
                0x90..=0x9f | 0xdc | 0xdd => left = left.saturating_add(self.array_or_nil()?),
                0xa0..=0xbf | 0xd9..=0xdb => drop(self.string()?),
                0xc4..=0xc6 => drop(self.bytes_or_nil()?),
                _ => {
                    let bytes = self.scalar_length(marker)?;
                    self.take(bytes)?;
                }
            }
        }
        Ok(())
    }

    /// Reads the marker and says how many bytes follow, of what is neither string, bytes, array nor map.
    fn scalar_length(&mut self, marker: u8) -> Result<usize, Unreadable> {
        if marker == 0xc1 {
            return self.wrong("a value", marker);
        }
        self.advance();
        Ok(match marker {
            0xcc | 0xd0 => 1,
            0xcd | 0xd1 | 0xd4 => 2,
            0xd5 => 3,
            0xca | 0xce | 0xd2 => 4,
            0xd6 => 5,
            0xcb | 0xcf | 0xd3 => 8,
            0xd7 => 9,
            0xd8 => 17,
            0xc7..=0xc9 => self.length(marker - 0xc7)?.saturating_add(1),
            _ => 0,
        })
    }
}

/// The text that bytes are. Returned in registers, unlike what the standard library returns.
#[inline(never)]
pub(super) fn utf8(bytes: &[u8]) -> Option<&str> {
    str::from_utf8(bytes).ok()
}

fn type_of(marker: u8) -> &'static str {
    match marker {
        0x00..=0x7f | 0xcc..=0xd3 | 0xe0..=0xff => "an integer",
        0x80..=0x8f | 0xde | 0xdf => "a map",
        0x90..=0x9f | 0xdc | 0xdd => "an array",
        0xa0..=0xbf | 0xd9..=0xdb => "a string",
        0xc0 => "nil",
        0xc1 => "a reserved byte",
        0xc2 | 0xc3 => "a boolean",
        0xc4..=0xc6 => "bytes",
        0xca | 0xcb => "a float",
        0xc7..=0xc9 | 0xd4..=0xd8 => "an extension",
    }
}
