//! Text as functions write it: the same words again and again, with numbers that are new.

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

const WORDS: [&str; 16] = [
    "request",
    "order",
    "customer",
    "received",
    "stored",
    "payment",
    "accepted",
    "berlin",
    "retry",
    "table",
    "inventory",
    "updated",
    "cache",
    "miss",
    "took",
    "shipment",
];

/// A source of lines; the same seed gives the same lines.
pub struct Lines(StdRng);

impl Lines {
    /// Always the same.
    pub fn new() -> Self {
        Self(StdRng::seed_from_u64(9))
    }

    /// About so many bytes.
    pub fn line(&mut self, bytes: usize) -> String {
        let mut line = format!("[INFO] {:08x} ", self.0.random::<u32>());
        while line.len() < bytes {
            line += WORDS[self.0.random_range(0..WORDS.len())];
            line += if self.0.random_bool(0.2) { "=" } else { " " };
            if self.0.random_bool(0.2) {
                line += &self.0.random_range(0..1_000_000).to_string();
                line.push(' ');
            }
        }
        line
    }
}
