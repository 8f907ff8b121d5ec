//! Encoded entries, such as logs or sketches, in batches that are ready for compression, so that a flush only has to compress them.

/// How entries form the body of a request, and the intake's limits on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchFormat {
    /// Maximum number of entries.
    pub max_entries: usize,
    /// Maximum size in bytes, with the bytes around the entries. An entry that is larger is a batch of its own.
    pub max_bytes: usize,
    /// The byte before the first entry.
    pub start: u8,
    /// The byte before each other entry.
    pub separator: u8,
    /// The byte after the last entry.
    pub end: Option<u8>,
}

/// The entries of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedBatch {
    pub body: Vec<u8>,
    /// Number of entries.
    pub entries: usize,
}

/// The batches. The caller takes full batches as soon as there are any. The open batch waits for a flush.
#[derive(Debug)]
pub struct EncodedBatches {
    format: BatchFormat,
    full: Vec<EncodedBatch>,
    /// Starts with the first byte and has no last byte yet; empty if there is no entry.
    open: Vec<u8>,
    open_entries: usize,
    /// Length of the batch that was last drained. The next batch reserves that much at once, because growing step by step would copy it again and
    /// again.
    usual_bytes: usize,
}

impl EncodedBatches {
    pub fn new(format: BatchFormat) -> Self {
        Self { format, full: Vec::new(), open: Vec::new(), open_entries: 0, usual_bytes: 0 }
    }

    /// Adds an encoded entry.
    pub fn push(&mut self, entry: &[u8]) {
        let BatchFormat { max_entries, max_bytes, start, separator, end } = self.format;
        // One byte before the entry.
        let with_entry = self.open.len() + 1 + entry.len() + usize::from(end.is_some());
        if self.open_entries == max_entries || with_entry > max_bytes {
            self.close();
        }
        if self.open.is_empty() {
            self.open.reserve(self.usual_bytes);
        }
        self.open.push(if self.open_entries == 0 { start } else { separator });
        self.open.extend_from_slice(entry);
        self.open_entries += 1;
    }

    /// Removes and returns the full batches, in order.
    pub fn take_full(&mut self) -> Vec<EncodedBatch> {
        std::mem::take(&mut self.full)
    }

    /// Removes and returns all batches, in order.
    pub fn drain(&mut self) -> Vec<EncodedBatch> {
        self.usual_bytes = self.open.len();
        self.close();
        self.take_full()
    }

    fn close(&mut self) {
        if self.open_entries > 0 {
            let mut body = std::mem::take(&mut self.open);
            body.extend(self.format.end);
            // The allocated size counts in the memory budget until the batch is compressed.
            body.shrink_to_fit();
            self.full.push(EncodedBatch { body, entries: std::mem::take(&mut self.open_entries) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_BYTES: usize = 5 << 20;
    const JSON: BatchFormat =
        BatchFormat { max_entries: 1000, max_bytes: MAX_BYTES, start: b'[', separator: b',', end: Some(b']') };

    fn entries(batches: &[EncodedBatch]) -> Vec<serde_json::Value> {
        batches.iter().flat_map(|batch| serde_json::from_slice::<Vec<_>>(&batch.body).unwrap()).collect()
    }

    #[test]
    fn nothing_gives_no_batch() {
        assert_eq!(EncodedBatches::new(JSON).drain(), []);
    }

    #[test]
    fn batches_hold_at_most_a_thousand_entries_in_order() {
        let mut batcher = EncodedBatches::new(JSON);
        for number in 0..2500 {
            batcher.push(number.to_string().as_bytes());
        }
        let batches = batcher.drain();
        assert_eq!(batches.iter().map(|batch| batch.entries).collect::<Vec<_>>(), [1000, 1000, 500]);
        assert_eq!(entries(&batches), (0..2500).map(serde_json::Value::from).collect::<Vec<_>>());
        assert_eq!(batcher.drain(), []);
    }

    #[test]
    fn batches_stay_within_the_intakes_bytes() {
        let mut batcher = EncodedBatches::new(JSON);
        let element = format!("\"{}\"", "x".repeat((1 << 20) - 2));
        for _ in 0..5 {
            batcher.push(element.as_bytes());
        }
        let batches = batcher.drain();
        assert_eq!(batches.iter().map(|batch| batch.entries).collect::<Vec<_>>(), [4, 1]);
        assert!(batches.iter().all(|batch| batch.body.len() <= MAX_BYTES));
        assert_eq!(entries(&batches).len(), 5);
    }

    #[test]
    fn a_batch_may_fill_the_limit_to_the_byte() {
        let mut batcher = EncodedBatches::new(JSON);
        batcher.push(format!("\"{}\"", "x".repeat(MAX_BYTES - 4 - 3)).as_bytes());
        batcher.push(b"1");
        let batches = batcher.drain();
        assert_eq!(batches.len(), 1);
        assert_eq!(batches[0].body.len(), MAX_BYTES - 1);
    }

    #[test]
    fn batches_hold_no_memory_beyond_their_bytes() {
        let mut batcher = EncodedBatches::new(JSON);
        for bytes in [MAX_BYTES / 2, 10] {
            batcher.push(&vec![b'1'; bytes]);
            let batches = batcher.drain();
            assert_eq!(batches[0].body.capacity(), batches[0].body.len());
        }
    }

    #[test]
    fn only_full_batches_are_taken_before_a_flush() {
        let mut batcher = EncodedBatches::new(JSON);
        for number in 0..2000 {
            batcher.push(number.to_string().as_bytes());
        }
        assert_eq!(batcher.take_full().len(), 1, "the second is full, but what comes next may be taken in");
        batcher.push(b"2000");
        let full = batcher.take_full();
        assert_eq!(entries(&full), (1000..2000).map(serde_json::Value::from).collect::<Vec<_>>());
        assert_eq!(batcher.take_full(), []);
        assert_eq!(entries(&batcher.drain()), [2000]);
    }
}
