//! Encoded logs in batches that are ready for compression, so that a flush only has to compress them.

/// The intake's limits on a request.
///
/// Source: Datadog API reference, "Send logs": 1,000 entries and 5 MB uncompressed.
const MAX_BATCH_ENTRIES: usize = 1000;
const MAX_BATCH_BYTES: usize = 5 << 20;

/// The logs of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogBatch {
    /// A JSON array.
    pub json: Vec<u8>,
    /// Number of elements.
    pub entries: usize,
}

/// The batches. The caller takes full batches as soon as there are any. The open batch, at most 5 MB, waits for a flush.
#[derive(Debug, Default)]
pub struct LogQueue {
    full: Vec<LogBatch>,
    /// Starts with the opening bracket and has no closing bracket yet; empty if there is no log.
    open: Vec<u8>,
    open_entries: usize,
    /// Length of the batch that was last drained. The next batch reserves that much at once, because growing step by step would copy it again and
    /// again.
    usual_bytes: usize,
}

impl LogQueue {
    /// Adds an element: a JSON value.
    pub fn push(&mut self, element: &[u8]) {
        // One byte for the comma or bracket before it, one for the closing bracket.
        if self.open_entries == MAX_BATCH_ENTRIES || self.open.len() + element.len() + 2 > MAX_BATCH_BYTES {
            self.close();
        }
        if self.open.is_empty() {
            self.open.reserve(self.usual_bytes);
        }
        self.open.push(if self.open_entries == 0 { b'[' } else { b',' });
        self.open.extend_from_slice(element);
        self.open_entries += 1;
    }

    /// Removes and returns the full batches, in order.
    pub fn take_full(&mut self) -> Vec<LogBatch> {
        std::mem::take(&mut self.full)
    }

    /// Removes and returns all batches, in order.
    pub fn drain(&mut self) -> Vec<LogBatch> {
        self.usual_bytes = self.open.len();
        self.close();
        self.take_full()
    }

    fn close(&mut self) {
        if self.open_entries > 0 {
            let mut json = std::mem::take(&mut self.open);
            json.push(b']');
            // The allocated size counts in the memory budget until the batch is compressed.
            json.shrink_to_fit();
            self.full.push(LogBatch { json, entries: std::mem::take(&mut self.open_entries) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(batches: &[LogBatch]) -> Vec<serde_json::Value> {
        batches.iter().flat_map(|batch| serde_json::from_slice::<Vec<_>>(&batch.json).unwrap()).collect()
    }

    #[test]
    fn nothing_gives_no_batch() {
        assert_eq!(LogQueue::default().drain(), []);
    }

    #[test]
    fn batches_hold_at_most_a_thousand_entries_in_order() {
        let mut queue = LogQueue::default();
        for number in 0..2500 {
            queue.push(number.to_string().as_bytes());
        }
        let batches = queue.drain();
        assert_eq!(batches.iter().map(|batch| batch.entries).collect::<Vec<_>>(), [1000, 1000, 500]);
        assert_eq!(entries(&batches), (0..2500).map(serde_json::Value::from).collect::<Vec<_>>());
        assert_eq!(queue.drain(), []);
    }

    #[test]
    fn batches_stay_within_the_intakes_bytes() {
        let mut queue = LogQueue::default();
        let element = format!("\"{}\"", "x".repeat((1 << 20) - 2));
        for _ in 0..5 {
            queue.push(element.as_bytes());
        }
        let batches = queue.drain();
        assert_eq!(batches.iter().map(|batch| batch.entries).collect::<Vec<_>>(), [4, 1]);
        assert!(batches.iter().all(|batch| batch.json.len() <= MAX_BATCH_BYTES));
        assert_eq!(entries(&batches).len(), 5);
    }

    #[test]
    fn a_batch_may_fill_the_limit_to_the_byte() {
        let mut queue = LogQueue::default();
        queue.push(format!("\"{}\"", "x".repeat(MAX_BATCH_BYTES - 4 - 3)).as_bytes());
        queue.push(b"1");
        let batches = queue.drain();
        assert_eq!(batches.len(), 1);
        assert_eq!(batches[0].json.len(), MAX_BATCH_BYTES - 1);
    }

    #[test]
    fn batches_hold_no_memory_beyond_their_bytes() {
        let mut queue = LogQueue::default();
        for bytes in [MAX_BATCH_BYTES / 2, 10] {
            queue.push(&vec![b'1'; bytes]);
            let batches = queue.drain();
            assert_eq!(batches[0].json.capacity(), batches[0].json.len());
        }
    }

    #[test]
    fn only_full_batches_are_taken_before_a_flush() {
        let mut queue = LogQueue::default();
        for number in 0..2000 {
            queue.push(number.to_string().as_bytes());
        }
        assert_eq!(queue.take_full().len(), 1, "the second is full, but what comes next may be taken in");
        queue.push(b"2000");
        let full = queue.take_full();
        assert_eq!(entries(&full), (1000..2000).map(serde_json::Value::from).collect::<Vec<_>>());
        assert_eq!(queue.take_full(), []);
        assert_eq!(entries(&queue.drain()), [2000]);
    }
}
