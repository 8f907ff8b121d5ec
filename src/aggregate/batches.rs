//! What waits to leave in batches of limited size: encoded spans and statistics, and requests that are passed on.

use std::collections::VecDeque;

/// Items, the oldest first. Full batches are to be taken as soon as there are any; what is not full yet waits for a flush.
#[derive(Debug)]
pub struct Batches<T> {
    max_bytes: usize,
    full: VecDeque<ClosedBatch<T>>,
    open: Vec<T>,
    open_bytes: usize,
}

/// A batch to which nothing more can be added.
#[derive(Debug)]
struct ClosedBatch<T> {
    items: Vec<T>,
    bytes: usize,
}

impl<T> Batches<T> {
    /// Batches of at most so many bytes. An item that is larger is a batch of its own.
    pub fn new(max_bytes: usize) -> Self {
        Self { max_bytes, full: VecDeque::new(), open: Vec::new(), open_bytes: 0 }
    }

    /// Adds an item of so many bytes.
    pub fn push(&mut self, item: T, bytes: usize) {
        if self.open_bytes.saturating_add(bytes) > self.max_bytes {
            self.close();
        }
        self.open.push(item);
        self.open_bytes += bytes;
    }

    /// How many bytes the oldest batch has to which nothing more can be added; None if there is no such batch.
    pub fn full_bytes(&self) -> Option<usize> {
        self.full.front().map(|full| full.bytes)
    }

    /// Everything that waits, in bytes.
    pub fn bytes(&self) -> usize {
        self.full.iter().map(|full| full.bytes).fold(self.open_bytes, usize::saturating_add)
    }

    /// Takes the oldest batch to which nothing more can be added.
    pub fn take_full(&mut self) -> Option<Vec<T>> {
        self.full.pop_front().map(|full| full.items)
    }

    /// A flush: nothing more is added to what there is, so that all of it can be taken.
    pub fn close(&mut self) {
        if !self.open.is_empty() {
            let items = std::mem::take(&mut self.open);
            self.full.push_back(ClosedBatch { items, bytes: std::mem::take(&mut self.open_bytes) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drained<T>(batches: &mut Batches<T>) -> Vec<Vec<T>> {
        batches.close();
        std::iter::from_fn(|| batches.take_full()).collect()
    }

    #[test]
    fn batches_stay_within_the_limit_and_in_order() {
        let mut batches = Batches::new(10);
        for (item, bytes) in [(1, 4), (2, 6), (3, 1), (4, 100), (5, 0), (6, 10), (7, 1)] {
            batches.push(item, bytes);
        }
        assert_eq!((batches.full_bytes(), batches.bytes()), (Some(10), 122));
        assert_eq!(batches.take_full(), Some(vec![1, 2]));
        assert_eq!(batches.full_bytes(), Some(1));
        assert_eq!(drained(&mut batches), [vec![3], vec![4], vec![5, 6], vec![7]]);
        assert_eq!((batches.full_bytes(), drained(&mut batches)), (None, Vec::<Vec<i32>>::new()));
    }

    #[test]
    fn only_full_batches_are_taken_before_a_flush() {
        let mut batches = Batches::new(10);
        batches.push('a', 10);
        assert_eq!(batches.take_full(), None, "what comes next may be taken in");
        batches.push('b', 1);
        assert_eq!(batches.take_full(), Some(vec!['a']));
        assert_eq!(batches.take_full(), None);
        assert_eq!(drained(&mut batches), [vec!['b']]);
    }
}
