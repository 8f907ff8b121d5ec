//! Why a document can't be read.

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

/// A document that can't be read on: [`Reader::error`] says why. It has no size, so that what is read is returned in registers: what is returned in memory is written
/// in halves and read as a whole, for which a processor has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unreadable;
