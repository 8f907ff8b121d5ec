//! The global allocator: jemalloc or the C library's, selected by the switch `jemalloc`.

#[cfg(feature = "jemalloc")]
mod jemalloc;
#[cfg(not(feature = "jemalloc"))]
mod system;

#[cfg(feature = "jemalloc")]
pub use jemalloc::{keep_free_memory, release_free_memory};
#[cfg(not(feature = "jemalloc"))]
pub use system::{keep_free_memory, release_free_memory};

/// The allocator in tests, in place of either.
#[cfg(test)]
pub mod counting;
