//! Splits the output of a pipe into lines.

/// Collects bytes and emits whole lines without their line feed.
#[derive(Debug)]
pub(crate) struct Lines {
    pending: Vec<u8>,
    /// Maximum length of a line in bytes; a longer one is continued in another line.
    limit: usize,
}

impl Lines {
    pub(crate) fn new(limit: usize) -> Self {
        Self { pending: Vec::new(), limit: limit.max(1) }
    }

    pub(crate) fn feed(&mut self, mut bytes: &[u8], line: &mut dyn FnMut(&[u8])) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (head, tail) = bytes.split_at(end);
            self.pending.extend_from_slice(head);
            self.cut(line);
            line(&self.pending);
            self.pending.clear();
            bytes = tail.get(1..).unwrap_or_default();
        }
        self.pending.extend_from_slice(bytes);
        self.cut(line);
    }

    /// Emits the rest when the pipe has ended without a line feed.
    pub(crate) fn finish(&mut self, line: &mut dyn FnMut(&[u8])) {
        if !self.pending.is_empty() {
            line(&self.pending);
            self.pending.clear();
        }
    }

    fn cut(&mut self, line: &mut dyn FnMut(&[u8])) {
        while self.pending.len() > self.limit {
            let rest = self.pending.split_off(self.limit);
            line(&self.pending);
            self.pending = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(limit: usize, chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut lines = Lines::new(limit);
        let mut out = Vec::new();
        for chunk in chunks {
            lines.feed(chunk, &mut |line| out.push(line.to_vec()));
        }
        lines.finish(&mut |line| out.push(line.to_vec()));
        out
    }

    #[test]
    fn lines_may_come_in_pieces_and_empty_ones_count() {
        assert_eq!(cut(100, &[b"a", b"b\n\nc", b"\nd"]), [&b"ab"[..], b"", b"c", b"d"]);
    }

    #[test]
    fn line_above_the_limit_is_split() {
        assert_eq!(cut(3, &[b"abc\nabcdefg\n"]), [&b"abc"[..], b"abc", b"def", b"g"]);
    }

    #[test]
    fn bytes_that_are_no_text_stay_as_they_are() {
        assert_eq!(cut(100, &[&[0xff, 0xfe, b'\n']]), [&[0xff, 0xfe][..]]);
    }
}
