//! The two msgpack formats in which tracers send traces, read in place.
//!
//! One trace is decoded at a time, so that a request of many traces needs the memory of its largest. No count on the wire is trusted for an allocation: an array
//! can't have more elements than the body has bytes left, and what one trace takes in memory is bounded by [`MAX_TRACE_BYTES`]. Unknown keys are skipped without
//! recursion, whatever they hold.
//!
//! Written by hand: `libdd-trace-utils` has slice decoders too, but it takes an invalid character as the end of a request, bounds neither spans nor strings in
//! memory, and brings thirty packages that nothing else here needs, with second versions of `nix`, `rand`, `thiserror` and `rustls-native-certs`.

mod v04;
mod v05;

pub use crate::process::msgpack::DecodeError;

use super::span::Span;
use crate::process::msgpack::{Reader, Unreadable};

/// Maximum memory that the spans of one trace take, in bytes. The body may have 50 MiB; spans of hundreds of bytes need about as much again in memory, empty ones
/// of one byte each would need three hundred times as much.
pub const MAX_TRACE_BYTES: usize = 128 << 20;

/// Maximum number of entries in the string table of v0.5. A body of 50 MiB with strings of 12 bytes has as many; each takes 24 bytes in memory.
pub const MAX_STRINGS: usize = 4 << 20;

/// The format of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// An array of traces, each an array of spans, each a map: `PUT /v0.4/traces`.
    V04,
    /// A table of strings and an array of traces, each span an array of twelve: `PUT /v0.5/traces`.
    V05,
}

/// The traces of a request, decoded one by one. After an error there are no more.
#[derive(Debug)]
pub struct Traces<'b> {
    spans: Spans<'b>,
    reader: Reader<'b>,
    /// How many traces are left.
    left: usize,
}

#[derive(Debug)]
enum Spans<'b> {
    V04,
    V05(v05::Strings<'b>),
}

/// Begins to decode a request body.
pub fn traces(version: Version, body: &[u8]) -> Result<Traces<'_>, DecodeError> {
    let mut reader = Reader::new(body, MAX_TRACE_BYTES);
    let mut begin = || {
        let spans = match version {
            Version::V04 => Spans::V04,
            Version::V05 => Spans::V05(v05::strings(&mut reader)?),
        };
        Ok((spans, reader.array_or_nil()?))
    };
    match begin() {
        Ok((spans, left)) => Ok(Traces { spans, reader, left }),
        Err(Unreadable) => Err(reader.error()),
    }
}

impl<'b> Traces<'b> {
    /// One trace.
    fn trace(&mut self) -> Result<Vec<Span<'b>>, Unreadable> {
        self.reader.set_memory(MAX_TRACE_BYTES);
        let count = self.reader.array_or_nil()?;
        let mut spans = self.reader.list(count)?;
        for _ in 0..count {
            self.reader.make_room(&mut spans, count)?;
            // Each is filled where it stays: a span is some hundred bytes to move.
            spans.resize_with(spans.len() + 1, Span::default);
            let Some(span) = spans.last_mut() else { break };
            match &self.spans {
                Spans::V04 => v04::span(&mut self.reader, span)?,
                Spans::V05(strings) => v05::span(&mut self.reader, strings, span)?,
            }
        }
        Ok(spans)
    }
}

impl<'b> Iterator for Traces<'b> {
    type Item = Result<Vec<Span<'b>>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let trace = self.trace();
        if trace.is_err() {
            self.left = 0;
        }
        Some(trace.map_err(|Unreadable| self.reader.error()))
    }
}

#[cfg(test)]
mod form_tests;
#[cfg(test)]
mod tests;
