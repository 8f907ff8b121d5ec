//! The global allocator: jemalloc or the C library's, selected by the switch `jemalloc`.

#[cfg(feature = "jemalloc")]
mod jemalloc;
#[cfg(not(feature = "jemalloc"))]
mod system;

/// The allocator in tests, in place of either.
#[cfg(test)]
pub mod counting;
