//! What a program says of the compiler flags that it was built with, at one place of its file.
//!
//! Two builds whose flags make no difference differ in nothing else, so `cargo matrix build` compares programs without this place and measures them once
//! (`matrix/src/build/sameness.rs`). The record therefore has a fixed size, and no constant in the rest of the program depends on it.

use std::hint::black_box;

/// The first bytes of the record. No other part of the program contains them.
const MARK: &[u8] = b"\0bottlecap: target features and flags\0";
/// The size of the record in bytes. Flags that need more do not compile.
const SIZE: usize = 2048;

/// The compiler flags of one build.
#[derive(Debug)]
pub struct Flags([u8; SIZE]);

/// Target features and compiler flags of this binary.
pub static FLAGS: Flags = Flags::new(concat!(env!("BOTTLECAP_TARGET_FEATURES"), "\n", env!("BOTTLECAP_FLAGS")));

impl Flags {
    /// Of the target features, separated by commas, and in a second line the `RUSTFLAGS`, separated by blanks.
    pub const fn new(text: &str) -> Self {
        assert!(MARK.len() + text.len() < SIZE, "the flags are longer than the record of a build");
        let mut record = [0; SIZE];
        let (mark, rest) = record.split_at_mut(MARK.len());
        mark.copy_from_slice(MARK);
        rest.split_at_mut(text.len()).0.copy_from_slice(text.as_bytes());
        Self(record)
    }

    /// The target features that the compiler could assume, separated by commas.
    pub fn target_features(&self) -> &str {
        self.text().split_once('\n').map_or("", |(features, _)| features)
    }

    /// The `RUSTFLAGS`, separated by blanks.
    pub fn rustflags(&self) -> &str {
        self.text().split_once('\n').map_or("", |(_, flags)| flags)
    }

    fn text(&self) -> &str {
        // Otherwise the compiler evaluates all of this, and spreads lengths and copies of the text over the program.
        let record = black_box(self).0.get(MARK.len()..).unwrap_or_default();
        let text = record.split(|byte| *byte == 0).next().unwrap_or_default();
        str::from_utf8(text).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_is_read_as_written() {
        let flags = Flags::new("fxsr,sse2\n-C target-cpu=x86-64-v2");
        assert_eq!((flags.target_features(), flags.rustflags()), ("fxsr,sse2", "-C target-cpu=x86-64-v2"));
        let none = Flags::new("\n");
        assert_eq!((none.target_features(), none.rustflags()), ("", ""));
        assert_eq!(FLAGS.target_features(), env!("BOTTLECAP_TARGET_FEATURES"));
    }
}
