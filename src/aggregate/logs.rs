//! Logs that wait to leave, already encoded and already in batches, so that a flush has nothing left to do but compress.

use std::collections::VecDeque;

/// The intake's limits on one request.
///
/// Source: Datadog API reference, "Send logs": 1,000 entries and 5 MB uncompressed.
const MAX_BATCH_ENTRIES: usize = 1000;
const MAX_BATCH_BYTES: usize = 5 << 20;

/// What may wait altogether. A function at 128 MB keeps most of its memory; three full batches fit.
pub const MAX_QUEUED_BYTES: usize = 16 << 20;

/// One request's worth of logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogBatch {
    /// A JSON array.
    pub json: Vec<u8>,
    /// How many elements it has.
    pub entries: usize,
}

/// The queue. When it is full the oldest batch gives way and its logs are counted.
#[derive(Debug, Default)]
pub struct LogQueue {
    full: VecDeque<LogBatch>,
    /// Begins with the opening bracket and lacks the closing one; empty when there is nothing.
    open: Vec<u8>,
    open_entries: usize,
    full_bytes: usize,
    /// How long the last batch was that was taken: the next one gets that much room at once, where growing would move it again and again.
    usual_bytes: usize,
    dropped: u64,
}

impl LogQueue {
    /// Adds one element: a JSON value.
    pub fn push(&mut self, element: &[u8]) {
        // One for the comma or bracket before it, one for the closing bracket.
        if self.open_entries == MAX_BATCH_ENTRIES || self.open.len() + element.len() + 2 > MAX_BATCH_BYTES {
            self.close();
        }
        if self.open.is_empty() {
            self.open.reserve(self.usual_bytes);
        }
        self.open.push(if self.open_entries == 0 { b'[' } else { b',' });
        self.open.extend_from_slice(element);
        self.open_entries += 1;
        while self.full_bytes + self.open.len() > MAX_QUEUED_BYTES {
            let Some(oldest) = self.full.pop_front() else { break };
            self.full_bytes -= oldest.json.len();
            self.dropped += oldest.entries as u64;
        }
    }

    /// Takes everything, in order.
    pub fn drain(&mut self) -> Vec<LogBatch> {
        self.usual_bytes = self.open.len();
        self.close();
        self.full_bytes = 0;
        std::mem::take(&mut self.full).into()
    }

    /// How many logs have given way since this was last asked.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    fn close(&mut self) {
        if self.open_entries > 0 {
            let mut json = std::mem::take(&mut self.open);
            json.push(b']');
            self.full_bytes += json.len();
            self.full.push_back(LogBatch { json, entries: std::mem::take(&mut self.open_entries) });
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
    fn the_oldest_give_way_and_are_counted() {
        let mut queue = LogQueue::default();
        let element = format!("\"{}\"", "x".repeat(1 << 20));
        for _ in 0..40 {
            queue.push(element.as_bytes());
        }
        let dropped = queue.take_dropped();
        let batches = queue.drain();
        let left = batches.iter().map(|batch| batch.entries as u64).sum::<u64>();
        assert!(dropped > 0);
        assert_eq!(dropped + left, 40);
        assert!(batches.iter().map(|batch| batch.json.len()).sum::<usize>() <= MAX_QUEUED_BYTES + 1);
        assert_eq!(queue.take_dropped(), 0);
    }
}
