//! The bound on metrics that wait: entries, and bytes of memory.

/// Maximum number of entries; the agent's own bound.
pub const MAX_ENTRIES: usize = 10_240;
/// Maximum of what all entries take, in bytes: a kibibyte each. Long tags, large sets and wide distributions meet this bound first.
pub const MAX_BYTES: usize = MAX_ENTRIES << 10;

/// What an entry takes beside its text, in bytes: its share of a hash map that has just doubled, the value itself and the first node of its tree.
pub const ENTRY_BYTES: usize = 384;
/// What another bin of a distribution takes at most, in bytes: its share of tree nodes that are half full.
pub const BIN_BYTES: usize = 32;
/// The same of another member of a set.
pub const MEMBER_BYTES: usize = 24;

/// How much of the bound is taken.
#[derive(Debug, Clone, Copy, Default)]
pub struct Capacity {
    entries: usize,
    bytes: usize,
}

impl Capacity {
    /// Takes so many bytes; false, and nothing is taken, if there are not as many.
    pub fn take(&mut self, bytes: usize) -> bool {
        let fits = self.bytes + bytes <= MAX_BYTES;
        self.bytes += if fits { bytes } else { 0 };
        fits
    }

    /// Takes an entry with so many bytes of text.
    pub fn take_entry(&mut self, text: usize) -> bool {
        let fits = self.entries < MAX_ENTRIES && self.take(ENTRY_BYTES + text);
        self.entries += usize::from(fits);
        fits
    }

    /// How many bytes are taken.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// All but so many bytes are taken.
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
    fn neither_bound_is_exceeded_whatever_sizes_are_taken() {
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
