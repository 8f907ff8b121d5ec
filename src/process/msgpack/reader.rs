//! Reads msgpack from a slice.

use std::borrow::Cow;

/// Up to this many elements of a list are allocated at once; longer lists grow as they are read, so that a large count followed by nothing costs nothing.
const RESERVED: usize = 4096;

/// Why a body can't be decoded. The whole request is refused: what follows a value that can't be read has no known meaning.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("the body ends at byte {0}, inside a value")]
    Truncated(usize),
    #[error("byte {offset}: expected {expected}, found {found}")]
    WrongType { offset: usize, expected: &'static str, found: &'static str },
    #[error("byte {offset}: a number is out of range for {expected}")]
    OutOfRange { offset: usize, expected: &'static str },
    #[error("byte {offset}: string {index} of a table of {strings}")]
    UnknownString { offset: usize, index: u64, strings: usize },
    #[error("a table of {strings} strings; at most {max} are read")]
    TooManyStrings { strings: usize, max: usize },
    #[error("byte {offset}: {what} of {length} elements instead of {expected}")]
    WrongLength { offset: usize, what: &'static str, length: usize, expected: usize },
    #[error("byte {0}: what is decoded takes too much memory")]
    TooLarge(usize),
}

/// A position in a msgpack document, and what its reader may still allocate.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'b> {
    body: &'b [u8],
    /// How many bytes have been read. One number: a slice of what is left would be written in two halves and read as a whole, for which a processor has to wait.
    at: usize,
    /// Bytes.
    memory: usize,
}

/// Any number of the format.
#[derive(Debug, Clone, Copy)]
enum Number {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
}

impl<'b> Reader<'b> {
    pub(crate) fn new(body: &'b [u8], memory: usize) -> Self {
        Self { body, at: 0, memory }
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

    /// Counts memory that is about to be allocated.
    pub(crate) fn charge(&mut self, bytes: usize) -> Result<(), DecodeError> {
        self.memory = self.memory.checked_sub(bytes).ok_or(DecodeError::TooLarge(self.offset()))?;
        Ok(())
    }

    /// An empty list with room for what is to come, as far as that can be believed. The room is counted.
    pub(crate) fn list<T>(&mut self, count: usize) -> Result<Vec<T>, DecodeError> {
        let reserved = count.min(RESERVED);
        self.charge(reserved.saturating_mul(size_of::<T>()))?;
        Ok(Vec::with_capacity(reserved))
    }

    /// Makes room for one more element of a list that is to have so many. New room is counted, and is at most as much as there is.
    #[inline]
    pub(crate) fn make_room<T>(&mut self, list: &mut Vec<T>, count: usize) -> Result<(), DecodeError> {
        if list.len() == list.capacity() { self.grow(list, count) } else { Ok(()) }
    }

    #[cold]
    fn grow<T>(&mut self, list: &mut Vec<T>, count: usize) -> Result<(), DecodeError> {
        let more = list.len().min(count.saturating_sub(list.len())).max(1);
        self.charge(more.saturating_mul(size_of::<T>()))?;
        list.reserve_exact(more);
        Ok(())
    }

    /// Truncated inside a value.
    #[cold]
    fn truncated<T>(&self) -> Result<T, DecodeError> {
        Err(DecodeError::Truncated(self.body.len()))
    }

    #[expect(clippy::inline_always, reason = "a byte of every value: the call would cost more than the look")]
    #[inline(always)]
    fn peek(&self) -> Result<u8, DecodeError> {
        self.body.get(self.at).map_or_else(|| self.truncated(), |byte| Ok(*byte))
    }

    /// Reads over the byte that was looked at.
    fn advance(&mut self) {
        self.at += 1;
    }

    fn take(&mut self, bytes: usize) -> Result<&'b [u8], DecodeError> {
        let end = self.at.saturating_add(bytes);
        let Some(taken) = self.body.get(self.at..end) else { return self.truncated() };
        self.at = end;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some(taken) = self.body.get(self.at..).and_then(<[u8]>::first_chunk) else { return self.truncated() };
        self.at += N;
        Ok(*taken)
    }

    /// A length of one, two or four bytes.
    fn length(&mut self, bytes: u8) -> Result<usize, DecodeError> {
        let length = match bytes {
            1 => u32::from(u8::from_be_bytes(self.fixed()?)),
            2 => u32::from(u16::from_be_bytes(self.fixed()?)),
            _ => u32::from_be_bytes(self.fixed()?),
        };
        usize::try_from(length).map_err(|_| DecodeError::TooLarge(self.offset()))
    }

    fn wrong<T>(&self, expected: &'static str, marker: u8) -> Result<T, DecodeError> {
        Err(DecodeError::WrongType { offset: self.offset(), expected, found: type_of(marker) })
    }

    /// Whether the next value is nil, which is read if so.
    pub(crate) fn nil(&mut self) -> Result<bool, DecodeError> {
        let is_nil = self.peek()? == 0xc0;
        if is_nil {
            self.advance();
        }
        Ok(is_nil)
    }

    /// The number of elements of an array, at most the number of bytes that follow; nil is an empty one.
    pub(crate) fn array_or_nil(&mut self) -> Result<usize, DecodeError> {
        let marker = self.peek()?;
        let bytes = match marker {
            0x90..=0x9f => 0,
            0xdc => 2,
            0xdd => 4,
            0xc0 => {
                self.advance();
                return Ok(0);
            }
            _ => return self.wrong("an array", marker),
        };
        self.count(marker & 0x0f, bytes, 1)
    }

    /// The number of entries of a map, at most half the number of bytes that follow; nil is an empty one.
    pub(crate) fn map_or_nil(&mut self) -> Result<usize, DecodeError> {
        let marker = self.peek()?;
        let bytes = match marker {
            0x80..=0x8f => 0,
            0xde => 2,
            0xdf => 4,
            0xc0 => {
                self.advance();
                return Ok(0);
            }
            _ => return self.wrong("a map", marker),
        };
        self.count(marker & 0x0f, bytes, 2)
    }

    /// A count: the marker's own, or that of the bytes after it. An element takes at least so many bytes.
    fn count(&mut self, own: u8, bytes: u8, element: usize) -> Result<usize, DecodeError> {
        self.advance();
        let count = if bytes == 0 { usize::from(own) } else { self.length(bytes)? };
        if count > self.body.len().saturating_sub(self.at) / element {
            return self.truncated();
        }
        Ok(count)
    }

    /// The bytes of a string.
    #[expect(clippy::inline_always, reason = "most of what spans are made of: the call would cost more than the read")]
    #[inline(always)]
    pub(crate) fn string(&mut self) -> Result<&'b [u8], DecodeError> {
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
    fn long_string(&mut self) -> Result<&'b [u8], DecodeError> {
        let marker = self.peek()?;
        let bytes = match marker {
            0xa0..=0xbf => return self.truncated(),
            0xd9 => 1,
            0xda => 2,
            0xdb => 4,
            _ => return self.wrong("a string", marker),
        };
        self.advance();
        let length = self.length(bytes)?;
        self.take(length)
    }

    /// A text. What is no UTF-8 in it is replaced, as the full agent does: losing a whole request for one byte would be worse.
    #[expect(clippy::inline_always, reason = "most of what spans are made of: the call would cost more than the read")]
    #[inline(always)]
    pub(crate) fn text(&mut self) -> Result<Cow<'b, str>, DecodeError> {
        let bytes = self.string()?;
        match str::from_utf8(bytes) {
            Ok(text) => Ok(Cow::Borrowed(text)),
            Err(_) => self.replaced(bytes),
        }
    }

    /// A text in which what is no UTF-8 is replaced.
    #[cold]
    fn replaced(&mut self, bytes: &'b [u8]) -> Result<Cow<'b, str>, DecodeError> {
        self.charge(bytes.len().saturating_mul(3))?;
        Ok(String::from_utf8_lossy(bytes))
    }

    /// A text; nil is an empty one.
    #[inline]
    pub(crate) fn text_or_nil(&mut self) -> Result<Cow<'b, str>, DecodeError> {
        if self.nil()? { Ok(Cow::default()) } else { self.text() }
    }

    /// Bytes, of either type that can hold them; nil is none.
    pub(crate) fn bytes_or_nil(&mut self) -> Result<&'b [u8], DecodeError> {
        let marker = self.peek()?;
        let bytes = match marker {
            0xc4 => 1,
            0xc5 => 2,
            0xc6 => 4,
            0xc0 => {
                self.advance();
                return Ok(&[]);
            }
            0xa0..=0xbf | 0xd9..=0xdb => return self.string(),
            _ => return self.wrong("bytes", marker),
        };
        self.advance();
        let length = self.length(bytes)?;
        self.take(length)
    }

    pub(crate) fn bool_or_nil(&mut self) -> Result<bool, DecodeError> {
        let marker = self.peek()?;
        match marker {
            0xc0 | 0xc2 | 0xc3 => {
                self.advance();
                Ok(marker == 0xc3)
            }
            _ => self.wrong("true or false", marker),
        }
    }

    fn number(&mut self, expected: &'static str) -> Result<Number, DecodeError> {
        let marker = self.peek()?;
        if !matches!(marker, 0x00..=0x7f | 0xc0 | 0xca..=0xd3 | 0xe0..=0xff) {
            return self.wrong(expected, marker);
        }
        self.advance();
        Ok(match marker {
            0xca => Number::Float(f32::from_be_bytes(self.fixed()?).into()),
            0xcb => Number::Float(f64::from_be_bytes(self.fixed()?)),
            0xcc => Number::Unsigned(u8::from_be_bytes(self.fixed()?).into()),
            0xcd => Number::Unsigned(u16::from_be_bytes(self.fixed()?).into()),
            0xce => Number::Unsigned(u32::from_be_bytes(self.fixed()?).into()),
            0xcf => Number::Unsigned(u64::from_be_bytes(self.fixed()?)),
            0xd0 => Number::Signed(i8::from_be_bytes(self.fixed()?).into()),
            0xd1 => Number::Signed(i16::from_be_bytes(self.fixed()?).into()),
            0xd2 => Number::Signed(i32::from_be_bytes(self.fixed()?).into()),
            0xd3 => Number::Signed(i64::from_be_bytes(self.fixed()?)),
            0xe0..=0xff => Number::Signed(i8::from_be_bytes([marker]).into()),
            // Nil stands for nothing, as a missing key does.
            0xc0 => Number::Unsigned(0),
            _ => Number::Unsigned(marker.into()),
        })
    }

    /// A whole number of the wanted type; nil is zero.
    #[inline]
    pub(crate) fn integer<T: TryFrom<u64> + TryFrom<i64>>(&mut self) -> Result<T, DecodeError> {
        if let Some(small @ ..=0x7f) = self.body.get(self.at)
            && let Ok(value) = T::try_from(u64::from(*small))
        {
            self.at += 1;
            return Ok(value);
        }
        self.long_integer()
    }

    /// The same for those that do not stand in their marker, and for those that are none.
    fn long_integer<T: TryFrom<u64> + TryFrom<i64>>(&mut self) -> Result<T, DecodeError> {
        const EXPECTED: &str = "an integer";
        let (start, marker) = (self.at, self.peek()?);
        let value = match self.number(EXPECTED)? {
            Number::Unsigned(value) => T::try_from(value).ok(),
            Number::Signed(value) => T::try_from(value).ok(),
            Number::Float(_) => {
                self.at = start;
                return self.wrong(EXPECTED, marker);
            }
        };
        value.ok_or(DecodeError::OutOfRange { offset: start, expected: "its field" })
    }

    /// Any number; nil is zero.
    #[expect(clippy::cast_precision_loss, reason = "a metric is a float on the way out, whatever it was on the way in")]
    pub(crate) fn float(&mut self) -> Result<f64, DecodeError> {
        Ok(match self.number("a number")? {
            Number::Unsigned(value) => value as f64,
            Number::Signed(value) => value as f64,
            Number::Float(value) => value,
        })
    }

    /// Reads over a value with all that is in it.
    pub(crate) fn skip(&mut self) -> Result<(), DecodeError> {
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
    fn scalar_length(&mut self, marker: u8) -> Result<usize, DecodeError> {
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
            0xc7 => self.length(1)?.saturating_add(1),
            0xc8 => self.length(2)?.saturating_add(1),
            0xc9 => self.length(4)?.saturating_add(1),
            _ => 0,
        })
    }
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
