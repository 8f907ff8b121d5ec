//! Who hands out memory: the C library, or a crate chosen by the switch `jemalloc`.

#[cfg(feature = "jemalloc")]
mod jemalloc;
