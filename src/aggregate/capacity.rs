//! The capacity of the metric aggregates: number of entries, and bytes of memory.

/// Maximum number of entries; the limit of the Datadog agent.
pub const MAX_ENTRIES: usize = 10_240;
/// Maximum memory of all entries in bytes: 1 KiB per entry. Long tags, large sets and wide distributions reach this limit first.
pub const MAX_BYTES: usize = MAX_ENTRIES << 10;

/// Memory of an entry besides its text, in bytes: its share of a hash map that has just doubled, the value, and the first node of its tree.
pub const ENTRY_BYTES: usize = 384;
/// Maximum memory of another bin of a distribution, in bytes: its share of half-full tree nodes.
pub const BIN_BYTES: usize = 32;
/// Maximum memory of another member of a set, in bytes.
pub const MEMBER_BYTES: usize = 24;

/// The used part of the capacity.
#[derive(Debug, Clone, Copy, Default)]
pub struct Capacity {
    entries: usize,
    bytes: usize,
}

impl Capacity {
    /// Reserves this many bytes. Returns false, and reserves nothing, if they do not fit.
    pub fn take(&mut self, bytes: usize) -> bool {
        let fits = self.bytes + bytes <= MAX_BYTES;
        self.bytes += if fits { bytes } else { 0 };
        fits
    }

    /// Reserves an entry with this many bytes of text. Returns false if it does not fit.
    pub fn take_entry(&mut self, text: usize) -> bool {
        let fits = self.entries < MAX_ENTRIES && self.take(ENTRY_BYTES + text);
        self.entries += usize::from(fits);
        fits
    }

    /// Whether three quarters of the entries or of the bytes are reserved.
    pub fn is_nearly_taken(&self) -> bool {
        self.entries >= MAX_ENTRIES / 4 * 3 || self.bytes >= MAX_BYTES / 4 * 3
    }

    /// Number of reserved bytes.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// A capacity with this many bytes left.
    #[cfg(test)]
    pub fn with_bytes_left(bytes: usize) -> Self {
        Self { entries: 0, bytes: MAX_BYTES - bytes }
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

    use super::*;

    #[test]
    fn no_reservation_exceeds_either_bound() {
        let mut random = StdRng::seed_from_u64(12);
        for longest in [10, 1_000, 100_000, 10 << 20] {
            let (mut capacity, mut entries, mut bytes) = (Capacity::default(), 0, 0);
            for _ in 0..30_720 {
                let size = random.random_range(0..longest);
                if random.random() {
                    bytes += if capacity.take(size) { size } else { 0 };
                } else if capacity.take_entry(size) {
                    (entries, bytes) = (entries + 1, bytes + ENTRY_BYTES + size);
                }
                assert!(entries <= 10_240 && bytes <= 10 << 20);
            }
            assert_eq!((capacity.entries, capacity.bytes), (entries, bytes));
            assert!(entries == 10_240 || bytes + longest + ENTRY_BYTES > 10 << 20, "{entries} {bytes}");
        }
    }
}
