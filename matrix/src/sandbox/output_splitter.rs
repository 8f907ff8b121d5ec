//! Splits the output of a managed runtime: lines of text with framed log records between them.
//!
//! On Lambda, records have a descriptor of their own. Here that descriptor leads to the pipe of standard output and standard error, because only one pipe keeps
//! the order of what a function prints and what it logs.

use super::frames::{BEGINNING, Frames, KINDS, Record};
use super::lines::Lines;

/// Collects bytes and emits whole lines and whole records in their order.
#[derive(Debug)]
pub(crate) struct OutputSplitter {
    lines: Lines,
    frames: Frames,
    /// What may be the beginning of a frame.
    candidate: Vec<u8>,
}

impl OutputSplitter {
    pub(crate) fn new(limit: usize) -> Self {
        Self { lines: Lines::new(limit), frames: Frames::new(limit), candidate: Vec::new() }
    }

    pub(crate) fn feed(&mut self, mut bytes: &[u8], record: &mut dyn FnMut(Record<'_>)) {
        while let Some((first, rest)) = bytes.split_first() {
            if self.frames.is_within_frame() {
                bytes = self.frames.feed_frame(bytes, record);
            } else if self.is_next(*first) {
                self.candidate.push(*first);
                bytes = rest;
                if self.candidate.len() > BEGINNING.len() {
                    self.frames.feed_frame(&std::mem::take(&mut self.candidate), record);
                }
            } else if self.candidate.is_empty() {
                let end = bytes.iter().position(|byte| BEGINNING.first() == Some(byte)).unwrap_or(bytes.len());
                let (text, rest) = bytes.split_at(end);
                self.lines.feed(text, &mut |line| record(Record::untimed(line)));
                bytes = rest;
            } else {
                self.give_up_candidate(record);
            }
        }
    }

    /// Emits the text of which no line feed has come. The rest of a record is still to come.
    pub(crate) fn end_line(&mut self, record: &mut dyn FnMut(Record<'_>)) {
        self.give_up_candidate(record);
        self.lines.finish(&mut |line| record(Record::untimed(line)));
    }

    /// Emits everything that is left when the pipe has ended.
    pub(crate) fn finish(&mut self, record: &mut dyn FnMut(Record<'_>)) {
        self.end_line(record);
        self.frames.finish(record);
    }

    /// Whether a byte continues the beginning of a frame.
    fn is_next(&self, byte: u8) -> bool {
        match BEGINNING.get(self.candidate.len()) {
            Some(expected) => byte == *expected,
            None => byte < KINDS,
        }
    }

    /// Takes the candidate for text after all. No frame begins within it: its first byte occurs once.
    fn give_up_candidate(&mut self, record: &mut dyn FnMut(Record<'_>)) {
        let text = std::mem::take(&mut self.candidate);
        self.lines.feed(&text, &mut |line| record(Record::untimed(line)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(micros: u64, text: &str) -> Vec<u8> {
        let length = u32::try_from(text.len()).unwrap();
        [&0xa55a_0003_u32.to_be_bytes()[..], &length.to_be_bytes(), &micros.to_be_bytes(), text.as_bytes()].concat()
    }

    fn split(chunks: &[&[u8]]) -> Vec<(String, bool)> {
        let (mut splitter, mut out) = (OutputSplitter::new(100), Vec::new());
        let mut take = |record: Record<'_>| {
            out.push((String::from_utf8_lossy(record.bytes).into_owned(), record.written.is_some()));
        };
        for chunk in chunks {
            splitter.feed(chunk, &mut take);
        }
        splitter.finish(&mut take);
        out
    }

    #[test]
    fn lines_and_records_keep_their_order_however_they_arrive() {
        let bytes = [b"one\n".to_vec(), frame(1, "two\nlines"), b"three\n".to_vec(), frame(2, "four")].concat();
        let expected = [("one", false), ("two\nlines", true), ("three", false), ("four", true)];
        let expected = expected.map(|(text, is_record)| (text.to_owned(), is_record));
        assert_eq!(split(&[&bytes]), expected);
        assert_eq!(split(&bytes.chunks(1).collect::<Vec<_>>()), expected);
    }

    #[test]
    fn a_record_within_a_line_does_not_end_it() {
        let bytes = [b"half ".to_vec(), frame(1, "record"), b"line\n".to_vec()].concat();
        assert_eq!(split(&[&bytes]), [("record".to_owned(), true), ("half line".to_owned(), false)]);
    }

    #[test]
    fn bytes_that_only_begin_like_a_record_are_text() {
        for text in [&b"a\xa5b\n"[..], b"a\xa5\x5ab\n", b"\xa5\xa5\x5a\x00\xff\n", b"end \xa5\x5a\x00"] {
            let out = split(&text.chunks(1).collect::<Vec<_>>());
            let expected = String::from_utf8_lossy(text.strip_suffix(b"\n").unwrap_or(text)).into_owned();
            assert_eq!(out, [(expected, false)]);
        }
    }

    #[test]
    fn a_record_that_is_cut_is_kept() {
        let whole = frame(1, "whole");
        assert_eq!(
            split(&[b"text", &whole[..whole.len() - 2]]),
            [("text".to_owned(), false), ("who".to_owned(), true)]
        );
    }
}
