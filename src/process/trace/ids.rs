//! Hash tables by span id.

use std::hash::{BuildHasherDefault, Hasher};

/// Hashes ids. Tracers make them at random, and the tracer is the customer's own code: nobody would gain by making them collide.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct IdHasher(u64);

/// Makes hashers of ids.
pub(super) type BuildIdHasher = BuildHasherDefault<IdHasher>;

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64((*byte).into());
        }
    }

    fn write_u64(&mut self, id: u64) {
        // Small ids differ in their low bits only, of which a table needs the high ones as well.
        self.0 = (self.0 ^ id).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(26);
    }
}
