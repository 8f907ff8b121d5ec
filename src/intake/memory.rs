//! The memory budget for bodies between the aggregates and the network. It counts memory as it is allocated and freed, wherever the body is.

use std::{
    fmt,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;

/// Memory of a body besides its bytes, in bytes: its entries in queues.
const OVERHEAD: usize = 256;

/// A counter of held bytes. Clones share the counter.
#[derive(Debug, Clone, Default)]
pub struct MemoryBudget(Arc<AtomicUsize>);

impl MemoryBudget {
    /// Number of bytes held now.
    pub fn used(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn reserve(&self, bytes: usize) -> Reservation {
        self.0.fetch_add(bytes, Ordering::Relaxed);
        Reservation { budget: self.clone(), bytes }
    }
}

/// A reserved part of the budget, released on drop.
struct Reservation {
    budget: MemoryBudget,
    bytes: usize,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The bytes of a batch or payload, with their reservation.
pub struct Body {
    bytes: Vec<u8>,
    reservation: Option<Reservation>,
}

impl Body {
    /// Reserves the allocated size of the body in this budget.
    pub fn count_in(&mut self, budget: &MemoryBudget) {
        self.reservation = None;
        self.reservation = Some(budget.reserve(self.bytes.capacity() + OVERHEAD));
    }

    /// Splits the body in two. Neither part is reserved in a budget.
    pub(super) fn split_off(self, at: usize) -> [Self; 2] {
        let mut first = self.bytes;
        let second = first.split_off(at);
        first.shrink_to_fit();
        [first.into(), second.into()]
    }

    /// Shares the body without copying. It counts once, as long as any clone lives.
    pub(super) fn share(mut self, budget: &MemoryBudget) -> Bytes {
        if self.bytes.capacity() > self.bytes.len() {
            self.bytes.shrink_to_fit();
            self.reservation = None;
        }
        if self.reservation.is_none() {
            self.count_in(budget);
        }
        Bytes::from_owner(self)
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, reservation: None }
    }
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} bytes", self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_body_counts_once_until_its_last_clone_is_dropped() {
        let budget = MemoryBudget::default();
        let first = Body::from(vec![0; 1000]).share(&budget);
        let second = first.clone();
        assert_eq!(budget.used(), 1000 + OVERHEAD);
        drop(first);
        assert_eq!(budget.used(), 1000 + OVERHEAD);
        drop(second);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn body_counts_as_large_as_it_was_allocated() {
        let budget = MemoryBudget::default();
        let mut body = Body::from(Vec::with_capacity(5000));
        body.count_in(&budget);
        assert_eq!(budget.used(), 5000 + OVERHEAD);
        body.count_in(&budget);
        assert_eq!(budget.used(), 5000 + OVERHEAD, "counting twice is counting once");
        let shared = body.share(&budget);
        assert_eq!(budget.used(), OVERHEAD, "what was reserved too much is given back");
        drop(shared);
        assert_eq!(budget.used(), 0);
    }
}
