//! Reads fields from bytes that may be anything.

use core::fmt::{self, Display, Formatter};

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// They end within a field.
    Truncated,
    /// They do not end where the message does.
    Trailing,
    /// Nothing has this tag.
    Tag(u8),
    /// A value is deeper than [`crate::MAX_DEPTH`].
    Depth,
    /// A value has more in it than [`crate::MAX_VALUES`].
    Values,
    /// A frame is longer than [`crate::MAX_FRAME_BYTES`] or, from the worker, [`crate::MAX_REPLY_BYTES`].
    Length(usize),
}

impl Display for Error {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => formatter.write_str("the message ends within a field"),
            Self::Trailing => formatter.write_str("the message has bytes behind its last field"),
            Self::Tag(tag) => write!(formatter, "the message has the unknown tag {tag}"),
            Self::Depth => write!(formatter, "a value is deeper than {} levels", crate::MAX_DEPTH),
            Self::Values => write!(formatter, "a value has more than {} others in it", crate::MAX_VALUES),
            Self::Length(bytes) => write!(formatter, "the message has {bytes} bytes, which are too many"),
        }
    }
}

impl core::error::Error for Error {}

/// The unread rest of a message.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'m> {
    bytes: &'m [u8],
}

impl<'m> Reader<'m> {
    /// A reader of the fields of one frame.
    pub fn new(bytes: &'m [u8]) -> Self {
        Self { bytes }
    }

    /// Number of bytes that are left.
    pub fn left(&self) -> usize {
        self.bytes.len()
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'m [u8] {
        core::mem::take(&mut self.bytes)
    }

    /// Refuses bytes behind the last field.
    pub fn end(&self) -> Result<(), Error> {
        if self.bytes.is_empty() { Ok(()) } else { Err(Error::Trailing) }
    }

    /// The next byte.
    pub fn u8(&mut self) -> Result<u8, Error> {
        self.fixed::<1>().map(u8::from_le_bytes)
    }

    /// The next four bytes.
    pub fn u32(&mut self) -> Result<u32, Error> {
        self.fixed().map(u32::from_le_bytes)
    }

    /// The next eight bytes.
    pub fn u64(&mut self) -> Result<u64, Error> {
        self.fixed().map(u64::from_le_bytes)
    }

    /// A byte string with its length before it.
    pub fn text(&mut self) -> Result<&'m [u8], Error> {
        let length = usize::try_from(self.u32()?).map_err(|_| Error::Truncated)?;
        let (text, rest) = self.bytes.split_at_checked(length).ok_or(Error::Truncated)?;
        self.bytes = rest;
        Ok(text)
    }

    fn fixed<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], Error> {
        let (field, rest) = self.bytes.split_first_chunk().ok_or(Error::Truncated)?;
        self.bytes = rest;
        Ok(*field)
    }
}
