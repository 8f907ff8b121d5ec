//! Who hands out memory: one of two files, chosen by the switch `jemalloc`.

#[cfg(feature = "jemalloc")]
mod jemalloc;
#[cfg(not(feature = "jemalloc"))]
mod system;

/// What tests have in the place of either.
#[cfg(test)]
pub mod counting;
