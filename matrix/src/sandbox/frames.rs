//! Splits the log records that a managed runtime writes to the descriptor in `_LAMBDA_TELEMETRY_LOG_FD`.
//!
//! A record is a frame of type, length, time and text, so that it may have several lines. Source: the log sink of AWS's runtime interface client for Python,
//! and those for Node.js and Java. All numbers are big-endian.

use std::time::Duration;

/// The upper half of every frame type. The lower half has the format and the level of the record.
const MAGIC: u16 = 0xa55a;
/// The beginning of every frame. The fourth byte has the format and the level of the record.
pub(super) const BEGINNING: [u8; 3] = [0xa5, 0x5a, 0x00];
/// The fourth byte is lower than this.
pub(super) const KINDS: u8 = 0x20;
/// The lower half of the type of frames without a time, which early runtimes write.
const UNTIMED: u16 = 1;
/// Size in bytes of type and length, after which the time follows.
const SHORT_HEADER: usize = 8;
const HEADER: usize = 16;

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub bytes: &'a [u8],
    /// The time at which it was written, since the epoch, if the writer has given it.
    pub written: Option<Duration>,
}

impl<'a> Record<'a> {
    pub(crate) fn untimed(bytes: &'a [u8]) -> Self {
        Self { bytes, written: None }
    }
}

/// Collects bytes and emits whole records.
#[derive(Debug)]
pub(crate) struct Frames {
    header: Vec<u8>,
    /// The frame whose text is being read.
    frame: Option<Frame>,
    text: Vec<u8>,
    /// Maximum length of a record in bytes; a longer one is continued in another record.
    limit: usize,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    remaining: usize,
    written: Option<Duration>,
}

impl Frames {
    pub(crate) fn new(limit: usize) -> Self {
        Self { header: Vec::new(), frame: None, text: Vec::new(), limit: limit.max(1) }
    }

    /// Whether a frame has begun and not ended.
    pub(crate) fn is_within_frame(&self) -> bool {
        self.frame.is_some() || !self.header.is_empty()
    }

    /// Takes bytes up to the end of a frame and returns the others.
    pub(crate) fn feed_frame<'b>(&mut self, mut bytes: &'b [u8], record: &mut dyn FnMut(Record<'_>)) -> &'b [u8] {
        while !bytes.is_empty() {
            bytes = match self.frame {
                None => self.take_header(bytes, record),
                Some(frame) => self.take_text(frame, bytes, record),
            };
            if !self.is_within_frame() {
                break;
            }
        }
        bytes
    }

    /// Emits the rest when the writer has ended within a frame.
    pub(crate) fn finish(&mut self, record: &mut dyn FnMut(Record<'_>)) {
        let written = self.frame.take().and_then(|frame| frame.written);
        if !self.text.is_empty() {
            record(Record { bytes: &self.text, written });
            self.text.clear();
        }
    }

    fn take_header<'b>(&mut self, bytes: &'b [u8], record: &mut dyn FnMut(Record<'_>)) -> &'b [u8] {
        let size = self.header_size();
        let (head, rest) = bytes.split_at_checked(size.saturating_sub(self.header.len())).unwrap_or((bytes, &[]));
        self.header.extend_from_slice(head);
        if self.header.len() < self.header_size() {
            return rest;
        }
        match parse(&self.header) {
            Some(Frame { remaining: 0, written }) => record(Record { bytes: &[], written }),
            Some(frame) => self.frame = Some(frame),
            // Nobody calls this for anything that does not begin like a frame.
            None => record(Record::untimed(&self.header)),
        }
        self.header.clear();
        rest
    }

    fn header_size(&self) -> usize {
        match half(&self.header, 2) {
            Some(UNTIMED) => SHORT_HEADER,
            Some(_) => HEADER,
            None => 4,
        }
    }

    fn take_text<'b>(&mut self, mut frame: Frame, bytes: &'b [u8], record: &mut dyn FnMut(Record<'_>)) -> &'b [u8] {
        let room = frame.remaining.min(self.limit - self.text.len());
        let (text, rest) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
        let known = self.text.len();
        self.text.extend_from_slice(text);
        if let Some(start) = next_frame(&self.text, known) {
            return self.begin_next(
                start,
                frame,
                bytes.get(start + BEGINNING.len() + 1 - known..).unwrap_or_default(),
                record,
            );
        }
        frame.remaining -= text.len();
        if frame.remaining == 0 || self.text.len() == self.limit {
            record(Record { bytes: &self.text, written: frame.written });
            self.text.clear();
        }
        self.frame = (frame.remaining > 0).then_some(frame);
        rest
    }

    /// Ends a frame early where another one begins in its text: its writer was interrupted, or another process wrote in between. Returns `rest`.
    fn begin_next<'b>(
        &mut self,
        start: usize,
        frame: Frame,
        rest: &'b [u8],
        record: &mut dyn FnMut(Record<'_>),
    ) -> &'b [u8] {
        self.header = self.text.split_off(start);
        self.header.truncate(BEGINNING.len() + 1);
        if !self.text.is_empty() {
            record(Record { bytes: &self.text, written: frame.written });
            self.text.clear();
        }
        self.frame = None;
        rest
    }
}

/// The place of a frame that begins in a text and ends its beginning after the first `known` bytes.
fn next_frame(text: &[u8], known: usize) -> Option<usize> {
    let from = known.saturating_sub(BEGINNING.len());
    let is_beginning =
        |bytes: &[u8]| bytes.strip_prefix(&BEGINNING).and_then(<[u8]>::first).is_some_and(|kind| *kind < KINDS);
    Some(from + text.get(from..)?.windows(BEGINNING.len() + 1).position(is_beginning)?)
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn parse(header: &[u8]) -> Option<Frame> {
    let length = u32::from_be_bytes(header.get(4..8)?.try_into().ok()?);
    let micros = header.get(8..16).and_then(|time| time.try_into().ok()).map(u64::from_be_bytes);
    (half(header, 0)? == MAGIC).then_some(())?;
    Some(Frame { remaining: usize::try_from(length).ok()?, written: micros.map(Duration::from_micros) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u32, micros: u64, text: &str) -> Vec<u8> {
        let length = u32::try_from(text.len()).unwrap();
        [&kind.to_be_bytes()[..], &length.to_be_bytes(), &micros.to_be_bytes(), text.as_bytes()].concat()
    }

    fn records(limit: usize, chunks: &[&[u8]]) -> Vec<(String, Option<u128>)> {
        let mut frames = Frames::new(limit);
        let mut out = Vec::new();
        let mut take = |record: Record<'_>| {
            let written = record.written.map(|written| written.as_micros());
            out.push((String::from_utf8_lossy(record.bytes).into_owned(), written));
        };
        for chunk in chunks {
            let mut rest = *chunk;
            while !rest.is_empty() {
                rest = frames.feed_frame(rest, &mut take);
            }
        }
        frames.finish(&mut take);
        out
    }

    #[test]
    fn a_record_of_several_lines_is_one_however_it_arrives() {
        let bytes = [frame(0xa55a_0003, 1_000_001, "one\ntwo\n"), frame(0xa55a_0017, 2, "three")].concat();
        let expected = [("one\ntwo\n".to_owned(), Some(1_000_001)), ("three".to_owned(), Some(2))];
        assert_eq!(records(100, &[&bytes]), expected);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(records(100, &single), expected);
    }

    #[test]
    fn an_empty_record_and_one_without_a_time_count() {
        let untimed = [&0xa55a_0001_u32.to_be_bytes()[..], &2_u32.to_be_bytes(), b"ab"].concat();
        let bytes = [frame(0xa55a_0003, 7, ""), untimed, frame(0xa55a_0003, 8, "c")].concat();
        let expected = [(String::new(), Some(7)), ("ab".to_owned(), None), ("c".to_owned(), Some(8))];
        assert_eq!(records(100, &[&bytes]), expected);
    }

    #[test]
    fn long_record_is_split_into_several() {
        let bytes = frame(0xa55a_0003, 7, "abcdefg");
        let texts: Vec<String> = records(3, &[&bytes]).into_iter().map(|(text, _)| text).collect();
        assert_eq!(texts, ["abc", "def", "g"]);
    }

    #[test]
    fn a_frame_that_is_cut_ends_where_the_next_one_begins() {
        let cut = frame(0xa55a_0003, 7, "a text that is cut");
        let bytes = [&cut[..cut.len() - 4], &frame(0xa55a_0017, 8, "next"), &frame(0xa55a_0003, 9, "last")].concat();
        let expected = [("a text that is", 7), ("next", 8), ("last", 9)];
        let expected = expected.map(|(text, micros)| (text.to_owned(), Some(micros)));
        assert_eq!(records(100, &[&bytes]), expected);
        assert_eq!(records(100, &bytes.chunks(1).collect::<Vec<_>>()), expected);
    }

    #[test]
    fn a_frame_that_is_cut_is_kept() {
        let cut = frame(0xa55a_0003, 7, "whole");
        assert_eq!(records(100, &[&cut[..cut.len() - 2]]), [("who".to_owned(), Some(7))]);
    }
}
